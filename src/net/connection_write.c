/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From replies to bytes on the socket. Replies are collected during a turn and sent at its end with
 * one call per client; only when the socket is full does the loop wait until it can be written.
 *
 * A command may make its reply depend on a sequence (session.depends_on). connection_note, called
 * after each command, turns that into a hold: no byte from the beginning of that command's reply
 * on is sent before the sequence is acknowledged. Nothing behind the last note is sent either: a
 * command that is parked may still take back what it wrote. Loop thread. */
#include "net/connection.h"

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"

#include <errno.h>

/* --- holds --- */

static uint64_t acknowledged(const struct net *net)
{
    return net->hooks.acknowledged ? net->hooks.acknowledged(net->hooks.context) : UINT64_MAX;
}

static void push_hold(struct connection *connection, uint64_t position, uint64_t sequence)
{
    uint64_t turn = loop_turns(connection->net->loop);
    if (connection->hold_count > 0 && connection->hold_turn == turn) {
        /* What one turn wrote is synced together: one hold for all of it. */
        connection->holds[connection->hold_first + connection->hold_count - 1].sequence = sequence;
        return;
    }
    if (connection->hold_first + connection->hold_count == connection->hold_capacity) {
        unsigned capacity = connection->hold_count * 2 + 8;
        struct hold *holds = mem_alloc(capacity * sizeof *holds);
        if (connection->hold_count > 0)
            memcpy(holds, connection->holds + connection->hold_first,
                   connection->hold_count * sizeof *holds);
        mem_free(connection->holds);
        connection->holds = holds;
        connection->hold_first = 0;
        connection->hold_capacity = capacity;
    }
    connection->holds[connection->hold_first + connection->hold_count++] =
        (struct hold){position, sequence};
    connection->hold_turn = turn;
    counter_add(&connection->net->metrics->held_replies, 1);
    if (!list_is_linked(&connection->holding))
        list_push_back(&connection->net->holding, &connection->holding);
}

void connection_note(struct connection *connection)
{
    uint64_t sequence = connection->session.depends_on;
    if (sequence > connection->noted_sequence) {
        connection->noted_sequence = sequence;
        if (sequence > acknowledged(connection->net))
            push_hold(connection, connection->noted_position, sequence);
    }
    uint64_t written = reply_written(connection->session.reply);
    if (written - connection->noted_position > connection->largest_reply_bytes)
        connection->largest_reply_bytes = written - connection->noted_position;
    connection->noted_position = written;
}

/* The position before which everything may be sent. */
static uint64_t send_limit(struct connection *connection)
{
    if (connection->hold_count > 0) {
        uint64_t reached = acknowledged(connection->net);
        while (connection->hold_count > 0 &&
               connection->holds[connection->hold_first].sequence <= reached) {
            connection->hold_first++;
            connection->hold_count--;
        }
        if (connection->hold_count > 0) return connection->holds[connection->hold_first].position;
        connection->hold_first = 0;
        if (list_is_linked(&connection->holding)) list_remove(&connection->holding);
    }
    return connection->noted_position;
}

/* --- limits --- */

static void close_for_output(struct connection *connection, const char *why)
{
    counter_add(&connection->net->metrics->closed_output_limit, 1);
    log_write(LOG_WARNING, "client %llu closed: %s passed",
              (unsigned long long)connection->session.id, why);
    connection_close(connection, false);
}

bool connection_check_output(struct connection *connection)
{
    const struct output_limit *limit = &connection->net->output_limits[CLASS_NORMAL];
    bool authenticated = connection->session.authenticated;
    if (limit->hard_bytes == 0 && limit->soft_bytes == 0 && authenticated) return false;
    uint64_t bytes = reply_pending_bytes(connection->session.reply);
    if (!authenticated && bytes > UNAUTHENTICATED_REPLY_BYTES) {
        close_for_output(connection, "what is kept for a client without login");
        return true;
    }
    if (limit->hard_bytes > 0 && bytes >= limit->hard_bytes) {
        close_for_output(connection, "the hard limit of client-output-buffer-limit");
        return true;
    }
    if (limit->soft_bytes == 0 || bytes < limit->soft_bytes) {
        connection->soft_limit_since_ms = 0;
        return false;
    }
    int64_t now_ms = dispatch_time_ms();
    if (connection->soft_limit_since_ms == 0) connection->soft_limit_since_ms = now_ms;
    if (now_ms - connection->soft_limit_since_ms <= limit->soft_s * 1000) return false;
    close_for_output(connection, "the soft limit of client-output-buffer-limit");
    return true;
}

