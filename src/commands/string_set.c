/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Setting whole strings: SET and its older forms, GETEX, GETDEL, MSET. A write that asks for
 * nothing of the old value does not look at it, so that no read from the disk delays it.
 * Loop thread. */
#include "commands/string_commands.h"

enum set_option {
    SET_NX = 1 << 0,
    SET_XX = 1 << 1,
    SET_GET = 1 << 2,
    SET_KEEPTTL = 1 << 3,
    SET_PERSIST = 1 << 4,
    SET_EX = 1 << 5,
    SET_PX = 1 << 6,
    SET_EXAT = 1 << 7,
    SET_PXAT = 1 << 8,

    SET_TIMED = SET_EX | SET_PX | SET_EXAT | SET_PXAT,
    SET_ABSOLUTE = SET_EXAT | SET_PXAT,
    SET_SECONDS = SET_EX | SET_EXAT
};

/* The options of SET and GETEX, one row each. */
static const struct option_word {
    const char *word;
    unsigned option;
    unsigned excludes; /* may not stand together with these */
    bool for_set, for_getex;
} option_words[] = {
    {"NX", SET_NX, SET_XX, true, false},
    {"XX", SET_XX, SET_NX, true, false},
    {"GET", SET_GET, 0, true, false},
    {"KEEPTTL", SET_KEEPTTL, SET_PERSIST | SET_TIMED, true, false},
    {"PERSIST", SET_PERSIST, SET_KEEPTTL | SET_TIMED, false, true},
    {"EX", SET_EX, SET_KEEPTTL | SET_PERSIST | (SET_TIMED & ~SET_EX), true, true},
    {"PX", SET_PX, SET_KEEPTTL | SET_PERSIST | (SET_TIMED & ~SET_PX), true, true},
    {"EXAT", SET_EXAT, SET_KEEPTTL | SET_PERSIST | (SET_TIMED & ~SET_EXAT), true, true},
    {"PXAT", SET_PXAT, SET_KEEPTTL | SET_PERSIST | (SET_TIMED & ~SET_PXAT), true, true},
};

/* Reads the options from argv[first] on; `*time` is the argument of the timed one. */
static bool parse_options(struct command_run *run, int first, bool getex, unsigned *options,
                          struct slice *time)
{
    const struct option_word *end = option_words + sizeof option_words / sizeof option_words[0];
    *options = 0;
    for (int i = first; i < run->argc; i++) {
        const struct option_word *row = option_words;
        while (row < end && !((getex ? row->for_getex : row->for_set) &&
                              argument_is(run->argv[i], row->word)))
            row++;
        if (row == end || (*options & row->excludes) ||
            ((row->option & SET_TIMED) && i + 1 == run->argc)) {
            run_syntax_error(run);
            return false;
        }
        *options |= row->option;
        if (row->option & SET_TIMED) *time = run->argv[++i];
    }
    return true;
}

/* The moment that a timed option names. */
static bool parse_time(struct command_run *run, struct slice text, unsigned options,
                       int64_t *expire_at_ms)
{
    int64_t time;
    if (!run_get_integer(run, text, &time)) return false;
    bool valid = time > 0 && (!(options & SET_SECONDS) || time <= INT64_MAX / 1000);
    if (valid && (options & SET_SECONDS)) time *= 1000;
    if (valid && !(options & SET_ABSOLUTE))
        valid = !__builtin_add_overflow(time, run->access.now_ms, &time);
    if (!valid) {
        reply_error_format(run->reply, "ERR invalid expire time in '%s' command",
                           run->command->name);
        return false;
    }
    *expire_at_ms = time;
    return true;
}

static void put_string(struct command_run *run, struct slice key, struct slice value,
                       int64_t expire_at_ms)
{
    keyspace_set_string(&run->access, run_database(run), key, value, STRING_AUTO, expire_at_ms);
}

/* Replies with the string at argv[1], or null. False: return from the handler. */
static bool reply_old_value(struct command_run *run, bool *exists, struct key_view *view)
{
    if (!run_get_string(run, run->argv[1], exists, view)) return false;
    run_count_lookup(run, *exists);
    if (*exists) return run_reply_string(run, view);
    reply_null(run->reply);
    return true;
}

/* SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT seconds | PXAT milliseconds |
 * KEEPTTL] */
