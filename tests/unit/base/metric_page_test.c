/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The metrics page in both formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metric_page.h"

#include <math.h>

static struct buffer text;

static const char *page_of(const struct metric_table *table, const void *metrics,
                           enum metric_format format)
{
    struct metric_page page = {&text, format};
    struct metric_visitor visitor = metric_page_visitor(&page);
    buffer_clear(&text);
    metric_visit_table(&visitor, table, metrics);
    metric_page_end(&page);
    buffer_append(&text, "", 1);
    return text.data;
}

static const char *number(double value)
{
    buffer_clear(&text);
    metric_append_number(&text, value);
    buffer_append(&text, "", 1);
    return text.data;
}

static int teardown(void **state)
{
    (void)state;
    buffer_free(&text);
    return 0;
}

struct figures {
    struct counter events, pause_us;
    struct gauge level_bytes, moment_ms;
    struct histogram wait;
};
static struct figures figures;
static const struct metric rows[] = {
    {"t_events_total", METRIC_COUNTER, offsetof(struct figures, events), "", NULL, "Events."},
    {"t_pause_seconds_total", METRIC_COUNTER, offsetof(struct figures, pause_us), "seconds", NULL,
     "A \"pause\",\nin C:\\."},
    {"t_level_bytes", METRIC_GAUGE, offsetof(struct figures, level_bytes), "bytes", NULL, "Level."},
    {"t_moment_seconds", METRIC_GAUGE, offsetof(struct figures, moment_ms), "milliseconds", NULL,
     "Moment."},
};
static const struct metric_table table = {"t", rows, sizeof rows / sizeof *rows};
static const struct metric wait_row = {
    "t_wait_seconds", METRIC_HISTOGRAM, offsetof(struct figures, wait), "seconds", NULL, "Wait."};
static const struct metric_table wait_table = {"t", &wait_row, 1};

static void fill(void)
{
    memset(&figures, 0, sizeof figures);
    counter_add(&figures.events, 3);
    counter_add(&figures.pause_us, 1500000);
    gauge_set(&figures.level_bytes, -7);
    gauge_set(&figures.moment_ms, 1700000000250);
}

static void the_text_format_has_help_type_and_value(void **state)
{
    (void)state;
    fill();
    assert_string_equal(page_of(&table, &figures, METRIC_TEXT),
                        "# HELP t_events_total Events.\n"
                        "# TYPE t_events_total counter\n"
                        "t_events_total 3\n"
                        "# HELP t_pause_seconds_total A \"pause\", in C:\\\\.\n"
                        "# TYPE t_pause_seconds_total counter\n"
                        "t_pause_seconds_total 1.5\n"
                        "# HELP t_level_bytes Level.\n"
                        "# TYPE t_level_bytes gauge\n"
                        "t_level_bytes -7\n"
                        "# HELP t_moment_seconds Moment.\n"
                        "# TYPE t_moment_seconds gauge\n"
                        "t_moment_seconds 1700000000.25\n");
}

static void openmetrics_names_a_counters_family_without_total_and_ends_with_eof(void **state)
{
    (void)state;
    fill();
    assert_string_equal(page_of(&table, &figures, METRIC_OPENMETRICS),
                        "# HELP t_events Events.\n"
                        "# TYPE t_events counter\n"
                        "t_events_total 3\n"
                        "# HELP t_pause_seconds A \\\"pause\\\", in C:\\\\.\n"
                        "# TYPE t_pause_seconds counter\n"
                        "# UNIT t_pause_seconds seconds\n"
                        "t_pause_seconds_total 1.5\n"
                        "# HELP t_level_bytes Level.\n"
                        "# TYPE t_level_bytes gauge\n"
                        "# UNIT t_level_bytes bytes\n"
                        "t_level_bytes -7\n"
                        "# HELP t_moment_seconds Moment.\n"
                        "# TYPE t_moment_seconds gauge\n"
                        "# UNIT t_moment_seconds seconds\n"
                        "t_moment_seconds 1700000000.25\n"
                        "# EOF\n");
}

/* Reads the buckets of a page; gives their number and the last count. */
static int check_buckets(const char *page, uint64_t *last_count)
{
    double last_limit = -1;
    int buckets = 0;
    *last_count = 0;
    for (const char *at = page; (at = strstr(at, "le=\"")) != NULL; buckets++) {
        char *end;
        double limit = strtod(at + 4, &end);
        assert_true(limit > last_limit);
        last_limit = limit;
        assert_memory_equal(end, "\"} ", 3);
        uint64_t count = strtoull(end + 3, NULL, 10);
        assert_true(count >= *last_count);
        *last_count = count;
        at = end;
    }
    assert_true(isinf(last_limit));
    return buckets;
}

