/* SPDX-License-Identifier: BSD-3-Clause
 *
 * CLIENT, but for LIST and KILL: what a client asks of or says about its connection. Tracking for
 * client-side caches is not there; what asks about it is answered as by a Redis where it is off.
 * Loop thread. */
#include "commands/argument.h"
#include "commands/connection.h"

/* CLIENT ID */
void client_id(struct command_run *run)
{
    reply_integer(run->reply, (int64_t)run->session->id);
}

/* CLIENT GETNAME */
void client_getname(struct command_run *run)
{
    if (run->session->name[0])
        reply_bulk_text(run->reply, run->session->name);
    else
        reply_null(run->reply);
}

/* CLIENT SETNAME connection-name */
void client_setname(struct command_run *run)
{
    if (connection_set_name(run, run->argv[2])) reply_ok(run->reply);
}

/* The last argument as ON or OFF. False: the error has been replied. */
static bool get_switch(struct command_run *run, bool *on)
{
    struct slice word = run->argv[2];
    *on = argument_is(word, "on");
    if (*on || argument_is(word, "off")) return true;
    run_syntax_error(run);
    return false;
}

/* CLIENT NO-EVICT ON | OFF */
void client_no_evict(struct command_run *run)
{
    bool on;
    if (!get_switch(run, &on)) return;
    run->session->no_evict = on;
    reply_ok(run->reply);
}

/* CLIENT NO-TOUCH ON | OFF */
void client_no_touch(struct command_run *run)
{
    bool on;
    if (!get_switch(run, &on)) return;
    run->session->no_touch = on;
    reply_ok(run->reply);
}

/* CLIENT REPLY ON | OFF | SKIP. After each request dispatch moves SKIP_NEXT to SKIP and SKIP to ON.
 * */
void client_reply(struct command_run *run)
{
    struct session *session = run->session;
    if (argument_is(run->argv[2], "on")) {
        session->reply_mode = REPLY_ON;
        reply_set_enabled(run->reply, true);
        reply_ok(run->reply);
    } else if (argument_is(run->argv[2], "off")) {
        session->reply_mode = REPLY_OFF;
        reply_set_enabled(run->reply, false);
    } else if (argument_is(run->argv[2], "skip")) {
        if (session->reply_mode != REPLY_OFF) session->reply_mode = REPLY_SKIP_NEXT;
    } else {
        run_syntax_error(run);
    }
}

/* CLIENT PAUSE timeout [WRITE | ALL] */
void client_pause(struct command_run *run)
{
    int64_t timeout_ms, until_ms;
    bool writes_only = false;
    if (run->argc > 4) {
        argument_unknown(run);
        return;
    }
    if (run->argc == 4) {
        writes_only = argument_is(run->argv[3], "write");
        if (!writes_only && !argument_is(run->argv[3], "all")) {
            reply_error(run->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    }
    if (!argument_get_timeout_ms(run, run->argv[2], &timeout_ms)) return;
    /* A time behind the end of time is no pause: that is what Redis makes of it. */
    if (__builtin_add_overflow(timeout_ms, dispatch_time_ms(), &until_ms)) until_ms = 0;
    dispatch_pause(until_ms, writes_only);
    reply_ok(run->reply);
}

/* CLIENT UNPAUSE */
void client_unpause(struct command_run *run)
{
    dispatch_unpause();
    reply_ok(run->reply);
}

/* CLIENT UNBLOCK client-id [TIMEOUT | ERROR]. Of what blocks there is only WAIT yet. */
void client_unblock(struct command_run *run)
{
    int64_t id;
    bool with_error = run->argc == 4 && argument_is(run->argv[3], "error");
    if (run->argc > 4) {
        argument_unknown(run);
        return;
    }
    if (run->argc == 4 && !with_error && !argument_is(run->argv[3], "timeout")) {
        reply_error(run->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (!run_get_integer(run, run->argv[2], &id)) return;
    struct session *session = session_find((uint64_t)id);
    reply_integer(run->reply, session && dispatch_unblock(session, with_error));
}

/* CLIENT TRACKING ON | OFF ... */
void client_tracking(struct command_run *run)
{
    bool on;
    if (run->argc > 3) {
        run_syntax_error(run);
        return;
    }
    if (!get_switch(run, &on)) return;
    if (on)
        reply_error(run->reply, "ERR CLIENT TRACKING is not supported");
    else
        reply_ok(run->reply);
}

/* CLIENT CACHING YES | NO */
void client_caching(struct command_run *run)
{
    reply_error(run->reply, "ERR CLIENT CACHING can be called only when the client is in tracking "
                            "mode with OPTIN or OPTOUT mode enabled");
}

/* CLIENT GETREDIR */
void client_getredir(struct command_run *run)
{
    reply_integer(run->reply, -1);
}

/* CLIENT TRACKINGINFO */
void client_trackinginfo(struct command_run *run)
{
    reply_map(run->reply, 3);
    reply_bulk_text(run->reply, "flags");
    reply_set(run->reply, 1);
    reply_bulk_text(run->reply, "off");
    reply_bulk_text(run->reply, "redirect");
    reply_integer(run->reply, -1);
    reply_bulk_text(run->reply, "prefixes");
    reply_array(run->reply, 0);
}

/* CLIENT HELP */
void client_help(struct command_run *run)
{
    static const char *const lines[] = {
        "CACHING (YES|NO)",
        "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
        "GETREDIR",
        "    Return the client ID we are redirecting to when tracking is enabled.",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
        "         [OPTIN] [OPTOUT] [NOLOOP]",
        "    Control server assisted client side caching.",
        "TRACKINGINFO",
        "    Report tracking status for the current connection.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}
