/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The keyspace's heart: a run's view of keys, the databases behind SELECT numbers, and the upkeep
 * of each turn. A lookup sees the run's own write set first, then the cache; a miss is an
 * answer while nothing of the table has left memory, otherwise a load. Loop thread only. */
#include "storage/keyspace_internal.h"

#include "base/clock.h"

enum { MAINTAIN_STEPS = 256, DEAD_STEPS = 64 };

/* --- creation --- */

struct keyspace *keyspace_create(const struct keyspace_options *options,
                                 struct keyspace_metrics *metrics,
                                 const struct keyspace_parts *parts, bool start_empty)
{
    struct keyspace *keyspace = mem_calloc(1, sizeof *keyspace);
    keyspace->options = options;
    keyspace->metrics = metrics;
    keyspace->parts = *parts;
    keyspace->cache = parts->cache;
    const struct store_meta *meta = store_meta(parts->store);
    keyspace->database_count = meta->databases;
    keyspace->databases = mem_calloc(meta->databases, sizeof *keyspace->databases);
    for (unsigned i = 0; i < meta->databases; i++) {
        struct database *database = &keyspace->databases[i];
        database->db_id = batch_writer_database_id(parts->batch_writer, i);
        database->table = cache_table_create(keyspace->cache);
        batch_writer_counts(parts->batch_writer, database->db_id, &database->keys,
                            &database->expiring);
        database->settled_keys = database->keys;
        cache_table_set_complete(keyspace->cache, database->table,
                                 start_empty || database->keys == 0);
    }
    keyspace->element_table = cache_table_create(keyspace->cache);
    cache_table_set_complete(keyspace->cache, keyspace->element_table, start_empty);
    keyspace->applied = batch_writer_applied_sequence(parts->batch_writer);
    list_init(&keyspace->loads);
    list_init(&keyspace->unsent);
    list_init(&keyspace->admission);
    list_init(&keyspace->ready);
    list_init(&keyspace->space);
    list_init(&keyspace->streams);
    keyspace->bookmarks = bookmarks_create();
    keyspace->watches = watch_table_create();
    keyspace->expiry = expiry_cycle_create(keyspace);
    return keyspace;
}

void keyspace_destroy(struct keyspace *keyspace)
{
    if (!keyspace) return;
    ASSERT(list_is_empty(&keyspace->loads));
    expiry_cycle_destroy(keyspace->expiry);
    watch_table_destroy(keyspace->watches);
    bookmarks_destroy(keyspace->bookmarks);
    keyspace_drop_dead(keyspace, UINT32_MAX);
    mem_free(keyspace->databases);
    mem_free(keyspace);
}

unsigned keyspace_database_count(const struct keyspace *keyspace)
{
    return keyspace->database_count;
}

const struct keyspace_parts *keyspace_parts(const struct keyspace *keyspace)
{
    return &keyspace->parts;
}

/* --- a run --- */

void access_begin(struct access *access, struct keyspace *keyspace, struct write_set *writes,
                  struct waiter *waiter, int64_t now_ms)
{
    access->keyspace = keyspace;
    access->writes = writes;
    access->waiter = waiter;
    access->now_ms = now_ms;
    access->depends_on = 0;
    access->wait = 0;
    access->scans_used = 0;
    /* No keyspace yet: the server is loading, and what may run then touches no key. */
    if (keyspace) cache_set_time(keyspace->cache, (uint32_t)(now_ms / 1000));
    access->base_sequence = keyspace ? journal_next_sequence(keyspace->parts.journal) : 0;
    access->unseen = false;
    access->in_transaction = access->no_touch = access->keep_expired = false;
    access->map = NULL;
    access->hinted_key = (struct slice){NULL, 0};
    write_set_clear(writes);
}

static bool is_own_table(const struct keyspace *keyspace, uint16_t table)
{
    for (unsigned i = 0; i < keyspace->database_count; i++)
        if (keyspace->databases[i].table == table) return true;
    return false;
}

