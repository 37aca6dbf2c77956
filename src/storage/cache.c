/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cache: tables, looking up and changing entries. Lists and eviction are in cache_tier.c, where
 * things are is drawn in cache_private.h. Loop thread only.
 *
 * Always true between two calls: an entry is linked exactly if its table's index has it; it is then
 * in the list that its state and tier say; and all counts are those of the linked entries. */
#include "storage/cache.h"

#include "base/check.h"
#include "base/memory.h"
#include "storage/cache_private.h"

enum {
    DROP_AT_ONCE = 64, /* entries of a table that is freed by the drop itself */
    MOST_TOUCHES = 3
};

struct cache *cache_create(const struct cache_options *options, struct cache_metrics *metrics)
{
    struct cache *cache = mem_calloc(1, sizeof *cache);
    cache->tables = mem_calloc(CACHE_TABLES, sizeof *cache->tables);
    if (!options) option_set_defaults(&cache_option_table, &cache->own_options);
    cache->options = options ? options : &cache->own_options;
    cache->metrics = metrics ? metrics : &cache->own_metrics;
    cache->budget_bytes = UINT64_MAX;
    cache_pins_init(&cache->pins);
    struct cache_list *lists[] = {&cache->hot,         &cache->warm,      &cache->absent,
                                  &cache->closed_room, &cache->open_room, &cache->referenced_room};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        lists[i]->ends = mem_calloc(1, sizeof(struct entry));
        cache_list_empty(lists[i]);
    }
    return cache;
}

void cache_destroy(struct cache *cache)
{
    if (!cache) return;
    for (unsigned number = 1; number < CACHE_TABLES; number++)
        if (cache->tables[number] && !cache->tables[number]->dropped)
            cache_table_drop(cache, (uint16_t)number);
    while (cache->dropped) cache_maintain(cache, 1 << 16);
    mem_free(cache->hot.ends);
    mem_free(cache->warm.ends);
    mem_free(cache->absent.ends);
    mem_free(cache->closed_room.ends);
    mem_free(cache->open_room.ends);
    mem_free(cache->referenced_room.ends);
    mem_free(cache->tables);
    mem_free(cache);
}

void cache_set_budget(struct cache *cache, uint64_t bytes)
{
    cache->budget_bytes = bytes;
}

uint64_t cache_budget_bytes(const struct cache *cache)
{
    return cache->budget_bytes;
}

uint64_t cache_used_bytes(const struct cache *cache)
{
    return cache->tier_bytes[CACHE_NONE] + cache->tier_bytes[CACHE_WARM] +
           cache->tier_bytes[CACHE_HOT] + cache->index_bytes;
}

void cache_set_applied(struct cache *cache, uint64_t sequence)
{
    cache_pins_set_applied(&cache->pins, sequence);
}

uint64_t cache_pinned_bytes(const struct cache *cache)
{
    return cache->pins.bytes;
}

void cache_set_time(struct cache *cache, uint32_t seconds)
{
    cache->now_s = seconds;
}

/* --- counts --- */

/* `one` is 1 or, as all of them wrap around, UINT64_MAX for minus one; `bytes` likewise. */
static void count(struct cache *cache, const struct entry *entry, uint64_t bytes, uint64_t one)
{
    cache->tier_bytes[entry->tier] += bytes;
    cache->tier_entries[entry->tier] += one;
    if (entry->state == ENTRY_PRESENT) {
        cache->tables[entry->table]->present += one;
    } else if (entry->state == ENTRY_ABSENT) {
        cache->absent_bytes += bytes;
        cache->absent_entries += one;
    }
}

void cache_count_in(struct cache *cache, const struct entry *entry)
{
    size_t bytes = entry_memory_bytes(entry);
    count(cache, entry, bytes, 1);
    cache_pins_add(&cache->pins, entry->sequence, bytes);
}

void cache_count_out(struct cache *cache, const struct entry *entry)
{
    size_t bytes = entry_memory_bytes(entry);
    count(cache, entry, 0 - (uint64_t)bytes, UINT64_MAX); /* minus one */
    cache_pins_subtract(&cache->pins, entry->sequence, bytes);
}

void cache_let_go(struct cache *cache, struct entry *entry)
{
    cache_list_remove(entry);
    cache_count_out(cache, entry);
    entry_detach(entry);
}

/* --- tables --- */

static uint16_t free_number(struct cache *cache)
{
    for (unsigned tried = 1; tried < CACHE_TABLES; tried++) {
        cache->last_table = cache->last_table % (CACHE_TABLES - 1) + 1;
        if (!cache->tables[cache->last_table]) return (uint16_t)cache->last_table;
    }
    return 0;
}

