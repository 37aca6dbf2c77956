/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The batch writer's life, its thread, and barriers. Between two ranges, and only there, it looks at
 * everything else: barriers, markers, reclaim, stop. While nothing is to do it sleeps without a
 * time limit and says, in two numbers that any thread reads, what is worth waking it.
 *
 *             failure, RELOAD            opened                  what had failed is in
 *   OPEN ----------------------> CLOSED --------> AGAIN --------------------------------> OPEN
 *    |                            |  ^              |
 *    | damage              damage |  +--------------+ failure
 *    v                            v
 *   BROKEN <----------------------+        BROKEN --RELOAD--> CLOSED
 *
 * AGAIN: at first readers are kept out, until the store holds all that they had seen. */
#include "storage/batch_writer_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdio.h>

enum {
    FORCE_MARKER_PERCENT = 50,
    BUSY_PAUSE_US = 100 * 1000,
    PAUSE_MIN_US = 100 * 1000,
    PAUSE_MAX_US = 1000 * 1000
};

static const uint64_t never = UINT64_MAX;

/* --- life --- */

static void free_writer(struct batch_writer *writer)
{
    reclaim_destroy(writer->reclaim);
    sweep_free(&writer->sweep);
    mailbox_destroy(writer->box);
    pthread_cond_destroy(&writer->ended);
    pthread_mutex_destroy(&writer->end_lock);
    for (size_t i = 0; i < COUNT_SLOTS; i++) coalesce_free(&writer->batches[i].output);
    range_free(&writer->range);
    counts_free(&writer->counts);
    mem_free(writer->pending);
    mem_free(writer->garbage);
    mem_free(writer->start_counts);
    mem_free(writer->db_ids);
    mem_free(writer);
}

/* What the loop begins to count with: kept apart, so that it may ask at any time. */
static void note_start_counts(struct batch_writer *writer)
{
    size_t count = writer->counts.count;
    counts_report_all(&writer->counts);
    writer->start_counts =
        mem_realloc(writer->start_counts, (count + 1) * sizeof *writer->start_counts);
    writer->start_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct count_database *database = &writer->counts.databases[i];
        writer->start_counts[i] = (struct start_count){
            database->db_id, database->reported.keys, database->reported.expiring};
    }
}

static void database_gone(void *context, uint64_t db_id)
{
    struct batch_writer *writer = context;
    counts_forget(&writer->counts, db_id);
}

enum status batch_writer_create(struct batch_writer **out,
                                const struct batch_writer_options *options,
                                struct batch_writer_metrics *metrics, struct store *store,
                                struct journal *journal, struct job_queue *jobs,
                                struct mailbox *loop, const struct batch_writer_events *events,
                                struct error *error)
{
    struct batch_writer *writer = mem_calloc(1, sizeof *writer);
    writer->options = options;
    writer->metrics = metrics;
    writer->store = store;
    writer->journal = journal;
    writer->jobs = jobs;
    writer->loop = loop;
    writer->events = *events;
    writer->barriers_end = &writer->barriers;
    writer->journal_limit = JOURNAL_FIRST_MAX_BYTES;
    journal_set_automatic_max(journal, writer->journal_limit);
    writer->databases = store_meta(store)->databases;
    writer->db_ids = mem_calloc(writer->databases, sizeof *writer->db_ids);
    atomic_store(&writer->wake_synced, never);
    atomic_store(&writer->wake_bytes, never);
    writer->pause_min_us = PAUSE_MIN_US;
    writer->pause_max_us = PAUSE_MAX_US;
    pthread_mutex_init(&writer->end_lock, NULL);
    pthread_cond_init(&writer->ended, NULL);
    ASSERT(options->batch_writer_concurrency >= 1 &&
           options->batch_writer_concurrency <= COUNT_SLOTS);
    for (int64_t i = options->batch_writer_concurrency; i-- > 0;) {
        writer->batches[i].next_free = writer->free_batches;
        writer->free_batches = &writer->batches[i];
    }
    enum status status = mailbox_create(&writer->box, error);
    if (status == STATUS_OK) {
        writer->reclaim = reclaim_create(jobs, writer->box, database_gone, writer);
        status = writer_load(writer, error);
    }
    if (status != STATUS_OK) {
        free_writer(writer);
        return status;
    }
    note_start_counts(writer);
    writer->claimed = writer->position;
    atomic_store(&writer->applied, writer->position);
    *out = writer;
    return STATUS_OK;
}

