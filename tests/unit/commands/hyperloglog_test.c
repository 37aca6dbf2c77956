/* SPDX-License-Identifier: BSD-3-Clause
 *
 * HyperLogLogs: Redis's bytes, its counts, and damaged values. The expected bytes and counts are those
 * of Redis 7.0.15. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/hyperloglog.h"

static unsigned char memory[HYPERLOGLOG_DENSE_BYTES + 1];

static struct hyperloglog fresh(void)
{
    struct hyperloglog hll = {memory, 0, sizeof memory, 3000};
    hyperloglog_init(&hll);
    return hll;
}

static struct slice bytes_of(const struct hyperloglog *hll)
{
    return slice_make(hll->bytes, hll->size);
}

static uint64_t count_of(const struct hyperloglog *hll)
{
    struct hyperloglog_registers registers = {{0}};
    assert_true(hyperloglog_merge(&registers, bytes_of(hll)));
    return hyperloglog_estimate(&registers);
}

static void add_many(struct hyperloglog *hll, int first, int end)
{
    for (int i = first; i < end; i++) {
        char name[32];
        int size = snprintf(name, sizeof name, "element-%d", i);
        assert_int_not_equal(hyperloglog_add(hll, slice_make(name, (size_t)size)),
                             HYPERLOGLOG_DAMAGED);
    }
}

static void a_few_elements_give_the_bytes_of_redis(void **state)
{
    (void)state;
    static const unsigned char expected[] = {
        0x48, 0x59, 0x4c, 0x4c, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x80, 0x5c, 0x7b, 0x80, 0x44, 0x76, 0x80, 0x50, 0xb1, 0x84, 0x49, 0x8c, 0x80,
        0x42, 0x6d, 0x80, 0x42, 0x5a};
    struct hyperloglog hll = fresh();
    for (const char *name = "abcde"; *name; name++)
        assert_int_equal(hyperloglog_add(&hll, slice_make(name, 1)), HYPERLOGLOG_CHANGED);
    assert_int_equal(hll.size, sizeof expected);
    assert_memory_equal(hll.bytes, expected, sizeof expected);
}

static void counts_and_sizes_are_those_of_redis(void **state)
{
    (void)state;
    static const struct {
        int elements;
        uint64_t count, size;
    } steps[] = {{10, 10, 48}, {100, 100, 287}, {1000, 994, 1870}, {10000, 10016, 12304},
                 {100000, 100917, 12304}};
    struct hyperloglog hll = fresh();
    int added = 0;
    assert_int_equal(count_of(&hll), 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        add_many(&hll, added, steps[i].elements);
        added = steps[i].elements;
        assert_int_equal(count_of(&hll), steps[i].count);
        assert_int_equal(hll.size, steps[i].size);
        assert_true(hyperloglog_is_valid(bytes_of(&hll)));
    }
    assert_true(hyperloglog_is_dense(bytes_of(&hll)));
}

static void an_element_that_is_known_changes_nothing(void **state)
{
    (void)state;
    struct hyperloglog hll = fresh();
    add_many(&hll, 0, 100);
    for (int i = 0; i < 100; i++) {
        char name[32];
        int size = snprintf(name, sizeof name, "element-%d", i);
        assert_int_equal(hyperloglog_add(&hll, slice_make(name, (size_t)size)), HYPERLOGLOG_SAME);
    }
}

static void dense_and_sparse_hold_the_same_registers(void **state)
{
    (void)state;
    struct hyperloglog_registers sparse = {{0}}, dense = {{0}};
    struct hyperloglog hll = fresh();
    add_many(&hll, 0, 800);
    assert_true(hyperloglog_merge(&sparse, bytes_of(&hll)));
    assert_true(hyperloglog_make_dense(&hll));
    assert_true(hyperloglog_merge(&dense, bytes_of(&hll)));
    assert_memory_equal(&sparse, &dense, sizeof sparse);
}

static void every_register_takes_every_value(void **state)
{
    (void)state;
    for (unsigned value = 1; value < 64; value += 31) {
        struct hyperloglog_registers registers = {{0}};
        struct hyperloglog hll = fresh();
        for (unsigned i = 0; i < HYPERLOGLOG_REGISTERS; i += 3)
            assert_int_equal(hyperloglog_raise(&hll, i, value), HYPERLOGLOG_CHANGED);
        assert_true(hyperloglog_merge(&registers, bytes_of(&hll)));
        for (unsigned i = 0; i < HYPERLOGLOG_REGISTERS; i++)
            assert_int_equal(registers.values[i], i % 3 == 0 ? value : 0);
    }
}

static void the_cached_count_ends_with_a_change(void **state)
{
    (void)state;
    struct hyperloglog hll = fresh();
    uint64_t count = 99;
    assert_true(hyperloglog_cached_count(bytes_of(&hll), &count));
    assert_int_equal(count, 0);
    add_many(&hll, 0, 1);
    assert_false(hyperloglog_cached_count(bytes_of(&hll), &count));
}

static void bytes_that_are_none_are_noticed(void **state)
{
    (void)state;
    struct hyperloglog hll = fresh();
    struct hyperloglog_registers registers = {{0}};
    assert_false(hyperloglog_is_valid(slice_make("HYLL", 4)));
    hll.bytes[4] = 2;
    assert_false(hyperloglog_is_valid(bytes_of(&hll)));
    hll.bytes[4] = 0; /* dense, but far too short */
    assert_false(hyperloglog_is_valid(bytes_of(&hll)));
    hll.bytes[4] = 1;
    assert_true(hyperloglog_is_valid(bytes_of(&hll)));
    hll.size--; /* the run lacks its second byte */
    assert_false(hyperloglog_merge(&registers, bytes_of(&hll)));
    assert_int_equal(hyperloglog_raise(&hll, 5, 1), HYPERLOGLOG_CHANGED); /* Redis takes it so */
    hll.size = HYPERLOGLOG_HEADER_BYTES; /* no run at all */
    assert_false(hyperloglog_merge(&registers, bytes_of(&hll)));
    assert_int_equal(hyperloglog_raise(&hll, 5, 1), HYPERLOGLOG_DAMAGED);
    assert_false(hyperloglog_make_dense(&hll));
}

