/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The expiry cycle: deletes keys whose time has come without anybody asking for them. A job walks the
 * expiry index in time order and proposes keys; the loop decides, as for any other write. Nothing runs
 * while no expiry is due: the cycle knows the earliest time that it has to look at.
 *
 * A proposal is safe without reading the key again: what the job saw was in LevelDB at a time when
 * everything up to `applied` was applied. If the key was written since, its entry is still pinned in
 * the cache unless more has been applied meanwhile; in that case the proposals are dropped and the
 * cycle looks again. Loop thread, but for the job's own part. */
#include "storage/keyspace_internal.h"

enum { CYCLE_MAX_KEYS = 512, COMMIT_MAX_KEYS = 128 };

struct proposal {
    uint64_t db_id;
    int64_t expire_at_ms;
    uint64_t object_id;
    struct slice key; /* in bytes */
    size_t offset;
};

struct expiry_cycle {
    struct job job;
    struct keyspace *keyspace;
    struct write_set *writes;
    struct waiter waiter;
    bool under_way;
    int64_t next_ms;       /* earliest expiry that may be due; INT64_MAX: none known */
    uint64_t noted;        /* last sequence that brought an expiry: in the index once applied */
    int64_t looked_ms;     /* when it last ran */
    uint64_t appended, applied; /* when the job was sent */
    /* the job's */
    int64_t now_ms, later_ms; /* later_ms: the first expiry that is not yet due */
    enum status status;
    struct proposal found[CYCLE_MAX_KEYS];
    size_t count;
    struct buffer bytes;
};

static void never_woken(struct waiter *waiter)
{
    (void)waiter;
}

struct expiry_cycle *expiry_cycle_create(struct keyspace *keyspace)
{
    struct expiry_cycle *cycle = mem_calloc(1, sizeof *cycle);
    cycle->keyspace = keyspace;
    cycle->writes = write_set_create();
    waiter_init(&cycle->waiter, never_woken);
    for (unsigned i = 0; i < keyspace->database_count; i++)
        if (keyspace->databases[i].expiring) break;
        else if (i + 1 == keyspace->database_count) cycle->next_ms = INT64_MAX;
    return cycle;
}

void expiry_cycle_destroy(struct expiry_cycle *cycle)
{
    ASSERT(!cycle->under_way);
    waiter_release(cycle->keyspace, &cycle->waiter);
    write_set_destroy(cycle->writes);
    buffer_free(&cycle->bytes);
    mem_free(cycle);
}

static void look_by(struct expiry_cycle *cycle, int64_t time_ms)
{
    if (time_ms < cycle->next_ms) cycle->next_ms = time_ms;
}

void expiry_cycle_note(struct expiry_cycle *cycle, int64_t expire_at_ms, uint64_t sequence)
{
    look_by(cycle, expire_at_ms);
    cycle->noted = sequence;
}

/* --- on a worker --- */

/* The index only points: the key's record says whether it still expires then. */
static void propose(struct expiry_cycle *cycle, struct engine *engine, int64_t expire_at_ms,
                    uint64_t db_id, struct slice key)
{
    struct buffer name = {0}, value = {0};
    struct key_record record;
    record_key_name(&name, db_id, key);
    if (engine->operations->get(engine, NULL, buffer_slice(&name), &value, NULL) == STATUS_OK &&
        key_record_decode(buffer_slice(&value), &record) == STATUS_OK &&
        record.expire_at_ms == expire_at_ms) {
        struct proposal *proposal = &cycle->found[cycle->count++];
        proposal->db_id = db_id;
        proposal->expire_at_ms = expire_at_ms;
        proposal->object_id = record.has_object ? record.object.object_id : 0;
        proposal->offset = cycle->bytes.size;
        proposal->key.size = key.size;
        buffer_append_slice(&cycle->bytes, key);
    }
    buffer_free(&name);
    buffer_free(&value);
}

static void expiry_run(struct job *job)
{
    struct expiry_cycle *cycle = (struct expiry_cycle *)(void *)job;
    struct engine *engine;
    cycle->status = store_acquire(cycle->keyspace->parts.store, &engine, NULL);
    if (cycle->status != STATUS_OK) return;
    const struct engine_operations *operations = engine->operations;
    struct engine_iterator *iterator = operations->iterate(engine, NULL, true);
    char first = RECORD_EXPIRY;
    cycle->later_ms = INT64_MAX;
    for (operations->iterator_seek(iterator, slice_make(&first, 1));
         operations->iterator_valid(iterator); operations->iterator_next(iterator)) {
        int64_t expire_at_ms;
        uint64_t db_id;
        struct slice key;
        if (!record_parse_expiry_name(operations->iterator_key(iterator), &expire_at_ms, &db_id,
                                      &key))
            break;
        if (expire_at_ms > cycle->now_ms || cycle->count == CYCLE_MAX_KEYS) {
            cycle->later_ms = expire_at_ms;
            break;
        }
        propose(cycle, engine, expire_at_ms, db_id, key);
    }
    cycle->status = operations->iterator_status(iterator, NULL);
    operations->iterator_destroy(iterator);
    engine_unref(engine);
}

