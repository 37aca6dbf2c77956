/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a server answers that is in no cluster and has no scripts and no functions. Loop thread. */
#include "commands/argument.h"
#include "commands/server.h"

/* CLUSTER ..., READONLY, READWRITE, ASKING */
void cluster_disabled(struct command_run *run)
{
    reply_error(run->reply, "ERR This instance has cluster support disabled");
}

/* --- scripts --- */

static void nothing_runs(struct command_run *run)
{
    reply_error(run->reply, "NOTBUSY No scripts in execution right now.");
}

static bool is_flush_mode(struct slice word)
{
    return argument_is(word, "sync") || argument_is(word, "async");
}

/* SCRIPT EXISTS sha1 [sha1 ...] */
void script_exists(struct command_run *run)
{
    reply_array(run->reply, (uint64_t)run->argc - 2);
    for (int i = 2; i < run->argc; i++) reply_integer(run->reply, 0);
}

/* SCRIPT FLUSH [ASYNC | SYNC] */
void script_flush(struct command_run *run)
{
    if (run->argc == 2 || (run->argc == 3 && is_flush_mode(run->argv[2])))
        reply_ok(run->reply);
    else
        reply_error(run->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
}

/* SCRIPT KILL */
void script_kill(struct command_run *run)
{
    nothing_runs(run);
}

/* SCRIPT HELP */
void script_help(struct command_run *run)
{
    static const char *const lines[] = {
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the scripts cache.",
        "    * SYNC: Synchronously flush the scripts cache.",
        "KILL",
        "    Kill the currently executing Lua script.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}

/* --- functions --- */

/* FUNCTION FLUSH [ASYNC | SYNC] */
void function_flush(struct command_run *run)
{
    if (run->argc > 3)
        argument_unknown(run);
    else if (run->argc == 2 || is_flush_mode(run->argv[2]))
        reply_ok(run->reply);
    else
        reply_error(run->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
}

/* FUNCTION KILL */
void function_kill(struct command_run *run)
{
    nothing_runs(run);
}

/* FUNCTION DELETE library-name */
void function_delete(struct command_run *run)
{
    reply_error(run->reply, "ERR Library not found");
}

/* FUNCTION DUMP: the format's version (10) and checksum behind no function at all. */
void function_dump(struct command_run *run)
{
    reply_bulk(run->reply, SLICE_LITERAL("\x0a\x00\x5d\x9b\x5c\x40\x0f\x7f\xa2\xda"));
}

/* FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE] */
void function_list(struct command_run *run)
{
    bool with_code = false, with_name = false;
    for (int i = 2; i < run->argc; i++) {
        struct slice word = argument_text(run->argv[i]);
        if (!with_code && slice_equal_nocase(word, "withcode")) {
            with_code = true;
        } else if (!with_name && slice_equal_nocase(word, "libraryname")) {
            if (++i == run->argc) {
                reply_error(run->reply, "ERR library name argument was not given");
                return;
            }
            with_name = true;
        } else {
            reply_error_format(run->reply, "ERR Unknown argument %.*s", (int)word.size,
                               word.data);
            return;
        }
    }
    reply_array(run->reply, 0);
}

/* FUNCTION STATS */
void function_stats(struct command_run *run)
{
    reply_map(run->reply, 2);
    reply_bulk_text(run->reply, "running_script");
    reply_null(run->reply);
    reply_bulk_text(run->reply, "engines");
    reply_map(run->reply, 1);
    reply_bulk_text(run->reply, "LUA");
    reply_map(run->reply, 2);
    reply_bulk_text(run->reply, "libraries_count");
    reply_integer(run->reply, 0);
    reply_bulk_text(run->reply, "functions_count");
    reply_integer(run->reply, 0);
}

/* FUNCTION HELP */
void function_help(struct command_run *run)
{
    static const char *const lines[] = {
        "DELETE <LIBRARY NAME>",
        "    Delete the given library.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return general information on all the libraries:",
        "    * Library name",
        "    * The engine used to run the Library",
        "    * Library description",
        "    * Functions list",
        "    * Library code (if WITHCODE is given)",
        "    It also possible to get only function that matches a pattern using LIBRARYNAME "
        "argument.",
        "STATS",
        "    Return information about the current function running:",
        "    * Function name",
        "    * Command used to run the function",
        "    * Duration in MS that the function is running",
        "    If no function is running, return nil",
        "    In addition, returns a list of available engines.",
        "KILL",
        "    Kill the current running function.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the libraries.",
        "    * SYNC: Synchronously flush the libraries.",
        "DUMP",
        "    Return a serialized payload representing the current libraries, can be restored using "
        "FUNCTION RESTORE command",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}
