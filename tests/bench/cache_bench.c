/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the cache's calls cost, in nanoseconds, with more entries than the processor's caches hold.
 * Not run by the tests; one thread.
 *   cache_bench [entries, default 1000000] */
#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "storage/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_BYTES = 16, VALUE_BYTES = 64, BATCH = 16 };

static struct cache *cache;
static uint16_t table;
static uint32_t entries;
/* The keys in a random order, as they lie in memory: reading one costs no miss of its own. */
static char (*keys)[KEY_BYTES + 1];

static struct slice next_key(uint32_t i)
{
    return slice_make(keys[i], KEY_BYTES);
}

/* Another order, so that neighbours in the cache's lists are not asked for one after the other. */
static void shuffle(void)
{
    for (uint32_t i = entries - 1; i > 0; i--) {
        uint32_t j = (uint32_t)random() % (i + 1);
        char swap[sizeof keys[0]];
        memcpy(swap, keys[i], sizeof swap);
        memcpy(keys[i], keys[j], sizeof swap);
        memcpy(keys[j], swap, sizeof swap);
    }
}

static struct cache_value value_of(struct slice bytes, uint64_t sequence)
{
    return (struct cache_value){.value = bytes, .expire_at_ms = -1, .sequence = sequence};
}

static void report(const char *what, int64_t started_ns, uint64_t calls)
{
    printf("%-44s %7.1f ns\n", what, (double)(clock_monotonic_ns() - started_ns) / (double)calls);
}

static char value_bytes[VALUE_BYTES];

static void bench_insert(void)
{
    struct cache_value value = value_of(slice_make(value_bytes, VALUE_BYTES), 0);
    int64_t started_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < entries; i++) {
        struct slice key = next_key(i);
        cache_put(cache, table, key, hash_key(key.data, key.size), &value);
    }
    report("put of a new key", started_ns, entries);
}

static void bench_find(const char *what, bool touch)
{
    uint64_t found = 0;
    int64_t started_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < entries; i++) {
        struct slice key = next_key(i);
        struct entry *entry = cache_find(cache, table, key, hash_key(key.data, key.size));
        if (!entry) continue;
        if (touch) cache_touch(cache, entry);
        found += (uint8_t)entry_value(entry).data[0] + 1u;
    }
    report(what, started_ns, entries);
    if (found < entries) printf("only %" PRIu64 " found\n", found);
}

static void bench_find_batch(const char *what, bool touch, bool copy)
{
    uint64_t hashes[BATCH], found = 0;
    static char reply[BATCH * VALUE_BYTES];
    int64_t started_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i + BATCH <= entries; i += BATCH) {
        for (uint32_t j = 0; j < BATCH; j++) {
            struct slice key = next_key(i + j);
            hashes[j] = hash_key(key.data, key.size);
            cache_prefetch_bucket(cache, table, hashes[j]);
        }
        for (uint32_t j = 0; j < BATCH; j++) cache_prefetch_entry(cache, table, hashes[j]);
        for (uint32_t j = 0; j < BATCH; j++) {
            struct entry *entry = cache_find(cache, table, next_key(i + j), hashes[j]);
            if (!entry) continue;
            if (touch) cache_touch(cache, entry);
            if (copy) memcpy(reply + j * VALUE_BYTES, entry_value(entry).data, VALUE_BYTES);
            found++;
        }
    }
    report(what, started_ns, entries);
    if (found + BATCH < entries) printf("only %" PRIu64 " found\n", found);
}

static void bench_put(const char *what, uint64_t *sequence)
{
    int64_t started_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < entries; i++) {
        struct slice key = next_key(i);
        struct cache_value value = value_of(slice_make(value_bytes, VALUE_BYTES), ++*sequence);
        cache_put(cache, table, key, hash_key(key.data, key.size), &value);
    }
    report(what, started_ns, entries);
}

static void bench_put_batch(const char *what, uint64_t *sequence)
{
    uint64_t hashes[BATCH];
    int64_t started_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i + BATCH <= entries; i += BATCH) {
        for (uint32_t j = 0; j < BATCH; j++) {
            struct slice key = next_key(i + j);
            hashes[j] = hash_key(key.data, key.size);
            cache_prefetch_bucket(cache, table, hashes[j]);
        }
        for (uint32_t j = 0; j < BATCH; j++) cache_prefetch_entry(cache, table, hashes[j]);
        for (uint32_t j = 0; j < BATCH; j++) {
            struct cache_value value = value_of(slice_make(value_bytes, VALUE_BYTES), ++*sequence);
            cache_put(cache, table, next_key(i + j), hashes[j], &value);
        }
    }
    report(what, started_ns, entries);
}

static void bench_evict(void)
{
    size_t before = cache_table_entries(cache, table);
    cache_set_budget(cache, cache_used_bytes(cache) / 2);
    int64_t started_ns = clock_monotonic_ns();
    while (cache_maintain(cache, 1000)) {
    }
    report("eviction, with hot's second chances", started_ns,
           before - cache_table_entries(cache, table));
}

static void prepare(void)
{
    keys = mem_alloc((size_t)entries * sizeof *keys);
    for (uint32_t i = 0; i < entries; i++) snprintf(keys[i], sizeof keys[i], "key:%012" PRIu32, i);
    srandom(1);
    shuffle();
}

int main(int argc, char **argv)
{
    uint64_t sequence = 0;
    entries = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    if (entries < BATCH) return 1;
    prepare();
    cache = cache_create(NULL, NULL);
    table = cache_table_create(cache);
    cache_set_time(cache, 1);
    bench_insert();
    printf("%-44s %7.2f bytes\n", "index, per entry",
           (double)(cache_used_bytes(cache) - cache_table_entries(cache, table) * 128) / entries);
    shuffle();
    bench_find("find", false);
    bench_find_batch("find, prefetched by 16", false, false);
    bench_find("find and touch, fresh from a load", true);
    bench_find("find and touch, promoting", true);
    shuffle();
    bench_find("find and touch of hot", true);
    cache_set_time(cache, 2);
    bench_find("find and touch of hot, in the next second", true);
    bench_find("find and touch of hot, in the same second", true);
    bench_find_batch("find, touch, copy: prefetched by 16", true, true);
    bench_put("put in place", &sequence);
    bench_put("put in place, pinned before", &sequence);
    bench_put_batch("put in place, prefetched by 16", &sequence);
    cache_set_applied(cache, sequence);
    bench_evict();
    int64_t started_ns = clock_monotonic_ns();
    uint32_t left = (uint32_t)cache_table_entries(cache, table);
    cache_destroy(cache);
    report("drop", started_ns, left);
    mem_free(keys);
    return 0;
}