/* Whatever the bytes are, no access leaves them: for the sanitizers. */
static void random_bytes_do_no_harm(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 2000; round++) {
        struct hyperloglog hll = fresh();
        hll.size = HYPERLOGLOG_HEADER_BYTES + (size_t)(rand_r(&seed) % 40);
        for (size_t i = HYPERLOGLOG_HEADER_BYTES; i < hll.size; i++)
            hll.bytes[i] = (unsigned char)rand_r(&seed);
        hll.bytes[hll.size] = 0;
        struct hyperloglog_registers registers = {{0}};
        (void)hyperloglog_merge(&registers, bytes_of(&hll));
        for (int i = 0; i < 20; i++)
            (void)hyperloglog_raise(&hll, (unsigned)rand_r(&seed) % HYPERLOGLOG_REGISTERS,
                                    1 + (unsigned)rand_r(&seed) % 40);
        assert_true(hll.size <= sizeof memory);
    }
}

/* Every second register alone in its run, then every one: what the sparse form can grow to. */
static void a_sparse_one_has_room_up_to_its_limit(void **state)
{
    (void)state;
    static const size_t limits[] = {0, 17, 18, 19, 20, 21, 3000, 12303, 12305, 16000, 1000000, SIZE_MAX};
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++) {
        size_t capacity = hyperloglog_capacity(18, limits[k], HYPERLOGLOG_REGISTERS);
        struct hyperloglog hll = {malloc(capacity), 0, capacity, limits[k]};
        struct hyperloglog_registers registers = {{0}};
        hyperloglog_init(&hll);
        for (unsigned step = 2; step > 0; step--)
            for (unsigned i = 0; i < HYPERLOGLOG_REGISTERS; i += step) {
                hyperloglog_raise(&hll, i, 1 + i % 31);
                assert_true(hyperloglog_is_dense(bytes_of(&hll)) || hll.size <= limits[k] || hll.size == 18);
            }
        assert_true(hyperloglog_is_dense(bytes_of(&hll)) == (limits[k] < 16400));
        assert_true(hyperloglog_merge(&registers, bytes_of(&hll)));
        for (unsigned i = 0; i < HYPERLOGLOG_REGISTERS; i++)
            assert_int_equal(registers.values[i], 1 + i % 31);
        free(hll.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_elements_give_the_bytes_of_redis),
        cmocka_unit_test(counts_and_sizes_are_those_of_redis),
        cmocka_unit_test(an_element_that_is_known_changes_nothing),
        cmocka_unit_test(dense_and_sparse_hold_the_same_registers),
        cmocka_unit_test(every_register_takes_every_value),
        cmocka_unit_test(the_cached_count_ends_with_a_change),
        cmocka_unit_test(bytes_that_are_none_are_noticed),
        cmocka_unit_test(random_bytes_do_no_harm),
        cmocka_unit_test(a_sparse_one_has_room_up_to_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
