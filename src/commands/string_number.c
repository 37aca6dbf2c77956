/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Strings as numbers: INCR and its relatives. The expiry of the key stays. Loop thread. */
#include "commands/string_commands.h"

#include <math.h>

static struct slice whole_string(struct command_run *run, const struct key_view *view, bool *ready)
{
    struct slice text = {"", 0};
    *ready = run_found(run, string_read(&run->access, view, 0, string_view_bytes(view), &text));
    return text;
}

/* Adds to the integer at argv[1] and replies with the sum. */
static void add_integer(struct command_run *run, int64_t increment)
{
    struct key_view view;
    bool exists, ready;
    int64_t value = 0;
    if (!run_get_string(run, run->argv[1], &exists, &view)) return;
    if (exists) {
        struct slice text = {"", 0}; /* no number is longer than that */
        if (string_view_bytes(&view) < INT64_TEXT_BYTES) {
            text = whole_string(run, &view, &ready);
            if (!ready) return;
        }
        if (!run_get_integer(run, text, &value)) return;
    }
    if (__builtin_add_overflow(value, increment, &value)) {
        reply_error(run->reply, "ERR increment or decrement would overflow");
        return;
    }

    char *text = string_memory(run, INT64_TEXT_BYTES);
    if (!text) return;
    keyspace_set_string(&run->access, run_database(run), run->argv[1],
                        slice_make(text, int64_format(text, value)), STRING_AUTO,
                        exists ? view.expire_at_ms : -1);
    reply_integer(run->reply, value);
}

/* INCR key */
void string_incr(struct command_run *run)
{
    add_integer(run, 1);
}

/* DECR key */
void string_decr(struct command_run *run)
{
    add_integer(run, -1);
}

/* INCRBY key increment */
void string_incrby(struct command_run *run)
{
    int64_t increment;
    if (run_get_integer(run, run->argv[2], &increment)) add_integer(run, increment);
}

/* DECRBY key decrement */
void string_decrby(struct command_run *run)
{
    int64_t decrement;
    if (!run_get_integer(run, run->argv[2], &decrement)) return;
    if (decrement == INT64_MIN)
        reply_error(run->reply, "ERR decrement would overflow");
    else
        add_integer(run, -decrement);
}

/* INCRBYFLOAT key increment */
void string_incrbyfloat(struct command_run *run)
{
    struct key_view view;
    bool exists, ready;
    long double value = 0, increment;
    if (!run_get_string(run, run->argv[1], &exists, &view)) return;
    if (exists) {
        struct slice text = {"", 0}; /* nor is a float longer than that */
        if (string_view_bytes(&view) < DOUBLE_TEXT_BYTES) {
            text = whole_string(run, &view, &ready);
            if (!ready) return;
        }
        if (!run_get_long_double(run, text, &value)) return;
    }
    if (!run_get_long_double(run, run->argv[2], &increment)) return;
    value += increment;
    if (isnan(value) || isinf(value)) {
        reply_error(run->reply, "ERR increment would produce NaN or Infinity");
        return;
    }

    char printed[DOUBLE_TEXT_BYTES];
    size_t size = long_double_format_human(printed, value);
    char *text = string_memory(run, size);
    if (!text) return;
    memcpy(text, printed, size);
    keyspace_set_string(&run->access, run_database(run), run->argv[1], slice_make(text, size),
                        STRING_NOT_INT, exists ? view.expire_at_ms : -1);
    reply_bulk(run->reply, slice_make(text, size));
}
