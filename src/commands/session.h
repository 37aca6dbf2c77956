/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A session: a client as the commands see it. net/ owns the socket and embeds one of these in each
 * connection; commands reach the connection only through the small table of functions below. The
 * registry holds all sessions. Loop thread. */
#ifndef KELVIN_COMMANDS_SESSION_H
#define KELVIN_COMMANDS_SESSION_H

#include "base/bytes.h"
#include "base/list.h"
#include "protocol/reply.h"

#include <stdbool.h>
#include <stdint.h>

struct session;
struct command;
struct transaction;
struct server;

/* What CLIENT LIST tells of the connection. Texts are valid until the next call. */
struct session_io {
    char address[128];      /* "127.0.0.1:6379", "[::1]:6379", "/path:0" */
    char local_address[128];
    int fd;
    uint64_t query_bytes, query_free_bytes, argument_bytes; /* qbuf, qbuf-free, argv-mem */
    uint64_t output_fixed_bytes, output_blocks, output_bytes; /* obl, oll, omem */
    uint64_t total_memory;
    char events[4];         /* "r", "rw" */
    bool unix_socket;
};

struct session_operations {
    /* A command that had been parked has ended (its reply is written): go on with what follows. */
    void (*resume)(struct session *session);
    /* Close soon: at once, or after the replies so far are sent. Safe from inside a handler. */
    void (*close)(struct session *session, bool after_replies);
    /* Something was written to session->reply outside of the session's own command. */
    void (*flush)(struct session *session);
    void (*describe)(struct session *session, struct session_io *out);
};

/* A reply that is made while it is sent: the next part is asked for when less than this is pending. */
enum { SESSION_DRAINED_BYTES = 256 * 1024 };

enum reply_mode { REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP };

struct session {
    struct list_node link;          /* in the registry */
    const struct session_operations *operations;
    struct reply *reply;            /* owned by the session */
    uint64_t id;
    int database;
    bool authenticated;
    bool no_evict, no_touch;
    bool monitoring;                /* MONITOR: reads and writes no keys */
    bool closing;                   /* close was asked for: run nothing more */
    bool parked;                    /* a command waits: dispatch_park.c */
    bool committing;                /* a job reads what its request holds: the session must not be
                                       closed before that ends (operations->resume tells) */
    enum reply_mode reply_mode;
    int64_t created_ms, active_ms;  /* wall clock */
    uint64_t depends_on;            /* highest sequence that the replies written so far depend on: net
                                       sends no byte behind it before it is acknowledged */
    bool awaits_drain;              /* its reply goes on when the client has taken more of it:
                                       dispatch_drained */
    const struct command *last_command;
    char *name, *library_name, *library_version; /* owned, "" when unset: never NULL */
    struct transaction *transaction; /* NULL outside MULTI and WATCH */
    void *parking;                   /* dispatch's, while parked */
    struct list_node monitor_link;   /* monitor.c's */
    uint64_t commands, bytes_in, bytes_out;
};

/* Fills in a new session (database 0, RESP2) and registers it under the next id. */
void session_open(struct session *session, const struct session_operations *operations,
                  bool authenticated, int64_t now_ms);
/* Ends it: a parked command is cancelled, a transaction discarded, watches dropped. */
void session_close(struct session *session);
/* Back to the state of a new connection (RESET); `authenticated` as given. */
void session_reset(struct session *session, bool authenticated);

struct session *session_find(uint64_t id);
size_t session_count(void);
/* All sessions, oldest first. */
struct list *session_list(void);
/* Appends the line of CLIENT LIST (with its final '\n' only if `newline`). */
void session_describe(struct session *session, struct buffer *out, bool newline, int64_t now_ms);

#endif
