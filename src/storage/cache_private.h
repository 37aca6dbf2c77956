/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of the cache share: cache.c (tables, look-up, changes) and cache_tier.c (lists,
 * eviction, idle times). Loop thread only.
 *
 * Where a linked entry is:
 *
 *   state     tier       list
 *   LOADING   NONE       none
 *   PRESENT   HOT        hot
 *   PRESENT   WARM       warm, or a waiting room
 *   ABSENT    WARM       absent, or a waiting room
 *
 * Hot is not kept in exact order of access: a touch only counts in the entry, up to 3, and an entry
 * with touches that reaches the old end goes to the new end again, with one less, instead of
 * leaving (Corbato: A paging experiment with the Multics system, 1968, "clock", with a counter). So
 * a hit on a hot entry touches no other entry's memory.
 *
 * The waiting rooms hold what reached the end of warm or absent but may not leave: pinned entries,
 * until all that was in the room when it was closed has been applied, and referenced ones, a few of
 * which are looked at again each turn. So eviction meets each of them once, not at every attempt.
 */
#ifndef KELVIN_STORAGE_CACHE_PRIVATE_H
#define KELVIN_STORAGE_CACHE_PRIVATE_H

#include "storage/cache.h"
#include "storage/cache_index.h"
#include "storage/cache_pins.h"

enum {
    CACHE_TABLES = 65536, /* 0 is none */
    CACHE_TIERS = 3
};

/* A ring of entries that closes at a sentinel, an entry that is none: ends->older is the newest,
 * ends->newer the oldest. */
struct cache_list {
    struct entry *ends;
};

struct cache_table {
    struct cache_index index; /* first: what a look-up touches */
    bool dropped;
    bool complete;
    uint16_t number;
    size_t present;
    struct cache_table *next_dropped;
};

struct cache {
    struct cache_table **tables; /* [CACHE_TABLES] */
    struct cache_metrics *metrics;
    const struct cache_options *options;
    uint32_t now_s;
    uint32_t last_table; /* where the search for a free number begins */

    uint64_t budget_bytes;
    uint64_t tier_bytes[CACHE_TIERS]; /* of entries; NONE: those being loaded */
    uint64_t tier_entries[CACHE_TIERS];
    uint64_t absent_bytes, absent_entries; /* in warm */
    uint64_t index_bytes;
    unsigned arrivals; /* entries made since the last upkeep */
    struct cache_pins pins;

    struct cache_list hot, warm, absent;
    struct cache_list closed_room; /* pinned; all applied once `closed_sequence` is */
    struct cache_list open_room;   /* pinned; where more come in */
    struct cache_list referenced_room;
    uint64_t closed_sequence, open_sequence;

    struct cache_table *dropped; /* being freed, first come first */
    struct cache_options own_options;
    struct cache_metrics own_metrics; /* where the caller wants none */
};

/* --- lists --- */

static inline void cache_list_empty(struct cache_list *list)
{
    list->ends->newer = list->ends->older = list->ends;
}

static inline bool cache_list_is_empty(const struct cache_list *list)
{
    return list->ends->newer == list->ends;
}

static inline struct entry *cache_list_oldest(const struct cache_list *list)
{
    return cache_list_is_empty(list) ? NULL : list->ends->newer;
}

static inline void cache_list_insert(struct entry *newer, struct entry *entry, struct entry *older)
{
    entry->newer = newer;
    entry->older = older;
    newer->older = entry;
    older->newer = entry;
}

static inline void cache_list_put_newest(struct cache_list *list, struct entry *entry)
{
    cache_list_insert(list->ends, entry, list->ends->older);
}

static inline void cache_list_put_oldest(struct cache_list *list, struct entry *entry)
{
    cache_list_insert(list->ends->newer, entry, list->ends);
}

static inline void cache_list_remove(struct entry *entry)
{
    if (!entry->newer) return; /* being loaded: in no list */
    entry->newer->older = entry->older;
    entry->older->newer = entry->newer;
    entry->newer = entry->older = NULL;
}

/* --- shared steps --- */

/* Counts the entry in or out, by its state, tier, sizes and sequence as they are now. */
void cache_count_in(struct cache *cache, const struct entry *entry);
void cache_count_out(struct cache *cache, const struct entry *entry);
/* Puts an entry that is in no list at the new end of the one where it belongs. */
void cache_place(struct cache *cache, struct entry *entry);
/* From warm to the new end of hot. */
void cache_promote(struct cache *cache, struct entry *entry);
/* Out of list and counts, its slot in the index already gone; freed when nobody references it. */
void cache_let_go(struct cache *cache, struct entry *entry);
/* Frees a dropped table, or as much of it as `*steps` allow; true when it is gone. */
bool cache_free_table(struct cache *cache, struct cache_table *table, unsigned *steps);
/* Whether entries may be in hot at all. */
static inline bool cache_has_hot(const struct cache *cache)
{
    return cache->options->hot_percent > 0;
}

#endif
