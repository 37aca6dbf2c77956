/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The write set: the latest operation of each record is found however many there are, and cutting back
 * forgets exactly what was added after. */
#include "base/hash.h"
#include "base/memory.h"
#include "storage/write_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

enum { MANY = 5000 };

static struct pending put(uint16_t table, const char *key, const char *value)
{
    struct pending pending = {.table = table, .hash = hash_key(key, strlen(key))};
    pending.operation.kind = OPERATION_PUT;
    pending.operation.expire_at_ms = -1;
    pending.operation.key = slice_from_text(key);
    pending.operation.value = slice_from_text(value);
    return pending;
}

static const struct pending *find(struct write_set *set, uint16_t table, const char *key)
{
    return write_set_find(set, table, slice_from_text(key), hash_key(key, strlen(key)));
}

static void the_latest_operation_on_a_record_is_found(void **state)
{
    (void)state;
    struct write_set *set = write_set_create();
    struct pending a = put(1, "a", "1"), b = put(1, "b", "2"), again = put(1, "a", "3");
    write_set_add(set, &a);
    write_set_add(set, &b);
    assert_int_equal(write_set_add(set, &again)->earlier, 1);
    assert_true(slice_equal(find(set, 1, "a")->operation.value, slice_from_text("3")));
    assert_null(find(set, 1, "c"));
    assert_null(find(set, 2, "a"));
    write_set_destroy(set);
}

static void thousands_of_records_are_found_and_cut_back(void **state)
{
    (void)state;
    static char keys[MANY][16];
    struct write_set *set = write_set_create();
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof keys[i], "key:%u", i % (MANY / 2));
        struct pending pending = put(1, keys[i], keys[i]);
        const struct pending *added = write_set_add(set, &pending);
        assert_int_equal(added->earlier, i < MANY / 2 ? 0 : i - MANY / 2 + 1);
    }
    assert_int_equal(write_set_count(set), MANY);
    write_set_truncate(set, MANY / 2 + 3);
    assert_ptr_equal(find(set, 1, "key:2"), write_set_at(set, MANY / 2 + 2));
    assert_ptr_equal(find(set, 1, "key:3"), write_set_at(set, 3));
    write_set_truncate(set, 2);
    assert_null(find(set, 1, "key:2"));
    assert_non_null(find(set, 1, "key:1"));
    write_set_destroy(set);
}

static void a_set_of_nothing_but_expired_keys_is_told_from_others(void **state)
{
    (void)state;
    struct write_set *set = write_set_create();
    struct pending gone = {.table = 1, .expires = true}, a = put(1, "a", "1");
    gone.operation.kind = OPERATION_DELETE;
    gone.operation.key = slice_from_text("gone");
    write_set_add(set, &gone);
    assert_true(write_set_only_expires(set));
    write_set_add(set, &a);
    assert_false(write_set_only_expires(set));
    write_set_truncate(set, 1);
    assert_true(write_set_only_expires(set));
    write_set_destroy(set);
}

static void its_memory_lasts_until_it_is_cleared(void **state)
{
    (void)state;
    struct write_set *set = write_set_create();
    char *small = write_set_memory(set, 100), *large = write_set_memory(set, 1 << 20);
    memset(small, 'a', 100);
    memset(large, 'b', 1 << 20);
    for (int i = 0; i < 1000; i++) memset(write_set_memory(set, 100), 'c', 100);
    assert_int_equal(small[99], 'a');
    assert_int_equal(large[(1 << 20) - 1], 'b');
    write_set_clear(set);
    assert_int_equal(write_set_count(set), 0);
    write_set_destroy(set);
}

static void a_value_that_no_memory_can_hold_gives_null(void **state)
{
    (void)state;
    struct write_set *set = write_set_create();
    mem_fail_after(1);
    assert_null(write_set_memory(set, 1 << 20));
    mem_fail_after(0);
    assert_non_null(write_set_memory(set, 1 << 20));
    write_set_destroy(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_operation_on_a_record_is_found),
        cmocka_unit_test(thousands_of_records_are_found_and_cut_back),
        cmocka_unit_test(a_set_of_nothing_but_expired_keys_is_told_from_others),
        cmocka_unit_test(its_memory_lasts_until_it_is_cleared),
        cmocka_unit_test(a_value_that_no_memory_can_hold_gives_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
