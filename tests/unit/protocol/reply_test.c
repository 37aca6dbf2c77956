/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The reply writer: the bytes of each item in both protocols, and that the chain keeps, shares,
 * takes back and sends bytes in order. */
#include "protocol/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Takes `step` bytes at a time until nothing is left in front of `limit`. */
static void take(struct reply *reply, struct buffer *out, size_t step, uint64_t limit)
{
    struct iovec vectors[5];
    int count;
    while ((count = reply_gather(reply, limit, vectors, 5)) > 0) {
        size_t sent = 0;
        for (int i = 0; i < count && sent < step; i++) {
            size_t here = vectors[i].iov_len < step - sent ? vectors[i].iov_len : step - sent;
            buffer_append(out, vectors[i].iov_base, here);
            sent += here;
        }
        reply_consume(reply, sent);
    }
}

static void expect(struct reply *reply, const char *expected)
{
    struct buffer out = {0};
    take(reply, &out, 1000000, UINT64_MAX);
    buffer_append(&out, "", 1);
    assert_string_equal(out.data, expected);
    assert_int_equal(reply_pending_bytes(reply), 0);
    assert_int_equal(reply_block_count(reply), 0);
    assert_int_equal(reply_memory_bytes(reply), 0);
    buffer_free(&out);
}

static void every_item(struct reply *reply)
{
    reply_status(reply, "a\r\nb");
    reply_ok(reply);
    reply_error(reply, "ERR x");
    reply_error_format(reply, "ERR %s %d\r\n", "one\ntwo", 7);
    reply_integer(reply, 0);
    reply_integer(reply, INT64_MIN);
    reply_integer(reply, 1234567);
    reply_bulk(reply, SLICE_LITERAL("hello"));
    reply_bulk(reply, (struct slice){NULL, 0});
    reply_bulk_format(reply, "%05d", 12);
    reply_bulk_integer(reply, -99);
    reply_null(reply);
    reply_null_array(reply);
    reply_bool(reply, true);
    reply_bool(reply, false);
    reply_double(reply, 1.5);
    reply_big_number(reply, SLICE_LITERAL("-42"));
    reply_verbatim(reply, SLICE_LITERAL("text"), "txt");
    reply_array(reply, 100);
    reply_map(reply, 12);
    reply_set(reply, 3);
    reply_push(reply, 1);
    reply_attribute(reply, 1);
}

static void items_are_written_in_resp2(void **state)
{
    (void)state;
    struct reply *reply = reply_create();
    every_item(reply);
    expect(reply, "+a  b\r\n+OK\r\n-ERR x\r\n-ERR one two 7\r\n:0\r\n:-9223372036854775808\r\n"
                  ":1234567\r\n$5\r\nhello\r\n$0\r\n\r\n$5\r\n00012\r\n$3\r\n-99\r\n$-1\r\n*-1\r\n"
                  ":1\r\n:0\r\n$3\r\n1.5\r\n$3\r\n-42\r\n$4\r\ntext\r\n"
                  "*100\r\n*24\r\n*3\r\n*1\r\n");
    reply_destroy(reply);
}

static void items_are_written_in_resp3(void **state)
{
    (void)state;
    struct reply *reply = reply_create();
    reply_set_version(reply, 3);
    every_item(reply);
    expect(reply, "+a  b\r\n+OK\r\n-ERR x\r\n-ERR one two 7\r\n:0\r\n:-9223372036854775808\r\n"
                  ":1234567\r\n$5\r\nhello\r\n$0\r\n\r\n$5\r\n00012\r\n$3\r\n-99\r\n_\r\n_\r\n"
                  "#t\r\n#f\r\n,1.5\r\n(-42\r\n=8\r\ntxt:text\r\n"
                  "*100\r\n%12\r\n~3\r\n>1\r\n|1\r\n");
    reply_destroy(reply);
}

static void release_count(void *owner)
{
    ++*(int *)owner;
}

static struct shared_bytes share(const struct buffer *bytes, int *released)
{
    return (struct shared_bytes){buffer_slice(bytes), released, release_count};
}

static void fill(struct buffer *buffer, size_t size)
{
    buffer_reserve(buffer, size);
    for (size_t i = 0; i < size; i++) buffer->data[i] = (char)(i * 31 + i / 977);
    buffer->size = size;
}

