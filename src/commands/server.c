/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Commands about the server as a whole. What they tell and do is server/'s, reached through the
 * table `server`; there is no replication and there are no modules, and what asks about them is
 * answered as by a Redis that is alone. Loop thread. */
#include "commands/server.h"

#include "base/clock.h"
#include "commands/argument.h"

/* INFO [section [section ...]] */
void server_info(struct command_run *run)
{
    struct buffer text = {0};
    server.info(run->argv + 1, run->argc - 1, &text);
    reply_verbatim(run->reply, buffer_slice(&text), "txt");
    buffer_free(&text);
}

/* CONFIG GET | SET | REWRITE | RESETSTAT | HELP */
void server_config(struct command_run *run)
{
    server.config(run);
}

/* TIME */
void server_time(struct command_run *run)
{
    int64_t now_us = clock_wall_us();
    reply_array(run->reply, 2);
    reply_bulk_integer(run->reply, now_us / 1000000);
    reply_bulk_integer(run->reply, now_us % 1000000);
}

/* LASTSAVE */
void server_lastsave(struct command_run *run)
{
    reply_integer(run->reply, server.last_save_s());
}

/* ROLE */
void server_role(struct command_run *run)
{
    reply_array(run->reply, 3);
    reply_bulk_text(run->reply, "master");
    reply_integer(run->reply, 0);
    reply_array(run->reply, 0);
}

/* REPLICAOF host port | NO ONE */
void server_replicaof(struct command_run *run)
{
    int64_t port;
    if (argument_is(run->argv[1], "no") && argument_is(run->argv[2], "one"))
        reply_ok(run->reply);
    else if (run_get_integer_in(run, run->argv[2], 0, 65535, "Invalid master port", &port))
        reply_error(run->reply, "ERR replication is not supported");
}

/* WAIT numreplicas timeout. Nobody will ever acknowledge: the time passes (0: for ever), as in a
 * Redis without replicas. */
void server_wait(struct command_run *run)
{
    int64_t replicas, timeout_ms;
    if (!run_get_integer(run, run->argv[1], &replicas) ||
        !argument_get_timeout_ms(run, run->argv[2], &timeout_ms))
        return;
    if (replicas > 0 && !run->access.in_transaction &&
        !run_wait_time(run, timeout_ms ? timeout_ms : INT64_MAX))
        return;
    if (run_was_unblocked(run))
        reply_error(run->reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    else
        reply_integer(run->reply, 0);
}

static bool parse_shutdown(const struct command_run *run, unsigned *flags, bool *abort_it)
{
    *flags = 0;
    *abort_it = false;
    for (int i = 1; i < run->argc; i++) {
        if (argument_is(run->argv[i], "nosave"))
            *flags |= SHUTDOWN_NOSAVE;
        else if (argument_is(run->argv[i], "save"))
            *flags |= SHUTDOWN_SAVE;
        else if (argument_is(run->argv[i], "now"))
            *flags |= SHUTDOWN_NOW;
        else if (argument_is(run->argv[i], "force"))
            *flags |= SHUTDOWN_FORCE;
        else if (argument_is(run->argv[i], "abort"))
            *abort_it = true;
        else
            return false;
    }
    unsigned both = SHUTDOWN_SAVE | SHUTDOWN_NOSAVE;
    return !(*abort_it && *flags) && (*flags & both) != both;
}

/* SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]. No reply: the connection ends. */
void server_shutdown(struct command_run *run)
{
    unsigned flags;
    bool abort_it;
    const char *error = NULL;
    if (!parse_shutdown(run, &flags, &abort_it))
        run_syntax_error(run);
    else if (abort_it)
        server.shutdown_abort(run);
    else if (!server.shutdown(flags, &error))
        reply_error_format(run->reply, "ERR %s",
                           error ? error : "Errors trying to SHUTDOWN. Check logs.");
}

/* MODULE LIST */
void module_list(struct command_run *run)
{
    reply_array(run->reply, 0);
}

/* MODULE LOAD path [arg ...] | LOADEX path [CONFIG name value ...] [ARGS arg ...] */
void module_load(struct command_run *run)
{
    reply_error(run->reply, "ERR Error loading the extension. Please check the server logs.");
}

/* MODULE UNLOAD name */
void module_unload(struct command_run *run)
{
    reply_error(run->reply, "ERR Error unloading module: no such module with that name");
}

/* MODULE HELP */
void module_help(struct command_run *run)
{
    static const char *const lines[] = {
        "LIST",
        "    Return a list of loaded modules.",
        "LOAD <path> [<arg> ...]",
        "    Load a module library from <path>, passing to it any optional arguments.",
        "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
        ("    Load a module library from <path>, while passing it module configurations and optional "
         "arguments."),
        "UNLOAD <name>",
        "    Unload a module.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}