void batch_writer_destroy(struct batch_writer *writer)
{
    if (!writer) return;
    ASSERT(!writer->started);
    journal_reader_destroy(writer->reader);
    free_writer(writer);
}

/* All that the journal found, and a durable marker. */
static enum status catch_up(struct batch_writer *writer, uint64_t last, struct error *error)
{
    enum status status = writer_skip_to_flush(writer, last, error);
    while (status == STATUS_OK && writer->position < last)
        status = writer_run_range(writer, last, error);
    if (status == STATUS_NOT_FOUND) {
        return error_set(error, STATUS_CORRUPT, "the journal ends at sequence %llu instead of %llu",
                         (unsigned long long)writer->position, (unsigned long long)last);
    }
    return status == STATUS_OK ? writer_checkpoint(writer, error) : status;
}

/* Rule 18, before the journal's run: its own figures are about that. */
static bool is_short_of_disk(struct batch_writer *writer, uint64_t bytes)
{
    struct engine *engine = store_writer_engine(writer->store);
    return journal_measure_free_bytes(writer->journal) <
           bytes + bytes / 4 + engine_work_bytes(engine, bytes);
}

enum status batch_writer_recover(struct batch_writer *writer, const struct journal_found *found,
                                 const struct batch_writer_recovery *recovery,
                                 struct error *error)
{
    uint64_t last = found->last_sequence;
    ASSERT(!writer->started);
    if (last <= writer->position) return STATUS_OK;
    writer->recovery = recovery;
    writer->recovery_from = writer->position;
    writer->recovery_to = last;
    writer->again_up_to = last;
    writer->full_disk = is_short_of_disk(writer, found->bytes);
    enum status status = catch_up(writer, last, error);
    if (status == STATUS_OK) {
        note_start_counts(writer);
        writer_publish_garbage(writer);
    }
    journal_reader_destroy(writer->reader);
    writer->reader = NULL;
    writer->recovery = NULL;
    writer->full_disk = false;
    return status;
}

void batch_writer_counts(struct batch_writer *writer, uint64_t db_id, int64_t *keys,
                         int64_t *expiring)
{
    *keys = *expiring = 0;
    for (size_t i = 0; i < writer->start_count; i++) {
        if (writer->start_counts[i].db_id != db_id) continue;
        *keys = writer->start_counts[i].keys;
        *expiring = writer->start_counts[i].expiring;
    }
}

uint64_t batch_writer_garbage(const struct batch_writer *writer)
{
    return atomic_load_explicit(&writer->garbage_rows, memory_order_relaxed);
}

uint64_t batch_writer_applied_sequence(const struct batch_writer *writer)
{
    return atomic_load_explicit(&writer->applied, memory_order_acquire);
}

void writer_publish_garbage(struct batch_writer *writer)
{
    uint64_t objects = reclaim_objects_left(writer->reclaim);
    uint64_t databases = reclaim_databases_left(writer->reclaim);
    atomic_store_explicit(&writer->garbage_rows, objects + databases, memory_order_relaxed);
    gauge_set(&writer->metrics->garbage_objects, (int64_t)objects);
    gauge_set(&writer->metrics->garbage_databases, (int64_t)databases);
    uint64_t known = counter_get(&writer->metrics->reclaimed_records);
    uint64_t deleted = reclaim_deleted_records(writer->reclaim);
    if (deleted > known) counter_add(&writer->metrics->reclaimed_records, deleted - known);
}

/* --- being woken --- */

static void wake_deliver(struct letter *letter)
{
    struct batch_writer *writer =
        (struct batch_writer *)(void *)((char *)letter - offsetof(struct batch_writer,
                                                                  wake_letter));
    atomic_store(&writer->wake_sent, false);
}

static void send_wake(struct batch_writer *writer)
{
    if (atomic_exchange(&writer->wake_sent, true)) return;
    writer->wake_letter.deliver = wake_deliver;
    mailbox_put(writer->box, &writer->wake_letter);
}

