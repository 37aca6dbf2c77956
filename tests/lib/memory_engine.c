/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A skip list of versions: ordered by key, then newest first; each version bears the number of the
 * write that made it. A snapshot is such a number. Versions are never removed while a handle is
 * open, so that iterators stay good; what a crash takes is cut out when the store is opened again.
 * One mutex guards everything. Any thread. */
#include "lib/memory_engine.h"

#include "base/check.h"
#include "base/memory.h"

#include <pthread.h>

enum { LEVELS = 16 };

struct version {
    struct slice key, value; /* owned by the version */
    uint64_t write;
    bool is_delete;
    struct version *next[]; /* as many as its height */
};

struct memory_store {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct version *head;
    uint64_t random;
    uint64_t last_write, durable_write, accepted;
    uint64_t switch_write; /* the last write before the present generation */
    uint64_t generation, durable;
    struct engine *handle;
    bool is_crashed, refuses_writes;
    unsigned fail_calls, block_calls, blocked;
    unsigned long fail_at, fail_times, calls;
    enum status fail_status, refusal;
};

struct memory_engine {
    struct engine base;
    struct memory_store *store;
};

struct engine_snapshot {
    uint64_t write;
};

struct engine_iterator {
    struct memory_store *store;
    const struct version *at;
    uint64_t write;
    enum status status;
};

/* --- the list --- */

static struct version *version_create(struct slice key, struct slice value, uint64_t write,
                                      bool is_delete, unsigned height)
{
    struct version *version =
        mem_calloc(1, sizeof *version + height * sizeof(struct version *));
    version->key = slice_make(mem_dup(key.data ? key.data : "", key.size), key.size);
    version->value = slice_make(mem_dup(value.data ? value.data : "", value.size), value.size);
    version->write = write;
    version->is_delete = is_delete;
    return version;
}

static void version_free(struct version *version)
{
    mem_free((void *)(uintptr_t)version->key.data);
    mem_free((void *)(uintptr_t)version->value.data);
    mem_free(version);
}

/* The position of (key, write): newer versions of a key come first. */
static int version_compare(const struct version *version, struct slice key, uint64_t write)
{
    int order = slice_compare(version->key, key);
    if (order != 0) return order;
    return version->write > write ? -1 : version->write < write;
}

/* Fills `before` with the last version below (key, write) on each level; returns the next one. */
static struct version *list_find(struct memory_store *store, struct slice key, uint64_t write,
                                 struct version **before)
{
    struct version *at = store->head;
    for (int level = LEVELS - 1; level >= 0; level--) {
        while (at->next[level] && version_compare(at->next[level], key, write) < 0) {
            at = at->next[level];
        }
        before[level] = at;
    }
    return at->next[0];
}

static unsigned random_height(struct memory_store *store)
{
    store->random = store->random * 6364136223846793005u + 1442695040888963407u;
    unsigned height = 1 + (unsigned)__builtin_ctzll((store->random >> 33) | (1u << 30)) / 2;
    return height > LEVELS ? LEVELS : height;
}

static void list_insert(struct memory_store *store, struct slice key, struct slice value,
                        uint64_t write, bool is_delete)
{
    struct version *before[LEVELS];
    struct version *next = list_find(store, key, write, before);
    if (next && version_compare(next, key, write) == 0) { /* twice in one batch: the last holds */
        mem_free((void *)(uintptr_t)next->value.data);
        next->value = slice_make(mem_dup(value.data ? value.data : "", value.size), value.size);
        next->is_delete = is_delete;
        return;
    }
    unsigned height = random_height(store);
    struct version *version = version_create(key, value, write, is_delete, height);
    for (unsigned level = 0; level < height; level++) {
        version->next[level] = before[level]->next[level];
        before[level]->next[level] = version;
    }
}

/* Takes out every version above `write`. */
static void list_cut(struct memory_store *store, uint64_t write)
{
    for (int level = LEVELS - 1; level >= 0; level--) {
        struct version *at = store->head;
        while (at->next[level]) {
            struct version *next = at->next[level];
            if (next->write <= write) {
                at = next;
                continue;
            }
            at->next[level] = next->next[level];
            if (level == 0) version_free(next);
        }
    }
}

/* The version of `key` that a reader at `write` sees; NULL for none or a deleted one. */
static struct version *list_get(struct memory_store *store, struct slice key, uint64_t write)
{
    struct version *before[LEVELS];
    struct version *found = list_find(store, key, write, before);
    if (!found || !slice_equal(found->key, key) || found->is_delete) return NULL;
    return found;
}

