/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Splitting lines into words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/option.h"

/* The words joined by '|'. */
static void assert_words(struct slice line, struct slice expected)
{
    struct words words = {0};
    struct buffer joined = {0};
    assert_true(option_split_line(line, &words));
    for (size_t i = 0; i < words.count; i++) {
        if (i > 0) buffer_append_text(&joined, "|");
        buffer_append_slice(&joined, words.items[i]);
        assert_int_equal(words.items[i].data[words.items[i].size], '\0');
    }
    assert_true(slice_equal(buffer_slice(&joined), expected));
    buffer_free(&joined);
    option_free_words(&words);
}

#define ASSERT_WORDS(line, expected) assert_words(SLICE_LITERAL(line), SLICE_LITERAL(expected))

static void blanks_separate_words(void **state)
{
    (void)state;
    ASSERT_WORDS("set key value", "set|key|value");
    ASSERT_WORDS(" \t set\t key \r\n", "set|key");
    ASSERT_WORDS("", "");
    assert_words((struct slice){0}, SLICE_LITERAL(""));
    ASSERT_WORDS("   ", "");
    ASSERT_WORDS("a\v b", "a\v|b"); /* a vertical tab is a blank between words only */
    ASSERT_WORDS(" \v a", "a");
}

static void double_quotes_know_escapes(void **state)
{
    (void)state;
    ASSERT_WORDS("a \"b c\" d", "a|b c|d");
    ASSERT_WORDS("\"\\n\\r\\t\\b\\a\\\\\\\"\\q\"", "\n\r\t\b\a\\\"q");
    ASSERT_WORDS("\"\\x41\\x00\\xfF\\xg1\"", "A\0\xffxg1");
    ASSERT_WORDS("\"\"", "");
    ASSERT_WORDS("ab\"c d\"", "abc d");
}

static void single_quotes_know_only_the_quote(void **state)
{
    (void)state;
    ASSERT_WORDS("'a b' 'it\\'s' '\\n'", "a b|it's|\\n");
}

static void a_zero_byte_ends_the_line(void **state)
{
    (void)state;
    ASSERT_WORDS("a b\0c d", "a|b");
}

static void unbalanced_quotes_leave_the_words_as_they_were(void **state)
{
    (void)state;
    static const char *const bad[] = {"\"a", "'a", "\"a\"b", "'a'b", "a b \"c", "\"a\\\"", "'a\\'"};
    struct words words = {0};
    assert_true(option_split_line(slice_from_text("one two"), &words));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(option_split_line(slice_from_text(bad[i]), &words));
        assert_int_equal(words.count, 2);
    }
    assert_true(option_split_line(slice_from_text("three"), &words));
    assert_int_equal(words.count, 3);
    assert_string_equal(words.items[2].data, "three");
    option_free_words(&words);
    assert_int_equal(words.count, 0);
    assert_false(option_split_line(slice_from_text("a b \"c"), &words));
    assert_null(words.items); /* nothing to free */
}

static void what_is_quoted_is_read_back(void **state)
{
    (void)state;
    char every_byte[256];
    for (int i = 0; i < 256; i++) every_byte[i] = (char)i;
    struct buffer quoted = {0};
    buffer_append_quoted(&quoted, slice_make(every_byte, 256));
    assert_words(buffer_slice(&quoted), slice_make(every_byte, 256));
    buffer_free(&quoted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blanks_separate_words),
        cmocka_unit_test(double_quotes_know_escapes),
        cmocka_unit_test(single_quotes_know_only_the_quote),
        cmocka_unit_test(a_zero_byte_ends_the_line),
        cmocka_unit_test(unbalanced_quotes_leave_the_words_as_they_were),
        cmocka_unit_test(what_is_quoted_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
