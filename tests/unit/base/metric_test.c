/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Histograms and metric tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/metric.h"

static struct histogram histogram;

static void buckets_cover_every_value_once(void **state)
{
    (void)state;
    for (unsigned i = 1; i < HISTOGRAM_BUCKETS; i++)
        assert_true(histogram_bucket_limit_us(i) > histogram_bucket_limit_us(i - 1));
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        uint64_t limit = histogram_bucket_limit_us(i);
        histogram_reset(&histogram);
        histogram_record_us(&histogram, limit);
        assert_int_equal(histogram.buckets[i], 1);
        histogram_record_us(&histogram, limit + 1);
        assert_int_equal(histogram.buckets[i + 1], 1);
    }
}

static void a_quantile_is_right_within_an_eighth(void **state)
{
    (void)state;
    histogram_reset(&histogram);
    assert_int_equal(histogram_quantile_us(&histogram, 0.5), 0);
    for (uint64_t i = 1; i <= 100000; i++) histogram_record_us(&histogram, i);
    assert_int_equal(histogram.count, 100000);
    assert_int_equal(histogram.maximum, 100000);
    assert_true(histogram.sum == UINT64_C(5000050000));
    for (int percent = 1; percent <= 99; percent++) {
        double exact = percent * 1000.0;
        double found = (double)histogram_quantile_us(&histogram, percent / 100.0);
        assert_true(found >= exact && found <= exact * 1.125 + 1);
    }
    assert_int_equal(histogram_quantile_us(&histogram, 1.0), 100000);
    assert_int_equal(histogram_quantile_us(&histogram, 0.0), 1);
}

static void a_value_past_the_end_lands_in_the_last_bucket(void **state)
{
    (void)state;
    histogram_reset(&histogram);
    histogram_record_us(&histogram, UINT64_MAX);
    assert_int_equal(histogram.buckets[HISTOGRAM_BUCKETS - 1], 1);
    assert_true(histogram_quantile_us(&histogram, 0.5) == UINT64_MAX);
}

struct figures {
    struct counter events;
    struct gauge level;
    struct histogram times;
};

static void a_reset_leaves_gauges_alone(void **state)
{
    (void)state;
    static const struct metric rows[] = {
        {"events_total", METRIC_COUNTER, offsetof(struct figures, events), "", NULL, ""},
        {"level", METRIC_GAUGE, offsetof(struct figures, level), "", NULL, ""},
        {"times", METRIC_HISTOGRAM, offsetof(struct figures, times), "seconds", NULL, ""},
    };
    static const struct metric_table table = {"test", rows, 3};
    static struct figures figures;
    counter_add(&figures.events, 3);
    counter_add_shared(&figures.events, 4);
    gauge_set(&figures.level, 5);
    gauge_add_shared(&figures.level, -7);
    histogram_record_us(&figures.times, 5);
    assert_int_equal(counter_get(&figures.events), 7);
    metric_reset(&table, &figures);
    assert_int_equal(counter_get(&figures.events), 0);
    assert_int_equal(gauge_get(&figures.level), -2);
    assert_int_equal(figures.times.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_cover_every_value_once),
        cmocka_unit_test(a_quantile_is_right_within_an_eighth),
        cmocka_unit_test(a_value_past_the_end_lands_in_the_last_bucket),
        cmocka_unit_test(a_reset_leaves_gauges_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
