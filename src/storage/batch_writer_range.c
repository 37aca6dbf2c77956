/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One range, from the journal into LevelDB. On the batch writer's thread, which waits here until
 * all batches of the range are back; their work is done by jobs. A range counts only when its
 * marker is written: until then nothing of it is remembered (rule 9). */
#include "storage/batch_writer_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"

enum { FULL_DISK_ITEM_BYTES = 64 << 20, KEEP_BATCH_BYTES = 2 << 20 };

/* What the journal may hold, so that a start applies it in 10 seconds. A running server shares the
 * processors with its clients and takes small ranges: a start is half as quick again at least. */
enum {
    START_SECONDS = 10,
    RUN_SECONDS = 15,
    JOURNAL_MIN_BYTES = 64 << 20,
    TELLING_BYTES = 1 << 20
};
static const uint64_t journal_max_bytes = (uint64_t)2 << 30;

static int64_t option_now(const int64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED); /* CONFIG SET writes it on the loop */
}

bool writer_is_again(const struct batch_writer *writer)
{
    return writer->position < writer->again_up_to;
}

/* --- collecting --- */

/* After a full disk only the memory that its items take ends a range: deletes that came later take
 * away what came before them (rule 18). */
static bool is_full(const struct batch_writer *writer)
{
    uint64_t bytes = (uint64_t)option_now(&writer->options->batch_writer_range_bytes);
    if (writer->recovery && bytes < writer->recovery->range_bytes)
        bytes = writer->recovery->range_bytes;
    if (!writer->full_disk) return range_is_full(&writer->range, bytes, bytes);
    return range_is_full(&writer->range, UINT64_MAX,
                         bytes < FULL_DISK_ITEM_BYTES ? FULL_DISK_ITEM_BYTES : bytes);
}

static enum status collect(struct batch_writer *writer, uint64_t up_to, struct error *error)
{
    struct journal_record record;
    struct range *range = &writer->range;
    range_clear(range);
    if (!writer->reader)
        writer->reader = journal_reader_create(writer->journal, writer->position + 1);
    while (!is_full(writer)) {
        enum status status = journal_reader_next(writer->reader, up_to, &record, error);
        if (status == STATUS_NOT_FOUND) break;
        if (status == STATUS_OK)
            status = range_add(range, &record, writer->position, writer->claimed, error);
        if (status != STATUS_OK) return status;
    }
    return range->last_sequence > writer->position ? STATUS_OK : STATUS_NOT_FOUND;
}

/* --- batches --- */

static void batch_run(struct job *job)
{
    struct batch *batch = (struct batch *)job;
    struct engine *engine = batch->input.engine;
    int64_t start_us = clock_monotonic_us();
    batch->status = coalesce_run(&batch->input, &batch->output, &batch->error);
    if (batch->status == STATUS_OK && batch->output.batch.count > 0)
        batch->status = engine->operations->write(engine, &batch->output.batch, &batch->error);
    batch->run_us = clock_monotonic_us() - start_us;
}

static void remember_garbage(struct batch_writer *writer, const struct coalesce_output *output)
{
    size_t needed = writer->garbage_count + output->garbage_count;
    if (output->garbage_count == 0) return;
    if (needed > writer->garbage_capacity) {
        writer->garbage_capacity = needed * 2;
        writer->garbage =
            mem_realloc(writer->garbage, writer->garbage_capacity * sizeof *writer->garbage);
    }
    memcpy(writer->garbage + writer->garbage_count, output->garbage,
           output->garbage_count * sizeof *output->garbage);
    writer->garbage_count = needed;
}

/* The slot's rows are what the batch wrote. After a failure of another batch this is read anew
 * anyway. */
static void take_counts(struct batch_writer *writer, const struct batch *batch)
{
    const struct coalesce_output *output = &batch->output;
    if (batch->input.part != RANGE_KEYS) return;
    for (size_t i = 0; i < output->places; i++) {
        uint64_t db_id = writer->range.databases[output->first_place + i].db_id;
        counts_of(&writer->counts, db_id)->slots[batch->input.slot] = output->counts[i];
    }
}

