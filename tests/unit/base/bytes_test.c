/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Slices and buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/memory.h"

static void slices_compare_as_bytes_and_a_prefix_comes_first(void **state)
{
    (void)state;
    assert_true(slice_compare(slice_from_text("a"), slice_from_text("ab")) < 0);
    assert_true(slice_compare(slice_from_text("b"), slice_from_text("ab")) > 0);
    assert_true(slice_compare(SLICE_LITERAL("\x80"), SLICE_LITERAL("\x7f")) > 0);
    assert_true(slice_compare(SLICE_LITERAL("a\0b"), SLICE_LITERAL("a\0c")) < 0);
    assert_int_equal(slice_compare((struct slice){0}, (struct slice){0}), 0);
    assert_true(slice_compare((struct slice){0}, slice_from_text("a")) < 0);
}

static void equality_sees_every_byte(void **state)
{
    (void)state;
    assert_true(slice_equal(SLICE_LITERAL("a\0b"), SLICE_LITERAL("a\0b")));
    assert_false(slice_equal(SLICE_LITERAL("a\0b"), SLICE_LITERAL("a\0c")));
    assert_true(slice_equal((struct slice){0}, slice_from_text("")));
    assert_true(slice_equal_nocase(slice_from_text("GeT"), "get"));
    assert_false(slice_equal_nocase(slice_from_text("ge"), "get"));
    assert_false(slice_equal_nocase(SLICE_LITERAL("ge\0"), "get"));
    assert_true(slice_equal_nocase((struct slice){0}, ""));
}

static void a_copied_text_ends_with_a_zero(void **state)
{
    (void)state;
    char *text = slice_dup_text(slice_make("abcdef", 3));
    assert_string_equal(text, "abc");
    mem_free(text);
    text = slice_dup_text((struct slice){0});
    assert_string_equal(text, "");
    mem_free(text);
}

static void a_buffer_grows_and_keeps_its_bytes(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    for (unsigned i = 0; i < 100000; i++) buffer_append(&buffer, &i, sizeof i);
    assert_int_equal(buffer.size, 100000 * sizeof(unsigned));
    assert_true(buffer.capacity >= buffer.size);
    for (unsigned i = 0; i < 100000; i++)
        assert_memory_equal(buffer.data + i * sizeof i, &i, sizeof i);
    size_t capacity = buffer.capacity;
    buffer_clear(&buffer);
    assert_int_equal(buffer.size, 0);
    assert_int_equal(buffer.capacity, capacity);
    buffer_free(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer.capacity, 0);
}

static void formatted_text_of_any_length_fits(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    char longer[1000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    buffer_append_format(&buffer, "%d-%s|", 7, "a");
    buffer_append_format(&buffer, "%s", longer);
    assert_int_equal(buffer.size, 4 + 999);
    assert_memory_equal(buffer.data, "7-a|xxxx", 8);
    buffer_append_format(&buffer, "%s", "");
    assert_int_equal(buffer.size, 4 + 999);
    buffer_free(&buffer);
}

static void quoted_text_stays_one_printable_line(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_append_quoted(&buffer, SLICE_LITERAL("a\"\\\n\r\t\a\b\0\x7f\xff~ "));
    assert_true(slice_equal(buffer_slice(&buffer),
                            SLICE_LITERAL("\"a\\\"\\\\\\n\\r\\t\\a\\b\\x00\\x7f\\xff~ \"")));
    buffer_free(&buffer);
}

static void big_endian_order_is_number_order(void **state)
{
    (void)state;
    char small[8], large[8];
    put_be64(small, 255);
    put_be64(large, 256);
    assert_true(memcmp(small, large, 8) < 0);
    assert_int_equal(get_be64(large), 256);
    put_be32(small, 0x01020304);
    assert_memory_equal(small, "\1\2\3\4", 4);
    assert_int_equal(get_be32(small), 0x01020304);
    put_le32(small, 0x01020304);
    assert_memory_equal(small, "\4\3\2\1", 4);
    put_le64(small, UINT64_MAX - 1);
    assert_true(get_le64(small) == UINT64_MAX - 1);
    assert_int_equal(get_le32(small), 0xfffffffe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_compare_as_bytes_and_a_prefix_comes_first),
        cmocka_unit_test(equality_sees_every_byte),
        cmocka_unit_test(a_copied_text_ends_with_a_zero),
        cmocka_unit_test(a_buffer_grows_and_keeps_its_bytes),
        cmocka_unit_test(formatted_text_of_any_length_fits),
        cmocka_unit_test(quoted_text_stays_one_printable_line),
        cmocka_unit_test(big_endian_order_is_number_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
