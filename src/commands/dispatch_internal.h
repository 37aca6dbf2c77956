/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What dispatch.c, dispatch_park.c and run.c share among themselves. Loop thread.
 *
 * A run registers itself with what it misses through a waiter, before anybody knows whether it will have
 * to wait; so the waiter lies in a `struct parking`, of which dispatch keeps one ready. When the run
 * must wait the parking goes to the session; otherwise the next run takes it. */
#ifndef KELVIN_COMMANDS_DISPATCH_INTERNAL_H
#define KELVIN_COMMANDS_DISPATCH_INTERNAL_H

#include "commands/dispatch.h"

enum park_reason {
    PARK_STREAM, /* it has run; the rest of its reply is on its way: dispatch_stream.c */
    PARK_DATA,  /* keys, a scan, a count, journal space, a barrier: the waiter is woken */
    PARK_PAUSE, /* CLIENT PAUSE */
    PARK_TIME,  /* run_wait_time */
    PARK_COMMIT /* it has run; a job has its commit (keyspace_commit): not run again */
};

struct parking {
    struct waiter waiter; /* first */
    struct list_node node; /* in the list of the parked */
    struct session *session;
    struct request *request;
    enum park_reason reason;
    int64_t wake_ms;   /* PARK_TIME */
    int64_t began_ns;
    int64_t resumed_ns, parked_ns; /* when it last began to run again, and to wait; 0: never */
    int64_t ran_ns, waited_ns;     /* before the present run */
    struct reply_mark reply_begin; /* PARK_COMMIT */
    /* What run_wait_barrier and run_wait_time need to know in the next run. */
    bool asked, answered;
    enum { UNBLOCK_NONE, UNBLOCK_TIMEOUT, UNBLOCK_ERROR } unblock; /* CLIENT UNBLOCK */
};

/* --- dispatch_park.c --- */
struct parking *parking_take(void);
void parking_give_back(struct parking *parking);
/* The session waits from now on; what woke it runs the request again. */
void parking_enter(struct parking *parking, struct session *session, struct request *request,
                   enum park_reason reason);
/* True when the command may not run now because of CLIENT PAUSE. */
bool pause_stops(const struct session *session, const struct command *command);
bool pause_stops_writes(void);
void parking_init(void);
void parking_destroy(void);

/* --- dispatch_stream.c --- */
enum stream_result {
    STREAM_ENDED,
    STREAM_WAITS /* for the next block, for the client to take one, or for its end as it is closed */
};
/* The next part of a reply whose command has run. */
enum stream_result stream_go_on(struct session *session, struct parking *parking);

/* --- dispatch.c --- */
/* The last part of a parked command's reply was written. */
void dispatch_finish_stream(struct parking *parking);
/* Runs a parked request again, and lets the session go on when it is done. */
void dispatch_again(struct parking *parking);

/* Out of the list of the parked; the request may run or be forgotten. */
void parking_leave(struct parking *parking);

struct parking *run_parking(const struct command_run *run);

#endif
