/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The network as a whole: its turn, its options, start and stop. The end of a turn:
 *
 *   clients that may go on run -> end_turn hook (may make parked ones go on: again, a few times)
 *   -> replies are sent -> the largest clients are closed if memory is short -> the dead are freed
 *
 * Loop thread. */
#include "net/connection.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

enum { END_ROUNDS = 4, PARKED_CRON_MS = 10 };

/* --- the turn --- */

static void begin_turn(void *context)
{
    struct net *net = context;
    counter_add(&net->metrics->turns, 1);
    net->turn_began_us = clock_monotonic_us();
    dispatch_set_time(clock_wall_ms());
}

/* Those that were there at the beginning: one that has used up its turn puts itself behind them. */
static void run_ready(struct net *net)
{
    struct list now;
    list_init(&now);
    while (!list_is_empty(&net->ready)) list_push_back(&now, list_pop_front(&net->ready));
    while (!list_is_empty(&now)) {
        struct list_node *node = list_pop_front(&now);
        connection_go_on(LIST_ENTRY(node, struct connection, ready));
    }
}

static bool only_used_up(const struct net *net)
{
    uint64_t turn = loop_turns(net->loop);
    LIST_FOR_EACH (node, &net->ready) {
        const struct connection *connection = LIST_ENTRY(node, struct connection, ready);
        if (connection->turn != turn || connection->turn_commands < TURN_MAX_COMMANDS) return false;
    }
    return true;
}

/* Parked commands may wait for a time. */
static void wake_timed(struct net *net)
{
    int64_t now_ms = dispatch_time_ms();
    int64_t passed_ms = now_ms - net->dispatch_cron_ms; /* negative when the clock was set back */
    if (dispatch_parked_count() == 0 || (passed_ms >= 0 && passed_ms < PARKED_CRON_MS)) return;
    net->dispatch_cron_ms = now_ms;
    dispatch_cron(now_ms);
}

static int64_t run_to_the_end(struct net *net)
{
    int64_t sleep_ms = -1;
    wake_timed(net);
    for (int round = 0; round < END_ROUNDS; round++) {
        if (!only_used_up(net)) run_ready(net);
        if (net->hooks.end_turn) sleep_ms = net->hooks.end_turn(net->hooks.context);
        if (only_used_up(net)) break;
    }
    if (dispatch_parked_count() > 0 && (sleep_ms < 0 || sleep_ms > PARKED_CRON_MS))
        sleep_ms = PARKED_CRON_MS;
    return sleep_ms;
}

static void bury_dead(struct net *net)
{
    if (list_is_empty(&net->dying)) return;
    LIST_FOR_EACH_SAFE (node, after, &net->dying) {
        struct connection *connection = LIST_ENTRY(node, struct connection, dying);
        if (!connection->session.committing) connection_destroy(connection);
    }
    listeners_retry(net);
}

static int64_t end_turn(void *context)
{
    struct net *net = context;
    int64_t sleep_ms = run_to_the_end(net);
    while (!list_is_empty(&net->flushing)) {
        struct list_node *node = list_pop_front(&net->flushing);
        connection_flush(LIST_ENTRY(node, struct connection, flushing));
    }
    limits_evict(net);
    bury_dead(net);
    histogram_record_us(&net->metrics->turn_seconds,
                        (uint64_t)(clock_monotonic_us() - net->turn_began_us));
    return list_is_empty(&net->ready) ? sleep_ms : 0;
}

static void on_cron(void *context)
{
    struct net *net = context;
    limits_cron(net);
    listeners_retry(net);
}

/* --- options --- */

enum status net_check_options(const struct net_options *options, struct error *error)
{
    struct output_limit limits[CLASS_COUNT] = {{0}};
    uint64_t bytes;
    enum status status = limits_parse_output(options->client_output_buffer_limit, limits, error);
    if (status == STATUS_OK)
        status = limits_parse_memory(options->maxmemory_clients, 0, &bytes, error);
    if (status == STATUS_OK) status = listeners_check_bind(options->bind, error);
    return status;
}

static void remember_listening(struct net *net)
{
    mem_free(net->listening_bind);
    net->listening_bind = slice_dup_text(slice_from_text(net->options->bind));
    net->listening_port = net->options->port;
    net->listening_backlog = net->options->tcp_backlog;
}

static enum status take_limits(struct net *net, struct error *error)
{
    struct net_options *options = net->options;
    enum status status = net_check_options(options, error);
    if (status != STATUS_OK) return status;
    limits_parse_output(options->client_output_buffer_limit, net->output_limits, NULL);
    struct buffer text = {0};
    limits_format_output(net->output_limits, &text);
    mem_free(options->client_output_buffer_limit);
    options->client_output_buffer_limit = slice_dup_text(buffer_slice(&text));
    buffer_free(&text);
    limits_parse_memory(options->maxmemory_clients, net->maxmemory_bytes,
                        &net->client_memory_limit_bytes, NULL);
    if (!strchr(options->maxmemory_clients, '%')) {
        /* CONFIG GET shows plain bytes, as Redis does. */
        struct buffer bytes = {0};
        buffer_append_format(&bytes, "%llu", (unsigned long long)net->client_memory_limit_bytes);
        mem_free(options->maxmemory_clients);
        options->maxmemory_clients = slice_dup_text(buffer_slice(&bytes));
        buffer_free(&bytes);
    }
    return STATUS_OK;
}

