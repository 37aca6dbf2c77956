/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cache by its contract: look-up, tiers, limits, pins, references. Tables are in
 * cache_table_test.c, random calls in cache_model_test.c, hit ratios in cache_hit_ratio_test.c. */
#include "cache_fixture.h"

/* --- look-up and change --- */

static void what_was_put_is_found(void **state)
{
    struct fixture *f = *state;
    assert_null(find(f, "a"));
    struct entry *entry = put(f, "a", "1", 0);
    assert_ptr_equal(find(f, "a"), entry);
    assert_value(entry, "1");
    assert_int_equal(entry->tier, CACHE_WARM);
    assert_int_equal(entry->linked, 1);
    assert_null(find(f, "b"));
    assert_null(find(f, ""));
    assert_int_equal(cache_table_present(f->cache, f->table), 1);
}

static void all_fields_of_a_value_are_kept(void **state)
{
    struct fixture *f = *state;
    struct object_head head = {.object_id = 5, .length = 6};
    struct cache_value v = {.value = slice_make(&head, sizeof head),
                            .expire_at_ms = 77,
                            .type = VALUE_STREAM,
                            .encoding = STRING_NOT_INT,
                            .state = ENTRY_PRESENT,
                            .has_object = true,
                            .sequence = 9};
    struct slice k = SLICE_LITERAL("k");
    struct entry *entry = cache_put(f->cache, f->table, k, hash_key(k.data, k.size), &v);
    assert_int_equal(entry_expire_at_ms(entry), 77);
    assert_int_equal(entry->type, VALUE_STREAM);
    assert_int_equal(entry->encoding, STRING_NOT_INT);
    assert_int_equal(entry->sequence, 9);
    assert_int_equal(entry->accessed_s, 1000);
    assert_true(entry->has_object);
    assert_int_equal(entry_object(entry).object_id, 5);
}

static void a_write_that_fits_changes_the_entry_in_place(void **state)
{
    struct fixture *f = *state;
    struct entry *entry = put(f, "a", "first", 1);
    assert_ptr_equal(put(f, "a", "other", 2), entry);
    assert_value(entry, "other");
    assert_int_equal(entry->sequence, 2);
    assert_int_equal(count_of(&f->metrics.in_place), 1);
    assert_int_equal(count_of(&f->metrics.insertions), 1);
}

