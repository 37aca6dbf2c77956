/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command table: finding rows, renaming, and where the keys of a request are. What is expected
 * of the rows are facts that Redis 7.0.15 tells. */
#include "commands/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MAX_ARGUMENTS = 16 };

static int build_table(void **state)
{
    const char *bad = NULL;
    (void)state;
    return command_table_init(NULL, 0, &bad) ? 0 : -1;
}

static const struct command *find(const char *name)
{
    return command_find(slice_from_text(name));
}

/* Splits "get a" at blanks. */
static int split(const char *request, struct slice *argv)
{
    int argc = 0;
    while (*request) {
        size_t size = strcspn(request, " ");
        argv[argc++] = slice_make(request, size);
        request += size + (request[size] == ' ');
    }
    return argc;
}

/* The keys of the request, joined by blanks; "-" where none can be told. */
static void assert_keys(const char *request, const char *expected)
{
    struct slice argv[MAX_ARGUMENTS];
    int indexes[MAX_ARGUMENTS];
    int argc = split(request, argv);
    const struct command *command = command_find(argv[0]);
    assert_non_null(command);
    if (command->subcommand_count) command = command_find_sub(command, argv[1]);
    assert_non_null(command);
    int count = command_key_indexes(command, argv, argc, indexes, MAX_ARGUMENTS);
    char keys[256] = "";
    for (int i = 0; i < count; i++) {
        if (i) strcat(keys, " ");
        strncat(keys, argv[indexes[i]].data, argv[indexes[i]].size);
    }
    assert_string_equal(count < 0 ? "-" : keys, expected);
}

static void a_name_is_found_in_any_case(void **state)
{
    (void)state;
    assert_non_null(find("get"));
    assert_ptr_equal(find("get"), find("GET"));
    assert_ptr_equal(find("get"), find("gEt"));
    assert_ptr_equal(find("pexpiretime"), find("PExpireTime"));
    assert_string_equal(find("SETEX")->name, "setex");
}

static void what_is_not_a_name_is_not_found(void **state)
{
    (void)state;
    static const char *const names[] = {"", "g", "ge", "gett", "get ", "g\x05t", "getrangex",
                                        "client|list", "pexpiretimf", "[et"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_null(find(names[i]));
    assert_null(command_find(slice_make("get\0", 4)));
    assert_null(command_find(slice_make(NULL, 0)));
}

static void every_row_is_found_by_its_own_name(void **state)
{
    (void)state;
    assert_true(command_count() > 80);
    for (int i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);
        assert_ptr_equal(find(command->name), command);
        assert_string_equal(command_full_name(command), command->name);
        assert_non_null(command->summary);
        assert_non_null(command->group);
        assert_non_null(command->since);
        assert_non_null(command->categories);
        assert_true(command->arity != 0);
        assert_true(command->handler || command->subcommand_count);
    }
}

static void a_subcommand_has_its_parent_in_its_full_name(void **state)
{
    (void)state;
    const struct command *client = find("client");
    const struct command *list = command_find_sub(client, slice_from_text("LIST"));
    assert_non_null(list);
    assert_string_equal(list->name, "list");
    assert_string_equal(command_full_name(list), "client|list");
    assert_null(command_find_sub(client, slice_from_text("lis")));
    assert_null(command_find_sub(find("get"), slice_from_text("list")));
}

static void each_row_has_figures_of_its_own(void **state)
{
    (void)state;
    const struct command *client = find("client");
    struct command_stats *one = command_stats(find("get"));
    struct command_stats *two = command_stats(command_find_sub(client, slice_from_text("id")));
    assert_ptr_not_equal(one, two);
    assert_ptr_not_equal(two, command_stats(client));
    counter_add(&one->calls, 3);
    assert_int_equal(counter_get(&command_stats(find("GET"))->calls), 3);
    assert_int_equal(counter_get(&two->calls), 0);
}