static bool is_worth_waking(const struct batch_writer *writer)
{
    uint64_t synced = atomic_load_explicit(&writer->wake_synced, memory_order_relaxed);
    if (synced != never && journal_synced_sequence(writer->journal) >= synced) return true;
    uint64_t bytes = atomic_load_explicit(&writer->wake_bytes, memory_order_relaxed);
    return bytes != never && journal_unmarked_bytes(writer->journal) >= bytes;
}

void batch_writer_wake(struct batch_writer *writer)
{
    /* Against the one in before_sleep: either it sees our sequence, or we see its wish. */
    atomic_fetch_add(&writer->looks, 1);
    if (is_worth_waking(writer)) send_wake(writer);
}

static void on_synced(void *context)
{
    batch_writer_wake(context);
}

void batch_writer_hurry(struct batch_writer *writer)
{
    if (atomic_load_explicit(&writer->hurry, memory_order_relaxed)) return;
    atomic_store(&writer->hurry, true);
    send_wake(writer);
}

/* --- barriers --- */

static void barrier_arrived(struct letter *letter)
{
    struct barrier *barrier = (struct barrier *)letter;
    struct batch_writer *writer = barrier->writer;
    barrier->next = NULL;
    *writer->barriers_end = barrier;
    writer->barriers_end = &barrier->next;
}

static void send_barrier(struct batch_writer *writer, struct barrier *barrier)
{
    ASSERT_THREAD(THREAD_LOOP);
    barrier->writer = writer;
    barrier->sequence = journal_appended_sequence(writer->journal);
    barrier->status = STATUS_OK;
    barrier->error_text[0] = 0;
    barrier->engine = NULL;
    barrier->snapshot = NULL;
    barrier->letter.deliver = barrier_arrived;
    mailbox_put(writer->box, &barrier->letter);
}

void batch_writer_barrier(struct batch_writer *writer, struct barrier *barrier)
{
    barrier->reload = false;
    send_barrier(writer, barrier);
}

void batch_writer_reload(struct batch_writer *writer, struct barrier *barrier)
{
    barrier->reload = true;
    barrier->kind = BARRIER_VISIBLE;
    send_barrier(writer, barrier);
}

static void barrier_deliver(struct letter *letter)
{
    struct barrier *barrier = (struct barrier *)letter;
    barrier->done(barrier);
}

static struct barrier *take_barrier(struct batch_writer *writer, struct barrier **link)
{
    struct barrier *barrier = *link;
    *link = barrier->next;
    if (!barrier->next) writer->barriers_end = link;
    return barrier;
}

static void answer(struct batch_writer *writer, struct barrier *barrier, enum status status,
                   const char *text)
{
    barrier->status = status;
    snprintf(barrier->error_text, sizeof barrier->error_text, "%s", text);
    barrier->letter.deliver = barrier_deliver;
    counter_add(&writer->metrics->barriers, 1);
    mailbox_put(writer->loop, &barrier->letter);
}

static void fail_barriers(struct batch_writer *writer, enum status status, const char *text)
{
    struct barrier **link = &writer->barriers;
    while (*link) {
        if ((*link)->reload) link = &(*link)->next;
        else answer(writer, take_barrier(writer, link), status, text);
    }
}

/* What the barrier's kind asks for; all before it is in. */
static enum status complete(struct batch_writer *writer, struct barrier *barrier,
                            struct error *error)
{
    if (barrier->kind == BARRIER_DURABLE) {
        writer_note_durable(writer);
        if (writer->marked < barrier->sequence) return writer_checkpoint(writer, error);
    } else if (barrier->kind == BARRIER_SNAPSHOT) {
        barrier->engine = engine_ref(store_writer_engine(writer->store));
        barrier->snapshot = barrier->engine->operations->snapshot(barrier->engine);
    }
    return STATUS_OK;
}

static void reload_for_barriers(struct batch_writer *writer)
{
    bool asked = false;
    bool ready = writer->state == WRITER_OPEN || writer->state == WRITER_BROKEN;
    for (struct barrier *barrier = writer->barriers; ready && barrier; barrier = barrier->next) {
        bool reached = barrier->sequence <= writer->position || writer->state == WRITER_BROKEN;
        if (!barrier->reload || !reached) continue;
        barrier->reload = false;
        asked = true;
    }
    if (asked) writer_reload(writer);
}

