/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows of the transaction family. The facts are those that Redis 7.0 tells in COMMAND INFO and
 * COMMAND DOCS. */
#include "commands/families.h"
#include "commands/transaction.h"
#include "commands/row.h"

static const struct command rows[] = {
    {.name = "discard", .handler = command_discard, .arity = 1,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST |
              COMMAND_ALLOW_BUSY | COMMAND_IN_MULTI,
     .categories = "@fast @transaction",
     .group = "transactions", .since = "2.0.0",
     .complexity = "O(N), when N is the number of queued commands",
     .summary = "Throws the queued commands away"},
    {.name = "exec", .handler = command_exec, .arity = 1,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_SKIP_SLOWLOG |
              COMMAND_IN_MULTI,
     .categories = "@slow @transaction",
     .group = "transactions", .since = "1.2.0",
     .complexity = "Depends on commands in the transaction",
     .summary = "Runs the queued commands as one"},
    {.name = "multi", .handler = command_multi, .arity = 1,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST |
              COMMAND_ALLOW_BUSY | COMMAND_IN_MULTI,
     .categories = "@fast @transaction",
     .group = "transactions", .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Begins a transaction: commands are queued until EXEC"},
    {.name = "unwatch", .handler = command_unwatch, .arity = 1,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST |
              COMMAND_ALLOW_BUSY,
     .categories = "@fast @transaction",
     .group = "transactions", .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Forgets all watched keys"},
    {.name = "watch", .handler = command_watch, .arity = -2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST |
              COMMAND_ALLOW_BUSY | COMMAND_IN_MULTI | COMMAND_NEEDS_VALUES,
     .first_key = 1, .last_key = -1, .key_step = 1,
     .categories = "@fast @transaction",
     .group = "transactions", .since = "2.2.0",
     .complexity = "O(1) for every key.",
     .summary = "Watches keys: EXEC does nothing when one of them was changed before",
     KEYS({.flags = "RO", .begin_index = 1, .last = -1, .step = 1}),
     ARGUMENTS(
         {.name = "key", .type = "key", .flags = "multiple", .key_spec = 0})},
};

const struct command_family transaction_family = {rows, sizeof rows / sizeof *rows};