static void a_write_that_does_not_fit_makes_a_new_entry(void **state)
{
    struct fixture *f = *state;
    char large[1000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    put(f, "a", "small", 1);
    uint64_t small = cache_used_bytes(f->cache);
    struct entry *entry = put(f, "a", large, 2);
    assert_ptr_equal(find(f, "a"), entry);
    assert_value(entry, large);
    assert_true(cache_used_bytes(f->cache) > small + 900);
    /* And back: what became small does not keep the large allocation. */
    put(f, "a", "small", 3);
    assert_int_equal(cache_used_bytes(f->cache), small);
    assert_int_equal(cache_table_entries(f->cache, f->table), 1);
}

static void a_referenced_entry_keeps_its_bytes_when_its_key_is_written(void **state)
{
    struct fixture *f = *state;
    struct entry *old = entry_ref(put(f, "a", "first", 1));
    struct entry *entry = put(f, "a", "other", 2);
    assert_ptr_not_equal(entry, old);
    assert_value(old, "first");
    assert_int_equal(old->linked, 0);
    assert_ptr_equal(find(f, "a"), entry);
    cache_maintain(f->cache, 1);
    assert_int_equal(gauge_get(&f->metrics.referenced_bytes), entry_memory_bytes(old));
    entry_unref(old);
    cache_maintain(f->cache, 1);
    assert_int_equal(gauge_get(&f->metrics.referenced_bytes), 0);
}

static void a_value_may_be_taken_from_the_entry_that_it_replaces(void **state)
{
    struct fixture *f = *state;
    struct entry *entry = put(f, "key", "0123456789", 1);
    struct cache_value v = {
        .value = {entry_value(entry).data + 2, 5}, .expire_at_ms = 50, .sequence = 2};
    struct slice key = entry_key(entry); /* and the key too */
    entry = cache_put_found(f->cache, entry, f->table, key, hash_key("key", 3), &v);
    assert_value(entry, "23456");
    assert_true(slice_equal(entry_key(entry), SLICE_LITERAL("key")));
    assert_int_equal(entry_expire_at_ms(entry), 50);
    v = (struct cache_value){.value = entry_value(entry), .expire_at_ms = -1, .sequence = 3};
    struct entry *held = entry_ref(entry);
    entry = cache_put_found(f->cache, held, f->table, entry_key(held), hash_key("key", 3), &v);
    assert_value(entry, "23456");
    assert_int_equal(entry_expire_at_ms(entry), -1);
    entry_unref(held);
}

static void a_removed_entry_is_found_no_more(void **state)
{
    struct fixture *f = *state;
    uint64_t empty = cache_used_bytes(f->cache);
    put(f, "b", "stays", 1);
    uint64_t before = cache_used_bytes(f->cache);
    cache_remove(f->cache, put(f, "a", "1", 1));
    assert_null(find(f, "a"));
    assert_non_null(find(f, "b"));
    assert_int_equal(cache_used_bytes(f->cache), before);
    assert_true(before > empty);
}

static void two_tables_have_each_their_own_keys(void **state)
{
    struct fixture *f = *state;
    uint16_t first = f->table;
    put(f, "a", "in the first", 0);
    f->table = cache_table_create(f->cache);
    assert_int_not_equal(f->table, first);
    assert_null(find(f, "a"));
    put(f, "a", "in the second", 0);
    assert_value(find(f, "a"), "in the second");
    f->table = first;
    assert_value(find(f, "a"), "in the first");
}

static void prefetching_changes_nothing_and_takes_any_hash(void **state)
{
    struct fixture *f = *state;
    for (uint64_t hash = 1; hash != 0; hash <<= 1) {
        cache_prefetch_bucket(f->cache, f->table, hash);
        cache_prefetch_entry(f->cache, f->table, hash);
    }
    put(f, "a", "1", 0);
    cache_prefetch_bucket(f->cache, f->table, hash_key("a", 1));
    cache_prefetch_entry(f->cache, f->table, hash_key("a", 1));
    assert_int_equal(cache_table_entries(f->cache, f->table), 1);
}

/* --- tiers --- */

static void a_second_access_promotes_a_written_key(void **state)
{
    struct fixture *f = *state;
    struct entry *entry = put(f, "a", "1", 1);
    assert_int_equal(entry->tier, CACHE_WARM);
    cache_touch(f->cache, entry);
    assert_int_equal(entry->tier, CACHE_HOT);
    cache_touch(f->cache, entry);
    assert_int_equal(count_of(&f->metrics.hits_warm), 1);
    assert_int_equal(count_of(&f->metrics.hits_hot), 1);
    assert_int_equal(count_of(&f->metrics.promotions), 1);
}

static void the_touch_that_a_load_was_made_for_is_the_first_access(void **state)
{
    struct fixture *f = *state;
    put_state(f, "a", "", 0, ENTRY_LOADING);
    assert_int_equal(count_of(&f->metrics.misses), 1);
    struct entry *entry = put(f, "a", "1", 0);
    cache_touch(f->cache, entry);
    assert_int_equal(entry->tier, CACHE_WARM);
    assert_int_equal(count_of(&f->metrics.hits_warm), 0);
    cache_touch(f->cache, entry);
    assert_int_equal(entry->tier, CACHE_HOT);
    assert_int_equal(count_of(&f->metrics.hits_warm), 1);
}

static void a_touch_in_a_later_second_than_the_load_is_the_second_access(void **state)
{
    struct fixture *f = *state;
    struct entry *entry = put(f, "a", "1", 0);
    cache_set_time(f->cache, 1001);
    cache_touch(f->cache, entry);
    assert_int_equal(entry->tier, CACHE_HOT);
    assert_int_equal(entry->accessed_s, 1001);
}

static void writes_in_different_seconds_promote_and_those_of_one_command_do_not(void **state)
{
    struct fixture *f = *state;
    struct entry *entry = put(f, "a", "1", 1);
    entry = put(f, "a", "2", 2);
    assert_int_equal(entry->tier, CACHE_WARM);
    cache_set_time(f->cache, 1001);
    entry = put(f, "a", "3", 3);
    assert_int_equal(entry->tier, CACHE_HOT);
    entry = put(f, "a", "a longer value that needs another allocation", 4);
    assert_int_equal(entry->tier, CACHE_HOT);
    assert_int_equal(entry->accessed_s, 1001);
}

static void what_overflows_hot_falls_back_to_warm_and_what_overflows_warm_leaves(void **state)
{
    struct fixture *f = *state;
    f->options.hot_max_entries = 2;
    f->options.warm_max_entries = 3;
    for (unsigned i = 0; i < 4; i++) {
        char key[8];
        snprintf(key, sizeof key, "h%u", i);
        cache_touch(f->cache, put(f, key, "1", 1));
    }
    cache_set_applied(f->cache, 1);
    maintain(f);
    assert_int_equal(find(f, "h0")->tier, CACHE_WARM);
    assert_int_equal(find(f, "h1")->tier, CACHE_WARM);
    assert_int_equal(find(f, "h2")->tier, CACHE_HOT);
    assert_int_equal(find(f, "h3")->tier, CACHE_HOT);
    put(f, "w0", "1", 0);
    put(f, "w1", "1", 0);
    maintain(f);
    assert_null(find(f, "h0")); /* the oldest of warm */
    assert_int_equal(count_found(f, "h", 4), 3);
    assert_int_equal(count_found(f, "w", 2), 2);
    assert_int_equal(gauge_get(&f->metrics.hot_entries), 2);
    assert_int_equal(gauge_get(&f->metrics.warm_entries), 3);
    assert_int_equal(count_of(&f->metrics.demotions), 2);
    assert_int_equal(count_of(&f->metrics.evictions), 1);
}

static void a_hot_entry_that_was_touched_again_stays_when_others_fall_back(void **state)
{
    struct fixture *f = *state;
    f->options.hot_max_entries = 2;
    cache_touch(f->cache, put(f, "a", "1", 1));
    cache_touch(f->cache, put(f, "b", "1", 1));
    cache_touch(f->cache, find(f, "a"));
    cache_touch(f->cache, put(f, "c", "1", 1));
    maintain(f);
    assert_int_equal(find(f, "a")->tier, CACHE_HOT);
    assert_int_equal(find(f, "b")->tier, CACHE_WARM);
    assert_int_equal(find(f, "c")->tier, CACHE_HOT);
}

static void memory_stays_within_the_budget(void **state)
{
    struct fixture *f = *state;
    cache_set_budget(f->cache, 200000);
    for (unsigned round = 0; round < 20; round++) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "r%u-", round);
        put_many(f, prefix, 1000, 0);
        maintain(f);
        assert_true(cache_used_bytes(f->cache) <= 200000);
        assert_true(round < 2 || cache_used_bytes(f->cache) > 190000);
    }
    assert_false(cache_is_overfull(f->cache));
    cache_set_budget(f->cache, 50000);
    maintain(f);
    assert_true(cache_used_bytes(f->cache) <= 50000);
    assert_int_equal(cache_budget_bytes(f->cache), 50000);
}

