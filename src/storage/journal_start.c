/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal's life: open, start of a run, close. One thread; may block.
 *
 * The start of a run (rule 4), after everything found has been applied and the marker is durable:
 * first a segment with the new run's header is made durable, then every older header is made blank.
 * Whenever that is cut off, the next start finds either the old run, which is applied again, or the
 * new one, which is empty; never neither. In a new folder a journal exists once that first header is
 * durable (rule 16): blank segment files alone are no journal. */
#include "storage/journal_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

static enum status make_folder(const struct journal *journal, struct error *error)
{
    if (mkdir(journal->folder, 0700) == 0) {
        char *parent = mem_dup(journal->folder, strlen(journal->folder) + 1);
        char *slash = strrchr(parent, '/');
        if (slash && slash != parent) *slash = '\0';
        int result = journal->files->sync_folder(journal->files->context, slash ? parent : ".");
        int saved = errno;
        mem_free(parent);
        if (result == 0) return STATUS_OK;
        return error_set_errno(error, saved, "cannot sync the folder above %s", journal->folder);
    }
    if (errno == EEXIST) return STATUS_OK;
    return error_set_errno(error, errno, "cannot create the folder %s", journal->folder);
}

static void free_list(struct journal *journal, struct segment_list *list)
{
    for (struct segment *segment; (segment = segment_list_pop(list)) != NULL;)
        segment_free(journal->files, segment);
}

void journal_free(struct journal *journal)
{
    struct journal_letter *letter = journal->letter;
    free_list(journal, &journal->chain);
    free_list(journal, &journal->ready);
    free_list(journal, &journal->retiring);
    free_list(journal, &journal->free);
    pthread_mutex_destroy(&journal->lock);
    /* In the mailbox it frees itself when it is delivered. */
    letter->journal = NULL;
    if (!journal->home || atomic_load(&letter->bits) == 0) mem_free(letter);
    mem_free(journal->own_metrics);
    mem_free(journal->folder);
    mem_free(journal->store_folder);
    free(journal);
}

struct journal *journal_new(const char *folder, const struct journal_options *options,
                            struct journal_metrics *metrics,
                            const struct journal_file_operations *files)
{
    struct journal *journal = aligned_alloc(64, (sizeof *journal + 63) & ~(size_t)63);
    if (!journal) panic("out of memory: no journal");
    memset(journal, 0, sizeof *journal);
    if (!metrics) metrics = journal->own_metrics = mem_calloc(1, sizeof *metrics);
    journal->options = options;
    journal->metrics = metrics;
    journal->files = files;
    journal->folder = mem_dup(folder, strlen(folder) + 1);
    journal->letter = mem_calloc(1, sizeof *journal->letter);
    journal->letter->journal = journal;
    journal->gate = GATE_CLOSED;
    journal->automatic_max_bytes = JOURNAL_FIRST_MAX_BYTES;
    journal->next_sequence = 1;
    journal->free_disk_bytes = INT64_MAX; /* until somebody has looked */
    journal->retry_us = RETRY_US;
    journal->first_pause_us = FIRST_PAUSE_US;
    pthread_mutex_init(&journal->lock, NULL);
    return journal;
}

enum status journal_open_with(struct journal **out, const char *folder,
                              const struct journal_options *options,
                              struct journal_metrics *metrics,
                              const struct journal_file_operations *files,
                              struct journal_found *found, struct error *error)
{
    struct journal *journal = journal_new(folder, options, metrics, files);
    enum status status = make_folder(journal, error);
    if (status == STATUS_OK && files->boot_id(files->context, journal->boot_id) != 0)
        status = error_set_errno(error, errno, "cannot read the machine's boot id");
    if (status == STATUS_OK) status = journal_recover(journal, found, error);
    if (status == STATUS_OK)
        *out = journal;
    else
        journal_free(journal);
    return status;
}

enum status journal_open(struct journal **out, const char *folder,
                         const struct journal_options *options, struct journal_metrics *metrics,
                         struct journal_found *found, struct error *error)
{
    return journal_open_with(out, folder, options, metrics, &journal_files_of_system, found, error);
}

/* --- the start of a run --- */

/* Leftovers of preparing; a file that cannot be removed is only in the way of its name. */
static void remove_temporary_files(const struct journal *journal)
{
    DIR *folder = opendir(journal->folder);
    if (!folder) return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        size_t length = strlen(entry->d_name), size = strlen(journal->folder) + length + 2;
        if (length < 12 || strncmp(entry->d_name, "journal-", 8) != 0 ||
            strcmp(entry->d_name + length - 4, ".tmp") != 0)
            continue;
        char *path = mem_alloc(size);
        snprintf(path, size, "%s/%s", journal->folder, entry->d_name);
        journal->files->unlink(journal->files->context, path);
        mem_free(path);
    }
    closedir(folder);
}

