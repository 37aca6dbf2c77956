/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Finding what a crash has left (rules 2 and 4). One thread, before a run; nothing is changed, but
 * for syncing what is found, so that what is applied now cannot be gone after the next crash.
 *
 *   1. Open and sync all segment files; read their headers. The last run is that of the highest
 *      number; segments of other runs are of no interest any more.
 *   2. The chain: in the order of their numbers; one that replaces from sequence N on cuts the ones
 *      before it there. Each names its predecessor: a missing one is noticed.
 *   3. Read record after record. The place where that ends early is judged:
 *        - of the same boot, the page cache has survived: everything below the append offset, and
 *          every segment before another, must be there;
 *        - of another boot it is a torn end and dropped, with all that follows, unless a later
 *          record or header vouches that the missing sequence had been synced. Behind the mark of
 *          a clean end nobody looks for such a record, nor on the same boot: what lies there is of
 *          an earlier run, and a client may have chosen the bytes. */
#include "storage/journal_internal.h"

#include "base/check.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum header_state { HEADER_WHOLE, HEADER_BLANK, HEADER_DAMAGED };

struct candidate {
    struct segment *segment;
    enum header_state state;
    bool has_offset, is_closed;
    size_t append_offset;
    uint64_t limit; /* sequences from here on are replaced; UINT64_MAX: none are */
};

struct recovery {
    struct journal *journal;
    struct candidate *all;
    size_t count, capacity;
    struct candidate **chain; /* borrowed from `all` */
    size_t chain_count;
};

static const char advice[] = "nothing was changed";

/* --- files --- */

static enum status read_header(struct recovery *recovery, struct candidate *candidate,
                               struct error *error)
{
    const struct journal_file_operations *files = recovery->journal->files;
    struct segment *segment = candidate->segment;
    char page[SEGMENT_HEADER_BYTES];
    candidate->limit = UINT64_MAX;
    candidate->state = HEADER_DAMAGED;
    if (segment->bytes < SEGMENT_HEADER_BYTES) return STATUS_OK;
    if (journal_file_read(files, segment->fd, page, sizeof page, 0) != 0)
        return error_set_errno(error, errno, "cannot read %s", segment->path);
    enum status status = segment_header_decode(page, &segment->header);
    if (status == STATUS_UNSUPPORTED)
        return error_set(error, status, "%s is of another format version", segment->path);
    if (status == STATUS_CORRUPT) return STATUS_OK;
    candidate->state = status == STATUS_OK ? HEADER_WHOLE : HEADER_BLANK;
    candidate->has_offset =
        append_offset_decode(get_le64(page + SEGMENT_APPEND_OFFSET), &candidate->append_offset,
                             &candidate->is_closed);
    return STATUS_OK;
}

static enum status add_file(struct recovery *recovery, const char *name, struct error *error)
{
    struct journal *journal = recovery->journal;
    const struct journal_file_operations *files = journal->files;
    size_t size = strlen(journal->folder) + strlen(name) + 2;
    char *path = mem_alloc(size);
    struct stat info;
    enum status status = STATUS_OK;
    snprintf(path, size, "%s/%s", journal->folder, name);
    int fd = files->open(files->context, path, O_RDWR);
    if (fd < 0 || fstat(fd, &info) != 0 || files->fdatasync(files->context, fd) != 0) {
        status = error_set_errno(error, errno, "cannot open and sync %s", path);
        if (fd >= 0) files->close(files->context, fd);
        mem_free(path);
        return status;
    }
    if (recovery->count == recovery->capacity) {
        recovery->capacity = recovery->capacity ? 2 * recovery->capacity : 16;
        recovery->all = mem_realloc(recovery->all, recovery->capacity * sizeof *recovery->all);
    }
    struct candidate *candidate = &recovery->all[recovery->count++];
    *candidate = (struct candidate){.segment = segment_new(path, fd, (size_t)info.st_size)};
    mem_free(path);
    return read_header(recovery, candidate, error);
}

