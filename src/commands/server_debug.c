/* SPDX-License-Identifier: BSD-3-Clause
 *
 * DEBUG: for tests and for finding mistakes; only where enable-debug-command allows it. Loop
 * thread. */
#include "base/log.h"
#include "commands/argument.h"
#include "commands/keys.h"
#include "commands/server.h"

#include <stdlib.h>

/* DEBUG SLEEP seconds. In Redis everybody waits; here the loop never does: only this client's reply
 * is late, others go on. */
static void debug_sleep(struct command_run *run)
{
    char text[64];
    struct slice argument = argument_text(run->argv[2]);
    size_t size = argument.size < sizeof text ? argument.size : sizeof text - 1;
    if (size) memcpy(text, argument.data, size);
    text[size] = 0;
    double seconds = strtod(text, NULL);
    enum { MAX_SECONDS = 86400 };
    if (!(seconds > 0)) seconds = 0;
    if (seconds > MAX_SECONDS) seconds = MAX_SECONDS;
    if (!run->access.in_transaction && !run_wait_time(run, (int64_t)(seconds * 1000))) return;
    reply_ok(run->reply);
}

/* DEBUG OBJECT key. Redis's line, with what has a meaning here; serializedlength is the size of the
 * string. */
static void debug_object(struct command_run *run)
{
    bool exists;
    struct key_view view;
    if (!keys_peek(run, run_database(run), run->argv[2], &exists, &view)) return;
    if (!exists) {
        reply_error(run->reply, "ERR no such key");
        return;
    }
    unsigned accessed_s = view.entry ? view.entry->accessed_s
                                     : (unsigned)(run->access.now_ms / 1000);
    struct buffer line = {0};
    buffer_append_format(
        &line,
        "Value at:%p refcount:%d encoding:%s serializedlength:%llu lru:%u lru_seconds_idle:%lld",
        (const void *)view.entry, keys_reference_count(&view), keys_encoding_name(&view),
        (unsigned long long)string_view_bytes(&view), accessed_s & 0xffffff,
        (long long)(run->access.now_ms / 1000) - accessed_s);
    buffer_append(&line, "", 1);
    reply_status(run->reply, line.data);
    buffer_free(&line);
}

/* DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]: closes and opens the store again. Redis's options say
 * which keys to keep: all are kept here. */
static void debug_reload(struct command_run *run)
{
    for (int i = 2; i < run->argc; i++) {
        if (argument_is(run->argv[i], "merge") || argument_is(run->argv[i], "noflush") ||
            argument_is(run->argv[i], "nosave"))
            continue;
        reply_error(run->reply, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE "
                                "options.");
        return;
    }
    if (run->access.in_transaction) {
        reply_error(run->reply, "ERR DEBUG RELOAD is not allowed in a transaction");
        return;
    }
    enum status status;
    struct error error = {0};
    if (!run_wait_barrier(run, BARRIER_VISIBLE, true, &status, &error)) return;
    if (status == STATUS_OK)
        reply_ok(run->reply);
    else
        reply_error_format(run->reply, "ERR %s", error.text);
}

/* DEBUG SET-ACTIVE-EXPIRE 0 | 1 */
static void debug_set_active_expire(struct command_run *run)
{
    server.enable_active_expire(!slice_equal(run->argv[2], SLICE_LITERAL("0")));
    reply_ok(run->reply);
}

/* DEBUG LOG message */
static void debug_log(struct command_run *run)
{
    struct buffer text = {0};
    buffer_append_quoted(&text, run->argv[2]);
    log_write(LOG_WARNING, "DEBUG LOG: %.*s", (int)text.size, text.data);
    buffer_free(&text);
    reply_ok(run->reply);
}

static void protocol_numbers(struct reply *reply)
{
    for (int i = 0; i < 3; i++) reply_integer(reply, i);
}

static void protocol_map(struct reply *reply)
{
    reply_map(reply, 3);
    for (int i = 0; i < 3; i++) {
        reply_integer(reply, i);
        reply_bool(reply, i == 1);
    }
}