static void batch_done(struct job *job)
{
    struct batch *batch = (struct batch *)job;
    struct batch_writer *writer = batch->writer;
    struct batch_writer_metrics *metrics = writer->metrics;
    writer->in_flight--;
    writer->positions_done += batch->input.end - batch->input.first;
    gauge_set(&metrics->in_flight, writer->in_flight);
    if (batch->status == STATUS_OK) {
        take_counts(writer, batch);
        remember_garbage(writer, &batch->output);
        counter_add(&metrics->batches, 1);
        counter_add(&metrics->operations_out, batch->output.records);
        counter_add(&metrics->bytes_out, batch->output.batch.bytes.size);
        counter_add(&metrics->old_lookups, batch->output.lookups);
        histogram_record_us(&metrics->batch_seconds, (uint64_t)batch->run_us);
    } else if (writer->range_status == STATUS_OK) {
        writer->range_status = batch->status;
        writer->range_error = batch->error;
    }
    if (batch->output.batch.bytes.capacity > KEEP_BATCH_BYTES)
        engine_batch_free(&batch->output.batch);
    batch->next_free = writer->free_batches;
    writer->free_batches = batch;
}

/* Start-up: how far we are; whoever asked for it may want to stop. */
static void tell_progress(struct batch_writer *writer)
{
    const struct batch_writer_recovery *recovery = writer->recovery;
    const struct range *range = &writer->range;
    size_t positions = range->lists[RANGE_KEYS].count + range->lists[RANGE_ELEMENTS].count;
    if (!recovery || !recovery->progress || positions == 0) return;
    double done = (double)(range->last_sequence - writer->position) *
                  (double)writer->positions_done / (double)positions;
    done += (double)(writer->position - writer->recovery_from);
    double share = done / (double)(writer->recovery_to - writer->recovery_from);
    if (!recovery->progress(recovery->context, share) && writer->range_status == STATUS_OK) {
        writer->range_status = error_set(&writer->range_error, STATUS_CLOSED,
                                         "stopped before the journal was applied");
    }
}

static void wait_for_letters(struct batch_writer *writer)
{
    mailbox_wait(writer->box, -1);
    mailbox_deliver(writer->box);
    tell_progress(writer);
}

static void submit_batch(struct batch_writer *writer, enum range_part part, size_t first,
                         size_t end)
{
    while (!writer->free_batches) wait_for_letters(writer);
    struct batch *batch = writer->free_batches;
    writer->free_batches = batch->next_free;
    batch->writer = writer;
    batch->input = (struct coalesce_input){.range = &writer->range,
                                           .part = part,
                                           .first = first,
                                           .end = end,
                                           .slot = (unsigned)(batch - writer->batches),
                                           .engine = store_writer_engine(writer->store),
                                           .again = writer_is_again(writer)};
    coalesce_begin(&batch->input, &batch->output);
    for (size_t i = 0; part == RANGE_KEYS && i < batch->output.places; i++) {
        uint64_t db_id = writer->range.databases[batch->output.first_place + i].db_id;
        batch->output.counts[i] =
            counts_of(&writer->counts, db_id)->slots[batch->input.slot];
    }
    batch->job = (struct job){.lane = JOB_BATCH,
                              .kind = JOB_KIND_BATCH,
                              .run = batch_run,
                              .done = batch_done,
                              .home = writer->box};
    writer->in_flight++;
    gauge_set(&writer->metrics->in_flight, writer->in_flight);
    enum status status = job_queue_submit(writer->jobs, &batch->job);
    ASSERT(status == STATUS_OK); /* this lane is never refused */
}

static enum status run_batches(struct batch_writer *writer, struct error *error)
{
    uint64_t bytes = (uint64_t)option_now(&writer->options->batch_writer_batch_bytes);
    writer->range_status = STATUS_OK;
    writer->garbage_count = 0;
    writer->positions_done = 0;
    range_sort(&writer->range);
    for (int part = RANGE_PARTS - 1; part >= 0; part--) {
        size_t count = writer->range.lists[part].count;
        for (size_t first = 0, end; first < count; first = end) {
            if (writer->range_status != STATUS_OK) break;
            if (writer_is_out_of_time(writer)) {
                writer->range_status = error_set(&writer->range_error, STATUS_CLOSED, "stopping");
                break;
            }
            end = range_batch_end(&writer->range, (enum range_part)part, first, bytes);
            submit_batch(writer, (enum range_part)part, first, end);
        }
    }
    while (writer->in_flight > 0) wait_for_letters(writer);
    if (writer->range_status != STATUS_OK && error) *error = writer->range_error;
    return writer->range_status;
}

