/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The life of a connection, and what commands may ask of it. Its states are drawn in connection.h;
 * move_to is the only function that changes them. Nothing is freed before the end of the turn, so
 * that any function may find out that its connection is dead. Loop thread. */
#include "net/connection.h"

#include "base/check.h"
#include "base/memory.h"
#include "commands/transaction.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

static void move_to(struct connection *connection, enum connection_state state)
{
    static const unsigned allowed[] = {
        [CONNECTION_OPEN] = 1 << CONNECTION_DRAINING | 1 << CONNECTION_DEAD,
        [CONNECTION_DRAINING] = 1 << CONNECTION_LINGERING | 1 << CONNECTION_DEAD,
        [CONNECTION_LINGERING] = 1 << CONNECTION_DEAD,
        [CONNECTION_DEAD] = 0,
    };
    ASSERT(allowed[connection->state] & 1u << state);
    connection->state = state;
    connection->session.closing = true;
    if (state == CONNECTION_DEAD) list_push_back(&connection->net->dying, &connection->dying);
    if (state == CONNECTION_DRAINING) connection_want_flush(connection);
}

/* --- what the session may ask --- */

static struct connection *from_session(struct session *session)
{
    return LIST_ENTRY(session, struct connection, session);
}

static void on_resume(struct session *session)
{
    connection_resumed(from_session(session));
}

static void on_close(struct session *session, bool after_replies)
{
    connection_close(from_session(session), after_replies);
}

static void on_flush(struct session *session)
{
    struct connection *connection = from_session(session);
    connection_note(connection);
    connection_want_flush(connection);
}

static void format_address(char *out, size_t size, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "?";
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        snprintf(out, size, "%s:%d", text, ntohs(v4->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        snprintf(out, size, "[%s]:%d", text, ntohs(v6->sin6_port));
    } else {
        snprintf(out, size, "?:0");
    }
}

static void on_describe(struct session *session, struct session_io *out)
{
    struct connection *connection = from_session(session);
    memset(out, 0, sizeof *out);
    out->fd = connection->fd;
    out->unix_socket = connection->unix_socket;
    if (connection->unix_socket) {
        snprintf(out->address, sizeof out->address, "%.120s:0",
                 connection->net->options->unixsocket);
        memcpy(out->local_address, out->address, sizeof out->address);
    } else {
        struct sockaddr_storage local = {0};
        socklen_t size = sizeof local;
        getsockname(connection->fd, (struct sockaddr *)&local, &size);
        format_address(out->address, sizeof out->address, &connection->peer.any);
        format_address(out->local_address, sizeof out->local_address,
                       (const struct sockaddr *)&local);
    }
    const struct input *input = connection->input;
    out->query_bytes = parser_big_bytes(connection->parser);
    if (input) {
        out->query_bytes += input->end;
        out->query_free_bytes = input->capacity - input->end;
        if (input->next < input->count) {
            const struct request *request = &input->requests[input->next];
            for (int i = 0; i < request->argc; i++)
                out->argument_bytes += request->argv[i].size;
        }
    }
    connection_count_memory(connection);
    out->output_blocks = reply_block_count(session->reply);
    out->output_bytes = reply_memory_bytes(session->reply);
    out->total_memory = connection->memory_bytes;
    snprintf(out->events, sizeof out->events, "%s%s", connection->reading ? "r" : "",
             connection->writing ? "w" : "");
}

static const struct session_operations operations = {
    .resume = on_resume,
    .close = on_close,
    .flush = on_flush,
    .describe = on_describe,
};

/* --- events --- */

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct connection *connection = argument;
    (void)fd;
    (void)what;
    loop_enter(connection->net->loop);
    connection_readable(connection);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
    struct connection *connection = argument;
    (void)fd;
    (void)what;
    loop_enter(connection->net->loop);
    connection->writable = true;
    connection_want_flush(connection);
}

void connection_set_reading(struct connection *connection, bool on)
{
    if (connection->reading == on) return;
    connection->reading = on;
    if (on) event_add(&connection->read_event, NULL);
    else event_del(&connection->read_event);
}

void connection_set_writing(struct connection *connection, bool on)
{
    if (connection->writing == on) return;
    connection->writing = on;
    if (on) event_add(&connection->write_event, NULL);
    else event_del(&connection->write_event);
}

/* --- life --- */