static void large_values_are_shared_until_they_are_sent(void **state)
{
    (void)state;
    struct buffer value = {0}, out = {0};
    fill(&value, 100000);
    int released = 0;
    struct reply *reply = reply_create();
    reply_ok(reply);
    reply_bulk_shared(reply, share(&value, &released));
    reply_ok(reply);
    assert_int_equal(reply_written(reply), 5 + 9 + 100000 + 2 + 5);
    struct iovec vectors[8];
    assert_int_equal(reply_gather(reply, UINT64_MAX, vectors, 8), 3);
    assert_ptr_equal(vectors[1].iov_base, value.data);
    reply_consume(reply, 14 + 99999);
    assert_int_equal(released, 0);
    reply_consume(reply, 1);
    assert_int_equal(released, 1);
    take(reply, &out, 3, UINT64_MAX);
    assert_int_equal(out.size, 7);
    assert_memory_equal(out.data, "\r\n+OK\r\n", 7);
    reply_destroy(reply);
    buffer_free(&out);
    buffer_free(&value);
}

static void shared_bytes_are_released_once_on_every_way_out(void **state)
{
    (void)state;
    struct buffer value = {0}, small = {0};
    fill(&value, 10000);
    fill(&small, 10);
    int released = 0;
    struct reply *reply = reply_create();
    reply_bulk_shared(reply, share(&small, &released)); /* copied at once */
    assert_int_equal(released, 1);
    struct reply_mark mark = reply_get_mark(reply);
    reply_bulk_shared(reply, share(&value, &released));
    reply_rollback(reply, mark);
    assert_int_equal(released, 2);
    reply_set_enabled(reply, false);
    reply_bulk_shared(reply, share(&value, &released));
    assert_int_equal(released, 3);
    reply_set_enabled(reply, true);
    reply_bulk_shared(reply, share(&value, &released));
    reply_destroy(reply);
    assert_int_equal(released, 4);
    buffer_free(&value);
    buffer_free(&small);
}

static void bytes_come_out_in_order_in_any_step(void **state)
{
    (void)state;
    struct buffer value = {0}, expected = {0};
    fill(&value, 50000);
    static const size_t steps[] = {1, 7, 4096, 16384, 1000000};
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        struct buffer out = {0};
        struct reply *reply = reply_create();
        int released = 0;
        buffer_clear(&expected);
        for (size_t size = 1; size <= 50000; size = size * 3 + 1) {
            struct slice part = slice_make(value.data, size);
            struct shared_bytes shared = {part, &released, release_count};
            reply_bulk(reply, part);
            reply_bulk_shared(reply, shared);
            reply_bulk_begin(reply, size);
            reply_raw(reply, part);
            reply_bulk_end(reply);
            for (int i = 0; i < 3; i++) {
                buffer_append_format(&expected, "$%zu\r\n", size);
                buffer_append_slice(&expected, part);
                buffer_append_text(&expected, "\r\n");
            }
        }
        assert_int_equal(reply_pending_bytes(reply), expected.size);
        take(reply, &out, steps[s], UINT64_MAX);
        assert_int_equal(out.size, expected.size);
        assert_memory_equal(out.data, expected.data, out.size);
        assert_int_equal(reply_consumed(reply), expected.size);
        assert_int_equal(reply_memory_bytes(reply), 0);
        reply_destroy(reply);
        buffer_free(&out);
    }
    buffer_free(&expected);
    buffer_free(&value);
}

static void nothing_behind_the_limit_is_gathered(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct reply *reply = reply_create();
    reply_ok(reply);
    uint64_t limit = reply_written(reply);
    reply_integer(reply, 1);
    take(reply, &out, 2, limit);
    assert_int_equal(out.size, 5);
    assert_int_equal(reply_pending_bytes(reply), 4);
    take(reply, &out, 2, limit + 4);
    assert_int_equal(out.size, 9);
    reply_destroy(reply);
    buffer_free(&out);
}

static void a_length_may_come_later(void **state)
{
    (void)state;
    struct reply *reply = reply_create();
    reply_ok(reply);
    struct reply_deferred outer = reply_defer(reply);
    reply_integer(reply, 1);
    struct reply_deferred inner = reply_defer(reply);
    reply_integer(reply, 2);
    reply_integer(reply, 3);
    reply_defer_array(reply, inner, 2);
    struct reply_deferred empty = reply_defer(reply);
    reply_defer_set(reply, empty, 0);
    reply_defer_map(reply, outer, 3);
    reply_ok(reply);
    expect(reply, "+OK\r\n*6\r\n:1\r\n*2\r\n:2\r\n:3\r\n*0\r\n+OK\r\n");
    reply_destroy(reply);
}

