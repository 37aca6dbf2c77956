/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The prepare thread: populates pages ahead of the append position, retires segments that are
 * marked, keeps prepared segments ready, minds the free space (journal_space.c). It sleeps
 * without a timeout while nothing is appended and nothing fails.
 *
 * A retired segment's header page is made blank and synced before the next one's is (the chain on
 * disk never gets a hole) and before it is used again or unlinked. It is not retired before its
 * successor's header is durable: a folder always holds one whole header. */
#include "storage/journal_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

enum { FREE_MORE_THAN_READY = 2 }; /* how many more segments than the prepared ones are kept */

/* --- populating --- */

static void populate_ahead(struct journal *journal)
{
    if (!journal->is_shared) return;
    journal_lock(journal);
    struct segment *current = journal->current, *next = journal->ready.first;
    size_t next_wanted = atomic_load(&journal->populate_next);
    while (next && next->bytes < next_wanted) next = next->next;
    journal_unlock(journal);

    size_t at = atomic_load_explicit(&current->published, memory_order_acquire);
    size_t wanted = atomic_load(&journal->populate_wanted);
    size_t to = (wanted > at && wanted <= current->bytes ? wanted : at) + POPULATE_AHEAD_BYTES;
    size_t before = atomic_load(&current->populated);
    segment_populate(journal->files, current, to);
    bool has_more = atomic_load(&current->populated) > before;
    if (next) { /* only this thread and the loop take from `ready`; a taken one stays alive */
        size_t ahead = to > current->bytes ? to - current->bytes : 0;
        if (next_wanted > 0) ahead = next_wanted + POPULATE_AHEAD_BYTES;
        before = atomic_load(&next->populated);
        if (ahead > 0) segment_populate(journal->files, next, ahead + page_bytes());
        has_more |= atomic_load(&next->populated) > before;
        atomic_compare_exchange_strong(&journal->populate_next, &next_wanted, 0);
    }
    if (has_more && atomic_exchange(&journal->wait_seen, false)) journal_post(journal, EVENT_SPACE);
}

/* --- retiring --- */

static struct segment *next_to_retire(struct journal *journal)
{
    uint64_t marked = atomic_load(&journal->marked_sequence);
    journal_lock(journal);
    for (struct segment *at = journal->retiring.first; at; at = at->next) {
        if (at->readers > 0) continue;
        segment_list_remove(&journal->retiring, at);
        journal_unlock(journal);
        return at;
    }
    struct segment *first = journal->chain.first, *next = first ? first->next : NULL;
    bool done = next && next->header.first_sequence <= marked + 1 && first->readers == 0 &&
                first != journal->sync_segment && atomic_load(&next->synced) > 0;
    if (done) {
        segment_list_remove(&journal->chain, first);
        first->is_superseded = true;
    }
    journal_unlock(journal);
    return done ? first : NULL;
}

static void put_back_to_retire(struct journal *journal, struct segment *segment)
{
    journal_lock(journal); /* in front: the order on disk */
    segment->next = journal->retiring.first;
    journal->retiring.first = segment;
    if (!journal->retiring.last) journal->retiring.last = segment;
    journal->retiring.count++;
    journal_unlock(journal);
}

/* Unlinked for good: it cannot come back with a whole header after a power cut, since that is
 * blank, or else since the folder is synced. */
static enum status delete_segment(struct journal *journal, struct segment *segment, bool is_blank,
                                  struct error *error)
{
    const struct journal_file_operations *files = journal->files;
    if (!segment->is_unlinked && files->unlink(files->context, segment->path) != 0) {
        if (!is_blank) return error_set_errno(error, errno, "cannot remove %s", segment->path);
        log_write(LOG_WARNING, "journal: cannot remove %s: %s", segment->path, strerror(errno));
    }
    segment->is_unlinked = true;
    if (!is_blank && files->sync_folder(files->context, journal->folder) != 0)
        return error_set_errno(error, errno, "cannot sync %s", journal->folder);
    segment_free(files, segment);
    return STATUS_OK;
}