/* --- on the loop --- */

static void add_delete(struct expiry_cycle *cycle, struct access *access, struct proposal *proposal)
{
    struct keyspace *keyspace = cycle->keyspace;
    const struct database *database = keyspace_database_by_id(keyspace, proposal->db_id);
    if (!database) return;
    proposal->key.data = cycle->bytes.data + proposal->offset;
    uint64_t hash = hash_key(proposal->key.data, proposal->key.size);
    const struct entry *entry =
        cache_find(keyspace->cache, database->table, proposal->key, hash);
    if (entry && (entry->state != ENTRY_PRESENT || !entry->has_expiry ||
                  entry_expire_at_ms(entry) > cycle->now_ms))
        return;
    struct pending pending = {.table = database->table, .hash = hash, .expires = true};
    pending.operation.kind = OPERATION_DELETE;
    pending.operation.db_id = database->db_id;
    pending.operation.key = proposal->key;
    access_add(access, &pending);
}

/* Returns how many proposals were dealt with; fewer than there are when the journal has no room. */
static size_t delete_proposed(struct expiry_cycle *cycle)
{
    size_t done = 0;
    while (done < cycle->count) {
        struct access access;
        access_begin(&access, cycle->keyspace, cycle->writes, &cycle->waiter, cycle->now_ms);
        size_t upto = done + COMMIT_MAX_KEYS < cycle->count ? done + COMMIT_MAX_KEYS : cycle->count;
        for (size_t i = done; i < upto; i++) add_delete(cycle, &access, &cycle->found[i]);
        size_t deletes = write_set_count(cycle->writes);
        enum status status = keyspace_commit(&access, true, NULL);
        waiter_release(cycle->keyspace, &cycle->waiter);
        if (status != STATUS_OK) {
            access_abandon(&access);
            return done;
        }
        counter_add(&cycle->keyspace->metrics->expired_by_cycle, deletes);
        done = upto;
    }
    return done;
}

static void expiry_done(struct job *job)
{
    struct expiry_cycle *cycle = (struct expiry_cycle *)(void *)job;
    struct keyspace *keyspace = cycle->keyspace;
    cycle->under_way = false;
    int64_t next_ms = cycle->status == STATUS_OK ? cycle->later_ms : cycle->now_ms;
    if (cycle->status == STATUS_OK && cycle->count) {
        bool is_fresh = keyspace->applied <= cycle->appended;
        if (!is_fresh || delete_proposed(cycle) < cycle->count) next_ms = cycle->now_ms;
    }
    look_by(cycle, next_ms);
    /* The index did not have those yet: which of them are due is seen next time. */
    if (cycle->noted > cycle->applied) look_by(cycle, cycle->now_ms);
    if (cycle->bytes.capacity > 1 << 20)
        buffer_free(&cycle->bytes);
}

void expiry_cycle_run(struct keyspace *keyspace, int64_t now_ms)
{
    struct expiry_cycle *cycle = keyspace->expiry;
    if (cycle->under_way || now_ms < cycle->next_ms) return;
    if (now_ms - cycle->looked_ms < keyspace->options->expire_cycle_ms && now_ms > cycle->looked_ms)
        return;
    cycle->looked_ms = now_ms;
    cycle->under_way = true;
    cycle->now_ms = now_ms;
    cycle->next_ms = INT64_MAX;
    cycle->appended = journal_appended_sequence(keyspace->parts.journal);
    cycle->applied = keyspace->applied;
    cycle->count = 0;
    buffer_clear(&cycle->bytes);
    cycle->job.lane = JOB_BACKGROUND;
    cycle->job.kind = JOB_KIND_EXPIRY;
    cycle->job.run = expiry_run;
    cycle->job.done = expiry_done;
    cycle->job.home = keyspace->parts.loop;
    if (job_queue_submit(keyspace->parts.jobs, &cycle->job) != STATUS_OK) {
        cycle->under_way = false;
        cycle->next_ms = now_ms;
    }
}
