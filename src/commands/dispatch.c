/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From a request to a handler and back (the picture is in dispatch.h). Everything that a run did is
 * thrown away when something was missing; nothing of it is visible before its commit has succeeded.
 * Loop thread. */
#include "commands/dispatch.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "commands/dispatch_internal.h"
#include "commands/notice.h"
#include "commands/options.h"
#include "commands/server.h"
#include "commands/transaction.h"

#include <stdio.h>

enum { PREFETCH_KEYS = 16, ERROR_CODES = 128, ERROR_CODE_BYTES = 32, ECHOED_BYTES = 128 };

struct server server;
struct dispatch_metrics dispatch_metrics;

#define DISPATCH_METRIC(name, field, info, help)                                                   \
    {"kelvin_commands_" name, METRIC_COUNTER, offsetof(struct dispatch_metrics, field), "", info, help}

static const struct metric rows[] = {
    DISPATCH_METRIC("total", commands, "total_commands_processed", "Commands that were run."),
    DISPATCH_METRIC("rejected_total", rejected, "total_commands_rejected",
                    "Commands refused before they ran: unknown, wrong arity, not authenticated."),
    DISPATCH_METRIC("errors_total", errors, "total_error_replies", "Error replies."),
    DISPATCH_METRIC("unknown_total", unknown, "total_unknown_commands", "Commands that do not exist."),
    DISPATCH_METRIC("parked_total", parked, "total_commands_parked",
                    "Times that a command had to wait for keys, a scan, space or time."),
    DISPATCH_METRIC("reruns_total", reruns, "total_commands_rerun",
                    "Times that a parked command ran again."),
    DISPATCH_METRIC("protocol_errors_total", protocol_errors, "total_protocol_errors",
                    "Malformed requests."),
    DISPATCH_METRIC("denied_total", denied_auth, "total_commands_denied",
                    "Commands of clients that had not authenticated."),
    DISPATCH_METRIC("slow_total", slow, "total_commands_slow",
                    "Commands that held the loop for slowlog-log-slower-than: SLOWLOG GET names them."),
};
const struct metric_table dispatch_metric_table = {"commands", rows, sizeof rows / sizeof *rows};

static struct {
    struct write_set *writes;
    int64_t now_ms;
    int64_t last_ns; /* when the command before ended, in the same batch; 0: not known */
    struct command_run *run;
    struct parking *parking; /* of the run under way */
    size_t error_codes;
    struct {
        char code[ERROR_CODE_BYTES];
        uint64_t count;
    } errors[ERROR_CODES];
} state;

void dispatch_init(void)
{
    state.writes = write_set_create();
    state.now_ms = clock_wall_ms();
    parking_init();
}

void dispatch_destroy(void)
{
    write_set_destroy(state.writes);
    state.writes = NULL;
    parking_destroy();
}

void dispatch_set_time(int64_t now_ms)
{
    state.now_ms = now_ms;
    state.last_ns = 0;
}

int64_t dispatch_time_ms(void)
{
    return state.now_ms;
}

struct parking *run_parking(const struct command_run *run)
{
    ASSERT(run == state.run);
    return state.parking;
}

/* --- errorstats --- */

void dispatch_error_count(struct slice code)
{
    size_t size = code.size < ERROR_CODE_BYTES - 1 ? code.size : ERROR_CODE_BYTES - 1;
    counter_add(&dispatch_metrics.errors, 1);
    for (size_t i = 0; i < state.error_codes; i++)
        if (strlen(state.errors[i].code) == size &&
            memcmp(state.errors[i].code, code.data, size) == 0) {
            state.errors[i].count++;
            return;
        }
    if (state.error_codes == ERROR_CODES) return;
    memcpy(state.errors[state.error_codes].code, code.data, size);
    state.errors[state.error_codes].code[size] = 0;
    state.errors[state.error_codes++].count = 1;
}

bool dispatch_error_at(size_t index, const char **code, uint64_t *count)
{
    if (index >= state.error_codes) return false;
    *code = state.errors[index].code;
    *count = state.errors[index].count;
    return true;
}

