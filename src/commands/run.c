/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What handlers share: each helper replies on failure and returns false, the handler then just
 * returns. Loop thread. */
#include "base/check.h"
#include "commands/dispatch_internal.h"
#include "commands/transaction.h"

#include <stdio.h>

static void reply_failure(struct command_run *run)
{
    const struct error *error = &run->access.waiter->error;
    bool is_memory = error->code == STATUS_NO_MEMORY;
    char text[ERROR_TEXT_BYTES + 8];
    (void)snprintf(text, sizeof text, "%s %s", is_memory ? "OOM" : "ERR", error->text);
    /* What a whole EXEC waited for cannot be had: it is over. */
    if (run->command->handler == command_exec)
        transaction_abort(run->session, is_memory ? text : error->text);
    else
        reply_error(run->reply, text);
}

bool run_found(struct command_run *run, enum found found)
{
    if (found == FOUND || found == FOUND_NOTHING) return true;
    if (found == FOUND_ERROR) reply_failure(run);
    return false;
}

bool run_get_integer_in(struct command_run *run, struct slice text, int64_t minimum,
                        int64_t maximum, const char *error, int64_t *out)
{
    int64_t value;
    if (slice_to_int64(text, &value) && value >= minimum && value <= maximum) {
        *out = value;
        return true;
    }
    reply_error_format(run->reply, "ERR %s",
                       error ? error : "value is not an integer or out of range");
    return false;
}

bool run_get_integer(struct command_run *run, struct slice text, int64_t *out)
{
    return run_get_integer_in(run, text, INT64_MIN, INT64_MAX, NULL, out);
}

bool run_get_long_double(struct command_run *run, struct slice text, long double *out)
{
    if (slice_to_long_double(text, out)) return true;
    reply_error(run->reply, "ERR value is not a valid float");
    return false;
}

void run_count_lookup(struct command_run *run, bool exists)
{
    if (exists)
        run->hits++;
    else
        run->misses++;
}

bool run_get_key(struct command_run *run, struct slice key, bool *exists, struct key_view *view)
{
    enum found found = keyspace_get(&run->access, run_database(run), key, view);
    *exists = found == FOUND;
    if (!run_found(run, found)) return false;
    if (run->command->flags & COMMAND_READONLY) run_count_lookup(run, *exists);
    return true;
}

bool run_get_string(struct command_run *run, struct slice key, bool *exists, struct key_view *view)
{
    if (!run_get_key(run, key, exists, view)) return false;
    if (!*exists || view->type == VALUE_STRING) return true;
    run_wrong_type(run);
    return false;
}

/* --- strings as replies --- */

static void release_entry(void *owner)
{
    entry_unref(owner);
}

static void reply_piece(struct reply *reply, struct slice piece, struct entry *owner)
{
    if (!owner || piece.size < REPLY_SHARED_MIN_BYTES) {
        reply_raw(reply, piece);
        return;
    }
    struct shared_bytes shared = {piece, entry_ref(owner), release_entry};
    reply_raw_shared(reply, shared);
}

static bool reply_in_pieces(struct command_run *run, const struct key_view *view, uint64_t offset,
                            uint64_t size)
{
    struct slice piece;
    struct entry *owner;
    uint64_t end = offset + size;
    /* All pieces are asked for before the first is written: the rest cannot fail. */
    if (!run_found(run, string_load(&run->access, view, offset, end))) return false;
    reply_bulk_begin(run->reply, size);
    for (uint64_t at = offset; at < end; at += piece.size) {
        enum found found = string_piece(&run->access, view, at, end, &piece, &owner);
        ASSERT(found == FOUND);
        reply_piece(run->reply, piece, owner);
    }
    reply_bulk_end(run->reply);
    return true;
}

bool run_reply_string_range(struct command_run *run, const struct key_view *view, uint64_t offset,
                            uint64_t size)
{
    if (view->has_object) return reply_in_pieces(run, view, offset, size);
    struct slice bytes = slice_make(view->value.data + offset, (size_t)size);
    if (size < REPLY_SHARED_MIN_BYTES || !view->entry) {
        reply_bulk(run->reply, bytes);
        return true;
    }
    struct shared_bytes shared = {bytes, entry_ref(view->entry), release_entry};
    reply_bulk_shared(run->reply, shared);
    return true;
}

bool run_reply_string(struct command_run *run, const struct key_view *view)
{
    return run_reply_string_range(run, view, 0, string_view_bytes(view));
}

/* --- errors and help --- */

void run_syntax_error(struct command_run *run)
{
    reply_error(run->reply, "ERR syntax error");
}

void run_wrong_type(struct command_run *run)
{
    reply_error(run->reply,
                "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void run_arity_error(struct command_run *run)
{
    reply_error_format(run->reply, "ERR wrong number of arguments for '%s' command",
                       command_full_name(run->command));
}

/* The container's name in capitals: "config|get" gives CONFIG. */
static size_t upper_name(const struct command_run *run, char *out, size_t size)
{
    const char *full = command_full_name(run->command);
    size_t n = 0;
    for (; full[n] && full[n] != '|' && n + 1 < size; n++)
        out[n] = full[n] >= 'a' && full[n] <= 'z' ? (char)(full[n] - 32) : full[n];
    out[n] = 0;
    return n;
}

void run_reply_help(struct command_run *run, const char *const *lines, size_t count)
{
    char name[64];
    upper_name(run, name, sizeof name);
    reply_array(run->reply, count + 3);
    char text[160];
    (void)snprintf(text, sizeof text, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                   name);
    reply_status(run->reply, text);
    for (size_t i = 0; i < count; i++) reply_status(run->reply, lines[i]);
    reply_status(run->reply, "HELP");
    reply_status(run->reply, "    Prints this help.");
}

/* --- waiting for something of one's own --- */

bool run_wait_barrier(struct command_run *run, enum barrier_kind kind, bool reload,
                      enum status *status, struct error *error)
{
    struct parking *parking = run_parking(run);
    if (parking->asked && parking->answered && run->access.waiter->pending == 0) {
        const struct waiter *waiter = run->access.waiter;
        *status = waiter->failed ? waiter->error.code : STATUS_OK;
        if (waiter->failed && error) *error = waiter->error;
        return true;
    }
    if (!parking->asked) {
        parking->asked = true;
        parking->answered = false;
        keyspace_barrier(run->access.keyspace, run->access.waiter, kind, reload);
    }
    run->parked_custom = true;
    return false;
}

bool run_wait_time(struct command_run *run, int64_t milliseconds)
{
    struct parking *parking = run_parking(run);
    if (parking->asked && parking->answered) return true;
    if (!parking->asked) {
        parking->asked = true;
        parking->answered = false;
        /* One more: the clock is cut to milliseconds, and nobody may be woken early. */
        int64_t now_ms = dispatch_time_ms() + 1;
        parking->wake_ms =
            milliseconds > INT64_MAX - now_ms ? INT64_MAX : now_ms + milliseconds;
    }
    parking->reason = PARK_TIME;
    run->parked_custom = true;
    return false;
}

bool run_was_unblocked(const struct command_run *run)
{
    return run_parking(run)->unblock == UNBLOCK_ERROR;
}

void run_wait_time_again(struct command_run *run, int64_t milliseconds)
{
    struct parking *parking = run_parking(run);
    parking->wake_ms = dispatch_time_ms() + milliseconds;
    parking->reason = PARK_TIME;
    run->parked_custom = true;
}
