/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Inside net/: what its files share. A connection embeds the session that commands see. Loop
 * thread.
 *
 *   OPEN ----> DRAINING ----> LINGERING ----> DEAD        OPEN, DRAINING: also straight to DEAD
 *
 *   OPEN       reads, runs, answers
 *   DRAINING   runs nothing more; ends when the replies written so far are sent
 *   LINGERING  after a protocol error: our side is shut, what still comes is thrown away for a
 *              moment. (Closing a socket with unread bytes resets it, and the peer would lose
 *              the error that we sent.)
 *   DEAD       freed at the end of the turn */
#ifndef KELVIN_NET_CONNECTION_H
#define KELVIN_NET_CONNECTION_H

/* Before base/list.h: libevent's header needs the name LIST_ENTRY for itself. */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/list.h"
#include "commands/dispatch.h"
#include "commands/session.h"
#include "net/net.h"
#include "protocol/parser.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum {
    INPUT_BYTES = 16 * 1024,        /* a buffer as it comes from the pool */
    INPUT_LARGE_BYTES = 64 * 1024,  /* for a client whose last read filled one */
    INPUT_BATCH = 32,               /* requests parsed before the first of them runs */
    INPUT_POOL_MAX = 64,
    BIG_READ_MAX_BYTES = 1024 * 1024, /* of a big argument, per turn */
    TURN_MAX_COMMANDS = 1000,       /* of one client */
    TURN_MAX_SEND_BYTES = 512 * 1024, /* to one client */
    SEND_VECTORS = 64,
    DRAIN_STALL_MS = 60 * 1000,       /* of the last replies, while the peer takes nothing */
    LINGER_MS = 1000,
    UNAUTHENTICATED_QUERY_BYTES = 1024 * 1024,
    UNAUTHENTICATED_REPLY_BYTES = 17 * 1024, /* as in Redis */
    CRON_MS = 100,
    CRON_ROUND = 10 /* each connection is looked at once in so many crons */
};

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_DRAINING,
    CONNECTION_LINGERING,
    CONNECTION_DEAD
};

/* Bytes that were read and the requests found in them. A connection has one only while it has
 * bytes or requests that are not done with, so an idle client costs no buffer, and the buffer that
 * is read into is warm. The bytes must not move while requests point into them. */
struct input {
    struct input *next_free;
    char *data;
    size_t capacity, start, end; /* [start, end) is not yet parsed */
    int next, count;             /* [next, count) are parsed and not yet done */
    struct request requests[INPUT_BATCH];
};

/* Nothing behind `position` may be sent before `sequence` is acknowledged. */
struct hold {
    uint64_t position, sequence;
};

struct output_limit {
    uint64_t hard_bytes, soft_bytes;
    int64_t soft_s;
};
enum client_class { CLASS_NORMAL, CLASS_REPLICA, CLASS_PUBSUB, CLASS_COUNT };

struct connection {
    struct session session;
    struct net *net;
    struct list_node link;     /* net->connections */
    struct list_node ready;    /* net->ready: has input to go on with */
    struct list_node flushing; /* net->flushing: may have something to send */
    struct list_node holding;  /* net->holding: has holds */
    struct list_node dying;    /* net->dying */
    enum connection_state state;
    int fd;
    bool reading, writing; /* the event is added */
    bool writable;         /* it fired */
    bool ended;            /* the peer sends no more */
    bool read_filled;      /* the last read filled its buffer */
    bool unix_socket;
    bool linger;           /* DRAINING goes to LINGERING */
    bool malformed;        /* protocol_error is to be sent once the requests before it have run */
    bool holds_parked;     /* requests[next] is parked in dispatch */
    const char *protocol_error;
    struct parser *parser;
    struct input *input;
    uint64_t turn; /* of turn_commands */
    unsigned turn_commands;
    uint64_t noted_position, noted_sequence; /* replies up to here have their holds */
    struct hold *holds; /* a ring that starts over when empty */
    unsigned hold_first, hold_count, hold_capacity;
    uint64_t hold_turn;
    uint64_t memory_bytes, output_bytes; /* as counted in net's sums */
    uint64_t largest_reply_bytes; /* of one command, since all was sent last */
    uint64_t single_bytes;        /* of memory_bytes: the largest single request and reply */
    int64_t soft_limit_since_ms;         /* 0: below the soft limit */
    int64_t linger_until_ms;
    int64_t stalled_since_us; /* since when a streamed reply waits for the client; 0: it does not */
    struct event read_event, write_event;
    union {
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr any;
    } peer;
};

