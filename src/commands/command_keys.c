/* SPDX-License-Identifier: BSD-3-Clause
 *
 * COMMAND GETKEYS and GETKEYSANDFLAGS: where the keys of a request are, for proxies and
 * cluster-aware clients. Loop thread. */
#include "base/memory.h"
#include "commands/argument.h"
#include "commands/key_positions.h"
#include "commands/server.h"

/* What a command does with a key may depend on its options: SET and BITFIELD. */
static const char *set_flags(const struct slice *argv, int argc)
{
    for (int i = 3; i < argc; i++)
        if (argument_is(argv[i], "get")) return "RW access update";
    return "OW update";
}

static const char *bitfield_flags(const struct slice *argv, int argc)
{
    for (int i = 2; i < argc; i++) {
        int more = argc - i - 1;
        if (argument_is(argv[i], "get") && more >= 2)
            i += 2;
        else if (argument_is(argv[i], "overflow") && more >= 1)
            i += 1;
        else
            return "RW access update";
    }
    return "RO access";
}

static const char *flags_of(const struct command *command, const struct key_spec *spec,
                            const struct slice *argv, int argc)
{
    if (!strstr(spec->flags, "variable_flags")) return spec->flags;
    if (strcmp(command->name, "set") == 0) return set_flags(argv, argc);
    if (strcmp(command->name, "bitfield") == 0) return bitfield_flags(argv, argc);
    return spec->flags;
}

/* The row of the request in argv; false: the error has been replied. */
static bool find_request(struct command_run *run, const struct slice *argv, int argc,
                         const struct command **out)
{
    const struct command *command = command_find(argv[0]);
    if (command && command->subcommand_count)
        command = argc > 1 ? command_find_sub(command, argv[1]) : command;
    if (!command) {
        reply_error(run->reply, "ERR Invalid command specified");
    } else if (!command->key_spec_count && !command->find_keys) {
        reply_error(run->reply, "ERR The command has no key arguments");
    } else if ((command->arity > 0 && command->arity != argc) || argc < -command->arity) {
        reply_error(run->reply, "ERR Invalid number of arguments specified for command");
    } else {
        *out = command;
        return true;
    }
    return false;
}

static void reply_key_flags(struct command_run *run, const struct command *command,
                            const struct slice *argv, int argc, int count)
{
    reply_array(run->reply, (uint64_t)count);
    for (int i = 0; i < command->key_spec_count; i++) {
        const struct key_spec *spec = &command->key_specs[i];
        struct key_range range;
        if (!key_spec_range(spec, argv, argc, &range)) continue;
        for (int k = 0; k < range.count; k++) {
            reply_array(run->reply, 2);
            reply_bulk(run->reply, argv[range.first + k * range.step]);
            command_reply_words(run->reply, flags_of(command, spec, argv, argc), false);
        }
    }
}

static void get_keys(struct command_run *run, bool with_flags)
{
    const struct slice *argv = run->argv + 2;
    int argc = run->argc - 2;
    const struct command *command;
    if (!find_request(run, argv, argc, &command)) return;
    int *indexes = mem_alloc((size_t)argc * sizeof *indexes);
    int count = command_key_indexes(command, argv, argc, indexes, argc);
    if (count < 0 && !(command->flags & COMMAND_NO_MANDATORY_KEYS)) {
        reply_error(run->reply, "ERR Invalid arguments specified for command");
    } else if (with_flags) {
        reply_key_flags(run, command, argv, argc, count < 0 ? 0 : count);
    } else {
        reply_array(run->reply, count < 0 ? 0 : (uint64_t)count);
        for (int i = 0; i < count; i++) reply_bulk(run->reply, argv[indexes[i]]);
    }
    mem_free(indexes);
}

/* COMMAND GETKEYS command [argument ...] */
void command_getkeys(struct command_run *run)
{
    get_keys(run, false);
}

/* COMMAND GETKEYSANDFLAGS command [argument ...] */
void command_getkeysandflags(struct command_run *run)
{
    get_keys(run, true);
}