/* Also while it waits for space, if nothing is in in part. */
static bool is_readable(const struct batch_writer *writer)
{
    return writer->state == WRITER_OPEN ||
           (writer->keeps_handle && writer->state == WRITER_CLOSED && !writer_is_again(writer));
}

static bool is_reached(const struct batch_writer *writer, const struct barrier *barrier)
{
    if (barrier->sequence > writer->position || barrier->reload) return false;
    return writer->state == WRITER_OPEN || barrier->kind != BARRIER_DURABLE ||
           barrier->sequence <= writer->marked;
}

static void answer_barriers(struct batch_writer *writer)
{
    struct error error = {.code = STATUS_OK};
    struct barrier **link = &writer->barriers;
    reload_for_barriers(writer);
    while (is_readable(writer) && *link) {
        if (!is_reached(writer, *link)) {
            link = &(*link)->next;
            continue;
        }
        enum status status = complete(writer, *link, &error);
        if (status != STATUS_OK) {
            writer_fail(writer, status, &error); /* it waits, as the others */
            return;
        }
        answer(writer, take_barrier(writer, link), STATUS_OK, "");
    }
    if (writer->state == WRITER_BROKEN || writer->barriers_fail)
        fail_barriers(writer, writer->health.code, writer->health.text);
}

/* The lowest sequence that a waiting barrier needs and the store has not; 0: none. */
static uint64_t wanted_by_barriers(const struct batch_writer *writer, bool snapshots_only)
{
    uint64_t lowest = 0;
    for (const struct barrier *barrier = writer->barriers; barrier; barrier = barrier->next) {
        if (snapshots_only && barrier->kind != BARRIER_SNAPSHOT) continue;
        if (barrier->sequence <= writer->position) continue;
        if (lowest == 0 || barrier->sequence < lowest) lowest = barrier->sequence;
    }
    return lowest;
}

/* --- ranges: when, and up to where --- */

static bool is_applying(const struct batch_writer *writer)
{
    return writer->state == WRITER_OPEN || writer->state == WRITER_AGAIN;
}

static uint64_t full_range_at_bytes(const struct batch_writer *writer)
{
    return writer_pending_bytes(writer) +
           (uint64_t)__atomic_load_n(&writer->options->batch_writer_range_bytes,
                                     __ATOMIC_RELAXED);
}

static int64_t age_limit_us(const struct batch_writer *writer)
{
    return writer->dirty_since_us +
           1000 * __atomic_load_n(&writer->options->batch_writer_delay_ms, __ATOMIC_RELAXED);
}

static bool is_urgent(const struct batch_writer *writer, uint64_t synced, int64_t now_us)
{
    uint64_t wanted = wanted_by_barriers(writer, false);
    /* What a barrier waits for is taken whole, not in one small range for each sync before. */
    return (wanted != 0 && wanted <= synced) || atomic_load(&writer->hurry) ||
           atomic_load(&writer->stopping) || now_us >= age_limit_us(writer);
}

static bool range_is_due(struct batch_writer *writer, int64_t now_us)
{
    uint64_t synced = journal_synced_sequence(writer->journal);
    uint64_t appended = journal_appended_sequence(writer->journal);
    if (!is_applying(writer)) return false;
    if (writer->state == WRITER_AGAIN) {
        uint64_t applied = batch_writer_applied_sequence(writer);
        return synced > writer->position &&
               (writer->position < applied || now_us >= writer->retry_at_us);
    }
    if (appended <= writer->position) {
        writer->dirty_since_us = 0;
        atomic_store(&writer->hurry, false);
        return false;
    }
    if (!writer->dirty_since_us) writer->dirty_since_us = now_us;
    bool urgent = is_urgent(writer, synced, now_us);
    if (wanted_by_barriers(writer, false) > synced || (urgent && synced <= writer->position))
        journal_request_sync(writer->journal);
    if (synced <= writer->position) return false;
    return urgent || journal_unmarked_bytes(writer->journal) >= full_range_at_bytes(writer);
}

uint64_t writer_range_limit(const struct batch_writer *writer)
{
    uint64_t end = journal_synced_sequence(writer->journal);
    uint64_t snapshot = wanted_by_barriers(writer, true);
    return snapshot != 0 && snapshot < end ? snapshot : end;
}

