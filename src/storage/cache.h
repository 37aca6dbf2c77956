/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cache: a segmented LRU of two tiers over hash tables, one table per incarnation of a database
 * and one for elements. A new entry enters warm; a second access promotes it to hot; what overflows
 * hot falls back to warm; what overflows warm leaves memory. (Karedla, Love, Wherry: Caching
 * strategies to improve disk system performance, 1994, call it SLRU.) Each tier has a byte budget,
 * an optional cap on entries and an idle time.
 *
 * Never evicted: placeholders, entries that somebody references, and pinned ones, whose last
 * operation is not yet in LevelDB (entry.sequence > applied). No locks: loop thread only. */
#ifndef KELVIN_STORAGE_CACHE_H
#define KELVIN_STORAGE_CACHE_H

#include "base/metric.h"
#include "base/option.h"
#include "storage/entry.h"

enum cache_tier { CACHE_NONE, CACHE_WARM, CACHE_HOT };

struct cache_options {
    int64_t percent;           /* of what maxmemory leaves for the cache, default 100: for the caller,
                                  who sets the budget */
    int64_t hot_percent;       /* of the byte budget, default 85 */
    int64_t hot_max_entries;   /* 0: bytes alone */
    int64_t warm_max_entries;
    int64_t hot_idle_seconds;  /* back to warm, default 300; 0: never */
    int64_t warm_idle_seconds; /* out of memory, default 3600; 0: never */
};
extern const struct option_table cache_option_table;

struct cache_metrics {
    struct counter hits_hot, hits_warm, hits_absent, misses, promotions, demotions, evictions,
        expirations_idle, in_place, insertions;
    struct gauge hot_entries, warm_entries, hot_bytes, warm_bytes, index_bytes, used_bytes,
        budget_bytes, pinned_bytes, tombstones, referenced_bytes; /* as of the last upkeep */
};
extern const struct metric_table cache_metric_table;

struct cache;

/* `options` and `metrics` stay the caller's and outlive the cache; either may be NULL. */
struct cache *cache_create(const struct cache_options *options, struct cache_metrics *metrics);
void cache_destroy(struct cache *cache);

/* The memory that both tiers together may hold (bytes, hash tables included; those lie outside the
 * allocator's figures). No limit at first. Lowering it evicts over the next calls of
 * cache_maintain. */
void cache_set_budget(struct cache *cache, uint64_t bytes);
uint64_t cache_budget_bytes(const struct cache *cache);
uint64_t cache_used_bytes(const struct cache *cache);
/* Entries up to this sequence are in LevelDB and may leave memory. */
void cache_set_applied(struct cache *cache, uint64_t sequence);
/* Bytes of entries above it. Counted in entry_memory_bytes. Exact while at most 1024 sequences are
 * above the applied one; beyond that too high by up to what a thousandth of them pins. */
uint64_t cache_pinned_bytes(const struct cache *cache);
/* The loop's clock, once per turn: seconds for access times. */
void cache_set_time(struct cache *cache, uint32_t seconds);

/* --- tables --- */
/* A fresh, empty table; its number may be used until it is dropped, and names another table some time
 * later. Never 0 (which means none). */
uint16_t cache_table_create(struct cache *cache);
/* O(1): the entries can be found no more; their memory is given back over the next calls of
 * cache_maintain (small tables at once), pinned ones too. */
void cache_table_drop(struct cache *cache, uint16_t table);
/* Entries in state PRESENT, and all. */
size_t cache_table_present(const struct cache *cache, uint16_t table);
size_t cache_table_entries(const struct cache *cache, uint16_t table);
/* True until an entry has left memory (evicted or idle): a miss is then an answer. A new table is
 * complete only if created so. */
bool cache_table_is_complete(const struct cache *cache, uint16_t table);
void cache_table_set_complete(struct cache *cache, uint16_t table, bool complete);
/* A random entry in state PRESENT, or NULL after a bounded search. `random` is any number. */
struct entry *cache_table_random(struct cache *cache, uint16_t table, uint64_t random);
/* Up to `most` present entries, neighbours in the index from a random place on; all where there are no
 * more. Returns how many. */
size_t cache_table_sample(const struct cache *cache, uint16_t table, uint64_t random,
                          struct entry **out, size_t most);

/* --- looking up --- */
/* Brings the memory that a later cache_find of that hash touches nearer. Two steps, so that a batch
 * of pipelined commands overlaps its misses: buckets of all first, then entries of all. */
void cache_prefetch_bucket(const struct cache *cache, uint16_t table, uint64_t hash);
void cache_prefetch_entry(const struct cache *cache, uint16_t table, uint64_t hash);
/* The entry in any state, or NULL. `hash` is hash_key(key). Changes nothing. */
struct entry *cache_find(const struct cache *cache, uint16_t table, struct slice key, uint64_t hash);
/* An access: counts a hit and moves the entry from warm to hot when this is its second one. What a
 * load has just brought (sequence 0, same second) counts as accessed for the first time by its first
 * touch, which is no hit: the load was its miss (counted when the placeholder was put). */
void cache_touch(struct cache *cache, struct entry *entry);

/* --- changing --- */
struct cache_value {
    struct slice value;    /* copied (at most UINT32_MAX bytes); with `has_object` the bytes of a
                              struct object_head */
    int64_t expire_at_ms;  /* -1: never */
    uint8_t type, encoding, state;
    bool has_object;
    uint64_t sequence;     /* 0 for what a load brought */
    struct entry *made;    /* NULL, or an entry_create of this key, value and expiry that takes the
                              record's place: now the cache's */
};
/* Puts the record in the place of whatever the table has under that key. An entry that nobody
 * references and that needs the same size of allocation is changed where it lies; otherwise a new
 * one is made and the old one unlinked. A write is an access: a present entry keeps its tier, or
 * becomes hot when its last access was in an earlier second (so that the read and the write of one
 * command count once). Absent entries are warm only. `value.value` and `key` may point into the
 * entry that is replaced. Returns the entry, linked. */
struct entry *cache_put(struct cache *cache, uint16_t table, struct slice key, uint64_t hash,
                        const struct cache_value *value);
/* As cache_put for a key whose entry the caller already found (NULL: there is none). */
struct entry *cache_put_found(struct cache *cache, struct entry *found, uint16_t table,
                              struct slice key, uint64_t hash, const struct cache_value *value);
/* Unlinks; frees when nobody references it. */
void cache_remove(struct cache *cache, struct entry *entry);

/* --- upkeep --- */
/* Brings both tiers to their limits and frees dropped tables; does at most `steps` entries' worth of
 * work, or two for each entry that was made since the last call where that is more (up to 32768).
 * Returns whether work is left that a further call can do. Called each turn of the loop. */
bool cache_maintain(struct cache *cache, unsigned steps);
/* Looks at idle times: the oldest entries of each tier. Called a few times a second. */
void cache_age(struct cache *cache, unsigned steps);
/* True when the budget is exceeded by what cannot be evicted (pins, references). */
bool cache_is_overfull(const struct cache *cache);

#endif
