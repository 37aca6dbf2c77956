/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Loads: records that a run needs and the cache does not have. One load per record however many
 * wait for it. While it is under way the cache holds a placeholder whose value names the load; a
 * write that replaces the placeholder cancels the load, whose result is then dropped, and the waiters
 * run again (rule 7). The reading is done by a job worker; everything else is the loop's. */
#include "storage/keyspace_internal.h"

#include "base/clock.h"

struct load {
    struct keyspace_job base;  /* first */
    struct list_node node;     /* in keyspace->loads */
    struct list waiters;       /* of wait_link */
    uint64_t epoch;            /* of the element table */
    int64_t began_us;
    bool cancelled;            /* all that it was for has been overwritten */
    uint16_t table;
    uint64_t db_id;            /* of a key; 0: chunks of an object */
    uint64_t hash;
    uint64_t object_id;
    uint32_t first, count;     /* chunks */
    /* the result, filled by the worker */
    enum status status;        /* OK also when the record does not exist */
    struct error error;
    struct buffer bytes;       /* the key's record */
    bool exists;
    struct key_record record;  /* borrows from bytes */
    struct entry **made;       /* the chunks, NULL: a hole; the loop has only to link them */
    size_t key_size;
    char key[];
};

/* --- on a worker --- */

static void read_key(struct load *load, struct engine *engine)
{
    struct buffer name = {0};
    record_key_name(&name, load->db_id, slice_make(load->key, load->key_size));
    load->status = engine->operations->get(engine, NULL, buffer_slice(&name), &load->bytes,
                                           &load->error);
    buffer_free(&name);
    if (load->status == STATUS_NOT_FOUND) {
        load->status = STATUS_OK;
        return;
    }
    if (load->status != STATUS_OK) return;
    load->status = key_record_decode(buffer_slice(&load->bytes), &load->record);
    load->exists = load->status == STATUS_OK;
    if (!load->exists)
        error_set(&load->error, load->status, "the record of the key cannot be understood");
}

static void read_chunks(struct load *load, struct engine *engine)
{
    struct buffer name = {0};
    for (uint32_t i = 0; i < load->count && load->status == STATUS_OK; i++) {
        char key[CHUNK_KEY_BYTES];
        buffer_clear(&name);
        buffer_clear(&load->bytes);
        record_chunk_name(&name, load->object_id, load->first + i);
        enum status status = engine->operations->get(engine, NULL, buffer_slice(&name),
                                                     &load->bytes, &load->error);
        if (status == STATUS_NOT_FOUND) continue;
        load->status = status;
        if (status != STATUS_OK) continue;
        chunk_key_write(key, load->object_id, load->first + i);
        load->made[i] = entry_create(slice_make(key, sizeof key), buffer_slice(&load->bytes), -1);
    }
    buffer_free(&name);
    buffer_free(&load->bytes);
}

/* Those that the cache has not taken. */
static void drop_made(struct load *load)
{
    for (uint32_t i = 0; load->made && i < load->count; i++) {
        if (load->made[i]) entry_detach(load->made[i]);
        load->made[i] = NULL;
    }
}

static void load_run(struct job *job)
{
    struct load *load = (struct load *)(void *)job;
    struct engine *engine;
    buffer_clear(&load->bytes);
    drop_made(load);
    load->exists = false;
    load->status = store_acquire(load->base.keyspace->parts.store, &engine, &load->error);
    if (load->status != STATUS_OK) return;
    if (load->db_id)
        read_key(load, engine);
    else
        read_chunks(load, engine);
    engine_unref(engine);
}

/* --- on the loop --- */

static void load_free(struct load *load)
{
    ASSERT(list_is_empty(&load->waiters));
    list_remove(&load->node);
    buffer_free(&load->bytes);
    drop_made(load);
    mem_free(load->made);
    mem_free(load);
}

static void load_drop(struct keyspace_job *job)
{
    load_free((struct load *)(void *)job);
}

/* Whether the load's table is still the one that its record belongs to. */
static bool table_is_current(const struct load *load)
{
    struct keyspace *keyspace = load->base.keyspace;
    if (!load->db_id) return load->epoch == keyspace->epoch;
    const struct database *database = keyspace_database_by_id(keyspace, load->db_id);
    return database && database->table == load->table;
}