static uint64_t range_end(const struct batch_writer *writer, uint64_t limit)
{
    uint64_t end = limit;
    uint64_t applied = batch_writer_applied_sequence(writer);
    if (writer->position < applied && applied < end) end = applied;
    return writer->position < writer->flush_ahead && end < writer->flush_ahead
               ? writer->flush_ahead
               : end;
}

static void run_range(struct batch_writer *writer)
{
    struct error error = {.code = STATUS_OK};
    uint64_t synced = journal_synced_sequence(writer->journal);
    /* Whoever asked for a barrier before that was appended has put his letter by now: a snapshot is
     * taken before what came after it goes in. */
    mailbox_deliver(writer->box);
    answer_barriers(writer);
    if (!is_applying(writer)) return;
    uint64_t limit = writer_range_limit(writer);
    if (synced < limit) limit = synced;
    enum status status = writer_run_range(writer, range_end(writer, limit), &error);
    writer->dirty_since_us = 0;
    if (status == STATUS_NOT_FOUND) {
        /* Synced means that there is a record. */
        status = error_set(&error, STATUS_CORRUPT, "the journal lacks records after sequence %llu",
                           (unsigned long long)writer->position);
    }
    if (status != STATUS_OK) {
        writer_fail(writer, status, &error);
        return;
    }
    atomic_store(&writer->hurry, false);
    writer_note_caught_up(writer);
}

/* --- between ranges --- */

static void mark(struct batch_writer *writer)
{
    struct error error = {.code = STATUS_OK};
    writer_note_durable(writer);
    /* On a full disk what is durable in the store need not be kept in the journal too. */
    if (writer->pending_count == 0 ||
        (journal_fill_percent(writer->journal) < FORCE_MARKER_PERCENT &&
         !journal_disk_is_short(writer->journal)))
        return;
    enum status status = writer_checkpoint(writer, &error);
    if (status != STATUS_OK) writer_fail(writer, status, &error);
    else writer_note_need(writer);
}

/* True when there is more to do but not now. */
static bool reclaim_some(struct batch_writer *writer, bool idle)
{
    struct error error = {.code = STATUS_OK};
    struct engine *engine = store_writer_engine(writer->store);
    enum status status = reclaim_take_failure(writer->reclaim, &error);
    if (status != STATUS_OK) {
        writer_fail(writer, status, &error);
        return false;
    }
    if (idle && reclaim_wants_compaction(writer->reclaim))
        reclaim_compact(writer->reclaim, engine);
    status = reclaim_start_step(writer->reclaim, engine, &error);
    writer_publish_garbage(writer);
    if (status == STATUS_BUSY) return true;
    if (status != STATUS_OK) writer_fail(writer, status, &error);
    return status == STATUS_OK && reclaim_wants_compaction(writer->reclaim);
}

/* On a full disk, a piece at a time, while nothing else is to do. True when there was one. */
static bool sweep_some(struct batch_writer *writer, int64_t now_us, bool *look_again_soon)
{
    struct error error = {.code = STATUS_OK};
    bool later = false;
    if (writer->state != WRITER_OPEN || !journal_disk_is_short(writer->journal)) return false;
    bool due = sweep_is_due(&writer->sweep, writer->position, now_us, &later);
    *look_again_soon |= later || (due && reclaim_is_running(writer->reclaim));
    if (!due || reclaim_is_running(writer->reclaim)) return false;
    enum status status = sweep_step(&writer->sweep, store_writer_engine(writer->store),
                                    writer->position, &error);
    if (status != STATUS_OK) writer_fail(writer, status, &error);
    else writer_note_need(writer);
    return status == STATUS_OK;
}

static bool take_step(struct batch_writer *writer, int64_t now_us, bool *look_again_soon)
{
    *look_again_soon = false;
    if (writer->state == WRITER_CLOSED) {
        if (now_us < writer->reopen_at_us) return false;
        writer_try_reopen(writer);
        return true;
    }
    bool due = range_is_due(writer, now_us);
    if (writer->state == WRITER_OPEN && !atomic_load(&writer->stopping))
        *look_again_soon = reclaim_some(writer, !due);
    if (due && is_applying(writer)) run_range(writer);
    if (is_applying(writer)) mark(writer);
    if (store_remove_replaced(writer->store)) *look_again_soon = true;
    return due || sweep_some(writer, now_us, look_again_soon);
}