static void a_turn_that_brings_many_entries_makes_room_for_them(void **state)
{
    struct fixture *f = *state;
    cache_set_budget(f->cache, 200000);
    for (unsigned round = 0; round < 20; round++) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "r%u-", round);
        put_many(f, prefix, 1000, 0);
        cache_maintain(f->cache, 1);
        assert_true(cache_used_bytes(f->cache) <= 200000);
    }
}

static void hot_gives_when_warm_is_empty_and_the_budget_shrinks(void **state)
{
    struct fixture *f = *state;
    put_many(f, "k", 1000, 0);
    cache_set_time(f->cache, 1001);
    for (unsigned i = 0; i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%u", i);
        cache_touch(f->cache, find(f, key));
    }
    assert_int_equal(find(f, "k0")->tier, CACHE_HOT);
    f->options.hot_percent = 100;
    cache_set_budget(f->cache, cache_used_bytes(f->cache) / 2);
    maintain(f);
    assert_true(cache_used_bytes(f->cache) <= cache_budget_bytes(f->cache));
    assert_true(cache_table_entries(f->cache, f->table) > 300);
}

static void a_scan_of_everything_passes_through_warm_and_leaves_hot_alone(void **state)
{
    struct fixture *f = *state;
    cache_set_budget(f->cache, 500000);
    put_many(f, "hot", 1000, 0);
    cache_set_time(f->cache, 1001);
    for (unsigned i = 0; i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof key, "hot%u", i);
        cache_touch(f->cache, find(f, key));
    }
    for (unsigned i = 0; i < 20000; i++) {
        char key[32];
        snprintf(key, sizeof key, "scan%u", i);
        cache_touch(f->cache, put(f, key, "0123456789abcdef", 0));
        cache_maintain(f->cache, 10);
    }
    assert_int_equal(count_found(f, "hot", 1000), 1000);
}

