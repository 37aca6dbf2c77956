/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Commands on whole databases: listing, counting, emptying, swapping. Loop thread. */
#include "commands/argument.h"
#include "commands/keys.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum { SCAN_DEFAULT_COUNT = 10, TYPE_ANY = -1, TYPE_UNKNOWN = 255, CURSOR_TEXT_BYTES = 64 };

static void reply_keys(struct command_run *run, const struct slice *keys, size_t count)
{
    reply_array(run->reply, count);
    for (size_t i = 0; i < count; i++) reply_bulk(run->reply, keys[i]);
}

/* A lone star matches all, as no pattern does. */
static void set_pattern(struct scan_request *request, struct slice pattern)
{
    request->pattern = pattern;
    request->has_pattern = !slice_equal(pattern, SLICE_LITERAL("*"));
}

/* Within the run: its own writes are seen, and what it collects is bounded. */
static void keys_in_transaction(struct command_run *run, const struct scan_request *request)
{
    const struct slice *keys;
    size_t count;
    uint64_t next;
    if (run_found(run, keyspace_scan(&run->access, request, &keys, &count, &next)))
        reply_keys(run, keys, count);
}

/* KEYS pattern */
void keys_keys(struct command_run *run)
{
    struct scan_request request = {
        .kind = SCAN_KEYS, .number = run_database(run), .type = TYPE_ANY};
    uint64_t count;
    set_pattern(&request, run->argv[1]);
    if (run->access.in_transaction) {
        keys_in_transaction(run, &request);
        return;
    }
    request.encode = reply_append_bulk;
    if (!run_found(run, keyspace_keys(&run->access, &request, &count))) return;
    reply_array(run->reply, count);
    run->keys_follow = true;
}

/* RANDOMKEY */
void keys_randomkey(struct command_run *run)
{
    struct scan_request request = {
        .kind = SCAN_RANDOM, .number = run_database(run), .type = TYPE_ANY};
    const struct slice *keys;
    size_t count = 0;
    uint64_t next;
    enum found found = keyspace_scan(&run->access, &request, &keys, &count, &next);
    if (!run_found(run, found)) return;
    if (found == FOUND && count)
        reply_bulk(run->reply, keys[0]);
    else
        reply_null(run->reply);
}

/* As strtoul reads it, but for leading blanks: that is how Redis reads a cursor. */
static bool parse_cursor(struct command_run *run, struct slice text, uint64_t *cursor)
{
    char copy[CURSOR_TEXT_BYTES], *end;
    text = argument_text(text);
    if (text.size >= sizeof copy || (text.size && isspace((unsigned char)text.data[0]))) goto bad;
    if (text.size) memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    errno = 0;
    *cursor = strtoul(copy, &end, 10);
    if (!*end && errno != ERANGE) return true;
bad:
    reply_error(run->reply, "ERR invalid cursor");
    return false;
}

static int type_by_name(struct slice name)
{
    for (int type = VALUE_STRING; type <= VALUE_STREAM; type++)
        if (argument_is(name, keys_type_name((uint8_t)type))) return type;
    return TYPE_UNKNOWN;
}

static bool parse_scan(struct command_run *run, struct scan_request *request)
{
    for (int i = 2; i < run->argc; i += 2) {
        bool more = i + 1 < run->argc;
        if (argument_is(run->argv[i], "count") && more) {
            int64_t count;
            if (!run_get_integer(run, run->argv[i + 1], &count)) return false;
            if (count < 1) {
                run_syntax_error(run);
                return false;
            }
            request->count = (uint64_t)count;
        } else if (argument_is(run->argv[i], "match") && more) {
            set_pattern(request, run->argv[i + 1]);
        } else if (argument_is(run->argv[i], "type") && more) {
            request->type = type_by_name(run->argv[i + 1]);
        } else {
            run_syntax_error(run);
            return false;
        }
    }
    return true;
}

/* SCAN cursor [MATCH pattern] [COUNT count] [TYPE type] */
void keys_scan(struct command_run *run)
{
    struct scan_request request = {.kind = SCAN_PAGE,
                                   .number = run_database(run),
                                   .type = TYPE_ANY,
                                   .count = SCAN_DEFAULT_COUNT};
    const struct slice *keys = NULL;
    size_t count = 0;
    uint64_t next = 0;
    if (!parse_cursor(run, run->argv[1], &request.cursor) || !parse_scan(run, &request) ||
        !run_found(run, keyspace_scan(&run->access, &request, &keys, &count, &next)))
        return;
    char text[INT64_TEXT_BYTES];
    reply_array(run->reply, 2);
    reply_bulk(run->reply, slice_make(text, uint64_format(text, next)));
    reply_keys(run, keys, count);
}

/* DBSIZE */
void keys_dbsize(struct command_run *run)
{
    uint64_t count;
    if (run_found(run, keyspace_count(&run->access, run_database(run), &count)))
        reply_integer(run->reply, (int64_t)count);
}

/* [ASYNC | SYNC]: both are the same here, since what was in a flushed database is reclaimed in the
 * background in any case. */
static bool parse_flush(struct command_run *run)
{
    if (run->argc == 1 || (run->argc == 2 && (argument_is(run->argv[1], "sync") ||
                                              argument_is(run->argv[1], "async"))))
        return true;
    run_syntax_error(run);
    return false;
}

/* FLUSHDB [ASYNC | SYNC] */
void keys_flushdb(struct command_run *run)
{
    if (!parse_flush(run)) return;
    keyspace_flush_database(&run->access, run_database(run));
    reply_ok(run->reply);
}

/* FLUSHALL [ASYNC | SYNC] */
void keys_flushall(struct command_run *run)
{
    if (!parse_flush(run)) return;
    keyspace_flush_all(&run->access);
    reply_ok(run->reply);
}

/* SWAPDB index1 index2 */
void keys_swapdb(struct command_run *run)
{
    int databases = (int)keyspace_database_count(run->access.keyspace);
    int a, b;
    if (!keys_get_int(run, run->argv[1], "invalid first DB index", &a) ||
        !keys_get_int(run, run->argv[2], "invalid second DB index", &b))
        return;
    if (a < 0 || a >= databases || b < 0 || b >= databases) {
        reply_error(run->reply, "ERR DB index is out of range");
        return;
    }
    /* A database swapped with itself is not touched: nobody's WATCH sees it. */
    if (a == b || run_found(run, keyspace_swap_databases(&run->access, (unsigned)a, (unsigned)b)))
        reply_ok(run->reply);
}
