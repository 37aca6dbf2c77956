/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The keyspace's heart: a run's view of keys, the databases behind SELECT numbers, waiters, and the
 * upkeep of each turn. A lookup sees the run's own write set first, then the cache; a miss is an
 * answer while nothing of the table has left memory, otherwise a load. Loop thread only. */
#include "storage/keyspace_internal.h"

#include "base/clock.h"

enum { MAINTAIN_STEPS = 256, DEAD_STEPS = 64 };

#define KEYSPACE_OPTION(name, kind, flags, field, fallback, low, high, unit, help)                 \
    {name, NULL, kind, flags, offsetof(struct keyspace_options, field), fallback, low, high, NULL, \
     unit, help}

static const struct option keyspace_options_rows[] = {
    KEYSPACE_OPTION("databases", OPTION_INTEGER, 0, databases, "16", 1, 10000, NULL,
                    "How many databases SELECT can choose from: 0 to this number less one. Lowering it "
                    "hides the data of the databases above; raising it again shows them."),
    KEYSPACE_OPTION("maxmemory", OPTION_BYTES, OPTION_LIVE, maxmemory_bytes, "0", 0, INT64_MAX, "bytes",
                    "How much memory the process may hold: cache, queues, client buffers and LevelDB's "
                    "buffers, but for the largest single request. It bounds memory, never data: what does "
                    "not fit is read from disk. 0 means a quarter of the memory of the machine or of the "
                    "cgroup, whichever is smaller."),
    KEYSPACE_OPTION("load-memory-percent", OPTION_INTEGER, OPTION_LIVE, load_max_bytes_percent, "50", 1,
                    100, NULL,
                    "How much of the cache may be held at once by commands that wait for keys from disk, "
                    "in percent. Commands beyond it wait their turn; one that alone needs more gets "
                    "-OOM."),
    KEYSPACE_OPTION("active-expire", OPTION_BOOL, OPTION_LIVE | OPTION_HIDDEN, active_expire, "yes", 0, 0,
                    NULL, "Whether expired keys are deleted without anybody asking for them."),
    KEYSPACE_OPTION("expire-cycle-ms", OPTION_INTEGER, OPTION_LIVE, expire_cycle_ms, "100", 1, 60000,
                    "milliseconds",
                    "How often the expiry index is looked at for keys whose time has come. A key is never "
                    "seen after its time whatever this says; it decides how soon its space is given "
                    "back."),
};
const struct option_table keyspace_option_table = {
    "MEMORY AND DATABASES", "How much memory is used, and how the data is divided.", keyspace_options_rows,
    sizeof keyspace_options_rows / sizeof *keyspace_options_rows};

#define KEYSPACE_METRIC(name, kind, field, unit, info, help)                                       \
    {"kelvin_keyspace_" name, kind, offsetof(struct keyspace_metrics, field), unit, info, help}