static struct load *placeholder_load(const struct entry *placeholder)
{
    struct load *load;
    ASSERT(placeholder->state == ENTRY_LOADING && placeholder->value_size == sizeof load);
    memcpy(&load, entry_value(placeholder).data, sizeof load);
    return load;
}

static uint64_t load_budget(const struct keyspace *keyspace)
{
    enum { MIN_BUDGET_BYTES = 1 << 20 };
    uint64_t budget = cache_budget_bytes(keyspace->cache) / 100 *
                      (uint64_t)keyspace->options->load_max_bytes_percent;
    return budget < MIN_BUDGET_BYTES ? MIN_BUDGET_BYTES : budget;
}

/* A command that alone holds more than the whole budget has asked too much; the chunks of one string are
 * the single large request that memory has room for. */
static bool asks_too_much(const struct load *load, struct waiter *waiter)
{
    if (!load->db_id || waiter->pinned_key_bytes <= load_budget(load->base.keyspace)) return false;
    waiter->failed = true;
    error_set(&waiter->error, STATUS_NO_MEMORY,
              "command not allowed when used memory > 'maxmemory'.");
    return true;
}

static void pin_for_waiters(struct load *load, struct entry *entry)
{
    struct keyspace *keyspace = load->base.keyspace;
    LIST_FOR_EACH(node, &load->waiters)
    {
        struct waiter *waiter = LIST_ENTRY(node, struct wait_link, in_source)->waiter;
        if (asks_too_much(load, waiter)) continue;
        waiter_pin(waiter, entry);
        uint64_t bytes = entry_memory_bytes(entry);
        waiter->pinned_bytes += bytes;
        if (load->db_id) waiter->pinned_key_bytes += bytes;
        keyspace->pinned_load_bytes += bytes;
    }
}

/* Puts what came in the place of the placeholder, if that is still this load's. True: the cache has
 * it. */
static bool settle_record(struct load *load, struct slice key, uint64_t hash,
                          const struct cache_value *value)
{
    struct cache *cache = load->base.keyspace->cache;
    struct entry *entry = cache_find(cache, load->table, key, hash);
    if (!entry || entry->state != ENTRY_LOADING || placeholder_load(entry) != load) return false;
    if (load->status != STATUS_OK) {
        cache_remove(cache, entry);
        return false;
    }
    entry = cache_put_found(cache, entry, load->table, key, hash, value);
    counter_add(&load->base.keyspace->metrics->load_bytes, value->value.size);
    pin_for_waiters(load, entry);
    return true;
}

static void settle_key(struct load *load)
{
    struct cache_value value = {.expire_at_ms = -1, .state = ENTRY_ABSENT};
    char head[sizeof(struct object_head)];
    if (load->exists) {
        const struct key_record *record = &load->record;
        value.state = ENTRY_PRESENT;
        value.type = record->type;
        value.encoding = record->encoding;
        value.expire_at_ms = record->expire_at_ms;
        value.has_object = record->has_object;
        memcpy(head, &record->object, sizeof head);
        value.value = record->has_object ? slice_make(head, sizeof head) : record->value;
    }
    settle_record(load, slice_make(load->key, load->key_size), load->hash, &value);
}

static void settle_chunks(struct load *load)
{
    for (uint32_t i = 0; i < load->count; i++) {
        char key[CHUNK_KEY_BYTES];
        chunk_key_write(key, load->object_id, load->first + i);
        struct cache_value value = {.expire_at_ms = -1, .state = ENTRY_ABSENT};
        if (load->made[i]) {
            value.state = ENTRY_PRESENT;
            value.value = entry_value(load->made[i]);
            value.made = load->made[i];
        }
        if (settle_record(load, slice_make(key, sizeof key), hash_key(key, sizeof key), &value))
            load->made[i] = NULL;
    }
}

static void load_done(struct job *job)
{
    struct load *load = (struct load *)(void *)job;
    struct keyspace *keyspace = load->base.keyspace;
    if (load->status == STATUS_AGAIN && !load->cancelled) {
        keyspace_send_later(&load->base); /* the store is catching up (rule 13) */
        return;
    }
    if (table_is_current(load)) {
        if (load->db_id)
            settle_key(load);
        else
            settle_chunks(load);
    }
    if (load->status != STATUS_OK && !load->cancelled) {
        counter_add(&keyspace->metrics->load_failures, 1);
        waiters_fail(&load->waiters, load->status, load->error.text);
    }
    histogram_record_us(&keyspace->metrics->load_seconds,
                        (uint64_t)(clock_monotonic_us() - load->began_us));
    gauge_set(&keyspace->metrics->loading, gauge_get(&keyspace->metrics->loading) - 1);
    waiters_release(keyspace, &load->waiters);
    load_free(load);
    keyspace_send_unsent(keyspace);
}

