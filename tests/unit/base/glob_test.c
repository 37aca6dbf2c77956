/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Glob patterns. The expected results were compared with redis-server 7.0.15. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/glob.h"

static bool matches(const char *pattern, const char *text)
{
    return glob_match(slice_from_text(pattern), slice_from_text(text), false);
}

static void stars_and_question_marks_match(void **state)
{
    (void)state;
    assert_true(matches("*", "abc"));
    assert_true(matches("a*c", "abc"));
    assert_true(matches("a*c", "ac"));
    assert_true(matches("a**c*", "abbbcc"));
    assert_true(matches("*b*b", "abab"));
    assert_true(matches("a?c", "abc"));
    assert_false(matches("a?c", "ac"));
    assert_false(matches("a*c", "abd"));
    assert_false(matches("abc", "ab"));
    assert_false(matches("ab", "abc"));
    assert_true(matches("abc*", "abc"));
    assert_true(matches("*a?", "xxab"));
}

static void an_empty_text_matches_only_the_star_and_nothing(void **state)
{
    (void)state;
    assert_true(matches("", ""));
    assert_true(matches("*", ""));
    assert_false(matches("**", ""));
    assert_false(matches("?", ""));
    assert_false(matches("", "a"));
}

static void classes_have_ranges_negation_and_escapes(void **state)
{
    (void)state;
    assert_true(matches("[abc]x", "bx"));
    assert_false(matches("[abc]x", "dx"));
    assert_true(matches("[a-c]", "b"));
    assert_true(matches("[c-a]", "b"));
    assert_false(matches("[^a-c]", "b"));
    assert_true(matches("[^a-c]", "d"));
    assert_true(matches("[\\]]", "]"));
    assert_true(matches("[\\^a]", "^"));
    assert_true(matches("[a-]", "a"));
    assert_true(matches("h[^e]llo*", "hallo you"));
}

static void an_open_class_ends_with_the_pattern(void **state)
{
    (void)state;
    assert_true(matches("[ab", "b"));
    assert_false(matches("[", "["));
    assert_true(matches("[^", "x"));
    assert_true(matches("[\\", "\\"));
}

static void a_backslash_makes_a_byte_literal(void **state)
{
    (void)state;
    assert_true(matches("a\\*b", "a*b"));
    assert_false(matches("a\\*b", "axb"));
    assert_true(matches("a\\", "a\\"));
}

static void any_byte_counts(void **state)
{
    (void)state;
    assert_true(glob_match(SLICE_LITERAL("a\0*"), SLICE_LITERAL("a\0b"), false));
    assert_false(glob_match(SLICE_LITERAL("a\0c"), SLICE_LITERAL("a\0b"), false));
    assert_true(glob_match(SLICE_LITERAL("?\xff"), SLICE_LITERAL("\x80\xff"), false));
}

static void case_is_ignored_when_asked(void **state)
{
    (void)state;
    assert_true(glob_match(slice_from_text("MAX[M-N]*"), slice_from_text("maxmemory"), true));
    assert_false(glob_match(slice_from_text("MAX*"), slice_from_text("maxmemory"), false));
}

static void many_stars_cost_no_more_than_pattern_times_text(void **state)
{
    (void)state;
    static char pattern[4001], text[4000];
    for (size_t i = 0; i < 4000; i += 2) memcpy(pattern + i, "*a", 2);
    pattern[4000] = 'b';
    memset(text, 'a', sizeof text);
    int64_t start_us = clock_monotonic_us();
    assert_false(glob_match(slice_make(pattern, 4001), slice_make(text, 4000), false));
    assert_true(clock_monotonic_us() - start_us < 5000000);
}

static void assert_prefix(const char *pattern, const char *expected)
{
    char out[64];
    size_t size = glob_literal_prefix(slice_from_text(pattern), out);
    assert_true(slice_equal(slice_make(out, size), slice_from_text(expected)));
}

static void the_literal_prefix_ends_at_the_first_special_byte(void **state)
{
    (void)state;
    assert_prefix("user:*", "user:");
    assert_prefix("user", "user");
    assert_prefix("us\\*er?", "us*er");
    assert_prefix("a[b]", "a");
    assert_prefix("*a", "");
    assert_prefix("a\\", "a\\");
    assert_prefix("", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stars_and_question_marks_match),
        cmocka_unit_test(an_empty_text_matches_only_the_star_and_nothing),
        cmocka_unit_test(classes_have_ranges_negation_and_escapes),
        cmocka_unit_test(an_open_class_ends_with_the_pattern),
        cmocka_unit_test(a_backslash_makes_a_byte_literal),
        cmocka_unit_test(any_byte_counts),
        cmocka_unit_test(case_is_ignored_when_asked),
        cmocka_unit_test(many_stars_cost_no_more_than_pattern_times_text),
        cmocka_unit_test(the_literal_prefix_ends_at_the_first_special_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
