/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the batch writer does after a failure (rule 13), on its thread. The store is closed, opened
 * again and applied again from its marker: first up to what readers had seen, which lets them in
 * again, then, after a pause that grows with each failure, what had failed.
 *
 * For want of space it is not opened before there is enough to apply the journal and to compact (rule
 * 18). Until then readers keep the handle as it is, which holds all that they have seen. A FLUSHALL
 * needs nothing of it: the journal is then applied from there on, to a fresh store (rule 17). */
#include "storage/batch_writer_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>

enum {
    HANDLE_PAUSE_US = 10 * 1000,
    CALM_PAUSES = 10,     /* so many longest pauses without a failure: the next one is a new one */
    WANTED_EXTRA = 4      /* a fourth more than what was too little */
};

/* --- telling the loop --- */

struct health_letter {
    struct letter letter;
    struct batch_writer_events events;
    struct error error;
};

static void health_deliver(struct letter *letter)
{
    struct health_letter *health = (struct health_letter *)letter;
    health->events.on_health(health->events.context, health->error.code, health->error.text);
    mem_free(health);
}

static void tell_health(struct batch_writer *writer, const struct error *error)
{
    bool same = writer->health.code == error->code &&
                (error->code == STATUS_OK || strcmp(writer->health.text, error->text) == 0);
    if (same) return;
    writer->health = *error;
    if (error->code == STATUS_OK) log_write(LOG_NOTICE, "the store works again");
    else log_write(LOG_WARNING, "the store is closed for writing: %s", error->text);
    if (writer->recovery || !writer->started) return;
    struct health_letter *health = mem_alloc(sizeof *health);
    *health = (struct health_letter){{.deliver = health_deliver}, writer->events, *error};
    mailbox_put(writer->loop, &health->letter);
}

/* --- the store as it is open now --- */

enum status writer_load(struct batch_writer *writer, struct error *error)
{
    const struct store_meta *meta = store_meta(writer->store);
    struct engine *engine = store_writer_engine(writer->store);
    ASSERT(meta->databases == writer->databases);
    enum status status = counts_load(&writer->counts, engine, error);
    if (status != STATUS_OK) return status;
    memcpy(writer->db_ids, meta->db_ids, meta->databases * sizeof *meta->db_ids);
    writer->position = writer->marker = writer->marked = meta->marker;
    writer->pending_count = 0;
    journal_reader_destroy(writer->reader);
    writer->reader = NULL;
    writer->flush_ahead = 0;
    reclaim_forget(writer->reclaim);
    sweep_forget(&writer->sweep);
    writer_note_need(writer);
    return STATUS_OK;
}

void writer_note_need(struct batch_writer *writer)
{
    struct engine *engine = store_writer_engine(writer->store);
    uint64_t unmarked = journal_unmarked_bytes(writer->journal);
    journal_set_store_need(writer->journal, engine_work_bytes(engine, unmarked));
}

static bool holds_flush(const struct journal_record *record)
{
    struct slice rest = record->payload;
    struct operation operation;
    while (operation_decode(&rest, &operation) == STATUS_OK) {
        if (operation.kind == OPERATION_FLUSH_ALL) return true;
    }
    return false;
}

enum status writer_skip_to_flush(struct batch_writer *writer, uint64_t up_to, struct error *error)
{
    struct journal_record record;
    enum status status;
    uint64_t found = 0, last = 0;
    uint64_t from = writer->flush_looked > writer->position ? writer->flush_looked : writer->position;
    writer->flush_ahead = 0;
    struct journal_reader *reader = journal_reader_create(writer->journal, from + 1);
    while ((status = journal_reader_next(reader, up_to, &record, error)) == STATUS_OK) {
        if (!holds_flush(&record)) continue;
        found = record.sequence;
        last = record.sequence + record.operations - 1;
    }
    journal_reader_destroy(reader);
    if (status != STATUS_NOT_FOUND) return status;
    /* A record that is in in part is met again from its start by the reader as it is. */
    if (found > writer->position) {
        journal_reader_destroy(writer->reader);
        writer->reader = journal_reader_create(writer->journal, found);
        writer->flush_ahead = last;
    } else if (up_to > writer->flush_looked) {
        writer->flush_looked = up_to;
    }
    return STATUS_OK;
}

