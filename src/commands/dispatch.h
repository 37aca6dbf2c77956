/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Dispatch: from a parsed request to a handler and back. Finds the row, checks what Redis checks
 * in Redis's order (unknown, arity, auth, MULTI queueing, loading, disk errors, pause), loads the
 * keys, runs the handler, commits its write set, and parks the client when something is missing; a
 * parked command runs again from its start. Loop thread.
 *
 *            +--------- wake: all that it waited for is there ----------+
 *            v                                                          |
 *   request -> run -> (nothing missing) -> commit -> done     parked ---+
 *                \-> (keys, scan, count or space missing) ------^ */
#ifndef KELVIN_COMMANDS_DISPATCH_H
#define KELVIN_COMMANDS_DISPATCH_H

#include "base/metric_page.h"
#include "commands/command.h"
#include "commands/session.h"
#include "protocol/parser.h"
#include "storage/keyspace.h"

enum dispatch_result {
    DISPATCH_DONE,   /* the reply is in session->reply */
    DISPATCH_PARKED  /* later: operations->resume is called. The request's bytes must stay where they
                        are until then, and no further request of the session may be run */
};

/* Runs one request with argc >= 1. */
enum dispatch_result dispatch_request(struct session *session, struct request *request);

/* Fewer than SESSION_DRAINED_BYTES of a session with awaits_drain wait to be sent: its reply goes on. */
void dispatch_drained(struct session *session);

/* The session ends while a command of it is parked: forgets the command. `resume` is not called. */
void dispatch_cancel(struct session *session);

/* The session's command waits for what others may never do: a pause, WAIT. Redis gives it up when
 * the peer has closed its side, even if only its sending one; what waits for a disk goes on. */
bool dispatch_waits_for_others(const struct session *session);

/* Called for each of a batch of parsed requests, twice (step 0 for all, then step 1 for all), before they
 * run: brings nearer the memory that the lookups of their keys will touch. */
void dispatch_prefetch(const struct session *session, const struct request *request, int step);

/* One run of a handler: all that it may use. */
struct command_run {
    struct session *session;
    const struct command *command;
    struct access access;
    struct reply *reply;
    int argc;
    const struct slice *argv;
    bool parked_custom;   /* the handler waits for something of its own (CLIENT PAUSE, a barrier):
                             see run_wait_barrier */
    bool keys_follow;     /* the reply goes on with what keyspace_next_keys gives (KEYS) */
    unsigned hits, misses; /* run_count_lookup: count once the run does */
    bool committed;       /* a write set was committed by the run (EXEC does it itself) */
};

/* --- helpers for handlers: each replies on failure and returns false; the handler then returns --- */
bool run_get_integer(struct command_run *run, struct slice text, int64_t *out); /* "value is not an
                                                                 integer or out of range" */
/* With bounds and a text of its own: "ERR ..." without the code. NULL: the default one. */
bool run_get_integer_in(struct command_run *run, struct slice text, int64_t minimum,
                        int64_t maximum, const char *error, int64_t *out);
bool run_get_long_double(struct command_run *run, struct slice text, long double *out);
/* The key's view. False when the handler must return: it waits, or the error has been replied, or
 * (run_get_string) the type is wrong. A missing key gives true with view->... and *exists false. */
bool run_get_key(struct command_run *run, struct slice key, bool *exists, struct key_view *view);
bool run_get_string(struct command_run *run, struct slice key, bool *exists, struct key_view *view);
/* For keyspace_hits and keyspace_misses. What a command looks up that only reads is counted by itself;
 * Redis also counts the keys from which some that write read (GETSET, COPY, BITOP). */
void run_count_lookup(struct command_run *run, bool exists);
/* False: return now (waiting, or the error has been replied). */
bool run_found(struct command_run *run, enum found found);
/* Replies with a string's bytes: shared when large, in pieces when chunked. False: it waits. */
bool run_reply_string(struct command_run *run, const struct key_view *view);
bool run_reply_string_range(struct command_run *run, const struct key_view *view, uint64_t offset,
                            uint64_t size);
void run_syntax_error(struct command_run *run);    /* "ERR syntax error" */
void run_wrong_type(struct command_run *run);
void run_arity_error(struct command_run *run);
/* A help reply: the lines, framed as Redis does (header and HELP lines added). */
void run_reply_help(struct command_run *run, const char *const *lines, size_t count);
/* Waits for a barrier (CHECKPOINT, DEBUG RELOAD). On the first run it parks (false: return); when the
 * handler runs again it gives true, and `*status` and `error` tell how it went. */