void database_map_destroy(struct keyspace *keyspace, struct database_map *map)
{
    for (unsigned i = 0; i < keyspace->database_count; i++)
        if (!is_own_table(keyspace, map->databases[i].table))
            cache_table_drop(keyspace->cache, map->databases[i].table);
    if (map->element_table) cache_table_drop(keyspace->cache, map->element_table);
    mem_free(map->databases);
    mem_free(map);
}

void access_abandon(struct access *access)
{
    write_set_clear(access->writes);
    if (access->map) database_map_destroy(access->keyspace, access->map);
    access->map = NULL;
}

uint16_t access_element_table(const struct access *access)
{
    if (access->map && access->map->element_table) return access->map->element_table;
    return access->keyspace->element_table;
}

struct database *access_database(struct access *access, unsigned number)
{
    ASSERT(number < access->keyspace->database_count);
    if (access->map) return &access->map->databases[number];
    return &access->keyspace->databases[number];
}

struct database *keyspace_database_by_id(struct keyspace *keyspace, uint64_t db_id)
{
    for (unsigned i = 0; i < keyspace->database_count; i++)
        if (keyspace->databases[i].db_id == db_id) return &keyspace->databases[i];
    return NULL;
}

void access_depend(struct access *access, uint64_t sequence)
{
    if (sequence > access->depends_on) access->depends_on = sequence;
}

struct pending *access_add(struct access *access, const struct pending *pending)
{
    ASSERT(access->base_sequence == journal_next_sequence(access->keyspace->parts.journal));
    struct pending *added = write_set_add(access->writes, pending);
    added->unseen = access->unseen;
    return added;
}

void access_fail(struct access *access, enum status status, const char *text)
{
    access->waiter->failed = true;
    error_set(&access->waiter->error, status, "%s", text);
}

