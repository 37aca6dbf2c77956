/* SPDX-License-Identifier: BSD-3-Clause
 *
 * OBJECT: how a value is kept. Redis's clients and tests read encodings and reference counts, so
 * the answers are those that Redis would give for the same value. Loop thread. */
#include "commands/keys.h"

#include <limits.h>

enum { EMBEDDED_MAX_BYTES = 44, SHARED_INTEGERS = 10000 };

static bool is_integer(const struct key_view *view, int64_t *value)
{
    bool may_be = view->encoding == STRING_AUTO || view->encoding == STRING_COPY;
    return view->type == VALUE_STRING && may_be && !view->has_object &&
           view->value.size <= 20 && slice_to_int64(view->value, value);
}

const char *keys_encoding_name(const struct key_view *view)
{
    int64_t value;
    if (is_integer(view, &value)) return "int";
    if (view->encoding == STRING_RAW || string_view_bytes(view) > EMBEDDED_MAX_BYTES) return "raw";
    return "embstr";
}

/* False: return from the handler; a missing key has been answered with null. */
static bool object_lookup(struct command_run *run, struct key_view *view)
{
    bool exists;
    if (!keys_peek(run, run_database(run), run->argv[2], &exists, view)) return false;
    if (!exists) reply_null(run->reply);
    return exists;
}

/* OBJECT ENCODING key */
void object_encoding(struct command_run *run)
{
    struct key_view view;
    if (object_lookup(run, &view)) reply_bulk_text(run->reply, keys_encoding_name(&view));
}

/* OBJECT FREQ key */
void object_freq(struct command_run *run)
{
    struct key_view view;
    if (!object_lookup(run, &view)) return;
    reply_error(run->reply,
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please "
                "note that when switching between policies at runtime LRU and LFU data will take "
                "some time to adjust.");
}

/* OBJECT IDLETIME key */
void object_idletime(struct command_run *run)
{
    struct key_view view;
    if (!object_lookup(run, &view)) return;
    int64_t idle_s = 0;
    if (view.entry) idle_s = run->access.now_ms / 1000 - (int64_t)view.entry->accessed_s;
    reply_integer(run->reply, idle_s > 0 ? idle_s : 0);
}

int keys_reference_count(const struct key_view *view)
{
    int64_t value;
    bool shared = view->encoding != STRING_COPY && is_integer(view, &value) && value >= 0 &&
                  value < SHARED_INTEGERS;
    return shared ? INT_MAX : 1;
}

/* OBJECT REFCOUNT key */
void object_refcount(struct command_run *run)
{
    struct key_view view;
    if (object_lookup(run, &view)) reply_integer(run->reply, keys_reference_count(&view));
}

/* OBJECT HELP */
void object_help(struct command_run *run)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}
