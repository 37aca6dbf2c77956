/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The request parser: what it takes, what it refuses and with which words, and that it makes no
 * difference in which pieces the bytes arrive. Each call gets its input in an allocation of exactly
 * its size, at a new place, so that a sanitizer sees any look too far or too late. */
#include "protocol/parser.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* What came out: "[a][b]\n" for each request, "!text" for an error, "~" while more is needed. */
struct feed {
    struct parser *parser;
    struct parser_limits limits;
    struct buffer rest, out;
    bool failed;
};

static void feed_open(struct feed *feed)
{
    memset(feed, 0, sizeof *feed);
    feed->parser = parser_create();
    feed->limits = (struct parser_limits){.max_bulk_bytes = 512 << 20, .authenticated = true};
}

static void feed_close(struct feed *feed)
{
    parser_destroy(feed->parser);
    buffer_free(&feed->rest);
    buffer_free(&feed->out);
}

static void append_request(struct buffer *out, const struct request *request)
{
    for (int i = 0; i < request->argc; i++) {
        buffer_append_text(out, "[");
        if (request->argv[i].size > 100)
            buffer_append_format(out, "%zu bytes, %d first", request->argv[i].size,
                                 request->argv[i].data[0]);
        else
            buffer_append_slice(out, request->argv[i]);
        buffer_append_text(out, "]");
    }
    buffer_append_text(out, "\n");
}

/* One look at all that is there, until it wants more. */
static void drain(struct feed *feed)
{
    for (;;) {
        char *copy = malloc(feed->rest.size + 1);
        char *input = copy + 1; /* exact end */
        if (feed->rest.size > 0) memcpy(input, feed->rest.data, feed->rest.size);
        struct request request;
        request_init(&request);
        size_t consumed = 0;
        const char *error = NULL;
        enum parser_result result = parser_next(feed->parser, &feed->limits, input,
                                                feed->rest.size, &consumed, &request, &error);
        if (result == PARSER_COMMAND) append_request(&feed->out, &request);
        if (result == PARSER_ERROR) {
            buffer_append_format(&feed->out, "!%s", error);
            feed->failed = true;
        }
        request_release(&request);
        assert_true(consumed <= feed->rest.size);
        if (consumed > 0)
            memmove(feed->rest.data, feed->rest.data + consumed, feed->rest.size - consumed);
        feed->rest.size -= consumed;
        free(copy);
        if (result != PARSER_COMMAND) return;
    }
}

static void feed_bytes(struct feed *feed, const char *bytes, size_t size)
{
    while (size > 0 && !feed->failed) {
        char *room;
        size_t here = parser_big_room(feed->parser, &room);
        if (here > 0) {
            if (here > size) here = size;
            memcpy(room, bytes, here);
            parser_big_filled(feed->parser, here);
        } else {
            here = size;
            buffer_append(&feed->rest, bytes, here);
        }
        bytes += here;
        size -= here;
        drain(feed);
    }
}

static void expect_text(const char *bytes, size_t size, const char *expected, size_t step,
                        size_t split)
{
    struct feed feed;
    feed_open(&feed);
    if (split > 0) {
        feed_bytes(&feed, bytes, split);
        feed_bytes(&feed, bytes + split, size - split);
    } else {
        for (size_t at = 0; at < size; at += step)
            feed_bytes(&feed, bytes + at, size - at < step ? size - at : step);
    }
    buffer_append(&feed.out, "", 1);
    assert_string_equal(feed.out.data, expected);
    feed_close(&feed);
}

/* Whole, byte by byte, and cut in two at every place. */
static void expect_size(const char *bytes, size_t size, const char *expected)
{
    expect_text(bytes, size, expected, size, 0);
    expect_text(bytes, size, expected, 1, 0);
    for (size_t split = 1; split < size; split++) expect_text(bytes, size, expected, 0, split);
}

static void expect(const char *bytes, const char *expected)
{
    expect_size(bytes, strlen(bytes), expected);
}

static void requests_come_out_however_they_are_cut(void **state)
{
    (void)state;
    expect("*1\r\n$4\r\nPING\r\n", "[PING]\n");
    expect("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
           "[SET][k][]\n[GET][k]\n");
    expect("*2\r\n$4\r\nECHO\r\n$12\r\n*1\r\n$4\r\nPING\r\n", "[ECHO][*1\r\n$4\r\nPING]\n");
    expect("*10\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n"
           "$1\r\n7\r\n$1\r\n8\r\n$2\r\n99\r\n",
           "[0][1][2][3][4][5][6][7][8][99]\n");
}

