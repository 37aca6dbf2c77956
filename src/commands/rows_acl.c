/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows of the acl family: what a server that has only the user "default" answers. The facts are
 * those that Redis 7.0 tells in COMMAND INFO and COMMAND DOCS. */
#include "commands/families.h"
#include "commands/server.h"
#include "commands/row.h"

static const struct command acl_rows[] = {
    {.name = "cat", .handler = acl_cat, .arity = -2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .categories = "@slow",
     .group = "server", .since = "6.0.0",
     .complexity = "O(1) since the categories and commands are a fixed set.",
     .summary = "Lists the categories of commands, or the commands of one",
     ARGUMENTS(
         {.name = "categoryname", .type = "string", .flags = "optional", .key_spec = -1})},
    {.name = "dryrun", .handler = acl_dryrun, .arity = -4,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "7.0.0",
     .complexity = "O(1).",
     .summary = "Tells whether a user may run a command",
     ARGUMENTS(
         {.name = "username", .type = "string", .key_spec = -1},
         {.name = "command", .type = "string", .key_spec = -1},
         {.name = "arg", .type = "string", .flags = "optional multiple", .key_spec = -1})},
    {.name = "genpass", .handler = acl_genpass, .arity = -2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .categories = "@slow",
     .group = "server", .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Makes up a random password",
     ARGUMENTS(
         {.name = "bits", .type = "integer", .flags = "optional", .key_spec = -1})},
    {.name = "getuser", .handler = acl_getuser, .arity = 3,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "6.0.0",
     .complexity = "O(N). Where N is the number of password, command and pattern rules that "
                   "the user has.",
     .summary = "Shows the rights of a user",
     .history = "6.2.0:Shows the patterns of channels.|7.0.0:Shows selectors; patterns are "
                "shown as rules.",
     ARGUMENTS(
         {.name = "username", .type = "string", .key_spec = -1})},
    {.name = "help", .handler = acl_help, .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .categories = "@slow",
     .group = "server", .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "list", .handler = acl_list, .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "6.0.0",
     .complexity = "O(N). Where N is the number of configured users.",
     .summary = "Lists the users and their rights"},
    {.name = "load", .handler = acl_load, .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "6.0.0",
     .complexity = "O(N). Where N is the number of configured users.",
     .summary = "Reads the users from a file"},
    {.name = "log", .handler = acl_log, .arity = -2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "6.0.0",
     .complexity = "O(N) with N being the number of entries shown.",
     .summary = "Lists what was denied lately",
     ARGUMENTS(
         {.name = "operation", .type = "oneof", .flags = "optional", .key_spec = -1,
          ARGUMENTS_2(
              {.name = "count", .type = "integer", .key_spec = -1},
              {.name = "reset", .type = "pure-token", .token = "RESET", .key_spec = -1})})},
    {.name = "save", .handler = acl_save, .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "6.0.0",
     .complexity = "O(N). Where N is the number of configured users.",
     .summary = "Writes the users to a file"},
    {.name = "users", .handler = acl_users, .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .categories = "@admin @slow @dangerous",
     .group = "server", .since = "6.0.0",
     .complexity = "O(N). Where N is the number of configured users.",
     .summary = "Lists the names of the users"},
    {.name = "whoami", .handler = acl_whoami, .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .categories = "@slow",
     .group = "server", .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Tells the name of the user"},
};

static const struct command rows[] = {
    {.name = "acl", .handler = NULL, .arity = -2,
     .categories = "@slow",
     .group = "server", .since = "6.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "Groups the commands about users and their rights",
     SUBCOMMANDS(acl_rows)},
};

const struct command_family acl_family = {rows, sizeof rows / sizeof *rows};
