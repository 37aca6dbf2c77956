/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The load generator's keys: each distribution is the one that it is called. The seeds are fixed,
 * so that the bounds (chi-squared far above its 99.99th percentile) hold or do not for ever. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/keys.h"

static struct key_space space;
static struct key_cursor cursor;

static void set_up(const char *order, uint64_t count)
{
    assert_true(key_space_setup(&space, order, count, 42));
    cursor = (struct key_cursor){.prng = {1}, .step = 1};
}

static double zipf_mass(double theta, uint64_t count)
{
    double sum = 0;
    for (uint64_t rank = 1; rank <= count; rank++) sum += pow((double)rank, -theta);
    return sum;
}

/* Draws, and compares how often each key came with how often it should have. */
static void check_zipf(double theta, const char *order)
{
    enum { COUNT = 1000, DRAWS = 1000000 };
    static uint64_t found[COUNT];
    memset(found, 0, sizeof found);
    set_up(order, COUNT);
    for (unsigned i = 0; i < DRAWS; i++) found[key_space_next(&space, &cursor)]++;
    double mass = zipf_mass(theta, COUNT), distance = 0, used = 0;
    for (unsigned rank = 0; rank < COUNT; rank++) {
        uint64_t key = space.order == KEYS_ZIPF ? permutation_at(&space.permutation, rank) : rank;
        double expected = DRAWS * pow(rank + 1.0, -theta) / mass;
        if (expected < 10) continue;
        distance += ((double)found[key] - expected) * ((double)found[key] - expected) / expected;
        used++;
    }
    /* Chi-squared has the mean `used` and the deviation sqrt(2 used). */
    assert_true(used > 15);
    assert_true(distance < used + 4 * sqrt(2 * used));
}

static void zipf_has_exactly_its_theta(void **state)
{
    (void)state;
    check_zipf(0.5, "zipf-ranks:0.5");
    check_zipf(0.8, "zipf-ranks:0.8");
    check_zipf(0.99, "zipf-ranks:0.99");
    check_zipf(1, "zipf-ranks:1");
    check_zipf(1.2, "zipf-ranks:1.2");
    check_zipf(2, "zipf-ranks:2");
}

static void scattered_zipf_is_the_same_in_another_order(void **state)
{
    (void)state;
    check_zipf(0.99, "zipf:0.99");
}

static void zipf_over_many_keys_hits_the_hot_tenth_as_often_as_it_should(void **state)
{
    enum { COUNT = 20000000, DRAWS = 500000 };
    (void)state;
    set_up("zipf-ranks:0.99", COUNT);
    unsigned hot = 0;
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t rank = key_space_next(&space, &cursor);
        assert_true(rank < COUNT);
        hot += rank < COUNT / 10;
    }
    double expected = zipf_mass(0.99, COUNT / 10) / zipf_mass(0.99, COUNT);
    assert_true(fabs((double)hot / DRAWS - expected) < 0.002);
}

static void uniform_is_uniform(void **state)
{
    enum { COUNT = 1000, DRAWS = 1000000 };
    static uint64_t found[COUNT];
    (void)state;
    set_up("uniform", COUNT);
    for (unsigned i = 0; i < DRAWS; i++) found[key_space_next(&space, &cursor)]++;
    double distance = 0;
    for (unsigned key = 0; key < COUNT; key++) {
        double off = (double)found[key] - DRAWS / COUNT;
        distance += off * off / (DRAWS / COUNT);
    }
    assert_true(distance < COUNT + 4 * sqrt(2.0 * COUNT));
}

static void check_walk(const char *order, uint64_t count, uint64_t cursors)
{
    uint8_t *seen = calloc(count, 1);
    set_up(order, count);
    assert_true(key_space_is_walk(&space));
    for (uint64_t i = 0; i < cursors; i++) {
        struct key_cursor own = {.position = i, .step = cursors};
        for (uint64_t n = count / cursors + (i < count % cursors); n > 0; n--) {
            uint64_t key = key_space_next(&space, &own);
            assert_true(key < count);
            seen[key]++;
        }
    }
    for (uint64_t key = 0; key < count; key++) assert_int_equal(seen[key], 1);
    free(seen);
}

static void a_walk_meets_each_key_once(void **state)
{
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 16, 17, 1000, 65536, 100003};
    (void)state;
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        check_walk("sequential", counts[i], 3);
        check_walk("shuffled", counts[i], 1);
        check_walk("shuffled", counts[i], 4);
    }
}

static void a_shuffled_walk_jumps(void **state)
{
    enum { COUNT = 100000 };
    (void)state;
    set_up("shuffled", COUNT);
    uint64_t last = key_space_next(&space, &cursor), sum = 0;
    for (unsigned i = 1; i < COUNT; i++) {
        uint64_t key = key_space_next(&space, &cursor);
        sum += key > last ? key - last : last - key;
        last = key;
    }
    /* Two random places are a third of the whole apart. */
    assert_true(fabs((double)sum / COUNT / COUNT - 1.0 / 3) < 0.01);
}

static void unknown_orders_are_refused(void **state)
{
    static const char *const bad[] = {"",        "zipf",    "zipf:",     "zipf:x",    "zipf:0",
                                      "zipf:-1", "zipf:1x", "uniformly", "zipf-ranks"};
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(key_space_setup(&space, bad[i], 10, 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zipf_has_exactly_its_theta),
        cmocka_unit_test(scattered_zipf_is_the_same_in_another_order),
        cmocka_unit_test(zipf_over_many_keys_hits_the_hot_tenth_as_often_as_it_should),
        cmocka_unit_test(uniform_is_uniform),
        cmocka_unit_test(a_walk_meets_each_key_once),
        cmocka_unit_test(a_shuffled_walk_jumps),
        cmocka_unit_test(unknown_orders_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