bool run_wait_barrier(struct command_run *run, enum barrier_kind kind, bool reload,
                      enum status *status, struct error *error);
/* Waits for some time (DEBUG SLEEP, WAIT). On the first run it parks (false: return); when the time has
 * passed the handler runs again and gets true. INT64_MAX: for ever. Not inside EXEC. */
bool run_wait_time(struct command_run *run, int64_t milliseconds);
/* After run_wait_time: CLIENT UNBLOCK asked for an error. */
bool run_was_unblocked(const struct command_run *run);
/* Parks and runs the handler again after some milliseconds, as often as it says so. */
void run_wait_time_again(struct command_run *run, int64_t milliseconds);
static inline unsigned run_database(const struct command_run *run)
{
    return (unsigned)run->session->database;
}

/* --- the server as commands see it: server/ fills it in --- */
struct server {
    struct keyspace *keyspace;
    /* Appends the INFO text of the sections (names in any case; none: the default ones). */
    void (*info)(const struct slice *sections, int count, struct buffer *out);
    void (*config)(struct command_run *run);      /* the CONFIG subcommands */
    /* SHUTDOWN: flags as below. Returns false and an error text when it cannot start. */
    bool (*shutdown)(unsigned flags, const char **error);
    void (*shutdown_abort)(struct command_run *run);
    const char *(*password)(void);                /* requirepass; "" none */
    int64_t (*last_save_s)(void);                 /* LASTSAVE: unix time of the last durable marker */
    /* enable-debug-command; for what is not DEBUG, enable-module-command. */
    bool (*is_permitted)(const struct session *session, bool debug);
    void (*enable_active_expire)(bool on);
    void (*memory_doctor)(struct buffer *out);
    void (*memory_stats)(struct command_run *run);
    /* All figures that the metrics page has (base/metric_page.h). */
    void (*visit_metrics)(const struct metric_visitor *visitor);
    void (*reset_metrics)(void); /* CONFIG RESETSTAT, METRICS RESET */
    /* Whether the data are there and writes are taken; if not, `error` says why. */
    bool (*is_ready)(struct error *error);
    const struct command_options *options;        /* live; then notice_refresh */
    bool (*is_secret_option)(struct slice name);  /* its value is shown to nobody */
    bool loading;                                 /* -LOADING */
    int64_t proto_max_bulk_bytes;                 /* the longest string; proto-max-bulk-len */
};
enum { SHUTDOWN_SAVE = 1, SHUTDOWN_NOSAVE = 2, SHUTDOWN_NOW = 4, SHUTDOWN_FORCE = 8 };
extern struct server server;

/* Start-up: the dispatcher's own state. */
void dispatch_init(void);
void dispatch_destroy(void);
/* CLIENT PAUSE: until `until_ms` all commands (or only those that write) of all sessions wait. */
void dispatch_pause(int64_t until_ms, bool writes_only);
void dispatch_unpause(void);
bool dispatch_is_paused(bool *writes_only, int64_t *until_ms);
/* A timer of the loop, each 10 ms or so while something waits on time (pauses). */
void dispatch_cron(int64_t now_ms);
/* Number of parked commands. */
size_t dispatch_parked_count(void);
/* Whether the session's command waits, but not for a disk: CLIENT PAUSE, WAIT, DEBUG SLEEP. */
bool dispatch_is_blocked(const struct session *session);
/* How many sessions are blocked, and for how many of them WAIT ends by its time. */
void dispatch_count_blocked(size_t *blocked, size_t *timed);
/* CLIENT UNBLOCK: WAIT of that session ends soon, as if its time had passed or with an error. False: it
 * is not in WAIT. */
bool dispatch_unblock(struct session *session, bool with_error);
/* The wall clock of this turn of the loop, milliseconds. Set by the loop once per turn. */
void dispatch_set_time(int64_t now_ms);
int64_t dispatch_time_ms(void);

/* Figures of dispatch as a whole. */
struct dispatch_metrics {
    struct counter commands, rejected, errors, unknown, parked, reruns, protocol_errors, denied_auth,
        slow;
};
extern struct dispatch_metrics dispatch_metrics;
extern const struct metric_table dispatch_metric_table;
/* errorstats: count per error code ("ERR", "WRONGTYPE"), bounded; walks name/count. */
void dispatch_error_count(struct slice code);
bool dispatch_error_at(size_t index, const char **code, uint64_t *count);
void dispatch_reset_stats(void);

#endif