void dispatch_reset_stats(void)
{
    state.error_codes = 0;
    metric_reset(&dispatch_metric_table, &dispatch_metrics);
}

static bool is_error_at(const struct reply *reply, struct reply_mark mark)
{
    return reply_written(reply) != mark.position && reply_is_error_at(reply, mark);
}

static bool count_error_at(const struct reply *reply, struct reply_mark mark)
{
    if (!is_error_at(reply, mark)) return false;
    char text[ERROR_CODE_BYTES + 1];
    size_t size = reply_peek(reply, mark, text, sizeof text);
    size_t end = 1;
    while (end < size && text[end] != ' ' && text[end] != '\r') end++;
    dispatch_error_count(slice_make(text + 1, end - 1));
    return true;
}

/* --- refusing --- */

static void append_printable(struct buffer *out, struct slice text, size_t most)
{
    for (size_t i = 0; i < text.size && i < most && text.data[i]; i++)
        buffer_append(out, &text.data[i], 1);
}

static void reply_unknown_command(struct session *session, const struct request *request)
{
    struct buffer text = {0}, arguments = {0};
    buffer_append_text(&text, "ERR unknown command '");
    append_printable(&text, request->argv[0], ECHOED_BYTES);
    buffer_append_text(&text, "', with args beginning with: ");
    for (int i = 1; i < request->argc && arguments.size < ECHOED_BYTES; i++) {
        size_t most = ECHOED_BYTES - arguments.size;
        buffer_append_text(&arguments, "'");
        append_printable(&arguments, request->argv[i], most);
        buffer_append_text(&arguments, "' ");
    }
    buffer_append_slice(&text, buffer_slice(&arguments));
    buffer_append(&text, "", 1);
    reply_error(session->reply, text.data);
    buffer_free(&text);
    buffer_free(&arguments);
    counter_add(&dispatch_metrics.unknown, 1);
}

static void reply_unknown_subcommand(struct session *session, const struct command *command,
                                     struct slice name)
{
    struct buffer text = {0};
    buffer_append_text(&text, "ERR unknown subcommand '");
    append_printable(&text, name, ECHOED_BYTES);
    buffer_append_text(&text, "'. Try ");
    for (const char *p = command->name; *p; p++) {
        char upper = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
        buffer_append(&text, &upper, 1);
    }
    buffer_append(&text, " HELP.", sizeof " HELP.");
    reply_error(session->reply, text.data);
    buffer_free(&text);
}

/* An EXEC that may not run ends its transaction, and says why. */
static void refuse(struct session *session, const struct command *command, const char *code,
                   const char *text)
{
    char full[256 + 16];
    (void)snprintf(full, sizeof full, "%s %s", code, text);
    if (command->handler == command_exec)
        transaction_abort(session, strcmp(code, "ERR") == 0 ? text : full);
    else
        reply_error(session->reply, full);
}

static void refuse_arity(struct session *session, const struct command *command)
{
    char text[128];
    (void)snprintf(text, sizeof text, "wrong number of arguments for '%s' command",
                   command_full_name(command));
    refuse(session, command, "ERR", text);
}

static bool is_debug(const struct command *command)
{
    return command->handler == server_debug;
}

static void refuse_protected(struct session *session, const struct command *command)
{
    bool debug = is_debug(command);
    char text[256];
    (void)snprintf(text, sizeof text,
                   "%s command not allowed. If the enable-%s-command option is set to \"local\", you "
                   "can run it from a local connection, otherwise you need to set this option in the "
                   "configuration file, and then restart the server.",
                   debug ? "DEBUG" : "MODULE", debug ? "debug" : "module");
    refuse(session, command, "ERR", text);
}

/* What may run before there is a keyspace. */
static bool runs_while_loading(const struct command *command)
{
    if (!(command->flags & COMMAND_LOADING)) return false;
    static const char *const need_keys[] = {"select", "watch", "exec", "debug", "unwatch"};
    for (size_t i = 0; i < sizeof need_keys / sizeof *need_keys; i++)
        if (strcmp(command->name, need_keys[i]) == 0) return false;
    return true;
}