/* --- closing --- */

/* No more writing. */
static void stop_writing(struct batch_writer *writer)
{
    writer_wait_reclaim(writer);
    reclaim_forget(writer->reclaim);
    uint64_t applied = atomic_load_explicit(&writer->applied, memory_order_relaxed);
    if (writer->again_up_to < applied) writer->again_up_to = applied;
    if (writer->again_up_to < writer->position) writer->again_up_to = writer->position;
    writer->pending_count = 0;
    if (!writer->closed_since_us) writer->closed_since_us = clock_monotonic_us();
    gauge_set(&writer->metrics->closed, 1);
}

static void take_handle(struct batch_writer *writer, enum status status, const char *text)
{
    store_close_engine(writer->store, status, text);
    writer->readers_out = true;
    writer->keeps_handle = false;
}

static void close_store(struct batch_writer *writer, enum status status, const char *text)
{
    stop_writing(writer);
    take_handle(writer, status, text);
}

static bool is_final(enum status status)
{
    return status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED;
}

/* Returns whether it had failed not long ago. */
static bool grow_pause(struct batch_writer *writer)
{
    int64_t calm_us = CALM_PAUSES * writer->pause_max_us;
    if (writer->opened_at_us && clock_monotonic_us() - writer->opened_at_us > calm_us)
        writer->pause_us = 0;
    bool again = writer->pause_us > 0;
    writer->barriers_fail = again && !writer->opened_at_us;
    writer->opened_at_us = 0;
    writer->pause_us = again ? writer->pause_us * 2 : writer->pause_min_us;
    if (writer->pause_us > writer->pause_max_us) writer->pause_us = writer->pause_max_us;
    return again;
}

/* Gives up the reserve. Where the disk is full indeed (and not a quota reached, say), what there was
 * when the store was opened was too little. */
static void note_full_disk(struct batch_writer *writer)
{
    uint64_t needed = journal_needed_disk_bytes(writer->journal);
    if (writer->opened_bytes && journal_measure_free_bytes(writer->journal) < needed / 2)
        writer->wanted_bytes = writer->opened_bytes + writer->opened_bytes / WANTED_EXTRA;
    writer->full_disk = true;
    journal_give_up_reserve(writer->journal);
}

void writer_fail(struct batch_writer *writer, enum status status, const struct error *error)
{
    struct error told = *error;
    int64_t now_us = clock_monotonic_us();
    if (writer_is_out_of_time(writer)) return; /* it was cancelled */
    told.code = status;
    if (told.text[0] == 0) snprintf(told.text, sizeof told.text, "%s", status_text(status));
    bool again = grow_pause(writer);
    counter_add(&writer->metrics->retries, 1);
    if (status == STATUS_NO_SPACE) note_full_disk(writer);
    /* What fails soon after all was in is a compaction, and a FLUSHALL is tried without opening. */
    bool hurry = !(again && writer->state == WRITER_OPEN) && writer->flush_ahead <= writer->position;
    writer->reopen_at_us = now_us + (hurry ? writer->pause_min_us : writer->pause_us);
    writer->retry_at_us = now_us + writer->pause_us;
    if (is_final(status)) {
        close_store(writer, status, told.text);
        writer->state = WRITER_BROKEN;
    } else if (status == STATUS_NO_SPACE && !writer->readers_out) {
        stop_writing(writer);
        writer->keeps_handle = true;
        writer->state = WRITER_CLOSED;
    } else {
        /* Readers wait: soon they are let in, or get the error. */
        close_store(writer, STATUS_AGAIN, told.text);
        writer->state = WRITER_CLOSED;
    }
    tell_health(writer, &told);
}

void writer_reload(struct batch_writer *writer)
{
    close_store(writer, STATUS_AGAIN, "the store is being opened again");
    writer->state = WRITER_CLOSED;
    writer->reopen_at_us = writer->retry_at_us = 0;
    writer->pause_us = 0;
    writer->barriers_fail = false;
    writer->full_disk = false;
}

/* --- opening --- */

