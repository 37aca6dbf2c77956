/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The load generator's reply reader: the same replies, whatever pieces they come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "bench/load/answers.h"

static struct buffer seen; /* "index:total:bytes" of each bulk, pieces joined */

static void note(void *context, uint64_t index, size_t total, size_t offset, const char *bytes,
                 size_t size)
{
    (void)context;
    if (offset == 0) buffer_append_format(&seen, "[%d:%zu]", (int)index, total);
    buffer_append(&seen, bytes, size);
}

static void replies_are_the_same_in_pieces_of_any_size(void **state)
{
    static const char stream[] =
        "+OK\r\n-ERR no\r\n:12\r\n$3\r\na\r\n\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n"
        "*3\r\n$1\r\nx\r\n$-1\r\n*2\r\n:1\r\n$2\r\nyz\r\n%1\r\n+k\r\n_\r\n";
    (void)state;
    for (size_t piece = 1; piece <= sizeof stream; piece++) {
        struct answer_reader reader = {0};
        unsigned replies = 0, errors = 0, nils = 0;
        buffer_clear(&seen);
        for (size_t at = 0; at < sizeof stream - 1;) {
            size_t used, size = sizeof stream - 1 - at < piece ? sizeof stream - 1 - at : piece;
            enum answer_state got = answer_read(&reader, stream + at, size, &used, note, NULL);
            assert_int_not_equal(got, ANSWER_MALFORMED);
            assert_true(got == ANSWER_COMPLETE || used == size);
            at += used;
            if (got != ANSWER_COMPLETE) continue;
            replies++;
            errors += reader.is_error;
            nils += (unsigned)reader.nils;
        }
        buffer_append(&seen, "", 1);
        assert_int_equal(replies, 10);
        assert_int_equal(errors, 1);
        assert_int_equal(nils, 4);
        assert_string_equal(seen.data, "[0:3]a\r\n[0:0][0:1]x[3:2]yz");
    }
    buffer_free(&seen);
}

static void what_is_no_reply_is_told(void **state)
{
    static const char *const bad[] = {"hello\r\n", "$x\r\n", "*1x\r\n", "$-2\r\n", "\r\n"};
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct answer_reader reader = {0};
        size_t used;
        assert_int_equal(answer_read(&reader, bad[i], strlen(bad[i]), &used, NULL, NULL),
                         ANSWER_MALFORMED);
    }
}

static void a_long_error_is_cut_off(void **state)
{
    (void)state;
    struct answer_reader reader = {0};
    char text[1000];
    size_t used;
    memset(text, 'x', sizeof text);
    text[0] = '-';
    memcpy(text + sizeof text - 2, "\r\n", 2);
    assert_int_equal(answer_read(&reader, text, sizeof text, &used, NULL, NULL), ANSWER_COMPLETE);
    assert_int_equal(used, sizeof text);
    assert_true(reader.is_error);
    assert_int_equal(strlen(reader.line), ANSWER_LINE_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_the_same_in_pieces_of_any_size),
        cmocka_unit_test(what_is_no_reply_is_told),
        cmocka_unit_test(a_long_error_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