/* --- streamed replies --- */

/* What is held back until a write is durable is not the client's fault. */
bool connection_check_stream(struct connection *connection)
{
    struct net *net = connection->net;
    if (connection->stalled_since_us == 0) return false;
    if (connection->hold_count > 0) connection->stalled_since_us = net->turn_began_us;
    int64_t stalled_us = net->turn_began_us - connection->stalled_since_us;
    if (stalled_us <= net->options->reply_stream_timeout_s * 1000000) return false;
    counter_add(&net->metrics->closed_stream, 1);
    log_write(LOG_WARNING, "client %llu closed: it has taken nothing of a long reply for %lld s "
                           "(reply-stream-timeout)",
              (unsigned long long)connection->session.id, (long long)(stalled_us / 1000000));
    connection_close(connection, false);
    return true;
}

/* The client has taken enough: more of its reply may be made. */
static void go_on_with_stream(struct connection *connection)
{
    struct session *session = &connection->session;
    if (!session->awaits_drain || connection->state != CONNECTION_OPEN) {
        connection->stalled_since_us = 0;
    } else if (reply_pending_bytes(session->reply) < SESSION_DRAINED_BYTES) {
        connection->stalled_since_us = 0;
        dispatch_drained(session);
    } else if (connection->stalled_since_us == 0) {
        connection->stalled_since_us = connection->net->turn_began_us;
    }
}

/* --- sending --- */

void connection_want_flush(struct connection *connection)
{
    if (!list_is_linked(&connection->flushing))
        list_push_back(&connection->net->flushing, &connection->flushing);
}

static ssize_t send_vectors(int fd, struct iovec *vectors, int count)
{
    /* The kernel has less to do for one piece, which is what most replies are. */
    if (count == 1) return send(fd, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL);
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

enum sent { SENT_ALL, SENT_PART, SENT_FAILED };

static enum sent send_replies(struct connection *connection)
{
    struct net *net = connection->net;
    struct reply *reply = connection->session.reply;
    uint64_t limit = send_limit(connection);
    size_t total = 0;
    struct iovec vectors[SEND_VECTORS];
    int count;
    while ((count = reply_gather(reply, limit, vectors, SEND_VECTORS)) > 0) {
        if (total >= TURN_MAX_SEND_BYTES) return SENT_PART;
        size_t asked = 0;
        for (int i = 0; i < count; i++) asked += vectors[i].iov_len;
        counter_add(&net->metrics->writes, 1);
        ssize_t size = send_vectors(connection->fd, vectors, count);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno != EAGAIN) return SENT_FAILED;
        if (size > 0) {
            reply_consume(reply, (uint64_t)size);
            total += (size_t)size;
            counter_add(&net->metrics->sent_bytes, (uint64_t)size);
            connection->session.bytes_out += (uint64_t)size;
            connection->session.active_ms = dispatch_time_ms();
        }
        if (size < 0 || (size_t)size < asked) {
            counter_add(&net->metrics->write_stalls, 1);
            return SENT_PART;
        }
    }
    return SENT_ALL;
}

void connection_flush(struct connection *connection)
{
    if (connection->state == CONNECTION_DEAD || connection->state == CONNECTION_LINGERING) return;
    /* While the socket is known to be full it is left alone. */
    bool full = connection->writing && !connection->writable;
    connection->writable = false;
    enum sent sent = full ? SENT_PART : send_replies(connection);
    if (sent == SENT_FAILED) {
        connection_close(connection, false);
        return;
    }
    connection_set_writing(connection, sent == SENT_PART);
    if (connection_check_output(connection)) return;
    connection_count_memory(connection);
    if (connection->state == CONNECTION_DRAINING && sent == SENT_ALL &&
        connection->hold_count == 0)
        connection_close(connection, true);
    go_on_with_stream(connection);
}
