/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reclaim. All but step_run is on the batch writer's thread; step_run is on a worker and touches the
 * step alone, which the writer leaves alone while it runs.
 *
 * What is to do is kept in a queue of bounded length; when more is added, or the store was opened, the
 * queue is not the whole truth (`incomplete`) and is filled from the G records once it is empty. */
#include "storage/reclaim.h"

#include "base/check.h"
#include "base/memory.h"
#include "storage/record.h"

enum {
    QUEUE_MAX = 65536,
    STEP_RECORDS = 1000,
    PIECE_BYTES = 32 << 20,       /* compacted at a time */
    PIECE_MIN_BYTES = 1 << 20     /* less is left to LevelDB */
};

struct garbage {
    char kind;
    uint64_t id;
};

struct step {
    struct job job;
    struct reclaim *reclaim;
    struct engine *engine;
    struct garbage item;
    struct buffer cursor; /* name of the next record to look at; empty: from the start */
    struct engine_batch batch;
    struct garbage *found; /* objects of a database's keys */
    size_t found_count, found_capacity;
    uint64_t deleted, bytes;
    bool finished; /* the G record is deleted too */
    enum status status;
    struct error error;
};

struct reclaim {
    struct job_queue *jobs;
    struct mailbox *home;
    void (*on_database_gone)(void *context, uint64_t db_id);
    void *context;
    struct garbage *queue; /* a ring */
    size_t queue_first, queue_count, queue_capacity;
    bool incomplete;
    bool running, begun; /* begun: the step's item is not finished */
    struct step step;
    enum status failure;
    struct error failure_error;
    struct buffer piece_from; /* emptied since here, up to the cursor */
    uint64_t piece_bytes;
    bool piece_ended;
    struct buffer piece_to;
    uint64_t objects, databases, deleted;
};

struct reclaim *reclaim_create(struct job_queue *jobs, struct mailbox *home,
                               void (*on_database_gone)(void *context, uint64_t db_id),
                               void *context)
{
    struct reclaim *reclaim = mem_calloc(1, sizeof *reclaim);
    reclaim->jobs = jobs;
    reclaim->home = home;
    reclaim->on_database_gone = on_database_gone;
    reclaim->context = context;
    reclaim->incomplete = true;
    return reclaim;
}

void reclaim_destroy(struct reclaim *reclaim)
{
    if (!reclaim) return;
    ASSERT(!reclaim->running);
    buffer_free(&reclaim->step.cursor);
    engine_batch_free(&reclaim->step.batch);
    mem_free(reclaim->step.found);
    buffer_free(&reclaim->piece_from);
    buffer_free(&reclaim->piece_to);
    mem_free(reclaim->queue);
    mem_free(reclaim);
}

/* --- the queue --- */

static void queue_push(struct reclaim *reclaim, struct garbage item)
{
    if (reclaim->queue_count == reclaim->queue_capacity) {
        size_t capacity = reclaim->queue_capacity ? reclaim->queue_capacity * 2 : 64;
        struct garbage *queue = mem_alloc(capacity * sizeof *queue);
        for (size_t i = 0; i < reclaim->queue_count; i++)
            queue[i] = reclaim->queue[(reclaim->queue_first + i) % reclaim->queue_capacity];
        mem_free(reclaim->queue);
        reclaim->queue = queue;
        reclaim->queue_first = 0;
        reclaim->queue_capacity = capacity;
    }
    size_t place = (reclaim->queue_first + reclaim->queue_count++) % reclaim->queue_capacity;
    reclaim->queue[place] = item;
}

static struct garbage queue_pop(struct reclaim *reclaim)
{
    struct garbage item = reclaim->queue[reclaim->queue_first];
    reclaim->queue_first = (reclaim->queue_first + 1) % reclaim->queue_capacity;
    reclaim->queue_count--;
    return item;
}

static void count_item(struct reclaim *reclaim, char kind, bool more)
{
    uint64_t *left =
        kind == RECORD_GARBAGE_DATABASE ? &reclaim->databases : &reclaim->objects;
    if (more) ++*left;
    else if (*left > 0) --*left;
}

void reclaim_add(struct reclaim *reclaim, char kind, uint64_t id)
{
    count_item(reclaim, kind, true);
    if (reclaim->incomplete) return; /* will be found */
    if (reclaim->queue_count >= QUEUE_MAX) {
        reclaim->incomplete = true;
        return;
    }
    queue_push(reclaim, (struct garbage){kind, id});
}

static void forget_piece(struct reclaim *reclaim)
{
    buffer_clear(&reclaim->piece_from);
    buffer_clear(&reclaim->piece_to);
    reclaim->piece_bytes = 0;
    reclaim->piece_ended = false;
}

void reclaim_forget(struct reclaim *reclaim)
{
    ASSERT(!reclaim->running);
    reclaim->queue_count = 0;
    reclaim->incomplete = true;
    reclaim->begun = false;
    reclaim->objects = reclaim->databases = 0;
    reclaim->failure = STATUS_OK;
    forget_piece(reclaim);
}

