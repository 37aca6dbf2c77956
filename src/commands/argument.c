/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Odd kinds of arguments. Loop thread. */
#include "commands/argument.h"

#include <ctype.h>

enum { SHOWN_BYTES = 128 };

bool argument_get_timeout_ms(struct command_run *run, struct slice text, int64_t *timeout_ms)
{
    if (!run_get_integer_in(run, text, INT64_MIN, INT64_MAX,
                            "timeout is not an integer or out of range", timeout_ms))
        return false;
    if (*timeout_ms >= 0) return true;
    reply_error(run->reply, "ERR timeout is negative");
    return false;
}

void argument_unknown(struct command_run *run)
{
    struct slice sub = argument_text(run->argv[1]);
    char name[SHOWN_BYTES + 1];
    size_t size = run->argv[0].size < SHOWN_BYTES ? run->argv[0].size : SHOWN_BYTES;
    for (size_t i = 0; i < size; i++)
        name[i] = (char)toupper((unsigned char)run->argv[0].data[i]);
    name[size] = 0;
    reply_error_format(run->reply,
                       "ERR unknown subcommand or wrong number of arguments for '%.*s'. "
                       "Try %s HELP.",
                       sub.size < SHOWN_BYTES ? (int)sub.size : SHOWN_BYTES, sub.data, name);
}
