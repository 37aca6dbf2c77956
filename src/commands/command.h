/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command table: one row per command. Dispatch, prefetch, COMMAND, ACL categories, metrics and the
 * command page of the documentation all read that row. Handlers are plain functions named in the
 * row, so that a missing one fails to link. Loop thread. */
#ifndef KELVIN_COMMANDS_COMMAND_H
#define KELVIN_COMMANDS_COMMAND_H

#include "base/bytes.h"
#include "base/metric.h"

#include <stdbool.h>

struct command_run;

enum command_flag {
    /* Those that COMMAND shows, with Redis's names. */
    COMMAND_WRITE = 1 << 0,
    COMMAND_READONLY = 1 << 1,
    COMMAND_DENYOOM = 1 << 2,
    COMMAND_ADMIN = 1 << 3,
    COMMAND_PUBSUB = 1 << 4,
    COMMAND_NOSCRIPT = 1 << 5,
    COMMAND_BLOCKING = 1 << 6,
    COMMAND_LOADING = 1 << 7,
    COMMAND_STALE = 1 << 8,
    COMMAND_SKIP_MONITOR = 1 << 9,
    COMMAND_SKIP_SLOWLOG = 1 << 10,
    COMMAND_ASKING = 1 << 11,
    COMMAND_FAST = 1 << 12,
    COMMAND_NO_AUTH = 1 << 13,
    COMMAND_NO_MULTI = 1 << 15,
    COMMAND_MOVABLEKEYS = 1 << 16,
    COMMAND_ALLOW_BUSY = 1 << 17,
    COMMAND_NO_ASYNC_LOADING = 1 << 18,
    COMMAND_NO_MANDATORY_KEYS = 1 << 19,
    /* Our own, not shown. */
    COMMAND_NEEDS_VALUES = 1 << 24, /* dispatch loads all its keys before the handler runs */
    COMMAND_FREES = 1 << 25,        /* may use the reserve when the disk is full (DEL, EXPIRE, FLUSH) */
    COMMAND_KELVIN = 1 << 26,       /* not in Redis */
    COMMAND_MAY_REPLICATE = 1 << 14, /* CLIENT PAUSE WRITE stops it too, though it only reads */
    COMMAND_PROTECTED = 1 << 29,    /* only for whom server.is_permitted names */
    COMMAND_SYSCMD = 1 << 28,       /* COMMAND DOCS calls it a command for the system's own use */
    COMMAND_IN_MULTI = 1 << 27      /* runs at once inside MULTI (EXEC, DISCARD, WATCH, MULTI, QUIT, RESET) */
};

/* Key positions, as COMMAND INFO tells them. */
struct key_spec {
    const char *flags;       /* "RW access update", in Redis's order */
    int begin_index;         /* begin-search by index; 0: unknown (begin_keyword then) */
    const char *begin_keyword; /* begin-search by keyword, or NULL */
    int keyword_start;       /* where the search for it starts */
    int last, step, limit;   /* find-keys range; with step 0 find-keys by keynum: */
    int keynum_index, keynum_first, keynum_step;
    const char *notes;
};

/* Arguments, for COMMAND DOCS. */
struct command_argument {
    const char *name, *type, *token, *summary, *since, *flags; /* flags: "optional multiple" */
    const char *deprecated_since; /* or NULL */
    int key_spec;            /* -1: none */
    const struct command_argument *arguments; /* of a block or oneof */
    int argument_count;
};

struct command {
    const char *name; /* lower case; a subcommand's row has its own name alone ("getname") */
    void (*handler)(struct command_run *run);
    int arity;        /* as in Redis: negative is "at least" */
    unsigned flags;
    int first_key, last_key, key_step;
    const char *categories; /* "@write @string @slow" in Redis's order */
    const char *group, *since, *complexity, *summary;
    const char *tips;       /* separated by blanks, or NULL */
    const struct key_spec *key_specs;
    int key_spec_count;
    const struct command_argument *arguments;
    int argument_count;
    const char *history; /* "6.2.0:text|7.0.0:text", or NULL */
    const char *deprecated_since, *replaced_by; /* or NULL */
    const struct command *subcommands; /* NULL: none */
    int subcommand_count;
    /* For the rare command whose keys the numbers above do not tell (EVAL-like, MIGRATE): appends the
     * indexes; returns their number, -1 for invalid arguments. */
    int (*find_keys)(const struct slice *argv, int argc, int *indexes, int capacity);
};

/* Figures of one command; loop-owned. */
struct command_stats {
    struct counter calls, usec, rejected, failed;
    struct histogram latency_ns; /* in nanoseconds, whatever the histogram's own unit is */
};

/* All rows, in one array per family; the table is made of these. */
struct command_family {
    const struct command *rows;
    int count;
};

/* Builds the lookup table (perfect enough hash, case-insensitive); applies rename-command pairs
 * ("old", "new"; new "" removes). Start-up only. False and `*bad` when an old name is unknown or a
 * new one taken. */
bool command_table_init(const char *const (*renames)[2], size_t rename_count, const char **bad);
/* The row for a name in any case, or NULL. Fast. */
const struct command *command_find(struct slice name);
/* The row of the subcommand, or NULL. */
const struct command *command_find_sub(const struct command *command, struct slice name);
/* Walks all top-level rows (renamed ones under the new name); returns their number. */
int command_count(void);
const struct command *command_at(int index);
/* The name under which clients call it ("config|get" for a subcommand). Valid for ever. */
const char *command_full_name(const struct command *command);
/* Whether that many arguments, the name included, fit its arity. */
static inline bool command_takes(const struct command *command, int argc)
{
    return command->arity > 0 ? argc == command->arity : argc >= -command->arity;
}
/* `category` without its '@'. */
bool command_in_category(const struct command *command, const char *category);
struct command_stats *command_stats(const struct command *command);
/* Appends the indexes of all keys in argv. Returns their number; -1: none can be told. Never more
 * than argc. */
int command_key_indexes(const struct command *command, const struct slice *argv, int argc,
                        int *indexes, int capacity);
/* Appends the page of the documentation that lists all commands, in Markdown. */
void command_write_page(struct buffer *out);

#endif
