/* SPDX-License-Identifier: BSD-3-Clause
 *
 * WATCH: a table of its own of watched keys, so that eviction from the cache is not a change, and expiry,
 * FLUSH and SWAPDB are seen as Redis sees them: a flush dirties the keys that existed, a swap those that
 * exist on either side, expiry those that were alive when they were watched. Each write looks here, so
 * the table grows with what is watched, by linear hashing: one bucket is split for each key that is
 * one too many. Loop thread. */
#include "base/clock.h"
#include "storage/keyspace_internal.h"

enum { SEGMENT_BUCKETS = 1024, SEGMENTS_MAX = 4096 };

struct watch {
    struct list_node node; /* in its bucket */
    struct list_node of_watcher, of_all;
    struct watcher *watcher;
    unsigned number;
    uint64_t hash;
    bool existed;        /* alive when watched */
    bool was_expired;    /* its time had come, but it was still there */
    int64_t expire_at_ms; /* of the key as watched; -1 none */
    size_t key_size;
    char key[];
};

struct watch_table {
    size_t count, bucket_count;
    struct list all;
    struct list *segments[SEGMENTS_MAX]; /* of SEGMENT_BUCKETS each; they never move */
};

/* --- the table --- */

static struct list *bucket_at(const struct watch_table *table, size_t bucket)
{
    return &table->segments[bucket / SEGMENT_BUCKETS][bucket % SEGMENT_BUCKETS];
}

/* The largest power of two that is not above the number of buckets. */
static size_t table_level(const struct watch_table *table)
{
    return (size_t)1 << (63 - __builtin_clzll(table->bucket_count));
}

static struct list *bucket_of(const struct watch_table *table, uint64_t hash)
{
    size_t level = table_level(table);
    size_t bucket = hash & (2 * level - 1);
    return bucket_at(table, bucket < table->bucket_count ? bucket : bucket - level);
}

static void add_segment(struct watch_table *table)
{
    struct list *segment = mem_alloc(SEGMENT_BUCKETS * sizeof *segment);
    for (size_t i = 0; i < SEGMENT_BUCKETS; i++) list_init(&segment[i]);
    table->segments[table->bucket_count / SEGMENT_BUCKETS] = segment;
}

static void split_bucket(struct watch_table *table)
{
    size_t level = table_level(table);
    if (table->bucket_count == (size_t)SEGMENT_BUCKETS * SEGMENTS_MAX) return;
    if (table->bucket_count % SEGMENT_BUCKETS == 0) add_segment(table);
    struct list *from = bucket_at(table, table->bucket_count - level);
    struct list *to = bucket_at(table, table->bucket_count);
    size_t made = table->bucket_count++;
    LIST_FOR_EACH_SAFE(node, after, from)
    {
        if ((LIST_ENTRY(node, struct watch, node)->hash & (2 * level - 1)) != made) continue;
        list_remove(node);
        list_push_back(to, node);
    }
}

/* Back to one segment once nothing is watched. */
static void shrink(struct watch_table *table)
{
    for (size_t i = 1; i < SEGMENTS_MAX && table->segments[i]; i++) {
        mem_free(table->segments[i]);
        table->segments[i] = NULL;
    }
    table->bucket_count = SEGMENT_BUCKETS;
}

struct watch_table *watch_table_create(void)
{
    struct watch_table *table = mem_calloc(1, sizeof *table);
    list_init(&table->all);
    add_segment(table);
    table->bucket_count = SEGMENT_BUCKETS;
    return table;
}

void watch_table_destroy(struct watch_table *table)
{
    ASSERT(table->count == 0);
    shrink(table);
    mem_free(table->segments[0]);
    mem_free(table);
}

/* --- watching --- */

static struct slice watch_key(const struct watch *watch)
{
    return slice_make(watch->key, watch->key_size);
}

static size_t watch_bytes(const struct watch *watch)
{
    return sizeof *watch + watch->key_size + sizeof(struct list); /* and its bucket */
}

static bool is_for(const struct watch *watch, unsigned number, struct slice key, uint64_t hash)
{
    return watch->number == number && watch->hash == hash && slice_equal(watch_key(watch), key);
}

static bool has_watch(const struct watch_table *table, const struct watcher *watcher,
                      unsigned number, struct slice key, uint64_t hash)
{
    LIST_FOR_EACH(node, bucket_of(table, hash))
    {
        const struct watch *watch = LIST_ENTRY(node, struct watch, node);
        if (watch->watcher == watcher && is_for(watch, number, key, hash)) return true;
    }
    return false;
}

void watcher_init(struct watcher *watcher)
{
    *watcher = (struct watcher){0};
    list_init(&watcher->watches);
}

