/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the batch writer does after a failure (rule 13), on its thread. The store is closed, opened
 * again and applied again from its marker: first up to what readers had seen, which lets them in
 * again, then, after a pause that grows with each failure, what had failed. */
#include "storage/batch_writer_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>

enum { HANDLE_PAUSE_US = 10 * 1000 };

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
    return STATUS_OK;
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
    struct journal_reader *reader = journal_reader_create(writer->journal, writer->position + 1);
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
    }
    return STATUS_OK;
}

/* --- closing --- */

static void close_store(struct batch_writer *writer, enum status status, const char *text)
{
    writer_wait_reclaim(writer);
    reclaim_forget(writer->reclaim);
    uint64_t applied = atomic_load_explicit(&writer->applied, memory_order_relaxed);
    if (writer->again_up_to < applied) writer->again_up_to = applied;
    if (writer->again_up_to < writer->position) writer->again_up_to = writer->position;
    store_close_engine(writer->store, status, text);
    writer->readers_out = true;
    writer->pending_count = 0;
    if (!writer->closed_since_us) writer->closed_since_us = clock_monotonic_us();
    gauge_set(&writer->metrics->closed, 1);
}

static bool is_final(enum status status)
{
    return status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED;
}

static void grow_pause(struct batch_writer *writer)
{
    writer->barriers_fail = writer->pause_us > 0;
    writer->pause_us = writer->pause_us ? writer->pause_us * 2 : writer->pause_min_us;
    if (writer->pause_us > writer->pause_max_us) writer->pause_us = writer->pause_max_us;
}

void writer_fail(struct batch_writer *writer, enum status status, const struct error *error)
{
    struct error told = *error;
    int64_t now_us = clock_monotonic_us();
    if (writer_is_out_of_time(writer)) return; /* it was cancelled */
    told.code = status;
    if (told.text[0] == 0) snprintf(told.text, sizeof told.text, "%s", status_text(status));
    grow_pause(writer);
    counter_add(&writer->metrics->retries, 1);
    if (status == STATUS_NO_SPACE) {
        writer->full_disk = true;
        journal_give_up_reserve(writer->journal);
    }
    if (is_final(status)) {
        close_store(writer, status, told.text);
        writer->state = WRITER_BROKEN;
    } else {
        /* Readers wait: soon they are let in, or get the error. */
        close_store(writer, STATUS_AGAIN, told.text);
        writer->state = WRITER_CLOSED;
        writer->reopen_at_us = now_us + writer->pause_min_us;
        writer->retry_at_us = now_us + writer->pause_us;
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

void writer_try_reopen(struct batch_writer *writer)
{
    struct error error = {.code = STATUS_OK};
    enum status status = reopen(writer, &error);
    int64_t now_us = clock_monotonic_us();
    if (status == STATUS_AGAIN) {
        writer->reopen_at_us = now_us + HANDLE_PAUSE_US;
        return;
    }
    if (status != STATUS_OK) {
        store_close_engine(writer->store, status, error.text);
        grow_pause(writer);
        writer->barriers_fail = true;
        writer->state = is_final(status) ? WRITER_BROKEN : WRITER_CLOSED;
        writer->reopen_at_us = now_us + writer->pause_us;
        error.code = status;
        tell_health(writer, &error);
        return;
    }
    counter_add(&writer->metrics->reopens, 1);
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
    writer->pause_us = 0;
    writer->barriers_fail = false;
    writer->full_disk = false;
    counter_add(&writer->metrics->stall_us,
                (uint64_t)(clock_monotonic_us() - writer->closed_since_us));
    writer->closed_since_us = 0;
    gauge_set(&writer->metrics->closed, 0);
    tell_health(writer, &(struct error){.code = STATUS_OK});
}
