/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Shorthands for the files that hold rows of the command table: an array in place, with its length.
 * The preprocessor does not expand a macro inside itself: hence one name per depth. */
#ifndef KELVIN_COMMANDS_ROW_H
#define KELVIN_COMMANDS_ROW_H

#define ROW_COUNT(type, ...) \
    ((int)(sizeof((const struct type[]){__VA_ARGS__}) / sizeof(struct type)))
#define ROW_ARGUMENTS(...)                                        \
    .arguments = (const struct command_argument[]){__VA_ARGS__}, \
    .argument_count = ROW_COUNT(command_argument, __VA_ARGS__)

#define ARGUMENTS(...) ROW_ARGUMENTS(__VA_ARGS__)
#define ARGUMENTS_2(...)                                          \
    .arguments = (const struct command_argument[]){__VA_ARGS__}, \
    .argument_count = ROW_COUNT(command_argument, __VA_ARGS__)
#define ARGUMENTS_3(...)                                          \
    .arguments = (const struct command_argument[]){__VA_ARGS__}, \
    .argument_count = ROW_COUNT(command_argument, __VA_ARGS__)
#define ARGUMENTS_4(...)                                          \
    .arguments = (const struct command_argument[]){__VA_ARGS__}, \
    .argument_count = ROW_COUNT(command_argument, __VA_ARGS__)
#define ARGUMENTS_5(...)                                          \
    .arguments = (const struct command_argument[]){__VA_ARGS__}, \
    .argument_count = ROW_COUNT(command_argument, __VA_ARGS__)

#define KEYS(...)                                         \
    .key_specs = (const struct key_spec[]){__VA_ARGS__}, \
    .key_spec_count = ROW_COUNT(key_spec, __VA_ARGS__)
#define SUBCOMMANDS(array) \
    .subcommands = (array), .subcommand_count = (int)(sizeof(array) / sizeof *(array))

#endif