static void many_lengths_that_come_later_cross_blocks(void **state)
{
    (void)state;
    struct buffer expected = {0};
    struct reply *reply = reply_create();
    for (int i = 0; i < 3000; i++) {
        struct reply_deferred deferred = reply_defer(reply);
        reply_integer(reply, i);
        reply_defer_array(reply, deferred, 1);
        buffer_append_format(&expected, "*1\r\n:%d\r\n", i);
    }
    buffer_append(&expected, "", 1);
    expect(reply, expected.data);
    buffer_free(&expected);
    reply_destroy(reply);
}

static void a_rollback_takes_back_what_was_written_since(void **state)
{
    (void)state;
    struct buffer value = {0};
    fill(&value, 40000);
    int released = 0;
    struct reply *reply = reply_create();
    reply_ok(reply);
    struct reply_mark mark = reply_get_mark(reply);
    for (int i = 0; i < 3; i++) {
        reply_defer(reply);
        reply_integer(reply, 12);
        reply_bulk(reply, buffer_slice(&value));
        reply_bulk_shared(reply, share(&value, &released));
        reply_rollback(reply, mark);
        assert_int_equal(reply_written(reply), 5);
        reply_rollback(reply, mark);
    }
    struct reply_deferred deferred = reply_defer(reply);
    struct reply_mark inside = reply_get_mark(reply);
    reply_rollback(reply, inside); /* keeps the place in front of it */
    reply_integer(reply, 5);
    reply_rollback(reply, inside);
    reply_integer(reply, 6);
    reply_defer_array(reply, deferred, 1);
    expect(reply, "+OK\r\n*1\r\n:6\r\n");
    assert_int_equal(released, 3);
    reply_destroy(reply);
    buffer_free(&value);
}

static void a_mark_tells_an_error_from_other_replies(void **state)
{
    (void)state;
    char code[4] = "";
    struct buffer value = {0};
    fill(&value, 40000);
    struct reply *reply = reply_create();
    struct reply_mark mark = reply_get_mark(reply);
    assert_false(reply_is_error_at(reply, mark));
    reply_error(reply, "WRONGTYPE x");
    reply_bulk(reply, buffer_slice(&value));
    assert_true(reply_is_error_at(reply, mark));
    assert_int_equal(reply_peek(reply, mark, code, 3), 3);
    assert_string_equal(code, "-WR");
    mark = reply_get_mark(reply);
    reply_ok(reply);
    assert_false(reply_is_error_at(reply, mark));
    assert_int_equal(reply_peek(reply, mark, code, 4), 4);
    assert_memory_equal(code, "+OK\r", 4);
    reply_destroy(reply);
    buffer_free(&value);
}

static void a_bulk_string_in_a_buffer_is_what_the_reply_writes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 9, 10, 99, 100, 4095, 70000};
    struct reply *reply = reply_create();
    struct buffer value = {0}, made = {0}, written = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        while (value.size < sizes[i]) buffer_append_text(&value, "\r");
        reply_append_bulk(&made, slice_make(value.data, sizes[i]));
        reply_bulk(reply, slice_make(value.data, sizes[i]));
    }
    take(reply, &written, 1000000, UINT64_MAX);
    assert_true(slice_equal(buffer_slice(&made), buffer_slice(&written)));
    buffer_free(&value);
    buffer_free(&made);
    buffer_free(&written);
    reply_destroy(reply);
}

static void a_disabled_reply_throws_everything_away(void **state)
{
    (void)state;
    struct reply *reply = reply_create();
    reply_set_enabled(reply, false);
    every_item(reply);
    reply_defer_array(reply, reply_defer(reply), 1);
    reply_bulk_begin(reply, 5);
    reply_raw(reply, SLICE_LITERAL("hello"));
    reply_bulk_end(reply);
    assert_int_equal(reply_written(reply), 0);
    reply_set_enabled(reply, true);
    reply_ok(reply);
    expect(reply, "+OK\r\n");
    reply_destroy(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_written_in_resp2),
        cmocka_unit_test(items_are_written_in_resp3),
        cmocka_unit_test(large_values_are_shared_until_they_are_sent),
        cmocka_unit_test(shared_bytes_are_released_once_on_every_way_out),
        cmocka_unit_test(bytes_come_out_in_order_in_any_step),
        cmocka_unit_test(nothing_behind_the_limit_is_gathered),
        cmocka_unit_test(a_length_may_come_later),
        cmocka_unit_test(many_lengths_that_come_later_cross_blocks),
        cmocka_unit_test(a_rollback_takes_back_what_was_written_since),
        cmocka_unit_test(a_mark_tells_an_error_from_other_replies),
        cmocka_unit_test(a_bulk_string_in_a_buffer_is_what_the_reply_writes),
        cmocka_unit_test(a_disabled_reply_throws_everything_away),
    };
    return cmocka_run_group_tests_name("protocol/reply", tests, NULL, NULL);
}