/* --- the last batch: map, dropped databases, marker --- */

static void put_map(struct engine_batch *batch, struct buffer *name, uint32_t number,
                    uint64_t db_id)
{
    char value[8];
    put_le64(value, db_id);
    buffer_clear(name);
    record_database_name(name, number);
    engine_batch_put(batch, buffer_slice(name), slice_make(value, sizeof value));
}

/* A number that the configuration does not have any more keeps its record as it is. */
static void put_maps(struct batch_writer *writer, struct engine_batch *batch,
                     struct buffer *name, uint64_t *db_ids)
{
    for (size_t i = 0; i < writer->range.map_count; i++) {
        const struct operation *map = &writer->range.maps[i];
        if (map->number >= writer->databases) continue;
        if (map->kind == OPERATION_MAP_DATABASE) {
            db_ids[map->number] = map->db_id;
            put_map(batch, name, map->number, map->db_id);
            if (map->dropped_db_id == 0) continue;
            buffer_clear(name);
            record_garbage_name(name, RECORD_GARBAGE_DATABASE, map->dropped_db_id);
            engine_batch_put(batch, buffer_slice(name), slice_make("", 0));
        } else if (map->other_number < writer->databases) {
            uint64_t swap = db_ids[map->number];
            db_ids[map->number] = db_ids[map->other_number];
            db_ids[map->other_number] = swap;
            put_map(batch, name, map->number, db_ids[map->number]);
            put_map(batch, name, map->other_number, db_ids[map->other_number]);
        }
    }
}

static void add_pending(struct batch_writer *writer, uint64_t sequence, uint64_t bytes)
{
    struct engine *engine = store_writer_engine(writer->store);
    if (writer->pending_count == writer->pending_capacity) {
        writer->pending_capacity = writer->pending_capacity ? writer->pending_capacity * 2 : 16;
        writer->pending =
            mem_realloc(writer->pending, writer->pending_capacity * sizeof *writer->pending);
    }
    writer->pending[writer->pending_count++] = (struct pending_marker){
        sequence, engine->operations->write_generation(engine), bytes};
    writer->marker = sequence;
}

/* Writes the range's maps and the marker, in one batch. */
static enum status finish(struct batch_writer *writer, uint64_t sequence, uint64_t bytes,
                          struct error *error)
{
    struct engine *engine = store_writer_engine(writer->store);
    struct engine_batch batch = {0};
    struct buffer name = {0};
    char value[8];
    uint64_t *db_ids = mem_dup(writer->db_ids, writer->databases * sizeof *db_ids);
    put_maps(writer, &batch, &name, db_ids);
    put_le64(value, sequence);
    buffer_clear(&name);
    record_meta_name(&name, "marker");
    engine_batch_put(&batch, buffer_slice(&name), slice_make(value, sizeof value));
    enum status status = engine->operations->write(engine, &batch, error);
    if (status == STATUS_OK) {
        memcpy(writer->db_ids, db_ids, writer->databases * sizeof *db_ids);
        add_pending(writer, sequence, bytes);
    }
    mem_free(db_ids);
    engine_batch_free(&batch);
    buffer_free(&name);
    return status;
}

enum status writer_write_marker(struct batch_writer *writer, struct error *error)
{
    if (writer->marker >= writer->position) return STATUS_OK;
    range_clear(&writer->range);
    return finish(writer, writer->position, 0, error);
}

/* --- durable markers --- */

static void drop_pending(struct batch_writer *writer, size_t count)
{
    if (count == 0) return;
    writer->marked = writer->pending[count - 1].sequence;
    writer->pending_count -= count;
    memmove(writer->pending, writer->pending + count,
            writer->pending_count * sizeof *writer->pending);
    if (!writer->recovery) journal_set_marked(writer->journal, writer->marked);
}

