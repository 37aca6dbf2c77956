/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows of the bitmap family. The facts are those that Redis 7.0 tells in COMMAND INFO and
 * COMMAND DOCS. */
#include "commands/families.h"
#include "commands/string_commands.h"
#include "commands/row.h"

static const struct command rows[] = {
    {.name = "bitcount", .handler = bitmap_bitcount, .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_NEEDS_VALUES,
     .first_key = 1, .last_key = 1, .key_step = 1,
     .categories = "@read @bitmap @slow",
     .group = "bitmap", .since = "2.6.0",
     .complexity = "O(N)",
     .summary = "Counts the bits that are set in a string",
     KEYS({.flags = "RO access", .begin_index = 1, .step = 1}),
     .history = "7.0.0:BYTE and BIT came.",
     ARGUMENTS(
         {.name = "key", .type = "key", .key_spec = 0},
         {.name = "index", .type = "block", .flags = "optional", .key_spec = -1,
          ARGUMENTS_2(
              {.name = "start", .type = "integer", .key_spec = -1},
              {.name = "end", .type = "integer", .key_spec = -1},
              {.name = "index_unit", .type = "oneof", .since = "7.0.0", .flags = "optional",
               .key_spec = -1,
               ARGUMENTS_3(
                   {.name = "byte", .type = "pure-token", .token = "BYTE", .key_spec = -1},
                   {.name = "bit", .type = "pure-token", .token = "BIT", .key_spec = -1})})})},
    {.name = "bitfield", .handler = bitmap_bitfield, .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_NEEDS_VALUES,
     .first_key = 1, .last_key = 1, .key_step = 1,
     .categories = "@write @bitmap @slow",
     .group = "bitmap", .since = "3.2.0",
     .complexity = "O(1) for each subcommand specified",
     .summary = "Reads, sets and adds to integers of any width inside a string",
     KEYS({.flags = "RW access update variable_flags", .begin_index = 1, .step = 1,
           .notes = "This command allows both access and modification of the key"}),
     ARGUMENTS(
         {.name = "key", .type = "key", .key_spec = 0},
         {.name = "operation", .type = "oneof", .flags = "optional multiple", .key_spec = -1,
          ARGUMENTS_2(
              {.name = "encoding_offset", .type = "block", .token = "GET", .key_spec = -1,
               ARGUMENTS_3(
                   {.name = "encoding", .type = "string", .key_spec = -1},
                   {.name = "offset", .type = "integer", .key_spec = -1})},
              {.name = "write", .type = "block", .key_spec = -1,
               ARGUMENTS_3(
                   {.name = "wrap_sat_fail", .type = "oneof", .token = "OVERFLOW",
                    .flags = "optional", .key_spec = -1,
                    ARGUMENTS_4(
                        {.name = "wrap", .type = "pure-token", .token = "WRAP", .key_spec = -1},
                        {.name = "sat", .type = "pure-token", .token = "SAT", .key_spec = -1},
                        {.name = "fail", .type = "pure-token", .token = "FAIL", .key_spec = -1})},
                   {.name = "write_operation", .type = "oneof", .key_spec = -1,
                    ARGUMENTS_4(
                        {.name = "encoding_offset_value", .type = "block", .token = "SET",
                         .key_spec = -1,
                         ARGUMENTS_5(
                             {.name = "encoding", .type = "string", .key_spec = -1},
                             {.name = "offset", .type = "integer", .key_spec = -1},
                             {.name = "value", .type = "integer", .key_spec = -1})},
                        {.name = "encoding_offset_increment", .type = "block", .token = "INCRBY",
                         .key_spec = -1,
                         ARGUMENTS_5(
                             {.name = "encoding", .type = "string", .key_spec = -1},
                             {.name = "offset", .type = "integer", .key_spec = -1},
                             {.name = "increment", .type = "integer", .key_spec = -1})})})})})},
    {.name = "bitfield_ro", .handler = bitmap_bitfield_ro, .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_NEEDS_VALUES,
     .first_key = 1, .last_key = 1, .key_step = 1,
     .categories = "@read @bitmap @fast",
     .group = "bitmap", .since = "6.0.0",
     .complexity = "O(1) for each subcommand specified",
     .summary = "Reads integers of any width inside a string",
     KEYS({.flags = "RO access", .begin_index = 1, .step = 1}),
     ARGUMENTS(
         {.name = "key", .type = "key", .key_spec = 0},
         {.name = "encoding_offset", .type = "block", .token = "GET",
          .flags = "optional multiple multiple_token", .key_spec = -1,
          ARGUMENTS_2(
              {.name = "encoding", .type = "string", .key_spec = -1},
              {.name = "offset", .type = "integer", .key_spec = -1})})},
    {.name = "bitop", .handler = bitmap_bitop, .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_NEEDS_VALUES,
     .first_key = 2, .last_key = -1, .key_step = 1,
     .categories = "@write @bitmap @slow",
     .group = "bitmap", .since = "2.6.0",
     .complexity = "O(N)",
     .summary = "Joins strings bit by bit and keeps the result",
     KEYS({.flags = "OW update", .begin_index = 2, .step = 1},
          {.flags = "RO access", .begin_index = 3, .last = -1, .step = 1}),
     ARGUMENTS(
         {.name = "operation", .type = "string", .key_spec = -1},
         {.name = "destkey", .type = "key", .key_spec = 0},
         {.name = "key", .type = "key", .flags = "multiple", .key_spec = 1})},
    {.name = "bitpos", .handler = bitmap_bitpos, .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_NEEDS_VALUES,
     .first_key = 1, .last_key = 1, .key_step = 1,
     .categories = "@read @bitmap @slow",
     .group = "bitmap", .since = "2.8.7",
     .complexity = "O(N)",
     .summary = "Finds the first bit of a string that is set, or that is not",
     KEYS({.flags = "RO access", .begin_index = 1, .step = 1}),
     .history = "7.0.0:BYTE and BIT came.",
     ARGUMENTS(
         {.name = "key", .type = "key", .key_spec = 0},
         {.name = "bit", .type = "integer", .key_spec = -1},
         {.name = "index", .type = "block", .flags = "optional", .key_spec = -1,
          ARGUMENTS_2(
              {.name = "start", .type = "integer", .key_spec = -1},
              {.name = "end_index", .type = "block", .flags = "optional", .key_spec = -1,
               ARGUMENTS_3(
                   {.name = "end", .type = "integer", .key_spec = -1},
                   {.name = "index_unit", .type = "oneof", .since = "7.0.0", .flags = "optional",
                    .key_spec = -1,
                    ARGUMENTS_4(
                        {.name = "byte", .type = "pure-token", .token = "BYTE", .key_spec = -1},
                        {.name = "bit", .type = "pure-token", .token = "BIT",
                          .key_spec = -1})})})})},
    {.name = "getbit", .handler = bitmap_getbit, .arity = 3,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_NEEDS_VALUES,
     .first_key = 1, .last_key = 1, .key_step = 1,
     .categories = "@read @bitmap @fast",
     .group = "bitmap", .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Gives one bit of a string",
     KEYS({.flags = "RO access", .begin_index = 1, .step = 1}),
     ARGUMENTS(
         {.name = "key", .type = "key", .key_spec = 0},
         {.name = "offset", .type = "integer", .key_spec = -1})},
    {.name = "setbit", .handler = bitmap_setbit, .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_NEEDS_VALUES,
     .first_key = 1, .last_key = 1, .key_step = 1,
     .categories = "@write @bitmap @slow",
     .group = "bitmap", .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Sets one bit of a string and gives the one before",
     KEYS({.flags = "RW access update", .begin_index = 1, .step = 1}),
     ARGUMENTS(
         {.name = "key", .type = "key", .key_spec = 0},
         {.name = "offset", .type = "integer", .key_spec = -1},
         {.name = "value", .type = "integer", .key_spec = -1})},
};

const struct command_family bitmap_family = {rows, sizeof rows / sizeof *rows};
