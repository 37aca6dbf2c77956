/* SPDX-License-Identifier: BSD-3-Clause
 *
 * WATCH: a table of its own of watched keys, so that eviction from the cache is not a change, and expiry,
 * FLUSH and SWAPDB are seen as Redis sees them: a flush dirties the keys that existed, a swap those that
 * exist on either side, expiry those that were alive when they were watched. Loop thread. */
#include "base/clock.h"
#include "storage/keyspace_internal.h"

enum { WATCH_BUCKETS = 1024 };

struct watch {
    struct list_node node; /* in its bucket */
    unsigned number;
    uint64_t hash;
    bool existed;        /* alive when watched */
    bool was_expired;    /* its time had come, but it was still there */
    bool dirty;
    int64_t expire_at_ms; /* of the key as watched; -1 none */
    size_t key_size;
    char key[];
};

struct watch_table {
    size_t count;
    struct list buckets[WATCH_BUCKETS];
};

struct watch_table *watch_table_create(void)
{
    struct watch_table *table = mem_calloc(1, sizeof *table);
    for (unsigned i = 0; i < WATCH_BUCKETS; i++) list_init(&table->buckets[i]);
    return table;
}

void watch_table_destroy(struct watch_table *table)
{
    ASSERT(table->count == 0);
    mem_free(table);
}

struct watch *keyspace_watch(struct keyspace *keyspace, unsigned number, struct slice key,
                             struct access *access)
{
    struct key_view view;
    enum found found = keyspace_look(access, number, key, LOOK_EXPIRED_TOO, &view);
    if (found != FOUND && found != FOUND_NOTHING) return NULL;
    struct watch *watch = mem_calloc(1, sizeof *watch + key.size);
    watch->number = number;
    watch->hash = hash_key(key.data, key.size);
    watch->expire_at_ms = -1;
    watch->key_size = key.size;
    memcpy(watch->key, key.data, key.size);
    if (found == FOUND) {
        watch->expire_at_ms = view.expire_at_ms;
        watch->was_expired = view.expire_at_ms >= 0 && view.expire_at_ms <= access->now_ms;
        watch->existed = !watch->was_expired;
    }
    list_push_back(&keyspace->watches->buckets[watch->hash % WATCH_BUCKETS], &watch->node);
    keyspace->watches->count++;
    return watch;
}

static struct slice watch_key(const struct watch *watch)
{
    return slice_make(watch->key, watch->key_size);
}

bool keyspace_watch_is_dirty(struct keyspace *keyspace, const struct watch *watch, int64_t now_ms)
{
    (void)keyspace;
    if (watch->dirty) return true;
    return watch->existed && watch->expire_at_ms >= 0 && watch->expire_at_ms <= now_ms;
}

bool keyspace_watch_is_for(const struct keyspace *keyspace, const struct watch *watch,
                           unsigned number, struct slice key)
{
    (void)keyspace;
    return watch->number == number && slice_equal(watch_key(watch), key);
}

void keyspace_unwatch(struct keyspace *keyspace, struct watch *watch)
{
    list_remove(&watch->node);
    keyspace->watches->count--;
    mem_free(watch);
}

void watch_note_key(struct keyspace *keyspace, const struct database *database,
                    const struct pending *pending)
{
    struct watch_table *table = keyspace->watches;
    if (table->count == 0 || pending->unseen) return;
    unsigned number = (unsigned)(database - keyspace->databases);
    LIST_FOR_EACH(node, &table->buckets[pending->hash % WATCH_BUCKETS])
    {
        struct watch *watch = LIST_ENTRY(node, struct watch, node);
        if (watch->number != number || watch->hash != pending->hash ||
            !slice_equal(watch_key(watch), pending->operation.key))
            continue;
        /* The delete of a key that had expired before it was watched changes nothing to be seen. */
        if (pending->expires && watch->was_expired)
            watch->was_expired = false;
        else
            watch->dirty = true;
    }
}

#define WATCH_FOR_EACH(watch, table)                                                               \
    for (unsigned bucket_ = 0; (table)->count && bucket_ < WATCH_BUCKETS; bucket_++)               \
        for (struct list_node *node_ = (table)->buckets[bucket_].head.next;                        \
             node_ != &(table)->buckets[bucket_].head; node_ = node_->next)                        \
            if (((watch) = LIST_ENTRY(node_, struct watch, node)), 1)

/* A key whose time was over before goes without anything to be seen. */
void watch_note_flush(struct keyspace *keyspace, unsigned number)
{
    struct watch *watch;
    WATCH_FOR_EACH(watch, keyspace->watches)
    {
        if (watch->number != number) continue;
        watch->dirty |= watch->existed;
        watch->was_expired = false;
    }
}

/* A key that somebody watches on one side may exist on the other: that must be known before. */
enum found watch_prepare_swap(struct access *access, unsigned a, unsigned b)
{
    struct watch *watch;
    enum found result = FOUND;
    WATCH_FOR_EACH(watch, access->keyspace->watches)
    {
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
    watch->dirty |= watch->existed || (is_there && !is_over);
    watch->was_expired = is_over;
}

/* Called before the mapping is changed: both sides are in the cache. */
void watch_note_swap(struct keyspace *keyspace, unsigned a, unsigned b)
{
    struct watch *watch;
    int64_t now_ms = clock_wall_ms();
    WATCH_FOR_EACH(watch, keyspace->watches)
    {
        if (watch->number != a && watch->number != b) continue;
        unsigned other = watch->number == a ? b : a;
        uint16_t table = keyspace->databases[other].table;
        note_replaced(watch, cache_find(keyspace->cache, table, watch_key(watch), watch->hash), now_ms);
    }
}