void writer_note_durable(struct batch_writer *writer)
{
    struct engine *engine = store_writer_engine(writer->store);
    if (writer->pending_count == 0) return;
    uint64_t durable = engine->operations->durable_generation(engine);
    size_t count = 0;
    while (count < writer->pending_count && writer->pending[count].generation < durable) count++;
    drop_pending(writer, count);
}

enum status writer_checkpoint(struct batch_writer *writer, struct error *error)
{
    struct engine *engine = store_writer_engine(writer->store);
    writer_wait_reclaim(writer);
    enum status status = writer_write_marker(writer, error);
    if (status != STATUS_OK || writer->pending_count == 0) return status;
    status = engine->operations->flush(engine, error);
    if (status != STATUS_OK) return status;
    counter_add(&writer->metrics->checkpoints, 1);
    drop_pending(writer, writer->pending_count);
    return STATUS_OK;
}

void writer_wait_reclaim(struct batch_writer *writer)
{
    while (reclaim_is_running(writer->reclaim)) wait_for_letters(writer);
}

uint64_t writer_pending_bytes(const struct batch_writer *writer)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < writer->pending_count; i++) bytes += writer->pending[i].bytes;
    return bytes;
}

/* --- FLUSHALL --- */

static enum status replace_store(struct batch_writer *writer, struct error *error)
{
    const struct range *range = &writer->range;
    uint64_t *db_ids = mem_dup(writer->db_ids, writer->databases * sizeof *db_ids);
    for (size_t i = 0; i < range->flush_map_count; i++) {
        const struct operation *map = &range->flush_maps[i];
        if (map->number < writer->databases) db_ids[map->number] = map->db_id;
    }
    writer_wait_reclaim(writer);
    enum status status = store_replace(writer->store, db_ids, range->flush_sequence, error);
    if (status == STATUS_OK) {
        memcpy(writer->db_ids, db_ids, writer->databases * sizeof *db_ids);
        counts_forget_all(&writer->counts);
        reclaim_forget(writer->reclaim);
        sweep_forget(&writer->sweep);
        writer->pending_count = 0;
        writer->position = writer->marker = writer->marked = range->flush_sequence;
        /* The fresh store holds nothing of what comes now, whatever was tried on the old one. */
        if (writer->again_up_to > writer->position) writer->again_up_to = writer->position;
    }
    mem_free(db_ids);
    return status;
}

/* --- telling the loop --- */

struct applied_letter {
    struct letter letter;
    struct batch_writer_events events;
    uint64_t sequence;
    size_t count;
    struct settlement settlements[];
};

static void applied_deliver(struct letter *letter)
{
    struct applied_letter *applied = (struct applied_letter *)letter;
    applied->events.on_applied(applied->events.context, applied->sequence, applied->settlements,
                               applied->count);
    mem_free(applied);
}

/* Exact by construction: the sum of the rows now, less what the loop knew, less what it has already
 * counted by itself since. */
static struct settlement settle(struct batch_writer *writer, const struct range_database *database)
{
    struct count_database *counted = counts_of(&writer->counts, database->db_id);
    struct count_pair now = counts_sum(counted);
    struct settlement settlement = {
        .db_id = database->db_id,
        .keys = now.keys - counted->reported.keys - database->claimed_keys,
        .expiring = now.expiring - counted->reported.expiring - database->claimed_expiring,
        .unknown = database->unknown,
        .total_keys = now.keys,
        .total_expiring = now.expiring};
    counted->reported = now;
    return settlement;
}

static void report(struct batch_writer *writer)
{
    const struct range *range = &writer->range;
    size_t count = range->database_count;
    struct applied_letter *applied =
        mem_alloc(sizeof *applied + count * sizeof applied->settlements[0]);
    applied->letter.deliver = applied_deliver;
    applied->events = writer->events;
    applied->sequence = writer->position;
    applied->count = count;
    for (size_t i = 0; i < count; i++)
        applied->settlements[i] = settle(writer, &range->databases[i]);
    writer->claimed = writer->position;
    mailbox_put(writer->loop, &applied->letter);
}

static void publish_applied(struct batch_writer *writer)
{
    atomic_store_explicit(&writer->applied, writer->position, memory_order_release);
    gauge_set(&writer->metrics->applied_sequence, (int64_t)writer->position);
}

