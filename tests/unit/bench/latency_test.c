/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The load generator's histogram: what its percentiles promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bench/load/latency.h"
#include "bench/load/prng.h"

static struct latency latency;
static struct latency_snapshot snapshot, earlier;

static void take_snapshot(void)
{
    snapshot = (struct latency_snapshot){0};
    latency_add_to(&snapshot, &latency);
}

static int start_empty(void **state)
{
    (void)state;
    latency = (struct latency){0};
    earlier = (struct latency_snapshot){0};
    return 0;
}

static int compare_values(const void *a, const void *b)
{
    int64_t first = *(const int64_t *)a, second = *(const int64_t *)b;
    return first < second ? -1 : first > second;
}

static void an_empty_one_says_zero(void **state)
{
    (void)state;
    take_snapshot();
    assert_int_equal(snapshot.count, 0);
    assert_int_equal(latency_quantile_ns(&snapshot, 0.99), 0);
}

static void every_value_comes_back_at_most_one_percent_larger(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < UINT64_C(1) << 40; value += 1 + value / 37) {
        latency = (struct latency){0};
        latency_record_ns(&latency, (int64_t)value);
        latency_record_ns(&latency, INT64_C(1) << 40);
        take_snapshot();
        uint64_t found = latency_quantile_ns(&snapshot, 0.5);
        assert_true(found >= value);
        assert_true(found - value <= value / 128);
    }
}

static void percentiles_are_those_of_the_sorted_values(void **state)
{
    enum { COUNT = 100000 };
    static int64_t values[COUNT];
    static const double fractions[] = {0, 0.001, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    (void)state;
    struct prng prng = {7};
    for (unsigned i = 0; i < COUNT; i++) {
        values[i] = (int64_t)(prng_next(&prng) >> (24 + prng_below(&prng, 30)));
        latency_record_ns(&latency, values[i]);
    }
    qsort(values, COUNT, sizeof *values, compare_values);
    take_snapshot();
    for (unsigned i = 0; i < sizeof fractions / sizeof *fractions; i++) {
        unsigned rank = (unsigned)(fractions[i] * COUNT + 0.5);
        uint64_t exact = (uint64_t)values[rank ? rank - 1 : 0];
        uint64_t found = latency_quantile_ns(&snapshot, fractions[i]);
        assert_true(found >= exact && found - exact <= exact / 128);
    }
    assert_int_equal(latency_quantile_ns(&snapshot, 1), values[COUNT - 1]);
}

static void too_long_ones_count_and_the_maximum_is_exact(void **state)
{
    (void)state;
    latency_record_ns(&latency, -5);
    latency_record_ns(&latency, INT64_C(1) << 50);
    take_snapshot();
    assert_int_equal(snapshot.count, 2);
    assert_int_equal(latency_quantile_ns(&snapshot, 0.5), 0);
    assert_int_equal(snapshot.maximum_ns, INT64_C(1) << 50);
}

static void a_difference_is_what_came_between(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) latency_record_ns(&latency, 9000000);
    latency_add_to(&earlier, &latency);
    for (unsigned i = 0; i < 10; i++) latency_record_ns(&latency, 1000);
    take_snapshot();
    latency_subtract(&snapshot, &earlier);
    assert_int_equal(snapshot.count, 10);
    assert_in_range(latency_quantile_ns(&snapshot, 0.99), 1000, 1008);
    assert_in_range(snapshot.maximum_ns, 1000, 1008);
    assert_true(latency_mean_ns(&snapshot) == 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_one_says_zero, start_empty),
        cmocka_unit_test_setup(every_value_comes_back_at_most_one_percent_larger, start_empty),
        cmocka_unit_test_setup(percentiles_are_those_of_the_sorted_values, start_empty),
        cmocka_unit_test_setup(too_long_ones_count_and_the_maximum_is_exact, start_empty),
        cmocka_unit_test_setup(a_difference_is_what_came_between, start_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
