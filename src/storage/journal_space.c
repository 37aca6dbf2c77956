/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Free space (rule 18): how much there is, how much must be, the gate that writers find closed while
 * there is less, and the reserve file. All of it on the prepare thread, but for the functions of
 * journal.h, which say otherwise.
 *
 * What must be free is what would be written if no further write came: what is in the journal and
 * not yet marked, with what tables add to it, and one compaction of the store; and the reserve, while
 * its file is not there. So what was acknowledged can always be applied, and deletes, which pass the
 * gate, free space in the store. A new segment is made only from what is free beyond that. */
#include "storage/journal_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <fcntl.h>
#include <stdio.h>

enum {
    APPLIED_EXTRA = 4, /* tables take up to a fourth more than the journal did: expiry rows, indexes */
    OPEN_EXTRA = 8,    /* the gate opens when an eighth more is free: it does not flutter */
    LEAST_SPACE_BYTES = 64 << 10
};

void journal_set_store_folder(struct journal *journal, const char *folder)
{
    journal->store_folder = mem_dup(folder, strlen(folder) + 1);
}

uint64_t journal_measure_free_bytes(struct journal *journal)
{
    const struct journal_file_operations *files = journal->files;
    uint64_t bytes = atomic_load(&journal->free_disk_bytes), found;
    int moves;
    if (files->free_bytes(files->context, journal->folder, &found, &moves) == 0) bytes = found;
    /* The two may be on different file systems: the fuller one counts. */
    if (journal->store_folder &&
        files->free_bytes(files->context, journal->store_folder, &found, &moves) == 0 &&
        found < bytes)
        bytes = found;
    atomic_store(&journal->free_disk_bytes, bytes);
    gauge_set(&journal->metrics->free_disk_bytes, (int64_t)bytes);
    return bytes;
}

uint64_t journal_free_disk_bytes(const struct journal *journal)
{
    return atomic_load_explicit(&journal->free_disk_bytes, memory_order_relaxed);
}

void journal_set_store_need(struct journal *journal, uint64_t bytes)
{
    atomic_store_explicit(&journal->store_need_bytes, bytes, memory_order_relaxed);
}

uint64_t journal_needed_disk_bytes(const struct journal *journal)
{
    uint64_t unmarked = journal_unmarked_bytes(journal);
    return unmarked + unmarked / APPLIED_EXTRA +
           atomic_load_explicit(&journal->store_need_bytes, memory_order_relaxed);
}

bool journal_disk_is_short(const struct journal *journal)
{
    return atomic_load_explicit(&journal->gate, memory_order_acquire) & (GATE_SHORT | GATE_FULL);
}

/* What is to be free in place of the reserve file. */
static uint64_t missing_reserve(const struct journal *journal)
{
    return journal->reserve_is_made ? 0 : (uint64_t)journal->options->disk_reserve_bytes;
}

static unsigned long long mebibytes(uint64_t bytes)
{
    return (bytes + (1 << 20) - 1) >> 20;
}

static enum status say_short(const struct journal *journal, uint64_t free_bytes, uint64_t extra,
                             const char *what_for, struct error *error)
{
    uint64_t needed = journal_needed_disk_bytes(journal);
    uint64_t store = atomic_load_explicit(&journal->store_need_bytes, memory_order_relaxed);
    return error_set(error, STATUS_NO_SPACE,
                     "the disk is nearly full: %llu MB are free, %llu MB are needed (%llu to apply the "
                     "journal, %llu for a compaction of the store, %llu %s); delete keys or free space",
                     (unsigned long long)(free_bytes >> 20), mebibytes(needed + extra),
                     mebibytes(needed - store), mebibytes(store), mebibytes(extra), what_for);
}

enum status journal_check_space(struct journal *journal, size_t bytes, struct error *error)
{
    /* Somebody waits for it who has acknowledged what it is to hold (rule 3). */
    if (atomic_load(&journal->gate) & GATE_FAILED || !journal->is_running) return STATUS_OK;
    uint64_t free_bytes = journal_measure_free_bytes(journal), extra = missing_reserve(journal);
    if (free_bytes >= journal_needed_disk_bytes(journal) + extra + bytes) return STATUS_OK;
    return say_short(journal, free_bytes, extra + bytes, "for a journal file", error);
}

/* --- the gate --- */

static void set_short(struct journal *journal, bool is_short, const struct error *error)
{
    journal_lock(journal);
    journal->space_error = *error;
    unsigned before = is_short ? atomic_fetch_or(&journal->gate, (unsigned)GATE_SHORT)
                               : atomic_fetch_and(&journal->gate, ~(unsigned)GATE_SHORT);
    journal_unlock(journal);
    gauge_set(&journal->metrics->disk_is_short, is_short);
    if (is_short == ((before & GATE_SHORT) != 0)) return;
    /* Writers that were paused get their error, those that had it may go on. */
    atomic_store(&journal->wait_seen, false);
    journal_post(journal, EVENT_HEALTH | EVENT_SPACE);
}

