/* SPDX-License-Identifier: BSD-3-Clause
 *
 * CLIENT LIST, INFO and KILL: looking at the sessions of others, and closing them. Loop thread. */
#include "base/memory.h"
#include "commands/argument.h"
#include "commands/connection.h"

enum client_type {
    TYPE_ALL = -2,
    TYPE_UNKNOWN,
    TYPE_NORMAL,
    TYPE_REPLICA,
    TYPE_PUBSUB,
    TYPE_MASTER
};

static enum client_type type_by_name(struct slice name)
{
    if (argument_is(name, "normal")) return TYPE_NORMAL;
    if (argument_is(name, "slave") || argument_is(name, "replica")) return TYPE_REPLICA;
    if (argument_is(name, "pubsub")) return TYPE_PUBSUB;
    if (argument_is(name, "master")) return TYPE_MASTER;
    return TYPE_UNKNOWN;
}

static bool get_type(struct command_run *run, struct slice name, enum client_type *type)
{
    *type = type_by_name(name);
    if (*type != TYPE_UNKNOWN) return true;
    name = argument_text(name);
    reply_error_format(run->reply, "ERR Unknown client type '%.*s'", (int)name.size, name.data);
    return false;
}

/* --- looking --- */

static void reply_text(struct command_run *run, struct buffer *text)
{
    reply_verbatim(run->reply, buffer_slice(text), "txt");
    buffer_free(text);
}

/* CLIENT INFO */
void client_info(struct command_run *run)
{
    struct buffer text = {0};
    session_describe(run->session, &text, true, dispatch_time_ms());
    reply_text(run, &text);
}

static bool list_by_id(struct command_run *run, struct buffer *text)
{
    for (int i = 3; i < run->argc; i++) {
        int64_t id;
        if (!run_get_integer_in(run, run->argv[i], INT64_MIN, INT64_MAX, "Invalid client ID", &id))
            return false;
        struct session *session = session_find((uint64_t)id);
        if (session) session_describe(session, text, true, dispatch_time_ms());
    }
    return true;
}

/* CLIENT LIST [TYPE type | ID id [id ...]]. All clients are of the type "normal". */
void client_list(struct command_run *run)
{
    struct buffer text = {0};
    enum client_type type = TYPE_ALL;
    if (run->argc > 3 && argument_is(run->argv[2], "id")) {
        if (list_by_id(run, &text))
            reply_text(run, &text);
        else
            buffer_free(&text);
        return;
    }
    if (run->argc == 4 && argument_is(run->argv[2], "type")) {
        if (!get_type(run, run->argv[3], &type)) return;
    } else if (run->argc != 2) {
        run_syntax_error(run);
        return;
    }
    if (type == TYPE_ALL || type == TYPE_NORMAL) {
        LIST_FOR_EACH (node, session_list())
            session_describe(LIST_ENTRY(node, struct session, link), &text, true,
                             dispatch_time_ms());
    }
    reply_text(run, &text);
}

/* --- closing --- */

struct kill_filter {
    const struct slice *address, *local_address;
    enum client_type type;
    uint64_t id; /* 0: any */
    bool skip_me;
};

static bool kill_parse_user(struct command_run *run, struct slice user)
{
    user = argument_text(user);
    if (slice_equal(user, SLICE_LITERAL("default"))) return true;
    reply_error_format(run->reply, "ERR No such user '%.*s'", (int)user.size, user.data);
    return false;
}

static bool kill_parse_option(struct command_run *run, struct slice word, const struct slice *value,
                              struct kill_filter *filter)
{
    int64_t id;
    if (argument_is(word, "id")) {
        if (!run_get_integer_in(run, *value, 1, INT64_MAX, "client-id should be greater than 0",
                                &id))
            return false;
        filter->id = (uint64_t)id;
        return true;
    }
    if (argument_is(word, "type")) return get_type(run, *value, &filter->type);
    if (argument_is(word, "user")) return kill_parse_user(run, *value);
    if (argument_is(word, "addr")) {
        filter->address = value;
    } else if (argument_is(word, "laddr")) {
        filter->local_address = value;
    } else if (argument_is(word, "skipme") && argument_is(*value, "yes")) {
        filter->skip_me = true;
    } else if (argument_is(word, "skipme") && argument_is(*value, "no")) {
        filter->skip_me = false;
    } else {
        run_syntax_error(run);
        return false;
    }
    return true;
}

static bool kill_parse(struct command_run *run, struct kill_filter *filter)
{
    *filter = (struct kill_filter){.type = TYPE_ALL, .skip_me = run->argc > 3};
    if (run->argc == 3) {
        filter->address = &run->argv[2];
        return true;
    }
    for (int i = 2; i < run->argc; i += 2) {
        if (i + 1 == run->argc) {
            run_syntax_error(run);
            return false;
        }
        if (!kill_parse_option(run, run->argv[i], &run->argv[i + 1], filter)) return false;
    }
    return true;
}

static bool kill_matches(const struct kill_filter *filter, struct session *session,
                         const struct session *me)
{
    if (session->closing || (session == me && filter->skip_me)) return false;
    if (filter->type != TYPE_ALL && filter->type != TYPE_NORMAL) return false;
    if (filter->id && session->id != filter->id) return false;
    if (!filter->address && !filter->local_address) return true;
    struct session_io io = {0};
    session->operations->describe(session, &io);
    return (!filter->address ||
            slice_equal(argument_text(*filter->address), slice_from_text(io.address))) &&
           (!filter->local_address || slice_equal(argument_text(*filter->local_address),
                                                  slice_from_text(io.local_address)));
}

/* CLIENT KILL ip:port | filter value [filter value ...] */
void client_kill(struct command_run *run)
{
    struct kill_filter filter;
    int64_t killed = 0;
    bool killed_me = false;
    if (!kill_parse(run, &filter)) return;
    LIST_FOR_EACH_SAFE (node, after, session_list()) {
        struct session *session = LIST_ENTRY(node, struct session, link);
        if (!kill_matches(&filter, session, run->session)) continue;
        killed++;
        if (session == run->session)
            killed_me = true;
        else
            session->operations->close(session, false);
    }
    if (run->argc > 3)
        reply_integer(run->reply, killed);
    else if (killed)
        reply_ok(run->reply);
    else
        reply_error(run->reply, "ERR No such client");
    if (killed_me) run->session->operations->close(run->session, true);
}
