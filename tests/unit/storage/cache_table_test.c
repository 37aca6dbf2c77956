/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Tables of the cache: memory per entry, completeness, dropping, random entries; options and
 * metrics. */
#include "cache_fixture.h"

enum { MILLION = 1000000 };

/* --- memory --- */

static void
a_million_entries_are_found_and_cost_at_most_64_bytes_each_beside_their_data(void **state)
{
    struct fixture *f = *state;
    struct cache_value v = {.value = SLICE_LITERAL("v"), .expire_at_ms = -1};
    double worst = 0;
    for (uint64_t i = 0; i < MILLION; i++) {
        uint64_t hash = hash_key(&i, sizeof i);
        struct entry *entry = cache_put(f->cache, f->table, slice_make(&i, sizeof i), hash, &v);
        if (i < 10000 || i % 50000 != 0) continue;
        uint64_t data = (i + 1) * entry_memory_bytes(entry);
        double each = (double)sizeof(struct entry) +
                      (double)(cache_used_bytes(f->cache) - data) / (double)(i + 1);
        if (each > worst) worst = each;
    }
    assert_true(worst <= 64.0);
    for (uint64_t i = 0; i < MILLION; i++)
        assert_non_null(
            cache_find(f->cache, f->table, slice_make(&i, sizeof i), hash_key(&i, sizeof i)));
    for (uint64_t i = MILLION; i < MILLION + 10000; i++)
        assert_null(
            cache_find(f->cache, f->table, slice_make(&i, sizeof i), hash_key(&i, sizeof i)));
}

static void a_table_that_gets_empty_gives_its_index_back(void **state)
{
    struct fixture *f = *state;
    put_many(f, "k", 50000, 0);
    cache_maintain(f->cache, 1);
    int64_t full = gauge_get(&f->metrics.index_bytes);
    for (unsigned i = 0; i < 50000; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%u", i);
        cache_remove(f->cache, find(f, key));
    }
    cache_maintain(f->cache, 1);
    assert_true(full > 600000);
    assert_true(gauge_get(&f->metrics.index_bytes) <= 4096);
}

/* --- tables --- */

static void a_table_is_complete_until_a_present_entry_leaves_memory(void **state)
{
    struct fixture *f = *state;
    assert_false(cache_table_is_complete(f->cache, f->table));
    cache_table_set_complete(f->cache, f->table, true);
    f->options.warm_max_entries = 1;
    put(f, "a", "1", 0);
    put_state(f, "gone", "", 0, ENTRY_ABSENT);
    put(f, "gone too", "1", 0);
    cache_remove(f->cache, find(f, "gone too"));
    maintain(f);
    assert_null(find(f, "gone"));
    assert_non_null(find(f, "a"));
    assert_true(cache_table_is_complete(f->cache, f->table));
    put(f, "b", "1", 0);
    maintain(f);
    assert_false(cache_table_is_complete(f->cache, f->table));
}

static void an_idle_entry_that_leaves_makes_its_table_incomplete(void **state)
{
    struct fixture *f = *state;
    uint16_t other = cache_table_create(f->cache);
    cache_table_set_complete(f->cache, f->table, true);
    cache_table_set_complete(f->cache, other, true);
    put(f, "a", "1", 0);
    cache_set_time(f->cache, 9000);
    cache_age(f->cache, 10);
    assert_false(cache_table_is_complete(f->cache, f->table));
    assert_true(cache_table_is_complete(f->cache, other));
}

static void a_dropped_table_finds_nothing_and_gives_its_memory_back_bit_by_bit(void **state)
{
    struct fixture *f = *state;
    uint64_t before = cache_used_bytes(f->cache);
    put_many(f, "k", 5000, 3);
    struct entry *held = entry_ref(find(f, "k17"));
    uint64_t full = cache_used_bytes(f->cache);
    cache_table_drop(f->cache, f->table);
    assert_null(find(f, "k1"));
    assert_int_equal(cache_table_present(f->cache, f->table), 0);
    assert_int_equal(cache_table_entries(f->cache, f->table), 0);
    assert_true(cache_maintain(f->cache, 100));
    assert_true(cache_used_bytes(f->cache) > full / 2);
    uint16_t other = cache_table_create(f->cache);
    assert_int_not_equal(other, f->table); /* not before it is wholly freed */
    maintain(f);
    assert_int_equal(cache_used_bytes(f->cache), before);
    assert_int_equal(cache_pinned_bytes(f->cache), 0);
    assert_value(held, "0123456789abcdef");
    entry_unref(held);
    f->table = other;
}