/* False: refused, the error is in the reply. */
static bool may_run(struct session *session, const struct command *command,
                    const struct request *request)
{
    if (!command_takes(command, request->argc)) {
        refuse_arity(session, command);
    } else if ((command->flags & COMMAND_PROTECTED) &&
               !server.is_permitted(session, is_debug(command))) {
        refuse_protected(session, command);
    } else if (!session->authenticated && !(command->flags & COMMAND_NO_AUTH)) {
        counter_add(&dispatch_metrics.denied_auth, 1);
        refuse(session, command, "NOAUTH", "Authentication required.");
    } else if ((command->flags & COMMAND_NO_MULTI) && transaction_is_open(session)) {
        reply_error(session->reply, "ERR Command not allowed inside a transaction");
    } else if (server.loading && !runs_while_loading(command)) {
        refuse(session, command, "LOADING", "Redis is loading the dataset in memory");
    } else if (session->monitoring &&
               (command->flags & (COMMAND_WRITE | COMMAND_READONLY | COMMAND_MAY_REPLICATE))) {
        refuse(session, command, "ERR", "Replica can't interact with the keyspace");
    } else {
        return true;
    }
    return false;
}

/* What a browser sends when a foreign page makes it talk to us: nothing that follows may run. */
static bool is_http(struct slice name)
{
    return slice_equal_nocase(name, "post") || slice_equal_nocase(name, "host:");
}

/* The row to run, or NULL when the request was refused (the error is in the reply). */
static const struct command *accept_request(struct session *session, const struct request *request)
{
    const struct command *command = request->row ? request->row : command_find(request->argv[0]);
    session->last_command = NULL;
    if (!command) {
        if (is_http(request->argv[0])) {
            log_write(LOG_WARNING, "client %llu sends HTTP and is closed: a web page may be behind it",
                      (unsigned long long)session->id);
            session->operations->close(session, false);
        } else {
            reply_unknown_command(session, request);
        }
        return NULL;
    }
    if (command->subcommands && request->argc > 1) {
        const struct command *sub = command_find_sub(command, request->argv[1]);
        if (!sub) {
            reply_unknown_subcommand(session, command, request->argv[1]);
            return NULL;
        }
        command = sub;
    }
    session->last_command = command;
    if (may_run(session, command, request)) return command;
    counter_add(&command_stats(command)->rejected, 1);
    return NULL;
}

/* --- running --- */

static void run_begin(struct command_run *run, struct session *session,
                      const struct command *command, const struct request *request)
{
    run->session = session;
    run->command = command;
    run->reply = session->reply;
    run->argc = request->argc;
    run->argv = request->argv;
    run->hits = run->misses = 0;
    run->parked_custom = run->committed = run->keys_follow = false;
    access_begin(&run->access, server.keyspace, state.writes, &state.parking->waiter,
                 state.now_ms);
    run->access.may_end_later = true;
    run->access.no_touch = session->no_touch;
    run->access.keep_expired = pause_stops_writes();
    /* A subcommand's keys are not those that its container's row told. */
    if (request->row == command && command->first_key > 0 && command->first_key < request->argc) {
        run->access.hinted_key = request->argv[command->first_key];
        run->access.hinted_hash = request->row_hash;
    }
}

/* Asks for all keys of the command at once. */
static bool load_keys(struct command_run *run)
{
    const struct command *command = run->command;
    if (command->first_key > 0) {
        int last = command->last_key < 0 ? run->argc + command->last_key : command->last_key;
        if (last >= run->argc) last = run->argc - 1;
        if (last < command->first_key) return true;
        size_t step = (size_t)command->key_step;
        size_t count = (size_t)(last - command->first_key) / step + 1;
        return keyspace_load_strided(&run->access, run_database(run),
                                     run->argv + command->first_key, count, step) == FOUND;
    }
    int few[16];
    int *indexes = run->argc <= 16 ? few : mem_alloc((size_t)run->argc * sizeof *indexes);
    int count = command_key_indexes(command, run->argv, run->argc, indexes, run->argc);
    bool all = true;
    for (int i = 0; i < count; i++)
        all &= keyspace_load(&run->access, run_database(run), &run->argv[indexes[i]], 1) == FOUND;
    if (indexes != few) mem_free(indexes);
    return all;
}