static void send_load(struct load *load)
{
    load->base.job.run = load_run;
    load->base.job.done = load_done;
    load->base.drop = load_drop;
    keyspace_send_job(&load->base, JOB_READ, JOB_KIND_GET);
}

/* Admission, in order and by bytes: who already holds entries goes on, others wait for their turn
 * while what is held exceeds the budget. */
static bool is_admitted(struct access *access)
{
    struct keyspace *keyspace = access->keyspace;
    struct waiter *waiter = access->waiter;
    if (keyspace->pinned_load_bytes <= load_budget(keyspace) || waiter->pin_count) return true;
    if (waiter->pending) return true; /* this run has begun to ask: let it ask for all */
    if (!list_is_linked(&waiter->space)) list_push_back(&keyspace->admission, &waiter->space);
    return false;
}

/* The run will have to wait: counted once, however many loads it waits for. */
static void wait_for_load(struct access *access)
{
    if (!(access->wait & WAIT_LOADS)) counter_add(&access->keyspace->metrics->parked_loads, 1);
    access->wait |= WAIT_LOADS;
}

static struct load *load_create(struct access *access, size_t key_size)
{
    struct keyspace *keyspace = access->keyspace;
    struct load *load = mem_calloc(1, sizeof *load + key_size);
    load->base.keyspace = keyspace;
    load->began_us = clock_monotonic_us();
    load->key_size = key_size;
    list_init(&load->waiters);
    list_push_back(&keyspace->loads, &load->node);
    counter_add(&keyspace->metrics->loads, 1);
    gauge_set(&keyspace->metrics->loading, gauge_get(&keyspace->metrics->loading) + 1);
    return load;
}

static void put_placeholder(struct load *load, struct slice key, uint64_t hash)
{
    struct cache_value value = {.value = slice_make(&load, sizeof load),
                                .expire_at_ms = -1,
                                .state = ENTRY_LOADING};
    cache_put(load->base.keyspace->cache, load->table, key, hash, &value);
}

void keyspace_load_key(struct access *access, const struct database *database, struct slice key,
                       uint64_t hash)
{
    wait_for_load(access);
    if (!is_admitted(access)) return;
    struct load *load = load_create(access, key.size);
    load->table = database->table;
    load->db_id = database->db_id;
    load->hash = hash;
    memcpy(load->key, key.data, key.size);
    put_placeholder(load, key, hash);
    waiter_link(access->waiter, &load->waiters);
    send_load(load);
}

void keyspace_load_chunks(struct access *access, uint64_t object_id, uint32_t first,
                          uint32_t count)
{
    ASSERT(count >= 1 && count <= LOAD_MAX_CHUNKS);
    wait_for_load(access);
    if (!is_admitted(access)) return;
    struct load *load = load_create(access, 0);
    load->table = access_element_table(access);
    load->epoch = access->keyspace->epoch;
    load->object_id = object_id;
    load->first = first;
    load->count = count;
    load->made = mem_calloc(count, sizeof *load->made);
    for (uint32_t i = 0; i < count; i++) {
        char key[CHUNK_KEY_BYTES];
        chunk_key_write(key, object_id, first + i);
        put_placeholder(load, slice_make(key, sizeof key), hash_key(key, sizeof key));
    }
    waiter_link(access->waiter, &load->waiters);
    send_load(load);
}

void keyspace_join_load(struct access *access, struct entry *placeholder)
{
    wait_for_load(access);
    struct load *load = placeholder_load(placeholder);
    waiter_link(access->waiter, &load->waiters);
}

void keyspace_cancel_load(struct keyspace *keyspace, struct entry *placeholder)
{
    struct load *load = placeholder_load(placeholder);
    counter_add(&keyspace->metrics->loads_cancelled, 1);
    /* A load of several chunks goes on for the others; its waiters just run again a little later. */
    if (!load->db_id) return;
    load->cancelled = true;
    waiters_release(keyspace, &load->waiters);
}
