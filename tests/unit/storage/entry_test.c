/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Entries: layout, rewriting in place, references. */
#include "storage/entry.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define TEXT(text) SLICE_LITERAL(text)

static void check(const struct entry *entry, struct slice key, struct slice value, int64_t expiry)
{
    assert_true(slice_equal(entry_key(entry), key));
    assert_true(slice_equal(entry_value(entry), value));
    assert_int_equal(entry_expire_at_ms(entry), expiry);
}

static void key_value_and_expiry_lie_in_one_allocation(void **state)
{
    (void)state;
    struct entry *entry = entry_create(TEXT("key"), TEXT("value"), 1234567890123);
    check(entry, TEXT("key"), TEXT("value"), 1234567890123);
    assert_true(entry_memory_bytes(entry) >= sizeof *entry + 8 + 8);
    assert_int_equal(entry_memory_bytes(entry), mem_usable_size(entry));
    entry_detach(entry);
}

static void empty_keys_and_values_and_zero_bytes_are_kept(void **state)
{
    (void)state;
    struct entry *entry = entry_create((struct slice){0}, (struct slice){0}, -1);
    check(entry, TEXT(""), TEXT(""), -1);
    entry_detach(entry);
    entry = entry_create(slice_make("\0\0a", 3), slice_make("\0", 1), 0);
    check(entry, slice_make("\0\0a", 3), slice_make("\0", 1), 0);
    entry_detach(entry);
}

static void an_expiry_before_1970_is_kept(void **state)
{
    (void)state;
    struct entry *entry = entry_create(TEXT("k"), TEXT("v"), -5);
    check(entry, TEXT("k"), TEXT("v"), -5);
    entry_detach(entry);
}

/* Room for eight bytes more in any allocator: shrink, then grow back. */
static struct entry *create_with_room(struct slice key, size_t room)
{
    char text[256];
    memset(text, 'r', sizeof text);
    struct entry *entry = entry_create(key, slice_make(text, room), -1);
    return entry;
}

static void an_entry_fits_what_needs_the_same_size_class(void **state)
{
    (void)state;
    struct entry *entry = create_with_room(TEXT("key"), 40);
    assert_true(entry_fits(entry, 40, false));
    assert_true(entry_fits(entry, 32, true)); /* 32 + 8 */
    assert_false(entry_fits(entry, 4000, false));
    assert_false(entry_fits(entry, (size_t)UINT32_MAX + 1, false));
    entry_detach(entry);
}

static void
an_expiry_comes_and_goes_in_place_with_the_value_taken_from_the_entry_itself(void **state)
{
    (void)state;
    /* All lengths of key and value around the 8 bytes by which they move. */
    for (size_t key_size = 0; key_size < 20; key_size++) {
        for (size_t value_size = 0; value_size < 20; value_size++) {
            char key[32], value[64];
            for (size_t i = 0; i < sizeof key; i++) key[i] = (char)('a' + i % 26);
            for (size_t i = 0; i < sizeof value; i++) value[i] = (char)('A' + i % 26);
            struct slice k = slice_make(key, key_size);
            struct entry *entry = entry_create(k, slice_make(value, value_size + 8), -1);
            entry_rewrite(entry, slice_make(entry_value(entry).data + 3, value_size), 99);
            check(entry, k, slice_make(value + 3, value_size), 99);
            entry_rewrite(entry, entry_value(entry), 100);
            check(entry, k, slice_make(value + 3, value_size), 100);
            entry_rewrite(entry, entry_value(entry), -1);
            check(entry, k, slice_make(value + 3, value_size), -1);
            entry_detach(entry);
        }
    }
}

static void
a_referenced_entry_outlives_the_cache_and_is_counted_until_its_last_reference_goes(void **state)
{
    (void)state;
    uint64_t before = entry_detached_bytes();
    struct entry *entry = entry_create(TEXT("key"), TEXT("value"), -1);
    size_t bytes = entry_memory_bytes(entry);
    entry->linked = 1;
    entry_ref(entry);
    entry_ref(entry);
    entry_detach(entry);
    assert_int_equal(entry_detached_bytes(), before + bytes);
    check(entry, TEXT("key"), TEXT("value"), -1);
    entry_unref(entry);
    check(entry, TEXT("key"), TEXT("value"), -1);
    entry_unref(entry);
    assert_int_equal(entry_detached_bytes(), before);
}

static void letting_a_linked_entry_go_frees_nothing(void **state)
{
    (void)state;
    struct entry *entry = entry_create(TEXT("key"), TEXT("value"), -1);
    entry->linked = 1;
    entry_unref(entry_ref(entry));
    check(entry, TEXT("key"), TEXT("value"), -1);
    entry_detach(entry);
    assert_int_equal(entry_detached_bytes(), 0);
}

static void an_object_head_comes_back_as_it_was_put(void **state)
{
    (void)state;
    struct object_head head = {.object_id = 77, .length = 100 << 20}, got;
    struct entry *entry = entry_create(TEXT("odd"), slice_make(&head, sizeof head), -1);
    entry->has_object = 1;
    got = entry_object(entry);
    assert_memory_equal(&got, &head, sizeof head);
    entry_detach(entry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_value_and_expiry_lie_in_one_allocation),
        cmocka_unit_test(empty_keys_and_values_and_zero_bytes_are_kept),
        cmocka_unit_test(an_expiry_before_1970_is_kept),
        cmocka_unit_test(an_entry_fits_what_needs_the_same_size_class),
        cmocka_unit_test(
            an_expiry_comes_and_goes_in_place_with_the_value_taken_from_the_entry_itself),
        cmocka_unit_test(
            a_referenced_entry_outlives_the_cache_and_is_counted_until_its_last_reference_goes),
        cmocka_unit_test(letting_a_linked_entry_go_frees_nothing),
        cmocka_unit_test(an_object_head_comes_back_as_it_was_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