static enum status retire_one(struct journal *journal, struct segment *segment,
                              struct error *error)
{
    bool is_suspect = segment->is_suspect;
    bool is_blank = segment_make_blank(journal->files, segment, error) == STATUS_OK;
    if (!is_blank && !is_suspect) {
        put_back_to_retire(journal, segment);
        return error->code;
    }
    journal_lock(journal);
    bool keep = !is_suspect && segment->bytes == journal->segment_bytes &&
                (!journal_disk_is_short(journal) ||
                 journal->ready.count + journal->free.count < journal->prepared_target) &&
                journal->free.count < journal->prepared_target + FREE_MORE_THAN_READY;
    if (keep) segment_list_push(&journal->free, segment);
    journal_unlock(journal);
    if (!keep && delete_segment(journal, segment, is_blank, error) != STATUS_OK) {
        put_back_to_retire(journal, segment);
        return error->code;
    }
    counter_add_shared(&journal->metrics->segments_freed, 1);
    return STATUS_OK;
}

static enum status retire_marked(struct journal *journal, struct error *error)
{
    struct segment *segment;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && (segment = next_to_retire(journal)) != NULL)
        status = retire_one(journal, segment, error);
    return status;
}

/* On a full disk only those that are ready are kept. */
static void delete_spare(struct journal *journal)
{
    while (journal_disk_is_short(journal)) {
        struct error error = {0};
        journal_lock(journal);
        bool is_spare = journal->ready.count >= journal->prepared_target;
        struct segment *segment = is_spare ? segment_list_pop(&journal->free) : NULL;
        journal_unlock(journal);
        if (!segment) return;
        delete_segment(journal, segment, true, &error);
    }
}

/* --- preparing --- */

char *journal_new_path(struct journal *journal, const char *ending)
{
    size_t size = strlen(journal->folder) + 64;
    char *path = mem_alloc(size);
    snprintf(path, size, "%s/journal-%08llu.%s", journal->folder,
             (unsigned long long)journal->next_file_id, ending);
    return path;
}

static enum status create_segment(struct journal *journal, size_t bytes, struct segment **out,
                                  struct error *error)
{
    const struct journal_file_operations *files = journal->files;
    char *temporary = journal_new_path(journal, "tmp"), *final = journal_new_path(journal, "seg");
    struct segment *segment = NULL;
    enum status status = segment_create(files, temporary, bytes, &segment, error);
    if (status == STATUS_OK && files->rename(files->context, temporary, final) != 0) {
        status = error_set_errno(error, errno, "cannot rename %s", temporary);
        files->unlink(files->context, temporary);
    } else if (status == STATUS_OK && files->sync_folder(files->context, journal->folder) != 0) {
        status = error_set_errno(error, errno, "cannot sync %s", journal->folder);
        files->unlink(files->context, final);
    }
    mem_free(temporary);
    if (status == STATUS_OK) {
        journal->next_file_id++;
        mem_free(segment->path);
        segment->path = final;
        *out = segment;
        return STATUS_OK;
    }
    mem_free(final);
    segment_free(files, segment);
    return status;
}

enum status journal_prepare_segment(struct journal *journal, size_t bytes, struct segment **out,
                                    struct error *error)
{
    struct segment *segment = NULL;
    journal_lock(journal);
    if (journal->free.first && bytes <= journal->free.first->bytes)
        segment = segment_list_pop(&journal->free);
    journal_unlock(journal);
    bool is_reused = segment != NULL;
    enum status status = STATUS_OK;
    if (!is_reused) status = journal_check_space(journal, bytes, error);
    if (!is_reused && status == STATUS_OK) status = create_segment(journal, bytes, &segment, error);
    if (status != STATUS_OK) return status;
    status = segment_map(journal->files, segment, journal->is_shared, error);
    if (status != STATUS_OK) { /* a blank file, found again at the next start */
        segment_free(journal->files, segment);
        return status;
    }
    if (journal->is_shared) {
        bool is_locked = segment_lock(journal->files, segment);
        if (!is_locked && journal->was_locked)
            log_write(LOG_WARNING, "journal: cannot lock %s in memory: %s; appends may wait for "
                      "the disk (raise RLIMIT_MEMLOCK)", segment->path, strerror(errno));
        journal->was_locked = is_locked;
    } else {
        segment_populate(journal->files, segment, segment->bytes);
    }
    counter_add_shared(is_reused ? &journal->metrics->segments_reused
                                 : &journal->metrics->segments_prepared, 1);
    *out = segment;
    return STATUS_OK;
}

