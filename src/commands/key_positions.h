/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The keys that one key specification of a row finds in a request. Pure functions. */
#ifndef KELVIN_COMMANDS_KEY_POSITIONS_H
#define KELVIN_COMMANDS_KEY_POSITIONS_H

#include "commands/command.h"

/* Arguments first, first + step, ...: `count` of them. */
struct key_range {
    int first, step, count;
};

/* False when the request cannot be right (a key position behind its end). A keyword that is absent
 * is right: no keys. */
bool key_spec_range(const struct key_spec *spec, const struct slice *argv, int argc,
                    struct key_range *range);

#endif
