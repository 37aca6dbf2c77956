/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How well the cache chooses what to keep: keys drawn from a Zipf distribution (exponent 0.99), a
 * cache that holds a tenth of them, measured against the best fixed set of as many keys. The seed
 * is fixed: the figures are the same in every run. */
#include "storage/cache.h"

#include "base/hash.h"
#include "base/memory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    KEYS = 200000,
    CAPACITY = KEYS / 10,
    VALUE_BYTES = 64,
    WARM_UP = 1500000,
    MEASURED = 500000
};

struct simulation {
    struct cache_options options;
    struct cache_metrics metrics;
    struct cache *cache;
    uint16_t table;
    uint64_t random;
    double *cumulative; /* [KEYS]: the probability of the keys up to this one */
    uint64_t accesses;
};

static double next_unit(struct simulation *s)
{
    uint64_t x = s->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (double)((x ^ x >> 31) >> 11) / 9007199254740992.0;
}

static uint64_t next_key(struct simulation *s)
{
    double at = next_unit(s);
    size_t low = 0, high = KEYS - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->cumulative[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What a GET does. True when the key was in memory. */
static bool get(struct simulation *s, uint64_t number)
{
    static const char value_bytes[VALUE_BYTES];
    struct slice key = slice_make(&number, sizeof number);
    uint64_t hash = hash_key(key.data, key.size);
    struct entry *entry = cache_find(s->cache, s->table, key, hash);
    bool hit = entry != NULL;
    if (!hit) {
        struct cache_value value = {.value = slice_make(value_bytes, VALUE_BYTES),
                                    .expire_at_ms = -1};
        entry = cache_put_found(s->cache, NULL, s->table, key, hash, &value);
    }
    cache_touch(s->cache, entry);
    if (++s->accesses % 16 == 0) cache_maintain(s->cache, 64);
    if (s->accesses % 100000 == 0) cache_set_time(s->cache, (uint32_t)(s->accesses / 100000));
    return hit;
}

static double hit_ratio(struct simulation *s, unsigned accesses)
{
    unsigned hits = 0;
    for (unsigned i = 0; i < accesses; i++) hits += get(s, next_key(s));
    return (double)hits / accesses;
}

static double hot_hit_ratio(struct simulation *s, unsigned accesses)
{
    uint64_t before = counter_get(&s->metrics.hits_hot);
    hit_ratio(s, accesses);
    return (double)(counter_get(&s->metrics.hits_hot) - before) / accesses;
}

static int setup(void **state)
{
    struct simulation *s = mem_calloc(1, sizeof *s);
    hash_key_seed(42);
    option_set_defaults(&cache_option_table, &s->options);
    s->cache = cache_create(&s->options, &s->metrics);
    s->table = cache_table_create(s->cache);
    s->cumulative = mem_calloc(KEYS, sizeof *s->cumulative);
    double sum = 0;
    for (size_t i = 0; i < KEYS; i++) s->cumulative[i] = sum += pow((double)i + 1, -0.99);
    for (size_t i = 0; i < KEYS; i++) s->cumulative[i] /= sum;
    s->random = 7;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct simulation *s = *state;
    cache_destroy(s->cache);
    option_free_strings(&cache_option_table, &s->options);
    mem_free(s->cumulative);
    mem_free(s);
    return 0;
}

/* By bytes, so that CAPACITY entries fit. */
static void set_budget(struct simulation *s)
{
    for (uint64_t number = 0; number < CAPACITY; number++) get(s, number);
    cache_set_budget(s->cache, cache_used_bytes(s->cache));
    for (uint64_t number = 0; number < CAPACITY; number++) {
        struct slice key = slice_make(&number, sizeof number);
        cache_remove(s->cache, cache_find(s->cache, s->table, key, hash_key(key.data, key.size)));
    }
}

static void the_hit_ratio_is_within_two_and_a_half_percent_of_the_best_fixed_set(void **state)
{
    struct simulation *s = *state;
    double best = s->cumulative[CAPACITY - 1];
    set_budget(s);
    hit_ratio(s, WARM_UP);
    double ratio = hit_ratio(s, MEASURED);
    print_message("hit ratio %.4f, best fixed set %.4f: %.4f\n", ratio, best, ratio / best);
    assert_true(cache_table_entries(s->cache, s->table) <= CAPACITY + CAPACITY / 100);
    assert_true(ratio >= 0.975 * best);
}

static void one_scan_of_all_keys_costs_hot_less_than_two_points(void **state)
{
    struct simulation *s = *state;
    set_budget(s);
    hit_ratio(s, WARM_UP);
    double before = hot_hit_ratio(s, MEASURED);
    for (uint64_t number = 0; number < KEYS; number++) get(s, number);
    double after = hot_hit_ratio(s, MEASURED / 10);
    print_message("hits in hot: %.4f before the scan, %.4f after\n", before, after);
    assert_true(after > before - 0.02);
}

static void when_the_hot_keys_change_the_cache_follows(void **state)
{
    struct simulation *s = *state;
    double best = s->cumulative[CAPACITY - 1];
    set_budget(s);
    hit_ratio(s, WARM_UP);
    /* The least asked for are now the most asked for. */
    unsigned hits = 0;
    for (unsigned i = 0; i < WARM_UP + MEASURED; i++) {
        bool hit = get(s, KEYS - 1 - next_key(s));
        if (i >= WARM_UP) hits += hit;
    }
    double ratio = (double)hits / MEASURED;
    print_message("hit ratio after the change %.4f: %.4f\n", ratio, ratio / best);
    assert_true(ratio >= 0.96 * best);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_hit_ratio_is_within_two_and_a_half_percent_of_the_best_fixed_set, setup, teardown),
        cmocka_unit_test_setup_teardown(one_scan_of_all_keys_costs_hot_less_than_two_points, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(when_the_hot_keys_change_the_cache_follows, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