/* journal-NNNNNNNN.ENDING; also moves the counter of names past it. */
static bool is_segment_name(struct journal *journal, const char *name)
{
    char *end;
    if (strncmp(name, "journal-", 8) != 0) return false;
    unsigned long long id = strtoull(name + 8, &end, 10);
    if (end == name + 8) return false;
    if (id >= journal->next_file_id) journal->next_file_id = id + 1;
    return strcmp(end, ".seg") == 0;
}

static enum status find_files(struct recovery *recovery, struct error *error)
{
    struct journal *journal = recovery->journal;
    DIR *folder = opendir(journal->folder);
    if (!folder) return error_set_errno(error, errno, "cannot open %s", journal->folder);
    enum status status = STATUS_OK;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(folder)) != NULL;)
        if (is_segment_name(journal, entry->d_name))
            status = add_file(recovery, entry->d_name, error);
    closedir(folder);
    if (status == STATUS_OK &&
        journal->files->sync_folder(journal->files->context, journal->folder) != 0)
        status = error_set_errno(error, errno, "cannot sync %s", journal->folder);
    return status;
}

/* Brings the file into memory by reads, so that a bad block is an error and not a signal, then
 * maps it. */
static enum status load_file(struct recovery *recovery, struct candidate *candidate,
                             struct error *error)
{
    enum { CHUNK_BYTES = 1 << 20 };
    const struct journal_file_operations *files = recovery->journal->files;
    struct segment *segment = candidate->segment;
    if (segment->view || segment->bytes == 0) return STATUS_OK;
    char *chunk = mem_alloc(CHUNK_BYTES);
    enum status status = STATUS_OK;
    for (size_t at = 0; status == STATUS_OK && at < segment->bytes; at += CHUNK_BYTES) {
        size_t size = segment->bytes - at < CHUNK_BYTES ? segment->bytes - at : CHUNK_BYTES;
        if (journal_file_read(files, segment->fd, chunk, size, (off_t)at) != 0)
            status = error_set_errno(error, errno, "cannot read %s at offset %zu", segment->path,
                                     at);
    }
    mem_free(chunk);
    if (status != STATUS_OK) return status;
    void *view = files->mmap(files->context, segment->bytes, PROT_READ, segment->fd);
    if (view == MAP_FAILED) return error_set_errno(error, errno, "cannot map %s", segment->path);
    segment->view = view;
    return STATUS_OK;
}

/* --- the chain --- */

static int compare_numbers(const void *a, const void *b)
{
    uint64_t first = (*(struct candidate *const *)a)->segment->header.number;
    uint64_t second = (*(struct candidate *const *)b)->segment->header.number;
    return first < second ? -1 : first > second;
}

/* Cuts what a replacing segment replaces. Its header was written when its records were durable. */
static void apply_replacements(struct recovery *recovery)
{
    struct candidate **chain = recovery->chain;
    size_t count = 0;
    for (size_t i = 0; i < recovery->chain_count; i++) {
        struct candidate *candidate = chain[i];
        uint64_t from = candidate->segment->header.replaces_from;
        if (from != 0) {
            size_t kept = 0;
            for (size_t j = 0; j < count; j++) {
                if (chain[j]->segment->header.first_sequence >= from) continue;
                if (chain[j]->limit > from) chain[j]->limit = from;
                chain[kept++] = chain[j];
            }
            count = kept;
        }
        chain[count++] = candidate;
    }
    recovery->chain_count = count;
}

static enum status build_chain(struct recovery *recovery, struct error *error)
{
    struct journal *journal = recovery->journal;
    struct candidate *last = NULL, *damaged = NULL;
    for (size_t i = 0; i < recovery->count; i++) {
        struct candidate *at = &recovery->all[i];
        if (at->state == HEADER_DAMAGED) damaged = at;
        if (at->state == HEADER_WHOLE &&
            (!last || at->segment->header.number > last->segment->header.number))
            last = at;
    }
    if (!last && !damaged) return STATUS_OK; /* a start that was cut off: as if nothing were there */
    if (!last)
        return error_set(error, STATUS_CORRUPT, "%s: no segment has a whole header, and this one's is "
                         "damaged (offset 0); %s", damaged->segment->path, advice);
    journal->run = last->segment->header.run;
    journal->store_id = last->segment->header.store_id;
    recovery->chain = mem_calloc(recovery->count, sizeof *recovery->chain);
    for (size_t i = 0; i < recovery->count; i++)
        if (recovery->all[i].state == HEADER_WHOLE &&
            recovery->all[i].segment->header.run == journal->run)
            recovery->chain[recovery->chain_count++] = &recovery->all[i];
    qsort(recovery->chain, recovery->chain_count, sizeof *recovery->chain, compare_numbers);
    apply_replacements(recovery);
    return STATUS_OK;
}

