/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the slow log and monitors keep and send of calls, without a server: sessions whose connection is
 * made of a few functions. */
#include "commands/notice.h"

#include "commands/connection.h"
#include "commands/monitor.h"
#include "commands/options.h"
#include "commands/server.h"
#include "commands/slowlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static unsigned described, flushed;

static void describe(struct session *session, struct session_io *out)
{
    (void)session;
    described++;
    *out = (struct session_io){.address = "127.0.0.1:5000"};
}

static void flush(struct session *session)
{
    (void)session;
    flushed++;
}

static const struct session_operations operations = {.describe = describe, .flush = flush};
static struct command_options options;
static struct session client, watcher;
static const struct command ping = {.name = "ping", .flags = COMMAND_FAST};

static int set_up(void **state)
{
    (void)state;
    options = (struct command_options){.slowlog_slower_than_us = -1, .slowlog_max_length = 128};
    server.options = &options;
    session_open(&client, &operations, true, 0);
    session_open(&watcher, &operations, true, 0);
    described = flushed = 0;
    return 0;
}

static void call(void (*handler)(struct command_run *run), struct session *session)
{
    struct command_run run = {.session = session, .reply = session->reply, .argc = 2};
    handler(&run);
}

static int tear_down(void **state)
{
    (void)state;
    notice_drop();
    call(slowlog_reset, &client);
    session_close(&client);
    session_close(&watcher);
    server.options = NULL;
    notice_refresh();
    return 0;
}

/* All that was written to the session since. */
static const char *take_written(struct session *session)
{
    static char text[64 * 1024];
    size_t size = reply_peek(session->reply,
                             (struct reply_mark){reply_consumed(session->reply)}, text,
                             sizeof text - 1);
    text[size] = 0;
    reply_consume(session->reply, size);
    return text;
}

static void note(const struct command *command, int64_t run_us, int argc, const struct slice *argv)
{
    struct notice notice = {.session = &client, .command = command, .argc = argc, .argv = argv,
                            .run_ns = run_us * 1000};
    notice_call(&notice);
}

static void note_ping(int64_t run_us)
{
    struct slice argv[] = {SLICE_LITERAL("PING")};
    note(&ping, run_us, 1, argv);
}

static void the_figure_is_the_least_of_what_anybody_wants(void **state)
{
    (void)state;
    notice_refresh();
    assert_int_equal(notice_from_ns, INT64_MAX);
    options.slowlog_slower_than_us = 10000;
    options.latency_threshold_ms = 3;
    notice_refresh();
    assert_int_equal(notice_from_ns, 3000000);
    options.slowlog_slower_than_us = 2;
    notice_refresh();
    assert_int_equal(notice_from_ns, 2000);
    call(server_monitor, &watcher);
    assert_int_equal(notice_from_ns, 0);
    session_reset(&watcher, true);
    assert_int_equal(notice_from_ns, 2000);
    options.slowlog_slower_than_us = options.latency_threshold_ms = INT64_MAX;
    notice_refresh();
    assert_int_equal(notice_from_ns, INT64_MAX);
}

static void the_slow_log_takes_what_is_settled_and_slow(void **state)
{
    (void)state;
    options.slowlog_slower_than_us = 100;
    note_ping(99);
    note_ping(100);
    call(slowlog_len, &client);
    assert_string_equal(take_written(&client), ":0\r\n");
    notice_settle(0);
    note_ping(5000);
    notice_drop();
    notice_settle(0);
    call(slowlog_len, &client);
    assert_string_equal(take_written(&client), ":1\r\n");
}

static void long_commands_are_cut(void **state)
{
    (void)state;
    struct slice argv[40];
    char bytes[200];
    memset(bytes, 'x', sizeof bytes);
    for (int i = 0; i < 40; i++) argv[i] = slice_make(bytes, (size_t)i * 5);
    options.slowlog_slower_than_us = 0;
    note(&ping, 7, 40, argv);
    notice_settle(0);
    call(slowlog_get, &client);
    const char *reply = take_written(&client);
    assert_non_null(strstr(reply, "*7\r\n"));
    assert_non_null(strstr(reply, ":7\r\n*32\r\n$0\r\n\r\n$5\r\nxxxxx\r\n"));
    assert_non_null(strstr(reply, "... (2 more bytes)\r\n"));
    assert_non_null(strstr(reply, "$22\r\n... (9 more arguments)\r\n$14\r\n127.0.0.1:5000\r\n"));
    assert_null(strstr(reply, "(27 more bytes)"));
}

static void monitors_get_a_run_whole_or_not_at_all(void **state)
{
    (void)state;
    call(server_monitor, &watcher);
    assert_string_equal(take_written(&watcher), "+OK\r\n");
    call(server_monitor, &watcher);
    assert_string_equal(take_written(&watcher), "");
    note_ping(1);
    note_ping(1);
    assert_string_equal(take_written(&watcher), "");
    notice_drop();
    notice_settle(0);
    assert_string_equal(take_written(&watcher), "");
    note_ping(1);
    notice_settle(0);
    assert_int_equal(flushed, 1);
    const char *line = take_written(&watcher);
    assert_int_equal(line[0], '+');
    assert_string_equal(strchr(line, ' '), " [0 127.0.0.1:5000] \"PING\"\r\n");
    assert_int_equal(described, 1);
}

static void a_monitor_inside_a_transaction_is_refused(void **state)
{
    (void)state;
    struct command_run run = {.session = &watcher, .reply = watcher.reply,
                              .access.in_transaction = true};
    server_monitor(&run);
    assert_string_equal(take_written(&watcher),
                        "-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n");
    assert_int_equal(monitor_count(), 0);
}

static bool is_secret(struct slice name)
{
    return slice_equal_nocase(name, "requirepass");
}

static void passwords_are_redacted(void **state)
{
    (void)state;
    const struct command auth = {.name = "auth", .handler = connection_auth};
    const struct command hello = {.name = "hello", .handler = connection_hello};
    const struct command set = {.name = "set", .handler = server_config};
    struct slice words[] = {SLICE_LITERAL("x"),    SLICE_LITERAL("y"),
                            SLICE_LITERAL("Auth"), SLICE_LITERAL("user"),
                            SLICE_LITERAL("word"), SLICE_LITERAL("SETNAME")};
    struct slice changes[] = {SLICE_LITERAL("config"), SLICE_LITERAL("set"),
                              SLICE_LITERAL("port"),   SLICE_LITERAL("1"),
                              SLICE_LITERAL("RequirePass"), SLICE_LITERAL("word")};
    const struct {
        const struct command *command;
        const struct slice *argv;
        const char *shown; /* a letter for each argument */
    } cases[] = {{&auth, words, ".xxxxx"}, {&hello, words, "...xx."}, {&set, changes, ".....x"},
                 {&ping, words, "......"}};
    server.is_secret_option = is_secret;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct notice notice = {.session = &client, .command = cases[i].command, .argc = 6,
                                .argv = cases[i].argv};
        for (int k = 0; k < 6; k++)
            assert_int_equal(slice_equal(notice_argument(&notice, k), SLICE_LITERAL("(redacted)")),
                             cases[i].shown[k] == 'x');
    }
    server.is_secret_option = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_figure_is_the_least_of_what_anybody_wants, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_slow_log_takes_what_is_settled_and_slow, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(long_commands_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(monitors_get_a_run_whole_or_not_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_monitor_inside_a_transaction_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(passwords_are_redacted, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
