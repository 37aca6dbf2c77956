/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows of the HyperLogLog family. The facts are those that Redis 7.0 tells in COMMAND INFO and
 * COMMAND DOCS. */
#include "commands/families.h"
#include "commands/string_commands.h"
#include "commands/row.h"

static const struct command rows[] = {
    {.name = "pfadd", .handler = hyperloglog_pfadd, .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST | COMMAND_NEEDS_VALUES,
     .first_key = 1, .last_key = 1, .key_step = 1,
     .categories = "@write @hyperloglog @fast",
     .group = "hyperloglog", .since = "2.8.9",
     .complexity = "O(1) to add every element.",
     .summary = "Adds elements to a HyperLogLog; creates it when there is none",
     KEYS({.flags = "RW insert", .begin_index = 1, .step = 1}),
     ARGUMENTS(
         {.name = "key", .type = "key", .key_spec = 0},
         {.name = "element", .type = "string", .flags = "optional multiple", .key_spec = -1})},
    {.name = "pfcount", .handler = hyperloglog_pfcount, .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_MAY_REPLICATE | COMMAND_NEEDS_VALUES,
     .first_key = 1, .last_key = -1, .key_step = 1,
     .categories = "@read @hyperloglog @slow",
     .group = "hyperloglog", .since = "2.8.9",
     .complexity = "O(1) with a very small average constant time when called with a single "
                   "key. O(N) with N being the number of keys, and much bigger constant times, "
                   "when called with multiple keys.",
     .summary = "Estimates how many different elements HyperLogLogs have seen",
     KEYS({.flags = "RW access", .begin_index = 1, .last = -1, .step = 1,
           .notes = "RW because it may change the internal representation of the key, "
                     "and propagate to replicas"}),
     ARGUMENTS(
         {.name = "key", .type = "key", .flags = "multiple", .key_spec = 0})},
    {.name = "pfmerge", .handler = hyperloglog_pfmerge, .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_NEEDS_VALUES,
     .first_key = 1, .last_key = -1, .key_step = 1,
     .categories = "@write @hyperloglog @slow",
     .group = "hyperloglog", .since = "2.8.9",
     .complexity = "O(N) to merge N HyperLogLogs, but with high constant times.",
     .summary = "Joins HyperLogLogs into one",
     KEYS({.flags = "RW access insert", .begin_index = 1, .step = 1},
          {.flags = "RO access", .begin_index = 2, .last = -1, .step = 1}),
     ARGUMENTS(
         {.name = "destkey", .type = "key", .key_spec = 0},
         {.name = "sourcekey", .type = "key", .flags = "multiple", .key_spec = 1})},
};

const struct command_family hyperloglog_family = {rows, sizeof rows / sizeof *rows};
