/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows of the scripting family: what a server without any script or function answers. The facts
 * are those that Redis 7.0 tells in COMMAND INFO and COMMAND DOCS. */
#include "commands/families.h"
#include "commands/server.h"
#include "commands/row.h"

static const struct command function_rows[] = {
    {.name = "delete", .handler = function_delete, .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_NOSCRIPT,
     .categories = "@write @slow @scripting",
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Deletes a library of functions",
     .tips = "request_policy:all_shards response_policy:all_succeeded",
     ARGUMENTS(
         {.name = "library-name", .type = "string", .key_spec = -1})},
    {.name = "dump", .handler = function_dump, .arity = 2,
     .flags = COMMAND_NOSCRIPT,
     .categories = "@slow @scripting",
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(N) where N is the number of functions",
     .summary = "Dumps all functions"},
    {.name = "flush", .handler = function_flush, .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_NOSCRIPT,
     .categories = "@write @slow @scripting",
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(N) where N is the number of functions deleted",
     .summary = "Deletes all functions",
     .tips = "request_policy:all_shards response_policy:all_succeeded",
     ARGUMENTS(
         {.name = "async", .type = "oneof", .flags = "optional", .key_spec = -1,
          ARGUMENTS_2(
              {.name = "async", .type = "pure-token", .token = "ASYNC", .key_spec = -1},
              {.name = "sync", .type = "pure-token", .token = "SYNC", .key_spec = -1})})},
    {.name = "help", .handler = function_help, .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .categories = "@slow @scripting",
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "kill", .handler = function_kill, .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_ALLOW_BUSY,
     .categories = "@slow @scripting",
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Ends the function that runs",
     .tips = "request_policy:all_shards response_policy:one_succeeded"},
    {.name = "list", .handler = function_list, .arity = -2,
     .flags = COMMAND_NOSCRIPT,
     .categories = "@slow @scripting",
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(N) where N is the number of functions",
     .summary = "Lists all functions",
     .tips = "nondeterministic_output_order",
     ARGUMENTS(
         {.name = "library-name-pattern", .type = "string", .token = "LIBRARYNAME",
          .flags = "optional", .key_spec = -1},
         {.name = "withcode", .type = "pure-token", .token = "WITHCODE", .flags = "optional",
          .key_spec = -1})},
    {.name = "stats", .handler = function_stats, .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_ALLOW_BUSY,
     .categories = "@slow @scripting",
     .group = "scripting", .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Tells which function runs",
     .tips = "nondeterministic_output request_policy:all_shards response_policy:special"},
};

static const struct command script_rows[] = {
    {.name = "exists", .handler = script_exists, .arity = -3,
     .flags = COMMAND_NOSCRIPT,
     .categories = "@slow @scripting",
     .group = "scripting", .since = "2.6.0",
     .complexity = "O(N) with N being the number of scripts to check (so checking a single "
                   "script is an O(1) operation).",
     .summary = "Tells which scripts are known",
     .tips = "request_policy:all_shards response_policy:agg_logical_and",
     ARGUMENTS(
         {.name = "sha1", .type = "string", .flags = "multiple", .key_spec = -1})},
    {.name = "flush", .handler = script_flush, .arity = -2,
     .flags = COMMAND_NOSCRIPT,
     .categories = "@slow @scripting",
     .group = "scripting", .since = "2.6.0",
     .complexity = "O(N) with N being the number of scripts in cache",
     .summary = "Forgets all scripts",
     .tips = "request_policy:all_nodes response_policy:all_succeeded",
     .history = "6.2.0:Takes `ASYNC` and `SYNC`.",
     ARGUMENTS(
         {.name = "async", .type = "oneof", .since = "6.2.0", .flags = "optional",
          .key_spec = -1,
          ARGUMENTS_2(
              {.name = "async", .type = "pure-token", .token = "ASYNC", .key_spec = -1},
              {.name = "sync", .type = "pure-token", .token = "SYNC", .key_spec = -1})})},
    {.name = "help", .handler = script_help, .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .categories = "@slow @scripting",
     .group = "scripting", .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "kill", .handler = script_kill, .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_ALLOW_BUSY,
     .categories = "@slow @scripting",
     .group = "scripting", .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Ends the script that runs",
     .tips = "request_policy:all_shards response_policy:one_succeeded"},
};

static const struct command rows[] = {
    {.name = "function", .handler = NULL, .arity = -2,
     .categories = "@slow",
     .group = "scripting", .since = "7.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "Groups the commands about functions",
     SUBCOMMANDS(function_rows)},
    {.name = "script", .handler = NULL, .arity = -2,
     .categories = "@slow",
     .group = "scripting", .since = "2.6.0",
     .complexity = "Depends on subcommand.",
     .summary = "Groups the commands about scripts",
     SUBCOMMANDS(script_rows)},
};

const struct command_family scripting_family = {rows, sizeof rows / sizeof *rows};
