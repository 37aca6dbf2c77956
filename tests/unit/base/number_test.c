/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Numbers and text: what the protocol accepts and prints. The expected values were taken from
 * redis-server 7.0.15. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static void integers_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        {"0", 0},
        {"7", 7},
        {"-1", -1},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
    };
    static const char *const bad[] = {
        "", "-", "-0", "00", "01", "-01", "+1", " 1", "1 ", "1a", "--1", "1.0", "0x1",
        "9223372036854775808", "-9223372036854775809", "18446744073709551616",
        "99999999999999999999", "123456789012345678901234567890",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t value = 42;
        assert_true(slice_to_int64(slice_from_text(good[i].text), &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t value = 42;
        assert_false(slice_to_int64(slice_from_text(bad[i]), &value));
        assert_int_equal(value, 42);
    }
    int64_t value;
    assert_false(slice_to_int64(SLICE_LITERAL("1\0"), &value));
    assert_false(slice_to_int64((struct slice){0}, &value));
}

static void unsigned_integers_reach_their_limit(void **state)
{
    (void)state;
    uint64_t value = 42;
    assert_true(slice_to_uint64(slice_from_text("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    assert_false(slice_to_uint64(slice_from_text("18446744073709551616"), &value));
    assert_false(slice_to_uint64(slice_from_text("-1"), &value));
    assert_true(value == UINT64_MAX);
}

static void integers_are_printed_as_printf_does(void **state)
{
    (void)state;
    static const int64_t values[] = {0, 1, 9, 10, 99, 100, 101, 12345, 1234567890123, INT64_MAX,
                                     -1, -10, -100, INT64_MIN};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[INT64_TEXT_BYTES + 1], expected[32];
        text[int64_format(text, values[i])] = '\0';
        snprintf(expected, sizeof expected, "%lld", (long long)values[i]);
        assert_string_equal(text, expected);
    }
    char text[INT64_TEXT_BYTES + 1];
    text[uint64_format(text, UINT64_MAX)] = '\0';
    assert_string_equal(text, "18446744073709551615");
}

static void long_doubles_are_read_as_incrbyfloat_reads_them(void **state)
{
    (void)state;
    static const char *const good[] = {"3.0e3", "+1", ".5", "5.", "-0", "0x1p3", "1e4931", "inf",
                                       "-Infinity"};
    static const char *const bad[] = {"", " 1", "1 ", "nan", "-nan", "1e", ".", "1_0", "1,5",
                                      "1e5000", "1e-5000", "\t1", "abc"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        long double value;
        assert_true(slice_to_long_double(slice_from_text(good[i]), &value));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        long double value = 42;
        assert_false(slice_to_long_double(slice_from_text(bad[i]), &value));
        assert_true(value == 42);
    }
    long double value;
    char digits[5 * 1024];
    memset(digits, '1', sizeof digits);
    assert_false(slice_to_long_double(SLICE_LITERAL("1\0"), &value));
    assert_false(slice_to_long_double(slice_make(digits, sizeof digits), &value));
    memset(digits, '0', sizeof digits);
    assert_true(slice_to_long_double(slice_make(digits, sizeof digits - 1), &value));
}

static void doubles_are_read_as_zadd_reads_them(void **state)
{
    (void)state;
    double value = 42;
    assert_true(slice_to_double(slice_from_text("-1.5e3"), &value));
    assert_true(value < -1499 && value > -1501);
    assert_true(slice_to_double(slice_from_text("-inf"), &value));
    assert_true(isinf(value) && value < 0);
    static const char *const bad[] = {"", " 1", "1 ", "nan", "1e400", "1e-400", "x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(slice_to_double(slice_from_text(bad[i]), &value));
    char digits[1000]; /* longer than the space on the stack */
    memset(digits, '0', sizeof digits);
    digits[sizeof digits - 1] = '7';
    assert_true(slice_to_double(slice_make(digits, sizeof digits), &value));
    assert_true(value > 6.9 && value < 7.1);
}

static void assert_human(long double value, const char *expected)
{
    static char text[DOUBLE_TEXT_BYTES + 1];
    text[long_double_format_human(text, value)] = '\0';
    assert_string_equal(text, expected);
}

static void long_doubles_are_printed_as_incrbyfloat_prints_them(void **state)
{
    (void)state;
    assert_human(3.0L, "3");
    assert_human(10.5L, "10.5");
    assert_human(0.1L, "0.1");
    assert_human(-0.0L, "0");
    assert_human(1e-18L, "0");
    assert_human(-1e-18L, "0");
    assert_human(1e-17L, "0.00000000000000001");
    assert_human(100.0L, "100");
    assert_human(1e17L, "100000000000000000");
    assert_human((long double)INFINITY, "inf");
    assert_human(-(long double)INFINITY, "-inf");
    assert_human(-1.5L, "-1.5");
}

static void the_largest_long_double_fits(void **state)
{
    (void)state;
    static char text[DOUBLE_TEXT_BYTES];
    long double value;
    assert_true(slice_to_long_double(slice_from_text("-1.18e4932"), &value));
    assert_int_equal(long_double_format_human(text, value), 1 + 4933);
}

static void assert_double(double value, const char *expected)
{
    char text[65];
    text[double_format(text, value)] = '\0';
    assert_string_equal(text, expected);
}

static void doubles_are_printed_with_17_digits(void **state)
{
    (void)state;
    assert_double(0.1, "0.10000000000000001");
    assert_double(3, "3");
    assert_double(-0.0, "-0");
    assert_double(1e300, "1.0000000000000001e+300");
    assert_double(INFINITY, "inf");
    assert_double(-INFINITY, "-inf");
    assert_double(NAN, "nan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_read_strictly),
        cmocka_unit_test(unsigned_integers_reach_their_limit),
        cmocka_unit_test(integers_are_printed_as_printf_does),
        cmocka_unit_test(long_doubles_are_read_as_incrbyfloat_reads_them),
        cmocka_unit_test(doubles_are_read_as_zadd_reads_them),
        cmocka_unit_test(long_doubles_are_printed_as_incrbyfloat_prints_them),
        cmocka_unit_test(the_largest_long_double_fits),
        cmocka_unit_test(doubles_are_printed_with_17_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
