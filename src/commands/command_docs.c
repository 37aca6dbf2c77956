/* SPDX-License-Identifier: BSD-3-Clause
 *
 * COMMAND DOCS, and the page of the documentation that lists all commands. Loop thread. */
#include "commands/argument.h"
#include "commands/server.h"
#include "commands/words.h"

#include <ctype.h>

static void reply_field(struct reply *reply, const char *name, const char *value)
{
    if (!value) return;
    reply_bulk_text(reply, name);
    reply_bulk_text(reply, value);
}

static void reply_arguments(struct reply *reply, const struct command_argument *arguments,
                            int count);

static void reply_argument(struct reply *reply, const struct command_argument *argument)
{
    uint64_t pairs = 2u + (argument->key_spec >= 0) + (argument->token != NULL) +
                     (argument->summary != NULL) + (argument->since != NULL) +
                     (argument->deprecated_since != NULL) + (argument->flags != NULL) +
                     (argument->argument_count > 0);
    reply_map(reply, pairs);
    reply_field(reply, "name", argument->name);
    reply_field(reply, "type", argument->type);
    if (argument->key_spec >= 0) {
        reply_bulk_text(reply, "key_spec_index");
        reply_integer(reply, argument->key_spec);
    }
    reply_field(reply, "token", argument->token);
    reply_field(reply, "summary", argument->summary);
    reply_field(reply, "since", argument->since);
    reply_field(reply, "deprecated_since", argument->deprecated_since);
    if (argument->flags) {
        reply_bulk_text(reply, "flags");
        command_reply_words(reply, argument->flags, false);
    }
    if (argument->argument_count) {
        reply_bulk_text(reply, "arguments");
        reply_arguments(reply, argument->arguments, argument->argument_count);
    }
}

static void reply_arguments(struct reply *reply, const struct command_argument *arguments,
                            int count)
{
    reply_array(reply, (uint64_t)count);
    for (int i = 0; i < count; i++) reply_argument(reply, &arguments[i]);
}

static void reply_history(struct reply *reply, const char *history)
{
    struct slice rest = words_begin(history), change = {0}, version = {0};
    reply_bulk_text(reply, "history");
    reply_set(reply, words_count(history, '|'));
    while (words_next(&rest, '|', &change)) {
        words_next(&change, ':', &version);
        reply_array(reply, 2);
        reply_bulk(reply, version);
        reply_bulk(reply, change);
    }
}

static void reply_doc_flags(struct reply *reply, const struct command *command)
{
    reply_bulk_text(reply, "doc_flags");
    bool syscmd = (command->flags & COMMAND_SYSCMD) != 0;
    reply_set(reply, 0u + (command->deprecated_since != NULL) + syscmd);
    if (command->deprecated_since) reply_status(reply, "deprecated");
    if (syscmd) reply_status(reply, "syscmd");
}

/* The name and what there is to say of it: one pair of a map. */
static void reply_docs(struct reply *reply, const struct command *command)
{
    bool doc_flags = command->deprecated_since || (command->flags & COMMAND_SYSCMD);
    uint64_t pairs = 3u + (command->complexity != NULL) + doc_flags +
                     (command->deprecated_since != NULL) + (command->replaced_by != NULL) +
                     (command->history != NULL) + (command->argument_count > 0) +
                     (command->subcommand_count > 0);
    reply_bulk_text(reply, command_full_name(command));
    reply_map(reply, pairs);
    reply_field(reply, "summary", command->summary);
    reply_field(reply, "since", command->since);
    reply_field(reply, "group", command->group);
    reply_field(reply, "complexity", command->complexity);
    if (doc_flags) reply_doc_flags(reply, command);
    reply_field(reply, "deprecated_since", command->deprecated_since);
    reply_field(reply, "replaced_by", command->replaced_by);
    if (command->history) reply_history(reply, command->history);
    if (command->argument_count) {
        reply_bulk_text(reply, "arguments");
        reply_arguments(reply, command->arguments, command->argument_count);
    }
    if (command->subcommand_count) {
        reply_bulk_text(reply, "subcommands");
        reply_map(reply, (uint64_t)command->subcommand_count);
        for (int i = 0; i < command->subcommand_count; i++)
            reply_docs(reply, &command->subcommands[i]);
    }
}

/* COMMAND DOCS [command-name ...]; unknown names are left out. */
void command_docs(struct command_run *run)
{
    if (run->argc == 2) {
        reply_map(run->reply, (uint64_t)command_count());
        for (int i = 0; i < command_count(); i++) reply_docs(run->reply, command_at(i));
        return;
    }
    struct reply_deferred deferred = reply_defer(run->reply);
    uint64_t count = 0;
    for (int i = 2; i < run->argc; i++) {
        const struct command *command = command_find_full(run->argv[i]);
        if (!command) continue;
        reply_docs(run->reply, command);
        count++;
    }
    reply_defer_map(run->reply, deferred, count);
}

/* --- the page --- */

static void write_name(const struct command *command, struct buffer *out)
{
    for (const char *p = command_full_name(command); *p; p++) {
        char letter = *p == '|' ? ' ' : (char)toupper((unsigned char)*p);
        buffer_append(out, &letter, 1);
    }
}

static void write_row(const struct command *command, struct buffer *out)
{
    if (!command->subcommand_count || command->handler) {
        buffer_append_text(out, "| `");
        write_name(command, out);
        buffer_append_format(out, "` | %s | %s |\n", command->summary,
                             command->flags & COMMAND_KELVIN ? "ours" : command->since);
    }
    for (int i = 0; i < command->subcommand_count; i++) write_row(&command->subcommands[i], out);
}

/* True when no row before has the group. */
static bool begins_group(int index)
{
    for (int i = 0; i < index; i++)
        if (strcmp(command_at(i)->group, command_at(index)->group) == 0) return false;
    return true;
}

void command_write_page(struct buffer *out)
{
    for (int i = 0; i < command_count(); i++) {
        const char *group = command_at(i)->group;
        if (!begins_group(i)) continue;
        buffer_append_format(out, "\n### %s\n\n| Command | | Since Redis |\n|---|---|---|\n",
                             group);
        for (int k = i; k < command_count(); k++)
            if (strcmp(command_at(k)->group, group) == 0) write_row(command_at(k), out);
    }
}