/* --- the range --- */

static void hand_garbage_on(struct batch_writer *writer)
{
    const struct range *range = &writer->range;
    for (size_t i = 0; i < writer->garbage_count; i++)
        reclaim_add(writer->reclaim, RECORD_GARBAGE_OBJECT, writer->garbage[i]);
    writer->garbage_count = 0;
    for (size_t i = 0; i < range->map_count; i++) {
        const struct operation *map = &range->maps[i];
        if (map->kind == OPERATION_MAP_DATABASE && map->dropped_db_id != 0 &&
            map->number < writer->databases)
            reclaim_add(writer->reclaim, RECORD_GARBAGE_DATABASE, map->dropped_db_id);
    }
}

/* journal-max-size 0. It sinks by less than a range frees, so that writers who fill the journal to its
 * limit are not paused for longer than a range. */
static void set_journal_limit(struct batch_writer *writer)
{
    double wanted = writer->bytes_per_second * (writer->recovery ? START_SECONDS : RUN_SECONDS);
    uint64_t limit = journal_max_bytes, sinks = writer->range.bytes / 2;
    if (wanted < (double)limit) limit = (uint64_t)wanted;
    if (limit < JOURNAL_MIN_BYTES) limit = JOURNAL_MIN_BYTES;
    if (!writer->recovery && limit + sinks < writer->journal_limit)
        limit = writer->journal_limit - sinks;
    writer->journal_limit = limit;
    journal_set_automatic_max(writer->journal, limit);
}

/* Short ranges say little: what they leave to do, a compaction, comes later. */
static void note_rate(struct batch_writer *writer, int64_t took_us)
{
    if (writer->range.bytes < TELLING_BYTES || took_us <= 0) return;
    double rate = (double)writer->range.bytes * 1e6 / (double)took_us;
    double before = writer->bytes_per_second;
    writer->bytes_per_second = before > 0 ? before * 0.9 + rate * 0.1 : rate;
    set_journal_limit(writer);
}

static void count_range(struct batch_writer *writer, int64_t start_us)
{
    struct batch_writer_metrics *metrics = writer->metrics;
    counter_add(&metrics->ranges, 1);
    counter_add(&metrics->operations_in, writer->range.operations);
    counter_add(&metrics->bytes_in, writer->range.bytes);
    int64_t took_us = clock_monotonic_us() - start_us;
    histogram_record_us(&metrics->range_seconds, (uint64_t)took_us);
    note_rate(writer, took_us);
}

static void arrive(struct batch_writer *writer, uint64_t last)
{
    writer->position = last;
    if (last <= atomic_load_explicit(&writer->applied, memory_order_relaxed)) return;
    publish_applied(writer);
    if (writer->recovery) writer->claimed = last;
    else report(writer);
}

enum status writer_run_range(struct batch_writer *writer, uint64_t up_to, struct error *error)
{
    int64_t start_us = clock_monotonic_us();
    enum status status = collect(writer, up_to, error);
    if (status == STATUS_NOT_FOUND) return status;
    if (status != STATUS_OK) goto failed;
    if (writer->range.has_flush) {
        status = replace_store(writer, error);
        if (status != STATUS_OK) goto failed;
    }
    uint64_t last = writer->range.last_sequence;
    status = run_batches(writer, error);
    if (status == STATUS_OK) status = finish(writer, last, writer->range.bytes, error);
    if (status != STATUS_OK) goto failed;
    hand_garbage_on(writer);
    count_range(writer, start_us);
    if (writer->range.has_flush && !writer->recovery)
        journal_set_marked(writer->journal, writer->marked);
    arrive(writer, last);
    range_clear(&writer->range);
    writer_note_need(writer);
    return STATUS_OK;

failed:
    /* Part of it may be in. */
    if (writer->range.last_sequence > writer->again_up_to)
        writer->again_up_to = writer->range.last_sequence;
    range_clear(&writer->range);
    return status;
}

uint64_t batch_writer_database_id(const struct batch_writer *writer, uint32_t number)
{
    ASSERT(number < writer->databases);
    return writer->db_ids[number];
}
