/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Upkeep of many connections: a cron looks at each of them once a second (idle clients, soft output
 * limits, forgotten half requests), and the largest ones are closed when all together hold more
 * than maxmemory-clients. Also the texts of the options about it. Loop thread. */
#include "net/connection.h"

#include "base/log.h"
#include "base/memory.h"

#include <poll.h>
#include <stdio.h>

enum { SHRINK_IDLE_MS = 2000 };

static const char *const class_names[CLASS_COUNT] = {"normal", "slave", "pubsub"};

/* Its last replies are ready, and the peer takes none of them. */
static bool has_stopped(const struct connection *connection, int64_t idle_ms)
{
    return connection->state == CONNECTION_DRAINING && connection->hold_count == 0 &&
           idle_ms > DRAIN_STALL_MS;
}

/* A client whose buffer is full is not read, so that its end is not seen there. */
static void look_for_end(struct connection *connection)
{
    if (connection->reading || connection->ended || connection->state != CONNECTION_OPEN ||
        !dispatch_waits_for_others(&connection->session))
        return;
    struct pollfd peer = {.fd = connection->fd, .events = POLLRDHUP};
    if (poll(&peer, 1, 0) == 1) connection_peer_ended(connection);
}

static void look_at(struct connection *connection, int64_t now_ms)
{
    struct net *net = connection->net;
    int64_t idle_ms = now_ms - connection->session.active_ms;
    if (connection->state == CONNECTION_LINGERING) {
        if (now_ms >= connection->linger_until_ms) connection_close(connection, false);
        return;
    }
    if (connection->state == CONNECTION_DEAD || connection_check_output(connection) ||
        connection_check_stream(connection))
        return;
    if (has_stopped(connection, idle_ms)) {
        counter_add(&net->metrics->closed_idle, 1);
        log_write(LOG_VERBOSE, "client %llu closed: it does not take its last replies",
                  (unsigned long long)connection->session.id);
        connection_close(connection, false);
        return;
    }
    look_for_end(connection);
    int64_t timeout_s = net->options->timeout_s;
    if (timeout_s > 0 && idle_ms > timeout_s * 1000 && !connection->holds_parked &&
        !connection->session.monitoring) {
        counter_add(&net->metrics->closed_idle, 1);
        log_write(LOG_VERBOSE, "client %llu closed: idle for %lld s",
                  (unsigned long long)connection->session.id, (long long)(idle_ms / 1000));
        connection_close(connection, false);
        return;
    }
    if (idle_ms > SHRINK_IDLE_MS) connection_shrink_input(connection);
    connection_count_memory(connection);
}

static void begin_round(struct net *net)
{
    net->shown_input_bytes = net->largest_input_bytes;
    net->shown_output_bytes = net->largest_output_bytes;
    net->largest_input_bytes = net->largest_output_bytes = 0;
    net->round_left = net->connection_count;
}

void limits_cron(struct net *net)
{
    if (net->round_left == 0) begin_round(net);
    size_t count = net->connection_count / CRON_ROUND + 1;
    if (count > net->round_left) count = net->round_left;
    net->round_left -= count;
    while (count-- > 0 && !list_is_empty(&net->connections)) {
        struct list_node *node = list_pop_front(&net->connections);
        list_push_back(&net->connections, node);
        look_at(LIST_ENTRY(node, struct connection, link), dispatch_time_ms());
    }
    gauge_set(&net->metrics->client_memory_bytes, (int64_t)net->client_memory_bytes);
    gauge_set(&net->metrics->client_output_bytes, (int64_t)net->client_output_bytes);
}

/* --- maxmemory-clients ---
 *
 * The largest single request or reply among all clients comes on top of the limit: a value of
 * 512 MB can be set and read whatever the limit is, but only one at a time. */

static uint64_t largest_single(const struct net *net)
{
    uint64_t largest = 0;
    LIST_FOR_EACH (node, &net->connections) {
        const struct connection *connection = LIST_ENTRY(node, struct connection, link);
        if (connection->single_bytes > largest) largest = connection->single_bytes;
    }
    return largest;
}

static struct connection *find_largest(struct net *net)
{
    struct connection *largest = NULL;
    LIST_FOR_EACH (node, &net->connections) {
        struct connection *connection = LIST_ENTRY(node, struct connection, link);
        if (connection->state == CONNECTION_DEAD || connection->session.no_evict) continue;
        if (!largest || connection->memory_bytes > largest->memory_bytes) largest = connection;
    }
    return largest;
}