static void with_no_hot_tier_the_cache_is_one_plain_lru(void **state)
{
    struct fixture *f = *state;
    f->options.hot_percent = 0;
    f->options.warm_max_entries = 3;
    put(f, "a", "1", 0);
    put(f, "b", "1", 0);
    put(f, "c", "1", 0);
    cache_set_time(f->cache, 1001);
    cache_touch(f->cache, find(f, "a"));
    put(f, "d", "1", 0);
    maintain(f);
    assert_null(find(f, "b"));
    assert_int_equal(find(f, "a")->tier, CACHE_WARM);
    cache_set_time(f->cache, 1002);
    put(f, "c", "2", 1);
    assert_int_equal(find(f, "c")->tier, CACHE_WARM);
}

static void with_a_budget_of_zero_every_entry_leaves_as_soon_as_it_may(void **state)
{
    struct fixture *f = *state;
    cache_set_budget(f->cache, 0);
    put(f, "free", "1", 0);
    put(f, "pinned", "1", 5);
    struct entry *held = entry_ref(put(f, "held", "1", 0));
    put_state(f, "loading", "", 0, ENTRY_LOADING);
    cache_touch(f->cache, find(f, "pinned"));
    maintain(f);
    assert_null(find(f, "free"));
    assert_non_null(find(f, "pinned"));
    assert_ptr_equal(find(f, "held"), held);
    assert_non_null(find(f, "loading"));
    assert_true(cache_is_overfull(f->cache));
    cache_set_applied(f->cache, 5);
    entry_unref(held);
    put_state(f, "loading", "", 0, ENTRY_ABSENT);
    maintain(f);
    assert_int_equal(cache_table_entries(f->cache, f->table), 0);
}

/* --- idle times --- */

static void idle_entries_go_from_hot_to_warm_and_then_out(void **state)
{
    struct fixture *f = *state;
    cache_touch(f->cache, put(f, "hot", "1", 1));
    cache_touch(f->cache, put(f, "used", "1", 1));
    put(f, "warm", "1", 1);
    cache_set_applied(f->cache, 1);
    cache_set_time(f->cache, 1299);
    cache_touch(f->cache, find(f, "used"));
    cache_age(f->cache, 100);
    assert_int_equal(find(f, "hot")->tier, CACHE_HOT);
    cache_set_time(f->cache, 1300);
    cache_age(f->cache, 100);
    assert_int_equal(find(f, "hot")->tier, CACHE_WARM);
    assert_int_equal(find(f, "used")->tier, CACHE_HOT);
    cache_set_time(f->cache, 4599);
    cache_age(f->cache, 100);
    assert_non_null(find(f, "warm"));
    cache_set_time(f->cache, 4600);
    cache_age(f->cache, 100);
    assert_null(find(f, "warm"));
    assert_null(find(f, "hot"));
    assert_non_null(find(f, "used"));
    assert_int_equal(count_of(&f->metrics.expirations_idle), 2);
}

