/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From bytes to commands. One read per readable client and turn; all requests in it are parsed (up
 * to INPUT_BATCH at a time), the memory that their keys lie in is prefetched, then they run in
 * order.
 *
 *   read -> [parse a batch -> prefetch -> run each] until the bytes are used up
 *                                           |  \-- a command parks: the rest waits for on_resume
 *                                           \----- too many for one turn: the rest runs in the next
 *
 * While requests of a batch are not done, the bytes stay where they are and more are read only into
 * what room is left behind them; after that the socket is not read. Loop thread. */
#include "net/connection.h"

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "commands/transaction.h"

#include <errno.h>

/* --- buffers --- */

struct input *input_take(struct net *net)
{
    struct input *input = net->free_inputs;
    if (input) {
        net->free_inputs = input->next_free;
        net->free_input_count--;
    } else {
        input = mem_alloc(sizeof *input);
        input->data = mem_alloc(INPUT_BYTES);
        input->capacity = INPUT_BYTES;
        for (int i = 0; i < INPUT_BATCH; i++) request_init(&input->requests[i]);
    }
    input->start = input->end = 0;
    input->next = input->count = 0;
    return input;
}

static void input_free(struct input *input)
{
    mem_free(input->data);
    mem_free(input);
}

void input_give_back(struct net *net, struct input *input)
{
    for (int i = input->next; i < input->count; i++) request_release(&input->requests[i]);
    if (net->free_input_count >= INPUT_POOL_MAX) {
        input_free(input);
        return;
    }
    if (input->capacity > INPUT_LARGE_BYTES) {
        mem_free(input->data);
        input->data = mem_alloc(INPUT_BYTES);
        input->capacity = INPUT_BYTES;
    }
    input->next_free = net->free_inputs;
    net->free_inputs = input;
    net->free_input_count++;
}

void input_pool_free(struct net *net)
{
    while (net->free_inputs) {
        struct input *input = net->free_inputs;
        net->free_inputs = input->next_free;
        input_free(input);
    }
    net->free_input_count = 0;
}

static bool has_requests(const struct connection *connection)
{
    return connection->input && connection->input->next < connection->input->count;
}

static void resize_input(struct input *input, size_t capacity)
{
    char *data = mem_alloc(capacity);
    memcpy(data, input->data + input->start, input->end - input->start);
    mem_free(input->data);
    input->data = data;
    input->capacity = capacity;
    input->end -= input->start;
    input->start = 0;
}

/* Half a request of a client that does not go on keeps no more than it has. */
void connection_shrink_input(struct connection *connection)
{
    struct input *input = connection->input;
    if (!input || has_requests(connection)) return;
    size_t used = input->end - input->start;
    size_t capacity = mem_good_size(used + used / 4 + 64);
    if (capacity * 2 <= input->capacity) resize_input(input, capacity);
}

/* Where to read to. 0: there is no room while requests point into the buffer. */
static size_t find_room(struct connection *connection, char **room)
{
    size_t size = parser_big_room(connection->parser, room);
    if (size > 0 && (!connection->input || connection->input->start == connection->input->end))
        return size < BIG_READ_MAX_BYTES ? size : BIG_READ_MAX_BYTES;
    if (!connection->input) connection->input = input_take(connection->net);
    struct input *input = connection->input;
    if (!has_requests(connection)) {
        size_t wanted = connection->read_filled ? INPUT_LARGE_BYTES : INPUT_BYTES;
        size_t used = input->end - input->start;
        if (used * 2 > wanted) wanted = used * 2;
        if (wanted > input->capacity) {
            resize_input(input, wanted);
        } else if (input->start > 0) {
            memmove(input->data, input->data + input->start, used);
            input->start = 0;
            input->end = used;
        }
    }
    *room = input->data + input->end;
    return input->capacity - input->end;
}

/* --- running --- */

static bool turn_is_used_up(struct connection *connection)
{
    uint64_t turn = loop_turns(connection->net->loop);
    if (connection->turn != turn) {
        connection->turn = turn;
        connection->turn_commands = 0;
    }
    return connection->turn_commands >= TURN_MAX_COMMANDS;
}

static void request_done(struct connection *connection)
{
    struct input *input = connection->input;
    request_release(&input->requests[input->next++]);
    connection_note(connection);
}

static void want_to_go_on(struct connection *connection)
{
    if (!list_is_linked(&connection->ready))
        list_push_back(&connection->net->ready, &connection->ready);
}

/* Runs what was parsed. False when it has to stop before the end. */
static bool run_batch(struct connection *connection)
{
    struct input *input = connection->input;
    while (input->next < input->count) {
        if (connection->state != CONNECTION_OPEN) return false;
        if (turn_is_used_up(connection)) {
            counter_add(&connection->net->metrics->budget_turns, 1);
            want_to_go_on(connection);
            return false;
        }
        connection->turn_commands++;
        struct request *request = &input->requests[input->next];
        if (dispatch_request(&connection->session, request) == DISPATCH_PARKED) {
            connection->holds_parked = true;
            return false;
        }
        request_done(connection);
        if (connection_check_output(connection)) return false;
    }
    return true;
}

/* Parses requests from what was read. Returns how many there are to run. */
static int parse_batch(struct connection *connection)
{
    struct input *input = connection->input;
    const struct parser_limits limits = {
        .max_bulk_bytes = connection->net->options->proto_max_bulk_bytes,
        .authenticated = connection->session.authenticated,
    };
    /* AUTH changes what the next request may be. */
    int most = limits.authenticated ? INPUT_BATCH : 1;
    input->next = input->count = 0;
    while (input->count < most) {
        struct request *request = &input->requests[input->count];
        size_t consumed;
        enum parser_result result =
            parser_next(connection->parser, &limits, input->data + input->start,
                        input->end - input->start, &consumed, request,
                        &connection->protocol_error);
        input->start += consumed;
        if (result == PARSER_ERROR) connection->malformed = true;
        if (result != PARSER_COMMAND) break;
        if (request->argc > 0) input->count++;
    }
    return input->count;
}