static void buckets_rise_and_the_last_one_is_the_count(void **state)
{
    (void)state;
    uint64_t last;
    memset(&figures, 0, sizeof figures);
    for (uint64_t us = 1; us < 40000000; us += us / 3 + 1) histogram_record_us(&figures.wait, us);
    uint64_t count = figures.wait.count;
    const char *page = page_of(&wait_table, &figures, METRIC_TEXT);
    char line[64];
    assert_int_equal(check_buckets(page, &last), 22);
    assert_true(last == count);
    snprintf(line, sizeof line, "t_wait_seconds_count %llu\n", (unsigned long long)count);
    assert_non_null(strstr(page, line));
    assert_non_null(strstr(page, "t_wait_seconds_bucket{le=\"+Inf\"} "));
}

static void a_bucket_counts_what_is_at_most_its_limit(void **state)
{
    (void)state;
    memset(&figures, 0, sizeof figures);
    histogram_record_us(&figures.wait, 1023);
    histogram_record_us(&figures.wait, 1024);
    histogram_record_us(&figures.wait, 100000000);
    const char *page = page_of(&wait_table, &figures, METRIC_TEXT);
    assert_non_null(strstr(page, "t_wait_seconds_bucket{le=\"0.000511\"} 0\n"));
    assert_non_null(strstr(page, "t_wait_seconds_bucket{le=\"0.001023\"} 1\n"));
    assert_non_null(strstr(page, "t_wait_seconds_bucket{le=\"0.002047\"} 2\n"));
    assert_non_null(strstr(page, "t_wait_seconds_bucket{le=\"16.777215\"} 2\n"));
    assert_non_null(strstr(page, "t_wait_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(page, "t_wait_seconds_sum 100.002047\n"));
}

static void a_histogram_of_nanoseconds_is_shown_in_seconds_with_its_labels(void **state)
{
    (void)state;
    uint64_t last;
    memset(&figures, 0, sizeof figures);
    histogram_record_us(&figures.wait, 1500);
    struct metric_page page = {&text, METRIC_TEXT};
    struct metric_visitor visitor = metric_page_visitor(&page);
    buffer_clear(&text);
    metric_visit_histogram(&visitor, &wait_row, "command=\"get\"", &figures.wait, &metric_scale_ns);
    buffer_append(&text, "", 1);
    check_buckets(text.data, &last);
    assert_int_equal(last, 1);
    assert_non_null(strstr(text.data, "t_wait_seconds_bucket{command=\"get\",le=\"0.000001023\"} 0\n"));
    assert_non_null(strstr(text.data, "t_wait_seconds_bucket{command=\"get\",le=\"0.000004095\"} 1\n"));
    assert_non_null(strstr(text.data, "t_wait_seconds_sum{command=\"get\"} 0.0000015\n"));
    assert_non_null(strstr(text.data, "t_wait_seconds_count{command=\"get\"} 1\n"));
}

static void labels_are_escaped(void **state)
{
    (void)state;
    buffer_clear(&text);
    metric_append_label(&text, "a", SLICE_LITERAL("x\"y\\z\n"));
    metric_append_label(&text, "b", SLICE_LITERAL(""));
    buffer_append(&text, "", 1);
    assert_string_equal(text.data, "a=\"x\\\"y\\\\z\\n\",b=\"\"");
}

static void numbers_are_exact_or_named(void **state)
{
    (void)state;
    assert_string_equal(number(0), "0");
    assert_string_equal(number(-12), "-12");
    assert_string_equal(number(9007199254740992.0), "9007199254740992");
    assert_string_equal(number(0.25), "0.25");
    assert_string_equal(number(1e300), "1e+300");
    assert_string_equal(number((double)INFINITY), "+Inf");
    assert_string_equal(number(-(double)INFINITY), "-Inf");
    assert_string_equal(number((double)NAN), "NaN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_format_has_help_type_and_value),
        cmocka_unit_test(openmetrics_names_a_counters_family_without_total_and_ends_with_eof),
        cmocka_unit_test(buckets_rise_and_the_last_one_is_the_count),
        cmocka_unit_test(a_bucket_counts_what_is_at_most_its_limit),
        cmocka_unit_test(a_histogram_of_nanoseconds_is_shown_in_seconds_with_its_labels),
        cmocka_unit_test(labels_are_escaped),
        cmocka_unit_test(numbers_are_exact_or_named),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
