/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows of what watches other commands: SLOWLOG, LATENCY, MONITOR. The facts are those that Redis 7.0
 * tells in COMMAND INFO and COMMAND DOCS. */
#include "commands/families.h"
#include "commands/row.h"
#include "commands/server.h"

#define ADMIN_FLAGS (COMMAND_ADMIN | COMMAND_LOADING | COMMAND_STALE)
#define LATENCY_FLAGS (ADMIN_FLAGS | COMMAND_NOSCRIPT)
#define LATENCY_TIPS "nondeterministic_output request_policy:all_nodes response_policy:special"

static const struct command latency_rows[] = {
    {.name = "doctor", .handler = latency_doctor, .arity = 2, .flags = LATENCY_FLAGS,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Tells what took long, and what can be done about it",
     .tips = LATENCY_TIPS},
    {.name = "graph", .handler = latency_graph, .arity = 3, .flags = LATENCY_FLAGS,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Draws the samples of an event",
     .tips = LATENCY_TIPS,
     ARGUMENTS(
         {.name = "event", .type = "string", .key_spec = -1})},
    {.name = "help", .handler = latency_help, .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .categories = "@slow",
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "histogram", .handler = latency_histogram, .arity = -2, .flags = LATENCY_FLAGS,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "7.0.0",
     .complexity = "O(N) where N is the number of commands with latency information being "
                   "retrieved.",
     .summary = "Shows how the times of commands are distributed",
     .tips = LATENCY_TIPS,
     ARGUMENTS(
         {.name = "command", .type = "string", .flags = "optional multiple", .key_spec = -1})},
    {.name = "history", .handler = latency_history, .arity = 3, .flags = LATENCY_FLAGS,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Lists the samples of an event",
     .tips = LATENCY_TIPS,
     ARGUMENTS(
         {.name = "event", .type = "string", .key_spec = -1})},
    {.name = "latest", .handler = latency_latest, .arity = 2, .flags = LATENCY_FLAGS,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Lists the newest sample of each event",
     .tips = LATENCY_TIPS},
    {.name = "reset", .handler = latency_reset, .arity = -2, .flags = LATENCY_FLAGS,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Forgets the samples of events",
     .tips = "request_policy:all_nodes response_policy:all_succeeded",
     ARGUMENTS(
         {.name = "event", .type = "string", .flags = "optional multiple", .key_spec = -1})},
};

static const struct command slowlog_rows[] = {
    {.name = "get", .handler = slowlog_get, .arity = -2, .flags = ADMIN_FLAGS,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "2.2.12",
     .complexity = "O(N) where N is the number of entries returned",
     .summary = "Lists the newest entries of the slow log",
     .tips = "request_policy:all_nodes nondeterministic_output",
     .history = "4.0.0:Tells the client's address and name.",
     ARGUMENTS(
         {.name = "count", .type = "integer", .flags = "optional", .key_spec = -1})},
    {.name = "help", .handler = slowlog_help, .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .categories = "@slow",
     .group = "server", .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "len", .handler = slowlog_len, .arity = 2, .flags = ADMIN_FLAGS,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "2.2.12",
     .complexity = "O(1)",
     .summary = "Counts the entries of the slow log",
     .tips = "request_policy:all_nodes response_policy:agg_sum nondeterministic_output"},
    {.name = "reset", .handler = slowlog_reset, .arity = 2, .flags = ADMIN_FLAGS,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "2.2.12",
     .complexity = "O(N) where N is the number of entries in the slowlog",
     .summary = "Empties the slow log",
     .tips = "request_policy:all_nodes response_policy:all_succeeded"},
};

static const struct command rows[] = {
    {.name = "latency", .handler = NULL, .arity = -2,
     .categories = "@slow",
     .group = "server", .since = "2.8.13",
     .complexity = "Depends on subcommand.",
     .summary = "Groups the commands about what took long",
     SUBCOMMANDS(latency_rows)},
    {.name = "monitor", .handler = server_monitor, .arity = 1, .flags = LATENCY_FLAGS,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "1.0.0",
     .summary = "Sends this client every command that the server runs"},
    {.name = "slowlog", .handler = NULL, .arity = -2,
     .categories = "@slow",
     .group = "server", .since = "2.2.12",
     .complexity = "Depends on subcommand.",
     .summary = "Groups the commands about the slow log",
     SUBCOMMANDS(slowlog_rows)},
};

const struct command_family watching_family = {rows, sizeof rows / sizeof *rows};