uint16_t cache_table_create(struct cache *cache)
{
    uint16_t number = free_number(cache);
    while (number == 0) { /* all are in use: some have been dropped and not yet freed */
        if (!cache->dropped) panic("there are %d cache tables already", CACHE_TABLES - 1);
        cache_maintain(cache, 1 << 16);
        number = free_number(cache);
    }
    struct cache_table *table = mem_calloc(1, sizeof *table);
    cache_index_init(&table->index);
    table->number = number;
    cache->tables[number] = table;
    return number;
}

void cache_table_drop(struct cache *cache, uint16_t number)
{
    struct cache_table *table = cache->tables[number], **end = &cache->dropped;
    ASSERT_THREAD(THREAD_LOOP);
    ASSERT(table && !table->dropped);
    table->dropped = true;
    unsigned steps = 4 * DROP_AT_ONCE;
    if (table->index.entries <= DROP_AT_ONCE && cache_free_table(cache, table, &steps)) return;
    while (*end) end = &(*end)->next_dropped;
    *end = table;
}

size_t cache_table_present(const struct cache *cache, uint16_t table)
{
    return cache->tables[table]->dropped ? 0 : cache->tables[table]->present;
}

size_t cache_table_entries(const struct cache *cache, uint16_t table)
{
    return cache->tables[table]->dropped ? 0 : cache->tables[table]->index.entries;
}

bool cache_table_is_complete(const struct cache *cache, uint16_t table)
{
    return cache->tables[table]->complete;
}

void cache_table_set_complete(struct cache *cache, uint16_t table, bool complete)
{
    cache->tables[table]->complete = complete;
}

struct entry *cache_table_random(struct cache *cache, uint16_t table, uint64_t random)
{
    const struct cache_table *from = cache->tables[table];
    if (from->dropped || from->present == 0) return NULL;
    return cache_index_random(&from->index, random);
}

size_t cache_table_sample(const struct cache *cache, uint16_t table, uint64_t random,
                          struct entry **out, size_t most)
{
    const struct cache_table *from = cache->tables[table];
    return from->dropped ? 0 : cache_index_sample(&from->index, random, out, most);
}

/* --- looking up --- */

void cache_prefetch_bucket(const struct cache *cache, uint16_t table, uint64_t hash)
{
    const struct cache_index *index = &cache->tables[table]->index;
    __builtin_prefetch(cache_index_bucket(index, cache_index_number(index, (uint32_t)hash)));
}

void cache_prefetch_entry(const struct cache *cache, uint16_t table, uint64_t hash)
{
    if (cache->tables[table]->dropped) return;
    const struct cache_index *index = &cache->tables[table]->index;
    const struct cache_bucket *bucket =
        cache_index_bucket(index, cache_index_number(index, (uint32_t)hash));
    uint64_t match = cache_bucket_match(bucket, cache_index_tag(hash));
    if (match == 0) {
        if (bucket->overflow) __builtin_prefetch(bucket->overflow);
        return;
    }
    const char *entry =
        (const char *)cache_bucket_entry(bucket, (unsigned)__builtin_ctzll(match) / 8);
    __builtin_prefetch(entry);
    __builtin_prefetch(entry + 64); /* the value, or the end of the key */
}

struct entry *cache_find(const struct cache *cache, uint16_t table, struct slice key, uint64_t hash)
{
    const struct cache_table *in = cache->tables[table];
    if (__builtin_expect(in->dropped, 0)) return NULL;
    return cache_index_find(&in->index, key, hash);
}

static void touch_warm(struct cache *cache, struct entry *entry)
{
    bool first = entry->fresh && entry->accessed_s == cache->now_s;
    entry->fresh = 0;
    entry->accessed_s = cache->now_s;
    if (entry->state == ENTRY_ABSENT) {
        if (entry->touches == 0) entry->touches = 1;
        if (!first) counter_add(&cache->metrics->hits_absent, 1);
    } else if (!first) {
        counter_add(&cache->metrics->hits_warm, 1);
        cache_promote(cache, entry);
    }
}

void cache_touch(struct cache *cache, struct entry *entry)
{
    if (__builtin_expect(entry->tier == CACHE_HOT, 1)) {
        counter_add(&cache->metrics->hits_hot, 1);
        /* Not written when it is the same: the line stays clean in the processor's cache. */
        if (entry->accessed_s != cache->now_s) entry->accessed_s = cache->now_s;
        if (entry->touches < MOST_TOUCHES) entry->touches = (entry->touches + 1u) & 3u;
    } else if (entry->tier == CACHE_WARM) {
        touch_warm(cache, entry);
    }
}

/* --- changing --- */

/* State, sequence and the like; not what decides about the layout. */
static void set_fields(struct cache *cache, struct entry *entry, const struct cache_value *value,
                       enum cache_tier tier)
{
    entry->sequence = value->sequence;
    entry->accessed_s = cache->now_s;
    entry->type = value->type & 0xfu;
    entry->encoding = value->encoding & 3u;
    entry->state = value->state & 3u;
    entry->has_object = value->has_object;
    entry->tier = (unsigned)tier & 3u;
}

