/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Settings: reading files and arguments, inert options, the example file, rewriting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "lib/temp_folder.h"
#include "server/settings.h"

struct fixture {
    char *folder, *path;
    struct settings settings;
    struct error error;
};

static unsigned warnings;
static char last_warning[512];

static void count_warning(const char *text)
{
    warnings++;
    (void)snprintf(last_warning, sizeof last_warning, "%s", text);
}

static int set_up(void **state)
{
    struct fixture *fixture = mem_calloc(1, sizeof *fixture);
    fixture->folder = temp_folder_create();
    fixture->path = temp_folder_path(fixture->folder, "k.conf");
    settings_init(&fixture->settings);
    warnings = 0;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    settings_free(&fixture->settings);
    mem_free(fixture->path);
    temp_folder_remove(fixture->folder);
    mem_free(fixture);
    return 0;
}

static void write_file(struct fixture *fixture, const char *text)
{
    FILE *file = fopen(fixture->path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static enum status read_text(struct fixture *fixture, const char *text)
{
    write_file(fixture, text);
    return settings_read(&fixture->settings, fixture->path, 0, NULL, count_warning, &fixture->error);
}

static char *shown(struct fixture *fixture, const char *name)
{
    static char text[1024];
    void *options;
    struct buffer out = {0};
    const struct option *option = settings_find(&fixture->settings, slice_from_text(name), &options);
    assert_non_null(option);
    option_format(option, options, &out);
    (void)snprintf(text, sizeof text, "%.*s", (int)out.size, out.data ? out.data : "");
    buffer_free(&out);
    return text;
}

static void a_file_sets_options_of_every_module(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_text(fixture, "port 7000\nmaxmemory 1gb\nappendfsync always\n"
                                        "batch-writer-concurrency 3\nloglevel debug\n"
                                        "leveldb-block-cache 1mb\n"), STATUS_OK);
    assert_int_equal(fixture->settings.net.port, 7000);
    assert_int_equal(fixture->settings.keyspace.maxmemory_bytes, 1 << 30);
    assert_int_equal(fixture->settings.journal.appendfsync, JOURNAL_ALWAYS);
    assert_int_equal(fixture->settings.batch_writer.batch_writer_concurrency, 3);
    assert_true(fixture->settings.block_cache_given);
    assert_string_equal(shown(fixture, "loglevel"), "debug");
}

static void arguments_win_over_the_file(void **state)
{
    struct fixture *fixture = *state;
    char *arguments[] = {"--port", "7001", "--bind", "127.0.0.1", "::1", "--save", ""};
    write_file(fixture, "port 7000\ntimeout 5\n");
    assert_int_equal(settings_read(&fixture->settings, fixture->path, 7, arguments, count_warning,
                                   &fixture->error), STATUS_OK);
    assert_int_equal(fixture->settings.net.port, 7001);
    assert_int_equal(fixture->settings.net.timeout_s, 5);
    assert_string_equal(fixture->settings.net.bind, "127.0.0.1 ::1");
    assert_string_equal(shown(fixture, "save"), "");
}

static void an_error_names_file_and_line(void **state)
{
    static const char *const bad[] = {"nosuch 1", "port 1 2", "maxmemory many", "port 70000", "dir \"a",
                                      "rename-command", "timeout"};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "# one\ntimeout 1\n%s\n", bad[i]);
        assert_int_equal(read_text(fixture, text), STATUS_INVALID);
        assert_non_null(strstr(fixture->error.text, "k.conf:3"));
    }
}

static void an_inert_option_is_kept_shown_and_warned_about_with_the_reason(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_text(fixture, "save 900 1 300 10\nmaxmemory-policy allkeys-lru\n"),
                     STATUS_OK);
    assert_int_equal(warnings, 2);
    assert_non_null(strstr(last_warning, "maxmemory-policy has no effect here: "));
    assert_string_equal(shown(fixture, "save"), "900 1 300 10");
    assert_string_equal(shown(fixture, "maxmemory-policy"), "allkeys-lru");
}

static void an_inert_option_is_shown_as_redis_shows_it(void **state)
{
    static const char *const lines[][3] = {
        {"repl-backlog-size 1mb\n", "repl-backlog-size", "1048576"},
        {"activerehashing NO\n", "activerehashing", "no"},
        {"maxmemory-policy AllKeys-LRU\n", "maxmemory-policy", "allkeys-lru"},
        {"notify-keyspace-events Ex\n", "notify-keyspace-events", "Ex"},
        {"masterauth secret\n", "masterauth", "secret"},
        {"replicaof 10.0.0.1 6379\n", "replicaof", "10.0.0.1 6379"},
        {"save\n", "save", ""},
        {"slave-priority 7\n", "replica-priority", "7"},
        {"tls-auth-clients optional\n", "tls-auth-clients", "optional"},
        {"shutdown-on-sigterm nosave now\n", "shutdown-on-sigterm", "nosave now"},
        {"latency-tracking-info-percentiles \"\"\n", "latency-tracking-info-percentiles", ""}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(read_text(fixture, lines[i][0]), STATUS_OK);
        assert_string_equal(shown(fixture, lines[i][1]), lines[i][2]);
    }
}