static void any_byte_may_stand_in_an_argument(void **state)
{
    (void)state;
    static const char request[] = "*2\r\n$3\r\nGET\r\n$4\r\n\0\r\n\xff\r\n*1\r\n$1\r\nx\r\n";
    struct feed feed;
    feed_open(&feed);
    feed_bytes(&feed, request, sizeof request - 1);
    assert_int_equal(feed.out.size, strlen("[GET][") + 4 + strlen("]\n[x]\n"));
    assert_memory_equal(feed.out.data, "[GET][\0\r\n\xff]\n[x]\n", feed.out.size);
    feed_close(&feed);
}

static void inline_requests_and_multibulk_mix(void **state)
{
    (void)state;
    expect("PING\r\n*1\r\n$4\r\nPING\r\nget  a\n", "[PING]\n[PING]\n[get][a]\n");
    expect("\r\n\n  \r\n", "\n\n\n");
    expect("\tset\v a\r\n", "[set\v][a]\n");
}

static void inline_words_are_unquoted(void **state)
{
    (void)state;
    expect("set \"a b\" 'c d'\r\n", "[set][a b][c d]\n");
    expect("x \"\\x41\\n\\t\\\\\\\"\\q\\xzz\" 'it\\'s \\n'\r\n", "[x][A\n\t\\\"qxzz][it's \\n]\n");
    expect("x foo\"bar\" \"\" ''\r\n", "[x][foobar][][]\n");
    expect_size("x y\0z\r\nPING\r\n", 13, "[x][y]\n[PING]\n");
}

static void unbalanced_quotes_are_refused(void **state)
{
    (void)state;
    const char *text = "!Protocol error: unbalanced quotes in request";
    expect("x \"abc\r\n", text);
    expect("x 'abc\r\n", text);
    expect("x \"abc\"d\r\n", text);
    expect("x 'abc'd\r\n", text);
    expect("x \"abc\\\"\r\n", text);
}

static void empty_and_negative_counts_are_skipped(void **state)
{
    (void)state;
    expect("*0\r\n*-1\r\n*-20\r\n*1\r\n$1\r\nx\r\n", "\n\n\n[x]\n");
}

static void bad_counts_are_refused(void **state)
{
    (void)state;
    const char *text = "!Protocol error: invalid multibulk length";
    expect("*x\r\n", text);
    expect("*\r\n", text);
    expect("*1x\r\n", text);
    expect("*01\r\n", text);
    expect("* 1\r\n", text);
    expect("*2147483648\r\n", text);
    expect("*99999999999999999999\r\n", text);
    expect_size("*1\0\r\n", 5, text);
}

static void bad_bulk_headers_are_refused(void **state)
{
    (void)state;
    expect("*1\r\nPING\r\n", "!Protocol error: expected '$', got 'P'");
    expect("*1\r\n\r\n$", "!Protocol error: expected '$', got '\r'");
    expect("*1\r\n:5\r\n", "!Protocol error: expected '$', got ':'");
    expect("*1\r\n$-1\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$x\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$536870913\r\n", "!Protocol error: invalid bulk length");
    expect("*2\r\n$1\r\nx\r\n$ 1\r\n", "!Protocol error: invalid bulk length");
}

static void an_endless_line_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *text;
    } cases[] = {{"*", "!Protocol error: too big mbulk count string"},
                 {"*1\r\n$", "!Protocol error: too big bulk count string"},
                 {"*1\r\nx", "!Protocol error: too big bulk count string"},
                 {"x", "!Protocol error: too big inline request"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer bytes = {0};
        buffer_append_text(&bytes, cases[i].begin);
        for (int j = 0; j < PARSER_INLINE_MAX_BYTES; j++) buffer_append(&bytes, "1", 1);
        expect_text(bytes.data, bytes.size, cases[i].text, bytes.size, 0);
        expect_text(bytes.data, bytes.size, cases[i].text, 999, 0);
        buffer_free(&bytes);
    }
}

