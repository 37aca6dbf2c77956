/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cache's two tiers: who is where, who leaves, idle times, upkeep. Where things are is drawn in
 * cache_private.h. Loop thread only; every call does a bounded amount of work. */
#include "base/check.h"
#include "base/memory.h"
#include "storage/cache_private.h"

enum {
    /* Touched entries that get another round before one of them is demoted all the same: when all
     * of hot is in use, one is as good as the other. */
    SECOND_CHANCES = 64,
    /* Absent entries leave before warm ones, but for this fraction of all entries' memory: keys
     * that are asked for again and again and do not exist. */
    ABSENT_FRACTION = 32,
    REFERENCED_LOOKS = 8,
    /* What one call does at most for entries that arrived since the one before, whatever `steps`:
     * some milliseconds. */
    MOST_ARRIVAL_STEPS = 32768
};

/* --- moves --- */

void cache_place(struct cache *cache, struct entry *entry)
{
    if (entry->tier == CACHE_HOT) {
        cache_list_put_newest(&cache->hot, entry);
    } else if (entry->tier == CACHE_WARM) {
        cache_list_put_newest(entry->state == ENTRY_ABSENT ? &cache->absent : &cache->warm, entry);
    }
}

static void change_tier(struct cache *cache, struct entry *entry, enum cache_tier tier)
{
    size_t bytes = entry_memory_bytes(entry);
    cache_list_remove(entry);
    entry->touches = 0;
    cache->tier_bytes[entry->tier] -= bytes;
    cache->tier_entries[entry->tier]--;
    entry->tier = (unsigned)tier & 3u;
    cache->tier_bytes[tier] += bytes;
    cache->tier_entries[tier]++;
    cache_place(cache, entry);
}

void cache_promote(struct cache *cache, struct entry *entry)
{
    if (cache_has_hot(cache)) {
        counter_add(&cache->metrics->promotions, 1);
        change_tier(cache, entry, CACHE_HOT);
    } else {
        cache_list_remove(entry);
        cache_place(cache, entry);
    }
}

/* Back to the new end, for one of its touches. */
static void give_chance(struct cache *cache, struct entry *entry)
{
    entry->touches = (entry->touches - 1u) & 3u;
    cache_list_remove(entry);
    cache_place(cache, entry);
}

static void demote(struct cache *cache, struct entry *entry)
{
    counter_add(&cache->metrics->demotions, 1);
    change_tier(cache, entry, CACHE_WARM);
}

/* The next one to go is needed soon: fetch it, and the bucket of the one before. */
static void prefetch_newer(const struct cache *cache, const struct entry *entry)
{
    const struct entry *next = entry->newer;
    __builtin_prefetch(next->newer);
    if (next->linked) cache_prefetch_bucket(cache, next->table, next->hash);
}

/* --- leaving memory --- */

/* Out of warm's or absent's old end into a waiting room, when it may not leave. */
static bool wait_outside(struct cache *cache, struct entry *entry)
{
    if (entry->references > 0) {
        cache_list_remove(entry);
        cache_list_put_newest(&cache->referenced_room, entry);
        return true;
    }
    if (entry->sequence <= cache->pins.applied) return false;
    cache_list_remove(entry);
    cache_list_put_newest(&cache->open_room, entry);
    if (entry->sequence > cache->open_sequence) cache->open_sequence = entry->sequence;
    return true;
}

static void evict(struct cache *cache, struct entry *entry)
{
    if (entry->state == ENTRY_PRESENT) cache->tables[entry->table]->complete = false;
    cache_remove(cache, entry);
}

/* The closed room's entries, once they may leave, are the first to go; then the open one closes. */
static struct cache_list *applied_room(struct cache *cache)
{
    if (cache_list_is_empty(&cache->closed_room)) {
        struct entry *oldest = cache_list_oldest(&cache->open_room);
        if (!oldest) return NULL;
        struct entry *newest = cache->open_room.ends->older, *ends = cache->closed_room.ends;
        ends->newer = oldest;
        oldest->older = ends;
        ends->older = newest;
        newest->newer = ends;
        cache_list_empty(&cache->open_room);
        cache->closed_sequence = cache->open_sequence;
        cache->open_sequence = 0;
    }
    return cache->closed_sequence <= cache->pins.applied ? &cache->closed_room : NULL;
}

