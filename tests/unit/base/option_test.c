/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Option tables. The error texts are those of redis-server 7.0.15. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/option.h"

struct options {
    bool flag;
    int64_t number, bytes, mode;
    int choice;
    char *text, *words, *repeated;
};

static const char *const choices[] = {"everysec", "always", "no", NULL};
static const struct option rows[] = {
    {"flag", NULL, OPTION_BOOL, 0, offsetof(struct options, flag), "yes", 0, 0, NULL, NULL, ""},
    {"number", "count", OPTION_INTEGER, OPTION_LIVE, offsetof(struct options, number), "5", 1, 10,
     NULL, NULL, ""},
    {"bytes", NULL, OPTION_BYTES, 0, offsetof(struct options, bytes), "1mb", 0, INT64_MAX, NULL,
     "bytes", ""},
    {"mode", NULL, OPTION_OCTAL, 0, offsetof(struct options, mode), "700", 0, 0777, NULL, NULL, ""},
    {"choice", NULL, OPTION_CHOICE, 0, offsetof(struct options, choice), "everysec", 0, 0, choices,
     NULL, ""},
    {"text", NULL, OPTION_STRING, 0, offsetof(struct options, text), "", 0, 0, NULL, NULL, ""},
    {"words", NULL, OPTION_STRING, OPTION_MULTI_WORD, offsetof(struct options, words),
     "127.0.0.1 -::1", 0, 0, NULL, NULL, ""},
    {"repeated", NULL, OPTION_STRING, OPTION_REPEATED, offsetof(struct options, repeated), "", 0, 0,
     NULL, NULL, ""},
};
static const struct option_table table = {"Test", "", rows, sizeof rows / sizeof *rows};

static struct options options;

static const struct option *row(const char *name)
{
    const struct option *option = option_find(&table, slice_from_text(name));
    assert_non_null(option);
    return option;
}

static void assert_set(const char *name, const char *text, const char *expected)
{
    struct buffer out = {0};
    assert_int_equal(option_set(row(name), &options, slice_from_text(text), NULL), STATUS_OK);
    option_format(row(name), &options, &out);
    assert_true(slice_equal(buffer_slice(&out), slice_from_text(expected)));
    buffer_free(&out);
}