/* One call of a handler that counts, of EXEC's too. */
static void account_call(const struct command *command, const struct reply *reply,
                         struct reply_mark mark, int64_t began_ns)
{
    int64_t now_ns = clock_monotonic_ns();
    struct command_stats *stats = command_stats(command);
    counter_add(&stats->calls, 1);
    counter_add(&stats->usec, (uint64_t)(now_ns - began_ns) / 1000);
    if (!server.options || server.options->latency_tracking)
        histogram_record_us(&stats->latency_ns, (uint64_t)(now_ns - began_ns));
    if (count_error_at(reply, mark)) counter_add(&stats->failed, 1);
    counter_add(&dispatch_metrics.commands, 1);
    state.last_ns = now_ns;
}

/* A call that has ended, and that took as long as somebody wants to know. */
static void notice_end(struct session *session, const struct command *command, int argc,
                       const struct slice *argv, int64_t began_ns)
{
    struct notice notice = {.session = session, .command = command, .argc = argc, .argv = argv,
                            .run_ns = state.last_ns - began_ns, .ended_ns = state.last_ns};
    const struct parking *parking = state.run ? NULL : state.parking; /* EXEC's commands have none */
    if (parking && parking->parked_ns) {
        bool has_run = parking->reason == PARK_COMMIT;
        if (has_run) notice.ended_ns = parking->parked_ns;
        notice.run_ns = parking->ran_ns + (has_run ? 0 : state.last_ns - parking->resumed_ns);
        notice.wait_ns = parking->waited_ns;
    }
    notice_call(&notice);
    if (!state.run) notice_settle(session->depends_on);
}

void dispatch_run_queued(struct command_run *run, const struct command *command, int argc,
                         const struct slice *argv)
{
    const struct command *outer = run->command;
    int outer_argc = run->argc;
    const struct slice *outer_argv = run->argv;
    struct reply_mark mark = reply_get_mark(run->reply);
    int64_t began_ns = state.last_ns ? state.last_ns : clock_monotonic_ns();
    bool was_closing = run->session->closing;
    run->command = command;
    run->argc = argc;
    run->argv = argv;
    command->handler(run);
    if (!run->access.wait && !run->parked_custom) {
        account_call(command, run->reply, mark, began_ns);
        if (state.last_ns - began_ns >= notice_from_ns)
            notice_end(run->session, command, argc, argv, began_ns);
    }
    /* What ran before closed this client (CLIENT KILL): it gets no more. */
    if (was_closing) reply_rollback(run->reply, mark);
    run->command = outer;
    run->argc = outer_argc;
    run->argv = outer_argv;
}

enum run_result {
    RUN_DONE,
    RUN_WAITS,  /* nothing has happened */
    RUN_COMMITS /* all has, but for the commit, which a job has */
};

/* Runs the handler and commits. */
static enum run_result run_once(struct command_run *run)
{
    struct access *access = &run->access;
    struct reply_mark mark = reply_get_mark(run->reply);
    struct waiter *waiter = access->waiter;
    if (waiter->failed && !state.parking->asked) {
        run_found(run, FOUND_ERROR); /* what it waited for could not be had */
        return RUN_DONE;
    }
    if (!(run->command->flags & COMMAND_NEEDS_VALUES) || load_keys(run))
        run->command->handler(run);
    if (access->wait == WAIT_COMMIT) return RUN_COMMITS; /* EXEC's own */
    if (access->wait || run->parked_custom) goto wait;
    if (!run->committed && write_set_count(access->writes)) {
        bool reserve = run->command->flags & COMMAND_FREES;
        struct error error = {0};
        if (is_error_at(run->reply, mark) && !write_set_only_expires(access->writes)) {
            access_abandon(access); /* the reply says that it failed, so nothing happens */
            return RUN_DONE;
        }
        bool only_expires = write_set_only_expires(access->writes);
        enum status status = keyspace_commit(access, reserve || only_expires, &error);
        if (access->wait == WAIT_COMMIT) return RUN_COMMITS;
        if (status != STATUS_OK && only_expires) {
            /* A read need not wait for the delete of what it found expired (rule 6). */
            access_abandon(access);
            access->wait = 0;
            return RUN_DONE;
        }
        if (status == STATUS_AGAIN) goto wait;
        if (status != STATUS_OK) {
            access_abandon(access);
            reply_rollback(run->reply, mark);
            reply_error_format(run->reply, "MISCONF %s", error.text);
        }
    }
    return RUN_DONE;
wait:
    notice_drop();
    access_abandon(access);
    reply_rollback(run->reply, mark);
    return RUN_WAITS;
}

