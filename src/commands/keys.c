/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Commands on keys of any type: deleting, counting, renaming, copying. Their rows ask for the old
 * records, so that these are there when a handler runs. Loop thread. */
#include "commands/keys.h"

#include "commands/argument.h"

#include <limits.h>

bool keys_peek(struct command_run *run, unsigned number, struct slice key, bool *exists,
               struct key_view *view)
{
    enum found found = keyspace_peek(&run->access, number, key, view);
    if (!run_found(run, found)) return false;
    *exists = found == FOUND;
    if (run->command->flags & COMMAND_READONLY) run_count_lookup(run, *exists);
    return true;
}

bool keys_get_int(struct command_run *run, struct slice text, const char *error, int *out)
{
    int64_t value;
    if (!slice_to_int64(text, &value)) {
        if (error)
            reply_error_format(run->reply, "ERR %s", error);
        else
            reply_error(run->reply, "ERR value is not an integer or out of range");
        return false;
    }
    if (value < INT_MIN || value > INT_MAX) {
        if (error)
            reply_error_format(run->reply, "ERR %s", error);
        else
            reply_error_format(run->reply,
                               "ERR value is out of range, value must between %d and %d", INT_MIN,
                               INT_MAX);
        return false;
    }
    *out = (int)value;
    return true;
}

/* --- how many --- */

static void delete_keys(struct command_run *run)
{
    int64_t deleted = 0;
    for (int i = 1; i < run->argc; i++) {
        bool exists;
        struct key_view view;
        if (!keys_peek(run, run_database(run), run->argv[i], &exists, &view)) return;
        if (!exists) continue;
        keyspace_delete(&run->access, run_database(run), run->argv[i]);
        deleted++;
    }
    reply_integer(run->reply, deleted);
}

/* DEL key [key ...] */
void keys_del(struct command_run *run)
{
    delete_keys(run);
}

/* UNLINK key [key ...]: DEL does not wait for memory either. */
void keys_unlink(struct command_run *run)
{
    delete_keys(run);
}

/* EXISTS key [key ...] */
void keys_exists(struct command_run *run)
{
    int64_t count = 0;
    for (int i = 1; i < run->argc; i++) {
        bool exists;
        struct key_view view;
        if (!keys_peek(run, run_database(run), run->argv[i], &exists, &view)) return;
        if (exists) count++;
    }
    reply_integer(run->reply, count);
}

/* TOUCH key [key ...] */
void keys_touch(struct command_run *run)
{
    int64_t count = 0;
    for (int i = 1; i < run->argc; i++) {
        bool exists;
        struct key_view view;
        if (!run_get_key(run, run->argv[i], &exists, &view)) return;
        if (exists) count++;
    }
    reply_integer(run->reply, count);
}

const char *keys_type_name(uint8_t type)
{
    static const char *const names[] = {
        [VALUE_STRING] = "string", [VALUE_LIST] = "list", [VALUE_SET] = "set",
        [VALUE_ZSET] = "zset",     [VALUE_HASH] = "hash", [VALUE_STREAM] = "stream",
    };
    return type < sizeof names / sizeof *names ? names[type] : "unknown";
}

/* TYPE key */
void keys_type(struct command_run *run)
{
    bool exists;
    struct key_view view;
    if (!keys_peek(run, run_database(run), run->argv[1], &exists, &view)) return;
    reply_status(run->reply, exists ? keys_type_name(view.type) : "none");
}

/* --- to another place --- */

static void rename_key(struct command_run *run, bool only_if_free)
{
    struct slice from = run->argv[1], to = run->argv[2];
    unsigned number = run_database(run);
    bool exists;
    struct key_view view, other;
    if (!keys_peek(run, number, from, &exists, &view)) return;
    if (!exists) {
        reply_error(run->reply, "ERR no such key");
        return;
    }
    bool taken = true;
    bool same = slice_equal(from, to);
    if (!same && only_if_free && !keys_peek(run, number, to, &taken, &other)) return;
    if (only_if_free && taken) {
        reply_integer(run->reply, 0);
        return;
    }
    if (!same) keyspace_move(&run->access, number, from, &view, number, to);
    if (only_if_free)
        reply_integer(run->reply, 1);
    else
        reply_ok(run->reply);
}

/* RENAME key newkey */
void keys_rename(struct command_run *run)
{
    rename_key(run, false);
}

/* RENAMENX key newkey */
void keys_renamenx(struct command_run *run)
{
    rename_key(run, true);
}

/* A database's number. False: the error has been replied. */
static bool get_database(struct command_run *run, struct slice text, unsigned *number)
{
    int value;
    if (!keys_get_int(run, text, NULL, &value)) return false;
    if (value < 0 || (unsigned)value >= keyspace_database_count(run->access.keyspace)) {
        reply_error(run->reply, "ERR DB index is out of range");
        return false;
    }
    *number = (unsigned)value;
    return true;
}

/* MOVE key db */
void keys_move(struct command_run *run)
{
    struct slice key = run->argv[1];
    unsigned from = run_database(run), to;
    bool exists, taken;
    struct key_view view, other;
    if (!get_database(run, run->argv[2], &to)) return;
    if (from == to) {
        reply_error(run->reply, "ERR source and destination objects are the same");
        return;
    }
    if (!keys_peek(run, from, key, &exists, &view)) return;
    if (exists && !keys_peek(run, to, key, &taken, &other)) return;
    if (!exists || taken) {
        reply_integer(run->reply, 0);
        return;
    }
    keyspace_move(&run->access, from, key, &view, to, key);
    reply_integer(run->reply, 1);
}

struct copy_options {
    unsigned number;
    bool replace;
};

static bool copy_parse(struct command_run *run, struct copy_options *options)
{
    *options = (struct copy_options){.number = run_database(run)};
    for (int i = 3; i < run->argc; i++) {
        if (argument_is(run->argv[i], "replace")) {
            options->replace = true;
        } else if (argument_is(run->argv[i], "db") && i + 1 < run->argc) {
            if (!get_database(run, run->argv[++i], &options->number)) return false;
        } else {
            run_syntax_error(run);
            return false;
        }
    }
    return true;
}

/* COPY source destination [DB destination-db] [REPLACE] */
void keys_copy(struct command_run *run)
{
    struct slice from = run->argv[1], to = run->argv[2];
    unsigned number = run_database(run);
    struct copy_options options;
    bool exists, taken;
    struct key_view view, other;
    if (!copy_parse(run, &options)) return;
    if (options.number == number && slice_equal(from, to)) {
        reply_error(run->reply, "ERR source and destination objects are the same");
        return;
    }
    if (!run_get_key(run, from, &exists, &view)) return;
    run_count_lookup(run, exists);
    if (exists && !keys_peek(run, options.number, to, &taken, &other)) return;
    if (!exists || (taken && !options.replace)) {
        reply_integer(run->reply, 0);
        return;
    }
    if (run_found(run, keyspace_copy(&run->access, number, from, &view, options.number, to)))
        reply_integer(run->reply, 1);
}