static const struct metric keyspace_metric_rows[] = {
    KEYSPACE_METRIC("loads_total", METRIC_COUNTER, loads, "", "keyspace_loads",
                    "Records read from LevelDB because a command needed them."),
    KEYSPACE_METRIC("load_bytes_total", METRIC_COUNTER, load_bytes, "bytes", "keyspace_load_bytes",
                    "Bytes of these records."),
    KEYSPACE_METRIC("loads_cancelled_total", METRIC_COUNTER, loads_cancelled, "",
                    "keyspace_loads_cancelled", "Loads whose key was written before they came back."),
    KEYSPACE_METRIC("load_failures_total", METRIC_COUNTER, load_failures, "", "keyspace_load_failures",
                    "Loads that ended with an error reply."),
    KEYSPACE_METRIC("commits_total", METRIC_COUNTER, commits, "", "keyspace_commits",
                    "Write sets that became journal records."),
    KEYSPACE_METRIC("expired_on_access_total", METRIC_COUNTER, expired_on_access, "",
                    "expired_keys_on_access", "Expired keys deleted because somebody asked for them."),
    KEYSPACE_METRIC("expired_by_cycle_total", METRIC_COUNTER, expired_by_cycle, "",
                    "expired_keys_by_cycle", "Expired keys deleted by the background cycle."),
    KEYSPACE_METRIC("hits_total", METRIC_COUNTER, keyspace_hits, "", "keyspace_hits",
                    "Lookups by reading commands that found the key."),
    KEYSPACE_METRIC("misses_total", METRIC_COUNTER, keyspace_misses, "", "keyspace_misses",
                    "Lookups by reading commands of keys that do not exist."),
    KEYSPACE_METRIC("parked_for_loads_total", METRIC_COUNTER, parked_loads, "", "parked_for_loads",
                    "Times that a command waited for a record from disk."),
    KEYSPACE_METRIC("parked_for_space_total", METRIC_COUNTER, parked_space, "", "parked_for_space",
                    "Times that a write waited for journal space or for the batch writer."),
    KEYSPACE_METRIC("parked_for_scans_total", METRIC_COUNTER, parked_scans, "", "parked_for_scans",
                    "Times that a command waited for a scan, a count or a barrier."),
    KEYSPACE_METRIC("scans_total", METRIC_COUNTER, scans, "", "keyspace_scans",
                    "Scans of the store (KEYS, SCAN, RANDOMKEY)."),
    KEYSPACE_METRIC("writer_pause_seconds_total", METRIC_COUNTER, writer_pause_us, "seconds",
                    "writer_pause_us", "Time during which at least one write waited."),
    KEYSPACE_METRIC("loading", METRIC_GAUGE, loading, "", "keyspace_loading", "Loads under way."),
    KEYSPACE_METRIC("pinned_load_bytes", METRIC_GAUGE, pinned_load_bytes, "bytes",
                    "keyspace_pinned_load_bytes", "Memory held by commands that wait for keys."),
    KEYSPACE_METRIC("load_seconds", METRIC_HISTOGRAM, load_seconds, "seconds", NULL,
                    "From a miss to the record's arrival."),
};
const struct metric_table keyspace_metric_table = {
    "keyspace", keyspace_metric_rows, sizeof keyspace_metric_rows / sizeof *keyspace_metric_rows};

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

/* --- waiters --- */

void waiter_init(struct waiter *waiter, void (*wake)(struct waiter *waiter))
{
    memset(waiter, 0, sizeof *waiter);
    list_init(&waiter->links);
    waiter->wake = wake;
    waiter->counted = -1;
}

void waiter_ready(struct keyspace *keyspace, struct waiter *waiter)
{
    if (!list_is_linked(&waiter->ready)) list_push_back(&keyspace->ready, &waiter->ready);
}

void waiter_link(struct waiter *waiter, struct list *source)
{
    /* One link is enough however many records of a load the run misses; nobody else links in between. */
    if (!list_is_empty(source) &&
        LIST_ENTRY(source->head.previous, struct wait_link, in_source)->waiter == waiter)
        return;
    struct wait_link *link = mem_alloc(sizeof *link);
    link->waiter = waiter;
    list_push_back(source, &link->in_source);
    list_push_back(&waiter->links, &link->in_waiter);
    waiter->pending++;
}

static void wait_link_free(struct wait_link *link)
{
    list_remove(&link->in_source);
    list_remove(&link->in_waiter);
    mem_free(link);
}

void waiters_release(struct keyspace *keyspace, struct list *source)
{
    LIST_FOR_EACH_SAFE(node, after, source)
    {
        struct wait_link *link = LIST_ENTRY(node, struct wait_link, in_source);
        struct waiter *waiter = link->waiter;
        wait_link_free(link);
        if (--waiter->pending == 0) waiter_ready(keyspace, waiter);
    }
}

void waiters_fail(struct list *source, enum status status, const char *text)
{
    LIST_FOR_EACH(node, source)
    {
        struct waiter *waiter = LIST_ENTRY(node, struct wait_link, in_source)->waiter;
        waiter->failed = true;
        error_set(&waiter->error, status, "%s", text);
    }
}

static bool is_untouched(const struct keyspace *keyspace, const struct waiter *waiter)
{
    return !waiter->pending && !waiter->pins && !waiter->scans && !waiter->failed &&
           waiter->counted < 0 && keyspace->holder != waiter && !list_is_linked(&waiter->ready) &&
           !list_is_linked(&waiter->space);
}

/* Loads that had to wait for memory may be asked for again, in the order in which they came. */
static void retry_admission(struct keyspace *keyspace)
{
    struct list_node *node;
    while ((node = list_pop_front(&keyspace->admission)))
        waiter_ready(keyspace, LIST_ENTRY(node, struct waiter, space));
}

