/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Option words and odd kinds of arguments. Loop thread. */
#ifndef KELVIN_COMMANDS_ARGUMENT_H
#define KELVIN_COMMANDS_ARGUMENT_H

#include "commands/dispatch.h"

/* Redis compares option words as C strings: what follows a zero byte does not count. */
static inline struct slice argument_text(struct slice argument)
{
    const char *zero = argument.size ? memchr(argument.data, 0, argument.size) : NULL;
    if (zero) argument.size = (size_t)(zero - argument.data);
    return argument;
}

static inline bool argument_is(struct slice argument, const char *word)
{
    return slice_equal_nocase(argument_text(argument), word);
}

/* A time to wait in milliseconds, not negative. False: the error has been replied. */
bool argument_get_timeout_ms(struct command_run *run, struct slice text, int64_t *timeout_ms);
/* Replies that the subcommand in argv[1] is unknown or has not the right number of arguments. */
void argument_unknown(struct command_run *run);

#endif
