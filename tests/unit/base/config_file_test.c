/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Configuration files: reading, command lines, rewriting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <dirent.h>
#include <signal.h>

#include <cmocka.h>

#include "base/config_file.h"
#include "base/memory.h"

static char folder[] = "/tmp/kelvin-config-XXXXXX";
static char home[256];

static int enter_folder(void **state)
{
    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    if (!getcwd(home, sizeof home) || !mkdtemp(folder)) return -1;
    return chdir(folder);
}

static int leave_folder(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir(home) == 0 ? system(command) : -1;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_file(const char *name, const char *expected)
{
    static char text[1 << 16];
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static unsigned count_files(void)
{
    unsigned count = 0;
    DIR *list = opendir(".");
    assert_non_null(list);
    while (readdir(list)) count++;
    closedir(list);
    return count - 2;
}

/* Lines as "file:number name word word\n". */
static void assert_lines(const struct config_file *config, const char *expected)
{
    struct buffer out = {0};
    for (size_t i = 0; i < config->count; i++) {
        const struct config_line *line = &config->lines[i];
        buffer_append_format(&out, "%s:%u", line->file, line->number);
        for (size_t j = 0; j < line->words.count; j++)
            buffer_append_format(&out, " %s", line->words.items[j].data);
        buffer_append_text(&out, "\n");
    }
    buffer_append(&out, "", 1);
    assert_string_equal(out.data, expected);
    buffer_free(&out);
}

static void comments_blanks_quotes_and_crlf_are_understood(void **state)
{
    (void)state;
    write_file("a.conf", "# comment\n\n  Port 7000\r\n\tdir \"a b\"  \r\n   # more\nsave ''\nlast x");
    struct config_file config = {0};
    assert_int_equal(config_file_read(&config, "a.conf", NULL), STATUS_OK);
    assert_lines(&config, "a.conf:3 port 7000\na.conf:4 dir a b\na.conf:6 save \na.conf:7 last x\n");
    assert_int_equal(config_file_read_text(&config, slice_from_text("port 1\n"), "command line",
                                           NULL),
                     STATUS_OK);
    assert_int_equal(config.count, 5);
    assert_string_equal(config.lines[4].file, "command line");
    config_file_free(&config);
    assert_int_equal(config.count, 0);
}

static void an_include_stands_where_it_is_named(void **state)
{
    (void)state;
    assert_int_equal(mkdir("conf.d", 0700), 0);
    write_file("a.conf", "one 1\ninclude b.conf\ntwo 2\nINCLUDE conf.d/*.conf\ninclude none/*.x\n");
    write_file("b.conf", "three 3\n");
    write_file("conf.d/2.conf", "five 5\n");
    write_file("conf.d/1.conf", "four 4\n");
    struct config_file config = {0};
    assert_int_equal(config_file_read(&config, "a.conf", NULL), STATUS_OK);
    assert_lines(&config, "a.conf:1 one 1\nb.conf:1 three 3\na.conf:3 two 2\n"
                          "conf.d/1.conf:1 four 4\nconf.d/2.conf:1 five 5\n");
    config_file_free(&config);
}

static void assert_read_fails(const char *name, enum status status, const char *place)
{
    struct config_file config = {0};
    struct error error;
    assert_int_equal(config_file_read(&config, name, &error), status);
    assert_non_null(strstr(error.text, place));
    config_file_free(&config);
}

static void an_error_names_file_and_line(void **state)
{
    (void)state;
    write_file("a.conf", "port 1\ndir \"x\n");
    assert_read_fails("a.conf", STATUS_INVALID, "a.conf:2: unbalanced quotes");
    write_file("a.conf", "include\n");
    assert_read_fails("a.conf", STATUS_INVALID, "a.conf:1: ");
    write_file("a.conf", "include a b\n");
    assert_read_fails("a.conf", STATUS_INVALID, "a.conf:1: ");
    write_file("a.conf", "\n\ninclude missing.conf\n");
    assert_read_fails("a.conf", STATUS_IO_ERROR, "a.conf:3: cannot open missing.conf");
    assert_read_fails("missing.conf", STATUS_IO_ERROR, "missing.conf");
    assert_read_fails(".", STATUS_IO_ERROR, "cannot read .");
}

static void a_file_that_includes_itself_is_refused(void **state)
{
    (void)state;
    write_file("a.conf", "port 1\ninclude a.conf\n");
    assert_read_fails("a.conf", STATUS_INVALID, "nested too deeply");
}

static void assert_arguments(int count, char *const *arguments, const char *expected)
{
    struct buffer out = {0};
    assert_int_equal(config_file_arguments(&out, count, arguments, NULL), STATUS_OK);
    buffer_append(&out, "", 1);
    assert_string_equal(out.data, expected);
    buffer_free(&out);
}

#define ARGUMENTS(...) (int)(sizeof(char *[]){__VA_ARGS__} / sizeof(char *)), (char *[]){__VA_ARGS__}

static void arguments_become_lines(void **state)
{
    (void)state;
    assert_arguments(ARGUMENTS("--port", "0", "--bind", "a", "b c"),
                     "port \"0\"\nbind \"a\" \"b c\"\n");
    assert_arguments(ARGUMENTS("--requirepass", "--x", "--port 1", "--dir", ""),
                     "requirepass \"--x\"\nport 1\ndir \"\"\n");
    assert_arguments(ARGUMENTS("--save", "--port", "1", "--save"),
                     "save \"\"\nport \"1\"\nsave \"\"\n");
    assert_arguments(0, NULL, "");
    struct buffer out = {0};
    struct error error;
    assert_int_equal(config_file_arguments(&out, ARGUMENTS("port", "1"), &error), STATUS_INVALID);
    assert_non_null(strstr(error.text, "'port'"));
    buffer_free(&out);
}

static void a_word_is_quoted_only_where_needed(void **state)
{
    (void)state;
    struct buffer out = {0};
    static const char *const words[] = {"a/b-c.1", "", "a b", "#x", "x#", "it's", "\xff"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        config_file_append_word(&out, slice_from_text(words[i]));
        buffer_append_text(&out, "|");
    }
    buffer_append(&out, "", 1);
    assert_string_equal(out.data, "a/b-c.1|\"\"|\"a b\"|\"#x\"|x#|\"it's\"|\"\\xff\"|");
    buffer_free(&out);
}

static const struct slice two_lines[] = {{"normal 0 0 0", 12}, {"pubsub 1 2 3", 12}};
static const struct slice port_text = {"7001", 4};
static const struct slice dir_text = {"\"a b\"", 5};
static const struct config_value values[] = {
    {"port", NULL, &port_text, 1, false},
    {"limit", "old-limit", two_lines, 2, false},
    {"dir", NULL, &dir_text, 1, false},
    {"gone", NULL, NULL, 0, false},
    {"timeout", NULL, &port_text, 1, true},
};
enum { VALUES = sizeof values / sizeof *values };

static void a_rewrite_keeps_what_is_not_an_option_of_ours(void **state)
{
    (void)state;
    write_file("a.conf", "# head\n\nport 7000\ninclude x.conf\nmine 1 # 2\n# port 1\nport 3\n"
                         "gone 1\nOLD-LIMIT normal 1 1 1\nbroken \"line\n");
    assert_int_equal(config_file_rewrite("a.conf", values, VALUES, NULL), STATUS_OK);
    assert_file("a.conf", "# head\n\nport 7001\ninclude x.conf\nmine 1 # 2\n# port 1\n"
                          "limit normal 0 0 0\nbroken \"line\n"
                          "# Generated by CONFIG REWRITE\nlimit pubsub 1 2 3\ndir \"a b\"\n");
    assert_int_equal(count_files(), 1);
}

static void a_second_rewrite_changes_nothing(void **state)
{
    (void)state;
    static const char text[] = "limit  normal 0 0 0 \nPORT '7001'\n# Generated by CONFIG REWRITE\n"
                               "dir 'a b'\r\nlimit pubsub 1 2 3\n";
    write_file("a.conf", text);
    assert_int_equal(config_file_rewrite("a.conf", values, VALUES, NULL), STATUS_OK);
    assert_file("a.conf", text);
}

static void new_lines_go_below_one_mark(void **state)
{
    (void)state;
    write_file("a.conf", "# Generated by CONFIG REWRITE\nport 1\r\ntimeout 5");
    assert_int_equal(config_file_rewrite("a.conf", values, VALUES, NULL), STATUS_OK);
    assert_file("a.conf", "# Generated by CONFIG REWRITE\nport 7001\r\ntimeout 7001\n"
                          "limit normal 0 0 0\nlimit pubsub 1 2 3\ndir \"a b\"\n");
}

static void a_missing_file_is_created(void **state)
{
    (void)state;
    assert_int_equal(config_file_rewrite("new.conf", values, 1, NULL), STATUS_OK);
    assert_file("new.conf", "# Generated by CONFIG REWRITE\nport 7001\n");
    assert_int_equal(count_files(), 1);
}

static void mode_and_symbolic_link_are_kept(void **state)
{
    (void)state;
    struct stat facts;
    write_file("a.conf", "port 1\n");
    assert_int_equal(chmod("a.conf", 0640), 0);
    assert_int_equal(symlink("a.conf", "link.conf"), 0);
    assert_int_equal(config_file_rewrite("link.conf", values, 1, NULL), STATUS_OK);
    assert_file("a.conf", "port 7001\n");
    assert_int_equal(lstat("link.conf", &facts), 0);
    assert_true(S_ISLNK(facts.st_mode));
    assert_int_equal(stat("a.conf", &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0640);
}

static void a_rewrite_that_fails_leaves_the_old_file_alone(void **state)
{
    (void)state;
    struct error error;
    struct rlimit before, small;
    write_file("a.conf", "port 1\n");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4; /* the disk is "full" after 4 bytes */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum status status = config_file_rewrite("a.conf", values, VALUES, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, STATUS_IO_ERROR);
    assert_non_null(strstr(error.text, "cannot write"));
    assert_file("a.conf", "port 1\n");
    assert_int_equal(count_files(), 1);
    assert_int_equal(config_file_rewrite("no/folder/a.conf", values, VALUES, &error),
                     STATUS_IO_ERROR);
    assert_int_equal(config_file_rewrite(".", values, VALUES, &error), STATUS_IO_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comments_blanks_quotes_and_crlf_are_understood,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(an_include_stands_where_it_is_named,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(an_error_names_file_and_line, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_file_that_includes_itself_is_refused,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(arguments_become_lines, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_word_is_quoted_only_where_needed,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_rewrite_keeps_what_is_not_an_option_of_ours,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_second_rewrite_changes_nothing,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(new_lines_go_below_one_mark, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_missing_file_is_created, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(mode_and_symbolic_link_are_kept,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_rewrite_that_fails_leaves_the_old_file_alone,
                                        enter_folder, leave_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
