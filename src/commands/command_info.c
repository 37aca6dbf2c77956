/* SPDX-License-Identifier: BSD-3-Clause
 *
 * COMMAND INFO, LIST, COUNT: the rows of the command table as clients see them. Loop thread. */
#include "base/glob.h"
#include "commands/argument.h"
#include "commands/server.h"
#include "commands/words.h"

#include <stdio.h>

/* The flags that are shown, in the order in which Redis shows them. */
static const struct {
    unsigned flag;
    const char *name;
} shown_flags[] = {
    {COMMAND_WRITE, "write"},
    {COMMAND_READONLY, "readonly"},
    {COMMAND_DENYOOM, "denyoom"},
    {COMMAND_ADMIN, "admin"},
    {COMMAND_PUBSUB, "pubsub"},
    {COMMAND_NOSCRIPT, "noscript"},
    {COMMAND_BLOCKING, "blocking"},
    {COMMAND_LOADING, "loading"},
    {COMMAND_STALE, "stale"},
    {COMMAND_SKIP_MONITOR, "skip_monitor"},
    {COMMAND_SKIP_SLOWLOG, "skip_slowlog"},
    {COMMAND_ASKING, "asking"},
    {COMMAND_FAST, "fast"},
    {COMMAND_NO_AUTH, "no_auth"},
    {COMMAND_NO_MANDATORY_KEYS, "no_mandatory_keys"},
    {COMMAND_NO_ASYNC_LOADING, "no_async_loading"},
    {COMMAND_NO_MULTI, "no_multi"},
    {COMMAND_MOVABLEKEYS, "movablekeys"},
    {COMMAND_ALLOW_BUSY, "allow_busy"},
};

static void reply_flags(struct reply *reply, unsigned flags)
{
    size_t known = sizeof shown_flags / sizeof *shown_flags;
    uint64_t count = 0;
    for (size_t i = 0; i < known; i++) count += (flags & shown_flags[i].flag) != 0;
    reply_set(reply, count);
    for (size_t i = 0; i < known; i++)
        if (flags & shown_flags[i].flag) reply_status(reply, shown_flags[i].name);
}

void command_reply_words(struct reply *reply, const char *words, bool bulk)
{
    struct slice rest = words_begin(words), word;
    reply_set(reply, words_count(words, ' '));
    while (words_next(&rest, ' ', &word)) {
        char text[64];
        if (bulk) {
            reply_bulk(reply, word);
            continue;
        }
        (void)snprintf(text, sizeof text, "%.*s", (int)word.size, word.data);
        reply_status(reply, text);
    }
}

static void reply_number(struct reply *reply, const char *name, int64_t value)
{
    reply_bulk_text(reply, name);
    reply_integer(reply, value);
}

static void reply_type(struct reply *reply, const char *type, uint64_t pairs)
{
    reply_map(reply, 2);
    reply_bulk_text(reply, "type");
    reply_bulk_text(reply, type);
    reply_bulk_text(reply, "spec");
    reply_map(reply, pairs);
}

static void reply_begin_search(struct reply *reply, const struct key_spec *spec)
{
    reply_bulk_text(reply, "begin_search");
    if (spec->begin_keyword) {
        reply_type(reply, "keyword", 2);
        reply_bulk_text(reply, "keyword");
        reply_bulk_text(reply, spec->begin_keyword);
        reply_number(reply, "startfrom", spec->keyword_start);
    } else if (spec->begin_index) {
        reply_type(reply, "index", 1);
        reply_number(reply, "index", spec->begin_index);
    } else {
        reply_type(reply, "unknown", 0);
    }
}

static void reply_find_keys(struct reply *reply, const struct key_spec *spec)
{
    reply_bulk_text(reply, "find_keys");
    if (spec->step) {
        reply_type(reply, "range", 3);
        reply_number(reply, "lastkey", spec->last);
        reply_number(reply, "keystep", spec->step);
        reply_number(reply, "limit", spec->limit);
    } else if (spec->keynum_step) {
        reply_type(reply, "keynum", 3);
        reply_number(reply, "keynumidx", spec->keynum_index);
        reply_number(reply, "firstkey", spec->keynum_first);
        reply_number(reply, "keystep", spec->keynum_step);
    } else {
        reply_type(reply, "unknown", 0);
    }
}

