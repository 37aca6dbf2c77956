/* SPDX-License-Identifier: BSD-3-Clause
 *
 * When a key expires: setting, asking, taking away. Loop thread. */
#include "commands/argument.h"
#include "commands/keys.h"

#include <limits.h>

enum condition { IF_NONE = 1, IF_SOME = 2, IF_GREATER = 4, IF_LESS = 8 };

static bool parse_conditions(struct command_run *run, unsigned *conditions)
{
    static const struct {
        const char *word;
        enum condition condition;
    } words[] = {{"nx", IF_NONE}, {"xx", IF_SOME}, {"gt", IF_GREATER}, {"lt", IF_LESS}};
    *conditions = 0;
    for (int i = 3; i < run->argc; i++) {
        struct slice text = argument_text(run->argv[i]);
        unsigned found = 0;
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)
            if (slice_equal_nocase(text, words[w].word)) found = words[w].condition;
        if (!found) {
            reply_error_format(run->reply, "ERR Unsupported option %.*s", (int)text.size,
                               text.data);
            return false;
        }
        *conditions |= found;
    }
    if ((*conditions & IF_NONE) && (*conditions & ~(unsigned)IF_NONE)) {
        reply_error(run->reply, "ERR NX and XX, GT or LT options at the same time are not "
                                "compatible");
        return false;
    }
    if ((*conditions & IF_GREATER) && (*conditions & IF_LESS)) {
        reply_error(run->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* The time that the request names, in Unix milliseconds. */
static bool parse_time(struct command_run *run, int64_t unit_ms, int64_t base_ms, int64_t *at_ms)
{
    int64_t value;
    if (!run_get_integer(run, run->argv[2], &value)) return false;
    if (__builtin_mul_overflow(value, unit_ms, &value) ||
        __builtin_add_overflow(value, base_ms, &value)) {
        reply_error_format(run->reply, "ERR invalid expire time in '%s' command",
                           command_full_name(run->command));
        return false;
    }
    *at_ms = value;
    return true;
}

static bool conditions_hold(unsigned conditions, int64_t current_ms, int64_t at_ms)
{
    bool expires = current_ms != -1;
    if ((conditions & IF_NONE) && expires) return false;
    if ((conditions & IF_SOME) && !expires) return false;
    if ((conditions & IF_GREATER) && (!expires || at_ms <= current_ms)) return false;
    if ((conditions & IF_LESS) && expires && at_ms >= current_ms) return false;
    return true;
}

static void expire_key(struct command_run *run, int64_t unit_ms, bool relative)
{
    struct slice key = run->argv[1];
    unsigned conditions;
    int64_t at_ms;
    bool exists;
    struct key_view view;
    if (!parse_conditions(run, &conditions) ||
        !parse_time(run, unit_ms, relative ? run->access.now_ms : 0, &at_ms) ||
        !keys_peek(run, run_database(run), key, &exists, &view))
        return;
    if (!exists || !conditions_hold(conditions, view.expire_at_ms, at_ms)) {
        reply_integer(run->reply, 0);
        return;
    }
    if (at_ms <= run->access.now_ms)
        keyspace_delete(&run->access, run_database(run), key);
    else
        keyspace_set_expiry(&run->access, run_database(run), key, &view, at_ms);
    reply_integer(run->reply, 1);
}

/* EXPIRE key seconds [NX | XX | GT | LT] */
void keys_expire(struct command_run *run)
{
    expire_key(run, 1000, true);
}

/* PEXPIRE key milliseconds [NX | XX | GT | LT] */
void keys_pexpire(struct command_run *run)
{
    expire_key(run, 1, true);
}

/* EXPIREAT key unix-time-seconds [NX | XX | GT | LT] */
void keys_expireat(struct command_run *run)
{
    expire_key(run, 1000, false);
}

/* PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT] */
void keys_pexpireat(struct command_run *run)
{
    expire_key(run, 1, false);
}

/* -2: no such key; -1: it never expires. */
static void tell_expiry(struct command_run *run, int64_t unit_ms, bool relative)
{
    bool exists;
    struct key_view view;
    if (!keys_peek(run, run_database(run), run->argv[1], &exists, &view)) return;
    if (!exists || view.expire_at_ms == -1) {
        reply_integer(run->reply, exists ? -1 : -2);
        return;
    }
    int64_t ms = view.expire_at_ms - (relative ? run->access.now_ms : 0);
    if (ms < 0) ms = 0;
    /* Unsigned: any time up to the last millisecond may have been set. */
    reply_integer(run->reply, unit_ms == 1 ? ms : (int64_t)(((uint64_t)ms + 500) / 1000));
}

/* TTL key */
void keys_ttl(struct command_run *run)
{
    tell_expiry(run, 1000, true);
}

/* PTTL key */
void keys_pttl(struct command_run *run)
{
    tell_expiry(run, 1, true);
}

/* EXPIRETIME key */
void keys_expiretime(struct command_run *run)
{
    tell_expiry(run, 1000, false);
}

/* PEXPIRETIME key */
void keys_pexpiretime(struct command_run *run)
{
    tell_expiry(run, 1, false);
}

/* PERSIST key */
void keys_persist(struct command_run *run)
{
    bool exists;
    struct key_view view;
    if (!keys_peek(run, run_database(run), run->argv[1], &exists, &view)) return;
    bool expires = exists && view.expire_at_ms != -1;
    if (expires) keyspace_set_expiry(&run->access, run_database(run), run->argv[1], &view, -1);
    reply_integer(run->reply, expires);
}
