/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sessions: the registry and the line of CLIENT LIST. */
#include "commands/session.h"

#include "base/memory.h"
#include "commands/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { OPENED_MS = 10000 };

static void describe(struct session *session, struct session_io *out)
{
    (void)session;
    *out = (struct session_io){.address = "127.0.0.1:5000",
                               .local_address = "127.0.0.1:6379",
                               .fd = 9,
                               .query_bytes = 26,
                               .query_free_bytes = 20448,
                               .argument_bytes = 10,
                               .output_fixed_bytes = 1,
                               .output_blocks = 2,
                               .output_bytes = 3,
                               .total_memory = 37658,
                               .events = "r"};
}

static const struct session_operations operations = {.describe = describe};

static void set_text(char **place, const char *text)
{
    mem_free(*place);
    *place = slice_dup_text(slice_from_text(text));
}

static void assert_line(struct session *session, const char *expected)
{
    struct buffer line = {0};
    session_describe(session, &line, true, OPENED_MS + 5500);
    buffer_append(&line, "", 1);
    assert_string_equal(line.data, expected);
    buffer_free(&line);
}

static void a_new_session_is_that_of_a_new_connection(void **state)
{
    (void)state;
    struct session session;
    session_open(&session, &operations, true, OPENED_MS);
    assert_int_equal(session.database, 0);
    assert_int_equal(reply_version(session.reply), 2);
    assert_true(session.authenticated);
    assert_string_equal(session.name, "");
    assert_string_equal(session.library_name, "");
    session_close(&session);
}

static void numbers_are_never_used_twice(void **state)
{
    (void)state;
    struct session one, two;
    session_open(&one, &operations, true, OPENED_MS);
    uint64_t first = one.id;
    session_close(&one);
    session_open(&two, &operations, true, OPENED_MS);
    assert_int_equal(two.id, first + 1);
    session_close(&two);
}

static void the_registry_has_the_oldest_first(void **state)
{
    (void)state;
    struct session one, two;
    session_open(&one, &operations, true, OPENED_MS);
    session_open(&two, &operations, true, OPENED_MS);
    assert_int_equal(session_count(), 2);
    assert_ptr_equal(session_find(one.id), &one);
    assert_ptr_equal(session_find(two.id), &two);
    assert_null(session_find(two.id + 1));
    assert_ptr_equal(LIST_ENTRY(list_first(session_list()), struct session, link), &one);
    session_close(&one);
    assert_null(session_find(two.id - 1));
    assert_int_equal(session_count(), 1);
    session_close(&two);
    assert_int_equal(session_count(), 0);
}

static void the_line_has_all_fields_in_order(void **state)
{
    (void)state;
    struct session session;
    char expected[512];
    session_open(&session, &operations, true, OPENED_MS);
    (void)snprintf(expected, sizeof expected,
                   "id=%llu addr=127.0.0.1:5000 laddr=127.0.0.1:6379 fd=9 name= age=5 idle=5 "
                   "flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=26 qbuf-free=20448 argv-mem=10 "
                   "multi-mem=0 rbs=0 rbp=0 obl=1 oll=2 omem=3 tot-mem=37658 events=r cmd=NULL "
                   "user=default redir=-1 resp=2\n",
                   (unsigned long long)session.id);
    assert_line(&session, expected);
    session_close(&session);
}

static void the_line_tells_what_the_client_has_chosen(void **state)
{
    (void)state;
    struct session session;
    char expected[512];
    const char *bad = NULL;
    assert_true(command_table_init(NULL, 0, &bad));
    session_open(&session, &operations, true, OPENED_MS);
    session.database = 3;
    session.no_evict = session.no_touch = true;
    session.last_command = command_find_sub(command_find(slice_from_text("client")),
                                            slice_from_text("list"));
    reply_set_version(session.reply, 3);
    set_text(&session.name, "me");
    set_text(&session.library_name, "lib");
    set_text(&session.library_version, "1.2");
    session.active_ms = OPENED_MS + 4000;
    (void)snprintf(expected, sizeof expected,
                   "id=%llu addr=127.0.0.1:5000 laddr=127.0.0.1:6379 fd=9 name=me age=5 idle=1 "
                   "flags=eT db=3 sub=0 psub=0 ssub=0 multi=-1 qbuf=26 qbuf-free=20448 argv-mem=10 "
                   "multi-mem=0 rbs=0 rbp=0 obl=1 oll=2 omem=3 tot-mem=37658 events=r "
                   "cmd=client|list user=default redir=-1 resp=3 lib-name=lib lib-ver=1.2\n",
                   (unsigned long long)session.id);
    assert_line(&session, expected);
    session_close(&session);
}

static void a_reset_keeps_nothing_but_the_library(void **state)
{
    (void)state;
    struct session session;
    session_open(&session, &operations, true, OPENED_MS);
    session.database = 3;
    session.no_evict = session.no_touch = true;
    session.reply_mode = REPLY_OFF;
    reply_set_version(session.reply, 3);
    set_text(&session.name, "me");
    set_text(&session.library_name, "lib");
    session_reset(&session, false);
    assert_int_equal(session.database, 0);
    assert_false(session.no_evict || session.no_touch || session.authenticated);
    assert_int_equal(session.reply_mode, REPLY_ON);
    assert_int_equal(reply_version(session.reply), 2);
    assert_string_equal(session.name, "");
    assert_string_equal(session.library_name, "lib");
    session_close(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_session_is_that_of_a_new_connection),
        cmocka_unit_test(numbers_are_never_used_twice),
        cmocka_unit_test(the_registry_has_the_oldest_first),
        cmocka_unit_test(the_line_has_all_fields_in_order),
        cmocka_unit_test(the_line_tells_what_the_client_has_chosen),
        cmocka_unit_test(a_reset_keeps_nothing_but_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