/* The tier of what replaces `old`. A write counts as an access, but not as a second one beside the
 * read of the same command: hence by the second, not at once. */
static enum cache_tier tier_after(const struct cache *cache, const struct entry *old,
                                  const struct cache_value *value)
{
    if (value->state == ENTRY_LOADING) return CACHE_NONE;
    if (value->state == ENTRY_ABSENT || old->state != ENTRY_PRESENT) return CACHE_WARM;
    if (old->tier == CACHE_WARM && value->sequence > 0 && old->accessed_s != cache->now_s &&
        cache_has_hot(cache)) {
        counter_add(&cache->metrics->promotions, 1);
        return CACHE_HOT;
    }
    return (enum cache_tier)old->tier;
}

static struct entry *make_entry(struct slice key, const struct cache_value *value)
{
    return value->made ? value->made : entry_create(key, value->value, value->expire_at_ms);
}

static struct entry *insert(struct cache *cache, uint16_t table, struct slice key, uint64_t hash,
                            const struct cache_value *value)
{
    struct cache_table *into = cache->tables[table];
    ASSERT(!into->dropped);
    struct entry *entry = make_entry(key, value);
    set_fields(cache, entry, value, value->state == ENTRY_LOADING ? CACHE_NONE : CACHE_WARM);
    entry->hash = (uint32_t)hash;
    entry->table = table;
    entry->linked = 1;
    entry->fresh = value->sequence == 0;
    size_t before = into->index.bytes;
    cache_index_insert(&into->index, entry, hash);
    cache->index_bytes += into->index.bytes - before;
    cache_count_in(cache, entry);
    cache_place(cache, entry);
    cache->arrivals++;
    counter_add(&cache->metrics->insertions, 1);
    if (value->state == ENTRY_LOADING) counter_add(&cache->metrics->misses, 1);
    return entry;
}

static struct entry *change_in_place(struct cache *cache, struct entry *entry,
                                     const struct cache_value *value, enum cache_tier tier)
{
    bool stays = tier == entry->tier && value->state == entry->state;
    size_t bytes = entry_memory_bytes(entry); /* and so it stays: it fits */
    if (!stays) count(cache, entry, 0 - (uint64_t)bytes, UINT64_MAX);
    cache_pins_subtract(&cache->pins, entry->sequence, bytes);
    entry_rewrite(entry, value->value, value->expire_at_ms);
    entry->fresh = value->sequence == 0 && entry->state != ENTRY_PRESENT;
    set_fields(cache, entry, value, tier);
    cache_pins_add(&cache->pins, entry->sequence, bytes);
    if (stays) {
        if (tier == CACHE_HOT && entry->touches == 0) entry->touches = 1;
    } else {
        count(cache, entry, bytes, 1);
        cache_list_remove(entry);
        entry->touches = 0;
        cache_place(cache, entry);
    }
    counter_add(&cache->metrics->in_place, 1);
    return entry;
}

static struct entry *replace(struct cache *cache, struct entry *old, struct slice key,
                             const struct cache_value *value, enum cache_tier tier)
{
    struct entry *entry = make_entry(key, value);
    set_fields(cache, entry, value, tier);
    entry->hash = old->hash;
    entry->table = old->table;
    entry->linked = 1;
    entry->fresh = value->sequence == 0 && old->state != ENTRY_PRESENT;
    cache_index_replace(&cache->tables[old->table]->index, old, entry);
    cache_let_go(cache, old);
    cache->arrivals++;
    cache_count_in(cache, entry);
    cache_place(cache, entry);
    return entry;
}

struct entry *cache_put_found(struct cache *cache, struct entry *found, uint16_t table,
                              struct slice key, uint64_t hash, const struct cache_value *value)
{
    if (!found) return insert(cache, table, key, hash, value);
    ASSERT(found->linked && found->table == table);
    enum cache_tier tier = tier_after(cache, found, value);
    if (!value->made && found->references == 0 &&
        entry_fits(found, value->value.size, value->expire_at_ms != -1))
        return change_in_place(cache, found, value, tier);
    return replace(cache, found, key, value, tier);
}

struct entry *cache_put(struct cache *cache, uint16_t table, struct slice key, uint64_t hash,
                        const struct cache_value *value)
{
    return cache_put_found(cache, cache_find(cache, table, key, hash), table, key, hash, value);
}

void cache_remove(struct cache *cache, struct entry *entry)
{
    ASSERT(entry->linked);
    struct cache_index *index = &cache->tables[entry->table]->index;
    size_t before = index->bytes;
    cache_index_remove(index, entry);
    cache->index_bytes += index->bytes - before;
    cache_let_go(cache, entry);
}