static enum status reopen(struct batch_writer *writer, struct error *error)
{
    enum status status = STATUS_OK;
    if (!store_writer_engine(writer->store)) status = store_reopen(writer->store, error);
    if (status == STATUS_OK) status = writer_load(writer, error);
    if (status == STATUS_OK)
        status = writer_skip_to_flush(writer, writer_range_limit(writer), error);
    return status;
}

/* Not yet enough space: says so to who waits, and looks again soon. */
static bool lacks_space(struct batch_writer *writer)
{
    if (!writer->full_disk) return false;
    uint64_t free_bytes = journal_measure_free_bytes(writer->journal);
    uint64_t needed = journal_needed_disk_bytes(writer->journal);
    if (needed < writer->wanted_bytes) needed = writer->wanted_bytes;
    if (free_bytes >= needed) return false;
    writer->barriers_fail = true;
    writer->reopen_at_us = clock_monotonic_us() + 2 * writer->pause_min_us;
    struct error error = {.code = STATUS_NO_SPACE};
    snprintf(error.text, sizeof error.text,
             "the disk is full: the store is opened again when %llu MB are free (now %llu MB)",
             (unsigned long long)(needed >> 20) + 1, (unsigned long long)(free_bytes >> 20));
    if (writer->readers_out) store_refuse(writer->store, STATUS_NO_SPACE, error.text);
    if (writer->health.code == STATUS_OK) tell_health(writer, &error);
    return true;
}

/* Whether the journal holds a FLUSHALL that is not in: then it is applied from there. */
static bool begin_at_flush(struct batch_writer *writer)
{
    struct error error = {.code = STATUS_OK};
    uint64_t limit = writer_range_limit(writer);
    if (limit <= writer->position || limit <= writer->flush_looked) return false;
    if (writer_skip_to_flush(writer, limit, &error) != STATUS_OK || !writer->flush_ahead)
        return false;
    writer->state = WRITER_AGAIN;
    writer->retry_at_us = 0;
    if (writer->readers_out && writer->barriers_fail)
        store_refuse(writer->store, writer->health.code, writer->health.text);
    return true;
}

void writer_try_reopen(struct batch_writer *writer)
{
    struct error error = {.code = STATUS_OK};
    if (begin_at_flush(writer) || lacks_space(writer)) return;
    uint64_t free_bytes = journal_measure_free_bytes(writer->journal);
    if (writer->keeps_handle) take_handle(writer, STATUS_AGAIN, writer->health.text);
    enum status status = reopen(writer, &error);
    int64_t now_us = clock_monotonic_us();
    if (status == STATUS_AGAIN) {
        writer->reopen_at_us = now_us + HANDLE_PAUSE_US;
        return;
    }
    if (status != STATUS_OK) {
        store_close_engine(writer->store, status, error.text);
        if (status == STATUS_NO_SPACE) note_full_disk(writer);
        grow_pause(writer);
        writer->barriers_fail = true;
        writer->state = is_final(status) ? WRITER_BROKEN : WRITER_CLOSED;
        writer->reopen_at_us = now_us + writer->pause_us;
        error.code = status;
        tell_health(writer, &error);
        return;
    }
    counter_add(&writer->metrics->reopens, 1);
    writer->opened_bytes = free_bytes;
    store_refuse(writer->store, STATUS_AGAIN, "the store is being brought up to date");
    writer->state = WRITER_AGAIN;
    if (!writer->recovery) journal_set_marked(writer->journal, writer->marked);
    writer_note_caught_up(writer);
}

void writer_note_caught_up(struct batch_writer *writer)
{
    uint64_t applied = atomic_load_explicit(&writer->applied, memory_order_relaxed);
    if (writer->state != WRITER_AGAIN || writer->position < applied) return;
    if (writer->readers_out) {
        store_publish(writer->store);
        writer->readers_out = false;
    }
    if (writer_is_again(writer)) return;
    writer->state = WRITER_OPEN;
    writer->opened_at_us = clock_monotonic_us(); /* the pause is what it is until this has lasted */
    writer->barriers_fail = false;
    writer->full_disk = writer->keeps_handle = false;
    counter_add(&writer->metrics->stall_us,
                (uint64_t)(clock_monotonic_us() - writer->closed_since_us));
    writer->closed_since_us = 0;
    gauge_set(&writer->metrics->closed, 0);
    tell_health(writer, &(struct error){.code = STATUS_OK});
}