/* Of the blank segments found, those of the size that is configured now are used again. */
static void sort_blank_segments(struct journal *journal)
{
    struct segment_list all = journal->free;
    journal->free = (struct segment_list){0};
    for (struct segment *segment; (segment = segment_list_pop(&all)) != NULL;)
        segment_list_push(segment->bytes == journal->segment_bytes ? &journal->free
                                                                   : &journal->retiring,
                          segment);
}

static bool mapping_is_safe(struct journal *journal)
{
    uint64_t bytes;
    int moves_blocks = 1;
    if (journal->files->free_bytes(journal->files->context, journal->folder, &bytes,
                                   &moves_blocks) != 0)
        return false;
    return !moves_blocks;
}

/* The first segment; decides how to write. On a full disk the reserve file gives way. */
static enum status prepare_first(struct journal *journal, struct segment **out,
                                 struct error *error)
{
    int wanted = journal->options->journal_io;
    journal->is_shared = wanted == JOURNAL_IO_MMAP ||
                         (wanted == JOURNAL_IO_AUTO && mapping_is_safe(journal));
    journal->was_locked = true;
    enum status status = journal_prepare_segment(journal, journal->segment_bytes, out, error);
    if (status == STATUS_NO_SPACE && journal_remove_reserve(journal) == 0)
        status = journal_prepare_segment(journal, journal->segment_bytes, out, error);
    if (status != STATUS_OK) return status;
    struct segment *segment = *out;
    if (journal->is_shared) {
        bool can_populate =
            journal->files->populate(journal->files->context, segment->map, page_bytes()) == 0;
        if (wanted == JOURNAL_IO_AUTO && (!journal->was_locked || !can_populate)) {
            log_write(LOG_NOTICE, "journal: pages cannot be locked and populated here, so it is "
                      "written by write(2) (RLIMIT_MEMLOCK, Linux 5.14)");
            journal->files->munmap(journal->files->context, segment->map, segment->bytes);
            segment->map = NULL;
            segment->view = NULL;
            journal->is_shared = false;
            status = segment_map(journal->files, segment, false, error);
        }
    }
    if (status == STATUS_OK) segment_populate(journal->files, segment, POPULATE_AHEAD_BYTES);
    if (status != STATUS_OK) segment_free(journal->files, segment);
    return status;
}

