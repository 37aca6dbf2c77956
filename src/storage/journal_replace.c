/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Rule 3: a failed sync is never repeated as if nothing had happened, since the kernel has marked
 * the pages clean and the next sync would say "fine". Instead, on the sync thread:
 *
 *   1. the gate is closed and the loop has said that it keeps its hands off (frozen); in mode
 *      write the write thread is parked;
 *   2. all records since the last good sync, which are still in memory (locked pages, or the
 *      buffers of mode write), are copied to a prepared segment and synced there;
 *   3. then its header is written and synced, which says "from sequence N on, I replace what older
 *      segments hold". Until that page is whole the older segments count: dying before loses
 *      nothing that the process's death could keep;
 *   4. the segment becomes the current one, and the gate is opened.
 *
 * If that fails too, the copy is retired, and a fresh segment is tried after a pause that grows.
 * Files that could not be written are not used again. */
#include "storage/journal_internal.h"

#include <errno.h>

enum {
    LONGEST_PAUSE_US = 5000000,
    ATTEMPTS_AT_STOP = 3,
    SPARE_BYTES = 4096 /* room for some records more */
};

/* The sequence at the first unsynced place, and how many bytes follow it. */
static uint64_t unsynced_range(struct journal *journal, uint64_t *bytes)
{
    uint64_t sequence = 0;
    *bytes = 0;
    for (struct segment *at = journal->sync_segment; at; at = at->next) {
        size_t from = atomic_load(&at->synced), end = atomic_load(&at->published);
        if (from < SEGMENT_HEADER_BYTES) from = SEGMENT_HEADER_BYTES;
        if (end <= from) continue;
        if (sequence == 0) sequence = get_le64(at->map + from + 16);
        *bytes += end - from;
    }
    return sequence ? sequence : atomic_load(&journal->published_sequence) + 1;
}

static size_t copy_unsynced(struct journal *journal, struct segment *target)
{
    size_t to = SEGMENT_HEADER_BYTES;
    for (struct segment *at = journal->sync_segment; at; at = at->next) {
        size_t from = atomic_load(&at->synced), end = atomic_load(&at->published);
        if (from < SEGMENT_HEADER_BYTES) from = SEGMENT_HEADER_BYTES;
        if (end <= from) continue;
        memcpy(target->map + to, at->map + from, end - from);
        to += end - from;
    }
    return to;
}

static struct segment *take_ready(struct journal *journal, size_t bytes)
{
    journal_lock(journal);
    struct segment *found = journal->ready.first;
    while (found && found->bytes < bytes) found = found->next;
    if (found) segment_list_remove(&journal->ready, found);
    if (!found) atomic_store(&journal->wanted_bytes, bytes);
    bool changed = journal_update_full(journal);
    journal_unlock(journal);
    if (changed) journal_post(journal, EVENT_HEALTH);
    event_raise(&journal->prepare_event);
    return found;
}

/* The copy, durable; then the header, durable. */
static enum status write_copy(struct journal *journal, struct segment *target, size_t end,
                              struct error *error)
{
    const struct journal_file_operations *files = journal->files;
    char page[SEGMENT_HEADER_BYTES];
    segment_header_encode(&target->header, page);
    put_le64(page + SEGMENT_APPEND_OFFSET, append_offset_encode(end, false));
    if (target->is_shared) {
        size_t from = page_floor(SEGMENT_HEADER_BYTES);
        if (end > from && files->msync(files->context, target->map + from, end - from) != 0)
            goto failed;
        memcpy(target->map, page, sizeof page);
        if (files->msync(files->context, target->map, sizeof page) != 0) goto failed;
        return STATUS_OK;
    }
    memcpy(target->map, page, sizeof page);
    if (journal_file_write(files, target->fd, target->map + SEGMENT_HEADER_BYTES,
                           end - SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES) != 0 ||
        files->fdatasync(files->context, target->fd) != 0 ||
        journal_file_write(files, target->fd, page, sizeof page, 0) != 0 ||
        files->fdatasync(files->context, target->fd) != 0)
        goto failed;
    return STATUS_OK;
failed:
    return error_set_errno(error, errno, "cannot write and sync %s", target->path);
}