/* --- stopping --- */

bool writer_is_out_of_time(const struct batch_writer *writer)
{
    return atomic_load(&writer->stopping) &&
           clock_monotonic_us() >= atomic_load(&writer->stop_deadline_us);
}

/* Whether what is left would take longer than there is time. A start is quicker at it, and knows no
 * better than we when the disk is slow: so there is no use in beginning. */
static bool is_too_much(const struct batch_writer *writer)
{
    uint64_t unmarked = journal_unmarked_bytes(writer->journal);
    uint64_t pending = writer_pending_bytes(writer);
    double left_us = (double)(atomic_load(&writer->stop_deadline_us) - clock_monotonic_us());
    if (writer->bytes_per_second <= 0 || unmarked <= pending) return false;
    return (double)(unmarked - pending) / writer->bytes_per_second * 1e6 > left_us;
}

static void set_stop_error(struct batch_writer *writer)
{
    uint64_t left = journal_appended_sequence(writer->journal) - writer->position;
    bool is_ill = writer->health.code != STATUS_OK;
    error_set(&writer->stop_error, is_ill ? writer->health.code : STATUS_CLOSED,
              "%llu operations are in the journal alone: %s", (unsigned long long)left,
              is_ill ? writer->health.text : "to apply them would have taken longer than shutdown-timeout");
}

static bool stop_is_done(struct batch_writer *writer)
{
    struct error error = {.code = STATUS_OK};
    uint64_t appended = journal_appended_sequence(writer->journal);
    if (!atomic_load(&writer->stopping)) return false;
    if (writer->state == WRITER_OPEN && writer->position >= appended) {
        enum status status = writer_checkpoint(writer, &error);
        if (status == STATUS_OK) return true;
        writer_fail(writer, status, &error);
    }
    bool gives_up = writer_is_out_of_time(writer) ||
                    (writer->state == WRITER_OPEN && is_too_much(writer));
    if (gives_up) set_stop_error(writer);
    return gives_up;
}

/* --- the thread --- */

static int64_t sooner(int64_t a_us, int64_t b_us)
{
    return a_us < 0 || b_us < a_us ? b_us : a_us;
}

/* When to look again even if nobody asks; -1: never. */
static int64_t next_look_us(const struct batch_writer *writer, bool look_again_soon,
                            int64_t now_us)
{
    int64_t at_us = -1;
    bool synced = journal_synced_sequence(writer->journal) > writer->position;
    if (writer->state == WRITER_CLOSED) at_us = writer->reopen_at_us;
    if (writer->state == WRITER_AGAIN && synced) at_us = writer->retry_at_us;
    if (writer->state == WRITER_OPEN && writer->dirty_since_us) {
        /* Once the age has passed a sync was asked for, and that wakes us. */
        int64_t age_us = age_limit_us(writer);
        if (synced || age_us > now_us) at_us = sooner(at_us, age_us);
    }
    if (look_again_soon) at_us = sooner(at_us, now_us + BUSY_PAUSE_US);
    if (atomic_load(&writer->stopping)) {
        int64_t deadline_us = atomic_load(&writer->stop_deadline_us);
        at_us = sooner(at_us, deadline_us > now_us ? deadline_us : now_us + BUSY_PAUSE_US);
    }
    return at_us;
}

/* Says what is worth waking us for; false when that is there already. */
static bool before_sleep(struct batch_writer *writer)
{
    uint64_t synced = journal_synced_sequence(writer->journal);
    uint64_t wanted = wanted_by_barriers(writer, false);
    uint64_t wake_synced = never, wake_bytes = never;
    if (is_applying(writer)) {
        if (synced <= writer->position) wake_synced = writer->position + 1;
        if (wanted > synced) wake_synced = wanted;
        if (writer->state == WRITER_OPEN && synced > writer->position)
            wake_bytes = full_range_at_bytes(writer);
        if (writer->state == WRITER_OPEN && !writer->dirty_since_us)
            wake_bytes = journal_unmarked_bytes(writer->journal) + 1;
    }
    atomic_store_explicit(&writer->wake_synced, wake_synced, memory_order_relaxed);
    atomic_store_explicit(&writer->wake_bytes, wake_bytes, memory_order_relaxed);
    atomic_fetch_add(&writer->looks, 1);
    /* Once more, now that who comes later wakes us. */
    if (is_worth_waking(writer) || range_is_due(writer, clock_monotonic_us())) return false;
    /* Appended between our look and now: it begins to age. */
    return writer->dirty_since_us || writer->state != WRITER_OPEN ||
           journal_appended_sequence(writer->journal) <= writer->position;
}