static enum status blank_old_segments(struct journal *journal, struct error *error)
{
    for (struct segment *at = journal->retiring.first; at; at = at->next) {
        if (at->bytes < SEGMENT_HEADER_BYTES) continue;
        enum status status = segment_make_blank(journal->files, at, error);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

/* Old segments, blank by now: those of the right size are used again, the rest unlinked. */
static void reuse_old_segments(struct journal *journal)
{
    struct segment_list all = journal->retiring;
    journal->retiring = (struct segment_list){0};
    for (struct segment *segment; (segment = segment_list_pop(&all)) != NULL;) {
        if (segment->view) {
            journal->files->munmap(journal->files->context, (void *)(uintptr_t)segment->view,
                                   segment->bytes);
            segment->view = NULL;
        }
        if (segment->bytes == journal->segment_bytes &&
            journal->free.count < journal->prepared_target + 2) {
            segment_list_push(&journal->free, segment);
            continue;
        }
        journal->files->unlink(journal->files->context, segment->path);
        segment_free(journal->files, segment);
    }
}

static void calibrate_ticks(struct journal *journal)
{
    struct timespec pause = {.tv_nsec = 2000000};
    uint64_t ticks = journal_ticks();
    int64_t began_ns = clock_monotonic_ns();
    nanosleep(&pause, NULL);
    int64_t took_ns = clock_monotonic_ns() - began_ns;
    journal->ticks_per_us = (double)(journal_ticks() - ticks) * 1000.0 / (double)took_ns;
    if (journal->ticks_per_us < 1) journal->ticks_per_us = 1;
}

static void stop_threads(struct journal *journal)
{
    atomic_store(&journal->write_stop, true);
    if (journal->has_write_thread) {
        event_raise(&journal->write_event);
        pthread_join(journal->write_thread, NULL);
    }
    atomic_store(&journal->sync_stop, true);
    if (journal->has_sync_thread) {
        event_raise(&journal->sync_event);
        pthread_join(journal->sync_thread, NULL);
    }
    atomic_store(&journal->prepare_stop, true);
    if (journal->has_prepare_thread) {
        event_raise(&journal->prepare_event);
        pthread_join(journal->prepare_thread, NULL);
    }
    journal->has_write_thread = journal->has_sync_thread = journal->has_prepare_thread = false;
}

static enum status start_threads(struct journal *journal, struct error *error)
{
    enum status status = thread_start(&journal->prepare_thread, THREAD_SYNC, "jnl-prepare",
                                      journal_prepare_run, journal, error);
    journal->has_prepare_thread = status == STATUS_OK;
    if (status == STATUS_OK) {
        status = thread_start(&journal->sync_thread, THREAD_SYNC, "jnl-sync", journal_sync_run,
                              journal, error);
        journal->has_sync_thread = status == STATUS_OK;
    }
    if (status == STATUS_OK && !journal->is_shared) {
        status = thread_start(&journal->write_thread, THREAD_SYNC, "jnl-write", journal_write_run,
                              journal, error);
        journal->has_write_thread = status == STATUS_OK;
    }
    if (status != STATUS_OK) stop_threads(journal);
    return status;
}

/* The first segment's header, in the file and durable. */
static enum status begin_first(struct journal *journal, struct segment *segment,
                               uint64_t first_sequence, struct error *error)
{
    uint64_t before = first_sequence - 1;
    journal->next_sequence = first_sequence;
    journal->position = 0;
    journal->carried_synced = before;
    atomic_store(&journal->appended_sequence, before);
    atomic_store(&journal->published_sequence, before);
    atomic_store(&journal->written_sequence, before);
    atomic_store(&journal->synced_sequence, before);
    atomic_store(&journal->marked_sequence, before);
    gauge_set(&journal->metrics->appended_sequence, (int64_t)before);
    gauge_set(&journal->metrics->synced_sequence, (int64_t)before);
    gauge_set(&journal->metrics->marked_sequence, (int64_t)before);
    atomic_store(&journal->good_sync_began_us, clock_monotonic_us());
    atomic_store(&journal->policy, journal->options->appendfsync);
    journal_begin_segment(journal, segment);
    journal->sync_segment = journal->write_segment = segment;
    enum status status = STATUS_OK;
    if (!journal->is_shared)
        status = segment_write(journal->files, segment, SEGMENT_HEADER_BYTES, error);
    if (status == STATUS_OK)
        status = segment_sync(journal->files, segment, SEGMENT_HEADER_BYTES, error);
    return status;
}

static enum status choose_run(struct journal *journal, uint64_t store_id, uint64_t first_sequence,
                              struct error *error)
{
    uint64_t run;
    if (first_sequence == 0)
        return error_set(error, STATUS_INVALID, "a run cannot begin with sequence 0");
    do {
        if (getrandom(&run, sizeof run, 0) != sizeof run)
            return error_set_errno(error, errno, "cannot get a random number");
    } while (run == journal->run);
    journal->run = run;
    journal->store_id = store_id;
    journal->segment_bytes = page_ceiling((size_t)journal->options->journal_segment_bytes);
    if (journal->segment_bytes < 16 * page_bytes()) journal->segment_bytes = 16 * page_bytes();
    int64_t prepared = journal->options->journal_prepared_segments;
    journal->prepared_target = prepared < 1 ? 1 : (unsigned)prepared;
    return STATUS_OK;
}

enum status journal_start_run(struct journal *journal, uint64_t store_id, uint64_t first_sequence,
                              struct error *error)
{
    ASSERT(!journal->is_running);
    enum status status = choose_run(journal, store_id, first_sequence, error);
    if (status != STATUS_OK) return status;
    remove_temporary_files(journal);
    sort_blank_segments(journal);
    struct segment *segment;
    status = prepare_first(journal, &segment, error);
    if (status != STATUS_OK) return status;

    /* The old chain is only to be made blank from here on. */
    for (struct segment *old; (old = segment_list_pop(&journal->chain)) != NULL;)
        segment_list_push(&journal->retiring, old);
    status = begin_first(journal, segment, first_sequence, error);
    if (status == STATUS_OK) status = blank_old_segments(journal, error);
    if (status != STATUS_OK) return status;
    reuse_old_segments(journal);
    calibrate_ticks(journal);
    journal->is_running = true;
    journal_mind_space(journal); /* before the first append */
    status = start_threads(journal, error);
    if (status != STATUS_OK) {
        journal->is_running = false;
        return status;
    }
    atomic_fetch_and(&journal->gate, ~(unsigned)GATE_CLOSED);
    return STATUS_OK;
}

/* --- close --- */

enum status journal_close(struct journal *journal, struct error *error)
{
    enum status status = STATUS_OK;
    if (!journal) return STATUS_OK;
    if (journal->is_running) {
        journal->is_held = false;
        journal_append_end_mark(journal);
        /* A sync that fails from now on finds the loop's hands off. */
        atomic_store(&journal->is_closing, true);
        stop_threads(journal);
        uint64_t appended = journal_appended_sequence(journal);
        uint64_t synced = journal_synced_sequence(journal);
        if (synced < appended)
            status = error_set(error, STATUS_IO_ERROR,
                               "the journal could not be synced: sequences %llu to %llu may be "
                               "lost when the machine stops (%s)",
                               (unsigned long long)synced + 1, (unsigned long long)appended,
                               journal->sync_error.text);
    }
    journal_free(journal);
    return status;
}
