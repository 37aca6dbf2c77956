/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Option words of a command. Pure functions. */
#ifndef KELVIN_COMMANDS_ARGUMENT_H
#define KELVIN_COMMANDS_ARGUMENT_H

#include "base/bytes.h"

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

#endif