/* No reply by itself: one follows. */
static void protocol_attribute(struct reply *reply)
{
    if (reply_version(reply) == 3) {
        reply_attribute(reply, 1);
        reply_bulk_text(reply, "key-popularity");
        reply_array(reply, 2);
        reply_bulk_text(reply, "key:123");
        reply_integer(reply, 90);
    }
    reply_bulk_text(reply, "Some real reply following the attribute");
}

static void protocol_push(struct reply *reply)
{
    if (reply_version(reply) < 3) {
        reply_error(reply, "ERR RESP2 is not supported by this command");
        return;
    }
    reply_push(reply, 2);
    reply_bulk_text(reply, "server-cpu-usage");
    reply_integer(reply, 42);
    reply_bulk_text(reply, "Some real reply following the push reply");
}

/* DEBUG PROTOCOL type: the reply that Redis gives, for those who write a client library. */
static void debug_protocol(struct command_run *run)
{
    struct reply *reply = run->reply;
    struct slice type = run->argv[2];
    if (argument_is(type, "string")) {
        reply_bulk_text(reply, "Hello World");
    } else if (argument_is(type, "integer")) {
        reply_integer(reply, 12345);
    } else if (argument_is(type, "double")) {
        reply_double(reply, 3.141);
    } else if (argument_is(type, "bignum")) {
        reply_big_number(reply, SLICE_LITERAL("1234567999999999999999999999999999999"));
    } else if (argument_is(type, "null")) {
        reply_null(reply);
    } else if (argument_is(type, "array")) {
        reply_array(reply, 3);
        protocol_numbers(reply);
    } else if (argument_is(type, "set")) {
        reply_set(reply, 3);
        protocol_numbers(reply);
    } else if (argument_is(type, "map")) {
        protocol_map(reply);
    } else if (argument_is(type, "attrib")) {
        protocol_attribute(reply);
    } else if (argument_is(type, "push")) {
        protocol_push(reply);
    } else if (argument_is(type, "true") || argument_is(type, "false")) {
        reply_bool(reply, argument_is(type, "true"));
    } else if (argument_is(type, "verbatim")) {
        reply_verbatim(reply, SLICE_LITERAL("This is a verbatim\nstring"), "txt");
    } else {
        reply_error(reply, "ERR Wrong protocol type name. Please use one of the following: "
                           "string|integer|double|bignum|null|array|set|map|attrib|push|"
                           "verbatim|true|false");
    }
}

static void debug_help(struct command_run *run)
{
    static const char *const lines[] = {
        "LOG <message>",
        "    Write <message> to the server log.",
        "OBJECT <key>",
        "    Show low level info about `key` and associated value.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type. <type> can be: string,",
        "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
        "    true, false.",
        "RELOAD [option ...]",
        "    Close the store and open it again.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Setting it to 0 disables expiring keys in background when they are not",
        "    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the",
        "    default.",
        "SLEEP <seconds>",
        "    Delay this reply for <seconds>. Decimals allowed.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}

static const struct {
    const char *name;
    int argc; /* negative: at least */
    void (*handler)(struct command_run *run);
} subcommands[] = {
    {"help", 2, debug_help},     {"log", 3, debug_log},
    {"object", 3, debug_object}, {"protocol", 3, debug_protocol},
    {"reload", -2, debug_reload},
    {"sleep", 3, debug_sleep},   {"set-active-expire", 3, debug_set_active_expire},
};

/* DEBUG subcommand [argument ...] */
void server_debug(struct command_run *run)
{
    for (size_t i = 0; i < sizeof subcommands / sizeof *subcommands; i++) {
        int argc = subcommands[i].argc;
        if (!argument_is(run->argv[1], subcommands[i].name)) continue;
        if (argc < 0 ? run->argc < -argc : run->argc != argc) break;
        subcommands[i].handler(run);
        return;
    }
    argument_unknown(run);
}