static void the_keys_of_a_request_are_where_redis_finds_them(void **state)
{
    (void)state;
    assert_keys("get a", "a");
    assert_keys("set a b ex 5", "a");
    assert_keys("mget a b c", "a b c");
    assert_keys("mset a 1 b 2", "a b");
    assert_keys("mset a 1 b", "a b");
    assert_keys("del a b", "a b");
    assert_keys("rename a b", "a b");
    assert_keys("copy a b replace", "a b");
    assert_keys("bitop and d a b", "d a b");
    assert_keys("bitop and", "-");
    assert_keys("lcs a b len", "a b");
    assert_keys("pfmerge d a b", "d a b");
    assert_keys("object encoding a", "a");
    assert_keys("memory usage a samples 5", "a");
    assert_keys("watch a b", "a b");
    assert_keys("ping", "");
    assert_keys("keys a*", "");
    assert_keys("client list", "");
}

static void more_keys_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    struct slice argv[MAX_ARGUMENTS];
    int indexes[2] = {-1, -1};
    int argc = split("del a b c", argv);
    assert_int_equal(command_key_indexes(find("del"), argv, argc, indexes, 2), -1);
}

static void a_category_is_told_without_its_sign(void **state)
{
    (void)state;
    assert_true(command_in_category(find("get"), "read"));
    assert_true(command_in_category(find("get"), "fast"));
    assert_false(command_in_category(find("get"), "write"));
    assert_false(command_in_category(find("get"), "@read"));
}

static void a_renamed_command_is_found_under_its_new_name_alone(void **state)
{
    (void)state;
    static const char *const renames[][2] = {{"FLUSHALL", "wipe"}, {"config", "settings"},
                                             {"keys", ""}, {"debug", ""}};
    const char *bad = NULL;
    assert_true(command_table_init(renames, 4, &bad));
    assert_null(find("flushall"));
    assert_null(find("keys"));
    assert_null(find("debug"));
    assert_string_equal(find("WIPE")->name, "flushall");
    assert_string_equal(command_full_name(find("wipe")), "wipe");
    const struct command *get = command_find_sub(find("settings"), slice_from_text("get"));
    assert_string_equal(command_full_name(get), "settings|get");
    for (int i = 0; i < command_count(); i++)
        assert_string_not_equal(command_at(i)->name, "keys");
}

static void a_rename_of_an_unknown_command_is_refused(void **state)
{
    (void)state;
    static const char *const renames[][2] = {{"nonsense", "x"}};
    const char *bad = NULL;
    assert_false(command_table_init(renames, 1, &bad));
    assert_string_equal(bad, "nonsense");
}

static void a_rename_to_a_name_in_use_is_refused(void **state)
{
    (void)state;
    static const char *const renames[][2] = {{"get", "SET"}};
    const char *bad = NULL;
    assert_false(command_table_init(renames, 1, &bad));
    assert_string_equal(bad, "get");
}

static void the_page_names_every_command(void **state)
{
    (void)state;
    struct buffer page = {0};
    command_write_page(&page);
    buffer_append(&page, "", 1);
    assert_non_null(strstr(page.data, "`GET`"));
    assert_non_null(strstr(page.data, "`CLIENT LIST`"));
    assert_non_null(strstr(page.data, "`CHECKPOINT`"));
    assert_null(strstr(page.data, "`CLIENT`"));
    buffer_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_name_is_found_in_any_case, build_table),
        cmocka_unit_test_setup(what_is_not_a_name_is_not_found, build_table),
        cmocka_unit_test_setup(every_row_is_found_by_its_own_name, build_table),
        cmocka_unit_test_setup(a_subcommand_has_its_parent_in_its_full_name, build_table),
        cmocka_unit_test_setup(each_row_has_figures_of_its_own, build_table),
        cmocka_unit_test_setup(the_keys_of_a_request_are_where_redis_finds_them, build_table),
        cmocka_unit_test_setup(more_keys_than_there_is_room_for_are_refused, build_table),
        cmocka_unit_test_setup(a_category_is_told_without_its_sign, build_table),
        cmocka_unit_test(a_renamed_command_is_found_under_its_new_name_alone),
        cmocka_unit_test(a_rename_of_an_unknown_command_is_refused),
        cmocka_unit_test(a_rename_to_a_name_in_use_is_refused),
        cmocka_unit_test_setup(the_page_names_every_command, build_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