/* The target takes the place of everything from its first sequence on. */
static void put_in_place(struct journal *journal, struct segment *target, size_t end)
{
    uint64_t from = target->header.first_sequence;
    journal_lock(journal);
    for (struct segment *at = journal->sync_segment; at; at = at->next) at->is_suspect = true;
    for (struct segment *at = journal->chain.first, *next; at; at = next) {
        next = at->next;
        if (at->header.first_sequence < from) {
            at->last_sequence = from - 1;
            continue;
        }
        segment_list_remove(&journal->chain, at);
        at->is_superseded = true;
        segment_list_push(&journal->retiring, at);
    }
    target->start_position = journal->position - (end - SEGMENT_HEADER_BYTES);
    atomic_store(&target->published, end);
    atomic_store(&target->written, end);
    atomic_store(&target->synced, end);
    if (atomic_load(&target->populated) < end)
        atomic_store(&target->populated, target->is_shared ? page_floor(end) : target->bytes);
    segment_list_push(&journal->chain, target);
    journal->sync_segment = journal->write_segment = journal->current = target;
    journal->offset = journal->limit = end;
    atomic_store(&journal->synced_position, journal->position);
    atomic_store(&journal->written_position, journal->position);
    atomic_store(&journal->written_sequence, atomic_load(&journal->published_sequence));
    journal_unlock(journal);
}

static enum status replace_once(struct journal *journal, struct error *error)
{
    uint64_t bytes;
    uint64_t from = unsynced_range(journal, &bytes);
    size_t needed = SEGMENT_HEADER_BYTES + (size_t)bytes + SPARE_BYTES;
    struct segment *target = take_ready(journal, needed);
    if (!target) return error_set(error, STATUS_AGAIN, "no prepared segment of %zu bytes", needed);

    journal_lock(journal);
    struct segment_header *header = &target->header;
    journal_fill_header(journal, header, target);
    header->number = journal->next_number++;
    header->previous = 0;
    header->first_sequence = header->replaces_from = from;
    for (struct segment *at = journal->chain.first; at; at = at->next)
        if (at->header.first_sequence < from) header->previous = at->header.number;
    journal_unlock(journal);

    size_t end = copy_unsynced(journal, target);
    enum status status = write_copy(journal, target, end, error);
    if (status == STATUS_OK) {
        put_in_place(journal, target, end);
        return STATUS_OK;
    }
    journal_lock(journal);
    target->is_suspect = true;
    segment_list_push(&journal->retiring, target);
    journal_unlock(journal);
    event_raise(&journal->prepare_event);
    return status;
}

static bool all_hands_off(const struct journal *journal)
{
    return ((atomic_load(&journal->gate) & GATE_FROZEN) || atomic_load(&journal->is_closing)) &&
           (journal->is_shared || atomic_load(&journal->write_is_parked));
}

bool journal_replace_unsynced(struct journal *journal)
{
    int64_t pause_us = journal->first_pause_us;
    unsigned attempts = 0;
    event_raise(&journal->write_event);
    while (!all_hands_off(journal)) event_wait(&journal->sync_event, -1);
    for (;;) {
        struct error error = {0};
        if (replace_once(journal, &error) == STATUS_OK) break;
        if (error.code != STATUS_AGAIN) {
            journal_lock(journal);
            journal->sync_error = error;
            journal_unlock(journal);
            counter_add_shared(&journal->metrics->sync_failures, 1);
        }
        if (atomic_load(&journal->sync_stop) && ++attempts >= ATTEMPTS_AT_STOP) return false;
        event_wait(&journal->sync_event, pause_us);
        if (pause_us < LONGEST_PAUSE_US) pause_us *= 2;
    }
    journal_lock(journal);
    journal->sync_error = (struct error){0};
    journal_unlock(journal);
    /* While the gate is still closed: afterwards more may have been published. */
    journal_announce_synced(journal, atomic_load(&journal->published_sequence));
    atomic_fetch_and(&journal->gate, ~(unsigned)(GATE_FAILED | GATE_FROZEN));
    event_raise(&journal->write_event);
    event_raise(&journal->prepare_event);
    return true;
}