/* What a segment for a record of `wanted` bytes with header takes; 0: a normal one. */
static bool needs_segment(struct journal *journal, size_t *bytes)
{
    size_t wanted = atomic_load(&journal->wanted_bytes);
    journal_lock(journal);
    bool has_wanted = false;
    for (struct segment *at = journal->ready.first; at; at = at->next)
        has_wanted |= at->bytes >= wanted;
    unsigned ready = journal->ready.count;
    journal_unlock(journal);
    *bytes = journal->segment_bytes;
    if (wanted > 0 && !has_wanted) {
        if (wanted > *bytes) *bytes = page_ceiling(wanted);
        return true;
    }
    if (wanted > 0) atomic_compare_exchange_strong(&journal->wanted_bytes, &wanted, 0);
    return ready < journal->prepared_target;
}

static void set_prepare_error(struct journal *journal, const struct error *error)
{
    journal_lock(journal);
    bool was_failing = journal->prepare_error.code != STATUS_OK;
    journal->prepare_error = *error;
    bool changed = journal_update_full(journal);
    journal_unlock(journal);
    bool is_failing = error->code != STATUS_OK;
    if (is_failing && !was_failing)
        log_write(LOG_WARNING, "journal: no further segment can be prepared: %s", error->text);
    if (!is_failing && was_failing) log_write(LOG_NOTICE, "journal: segments are prepared again");
    if (changed) journal_post(journal, EVENT_HEALTH);
    if (!is_failing && (was_failing || atomic_load(&journal->wait_seen))) {
        atomic_store(&journal->wait_seen, false);
        journal_post(journal, EVENT_SPACE);
    }
}

/* One segment; true when there may be more to prepare. */
static bool prepare_one(struct journal *journal, struct error *error)
{
    size_t bytes;
    if (!needs_segment(journal, &bytes)) {
        if (journal->prepare_error.code != STATUS_OK) set_prepare_error(journal, error);
        return false;
    }
    struct segment *segment;
    if (journal_prepare_segment(journal, bytes, &segment, error) != STATUS_OK) {
        set_prepare_error(journal, error);
        return false;
    }
    journal_lock(journal);
    segment_list_push(&journal->ready, segment);
    journal_unlock(journal);
    set_prepare_error(journal, error);
    event_raise(&journal->sync_event); /* a replacement may wait for it */
    return true;
}

/* --- the thread --- */

/* What fails is not tried again at each wake-up, of which there are many when space is short. */
struct prepare_pace {
    int64_t retire_at_us, prepare_at_us;
    bool is_retiring_failing;
};

/* One round of work; returns for how long the thread may sleep then (< 0: until it is woken). */
static int64_t prepare_round(struct journal *journal, struct prepare_pace *pace)
{
    int64_t now_us = clock_monotonic_us();
    struct error error = {0};
    populate_ahead(journal);
    if (now_us >= pace->retire_at_us) {
        bool was_failing = pace->is_retiring_failing;
        pace->is_retiring_failing = retire_marked(journal, &error) != STATUS_OK;
        if (pace->is_retiring_failing) {
            pace->retire_at_us = now_us + journal->retry_us;
            if (!was_failing)
                log_write(LOG_WARNING, "journal: %s; tried again until it works", error.text);
        }
    }
    error = journal->prepare_error; /* written by this thread only */
    if (error.code == STATUS_OK || now_us >= pace->prepare_at_us) {
        error = (struct error){0};
        if (prepare_one(journal, &error)) return 0;
        pace->prepare_at_us = now_us + journal->retry_us;
    }
    int64_t pause_us = journal_mind_space(journal), retry_us = journal->retry_us;
    delete_spare(journal);
    journal_update_gauges(journal);
    if (error.code == STATUS_OK && !pace->is_retiring_failing) return pause_us;
    if (now_us - atomic_load(&journal->needed_us) >= SLOW_RETRY_US) retry_us = SLOW_RETRY_US;
    return pause_us >= 0 && pause_us < retry_us ? pause_us : retry_us;
}

void journal_prepare_run(void *argument)
{
    struct journal *journal = argument;
    struct prepare_pace pace = {0};
    while (!atomic_load(&journal->prepare_stop)) {
        int64_t pause_us = prepare_round(journal, &pace);
        if (pause_us != 0) event_wait(&journal->prepare_event, pause_us);
    }
}
