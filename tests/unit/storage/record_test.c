/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The record codec: what is written is read back, order of names is order of meaning, damage is refused. */
#include "storage/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct key_record samples[] = {
    {.type = VALUE_STRING, .expire_at_ms = -1, .value = {"value", 5}},
    {.type = VALUE_STRING, .expire_at_ms = -1, .value = {"", 0}},
    {.type = VALUE_STRING, .encoding = STRING_RAW, .expire_at_ms = 0, .value = {"\0x", 2}},
    {.type = VALUE_HASH, .expire_at_ms = INT64_MAX, .has_object = true, .object = {77, 1 << 20}},
    {.type = VALUE_STREAM,
     .encoding = STRING_NOT_INT,
     .expire_at_ms = -1,
     .has_object = true,
     .object = {UINT64_MAX, UINT64_MAX}},
};

static void a_key_record_is_read_back_as_it_was_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct buffer bytes = {0};
        struct key_record read;
        key_record_encode(&bytes, &samples[i]);
        assert_int_equal(key_record_decode(buffer_slice(&bytes), &read), STATUS_OK);
        assert_int_equal(read.type, samples[i].type);
        assert_int_equal(read.encoding, samples[i].encoding);
        assert_int_equal(read.expire_at_ms, samples[i].expire_at_ms);
        assert_int_equal(read.has_object, samples[i].has_object);
        if (read.has_object) {
            assert_int_equal(read.object.object_id, samples[i].object.object_id);
            assert_int_equal(read.object.length, samples[i].object.length);
        } else {
            assert_true(slice_equal(read.value, samples[i].value));
        }
        buffer_free(&bytes);
    }
}

static void a_key_record_of_a_newer_version_is_named_so(void **state)
{
    (void)state;
    struct key_record read;
    assert_int_equal(key_record_decode(SLICE_LITERAL("\x02\0\0value"), &read),
                     STATUS_UNSUPPORTED);
}

static void a_damaged_key_record_is_refused(void **state)
{
    (void)state;
    struct key_record read;
    const struct slice damaged[] = {
        SLICE_LITERAL(""),
        SLICE_LITERAL("\0\0\0v"),               /* version 0 */
        SLICE_LITERAL("\1\0"),                  /* too short */
        SLICE_LITERAL("\1\x09\0v"),             /* no such type */
        SLICE_LITERAL("\1\0\x80v"),             /* no such flag */
        SLICE_LITERAL("\1\0\x0cv"),             /* no such encoding */
        SLICE_LITERAL("\1\0\1" "1234567"),      /* half an expiry */
        SLICE_LITERAL("\1\0\1" "\1\1\1\1\1\1\1\x80"), /* before 1970 */
        SLICE_LITERAL("\1\0\2" "123456789012345"),    /* half a head */
        SLICE_LITERAL("\1\0\2" "12345678901234567"),  /* more than a head */
    };
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++)
        assert_int_equal(key_record_decode(damaged[i], &read), STATUS_CORRUPT);
}

static void names_are_parsed_back(void **state)
{
    (void)state;
    struct buffer name = {0};
    struct slice key;
    uint64_t id;
    int64_t at;
    uint32_t number;
    uint16_t slot;
    char kind;

    record_key_name(&name, 258, SLICE_LITERAL("a\0b"));
    assert_true(record_parse_key_name(buffer_slice(&name), &id, &key));
    assert_int_equal(id, 258);
    assert_true(slice_equal(key, SLICE_LITERAL("a\0b")));
    assert_false(record_parse_element_name(buffer_slice(&name), &id, &key));

    buffer_clear(&name);
    record_chunk_name(&name, 9, 70000);
    assert_true(record_parse_element_name(buffer_slice(&name), &id, &key));
    assert_int_equal(id, 9);
    assert_int_equal(key.size, 4);
    assert_int_equal(get_be32(key.data), 70000);

    buffer_clear(&name);
    record_expiry_name(&name, 1700000000000, 3, SLICE_LITERAL(""));
    assert_true(record_parse_expiry_name(buffer_slice(&name), &at, &id, &key));
    assert_int_equal(at, 1700000000000);
    assert_int_equal(id, 3);
    assert_int_equal(key.size, 0);

    buffer_clear(&name);
    record_garbage_name(&name, RECORD_GARBAGE_DATABASE, 12);
    assert_true(record_parse_garbage_name(buffer_slice(&name), &kind, &id));
    assert_int_equal(kind, RECORD_GARBAGE_DATABASE);
    assert_int_equal(id, 12);

    buffer_clear(&name);
    record_database_name(&name, 15);
    assert_true(record_parse_database_name(buffer_slice(&name), &number));
    assert_int_equal(number, 15);
    assert_false(record_parse_count_name(buffer_slice(&name), &id, &slot));

    buffer_clear(&name);
    record_count_name(&name, 1 << 20, 513);
    assert_true(record_parse_count_name(buffer_slice(&name), &id, &slot));
    assert_int_equal(id, 1 << 20);
    assert_int_equal(slot, 513);
    buffer_free(&name);
}

static void a_name_cut_short_is_refused(void **state)
{
    (void)state;
    struct buffer names[6] = {0};
    struct slice key;
    uint64_t id;
    int64_t at;
    uint32_t number;
    uint16_t slot;
    char kind;
    record_key_name(&names[0], 1, SLICE_LITERAL(""));
    record_element_name(&names[1], 1, SLICE_LITERAL(""));
    record_expiry_name(&names[2], 1, 1, SLICE_LITERAL(""));
    record_garbage_name(&names[3], RECORD_GARBAGE_OBJECT, 1);
    record_database_name(&names[4], 1);
    record_count_name(&names[5], 1, 1);
    for (int i = 0; i < 6; i++) {
        struct slice cut = slice_make(names[i].data, names[i].size - 1);
        assert_false(record_parse_key_name(cut, &id, &key));
        assert_false(record_parse_element_name(cut, &id, &key));
        assert_false(record_parse_expiry_name(cut, &at, &id, &key));
        assert_false(record_parse_garbage_name(cut, &kind, &id));
        assert_false(record_parse_database_name(cut, &number));
        assert_false(record_parse_count_name(cut, &id, &slot));
        buffer_free(&names[i]);
    }
}

static void names_sort_by_database_then_key_and_by_time(void **state)
{
    (void)state;
    struct buffer a = {0}, b = {0};
    record_key_name(&a, 255, SLICE_LITERAL("z"));
    record_key_name(&b, 256, SLICE_LITERAL("a"));
    assert_true(slice_compare(buffer_slice(&a), buffer_slice(&b)) < 0);
    buffer_clear(&a);
    buffer_clear(&b);
    record_expiry_name(&a, 255, 9, SLICE_LITERAL("z"));
    record_expiry_name(&b, 256, 1, SLICE_LITERAL("a"));
    assert_true(slice_compare(buffer_slice(&a), buffer_slice(&b)) < 0);
    buffer_free(&a);
    buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_record_is_read_back_as_it_was_written),
        cmocka_unit_test(a_key_record_of_a_newer_version_is_named_so),
        cmocka_unit_test(a_damaged_key_record_is_refused),
        cmocka_unit_test(names_are_parsed_back),
        cmocka_unit_test(a_name_cut_short_is_refused),
        cmocka_unit_test(names_sort_by_database_then_key_and_by_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