static void reply_key_specs(struct reply *reply, const struct command *command)
{
    reply_set(reply, (uint64_t)command->key_spec_count);
    for (int i = 0; i < command->key_spec_count; i++) {
        const struct key_spec *spec = &command->key_specs[i];
        reply_map(reply, spec->notes ? 4 : 3);
        if (spec->notes) {
            reply_bulk_text(reply, "notes");
            reply_bulk_text(reply, spec->notes);
        }
        reply_bulk_text(reply, "flags");
        command_reply_words(reply, spec->flags, false);
        reply_begin_search(reply, spec);
        reply_find_keys(reply, spec);
    }
}

static void reply_info(struct reply *reply, const struct command *command)
{
    reply_array(reply, 10);
    reply_bulk_text(reply, command_full_name(command));
    reply_integer(reply, command->arity);
    reply_flags(reply, command->flags);
    reply_integer(reply, command->first_key);
    reply_integer(reply, command->last_key);
    reply_integer(reply, command->key_step);
    command_reply_words(reply, command->categories, false);
    command_reply_words(reply, command->tips, true);
    reply_key_specs(reply, command);
    if (!command->subcommand_count) {
        reply_set(reply, 0);
        return;
    }
    reply_array(reply, (uint64_t)command->subcommand_count);
    for (int i = 0; i < command->subcommand_count; i++)
        reply_info(reply, &command->subcommands[i]);
}

const struct command *command_find_full(struct slice name)
{
    struct slice rest = argument_text(name), first, second, third;
    if (!words_next(&rest, '|', &first)) return NULL;
    const struct command *command = command_find(first);
    if (!command || !words_next(&rest, '|', &second)) return command;
    if (words_next(&rest, '|', &third)) return NULL;
    return command_find_sub(command, second);
}

/* COMMAND, COMMAND INFO */
static void reply_all(struct reply *reply)
{
    reply_array(reply, (uint64_t)command_count());
    for (int i = 0; i < command_count(); i++) reply_info(reply, command_at(i));
}

/* COMMAND */
void server_command(struct command_run *run)
{
    reply_all(run->reply);
}

/* COMMAND INFO [command-name ...] */
void command_info(struct command_run *run)
{
    if (run->argc == 2) {
        reply_all(run->reply);
        return;
    }
    reply_array(run->reply, (uint64_t)run->argc - 2);
    for (int i = 2; i < run->argc; i++) {
        const struct command *command = command_find_full(run->argv[i]);
        if (command)
            reply_info(run->reply, command);
        else
            reply_null(run->reply);
    }
}

/* COMMAND COUNT */
void command_count_all(struct command_run *run)
{
    reply_integer(run->reply, command_count());
}

enum list_filter { FILTER_NONE, FILTER_CATEGORY, FILTER_PATTERN };

static bool passes(const struct command *command, enum list_filter filter, struct slice argument)
{
    char category[32];
    (void)snprintf(category, sizeof category, "%.*s", (int)argument.size, argument.data);
    if (filter == FILTER_CATEGORY) return command_in_category(command, category);
    return filter == FILTER_NONE ||
           glob_match(argument, slice_from_text(command_full_name(command)), true);
}

static uint64_t list_filtered(struct reply *reply, const struct command *command,
                              enum list_filter filter, struct slice argument)
{
    uint64_t count = 0;
    if (passes(command, filter, argument)) {
        reply_bulk_text(reply, command_full_name(command));
        count++;
    }
    for (int i = 0; i < command->subcommand_count; i++)
        count += list_filtered(reply, &command->subcommands[i], filter, argument);
    return count;
}

/* COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern] */
void command_list(struct command_run *run)
{
    enum list_filter filter = FILTER_NONE;
    bool module = false;
    if (run->argc == 5 && argument_is(run->argv[2], "filterby")) {
        module = argument_is(run->argv[3], "module");
        if (argument_is(run->argv[3], "aclcat")) filter = FILTER_CATEGORY;
        if (argument_is(run->argv[3], "pattern")) filter = FILTER_PATTERN;
    }
    if (run->argc != 2 && !module && filter == FILTER_NONE) {
        run_syntax_error(run);
        return;
    }
    if (module) {
        reply_array(run->reply, 0);
        return;
    }
    struct reply_deferred deferred = reply_defer(run->reply);
    uint64_t count = 0;
    struct slice argument = filter == FILTER_NONE ? SLICE_LITERAL("") : run->argv[4];
    for (int i = 0; i < command_count(); i++)
        count += list_filtered(run->reply, command_at(i), filter, argument);
    reply_defer_array(run->reply, deferred, count);
}

/* COMMAND HELP */
void command_help(struct command_run *run)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}