struct slice access_keep(struct access *access, struct slice bytes)
{
    char *copy = write_set_memory(access->writes, bytes.size);
    if (!copy) panic("no memory for %zu bytes of a transaction", bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    return slice_make(copy, bytes.size);
}

static void view_from_pending(const struct pending *pending, struct key_view *out)
{
    const struct operation *operation = &pending->operation;
    out->type = operation->type;
    out->encoding = operation->encoding;
    out->has_object = operation->has_object;
    out->expire_at_ms = operation->expire_at_ms;
    out->value = operation->value;
    out->object = operation->object;
    out->entry = NULL;
}

static void view_from_entry(struct entry *entry, struct key_view *out)
{
    out->type = entry->type;
    out->encoding = entry->encoding;
    out->has_object = entry->has_object;
    out->expire_at_ms = entry_expire_at_ms(entry);
    out->entry = entry;
    if (entry->has_object) {
        out->value = (struct slice){NULL, 0};
        out->object = entry_object(entry);
    } else {
        out->value = entry_value(entry);
        out->object = (struct object_head){0, 0};
    }
}

/* The key's time has come: the run deletes it (rule 6), unless it may not. */
static enum found meet_expired(struct access *access, const struct database *database,
                               struct slice key, uint64_t hash)
{
    if (access->keep_expired) return FOUND_NOTHING;
    struct pending pending = {.table = database->table, .hash = hash, .expires = true};
    pending.operation.kind = OPERATION_DELETE;
    pending.operation.db_id = database->db_id;
    pending.operation.key = key;
    access_add(access, &pending);
    return FOUND_NOTHING;
}

static bool is_expired(const struct access *access, int64_t expire_at_ms)
{
    return expire_at_ms >= 0 && expire_at_ms <= access->now_ms;
}

static enum found look_in_writes(const struct pending *pending, struct key_view *out)
{
    if (pending->operation.kind != OPERATION_PUT) return FOUND_NOTHING;
    view_from_pending(pending, out);
    return FOUND;
}

enum found keyspace_look(struct access *access, unsigned number, struct slice key, unsigned flags,
                         struct key_view *out)
{
    struct keyspace *keyspace = access->keyspace;
    struct database *database = access_database(access, number);
    uint64_t hash = access_hash(access, key);
    if (write_set_count(access->writes)) {
        const struct pending *pending = write_set_find(access->writes, database->table, key, hash);
        if (pending && pending->operation.kind == OPERATION_PUT && !(flags & LOOK_EXPIRED_TOO) &&
            is_expired(access, pending->operation.expire_at_ms)) /* put with a time in the past */
            return meet_expired(access, database, key, hash);
        if (pending) return look_in_writes(pending, out);
    }
    struct entry *entry = cache_find(keyspace->cache, database->table, key, hash);
    if (!entry) {
        if (cache_table_is_complete(keyspace->cache, database->table)) return FOUND_NOTHING;
        keyspace_load_key(access, database, key, hash);
        return FOUND_WAIT;
    }
    if (entry->state == ENTRY_LOADING) {
        keyspace_join_load(access, entry);
        return FOUND_WAIT;
    }
    access_depend(access, entry->sequence);
    if ((flags & LOOK_TOUCH) && !access->no_touch) cache_touch(keyspace->cache, entry);
    if (entry->state == ENTRY_ABSENT) return FOUND_NOTHING;
    if (!(flags & LOOK_EXPIRED_TOO) && entry->has_expiry &&
        is_expired(access, entry_expire_at_ms(entry)))
        return meet_expired(access, database, key, hash);
    view_from_entry(entry, out);
    return FOUND;
}

enum found keyspace_get(struct access *access, unsigned number, struct slice key,
                        struct key_view *out)
{
    return keyspace_look(access, number, key, LOOK_TOUCH, out);
}

enum found keyspace_peek(struct access *access, unsigned number, struct slice key,
                         struct key_view *out)
{
    return keyspace_look(access, number, key, 0, out);
}

void keyspace_count_lookups(struct keyspace *keyspace, uint64_t hits, uint64_t misses)
{
    counter_add(&keyspace->metrics->keyspace_hits, hits);
    counter_add(&keyspace->metrics->keyspace_misses, misses);
}

enum found keyspace_load_strided(struct access *access, unsigned number, const struct slice *keys,
                                 size_t count, size_t stride)
{
    struct keyspace *keyspace = access->keyspace;
    struct database *database = access_database(access, number);
    if (cache_table_is_complete(keyspace->cache, database->table)) return FOUND;
    bool missing = false;
    for (size_t i = 0; i < count; i++) {
        struct slice key = keys[i * stride];
        uint64_t hash = access_hash(access, key);
        struct entry *entry = cache_find(keyspace->cache, database->table, key, hash);
        if (entry && entry->state != ENTRY_LOADING) continue;
        if (write_set_count(access->writes) &&
            write_set_find(access->writes, database->table, key, hash))
            continue;
        missing = true;
        if (entry)
            keyspace_join_load(access, entry);
        else
            keyspace_load_key(access, database, key, hash);
    }
    return missing ? FOUND_WAIT : FOUND;
}

enum found keyspace_load(struct access *access, unsigned number, const struct slice *keys,
                         size_t count)
{
    return keyspace_load_strided(access, number, keys, count, 1);
}

void keyspace_prefetch(struct keyspace *keyspace, unsigned number, uint64_t hash, int step)
{
    uint16_t table = keyspace->databases[number].table;
    if (step == 0)
        cache_prefetch_bucket(keyspace->cache, table, hash);
    else
        cache_prefetch_entry(keyspace->cache, table, hash);
}

/* --- databases --- */

static struct database_map *access_own_map(struct access *access)
{
    if (access->map) return access->map;
    struct keyspace *keyspace = access->keyspace;
    access->map = mem_calloc(1, sizeof *access->map);
    access->map->databases =
        mem_dup(keyspace->databases, keyspace->database_count * sizeof *keyspace->databases);
    return access->map;
}

/* Drops a table that this very run made: what it has put there since place `from` of its write set is
 * published nowhere. */
static void drop_run_table(struct access *access, uint16_t table, size_t from)
{
    for (size_t i = from; i < write_set_count(access->writes); i++) {
        struct pending *pending = write_set_at(access->writes, i);
        if (pending->table == table) pending->table = 0;
    }
    cache_table_drop(access->keyspace->cache, table);
}

static void give_fresh_database(struct access *access, unsigned number, bool drop_old)
{
    struct keyspace *keyspace = access->keyspace;
    struct database *database = &access_own_map(access)->databases[number];
    struct pending pending = {0};
    pending.operation.kind = OPERATION_MAP_DATABASE;
    pending.operation.number = number;
    pending.operation.dropped_db_id = drop_old ? database->db_id : 0;
    pending.operation.db_id = access->base_sequence + write_set_count(access->writes);
    access_add(access, &pending);
    if (!is_own_table(keyspace, database->table)) /* its id tells since when it is there */
        drop_run_table(access, database->table, database->db_id - access->base_sequence);
    *database = (struct database){.db_id = pending.operation.db_id,
                                  .table = cache_table_create(keyspace->cache)};
    cache_table_set_complete(keyspace->cache, database->table, true);
}

void keyspace_flush_database(struct access *access, unsigned number)
{
    give_fresh_database(access, number, true);
}

void keyspace_flush_all(struct access *access)
{
    struct pending pending = {0};
    pending.operation.kind = OPERATION_FLUSH_ALL;
    access_add(access, &pending);
    for (unsigned i = 0; i < access->keyspace->database_count; i++)
        give_fresh_database(access, i, false);
    struct cache *cache = access->keyspace->cache;
    struct database_map *map = access->map;
    if (map->element_table) drop_run_table(access, map->element_table, map->flushed_all_at);
    map->element_table = cache_table_create(cache);
    map->flushed_all_at = write_set_count(access->writes);
    cache_table_set_complete(cache, map->element_table, true);
}

enum found keyspace_swap_databases(struct access *access, unsigned a, unsigned b)
{
    enum found found = watch_prepare_swap(access, a, b);
    if (found == FOUND_WAIT || found == FOUND_ERROR) return found;
    struct database *databases = access_own_map(access)->databases;
    struct pending pending = {0};
    pending.operation.kind = OPERATION_SWAP_DATABASES;
    pending.operation.number = a;
    pending.operation.other_number = b;
    access_add(access, &pending);
    struct database kept = databases[a];
    databases[a] = databases[b];
    databases[b] = kept;
    return FOUND;
}

/* --- keys: delete, expiry, move --- */

void keyspace_delete(struct access *access, unsigned number, struct slice key)
{
    struct database *database = access_database(access, number);
    struct pending pending = {.table = database->table, .hash = access_hash(access, key)};
    pending.operation.kind = OPERATION_DELETE;
    pending.operation.db_id = database->db_id;
    pending.operation.key = key;
    access_add(access, &pending);
}

static void put_view(struct access *access, unsigned number, struct slice key,
                     const struct key_view *view, int64_t expire_at_ms)
{
    struct database *database = access_database(access, number);
    struct pending pending = {.table = database->table, .hash = access_hash(access, key)};
    struct operation *operation = &pending.operation;
    operation->kind = OPERATION_PUT;
    operation->db_id = database->db_id;
    operation->key = key;
    operation->type = view->type;
    operation->encoding = view->encoding;
    operation->has_object = view->has_object;
    operation->value = view->value;
    operation->object = view->object;
    operation->expire_at_ms = expire_at_ms;
    if (access->in_transaction && view->value.size)
        operation->value = access_keep(access, view->value);
    access_add(access, &pending);
}

void keyspace_set_expiry(struct access *access, unsigned number, struct slice key,
                         const struct key_view *view, int64_t expire_at_ms)
{
    put_view(access, number, key, view, expire_at_ms);
}

void keyspace_move(struct access *access, unsigned number, struct slice key,
                   const struct key_view *view, unsigned to_number, struct slice to_key)
{
    struct key_view moved = *view;
    /* The destination first: it borrows the bytes of the entry that the delete takes away. */
    put_view(access, to_number, to_key, &moved, moved.expire_at_ms);
    struct database *database = access_database(access, number);
    struct pending pending = {.table = database->table, .hash = access_hash(access, key)};
    pending.operation.kind = OPERATION_DELETE;
    pending.operation.db_id = database->db_id;
    pending.operation.key = key;
    pending.operation.moves_object = view->has_object;
    access_add(access, &pending);
}

/* --- objects whose cached chunks are of no use any more --- */

struct dead_object {
    struct dead_object *next;
    struct object_head head;
    uint32_t at;
};

void keyspace_object_died(struct keyspace *keyspace, struct object_head head)
{
    struct dead_object *dead = mem_alloc(sizeof *dead);
    *dead = (struct dead_object){.next = keyspace->dead, .head = head};
    keyspace->dead = dead;
}

bool keyspace_drop_dead(struct keyspace *keyspace, unsigned steps)
{
    while (keyspace->dead) {
        struct dead_object *dead = keyspace->dead;
        uint32_t chunks = (uint32_t)((dead->head.length + CHUNK_BYTES - 1) / CHUNK_BYTES);
        for (; dead->at < chunks; dead->at++) {
            if (steps-- == 0) return true;
            char key[CHUNK_KEY_BYTES];
            chunk_key_write(key, dead->head.object_id, dead->at);
            struct entry *entry =
                cache_find(keyspace->cache, keyspace->element_table,
                           slice_make(key, sizeof key), hash_key(key, sizeof key));
            if (entry && entry->state != ENTRY_LOADING) cache_remove(keyspace->cache, entry);
        }
        keyspace->dead = dead->next;
        mem_free(dead);
    }
    return false;
}

/* --- events and upkeep --- */

void keyspace_on_applied(struct keyspace *keyspace, uint64_t sequence,
                         const struct settlement *settlements, size_t count)
{
    keyspace->applied = sequence;
    uint64_t pinned = cache_pinned_bytes(keyspace->cache);
    cache_set_applied(keyspace->cache, sequence);
    uint64_t left = cache_pinned_bytes(keyspace->cache);
    throttle_note_applied(keyspace, pinned > left ? pinned - left : 0);
    for (size_t i = 0; i < count; i++) {
        struct database *database = keyspace_database_by_id(keyspace, settlements[i].db_id);
        if (!database) continue;
        database->keys += settlements[i].keys;
        database->expiring += settlements[i].expiring;
        ASSERT(database->unknown >= settlements[i].unknown);
        database->unknown -= settlements[i].unknown;
        database->settled_keys = settlements[i].total_keys;
    }
    keyspace_retry_writers(keyspace);
    keyspace_send_unsent(keyspace);
}

void keyspace_on_space(struct keyspace *keyspace)
{
    keyspace_retry_writers(keyspace);
}

void keyspace_on_store_health(struct keyspace *keyspace, enum status status, const char *text)
{
    error_set(&keyspace->store_error, status, "%s", text);
    keyspace_retry_writers(keyspace);
}

static void account_pause(struct keyspace *keyspace)
{
    bool paused = !list_is_empty(&keyspace->space);
    if (!paused && !keyspace->pause_began_us) return;
    int64_t now_us = clock_monotonic_us();
    if (keyspace->pause_began_us)
        counter_add(&keyspace->metrics->writer_pause_us,
                    (uint64_t)(now_us - keyspace->pause_began_us));
    keyspace->pause_began_us = paused ? now_us : 0;
}

int64_t keyspace_end_turn(struct keyspace *keyspace)
{
    if (throttle_retry_ms(keyspace) > 0) keyspace_retry_writers(keyspace);
    waiters_wake(keyspace);
    bool more = cache_maintain(keyspace->cache, MAINTAIN_STEPS);
    if (keyspace->dead) more |= keyspace_drop_dead(keyspace, DEAD_STEPS);
    journal_end_turn(keyspace->parts.journal);
    account_pause(keyspace);
    return more || !list_is_empty(&keyspace->ready) ? 0 : throttle_retry_ms(keyspace);
}

void keyspace_cron(struct keyspace *keyspace)
{
    enum { AGE_STEPS = 1000 };
    int64_t now_ms = clock_wall_ms();
    cache_set_time(keyspace->cache, (uint32_t)(now_ms / 1000));
    cache_age(keyspace->cache, AGE_STEPS);
    keyspace_send_unsent(keyspace);
    keyspace_check_streams(keyspace);
    keyspace_retry_writers(keyspace); /* whatever it was that they waited for */
    gauge_set(&keyspace->metrics->pinned_load_bytes, (int64_t)keyspace->pinned_load_bytes);
    if (keyspace->options->active_expire) expiry_cycle_run(keyspace, now_ms);
}