/* CLIENT REPLY SKIP: the reply of the next command alone is thrown away. */
static void step_reply_mode(struct session *session)
{
    if (session->reply_mode == REPLY_SKIP_NEXT) {
        session->reply_mode = REPLY_SKIP;
        reply_set_enabled(session->reply, false);
    } else if (session->reply_mode == REPLY_SKIP) {
        session->reply_mode = REPLY_ON;
        reply_set_enabled(session->reply, true);
    }
}

static void account(const struct command *command, struct session *session,
                    const struct request *request, struct reply_mark mark, int64_t began_ns)
{
    account_call(command, session->reply, mark, began_ns);
    session->commands++;
    if (state.last_ns - began_ns >= notice_from_ns)
        notice_end(session, command, request->argc, request->argv, began_ns);
}

/* The present run's parking becomes the session's. */
static enum dispatch_result park(struct session *session, struct request *request,
                                 enum park_reason reason, int64_t began_ns)
{
    struct parking *parking = state.parking;
    state.parking = NULL;
    parking->began_ns = began_ns;
    parking->parked_ns = clock_monotonic_ns();
    parking->ran_ns +=
        parking->parked_ns - (parking->resumed_ns ? parking->resumed_ns : began_ns);
    counter_add(&dispatch_metrics.parked, 1);
    parking_enter(parking, session, request, reason);
    return DISPATCH_PARKED;
}

static enum dispatch_result execute(struct session *session, struct request *request,
                                    const struct command *command, int64_t began_ns)
{
    struct command_run run;
    state.run = &run;
    run_begin(&run, session, command, request);
    struct reply_mark mark = reply_get_mark(session->reply);
    enum run_result result = run_once(&run);
    state.run = NULL;
    if (result == RUN_WAITS)
        return park(session, request,
                    run.parked_custom && state.parking->reason == PARK_TIME ? PARK_TIME : PARK_DATA,
                    began_ns);
    if (run.access.depends_on > session->depends_on) session->depends_on = run.access.depends_on;
    if (run.hits + run.misses > 0) keyspace_count_lookups(server.keyspace, run.hits, run.misses);
    if (result == RUN_COMMITS) {
        state.parking->reply_begin = mark;
        session->committing = true;
        notice_settle(session->depends_on); /* the commands of an EXEC */
        return park(session, request, PARK_COMMIT, began_ns);
    }
    account(command, session, request, mark, began_ns);
    if (run.keys_follow && stream_go_on(session, state.parking) == STREAM_WAITS)
        return park(session, request, PARK_STREAM, began_ns);
    return DISPATCH_DONE;
}

/* Whether the request waits in the queue of a transaction instead of running. */
static bool is_queued(const struct session *session, const struct command *command)
{
    return transaction_is_open(session) && !(command->flags & COMMAND_IN_MULTI);
}

static enum dispatch_result run_request(struct session *session, struct request *request,
                                        int64_t began_ns)
{
    struct reply_mark mark = reply_get_mark(session->reply);
    const struct command *command = accept_request(session, request);
    if (!command) {
        count_error_at(session->reply, mark);
        counter_add(&dispatch_metrics.rejected, 1);
        transaction_mark_failed(session);
        return DISPATCH_DONE;
    }
    if (pause_stops(session, command)) return park(session, request, PARK_PAUSE, began_ns);
    if (is_queued(session, command)) {
        transaction_queue(session, command, request);
        return DISPATCH_DONE;
    }
    return execute(session, request, command, began_ns);
}