void string_set(struct command_run *run)
{
    unsigned options = 0;
    struct slice time = {"", 0};
    int64_t expire_at_ms = -1;
    if (run->argc > 3) {
        if (!parse_options(run, 3, false, &options, &time)) return;
        if ((options & SET_TIMED) && !parse_time(run, time, options, &expire_at_ms)) return;
    }

    if (options & (SET_NX | SET_XX | SET_GET | SET_KEEPTTL)) {
        struct key_view view;
        bool exists, get = options & SET_GET;
        if (get ? !reply_old_value(run, &exists, &view)
                : !run_get_key(run, run->argv[1], &exists, &view))
            return;
        if ((exists && (options & SET_NX)) || (!exists && (options & SET_XX))) {
            if (!get) reply_null(run->reply);
            return;
        }
        if (exists && (options & SET_KEEPTTL)) expire_at_ms = view.expire_at_ms;
    }
    put_string(run, run->argv[1], run->argv[2], expire_at_ms);
    if (!(options & SET_GET)) reply_ok(run->reply);
}

/* SETNX key value */
void string_setnx(struct command_run *run)
{
    struct key_view view;
    bool exists;
    if (!run_get_key(run, run->argv[1], &exists, &view)) return;
    if (!exists) put_string(run, run->argv[1], run->argv[2], -1);
    reply_integer(run->reply, !exists);
}

static void set_for_time(struct command_run *run, unsigned option)
{
    int64_t expire_at_ms;
    if (!parse_time(run, run->argv[2], option, &expire_at_ms)) return;
    put_string(run, run->argv[1], run->argv[3], expire_at_ms);
    reply_ok(run->reply);
}

/* SETEX key seconds value */
void string_setex(struct command_run *run)
{
    set_for_time(run, SET_EX);
}

/* PSETEX key milliseconds value */
void string_psetex(struct command_run *run)
{
    set_for_time(run, SET_PX);
}

/* GETSET key value */
void string_getset(struct command_run *run)
{
    struct key_view view;
    bool exists;
    if (!reply_old_value(run, &exists, &view)) return;
    put_string(run, run->argv[1], run->argv[2], -1);
}

/* GETDEL key */
void string_getdel(struct command_run *run)
{
    struct key_view view;
    bool exists;
    if (!reply_old_value(run, &exists, &view)) return;
    if (exists) keyspace_delete(&run->access, run_database(run), run->argv[1]);
}

/* GETEX key [EX seconds | PX milliseconds | EXAT seconds | PXAT milliseconds | PERSIST] */
void string_getex(struct command_run *run)
{
    struct slice key = run->argv[1], time = {"", 0};
    unsigned options, number = run_database(run);
    struct key_view view;
    bool exists;
    int64_t expire_at_ms = -1;
    if (!parse_options(run, 2, true, &options, &time) ||
        !run_get_string(run, key, &exists, &view))
        return;
    run_count_lookup(run, exists);
    if (!exists) {
        reply_null(run->reply);
        return;
    }
    if ((options & SET_TIMED) && !parse_time(run, time, options, &expire_at_ms)) return;
    if (!run_reply_string(run, &view)) return;

    if ((options & SET_ABSOLUTE) && expire_at_ms <= run->access.now_ms)
        keyspace_delete(&run->access, number, key);
    else if ((options & SET_TIMED) || ((options & SET_PERSIST) && view.expire_at_ms >= 0))
        keyspace_set_expiry(&run->access, number, key, &view, expire_at_ms);
}

static void put_pairs(struct command_run *run)
{
    for (int i = 1; i < run->argc; i += 2) put_string(run, run->argv[i], run->argv[i + 1], -1);
}

/* MSET key value [key value ...] */
void string_mset(struct command_run *run)
{
    if (run->argc % 2 == 0) {
        run_arity_error(run);
        return;
    }
    put_pairs(run);
    reply_ok(run->reply);
}

/* MSETNX key value [key value ...] */
void string_msetnx(struct command_run *run)
{
    if (run->argc % 2 == 0) {
        run_arity_error(run);
        return;
    }
    for (int i = 1; i < run->argc; i += 2) {
        struct key_view view;
        bool exists;
        if (!run_get_key(run, run->argv[i], &exists, &view)) return;
        if (exists) {
            reply_integer(run->reply, 0);
            return;
        }
    }
    put_pairs(run);
    reply_integer(run->reply, 1);
}