void waiter_release(struct keyspace *keyspace, struct waiter *waiter)
{
    if (is_untouched(keyspace, waiter)) return; /* the usual: the command found all it needed */
    LIST_FOR_EACH_SAFE(node, after, &waiter->links)
        wait_link_free(LIST_ENTRY(node, struct wait_link, in_waiter));
    waiter->pending = 0;
    if (list_is_linked(&waiter->ready)) list_remove(&waiter->ready);
    if (list_is_linked(&waiter->space)) list_remove(&waiter->space);
    for (size_t i = 0; i < waiter->pin_count; i++) entry_unref(waiter->pins[i]);
    mem_free(waiter->pins);
    waiter->pins = NULL;
    waiter->pin_count = waiter->pin_capacity = 0;
    keyspace->pinned_load_bytes -= waiter->pinned_bytes;
    if (waiter->pinned_bytes) retry_admission(keyspace);
    waiter->pinned_bytes = waiter->pinned_key_bytes = 0;
    waiter->failed = false;
    waiter->counted = -1;
    scan_results_release(keyspace, waiter);
    if (keyspace->holder == waiter) {
        keyspace->holder = NULL;
        keyspace_retry_writers(keyspace);
    }
}

void keyspace_retry_writers(struct keyspace *keyspace)
{
    struct list_node *node;
    while ((node = list_pop_front(&keyspace->space)))
        waiter_ready(keyspace, LIST_ENTRY(node, struct waiter, space));
}

static void wake_waiters(struct keyspace *keyspace)
{
    if (list_is_empty(&keyspace->ready)) return;
    /* Those that become ready meanwhile have their turn in the next round: the loop stays fair. */
    struct list round;
    list_init(&round);
    struct list_node *node;
    while ((node = list_pop_front(&keyspace->ready))) list_push_back(&round, node);
    keyspace->waking = true;
    while ((node = list_pop_front(&round))) {
        struct waiter *waiter = LIST_ENTRY(node, struct waiter, ready);
        waiter->wake(waiter);
    }
    keyspace->waking = false;
}

/* --- jobs --- */

void keyspace_send_later(struct keyspace_job *job)
{
    if (job->keyspace->stopped) {
        job->drop(job);
        return;
    }
    list_push_back(&job->keyspace->unsent, &job->unsent);
}

void keyspace_send_job(struct keyspace_job *job, enum job_lane lane, enum job_kind kind)
{
    job->job.lane = lane;
    job->job.kind = kind;
    job->job.home = job->keyspace->parts.loop;
    if (job->keyspace->stopped ||
        job_queue_submit(job->keyspace->parts.jobs, &job->job) != STATUS_OK)
        keyspace_send_later(job);
}

void keyspace_send_unsent(struct keyspace *keyspace)
{
    if (list_is_empty(&keyspace->unsent)) return;
    struct list round;
    list_init(&round);
    struct list_node *node;
    while ((node = list_pop_front(&keyspace->unsent))) list_push_back(&round, node);
    while ((node = list_pop_front(&round))) {
        struct keyspace_job *job = LIST_ENTRY(node, struct keyspace_job, unsent);
        keyspace_send_job(job, job->job.lane, job->job.kind);
    }
}

void keyspace_stop(struct keyspace *keyspace)
{
    keyspace->stopped = true;
    keyspace_send_unsent(keyspace);
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
    enum found found = keyspace_look(access, number, key, LOOK_TOUCH, out);
    if (found == FOUND)
        counter_add(&access->keyspace->metrics->keyspace_hits, 1);
    else if (found == FOUND_NOTHING)
        counter_add(&access->keyspace->metrics->keyspace_misses, 1);
    return found;
}

enum found keyspace_peek(struct access *access, unsigned number, struct slice key,
                         struct key_view *out)
{
    return keyspace_look(access, number, key, 0, out);
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
    wake_waiters(keyspace);
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
    keyspace_retry_writers(keyspace); /* whatever it was that they waited for */
    gauge_set(&keyspace->metrics->pinned_load_bytes, (int64_t)keyspace->pinned_load_bytes);
    if (keyspace->options->active_expire) expiry_cycle_run(keyspace, now_ms);
}