static struct entry *next_victim(struct cache *cache)
{
    struct cache_list *room = applied_room(cache);
    if (room) return cache_list_oldest(room);
    struct entry *warm = cache_list_oldest(&cache->warm);
    struct entry *absent = cache_list_oldest(&cache->absent);
    uint64_t keep = (cache_used_bytes(cache) - cache->index_bytes) / ABSENT_FRACTION;
    if (absent && (!warm || cache->absent_bytes > keep)) return absent;
    return warm;
}

/* One step towards less in warm: somebody leaves, or is found to be unable to. False: nobody is
 * left to look at. */
static bool shrink_warm(struct cache *cache)
{
    struct entry *victim = next_victim(cache);
    if (!victim) return false;
    prefetch_newer(cache, victim);
    if (wait_outside(cache, victim)) return true;
    evict(cache, victim);
    counter_add(&cache->metrics->evictions, 1);
    return true;
}

/* One step towards less in hot. */
static bool shrink_hot(struct cache *cache, unsigned *chances)
{
    struct entry *oldest = cache_list_oldest(&cache->hot);
    if (!oldest) return false;
    prefetch_newer(cache, oldest);
    if (oldest->touches > 0 && *chances > 0) {
        (*chances)--;
        give_chance(cache, oldest);
    } else {
        *chances = SECOND_CHANCES;
        demote(cache, oldest);
    }
    return true;
}

/* Some of those that were referenced may be free by now. */
static void look_at_referenced(struct cache *cache)
{
    for (unsigned look = 0; look < REFERENCED_LOOKS; look++) {
        struct entry *entry = cache_list_oldest(&cache->referenced_room);
        if (!entry) return;
        cache_list_remove(entry);
        if (entry->references > 0) {
            cache_list_put_newest(&cache->referenced_room, entry);
        } else {
            cache_list_put_oldest(entry->state == ENTRY_ABSENT ? &cache->absent : &cache->warm,
                                  entry);
        }
    }
}

/* --- limits --- */

static uint64_t hot_limit_bytes(const struct cache *cache)
{
    if (cache->budget_bytes <= cache->index_bytes) return 0;
    return (cache->budget_bytes - cache->index_bytes) / 100 * (uint64_t)cache->options->hot_percent;
}

static bool hot_is_over(const struct cache *cache)
{
    int64_t most = cache->options->hot_max_entries;
    return cache->tier_bytes[CACHE_HOT] > hot_limit_bytes(cache) ||
           (most > 0 && cache->tier_entries[CACHE_HOT] > (uint64_t)most);
}

static bool warm_is_over(const struct cache *cache)
{
    int64_t most = cache->options->warm_max_entries;
    return cache_used_bytes(cache) > cache->budget_bytes ||
           (most > 0 && cache->tier_entries[CACHE_WARM] > (uint64_t)most);
}

bool cache_is_overfull(const struct cache *cache)
{
    if (cache_used_bytes(cache) <= cache->budget_bytes) return false;
    uint64_t fixed = cache->pins.bytes + cache->tier_bytes[CACHE_NONE] + cache->index_bytes;
    return fixed > cache->budget_bytes ||
           (cache_list_is_empty(&cache->hot) && cache_list_is_empty(&cache->warm) &&
            cache_list_is_empty(&cache->absent) &&
            (cache_list_is_empty(&cache->closed_room) ||
             cache->closed_sequence > cache->pins.applied));
}

/* --- upkeep --- */

bool cache_free_table(struct cache *cache, struct cache_table *table, unsigned *steps)
{
    for (; table->index.bucket_count > 0; --*steps) {
        if (*steps == 0) return false;
        size_t before = table->index.bytes;
        struct entry *entry = cache_index_drain(&table->index);
        cache->index_bytes += table->index.bytes - before;
        if (entry) cache_let_go(cache, entry);
    }
    cache->tables[table->number] = NULL;
    mem_free(table);
    return true;
}

static void free_dropped(struct cache *cache, unsigned *steps)
{
    while (cache->dropped) {
        struct cache_table *next = cache->dropped->next_dropped;
        if (!cache_free_table(cache, cache->dropped, steps)) return;
        cache->dropped = next;
    }
}

