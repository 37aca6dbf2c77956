/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The families of commands, each with an array of rows: the command table is made of these. Loop
 * thread. */
#ifndef KELVIN_COMMANDS_FAMILIES_H
#define KELVIN_COMMANDS_FAMILIES_H

#include "commands/command.h"

extern const struct command_family string_family;
extern const struct command_family bitmap_family;
extern const struct command_family hyperloglog_family;
extern const struct command_family keys_family;
extern const struct command_family transaction_family;
extern const struct command_family connection_family;
extern const struct command_family server_family;
extern const struct command_family acl_family;
extern const struct command_family cluster_family;
extern const struct command_family scripting_family;
extern const struct command_family watching_family;

#endif