/* The first live version with a key >= `key` (or > it) as seen at `write`. */
static struct version *list_first_from(struct memory_store *store, struct slice key, bool after,
                                       uint64_t write)
{
    struct version *before[LEVELS];
    struct version *at = list_find(store, key, after ? 0 : UINT64_MAX, before);
    while (at) {
        if (at->write > write) {
            at = at->next[0];
            continue;
        }
        if (!at->is_delete) return at;
        at = list_find(store, at->key, 0, before); /* past all versions of a deleted key */
    }
    return NULL;
}

/* The last live version with a key below `key`. */
static struct version *list_last_below(struct memory_store *store, struct slice key,
                                       uint64_t write)
{
    struct version *before[LEVELS];
    for (;;) {
        list_find(store, key, UINT64_MAX, before);
        if (before[0] == store->head) return NULL;
        key = before[0]->key;
        struct version *found = list_get(store, key, write);
        if (found) return found;
    }
}

/* --- faults --- */

/* Under the lock: waits while blocked, counts, and says whether this call fails. */
static enum status call_begin(struct memory_store *store, enum memory_call call)
{
    store->blocked++;
    while (store->block_calls & call) pthread_cond_wait(&store->changed, &store->lock);
    store->blocked--;
    if (store->is_crashed) return STATUS_CLOSED;
    if (!(store->fail_calls & call)) return STATUS_OK;
    unsigned long n = ++store->calls;
    if (store->fail_at == 0 || n < store->fail_at) return STATUS_OK;
    if (store->fail_times && n >= store->fail_at + store->fail_times) return STATUS_OK;
    return store->fail_status;
}

static enum status call_failed(enum status status, struct error *error)
{
    return error_set(error, status, "memory engine: %s", status_text(status));
}

/* --- the engine table --- */

static struct memory_store *store_of(struct engine *engine)
{
    return ((struct memory_engine *)engine)->store;
}