static void a_small_table_is_freed_by_the_drop(void **state)
{
    struct fixture *f = *state;
    uint64_t before = cache_used_bytes(f->cache);
    put_many(f, "k", 20, 3);
    cache_table_drop(f->cache, f->table);
    assert_int_equal(cache_used_bytes(f->cache), before);
    f->table = cache_table_create(f->cache);
}

static void tables_come_and_go_more_often_than_there_are_numbers(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 70000; i++) {
        uint16_t table = cache_table_create(f->cache);
        assert_int_not_equal(table, 0);
        assert_int_not_equal(table, f->table);
        cache_table_drop(f->cache, table);
    }
}

static void a_random_entry_is_a_present_one_and_every_one_has_its_chance(void **state)
{
    struct fixture *f = *state;
    assert_null(cache_table_random(f->cache, f->table, 1));
    put_state(f, "absent", "", 0, ENTRY_ABSENT);
    assert_null(cache_table_random(f->cache, f->table, 1));
    put(f, "only", "1", 0);
    for (uint64_t random = 0; random < 100; random++)
        assert_ptr_equal(cache_table_random(f->cache, f->table, random), find(f, "only"));
    put_many(f, "k", 40, 0);
    unsigned seen[41] = {0};
    for (uint64_t random = 0; random < 41 * 100; random++) {
        struct entry *entry = cache_table_random(f->cache, f->table, random);
        assert_non_null(entry);
        char *key = slice_dup_text(entry_key(entry));
        seen[key[0] == 'o' ? 40 : atoi(key + 1)]++;
        mem_free(key);
    }
    for (unsigned i = 0; i < 41; i++) assert_in_range(seen[i], 30, 300);
}

/* --- options and metrics --- */

static void the_defaults_are_those_of_the_manual(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->options.hot_percent, 85);
    assert_int_equal(f->options.hot_max_entries, 0);
    assert_int_equal(f->options.warm_max_entries, 0);
    assert_int_equal(f->options.hot_idle_seconds, 300);
    assert_int_equal(f->options.warm_idle_seconds, 3600);
}

static void every_metric_has_a_row_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(cache_metric_table.count * sizeof(struct counter),
                     sizeof(struct cache_metrics));
    for (size_t i = 0; i < cache_metric_table.count; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(cache_metric_table.rows[i].offset,
                                 cache_metric_table.rows[j].offset);
            assert_string_not_equal(cache_metric_table.rows[i].name,
                                    cache_metric_table.rows[j].name);
            assert_string_not_equal(cache_metric_table.rows[i].info,
                                    cache_metric_table.rows[j].info);
        }
    }
}

static void a_cache_without_options_and_metrics_works(void **state)
{
    (void)state;
    struct cache *cache = cache_create(NULL, NULL);
    uint16_t table = cache_table_create(cache);
    struct cache_value v = {.value = SLICE_LITERAL("1"), .expire_at_ms = -1};
    cache_touch(cache, cache_put(cache, table, SLICE_LITERAL("a"), hash_key("a", 1), &v));
    cache_maintain(cache, 10);
    cache_age(cache, 10);
    assert_non_null(cache_find(cache, table, SLICE_LITERAL("a"), hash_key("a", 1)));
    cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_million_entries_are_found_and_cost_at_most_64_bytes_each_beside_their_data),
        TEST(a_table_that_gets_empty_gives_its_index_back),
        TEST(a_table_is_complete_until_a_present_entry_leaves_memory),
        TEST(an_idle_entry_that_leaves_makes_its_table_incomplete),
        TEST(a_dropped_table_finds_nothing_and_gives_its_memory_back_bit_by_bit),
        TEST(a_small_table_is_freed_by_the_drop),
        TEST(tables_come_and_go_more_often_than_there_are_numbers),
        TEST(a_random_entry_is_a_present_one_and_every_one_has_its_chance),
        TEST(the_defaults_are_those_of_the_manual),
        TEST(every_metric_has_a_row_of_its_own),
        TEST(a_cache_without_options_and_metrics_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