static void writer_main(void *context)
{
    struct batch_writer *writer = context;
    bool look_again_soon;
    for (;;) {
        mailbox_deliver(writer->box);
        int64_t now_us = clock_monotonic_us();
        bool more = take_step(writer, now_us, &look_again_soon);
        answer_barriers(writer);
        if (stop_is_done(writer)) break;
        if (more || !before_sleep(writer)) continue;
        int64_t at_us = next_look_us(writer, look_again_soon, now_us);
        if (at_us < 0) mailbox_wait(writer->box, -1);
        else if (at_us > now_us) mailbox_wait(writer->box, at_us - now_us);
    }
    writer_wait_reclaim(writer);
    mailbox_deliver(writer->box);
    for (struct barrier *barrier = writer->barriers; barrier; barrier = barrier->next)
        barrier->reload = false;
    fail_barriers(writer, STATUS_CLOSED, "the server is stopping");
    pthread_mutex_lock(&writer->end_lock);
    writer->has_ended = true;
    pthread_cond_signal(&writer->ended);
    pthread_mutex_unlock(&writer->end_lock);
}

/* Sequences that no record has: what the run before left out, or lost unsynced. */
static enum status skip_gap(struct batch_writer *writer, struct error *error)
{
    struct journal_record record;
    uint64_t appended = journal_appended_sequence(writer->journal);
    struct journal_reader *reader = journal_reader_create(writer->journal, writer->position + 1);
    enum status status = journal_reader_next(reader, appended, &record, error);
    uint64_t before = status == STATUS_OK ? record.sequence - 1 : appended;
    journal_reader_destroy(reader);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) return status;
    if (before > writer->position) writer->position = writer->claimed = before;
    atomic_store(&writer->applied, writer->position);
    return STATUS_OK;
}

enum status batch_writer_start(struct batch_writer *writer, struct error *error)
{
    ASSERT(!writer->started);
    enum status status = skip_gap(writer, error);
    if (status != STATUS_OK) return status;
    writer->started = true;
    writer_note_need(writer); /* the store may have been opened otherwise for the recovery */
    journal_set_on_synced(writer->journal, on_synced, writer);
    status = thread_start(&writer->thread, THREAD_WRITER, "batch-writer", writer_main, writer,
                          error);
    if (status != STATUS_OK) {
        journal_set_on_synced(writer->journal, NULL, NULL);
        writer->started = false;
    }
    return status;
}

/* Whether the thread has ended in time. */
static bool wait_for_end(struct batch_writer *writer, int64_t deadline_us)
{
    struct timespec until = {deadline_us / 1000000, deadline_us % 1000000 * 1000};
    int error_number = 0;
    pthread_mutex_lock(&writer->end_lock);
    while (!writer->has_ended && error_number == 0) {
        error_number = pthread_cond_clockwait(&writer->ended, &writer->end_lock, CLOCK_MONOTONIC,
                                              &until);
    }
    bool has_ended = writer->has_ended;
    pthread_mutex_unlock(&writer->end_lock);
    return has_ended;
}

enum status batch_writer_stop(struct batch_writer *writer, int64_t timeout_ms, struct error *error)
{
    if (!writer->started) return STATUS_OK;
    int64_t deadline_us = clock_monotonic_us() + timeout_ms * 1000;
    atomic_store(&writer->stop_deadline_us, deadline_us);
    atomic_store(&writer->stopping, true);
    send_wake(writer);
    if (!wait_for_end(writer, deadline_us)) store_cancel(writer->store);
    pthread_join((pthread_t)writer->thread, NULL);
    journal_set_on_synced(writer->journal, NULL, NULL);
    journal_reader_destroy(writer->reader);
    writer->reader = NULL;
    writer->started = false;
    enum status status = writer->stop_error.code;
    if (status != STATUS_OK && error) *error = writer->stop_error;
    return status;
}