static void prefetch(const struct connection *connection)
{
    const struct input *input = connection->input;
    if (input->count < 2) return;
    for (int step = 0; step < 2; step++)
        for (int i = 0; i < input->count; i++)
            dispatch_prefetch(&connection->session, &input->requests[i], step);
}

static void answer_malformed(struct connection *connection)
{
    counter_add(&dispatch_metrics.protocol_errors, 1);
    dispatch_error_count(SLICE_LITERAL("ERR"));
    reply_error_format(connection->session.reply, "ERR %s", connection->protocol_error);
    connection_note(connection);
    log_write(LOG_VERBOSE, "client %llu: %s", (unsigned long long)connection->session.id,
              connection->protocol_error);
    connection->linger = true;
    connection_close(connection, true);
}

/* Everything that was read has run. */
static void input_used_up(struct connection *connection)
{
    struct input *input = connection->input;
    if (input->start == input->end) {
        input_give_back(connection->net, input);
        connection->input = NULL;
    }
    if (connection->ended || connection->net->draining)
        connection_close(connection, true);
    else
        connection_set_reading(connection, true);
}

void connection_go_on(struct connection *connection)
{
    connection_want_flush(connection);
    if (connection->state != CONNECTION_OPEN || connection->holds_parked) return;
    if (!connection->input) connection->input = input_take(connection->net);
    for (;;) {
        if (has_requests(connection) && !run_batch(connection)) return;
        if (connection->state != CONNECTION_OPEN) return;
        if (connection->malformed) {
            answer_malformed(connection);
            return;
        }
        if (parse_batch(connection) > 0) prefetch(connection);
        else if (!connection->malformed) break;
    }
    input_used_up(connection);
}

void connection_resumed(struct connection *connection)
{
    ASSERT(connection->holds_parked && has_requests(connection));
    connection->holds_parked = false;
    request_done(connection);
    connection_want_flush(connection);
    if (!connection_check_output(connection)) want_to_go_on(connection);
}

/* --- reading --- */

static void discard(struct connection *connection)
{
    char bytes[4096];
    ssize_t size = recv(connection->fd, bytes, sizeof bytes, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
        connection_close(connection, false);
}

static bool query_limit_is_passed(struct connection *connection)
{
    const struct input *input = connection->input;
    size_t bytes = parser_memory_bytes(connection->parser);
    if (input) bytes += input->end - input->start;
    /* What MULTI has queued was sent by the same client and has not run either. */
    if (connection->session.transaction) bytes += transaction_memory_bytes(&connection->session);
    size_t limit = (size_t)connection->net->options->client_query_buffer_limit_bytes;
    if (!connection->session.authenticated && limit > UNAUTHENTICATED_QUERY_BYTES)
        limit = UNAUTHENTICATED_QUERY_BYTES;
    if (bytes <= limit) return false;
    counter_add(&connection->net->metrics->closed_query_limit, 1);
    log_write(LOG_WARNING, "client %llu closed: its requests passed client-query-buffer-limit",
              (unsigned long long)connection->session.id);
    connection_close(connection, false);
    return true;
}

/* The peer sends no more; what it has sent is still answered, but nobody waits on its behalf. */
void connection_peer_ended(struct connection *connection)
{
    connection->ended = true;
    connection_set_reading(connection, false);
    if (connection_is_idle(connection)) connection_close(connection, false);
    else if (dispatch_waits_for_others(&connection->session)) connection_close(connection, true);
    else if (!connection->holds_parked && !has_requests(connection))
        connection_close(connection, true);
}

/* `size` bytes were put to `room`. */
static void received(struct connection *connection, const char *room, size_t size, size_t asked)
{
    struct net *net = connection->net;
    struct input *input = connection->input;
    counter_add(&net->metrics->received_bytes, size);
    connection->session.bytes_in += size;
    connection->session.active_ms = dispatch_time_ms();
    if (input && room == input->data + input->end) {
        connection->read_filled = size == asked;
        input->end += size;
    } else {
        parser_big_filled(connection->parser, size);
        char *more;
        if (parser_big_room(connection->parser, &more) > 0) {
            /* Nothing to parse before it is whole. */
            connection_count_memory(connection);
            query_limit_is_passed(connection);
            return;
        }
    }
    if (query_limit_is_passed(connection)) return;
    if (!list_is_linked(&connection->ready)) connection_go_on(connection);
}

void connection_readable(struct connection *connection)
{
    if (connection->state == CONNECTION_LINGERING) {
        discard(connection);
        return;
    }
    if (connection->state != CONNECTION_OPEN || connection->ended) {
        connection_set_reading(connection, false);
        return;
    }
    char *room;
    size_t asked = find_room(connection, &room);
    if (asked == 0) {
        counter_add(&connection->net->metrics->read_pauses, 1);
        connection_set_reading(connection, false);
        return;
    }
    counter_add(&connection->net->metrics->reads, 1);
    ssize_t size = recv(connection->fd, room, asked, 0);
    if (size > 0) {
        received(connection, room, (size_t)size, asked);
    } else if (size == 0) {
        connection_peer_ended(connection);
    } else if (errno != EAGAIN && errno != EINTR) {
        connection_close(connection, false);
    } else if (connection->input && connection->input->start == connection->input->end &&
               !has_requests(connection)) {
        input_give_back(connection->net, connection->input);
        connection->input = NULL;
    }
}