/* --- records --- */

/* Reads records from the segment's start; leaves `published` at the end of the last good one. */
static void scan_segment(struct recovery *recovery, struct candidate *candidate, uint64_t *expected,
                         struct journal_found *found)
{
    struct segment *segment = candidate->segment;
    size_t offset = SEGMENT_HEADER_BYTES;
    struct record record;
    found->clean_end = false;
    while (*expected < candidate->limit && offset < segment->bytes &&
           record_parse(segment->view + offset, segment->bytes - offset, recovery->journal->run,
                        &record) == STATUS_OK &&
           record.sequence == *expected) {
        if (!record_is_mark(&record)) {
            if (found->first_sequence == 0) found->first_sequence = record.sequence;
            found->last_sequence = record_next_sequence(&record) - 1;
            found->bytes += record.size;
        }
        found->clean_end = record.operations == RECORD_OPERATIONS_END;
        *expected = record_next_sequence(&record);
        offset += record.size;
    }
    atomic_store(&segment->published, offset);
}

static bool is_same_boot(const struct recovery *recovery, const struct candidate *candidate)
{
    return memcmp(candidate->segment->header.boot_id, recovery->journal->boot_id, BOOT_ID_BYTES) ==
           0;
}

static enum status damaged_at(const struct candidate *candidate, uint64_t expected,
                              const char *reason, struct error *error)
{
    return error_set(error, STATUS_CORRUPT,
                     "%s is damaged at offset %zu: the record with sequence %llu is not whole, but "
                     "%s; %s",
                     candidate->segment->path, (size_t)atomic_load(&candidate->segment->published),
                     (unsigned long long)expected, reason, advice);
}

/* Whether what lies behind the last record cannot have been written by this run: the mark of a clean
 * end stands there, or the machine still runs that kept the append offset. Then no bytes of an
 * earlier run, whatever they look like, are taken for records. */
static bool is_end_certain(const struct recovery *recovery, const struct candidate *candidate,
                           const struct journal_found *found)
{
    return found->clean_end || is_same_boot(recovery, candidate);
}

/* The chain's records end with chain[index]; is that a torn end, or damage? */
static enum status judge_end(struct recovery *recovery, size_t index, uint64_t expected,
                             const struct journal_found *found, struct error *error)
{
    struct candidate *at = recovery->chain[index];
    size_t end = atomic_load(&at->segment->published);
    uint64_t run = recovery->journal->run;
    /* An operation takes several bytes, so that no record can have a higher sequence. */
    uint64_t last = expected;
    for (size_t i = 0; i < recovery->count; i++) last += recovery->all[i].segment->bytes;
    if (is_same_boot(recovery, at) && !at->has_offset)
        return damaged_at(at, expected, "the mark of how far this file was written is damaged",
                          error);
    if (is_same_boot(recovery, at) && end < at->append_offset)
        return damaged_at(at, expected, "it was written since the machine was started", error);
    if (is_same_boot(recovery, at) && at->is_closed)
        return damaged_at(at, expected, "a later segment was begun since the machine was started, "
                          "and is missing", error);
    if (!is_end_certain(recovery, at, found) &&
        record_find_voucher(at->segment->view, end, at->segment->bytes, run, expected, last))
        return damaged_at(at, expected, "a later one of the same file says that it had been synced",
                          error);
    for (size_t i = 0; i < recovery->count; i++) {
        struct candidate *later = &recovery->all[i];
        if (later->state == HEADER_BLANK || later == at) continue;
        bool is_whole = later->state == HEADER_WHOLE;
        const struct segment_header *header = &later->segment->header;
        if (is_whole && (header->run != run || header->number < at->segment->header.number))
            continue;
        if (is_whole && is_same_boot(recovery, later))
            return damaged_at(at, expected, "a later segment was begun since the machine was "
                              "started", error);
        if (is_whole && header->synced_sequence >= expected)
            return damaged_at(at, expected, "a later segment says that it had been synced", error);
        if (load_file(recovery, later, error) != STATUS_OK) return error->code;
        if (later->segment->bytes > SEGMENT_HEADER_BYTES &&
            record_find_voucher(later->segment->view, SEGMENT_HEADER_BYTES, later->segment->bytes,
                                run, expected, last))
            return damaged_at(at, expected, "a record of a later segment says that it had been "
                              "synced", error);
    }
    return STATUS_OK;
}