void keyspace_watch(struct keyspace *keyspace, struct watcher *watcher, unsigned number,
                    struct slice key, struct access *access)
{
    struct key_view view;
    struct watch_table *table = keyspace->watches;
    uint64_t hash = hash_key(key.data, key.size);
    if (watcher->dirty || has_watch(table, watcher, number, key, hash)) return;
    enum found found = keyspace_look(access, number, key, LOOK_EXPIRED_TOO, &view);
    if (found != FOUND && found != FOUND_NOTHING) return;
    struct watch *watch = mem_calloc(1, sizeof *watch + key.size);
    watch->watcher = watcher;
    watch->number = number;
    watch->hash = hash;
    watch->expire_at_ms = -1;
    watch->key_size = key.size;
    memcpy(watch->key, key.data, key.size);
    if (found == FOUND) {
        watch->expire_at_ms = view.expire_at_ms;
        watch->was_expired = view.expire_at_ms >= 0 && view.expire_at_ms <= access->now_ms;
        watch->existed = !watch->was_expired;
    }
    list_push_back(bucket_of(table, hash), &watch->node);
    list_push_back(&watcher->watches, &watch->of_watcher);
    list_push_back(&table->all, &watch->of_all);
    watcher->bytes += watch_bytes(watch);
    if (++table->count > table->bucket_count) split_bucket(table);
}

bool keyspace_watch_is_dirty(const struct watcher *watcher, int64_t now_ms)
{
    if (watcher->dirty) return true;
    LIST_FOR_EACH(node, &watcher->watches)
    {
        const struct watch *watch = LIST_ENTRY(node, struct watch, of_watcher);
        if (watch->existed && watch->expire_at_ms >= 0 && watch->expire_at_ms <= now_ms) return true;
    }
    return false;
}

void keyspace_unwatch(struct keyspace *keyspace, struct watcher *watcher)
{
    struct list_node *node;
    struct watch_table *table = keyspace->watches;
    while ((node = list_pop_front(&watcher->watches))) {
        struct watch *watch = LIST_ENTRY(node, struct watch, of_watcher);
        list_remove(&watch->node);
        list_remove(&watch->of_all);
        table->count--;
        mem_free(watch);
    }
    if (table->count == 0) shrink(table);
    watcher->bytes = 0;
    watcher->dirty = false;
}

/* --- changes --- */

void watch_note_key(struct keyspace *keyspace, const struct database *database,
                    const struct pending *pending)
{
    struct watch_table *table = keyspace->watches;
    if (table->count == 0 || pending->unseen) return;
    unsigned number = (unsigned)(database - keyspace->databases);
    LIST_FOR_EACH(node, bucket_of(table, pending->hash))
    {
        struct watch *watch = LIST_ENTRY(node, struct watch, node);
        if (!is_for(watch, number, pending->operation.key, pending->hash)) continue;
        /* The delete of a key that had expired before it was watched changes nothing to be seen. */
        if (pending->expires && watch->was_expired)
            watch->was_expired = false;
        else
            watch->watcher->dirty = true;
    }
}

/* A key whose time was over before goes without anything to be seen. */
void watch_note_flush(struct keyspace *keyspace, unsigned number)
{
    LIST_FOR_EACH(node, &keyspace->watches->all)
    {
        struct watch *watch = LIST_ENTRY(node, struct watch, of_all);
        if (watch->number != number) continue;
        watch->watcher->dirty |= watch->existed;
        watch->was_expired = false;
    }
}

/* A key that somebody watches on one side may exist on the other: that must be known before. */
enum found watch_prepare_swap(struct access *access, unsigned a, unsigned b)
{
    enum found result = FOUND;
    LIST_FOR_EACH(node, &access->keyspace->watches->all)
    {
        struct watch *watch = LIST_ENTRY(node, struct watch, of_all);
        if (watch->number != a && watch->number != b) continue;
        struct key_view view;
        unsigned other = watch->number == a ? b : a;
        if (keyspace_look(access, other, watch_key(watch), LOOK_EXPIRED_TOO, &view) == FOUND_WAIT)
            result = FOUND_WAIT;
    }
    return result;
}

/* What takes the place of a watched key is in `entry`, or nothing is. */
static void note_replaced(struct watch *watch, const struct entry *entry, int64_t now_ms)
{
    bool is_there = entry && entry->state == ENTRY_PRESENT;
    int64_t expire_at_ms = is_there ? entry_expire_at_ms(entry) : -1;
    bool is_over = expire_at_ms >= 0 && expire_at_ms <= now_ms;
    watch->watcher->dirty |= watch->existed || (is_there && !is_over);
    watch->was_expired = is_over;
}

/* Called before the mapping is changed: both sides are in the cache. */
void watch_note_swap(struct keyspace *keyspace, unsigned a, unsigned b)
{
    int64_t now_ms = clock_wall_ms();
    LIST_FOR_EACH(node, &keyspace->watches->all)
    {
        struct watch *watch = LIST_ENTRY(node, struct watch, of_all);
        if (watch->number != a && watch->number != b) continue;
        unsigned other = watch->number == a ? b : a;
        uint16_t table = keyspace->databases[other].table;
        note_replaced(watch, cache_find(keyspace->cache, table, watch_key(watch), watch->hash), now_ms);
    }
}