/* Closes first: the new addresses may overlap the old ones. */
static enum status listen_anew(struct net *net, struct error *error)
{
    listeners_close(net, false);
    enum status status = listeners_open(net, net->options->bind, net->options->port, error);
    if (status == STATUS_OK) {
        remember_listening(net);
        return status;
    }
    struct error again;
    if (listeners_open(net, net->listening_bind, net->listening_port, &again) != STATUS_OK)
        log_write(LOG_WARNING, "cannot go back to the old addresses: %s", again.text);
    return status;
}

enum status net_apply_options(struct net *net, struct error *error)
{
    ASSERT_THREAD(THREAD_LOOP);
    enum status status = take_limits(net, error);
    if (status != STATUS_OK) return status;
    bool moved = net->listening_bind && (strcmp(net->listening_bind, net->options->bind) != 0 ||
                                         net->listening_port != net->options->port ||
                                         net->listening_backlog != net->options->tcp_backlog);
    if (moved && !net->draining) status = listen_anew(net, error);
    listeners_set_keepalive(net);
    return status;
}

void net_set_maxmemory(struct net *net, uint64_t bytes)
{
    net->maxmemory_bytes = bytes;
    limits_parse_memory(net->options->maxmemory_clients, bytes, &net->client_memory_limit_bytes,
                        NULL);
}

/* --- start and stop --- */

enum status net_create(struct net **out, struct loop *loop, struct net_options *options,
                       struct net_metrics *metrics, const struct net_hooks *hooks,
                       struct error *error)
{
    struct net *net = mem_calloc(1, sizeof *net);
    net->loop = loop;
    net->options = options;
    net->metrics = metrics;
    net->hooks = *hooks;
    list_init(&net->connections);
    list_init(&net->ready);
    list_init(&net->flushing);
    list_init(&net->holding);
    list_init(&net->dying);
    const struct option *row =
        option_find(&net_option_table, SLICE_LITERAL("client-output-buffer-limit"));
    limits_parse_output(row->default_text, net->output_limits, NULL);
    enum status status = take_limits(net, error);
    if (status != STATUS_OK) {
        mem_free(net);
        return status;
    }
    net->cron = loop_timer_create(loop, CRON_MS, on_cron, net);
    loop_set_turn(loop, &(struct loop_turn){net, begin_turn, end_turn});
    *out = net;
    return STATUS_OK;
}

enum status net_listen(struct net *net, struct error *error)
{
    enum status status = listeners_open(net, net->options->bind, net->options->port, error);
    if (status == STATUS_OK) status = listeners_open_unix(net, error);
    if (status != STATUS_OK) {
        listeners_close(net, true);
        return status;
    }
    remember_listening(net);
    return STATUS_OK;
}

void net_describe_listeners(const struct net *net, struct buffer *out)
{
    listeners_describe(net, out);
}

void net_destroy(struct net *net)
{
    if (!net) return;
    listeners_close(net, true);
    while (!list_is_empty(&net->connections))
        connection_destroy(LIST_ENTRY(list_first(&net->connections), struct connection, link));
    loop_timer_destroy(net->cron);
    loop_set_turn(net->loop, &(struct loop_turn){0});
    input_pool_free(net);
    mem_free(net->listening_bind);
    mem_free(net);
}

void net_acknowledged(struct net *net)
{
    ASSERT_THREAD(THREAD_LOOP);
    LIST_FOR_EACH (node, &net->holding)
        connection_want_flush(LIST_ENTRY(node, struct connection, holding));
}

void net_drain(struct net *net)
{
    ASSERT_THREAD(THREAD_LOOP);
    net->draining = true;
    listeners_close(net, true);
    LIST_FOR_EACH (node, &net->connections) {
        struct connection *connection = LIST_ENTRY(node, struct connection, link);
        if (connection->state != CONNECTION_OPEN) continue;
        connection_set_reading(connection, false);
        if (connection_is_idle(connection)) connection_close(connection, true);
    }
}

bool net_is_drained(const struct net *net)
{
    LIST_FOR_EACH (node, &net->connections) {
        const struct connection *connection = LIST_ENTRY(node, struct connection, link);
        if (connection->state == CONNECTION_OPEN || connection->state == CONNECTION_DRAINING) {
            if (!connection_is_idle(connection)) return false;
        }
    }
    return true;
}

uint64_t net_client_memory_bytes(const struct net *net)
{
    return net->client_memory_bytes;
}

size_t net_connection_count(const struct net *net)
{
    return net->connection_count;
}

void net_largest_buffers(const struct net *net, uint64_t *input_bytes, uint64_t *output_bytes)
{
    *input_bytes = net->largest_input_bytes > net->shown_input_bytes ? net->largest_input_bytes
                                                                     : net->shown_input_bytes;
    *output_bytes = net->largest_output_bytes > net->shown_output_bytes
                        ? net->largest_output_bytes
                        : net->shown_output_bytes;
}
