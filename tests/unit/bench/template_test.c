/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The load generator's commands and values: what a template sends, and that a value is known again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "bench/load/template.h"

static struct value_maker values;
static struct key_space space;
static struct key_cursor cursor;
static struct buffer out;

static void set_up(const char *sizes)
{
    assert_true(value_maker_setup(&values, sizes, 0, 1));
    assert_true(key_space_setup(&space, "sequential", 100, 1));
    cursor = (struct key_cursor){.position = 7, .step = 1};
    buffer_clear(&out);
}

/* What one rendering of `text` sends. */
static const char *render(const char *text)
{
    const char *problem;
    struct template *template = template_parse(text, &values, 1, &problem);
    assert_non_null(template);
    buffer_clear(&out);
    template_render(template, &space, &cursor, &out, NULL);
    buffer_append(&out, "", 1);
    template_free(template);
    return out.data;
}

static int tear_down(void **state)
{
    (void)state;
    value_maker_free(&values);
    buffer_free(&out);
    return 0;
}

static void a_template_becomes_a_command(void **state)
{
    (void)state;
    set_up("4");
    assert_string_equal(render("PING"), "*1\r\n$4\r\nPING\r\n");
    assert_string_equal(render("GET  key:{key}"), "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000007\r\n");
    char wanted[100] = "*3\r\n$3\r\nSET\r\n$12\r\n000000000008\r\n$4\r\n....\r\n";
    value_write(&values, 8, strchr(wanted, '.'), 4);
    assert_string_equal(render("SET {key} {value}"), wanted);
    assert_string_equal(render("LPOS l{key}x {number:1}"),
                        "*3\r\n$4\r\nLPOS\r\n$14\r\nl000000000009x\r\n$1\r\n0\r\n");
}

static void a_group_is_repeated_with_new_keys(void **state)
{
    (void)state;
    set_up("0");
    assert_string_equal(render("DEL [a{key}]*2 b"), "*4\r\n$3\r\nDEL\r\n$13\r\na000000000007\r\n"
                                                    "$13\r\na000000000008\r\n$1\r\nb\r\n");
    assert_string_equal(render("MSET [{key} {value}]*2"),
                        "*5\r\n$4\r\nMSET\r\n$12\r\n000000000009\r\n$0\r\n\r\n"
                        "$12\r\n000000000010\r\n$0\r\n\r\n");
}

static void nonsense_is_refused_with_a_reason(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "GET {keys}",
                                      "GET {key",
                                      "SET {value}",
                                      "DEL [a",
                                      "DEL [a]*0",
                                      "DEL [a]*x",
                                      "DEL [a]*1000000",
                                      "SET {key} x{value}",
                                      "SET {key} {value:x}",
                                      "SET {key} {number:0}"};
    (void)state;
    set_up("4");
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *problem = NULL;
        assert_null(template_parse(bad[i], &values, 1, &problem));
        assert_non_null(problem);
    }
}

static void a_value_is_known_again_in_pieces(void **state)
{
    static const size_t cuts[] = {0, 1, 15, 16, 17, 100, 1 << 20, (1 << 20) + 100, (2 << 20) + 5};
    (void)state;
    set_up("0-3000000");
    for (uint64_t key = 0; key < 20; key++) {
        size_t size = value_size(&values, key);
        char *bytes = mem_alloc(size + 1);
        value_write(&values, key, bytes, size);
        for (unsigned i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            size_t cut = cuts[i] < size ? cuts[i] : size;
            assert_true(value_matches(&values, key, 0, bytes, cut));
            assert_true(value_matches(&values, key, cut, bytes + cut, size - cut));
        }
        bytes[size / 2] ^= 1;
        assert_false(size > 0 && value_matches(&values, key, 0, bytes, size));
        mem_free(bytes);
    }
}

static void sizes_follow_their_weights(void **state)
{
    enum { KEYS = 100000 };
    (void)state;
    set_up("10:90,100-199:10");
    unsigned small = 0;
    uint64_t sum = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        size_t size = value_size(&values, key);
        assert_true(size == 10 || (size >= 100 && size <= 199));
        small += size == 10;
        sum += size == 10 ? 0 : size;
    }
    assert_in_range(small, KEYS * 89 / 100, KEYS * 91 / 100);
    assert_in_range(sum / (KEYS - small), 148, 151);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_template_becomes_a_command, tear_down),
        cmocka_unit_test_teardown(a_group_is_repeated_with_new_keys, tear_down),
        cmocka_unit_test_teardown(nonsense_is_refused_with_a_reason, tear_down),
        cmocka_unit_test_teardown(a_value_is_known_again_in_pieces, tear_down),
        cmocka_unit_test_teardown(sizes_follow_their_weights, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