/* The end of a request, at once or after it was parked. */
static void finish(struct session *session, struct request *request)
{
    request->row = NULL;
    step_reply_mode(session);
    if (!state.parking) return;
    struct parking *parking = state.parking;
    state.parking = NULL;
    parking_give_back(parking);
}

enum dispatch_result dispatch_request(struct session *session, struct request *request)
{
    ASSERT_THREAD(THREAD_LOOP);
    ASSERT(!session->parked);
    int64_t began_ns = state.last_ns ? state.last_ns : clock_monotonic_ns();
    session->active_ms = state.now_ms;
    state.parking = parking_take();
    enum dispatch_result result = run_request(session, request, began_ns);
    if (result == DISPATCH_DONE) finish(session, request);
    return result;
}

/* The row of a request that has run before. */
static const struct command *row_again(const struct request *request)
{
    const struct command *command = command_find(request->argv[0]);
    if (command->subcommands && request->argc > 1)
        command = command_find_sub(command, request->argv[1]);
    return command;
}

/* The commit that a job had is done; the reply has been there since the command ran. */
static void end_commit(const struct parking *parking, const struct command *command)
{
    struct session *session = parking->session;
    session->committing = false;
    if (command->handler == command_exec) transaction_discard(session);
    account(command, session, parking->request, parking->reply_begin, parking->began_ns);
}

/* DEBUG SLEEP stands for a command that takes long: in Redis it holds everybody up. */
static void count_wait(struct parking *parking)
{
    parking->resumed_ns = clock_monotonic_ns();
    int64_t passed_ns = parking->resumed_ns - parking->parked_ns;
    if (parking->reason == PARK_TIME && is_debug(row_again(parking->request)))
        parking->ran_ns += passed_ns;
    else if (parking->reason != PARK_COMMIT)
        parking->waited_ns += passed_ns;
}

void dispatch_again(struct parking *parking)
{
    ASSERT(parking->reason != PARK_STREAM);
    struct session *session = parking->session;
    struct request *request = parking->request;
    int64_t began_ns = parking->began_ns;
    enum park_reason reason = parking->reason;
    counter_add(&dispatch_metrics.reruns, 1);
    count_wait(parking);
    parking_leave(parking);
    state.parking = parking;
    state.last_ns = 0;
    enum dispatch_result result;
    if (reason == PARK_PAUSE) {
        result = run_request(session, request, began_ns);
    } else if (reason == PARK_COMMIT) {
        end_commit(parking, row_again(request));
        result = DISPATCH_DONE;
    } else {
        result = execute(session, request, row_again(request), began_ns);
    }
    if (result == DISPATCH_PARKED) return;
    finish(session, request);
    session->operations->resume(session);
}

void dispatch_finish_stream(struct parking *parking)
{
    struct session *session = parking->session;
    parking_leave(parking);
    state.parking = parking;
    finish(session, parking->request);
    session->operations->resume(session);
}

/* --- prefetch --- */

void dispatch_prefetch(const struct session *session, const struct request *request, int step)
{
    struct request *noted = (struct request *)(uintptr_t)request;
    state.last_ns = 0;
    if (step == 0) noted->row = command_find(request->argv[0]);
    const struct command *command = request->row;
    if (!command || command->first_key <= 0 || command->first_key >= request->argc ||
        !server.keyspace)
        return;
    int last = command->last_key < 0 ? request->argc + command->last_key : command->last_key;
    if (last >= request->argc) last = request->argc - 1;
    int keys = 0;
    for (int i = command->first_key; i <= last && keys < PREFETCH_KEYS;
         i += command->key_step, keys++) {
        uint64_t hash = keys == 0 && step == 1
                            ? request->row_hash
                            : hash_key(request->argv[i].data, request->argv[i].size);
        if (keys == 0) noted->row_hash = hash;
        keyspace_prefetch(server.keyspace, (unsigned)session->database, hash, step);
    }
}
