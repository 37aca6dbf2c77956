/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sorting in bounded memory: the same as qsort, whatever fits in memory. */
#include "check/crc32c.h"
#include "check/sorter.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int compare(const void *a, const void *b)
{
    const struct sorter_item *left = a, *right = b;
    if (left->key != right->key) return left->key < right->key ? -1 : 1;
    return left->value < right->value ? -1 : left->value > right->value;
}

static void check_sorted(size_t count, size_t room)
{
    struct sorter *sorter = sorter_create(room);
    struct sorter_item *items = mem_calloc(count + 1, sizeof *items), item;
    enum status status;
    uint64_t random = 88172645463325252u;
    for (size_t i = 0; i < count; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        items[i] = (struct sorter_item){random % (count + 1), random >> 40};
        assert_int_equal(sorter_add(sorter, items[i].key, items[i].value, NULL), STATUS_OK);
    }
    qsort(items, count, sizeof *items, compare);
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(sorter_rewind(sorter, NULL), STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            assert_true(sorter_next(sorter, &item, &status, NULL));
            assert_int_equal(compare(&item, &items[i]), 0);
        }
        assert_false(sorter_next(sorter, &item, &status, NULL));
        assert_int_equal(status, STATUS_OK);
    }
    assert_int_equal(sorter_count(sorter), count);
    sorter_destroy(sorter);
    mem_free(items);
}

static void what_comes_back_is_sorted_whatever_fits_in_memory(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 999, 1000, 1001, 50000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        check_sorted(counts[i] < 2000 ? counts[i] : 300, 1);
        check_sorted(counts[i] < 2000 ? counts[i] : 1000, 1000);
        check_sorted(counts[i], 700);
    }
}

/* The value of RFC 3720, B.4, and its check string. */
static void the_checksum_is_crc_32c(void **state)
{
    (void)state;
    static const char zeros[32];
    assert_int_equal(crc32c_extend(0, zeros, sizeof zeros), 0x8a9136aau);
    assert_int_equal(crc32c_extend(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c_extend(crc32c_extend(0, "1234", 4), "56789", 5), 0xe3069283u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_back_is_sorted_whatever_fits_in_memory),
        cmocka_unit_test(the_checksum_is_crc_32c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