static void idle_times_of_zero_move_nothing(void **state)
{
    struct fixture *f = *state;
    f->options.hot_idle_seconds = f->options.warm_idle_seconds = 0;
    cache_touch(f->cache, put(f, "hot", "1", 0));
    cache_set_time(f->cache, 1001);
    cache_touch(f->cache, find(f, "hot"));
    put(f, "warm", "1", 0);
    cache_set_time(f->cache, 1000000);
    cache_age(f->cache, 100);
    assert_int_equal(find(f, "hot")->tier, CACHE_HOT);
    assert_int_equal(find(f, "warm")->tier, CACHE_WARM);
}

static void an_idle_entry_that_is_pinned_or_referenced_stays_until_it_may_leave(void **state)
{
    struct fixture *f = *state;
    put(f, "pinned", "1", 7);
    struct entry *held = entry_ref(put(f, "held", "1", 0));
    cache_set_time(f->cache, 9000);
    cache_age(f->cache, 100);
    assert_non_null(find(f, "pinned"));
    assert_non_null(find(f, "held"));
    cache_set_applied(f->cache, 7);
    entry_unref(held);
    cache_age(f->cache, 100);
    assert_int_equal(cache_table_entries(f->cache, f->table), 0);
}

/* --- pins and tombstones --- */

static void pinned_bytes_are_those_of_entries_above_the_applied_sequence(void **state)
{
    struct fixture *f = *state;
    size_t a = entry_memory_bytes(put(f, "a", "1", 1));
    size_t b = entry_memory_bytes(put(f, "b", "a longer value, so that the sizes differ", 2));
    put(f, "loaded", "1", 0);
    assert_int_equal(cache_pinned_bytes(f->cache), a + b);
    cache_set_applied(f->cache, 1);
    assert_int_equal(cache_pinned_bytes(f->cache), b);
    put(f, "b", "a longer value, so that the sizes differ", 3); /* in place */
    assert_int_equal(cache_pinned_bytes(f->cache), b);
    cache_set_applied(f->cache, 2);
    assert_int_equal(cache_pinned_bytes(f->cache), b);
    a = entry_memory_bytes(put(f, "b", "x", 4)); /* another allocation */
    assert_int_equal(cache_pinned_bytes(f->cache), a);
    cache_remove(f->cache, find(f, "b"));
    assert_int_equal(cache_pinned_bytes(f->cache), 0);
    cache_set_applied(f->cache, 4);
    assert_int_equal(cache_pinned_bytes(f->cache), 0);
}

static void pinned_entries_stay_and_leave_once_they_are_applied(void **state)
{
    struct fixture *f = *state;
    cache_set_budget(f->cache, 20000);
    for (unsigned i = 0; i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%u", i);
        put(f, key, "0123456789abcdef", i + 1);
    }
    maintain(f);
    assert_int_equal(count_found(f, "k", 1000), 1000);
    assert_true(cache_is_overfull(f->cache));
    cache_set_applied(f->cache, 400);
    maintain(f);
    assert_true(count_found(f, "k", 1000) >= 600);
    cache_set_applied(f->cache, 1000);
    maintain(f);
    assert_true(count_found(f, "k", 1000) < 300);
    assert_true(cache_used_bytes(f->cache) <= 20000);
    assert_false(cache_is_overfull(f->cache));
    assert_int_equal(cache_pinned_bytes(f->cache), 0);
}

static void upkeep_looks_at_unmovable_entries_once_and_not_at_every_call(void **state)
{
    struct fixture *f = *state;
    put_many(f, "pinned", 10000, 100);
    cache_maintain(f->cache, 1); /* these are not new any more: one step at a time */
    cache_set_budget(f->cache, cache_used_bytes(f->cache) / 2);
    unsigned steps = 0;
    while (cache_maintain(f->cache, 1)) steps++;
    assert_in_range(steps, 9000, 11000);
    /* All pinned ones are out of the way: what comes now leaves with a few steps. */
    put_many(f, "new", 10, 0);
    for (steps = 0; cache_maintain(f->cache, 1); steps++) {
    }
    assert_true(steps <= 20);
    assert_int_equal(count_found(f, "new", 10), 0);
    assert_int_equal(count_found(f, "pinned", 10000), 10000);
}