/* Writers are told at once; the next look, which follows, knows more. */
void journal_give_up_reserve(struct journal *journal)
{
    struct error error = {0};
    error_set(&error, STATUS_NO_SPACE, "the disk is full: the store could not be written");
    set_short(journal, true, &error);
    atomic_store(&journal->reserve_given_up, true);
    atomic_store(&journal->looked_us, INT64_MIN / 2);
    event_raise(&journal->prepare_event);
}

/* The loop may append a share of what is free beyond what is needed, then it asks for another look: it
 * cannot fill a disk faster than we look. What it appends may be needed twice and a fourth, once for
 * what it becomes in the store, once for a compaction of that. */
static void look_at_space(struct journal *journal)
{
    struct error error = {0};
    uint64_t wanted = atomic_exchange(&journal->space_wanted, 0);
    uint64_t position = atomic_load(&journal->published_position);
    uint64_t extra = missing_reserve(journal);
    uint64_t needed = journal_needed_disk_bytes(journal) + extra;
    uint64_t free_bytes = journal_measure_free_bytes(journal);
    gauge_set(&journal->metrics->needed_disk_bytes, (int64_t)needed);
    uint64_t closes_at = needed + LEAST_SPACE_BYTES + 2 * wanted;
    if (atomic_load(&journal->gate) & GATE_SHORT) closes_at += needed / OPEN_EXTRA;
    bool is_short = free_bytes < closes_at;
    uint64_t left = is_short ? 0 : free_bytes - needed;
    atomic_store_explicit(&journal->space_position, position + left / 5 * 2, memory_order_release);
    if (is_short) say_short(journal, free_bytes, extra, "kept for deletes", &error);
    set_short(journal, is_short, &error);
    if (atomic_exchange(&journal->wait_seen, false)) journal_post(journal, EVENT_SPACE);
}

/* --- the reserve file --- */

static char *reserve_path(const struct journal *journal)
{
    size_t size = strlen(journal->folder) + sizeof "/reserve";
    char *path = mem_alloc(size);
    snprintf(path, size, "%s/reserve", journal->folder);
    return path;
}

int journal_remove_reserve(struct journal *journal)
{
    char *path = reserve_path(journal);
    int result = journal->files->unlink(journal->files->context, path);
    mem_free(path);
    journal->reserve_is_made = false;
    return result;
}

bool journal_drop_reserve(struct journal *journal)
{
    return journal_remove_reserve(journal) == 0;
}

static void make_reserve(struct journal *journal, uint64_t bytes)
{
    const struct journal_file_operations *files = journal->files;
    char *path = reserve_path(journal);
    int fd = files->open(files->context, path, O_RDWR | O_CREAT);
    if (fd >= 0 && files->fallocate(files->context, fd, (off_t)bytes) == 0) {
        journal->reserve_is_made = true;
        atomic_store(&journal->reserve_given_up, false);
    } else if (fd >= 0) {
        files->unlink(files->context, path);
    }
    if (fd >= 0) files->close(files->context, fd);
    mem_free(path);
}

/* Unlinked when it was given up; made when there is space for it beside all that is needed. One that an
 * earlier run has left may have another size. */
static void mind_reserve(struct journal *journal, int64_t now_us)
{
    uint64_t wanted = (uint64_t)journal->options->disk_reserve_bytes;
    if (!journal->reserve_is_known) {
        journal_remove_reserve(journal);
        journal->reserve_is_known = true;
    }
    if (journal->reserve_is_made && atomic_load(&journal->reserve_given_up)) {
        journal_remove_reserve(journal);
        log_write(LOG_NOTICE, "journal: the reserve of %llu MB is given up", mebibytes(wanted));
        journal->reserve_again_us = now_us + SLOW_RETRY_US;
        return;
    }
    if (journal->reserve_is_made || wanted == 0 || now_us < journal->reserve_again_us) return;
    uint64_t needed = journal_needed_disk_bytes(journal) + wanted;
    if (journal_measure_free_bytes(journal) < needed + needed / OPEN_EXTRA) return;
    make_reserve(journal, wanted);
    if (!journal->reserve_is_made) journal->reserve_again_us = now_us + SLOW_RETRY_US;
}

int64_t journal_mind_space(struct journal *journal)
{
    int64_t now_us = clock_monotonic_us();
    uint64_t position = atomic_load(&journal->published_position);
    bool is_short = atomic_load(&journal->gate) & GATE_SHORT;
    bool is_asked = (journal->reserve_is_made && atomic_load(&journal->reserve_given_up)) ||
                    (!is_short && atomic_load(&journal->space_wanted) > 0);
    int64_t pause_us = is_short ? journal->retry_us : SPACE_LOOK_US;
    int64_t passed_us = now_us - atomic_load(&journal->looked_us);
    if (passed_us < pause_us && !is_asked) return pause_us - passed_us;
    bool is_idle = position == journal->looked_position;
    mind_reserve(journal, now_us);
    look_at_space(journal);
    atomic_store(&journal->looked_us, now_us);
    journal->looked_position = position;
    if (atomic_load(&journal->gate) & GATE_SHORT) return journal->retry_us;
    bool has_reserve = journal->reserve_is_made || journal->options->disk_reserve_bytes == 0;
    return is_idle && has_reserve ? -1 : SPACE_LOOK_US;
}