static enum status engine_get(struct engine *engine, struct engine_snapshot *snapshot,
                              struct slice key, struct buffer *out, struct error *error)
{
    struct memory_store *store = store_of(engine);
    pthread_mutex_lock(&store->lock);
    enum status status = call_begin(store, MEMORY_GET);
    if (status == STATUS_OK) {
        struct version *found =
            list_get(store, key, snapshot ? snapshot->write : store->last_write);
        if (found) buffer_append_slice(out, found->value);
        else status = STATUS_NOT_FOUND;
    } else {
        call_failed(status, error);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

static enum status engine_write(struct engine *engine, const struct engine_batch *batch,
                                struct error *error)
{
    struct memory_store *store = store_of(engine);
    pthread_mutex_lock(&store->lock);
    enum status status = call_begin(store, MEMORY_WRITE);
    if (status == STATUS_OK && store->refuses_writes) status = store->refusal;
    if (status == STATUS_OK) {
        size_t position = 0;
        bool is_delete;
        struct slice key, value;
        store->last_write++;
        store->accepted++;
        while (engine_batch_next(batch, &position, &is_delete, &key, &value)) {
            list_insert(store, key, value, store->last_write, is_delete);
        }
    } else {
        store->refuses_writes = true;
        store->refusal = status;
        call_failed(status, error);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

static struct engine_snapshot *engine_snapshot(struct engine *engine)
{
    struct memory_store *store = store_of(engine);
    struct engine_snapshot *snapshot = mem_alloc(sizeof *snapshot);
    pthread_mutex_lock(&store->lock);
    snapshot->write = store->last_write;
    pthread_mutex_unlock(&store->lock);
    return snapshot;
}

static void engine_snapshot_release(struct engine *engine, struct engine_snapshot *snapshot)
{
    (void)engine;
    mem_free(snapshot);
}

static struct engine_iterator *engine_iterate(struct engine *engine,
                                              struct engine_snapshot *snapshot, bool keep_cached)
{
    (void)keep_cached;
    struct memory_store *store = store_of(engine);
    struct engine_iterator *iterator = mem_calloc(1, sizeof *iterator);
    iterator->store = store;
    pthread_mutex_lock(&store->lock);
    iterator->write = snapshot ? snapshot->write : store->last_write;
    pthread_mutex_unlock(&store->lock);
    return iterator;
}

enum move { MOVE_SEEK, MOVE_NEXT, MOVE_PREVIOUS };

static void iterator_move(struct engine_iterator *iterator, enum move move, struct slice key)
{
    struct memory_store *store = iterator->store;
    pthread_mutex_lock(&store->lock);
    ASSERT(move == MOVE_SEEK || iterator->at);
    iterator->status = call_begin(store, MEMORY_ITERATE);
    if (iterator->status != STATUS_OK) {
        iterator->at = NULL;
    } else if (move == MOVE_PREVIOUS) {
        iterator->at = list_last_below(store, key, iterator->write);
    } else {
        iterator->at = list_first_from(store, key, move == MOVE_NEXT, iterator->write);
    }
    pthread_mutex_unlock(&store->lock);
}

static void engine_iterator_seek(struct engine_iterator *iterator, struct slice key)
{
    iterator_move(iterator, MOVE_SEEK, key);
}

static void engine_iterator_next(struct engine_iterator *iterator)
{
    iterator_move(iterator, MOVE_NEXT, iterator->at->key);
}

static void engine_iterator_previous(struct engine_iterator *iterator)
{
    iterator_move(iterator, MOVE_PREVIOUS, iterator->at->key);
}

static bool engine_iterator_valid(const struct engine_iterator *iterator)
{
    return iterator->at != NULL;
}

static struct slice engine_iterator_key(const struct engine_iterator *iterator)
{
    return iterator->at->key;
}

static struct slice engine_iterator_value(const struct engine_iterator *iterator)
{
    return iterator->at->value;
}

static enum status engine_iterator_status(const struct engine_iterator *iterator,
                                          struct error *error)
{
    return iterator->status == STATUS_OK ? STATUS_OK : call_failed(iterator->status, error);
}

static void engine_iterator_destroy(struct engine_iterator *iterator)
{
    mem_free(iterator);
}

static enum status engine_flush(struct engine *engine, struct error *error)
{
    struct memory_store *store = store_of(engine);
    pthread_mutex_lock(&store->lock);
    enum status status = call_begin(store, MEMORY_FLUSH);
    if (status == STATUS_OK && store->refuses_writes) status = store->refusal;
    if (status == STATUS_OK) {
        store->durable_write = store->switch_write = store->last_write;
        store->durable = ++store->generation;
    } else {
        store->refuses_writes = true;
        store->refusal = status;
        call_failed(status, error);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

static uint64_t engine_durable_generation(struct engine *engine)
{
    struct memory_store *store = store_of(engine);
    pthread_mutex_lock(&store->lock);
    uint64_t durable = store->durable;
    pthread_mutex_unlock(&store->lock);
    return durable;
}

static uint64_t engine_write_generation(struct engine *engine)
{
    struct memory_store *store = store_of(engine);
    pthread_mutex_lock(&store->lock);
    uint64_t generation = store->generation;
    pthread_mutex_unlock(&store->lock);
    return generation;
}

static void engine_compact(struct engine *engine, struct slice from, struct slice to)
{
    (void)engine;
    (void)from;
    (void)to;
}

static char *engine_property(struct engine *engine, const char *name)
{
    (void)engine;
    if (strcmp(name, "leveldb.stats") != 0) return NULL;
    return mem_dup("memory", sizeof "memory");
}

static uint64_t engine_approximate_bytes(struct engine *engine, struct slice from,
                                         struct slice to)
{
    struct memory_store *store = store_of(engine);
    struct version *before[LEVELS];
    uint64_t bytes = 0;
    pthread_mutex_lock(&store->lock);
    for (struct version *at = list_find(store, from, UINT64_MAX, before);
         at && slice_compare(at->key, to) < 0; at = at->next[0]) {
        bytes += at->key.size + at->value.size;
    }
    pthread_mutex_unlock(&store->lock);
    return bytes;
}

static void engine_close(struct engine *engine)
{
    struct memory_store *store = store_of(engine);
    pthread_mutex_lock(&store->lock);
    store->handle = NULL;
    pthread_mutex_unlock(&store->lock);
    mem_free(engine);
}

static const struct engine_operations memory_operations = {
    .get = engine_get,
    .write = engine_write,
    .snapshot = engine_snapshot,
    .snapshot_release = engine_snapshot_release,
    .iterate = engine_iterate,
    .iterator_seek = engine_iterator_seek,
    .iterator_next = engine_iterator_next,
    .iterator_previous = engine_iterator_previous,
    .iterator_valid = engine_iterator_valid,
    .iterator_key = engine_iterator_key,
    .iterator_value = engine_iterator_value,
    .iterator_status = engine_iterator_status,
    .iterator_destroy = engine_iterator_destroy,
    .flush = engine_flush,
    .durable_generation = engine_durable_generation,
    .write_generation = engine_write_generation,
    .compact = engine_compact,
    .property = engine_property,
    .approximate_bytes = engine_approximate_bytes,
    .close = engine_close,
};

/* --- the store --- */

struct memory_store *memory_store_create(void)
{
    struct memory_store *store = mem_calloc(1, sizeof *store);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->changed, NULL);
    store->head = version_create((struct slice){NULL, 0}, (struct slice){NULL, 0}, 0, true, LEVELS);
    store->random = 42;
    return store;
}

void memory_store_destroy(struct memory_store *store)
{
    ASSERT(!store->handle);
    for (struct version *at = store->head; at;) {
        struct version *next = at->next[0];
        version_free(at);
        at = next;
    }
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->lock);
    mem_free(store);
}

enum status memory_store_open(struct memory_store *store, struct engine **out,
                              struct error *error)
{
    pthread_mutex_lock(&store->lock);
    if (!store->handle) store->is_crashed = false;
    enum status status = call_begin(store, MEMORY_OPEN);
    if (status == STATUS_OK && store->handle) status = STATUS_BUSY;
    if (status == STATUS_OK) {
        list_cut(store, store->durable_write);
        store->last_write = store->switch_write = store->durable_write;
        store->generation = store->durable = 0;
        store->refuses_writes = false;
        struct memory_engine *engine = mem_calloc(1, sizeof *engine);
        engine->base.operations = &memory_operations;
        atomic_init(&engine->base.references, 1);
        engine->store = store;
        store->handle = *out = &engine->base;
    } else {
        call_failed(status, error);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

void memory_store_fail(struct memory_store *store, unsigned calls, unsigned long n,
                       unsigned long times, enum status status)
{
    pthread_mutex_lock(&store->lock);
    store->fail_calls = calls;
    store->fail_at = n;
    store->fail_times = times;
    store->fail_status = status;
    store->calls = 0;
    pthread_mutex_unlock(&store->lock);
}

unsigned long memory_store_calls(const struct memory_store *store)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&store->lock;
    pthread_mutex_lock(lock);
    unsigned long calls = store->calls;
    pthread_mutex_unlock(lock);
    return calls;
}

void memory_store_block(struct memory_store *store, unsigned calls)
{
    pthread_mutex_lock(&store->lock);
    store->block_calls = calls;
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->lock);
}

unsigned memory_store_blocked(struct memory_store *store)
{
    pthread_mutex_lock(&store->lock);
    unsigned blocked = store->blocked;
    pthread_mutex_unlock(&store->lock);
    return blocked;
}

void memory_store_crash(struct memory_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->is_crashed = true;
    pthread_mutex_unlock(&store->lock);
}

void memory_store_switch(struct memory_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->generation++;
    store->switch_write = store->last_write;
    pthread_mutex_unlock(&store->lock);
}

void memory_store_settle(struct memory_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->durable = store->generation;
    store->durable_write = store->switch_write;
    pthread_mutex_unlock(&store->lock);
}

size_t memory_store_records(struct memory_store *store)
{
    size_t records = 0;
    pthread_mutex_lock(&store->lock);
    struct version *at = list_first_from(store, (struct slice){NULL, 0}, false, store->last_write);
    for (; at; at = list_first_from(store, at->key, true, store->last_write)) records++;
    pthread_mutex_unlock(&store->lock);
    return records;
}

uint64_t memory_store_writes(const struct memory_store *store)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&store->lock;
    pthread_mutex_lock(lock);
    uint64_t accepted = store->accepted;
    pthread_mutex_unlock(lock);
    return accepted;
}

bool memory_store_damage(struct memory_store *store, struct slice key)
{
    pthread_mutex_lock(&store->lock);
    struct version *found = list_get(store, key, store->last_write);
    if (found && found->value.size > 0) ((char *)(uintptr_t)found->value.data)[0] ^= 1;
    pthread_mutex_unlock(&store->lock);
    return found && found->value.size > 0;
}
