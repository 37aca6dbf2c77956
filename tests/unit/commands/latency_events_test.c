/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LATENCY's events: what is kept of them, and the chart; that of one column a sample was drawn by Redis. */
#include "commands/latency_events.h"

#include "commands/latency_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { NOW_S = 1000000 };

static int forget(void **state)
{
    (void)state;
    while (latency_event_at(0)) latency_event_remove(0);
    return 0;
}

static void of_each_second_the_longest_is_kept(void **state)
{
    (void)state;
    latency_event_add("load", 100, NOW_S);
    latency_event_add("load", 300, NOW_S);
    latency_event_add("load", 200, NOW_S);
    latency_event_add("load", 150, NOW_S + 1);
    const struct latency_event *event = latency_event_at(0);
    assert_int_equal(event->longest_ms, 300);
    assert_int_equal(latency_event_sample(event, 0).ms, 150);
    assert_int_equal(latency_event_sample(event, 1).ms, 300);
    assert_int_equal(latency_event_sample(event, 2).at_s, 0);
}

static void the_ring_keeps_the_newest_seconds_and_the_longest_of_all(void **state)
{
    (void)state;
    latency_event_add("batch", 9999, NOW_S - 1);
    for (int i = 0; i < 3 * LATENCY_SAMPLES; i++) latency_event_add("batch", 100 + i, NOW_S + i);
    const struct latency_event *event = latency_event_at(0);
    assert_int_equal(event->longest_ms, 9999);
    assert_int_equal(latency_event_sample(event, 0).ms, 100 + 3 * LATENCY_SAMPLES - 1);
    assert_int_equal(latency_event_sample(event, LATENCY_SAMPLES - 1).ms,
                     100 + 2 * LATENCY_SAMPLES);
}

static void a_forgotten_event_begins_anew(void **state)
{
    (void)state;
    latency_event_add("one", 1, NOW_S);
    latency_event_add("two", 2, NOW_S);
    latency_event_remove(0);
    assert_string_equal(latency_event_at(0)->name, "two");
    assert_null(latency_event_at(1));
    latency_event_add("one", 7, NOW_S);
    assert_int_equal(latency_event_at(1)->longest_ms, 7);
    assert_int_equal(latency_event_sample(latency_event_at(1), 1).at_s, 0);
}

static void more_events_than_there_is_room_for_are_not_kept(void **state)
{
    (void)state;
    static char names[100][16];
    size_t kept = 0;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(names[i], sizeof names[i], "e%d", i);
        latency_event_add(names[i], 1, NOW_S);
    }
    while (latency_event_at(kept)) kept++;
    assert_in_range(kept, 7, 99);
}

static void assert_chart(const char *expected)
{
    struct buffer text = {0};
    latency_graph_append(&text, latency_event_at(0), NOW_S);
    buffer_append(&text, "", 1);
    assert_string_equal(text.data, expected);
    buffer_free(&text);
}

#define RULE \
    "--------------------------------------------------------------------------------\n"

static void the_chart_has_a_column_for_each_sample(void **state)
{
    (void)state;
    static const int ms[] = {130, 233, 440, 403, 907}, ages_s[] = {8, 6, 5, 3, 1};
    for (int i = 0; i < 5; i++) latency_event_add("command", ms[i], NOW_S - ages_s[i]);
    assert_chart("command - high 907 ms, low 130 ms (all time high 907 ms)\n" RULE "    #\n"
                 "    |\n"
                 "  oo|\n"
                 "_o|||\n"
                 "     \n"
                 "86531\n"
                 "sssss\n");
}

static void ages_are_told_in_the_unit_that_fits(void **state)
{
    (void)state;
    latency_event_add("command", 5, NOW_S - 3 * 86400);
    latency_event_add("command", 5, NOW_S - 2 * 3600);
    latency_event_add("command", 5, NOW_S - 12 * 60);
    latency_event_add("command", 5, NOW_S - 59);
    assert_chart("command - high 5 ms, low 5 ms (all time high 5 ms)\n" RULE "    \n"
                 "    \n"
                 "    \n"
                 "____\n"
                 "    \n"
                 "3215\n"
                 "dh29\n"
                 "  ms\n");
}

static void a_long_history_is_drawn_in_parts(void **state)
{
    (void)state;
    struct buffer text = {0};
    for (int i = 0; i < LATENCY_SAMPLES; i++) latency_event_add("command", i, NOW_S - 200 + i);
    latency_graph_append(&text, latency_event_at(0), NOW_S);
    size_t lines = 0, longest = 0, at = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '\n') continue;
        if (i - at > longest) longest = i - at;
        at = i + 1;
        lines++;
    }
    buffer_free(&text);
    assert_int_equal(longest, 80);
    assert_int_equal(lines, 2 + 5 + 2 + 1 + 5 + 3); /* ages of two and of three letters: "3m", "59s" */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(of_each_second_the_longest_is_kept, forget),
        cmocka_unit_test_teardown(the_ring_keeps_the_newest_seconds_and_the_longest_of_all, forget),
        cmocka_unit_test_teardown(a_forgotten_event_begins_anew, forget),
        cmocka_unit_test_teardown(more_events_than_there_is_room_for_are_not_kept, forget),
        cmocka_unit_test_teardown(the_chart_has_a_column_for_each_sample, forget),
        cmocka_unit_test_teardown(ages_are_told_in_the_unit_that_fits, forget),
        cmocka_unit_test_teardown(a_long_history_is_drawn_in_parts, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
