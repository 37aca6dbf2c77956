/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What HTTP clients say in their headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/http_internal.h"

#include <zlib.h>

static void an_item_that_is_not_there_has_no_weight(void **state)
{
    (void)state;
    assert_true(http_item_weight(NULL, "gzip") == -1);
    assert_true(http_item_weight("", "gzip") == -1);
    assert_true(http_item_weight("deflate, xgzip, gzipx", "gzip") == -1);
    assert_true(http_item_weight(",;,;;q=1,", "gzip") == -1);
}

static void the_highest_weight_counts(void **state)
{
    (void)state;
    assert_true(http_item_weight("gzip", "gzip") == 1);
    assert_true(http_item_weight("deflate, GZIP ; q=0.5", "gzip") == 0.5);
    assert_true(http_item_weight("gzip;q=0", "gzip") == 0);
    assert_true(http_item_weight("gzip;q=nonsense", "gzip") == 0);
    assert_true(http_item_weight("gzip;q=7", "gzip") == 0);
    assert_true(http_item_weight("a/b;version=1;q=0.25,a/b;version=2;q=0.75", "a/b") == 0.75);
}

static void a_token_is_taken_as_bearer_and_as_password(void **state)
{
    (void)state;
    assert_true(http_is_authorized(NULL, ""));
    assert_false(http_is_authorized(NULL, "secret"));
    assert_true(http_is_authorized("Bearer secret", "secret"));
    assert_true(http_is_authorized("bearer  secret ", "secret"));
    assert_true(http_is_authorized("Basic YW55OnNlY3JldA==", "secret"));  /* any:secret */
    assert_true(http_is_authorized("Basic OnNlY3JldA==", "secret"));      /* :secret */
    assert_true(http_is_authorized("Basic YW55OnM6eA==", "s:x"));         /* any:s:x */
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    const char *const wrong[] = {"",         "Bearer",          "Bearer ",        "Bearer secre",
                                 "Bearersecret", "secret",      "Digest secret",  "Basic",
                                 "Basic ",   "Basic c2VjcmV0",  "Basic !!!!",     "Basic YW55OnNlY3JldA",
                                 "Basic ====", "Basic =", "Bearer secret2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(http_is_authorized(wrong[i], "secret"));
}

static void a_page_comes_out_of_gzip_as_it_was(void **state)
{
    (void)state;
    struct buffer text = {0}, packed = {0};
    static char back[400000];
    for (int i = 0; i < 10000; i++) buffer_append_format(&text, "kelvin_figure_%d %d\n", i, i * i);
    buffer_append_text(&packed, "before");
    http_compress(buffer_slice(&text), &packed);
    assert_true(packed.size < text.size / 2);
    z_stream stream = {.next_in = (Bytef *)packed.data + 6, .avail_in = (uInt)packed.size - 6,
                       .next_out = (Bytef *)back, .avail_out = sizeof back};
    assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, text.size);
    assert_memory_equal(back, text.data, text.size);
    inflateEnd(&stream);
    buffer_free(&text);
    buffer_free(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_that_is_not_there_has_no_weight),
        cmocka_unit_test(the_highest_weight_counts),
        cmocka_unit_test(a_token_is_taken_as_bearer_and_as_password),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(a_page_comes_out_of_gzip_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