void limits_evict(struct net *net)
{
    uint64_t limit = net->client_memory_limit_bytes, gone = 0;
    if (limit == 0 || net->client_memory_bytes <= limit) return;
    limit += largest_single(net);
    while (net->client_memory_bytes - gone > limit) {
        struct connection *connection = find_largest(net);
        if (!connection) return;
        counter_add(&net->metrics->evicted, 1);
        log_write(LOG_NOTICE, "client %llu closed: clients hold more than maxmemory-clients, and "
                              "it holds the most (%llu bytes)",
                  (unsigned long long)connection->session.id,
                  (unsigned long long)connection->memory_bytes);
        gone += connection->memory_bytes;
        connection_close(connection, false);
    }
}

enum status limits_parse_memory(const char *text, uint64_t maxmemory_bytes, uint64_t *out,
                                struct error *error)
{
    size_t size = strlen(text);
    int64_t value;
    if (size > 1 && text[size - 1] == '%') {
        if (!slice_to_int64(slice_make(text, size - 1), &value) || value < 0)
            return error_set(error, STATUS_INVALID, "argument must be a memory or percent value");
        if (value > 100)
            return error_set(error, STATUS_INVALID,
                             "percentage argument must be less or equal to 100");
        *out = maxmemory_bytes / 100 * (uint64_t)value;
        return STATUS_OK;
    }
    if (!option_parse_bytes(slice_make(text, size), &value) || value < 0)
        return error_set(error, STATUS_INVALID, "argument must be a memory or percent value");
    *out = (uint64_t)value;
    return STATUS_OK;
}

/* --- client-output-buffer-limit --- */

static int find_class(struct slice name)
{
    if (slice_equal_nocase(name, "replica")) return CLASS_REPLICA;
    for (int i = 0; i < CLASS_COUNT; i++)
        if (slice_equal_nocase(name, class_names[i])) return i;
    return -1;
}

/* CLASS HARD SOFT SECONDS */
static enum status parse_class(const struct slice *words, struct output_limit *limits,
                               struct error *error)
{
    int64_t hard, soft, seconds;
    int class = find_class(words[0]);
    if (class < 0)
        return error_set(error, STATUS_INVALID,
                         "Invalid client class specified in buffer limit configuration.");
    if (!option_parse_bytes(words[1], &hard) || !option_parse_bytes(words[2], &soft) ||
        !slice_to_int64(words[3], &seconds) || hard < 0 || soft < 0 || seconds < 0)
        return error_set(error, STATUS_INVALID,
                         "Error in hard, soft or soft_seconds setting in buffer limit "
                         "configuration.");
    limits[class] = (struct output_limit){(uint64_t)hard, (uint64_t)soft, seconds};
    return STATUS_OK;
}

/* As words, also those inside of a quoted one: an option on the command line is often one text. */
static bool split_all(const char *text, struct words *out)
{
    struct words outer = {0};
    struct buffer plain = {0};
    bool done = option_split_line(slice_from_text(text), &outer);
    for (size_t i = 0; i < outer.count; i++) {
        buffer_append_slice(&plain, outer.items[i]);
        buffer_append_text(&plain, " ");
    }
    option_free_words(&outer);
    done = done && option_split_line(buffer_slice(&plain), out);
    buffer_free(&plain);
    return done;
}

enum status limits_parse_output(const char *text, struct output_limit limits[CLASS_COUNT],
                                struct error *error)
{
    struct words words = {0};
    struct output_limit merged[CLASS_COUNT];
    enum status status = STATUS_OK;
    memcpy(merged, limits, sizeof merged);
    /* Several lines of the file are joined by line ends, which separate words as blanks do. */
    if (!split_all(text, &words) || words.count % 4 != 0)
        status = error_set(error, STATUS_INVALID,
                           "Wrong number of arguments in buffer limit configuration.");
    for (size_t i = 0; status == STATUS_OK && i < words.count; i += 4)
        status = parse_class(words.items + i, merged, error);
    option_free_words(&words);
    if (status == STATUS_OK) memcpy(limits, merged, sizeof merged);
    return status;
}

void limits_format_output(const struct output_limit limits[CLASS_COUNT], struct buffer *out)
{
    for (int i = 0; i < CLASS_COUNT; i++)
        buffer_append_format(out, "%s%s %llu %llu %lld", i > 0 ? " " : "", class_names[i],
                             (unsigned long long)limits[i].hard_bytes,
                             (unsigned long long)limits[i].soft_bytes,
                             (long long)limits[i].soft_s);
}