/* Fills the empty queue from the G records; ends with the queue full, or complete. */
static enum status find_garbage(struct reclaim *reclaim, struct engine *engine,
                                struct error *error)
{
    const struct engine_operations *operations = engine->operations;
    struct engine_iterator *iterator = operations->iterate(engine, NULL, false);
    struct garbage item;
    enum status status = STATUS_OK;
    char from = RECORD_GARBAGE;

    reclaim->objects = reclaim->databases = 0;
    operations->iterator_seek(iterator, slice_make(&from, 1));
    while (reclaim->queue_count < QUEUE_MAX && operations->iterator_valid(iterator)) {
        struct slice name = operations->iterator_key(iterator);
        if (name.size == 0 || name.data[0] != RECORD_GARBAGE) break;
        if (record_parse_garbage_name(name, &item.kind, &item.id)) {
            queue_push(reclaim, item);
            count_item(reclaim, item.kind, true);
        }
        operations->iterator_next(iterator);
    }
    status = operations->iterator_status(iterator, error);
    operations->iterator_destroy(iterator);
    if (status == STATUS_OK) reclaim->incomplete = reclaim->queue_count >= QUEUE_MAX;
    return status;
}

/* --- a step, on a worker --- */

static void step_found(struct step *step, uint64_t object_id)
{
    if (step->found_count == step->found_capacity) {
        step->found_capacity = step->found_capacity ? step->found_capacity * 2 : 64;
        step->found = mem_realloc(step->found, step->found_capacity * sizeof *step->found);
    }
    step->found[step->found_count++] = (struct garbage){RECORD_GARBAGE_OBJECT, object_id};
}

/* A key record goes with its expiry record; its object becomes garbage of its own. */
static enum status step_take_key(struct step *step, struct slice name, struct slice value)
{
    struct key_record record;
    struct buffer other = {0};
    uint64_t db_id;
    struct slice key;
    if (!record_parse_key_name(name, &db_id, &key)) return STATUS_CORRUPT;
    enum status status = key_record_decode(value, &record);
    if (status != STATUS_OK) return status;
    if (record.expire_at_ms != -1) {
        record_expiry_name(&other, record.expire_at_ms, db_id, key);
        engine_batch_delete(&step->batch, buffer_slice(&other));
    }
    if (record.has_object) {
        buffer_clear(&other);
        record_garbage_name(&other, RECORD_GARBAGE_OBJECT, record.object.object_id);
        engine_batch_put(&step->batch, buffer_slice(&other), slice_make("", 0));
        step_found(step, record.object.object_id);
    }
    buffer_free(&other);
    return STATUS_OK;
}

static bool is_of(const struct step *step, struct slice name)
{
    uint64_t id;
    struct slice rest;
    bool parsed = step->item.kind == RECORD_GARBAGE_DATABASE
                      ? record_parse_key_name(name, &id, &rest)
                      : record_parse_element_name(name, &id, &rest);
    return parsed && id == step->item.id;
}

static void step_first_name(const struct step *step, struct buffer *out)
{
    if (step->item.kind == RECORD_GARBAGE_DATABASE)
        record_key_name(out, step->item.id, slice_make("", 0));
    else record_element_name(out, step->item.id, slice_make("", 0));
}

/* Deletes up to STEP_RECORDS from the cursor on; true in `*at_end` when none is left. */
static enum status step_collect(struct step *step, bool *at_end)
{
    const struct engine_operations *operations = step->engine->operations;
    struct engine_iterator *iterator = operations->iterate(step->engine, NULL, false);
    enum status status = STATUS_OK;
    if (step->cursor.size == 0) step_first_name(step, &step->cursor);
    operations->iterator_seek(iterator, buffer_slice(&step->cursor));
    while (step->deleted < STEP_RECORDS && operations->iterator_valid(iterator)) {
        struct slice name = operations->iterator_key(iterator);
        struct slice value = operations->iterator_value(iterator);
        if (!is_of(step, name)) break;
        if (step->item.kind == RECORD_GARBAGE_DATABASE) {
            status = step_take_key(step, name, value);
            if (status != STATUS_OK) {
                error_set(&step->error, status, "a key record of a flushed database is damaged");
                break;
            }
        }
        engine_batch_delete(&step->batch, name);
        step->deleted++;
        step->bytes += name.size + value.size;
        operations->iterator_next(iterator);
    }
    if (status == STATUS_OK) status = operations->iterator_status(iterator, &step->error);
    if (status == STATUS_OK) {
        *at_end = !operations->iterator_valid(iterator) ||
                  !is_of(step, operations->iterator_key(iterator));
        if (!*at_end) {
            buffer_clear(&step->cursor);
            buffer_append_slice(&step->cursor, operations->iterator_key(iterator));
        }
    }
    operations->iterator_destroy(iterator);
    return status;
}