void connection_open(struct net *net, int fd, const struct sockaddr *peer, bool unix_socket)
{
    struct connection *connection = mem_calloc(1, sizeof *connection);
    bool authenticated = !server.password || server.password()[0] == '\0';
    connection->net = net;
    connection->fd = fd;
    connection->unix_socket = unix_socket;
    if (peer->sa_family == AF_INET) memcpy(&connection->peer, peer, sizeof(struct sockaddr_in));
    if (peer->sa_family == AF_INET6) memcpy(&connection->peer, peer, sizeof(struct sockaddr_in6));
    connection->parser = parser_create();
    event_assign(&connection->read_event, loop_base(net->loop), fd, EV_READ | EV_PERSIST,
                 on_readable, connection);
    event_assign(&connection->write_event, loop_base(net->loop), fd, EV_WRITE | EV_PERSIST,
                 on_writable, connection);
    session_open(&connection->session, &operations, authenticated, dispatch_time_ms());
    list_push_back(&net->connections, &connection->link);
    net->connection_count++;
    counter_add(&net->metrics->connections_accepted, 1);
    gauge_set(&net->metrics->connections, (int64_t)net->connection_count);
    connection_set_reading(connection, true);
    connection_count_memory(connection);
}

void connection_close(struct connection *connection, bool after_replies)
{
    if (connection->state == CONNECTION_DEAD) return;
    if (!after_replies) {
        move_to(connection, CONNECTION_DEAD);
        return;
    }
    if (connection->state == CONNECTION_OPEN) {
        connection_set_reading(connection, false);
        move_to(connection, CONNECTION_DRAINING);
    } else if (connection->state == CONNECTION_DRAINING && connection->linger) {
        shutdown(connection->fd, SHUT_WR);
        move_to(connection, CONNECTION_LINGERING);
        connection->linger_until_ms = dispatch_time_ms() + LINGER_MS;
        connection_set_reading(connection, true);
    } else {
        move_to(connection, CONNECTION_DEAD);
    }
}

static void unlink_if_linked(struct list_node *node)
{
    if (list_is_linked(node)) list_remove(node);
}

void connection_destroy(struct connection *connection)
{
    struct net *net = connection->net;
    session_close(&connection->session);
    if (connection->reading) event_del(&connection->read_event);
    if (connection->writing) event_del(&connection->write_event);
    close(connection->fd);
    list_remove(&connection->link);
    unlink_if_linked(&connection->ready);
    unlink_if_linked(&connection->flushing);
    unlink_if_linked(&connection->holding);
    unlink_if_linked(&connection->dying);
    if (connection->input) input_give_back(net, connection->input);
    parser_destroy(connection->parser);
    mem_free(connection->holds);
    net->client_memory_bytes -= connection->memory_bytes;
    net->client_output_bytes -= connection->output_bytes;
    net->connection_count--;
    counter_add(&net->metrics->connections_closed, 1);
    gauge_set(&net->metrics->connections, (int64_t)net->connection_count);
    mem_free(connection);
}

bool connection_is_idle(const struct connection *connection)
{
    return !connection->holds_parked && !list_is_linked(&connection->ready) &&
           (!connection->input || connection->input->next == connection->input->count) &&
           reply_pending_bytes(connection->session.reply) == 0;
}

void connection_count_memory(struct connection *connection)
{
    struct net *net = connection->net;
    const struct session *session = &connection->session;
    uint64_t output = reply_memory_bytes(session->reply);
    uint64_t request = parser_memory_bytes(connection->parser);
    uint64_t bytes = sizeof *connection + output + request +
                     connection->hold_capacity * sizeof(struct hold);
    const struct input *input = connection->input;
    if (input) {
        bytes += sizeof *input + input->capacity;
        for (int i = input->next; i < input->count; i++) {
            uint64_t held = request_memory_bytes(&input->requests[i]);
            bytes += held;
            if (held > request) request = held;
        }
        if (input->capacity > net->largest_input_bytes) net->largest_input_bytes = input->capacity;
    }
    if (output > net->largest_output_bytes) net->largest_output_bytes = output;
    if (session->transaction) bytes += transaction_memory_bytes(session);
    if (reply_pending_bytes(session->reply) == 0) connection->largest_reply_bytes = 0;
    connection->single_bytes = request + connection->largest_reply_bytes;
    net->client_memory_bytes += bytes - connection->memory_bytes;
    net->client_output_bytes += output - connection->output_bytes;
    connection->memory_bytes = bytes;
    connection->output_bytes = output;
}