static void publish(const struct cache *cache)
{
    struct cache_metrics *metrics = cache->metrics;
    gauge_set(&metrics->hot_entries, (int64_t)cache->tier_entries[CACHE_HOT]);
    gauge_set(&metrics->warm_entries, (int64_t)cache->tier_entries[CACHE_WARM]);
    gauge_set(&metrics->hot_bytes, (int64_t)cache->tier_bytes[CACHE_HOT]);
    gauge_set(&metrics->warm_bytes, (int64_t)cache->tier_bytes[CACHE_WARM]);
    gauge_set(&metrics->index_bytes, (int64_t)cache->index_bytes);
    gauge_set(&metrics->used_bytes, (int64_t)cache_used_bytes(cache));
    gauge_set(&metrics->budget_bytes,
              cache->budget_bytes > INT64_MAX ? INT64_MAX : (int64_t)cache->budget_bytes);
    gauge_set(&metrics->pinned_bytes, (int64_t)cache->pins.bytes);
    gauge_set(&metrics->tombstones, (int64_t)cache->absent_entries);
    gauge_set(&metrics->referenced_bytes, (int64_t)entry_detached_bytes());
}

bool cache_maintain(struct cache *cache, unsigned steps)
{
    unsigned chances = SECOND_CHANCES;
    bool more = true;
    ASSERT_THREAD(THREAD_LOOP);
    free_dropped(cache, &steps);
    /* Who brings many entries pays for their room: otherwise memory would grow with every turn. */
    unsigned due = cache->arrivals < MOST_ARRIVAL_STEPS / 2 ? cache->arrivals * 2
                                                            : (unsigned)MOST_ARRIVAL_STEPS;
    if (steps < due) steps = due;
    cache->arrivals = 0;
    if (warm_is_over(cache)) look_at_referenced(cache);
    /* Both in step: hot's second chances must not keep memory from getting less, nor warm be
     * emptied because hot has not given yet. */
    for (; steps > 0 && more; steps--) {
        more = hot_is_over(cache) && shrink_hot(cache, &chances);
        if (!warm_is_over(cache)) continue;
        more = shrink_warm(cache) || more;
        /* When nobody in warm can go, hot gives: memory is bounded. */
        if (!more && cache_used_bytes(cache) > cache->budget_bytes)
            more = shrink_hot(cache, &chances);
    }
    publish(cache);
    return cache->dropped || (more && (hot_is_over(cache) || warm_is_over(cache)));
}

/* --- idle times --- */

static bool is_idle(const struct cache *cache, const struct entry *entry, int64_t limit_s)
{
    int32_t idle_s = (int32_t)(cache->now_s - entry->accessed_s);
    return idle_s >= limit_s;
}

/* Deals with one entry at the old end of a list; false: no idle one is behind it. */
static bool age_one(struct cache *cache, struct cache_list *list, int64_t limit_s)
{
    struct entry *oldest = cache_list_oldest(list);
    if (!oldest || limit_s <= 0) return false;
    if (is_idle(cache, oldest, limit_s)) {
        if (list == &cache->hot) {
            demote(cache, oldest);
        } else if (!wait_outside(cache, oldest)) {
            evict(cache, oldest);
            counter_add(&cache->metrics->expirations_idle, 1);
        }
        return true;
    }
    if (oldest->touches == 0) return false; /* what came later was accessed later */
    give_chance(cache, oldest);
    return true;
}

void cache_age(struct cache *cache, unsigned steps)
{
    const struct cache_options *options = cache->options;
    struct cache_list *room = applied_room(cache);
    unsigned left = steps;
    for (; room && left > 0 && !cache_list_is_empty(room); left--) {
        struct entry *entry = cache_list_oldest(room);
        cache_list_remove(entry);
        cache_list_put_oldest(entry->state == ENTRY_ABSENT ? &cache->absent : &cache->warm, entry);
    }
    look_at_referenced(cache);
    for (left = steps; left > 0 && age_one(cache, &cache->hot, options->hot_idle_seconds); left--) {
    }
    for (left = steps; left > 0 && age_one(cache, &cache->warm, options->warm_idle_seconds);
         left--) {
    }
    for (left = steps; left > 0 && age_one(cache, &cache->absent, options->warm_idle_seconds);
         left--) {
    }
    publish(cache);
}