static void step_run(struct job *job)
{
    struct step *step = (struct step *)job;
    bool at_end = false;
    engine_batch_clear(&step->batch);
    step->status = step_collect(step, &at_end);
    if (step->status == STATUS_OK && at_end) {
        struct buffer name = {0};
        record_garbage_name(&name, step->item.kind, step->item.id);
        if (step->item.kind == RECORD_GARBAGE_DATABASE)
            counts_delete_rows(&step->batch, step->item.id);
        engine_batch_delete(&step->batch, buffer_slice(&name));
        buffer_free(&name);
        step->finished = true;
    }
    if (step->status == STATUS_OK)
        step->status = step->engine->operations->write(step->engine, &step->batch, &step->error);
    engine_unref(step->engine);
    step->engine = NULL;
}

/* --- back on the writer's thread --- */

static void note_piece(struct reclaim *reclaim)
{
    struct step *step = &reclaim->step;
    reclaim->piece_bytes += step->bytes;
    bool ended = step->finished ? reclaim->piece_bytes >= PIECE_MIN_BYTES
                                : reclaim->piece_bytes >= PIECE_BYTES;
    if (ended) {
        reclaim->piece_ended = true;
        buffer_clear(&reclaim->piece_to);
        if (step->finished && step->item.id != UINT64_MAX) {
            struct step after = {.item = {step->item.kind, step->item.id + 1}};
            step_first_name(&after, &reclaim->piece_to);
        } else {
            buffer_append_slice(&reclaim->piece_to, buffer_slice(&step->cursor));
        }
    } else if (step->finished) {
        forget_piece(reclaim);
    }
}

static void step_done(struct job *job)
{
    struct step *step = (struct step *)job;
    struct reclaim *reclaim = step->reclaim;
    reclaim->running = false;
    if (step->status != STATUS_OK) {
        reclaim->failure = step->status;
        reclaim->failure_error = step->error;
        return;
    }
    reclaim->deleted += step->deleted;
    for (size_t i = 0; i < step->found_count; i++)
        reclaim_add(reclaim, RECORD_GARBAGE_OBJECT, step->found[i].id);
    note_piece(reclaim);
    if (!step->finished) return;
    reclaim->begun = false;
    count_item(reclaim, step->item.kind, false);
    if (step->item.kind == RECORD_GARBAGE_DATABASE)
        reclaim->on_database_gone(reclaim->context, step->item.id);
}

static void begin_item(struct reclaim *reclaim)
{
    struct step *step = &reclaim->step;
    step->item = queue_pop(reclaim);
    buffer_clear(&step->cursor);
    forget_piece(reclaim);
    step_first_name(step, &reclaim->piece_from);
    reclaim->begun = true;
}

enum status reclaim_start_step(struct reclaim *reclaim, struct engine *engine,
                               struct error *error)
{
    struct step *step = &reclaim->step;
    if (reclaim->running || reclaim->piece_ended || reclaim->failure != STATUS_OK)
        return STATUS_OK;
    if (!reclaim->begun && reclaim->queue_count == 0 && reclaim->incomplete) {
        enum status status = find_garbage(reclaim, engine, error);
        if (status != STATUS_OK) return status;
    }
    if (!reclaim->begun) {
        if (reclaim->queue_count == 0) return STATUS_OK;
        begin_item(reclaim);
    }
    step->job = (struct job){.lane = JOB_BACKGROUND,
                             .kind = JOB_KIND_RECLAIM,
                             .run = step_run,
                             .done = step_done,
                             .home = reclaim->home};
    step->reclaim = reclaim;
    step->engine = engine_ref(engine);
    step->found_count = 0;
    step->deleted = step->bytes = 0;
    step->finished = false;
    reclaim->running = true;
    enum status status = job_queue_submit(reclaim->jobs, &step->job);
    if (status != STATUS_OK) {
        reclaim->running = false;
        engine_unref(engine);
        return error_set(error, status, "the job queue is full");
    }
    return STATUS_OK;
}

bool reclaim_is_running(const struct reclaim *reclaim)
{
    return reclaim->running;
}

enum status reclaim_take_failure(struct reclaim *reclaim, struct error *error)
{
    enum status status = reclaim->failure;
    if (status != STATUS_OK && error) *error = reclaim->failure_error;
    reclaim->failure = STATUS_OK;
    return status;
}

bool reclaim_wants_compaction(const struct reclaim *reclaim)
{
    return reclaim->piece_ended && !reclaim->running;
}

void reclaim_compact(struct reclaim *reclaim, struct engine *engine)
{
    struct buffer next = {0};
    ASSERT(reclaim_wants_compaction(reclaim));
    engine->operations->compact(engine, buffer_slice(&reclaim->piece_from),
                                buffer_slice(&reclaim->piece_to));
    buffer_append_slice(&next, buffer_slice(&reclaim->piece_to));
    forget_piece(reclaim);
    buffer_append_slice(&reclaim->piece_from, buffer_slice(&next));
    buffer_free(&next);
}

uint64_t reclaim_objects_left(const struct reclaim *reclaim)
{
    return reclaim->objects;
}

uint64_t reclaim_databases_left(const struct reclaim *reclaim)
{
    return reclaim->databases;
}

uint64_t reclaim_deleted_records(const struct reclaim *reclaim)
{
    return reclaim->deleted;
}