static void a_tombstone_is_evictable_once_applied_and_leaves_before_warm_entries(void **state)
{
    struct fixture *f = *state;
    put_many(f, "k", 100, 0);
    for (unsigned i = 0; i < 50; i++) {
        char key[32];
        snprintf(key, sizeof key, "gone%u", i);
        put_state(f, key, "", 9, ENTRY_ABSENT);
    }
    cache_set_budget(f->cache, cache_used_bytes(f->cache) - 1500);
    cache_maintain(f->cache, 1000);
    assert_int_equal(count_found(f, "gone", 50), 50);
    cache_set_applied(f->cache, 9);
    put_many(f, "k", 100, 0); /* those that left come back */
    maintain(f);
    assert_in_range(count_found(f, "gone", 50), 1, 35);
    assert_int_equal(count_found(f, "k", 100), 100);
}

static void absent_keys_are_never_hot_and_a_deleted_hot_key_is_not_any_more(void **state)
{
    struct fixture *f = *state;
    struct entry *entry = put_state(f, "absent", "", 0, ENTRY_ABSENT);
    cache_touch(f->cache, entry);
    cache_touch(f->cache, entry);
    assert_int_equal(entry->tier, CACHE_WARM);
    assert_int_equal(count_of(&f->metrics.hits_absent), 1); /* the first was the load's own */
    cache_touch(f->cache, put(f, "hot", "1", 1));
    assert_int_equal(find(f, "hot")->tier, CACHE_HOT);
    entry = put_state(f, "hot", "", 2, ENTRY_ABSENT);
    assert_int_equal(entry->tier, CACHE_WARM);
    assert_int_equal(cache_table_present(f->cache, f->table), 0);
    assert_int_equal(cache_table_entries(f->cache, f->table), 2);
    cache_maintain(f->cache, 1);
    assert_int_equal(gauge_get(&f->metrics.tombstones), 2);
    put(f, "hot", "again", 3);
    cache_maintain(f->cache, 1);
    assert_int_equal(gauge_get(&f->metrics.tombstones), 1);
    assert_int_equal(cache_table_present(f->cache, f->table), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_put_is_found),
        TEST(all_fields_of_a_value_are_kept),
        TEST(a_write_that_fits_changes_the_entry_in_place),
        TEST(a_write_that_does_not_fit_makes_a_new_entry),
        TEST(a_referenced_entry_keeps_its_bytes_when_its_key_is_written),
        TEST(a_value_may_be_taken_from_the_entry_that_it_replaces),
        TEST(a_removed_entry_is_found_no_more),
        TEST(two_tables_have_each_their_own_keys),
        TEST(prefetching_changes_nothing_and_takes_any_hash),
        TEST(a_second_access_promotes_a_written_key),
        TEST(the_touch_that_a_load_was_made_for_is_the_first_access),
        TEST(a_touch_in_a_later_second_than_the_load_is_the_second_access),
        TEST(writes_in_different_seconds_promote_and_those_of_one_command_do_not),
        TEST(what_overflows_hot_falls_back_to_warm_and_what_overflows_warm_leaves),
        TEST(a_hot_entry_that_was_touched_again_stays_when_others_fall_back),
        TEST(memory_stays_within_the_budget),
        TEST(a_turn_that_brings_many_entries_makes_room_for_them),
        TEST(hot_gives_when_warm_is_empty_and_the_budget_shrinks),
        TEST(a_scan_of_everything_passes_through_warm_and_leaves_hot_alone),
        TEST(with_no_hot_tier_the_cache_is_one_plain_lru),
        TEST(with_a_budget_of_zero_every_entry_leaves_as_soon_as_it_may),
        TEST(idle_entries_go_from_hot_to_warm_and_then_out),
        TEST(idle_times_of_zero_move_nothing),
        TEST(an_idle_entry_that_is_pinned_or_referenced_stays_until_it_may_leave),
        TEST(pinned_bytes_are_those_of_entries_above_the_applied_sequence),
        TEST(pinned_entries_stay_and_leave_once_they_are_applied),
        TEST(upkeep_looks_at_unmovable_entries_once_and_not_at_every_call),
        TEST(a_tombstone_is_evictable_once_applied_and_leaves_before_warm_entries),
        TEST(absent_keys_are_never_hot_and_a_deleted_hot_key_is_not_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