struct listener;

struct net {
    struct loop *loop;
    struct net_options *options;
    struct net_metrics *metrics;
    struct net_hooks hooks;
    struct loop_timer *cron;
    struct listener *listeners;
    char *listening_bind; /* the options that the listeners were opened with */
    int64_t listening_port, listening_backlog;
    bool draining;
    size_t connection_count;
    struct list connections, ready, flushing, holding, dying;
    struct input *free_inputs;
    unsigned free_input_count;
    struct output_limit output_limits[CLASS_COUNT];
    uint64_t maxmemory_bytes, client_memory_limit_bytes; /* 0: none */
    uint64_t client_memory_bytes, client_output_bytes;
    uint64_t largest_input_bytes, largest_output_bytes; /* of this round of the cron */
    uint64_t shown_input_bytes, shown_output_bytes;     /* of the last one */
    size_t round_left;
    int64_t turn_began_us;
    int64_t dispatch_cron_ms; /* when parked commands were last looked at */
};

/* connection.c: life and state. */
void connection_open(struct net *net, int fd, const struct sockaddr *peer, bool unix_socket);
void connection_close(struct connection *connection, bool after_replies);
void connection_destroy(struct connection *connection);
void connection_set_reading(struct connection *connection, bool on);
void connection_set_writing(struct connection *connection, bool on);
/* Brings net's sums up to date. */
void connection_count_memory(struct connection *connection);
bool connection_is_idle(const struct connection *connection);

/* connection_read.c: from bytes to commands. */
void connection_readable(struct connection *connection);
void connection_go_on(struct connection *connection);
void connection_resumed(struct connection *connection);
void connection_peer_ended(struct connection *connection);
struct input *input_take(struct net *net);
void input_give_back(struct net *net, struct input *input);
void input_pool_free(struct net *net);
void connection_shrink_input(struct connection *connection);

/* connection_write.c: from replies to bytes. */
void connection_note(struct connection *connection);
void connection_want_flush(struct connection *connection);
void connection_flush(struct connection *connection);
/* Closes it, and returns true, when a limit is passed. */
bool connection_check_output(struct connection *connection);
/* The same for a client that takes nothing of a streamed reply. */
bool connection_check_stream(struct connection *connection);

/* limits.c: upkeep of many. */
void limits_cron(struct net *net);
void limits_evict(struct net *net);
/* Merges the classes that `text` names into `limits`. */
enum status limits_parse_output(const char *text, struct output_limit limits[CLASS_COUNT],
                                struct error *error);
void limits_format_output(const struct output_limit limits[CLASS_COUNT], struct buffer *out);
enum status limits_parse_memory(const char *text, uint64_t maxmemory_bytes, uint64_t *out,
                                struct error *error);

/* listener.c */
enum status listeners_open(struct net *net, const char *bind, int64_t port, struct error *error);
enum status listeners_open_unix(struct net *net, struct error *error);
void listeners_close(struct net *net, bool unix_too);
void listeners_describe(const struct net *net, struct buffer *out);
/* After a connection was closed: listeners that had run out of descriptors try again. */
void listeners_retry(struct net *net);
/* After tcp-keepalive changed: accepted sockets inherit it. */
void listeners_set_keepalive(struct net *net);
enum status listeners_check_bind(const char *bind, struct error *error);

#endif