static void an_inert_option_refuses_what_redis_would_refuse(void **state)
{
    static const char *const bad[] = {"save 900", "save 900 x", "maxmemory-policy nosuch",
                                      "appendonly maybe", "hz fast", "hz 1kb",
                                      "maxmemory-samples 0", "replica-priority 4294967296",
                                      "notify-keyspace-events yes", "oom-score-adj-values 1 2",
                                      "shutdown-on-sigint save nosave", "shutdown-on-sigint now x",
                                      "shutdown-on-sigint '\"\"'",
                                      "latency-tracking-info-percentiles 50 101"};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_text(fixture, bad[i]), STATUS_INVALID);
}

static void lines_of_a_repeated_option_add_up(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_text(fixture, "rename-command GET FETCH\nrename-command DEL \"\"\n"),
                     STATUS_OK);
    assert_string_equal(fixture->settings.server.rename_command, "GET FETCH\nDEL \"\"");
}

static void nobody_could_connect_to_port_0_without_a_socket(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_text(fixture, "port 0\n"), STATUS_INVALID);
    assert_int_equal(read_text(fixture, "port 0\nunixsocket /tmp/k.sock\n"), STATUS_OK);
}

static void the_example_sets_every_option_to_its_default(void **state)
{
    struct fixture *fixture = *state;
    struct buffer out = {0};
    settings_write_example(&out);
    buffer_append(&out, "", 1);
    assert_int_equal(read_text(fixture, out.data), STATUS_OK);
    assert_int_equal(warnings, 0);
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part part = settings_part(&fixture->settings, i);
        for (size_t k = 0; k < part.table->count; k++) {
            const struct option *option = &part.table->rows[k];
            assert_true(option_is_default(option, part.options));
            assert_true(strlen(option->help) > 20 || option->flags & OPTION_INERT);
            if (!(option->flags & OPTION_HIDDEN)) assert_non_null(strstr(out.data, option->name));
        }
    }
    buffer_free(&out);
}

static void a_name_is_in_one_table_only(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part part = settings_part(&fixture->settings, i);
        for (size_t k = 0; k < part.table->count; k++) {
            void *options;
            const struct option *option = &part.table->rows[k];
            assert_ptr_equal(settings_find(&fixture->settings, slice_from_text(option->name), &options),
                             option);
            assert_ptr_equal(options, part.options);
        }
    }
}

static void a_rewritten_file_reads_back_the_same(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] = "# mine\nport 7000\nrename-command GET FETCH\nrename-command DEL \"\"\n"
                               "save 900 1\nclient-output-buffer-limit normal 1mb 2mb 3\n";
    assert_int_equal(read_text(fixture, text), STATUS_OK);
    fixture->settings.net.timeout_s = 44;
    mem_free(fixture->settings.server.requirepass);
    fixture->settings.server.requirepass = mem_dup("a \"b\" c", sizeof "a \"b\" c");
    assert_int_equal(settings_rewrite(&fixture->settings, fixture->path, &fixture->error), STATUS_OK);
    struct settings again;
    settings_init(&again);
    assert_int_equal(settings_read(&again, fixture->path, 0, NULL, NULL, &fixture->error), STATUS_OK);
    assert_int_equal(again.net.port, 7000);
    assert_int_equal(again.net.timeout_s, 44);
    assert_string_equal(again.server.requirepass, "a \"b\" c");
    assert_string_equal(again.server.rename_command, "GET FETCH\nDEL \"\"");
    assert_string_equal(again.net.client_output_buffer_limit,
                        fixture->settings.net.client_output_buffer_limit);
    settings_free(&again);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_file_sets_options_of_every_module),
        TEST(arguments_win_over_the_file),
        TEST(an_error_names_file_and_line),
        TEST(an_inert_option_is_kept_shown_and_warned_about_with_the_reason),
        TEST(an_inert_option_is_shown_as_redis_shows_it),
        TEST(an_inert_option_refuses_what_redis_would_refuse),
        TEST(lines_of_a_repeated_option_add_up),
        TEST(nobody_could_connect_to_port_0_without_a_socket),
        TEST(the_example_sets_every_option_to_its_default),
        TEST(a_name_is_in_one_table_only),
        TEST(a_rewritten_file_reads_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
