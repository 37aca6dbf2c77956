/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The network: listeners and connections. It reads requests, runs them through
 * commands/dispatch.h in order, and sends the replies, once per turn of the loop. Loop thread.
 *
 * A reply leaves when the highest sequence that it depends on is acknowledged: the server says
 * with `acknowledged` how far that is, and with net_acknowledged that it moved. */
#ifndef KELVIN_NET_NET_H
#define KELVIN_NET_NET_H

#include "base/metric.h"
#include "base/option.h"
#include "base/status.h"
#include "net/loop.h"

struct net_options {
    char *bind;
    int64_t port;
    char *unixsocket;
    int64_t unixsocketperm;
    int64_t tcp_backlog;
    int64_t tcp_keepalive_s;
    int64_t timeout_s;
    int64_t reply_stream_timeout_s;
    int64_t maxclients;
    bool protected_mode;
    int64_t proto_max_bulk_bytes;
    int64_t client_query_buffer_limit_bytes;
    char *client_output_buffer_limit;
    char *maxmemory_clients;
};
extern const struct option_table net_option_table;

struct net_metrics {
    struct counter connections_accepted, connections_rejected, connections_denied,
        connections_closed, accept_failures, evicted, closed_query_limit, closed_output_limit,
        closed_idle, closed_stream, received_bytes, sent_bytes, reads, writes, write_stalls, read_pauses,
        held_replies, turns, budget_turns;
    struct gauge connections, client_memory_bytes, client_output_bytes;
    struct histogram turn_seconds;
};
extern const struct metric_table net_metric_table;

struct net_hooks {
    void *context;
    /* Near the end of each turn, after commands have run and before their replies are sent; called
     * again in the same turn when it made parked commands go on. Returns the milliseconds after
     * which it wants to be called again; -1: when something happens. May be NULL. */
    int64_t (*end_turn)(void *context);
    /* Replies that depend on sequences up to here may leave. NULL: all may. */
    uint64_t (*acknowledged)(void *context);
};

struct net;

/* `options` and `metrics` outlive the network; the options may be changed, then
 * net_apply_options. STATUS_INVALID for an option text that cannot be read (see
 * net_check_options). Takes over the loop's turn. */
enum status net_create(struct net **out, struct loop *loop, struct net_options *options,
                       struct net_metrics *metrics, const struct net_hooks *hooks,
                       struct error *error);
/* Closes listeners and connections at once. */
void net_destroy(struct net *net);

/* Opens what `bind`, `port` and `unixsocket` say. On failure nothing is open. */
enum status net_listen(struct net *net, struct error *error);
/* What is listened on, "127.0.0.1:6379, [::1]:6379, /run/kelvin.sock". Appends. */
void net_describe_listeners(const struct net *net, struct buffer *out);

/* Whether the texts in `options` can be read: client-output-buffer-limit, maxmemory-clients,
 * bind. */
enum status net_check_options(const struct net_options *options, struct error *error);
/* Takes changed options over; listens anew when bind, port or tcp-backlog changed (on failure on
 * what it was before, with the error). client-output-buffer-limit may name some classes only, and
 * is rewritten with all of them. */
enum status net_apply_options(struct net *net, struct error *error);
/* What a percentage of maxmemory-clients refers to. */
void net_set_maxmemory(struct net *net, uint64_t bytes);

/* `acknowledged` moved: replies that waited for it leave at the end of this turn. */
void net_acknowledged(struct net *net);

/* Stop: accepts no more, reads no more; what was read is run and answered. */
void net_drain(struct net *net);
/* True when, after net_drain, no command runs or waits and no reply waits to be sent. */
bool net_is_drained(const struct net *net);

/* Memory held by connections: buffers, replies, transactions. */
uint64_t net_client_memory_bytes(const struct net *net);
size_t net_connection_count(const struct net *net);
/* INFO: the largest input buffer and the largest output of the clients seen lately. */
void net_largest_buffers(const struct net *net, uint64_t *input_bytes, uint64_t *output_bytes);

#endif