static void assert_refused(const char *name, const char *text, const char *reason)
{
    struct error error;
    struct buffer before = {0}, after = {0};
    option_format(row(name), &options, &before);
    assert_int_equal(option_set(row(name), &options, slice_from_text(text), &error),
                     STATUS_INVALID);
    assert_string_equal(error.text, reason);
    option_format(row(name), &options, &after);
    assert_true(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    buffer_free(&before);
    buffer_free(&after);
}

static void assert_in_file(const char *name, const char *expected)
{
    struct buffer out = {0};
    option_format_for_file(row(name), &options, &out);
    assert_true(slice_equal(buffer_slice(&out), slice_from_text(expected)));
    buffer_free(&out);
}

static void every_field_gets_its_default(void **state)
{
    (void)state;
    option_set_defaults(&table, &options);
    assert_true(options.flag);
    assert_int_equal(options.number, 5);
    assert_int_equal(options.bytes, 1048576);
    assert_int_equal(options.mode, 0700);
    assert_int_equal(options.choice, 0);
    assert_string_equal(options.text, "");
    assert_string_equal(options.words, "127.0.0.1 -::1");
    for (size_t i = 0; i < table.count; i++) assert_true(option_is_default(&rows[i], &options));
    option_set_defaults(&table, &options); /* again: nothing leaks */
}

static void names_and_aliases_are_found_in_any_case(void **state)
{
    (void)state;
    assert_ptr_equal(option_find(&table, slice_from_text("NUMBER")), &rows[1]);
    assert_ptr_equal(option_find(&table, slice_from_text("Count")), &rows[1]);
    assert_null(option_find(&table, slice_from_text("numbe")));
    assert_null(option_find(&table, slice_from_text("")));
}

static void good_values_are_set_and_shown(void **state)
{
    (void)state;
    assert_set("flag", "NO", "no");
    assert_set("number", "10", "10");
    assert_set("bytes", "2gb", "2147483648");
    assert_set("mode", "755", "755");
    assert_int_equal(options.mode, 0755);
    assert_set("choice", "ALWAYS", "always");
    assert_set("text", "a b", "a b");
    for (size_t i = 0; i < 6; i++) assert_false(option_is_default(&rows[i], &options));
    assert_set("bytes", "1048576b", "1048576");
    assert_true(option_is_default(row("bytes"), &options));
}

static void bad_values_are_refused_with_the_words_of_redis(void **state)
{
    (void)state;
    assert_refused("flag", "1", "argument must be 'yes' or 'no'");
    assert_refused("number", "x", "argument couldn't be parsed into an integer");
    assert_refused("number", "", "argument couldn't be parsed into an integer");
    assert_refused("number", "11", "argument must be between 1 and 10 inclusive");
    assert_refused("number", "-3", "argument must be between 1 and 10 inclusive");
    assert_refused("bytes", "1tb", "argument must be a memory value");
    assert_refused("bytes", "-1", "argument must be a memory value");
    assert_refused("mode", "9", "argument couldn't be parsed as an octal number");
    assert_refused("mode", "1000", "argument must be between 0 and 777 inclusive");
    assert_refused("choice", "x",
                   "argument(s) must be one of the following: everysec, always, no");
    struct error error;
    assert_int_equal(option_set(row("text"), &options, SLICE_LITERAL("a\0b"), &error),
                     STATUS_INVALID);
}

/* So that a file, where they stand without quotes, gives back the same text. */
static void words_are_kept_joined_by_one_blank(void **state)
{
    (void)state;
    assert_set("words", " 1  2\t3 ", "1 2 3");
    assert_set("words", "\"\" \"a\"", "a");
    assert_set("words", "\"\"", "");
    assert_refused("words", "a \"b", "argument must be words without quotes");
    assert_refused("words", "\"a\\\"b\"", "argument must be words without quotes");
    assert_refused("words", "'a b'", "argument must be words without quotes");
    assert_set("words", " 127.0.0.1\t-::1", "127.0.0.1 -::1");
}

static void a_string_may_be_set_from_itself(void **state)
{
    (void)state;
    assert_set("text", "abc", "abc");
    assert_int_equal(
        option_set(row("text"), &options, slice_from_text(options.text + 1), NULL), STATUS_OK);
    assert_string_equal(options.text, "bc");
}

static void a_file_shows_units_and_quotes(void **state)
{
    (void)state;
    assert_set("bytes", "3gb", "3221225472");
    assert_in_file("bytes", "3gb");
    assert_set("bytes", "1536mb", "1610612736");
    assert_in_file("bytes", "1536mb");
    assert_set("bytes", "1000", "1000");
    assert_in_file("bytes", "1000");
    assert_set("bytes", "0", "0");
    assert_in_file("bytes", "0");
    assert_set("text", "", "");
    assert_in_file("text", "\"\"");
    assert_set("text", "a b#", "a b#");
    assert_in_file("text", "\"a b#\"");
    assert_in_file("words", "127.0.0.1 -::1");
    assert_set("words", "", "");
    assert_in_file("words", "\"\"");
}

static void byte_units_are_those_of_redis(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {
        {"1", 1},        {"1b", 1},           {"1k", 1000},       {"1KB", 1024},
        {"1m", 1000000}, {"1Mb", 1048576},    {"1g", 1000000000}, {"1gb", 1073741824},
        {"", 0},         {"kb", 0},           {"007", 7},
        {"9223372036854775807", INT64_MAX},
    };
    static const char *const bad[] = {"-1", "1t", "1 mb", " 1", "1.5mb", "1kbb", "+1",
                                      "9223372036854775808", "9007199254740993gb"};
    int64_t value;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(option_parse_bytes(slice_from_text(good[i].text), &value));
        assert_true(value == good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(option_parse_bytes(slice_from_text(bad[i]), &value));
}

static void freed_strings_are_gone(void **state)
{
    (void)state;
    option_free_strings(&table, &options);
    assert_null(options.text);
    assert_null(options.repeated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_gets_its_default),
        cmocka_unit_test(names_and_aliases_are_found_in_any_case),
        cmocka_unit_test(good_values_are_set_and_shown),
        cmocka_unit_test(bad_values_are_refused_with_the_words_of_redis),
        cmocka_unit_test(words_are_kept_joined_by_one_blank),
        cmocka_unit_test(a_string_may_be_set_from_itself),
        cmocka_unit_test(a_file_shows_units_and_quotes),
        cmocka_unit_test(byte_units_are_those_of_redis),
        cmocka_unit_test(freed_strings_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