static void without_a_password_only_small_requests_pass(void **state)
{
    (void)state;
    static const struct {
        const char *request, *expected;
    } cases[] = {
        {"*10\r\n", ""},
        {"*11\r\n", "!Protocol error: unauthenticated multibulk length"},
        {"*1\r\n$16384\r\n", ""},
        {"*1\r\n$16385\r\n", "!Protocol error: unauthenticated bulk length"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct feed feed;
        feed_open(&feed);
        feed.limits.authenticated = false;
        feed_bytes(&feed, cases[i].request, strlen(cases[i].request));
        buffer_append(&feed.out, "", 1);
        assert_string_equal(feed.out.data, cases[i].expected);
        feed_close(&feed);
    }
}

static void append_bulk(struct buffer *out, char byte, size_t size)
{
    buffer_append_format(out, "$%zu\r\n", size);
    buffer_reserve(out, size + 2);
    memset(out->data + out->size, byte, size);
    out->size += size;
    buffer_append_text(out, "\r\n");
}

static void big_arguments_get_their_own_memory(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    buffer_append_text(&bytes, "*5\r\n$4\r\nMSET\r\n$1\r\na\r\n");
    append_bulk(&bytes, 1, PARSER_BIG_ARGUMENT_BYTES);
    buffer_append_text(&bytes, "$1\r\nb\r\n");
    append_bulk(&bytes, 2, 3 << 20);
    buffer_append_text(&bytes, "*1\r\n$4\r\nPING\r\n");
    const char *expected = "[MSET][a][32768 bytes, 1 first][b][3145728 bytes, 2 first]\n[PING]\n";
    static const size_t steps[] = {7, 1000, 16384, 65536, 1 << 20, 8 << 20};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (steps[i] > 500) expect_text(bytes.data, bytes.size, expected, steps[i], 0);
    for (size_t split = 1; split < 60; split++)
        expect_text(bytes.data, bytes.size, expected, 0, split);
    for (size_t split = 32780; split < 32830; split++)
        expect_text(bytes.data, bytes.size, expected, 0, split);
    for (size_t split = bytes.size - 30; split < bytes.size; split++)
        expect_text(bytes.data, bytes.size, expected, 0, split);
    buffer_free(&bytes);
}

static void an_announced_length_alone_costs_little_memory(void **state)
{
    (void)state;
    struct feed feed;
    feed_open(&feed);
    const char *request = "*2\r\n$3\r\nGET\r\n$536870912\r\nabc";
    feed_bytes(&feed, request, strlen(request));
    assert_false(parser_is_idle(feed.parser));
    assert_true(parser_memory_bytes(feed.parser) < 2u << 20);
    feed_close(&feed);
}

static void memory_that_cannot_be_had_is_an_error(void **state)
{
    (void)state;
    struct feed feed;
    feed_open(&feed);
    mem_fail_after(1);
    const char *request = "*2\r\n$3\r\nGET\r\n$5000000\r\nabc";
    feed_bytes(&feed, request, strlen(request));
    mem_fail_after(0);
    buffer_append(&feed.out, "", 1);
    assert_string_equal(feed.out.data, "!Protocol error: out of memory");
    feed_close(&feed);
}

static void many_arguments_grow_the_vector(void **state)
{
    (void)state;
    struct buffer bytes = {0}, expected = {0};
    buffer_append_text(&bytes, "*1000\r\n");
    for (int i = 0; i < 1000; i++) {
        char text[16];
        int size = snprintf(text, sizeof text, "%d", i);
        buffer_append_format(&bytes, "$%d\r\n%s\r\n", size, text);
        buffer_append_format(&expected, "[%s]", text);
    }
    buffer_append(&expected, "\n", 2);
    expect_text(bytes.data, bytes.size, expected.data, bytes.size, 0);
    expect_text(bytes.data, bytes.size, expected.data, 1, 0);
    expect_text(bytes.data, bytes.size, expected.data, 77, 0);
    buffer_free(&bytes);
    buffer_free(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_come_out_however_they_are_cut),
        cmocka_unit_test(any_byte_may_stand_in_an_argument),
        cmocka_unit_test(inline_requests_and_multibulk_mix),
        cmocka_unit_test(inline_words_are_unquoted),
        cmocka_unit_test(unbalanced_quotes_are_refused),
        cmocka_unit_test(empty_and_negative_counts_are_skipped),
        cmocka_unit_test(bad_counts_are_refused),
        cmocka_unit_test(bad_bulk_headers_are_refused),
        cmocka_unit_test(an_endless_line_is_refused),
        cmocka_unit_test(without_a_password_only_small_requests_pass),
        cmocka_unit_test(big_arguments_get_their_own_memory),
        cmocka_unit_test(an_announced_length_alone_costs_little_memory),
        cmocka_unit_test(memory_that_cannot_be_had_is_an_error),
        cmocka_unit_test(many_arguments_grow_the_vector),
    };
    return cmocka_run_group_tests_name("protocol/parser", tests, NULL, NULL);
}