/* Whether the segment after it goes on where this one ends. */
static bool goes_on(const struct recovery *recovery, size_t index, uint64_t expected)
{
    if (index + 1 == recovery->chain_count) return false;
    const struct segment *at = recovery->chain[index]->segment;
    const struct segment *next = recovery->chain[index + 1]->segment;
    if (next->header.previous != at->header.number) return false;
    return next->header.replaces_from ? expected >= next->header.first_sequence
                                      : expected == next->header.first_sequence;
}

static enum status scan_chain(struct recovery *recovery, struct journal_found *found,
                              struct error *error)
{
    uint64_t expected = recovery->chain[0]->segment->header.first_sequence;
    found->base_sequence = expected - 1;
    for (size_t i = 0; i < recovery->chain_count; i++) {
        struct candidate *candidate = recovery->chain[i];
        if (load_file(recovery, candidate, error) != STATUS_OK) return error->code;
        if (candidate->segment->header.replaces_from) expected = candidate->segment->header.first_sequence;
        scan_segment(recovery, candidate, &expected, found);
        if (goes_on(recovery, i, expected)) continue;
        enum status status = judge_end(recovery, i, expected, found, error);
        if (status == STATUS_CORRUPT && recovery->journal->accepts_damage)
            status = STATUS_OK; /* `error` tells the caller */
        if (status != STATUS_OK) return status;
        if (i + 1 < recovery->chain_count) found->clean_end = false;
        recovery->chain_count = i + 1;
    }
    if (expected > found->next_sequence) found->next_sequence = expected;
    return STATUS_OK;
}

/* --- the result --- */

static void hand_over(struct recovery *recovery, struct journal_found *found)
{
    struct journal *journal = recovery->journal;
    for (size_t i = 0; i < recovery->chain_count; i++) {
        struct segment *segment = recovery->chain[i]->segment;
        segment_list_push(&journal->chain, segment);
        recovery->chain[i]->segment = NULL;
    }
    for (size_t i = 0; i < recovery->count; i++) {
        struct segment *segment = recovery->all[i].segment;
        if (!segment) continue; /* in the chain */
        bool is_blank = recovery->all[i].state == HEADER_BLANK;
        if (segment->header.number >= journal->next_number)
            journal->next_number = segment->header.number + 1;
        segment_list_push(is_blank ? &journal->free : &journal->retiring, segment);
    }
    for (struct segment *at = journal->chain.first; at; at = at->next)
        if (at->header.number >= journal->next_number) journal->next_number = at->header.number + 1;
    found->store_id = journal->store_id;
    found->clean_end &= journal->chain.last != NULL;
}

enum status journal_recover(struct journal *journal, struct journal_found *found,
                            struct error *error)
{
    struct error own = {0};
    struct recovery recovery = {.journal = journal};
    if (!error) error = &own;
    *found = (struct journal_found){0};
    journal->next_number = journal->next_file_id = 1;
    enum status status = find_files(&recovery, error);
    if (status == STATUS_OK) status = build_chain(&recovery, error);
    found->empty = recovery.chain_count == 0;
    if (status == STATUS_OK && !found->empty) status = scan_chain(&recovery, found, error);
    if (status == STATUS_OK)
        hand_over(&recovery, found);
    else
        for (size_t i = 0; i < recovery.count; i++)
            segment_free(journal->files, recovery.all[i].segment);
    mem_free(recovery.chain);
    mem_free(recovery.all);
    return status;
}
