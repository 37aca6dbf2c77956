/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A worker: its thread's event loop sends requests and reads replies.
 *
 * Closed loop: a connection sends when its replies are there. Open loop: requests have due times,
 * `interval` apart; each leaves on the next connection that has room, and where none has room it
 * waits, its due time unchanged: the schedule itself is the queue. */
#include "worker.h"

#include "answers.h"
#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { INPUT_BYTES = 256 << 10, LOOK_UP_MS = 20 };

struct request {
    int64_t start_ns;
    unsigned command;
};

struct connection {
    struct worker *worker;
    int fd;
    struct event *readable, *writable;
    struct buffer out;
    size_t sent;
    struct request *ring; /* [pipeline]; those in flight */
    uint64_t *ring_keys;  /* [pipeline][most_keys], with --verify */
    uint32_t head, in_flight;
    struct answer_reader answers;
    bool value_is_wrong;
};

struct worker {
    struct load_run *run;
    pthread_t thread;
    struct event_base *base;
    struct event *look_up, *due;
    struct connection *connections;
    unsigned connection_count, next_connection;
    uint64_t in_flight, requests_left;
    struct key_cursor cursor;
    struct prng prng; /* for all but keys */
    double rate, next_due_ns;
    struct load_figures *figures;
    struct latency lateness;
    char *input;
};

/* ---- counting ----------------------------------------------------------------------------------
 */

static void add(_Atomic uint64_t *figure, uint64_t n)
{
    uint64_t old = atomic_load_explicit(figure, memory_order_relaxed);
    if (n) atomic_store_explicit(figure, old + n, memory_order_relaxed);
}

static void fail(struct worker *worker, const char *what)
{
    struct load_run *run = worker->run;
    pthread_mutex_lock(&run->lock);
    if (!run->failure[0]) {
        snprintf(run->failure, sizeof run->failure, "%s%s%s", what, errno ? ": " : "",
                 errno ? strerror(errno) : "");
    }
    pthread_mutex_unlock(&run->lock);
    atomic_store(&run->stop, true);
    atomic_store(&run->abandon, true);
    if (worker->base) event_base_loopbreak(worker->base);
}

static void complain(struct worker *worker, const struct request *request, const char *what)
{
    struct load_run *run = worker->run;
    pthread_mutex_lock(&run->lock);
    if (!run->first_complaint[0]) {
        snprintf(run->first_complaint, sizeof run->first_complaint, "%s: %s",
                 run->options.commands[request->command].text, what);
    }
    pthread_mutex_unlock(&run->lock);
}

/* Some reply came: how long did nobody get one? */
static void note_progress(struct load_run *run, int64_t now_ns)
{
    int64_t last = atomic_load_explicit(&run->last_reply_ns, memory_order_relaxed);
    if (now_ns <= last) return;
    last = atomic_exchange_explicit(&run->last_reply_ns, now_ns, memory_order_relaxed);
    int64_t longest = atomic_load_explicit(&run->longest_gap_ns, memory_order_relaxed);
    while (now_ns - last > longest &&
           !atomic_compare_exchange_weak(&run->longest_gap_ns, &longest, now_ns - last)) {
    }
}

const struct load_figures *worker_figures(const struct worker *worker, unsigned command)
{
    return &worker->figures[command];
}

const struct latency *worker_lateness(const struct worker *worker)
{
    return &worker->lateness;
}

/* ---- sending -----------------------------------------------------------------------------------
 */

static void flush(struct connection *connection)
{
    while (connection->sent < connection->out.size) {
        ssize_t n = send(connection->fd, connection->out.data + connection->sent,
                         connection->out.size - connection->sent, MSG_NOSIGNAL);
        if (n > 0) {
            connection->sent += (size_t)n;
        } else if (errno == EAGAIN) {
            event_add(connection->writable, NULL);
            return;
        } else if (errno != EINTR) {
            fail(connection->worker, "send");
            return;
        }
    }
    buffer_clear(&connection->out);
    connection->sent = 0;
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    flush(context);
}

static unsigned choose_command(struct worker *worker)
{
    const struct load_options *options = &worker->run->options;
    if (options->command_count == 1) return 0;
    uint64_t chosen = prng_below(&worker->prng, worker->run->weight);
    unsigned command = 0;
    while (chosen >= options->commands[command].weight)
        chosen -= options->commands[command++].weight;
    return command;
}

static bool may_send(struct worker *worker, int64_t now_ns)
{
    if (!worker->requests_left || now_ns >= worker->run->end_ns) return false;
    return !atomic_load_explicit(&worker->run->stop, memory_order_relaxed);
}

/* Queues one request; the caller flushes. */
static void issue(struct connection *connection, int64_t start_ns)
{
    struct worker *worker = connection->worker;
    struct load_run *run = worker->run;
    uint32_t slot =
        (uint32_t)((connection->head + connection->in_flight++) % run->options.pipeline);
    unsigned command = choose_command(worker);
    uint64_t *keys = connection->ring_keys ? &connection->ring_keys[slot * run->most_keys] : NULL;
    connection->ring[slot] = (struct request){start_ns, command};
    template_render(run->templates[command], &run->keys, &worker->cursor, &connection->out, keys);
    worker->in_flight++;
    worker->requests_left--;
}

static void send_closed(struct connection *connection, int64_t now_ns)
{
    struct worker *worker = connection->worker;
    const struct load_options *options = &worker->run->options;
    if (connection->in_flight && !options->window) return;
    while (connection->in_flight < options->pipeline && may_send(worker, now_ns)) {
        issue(connection, now_ns);
    }
    flush(connection);
}

static struct connection *connection_with_room(struct worker *worker)
{
    for (unsigned i = 0; i < worker->connection_count; i++) {
        struct connection *connection = &worker->connections[worker->next_connection];
        worker->next_connection = (worker->next_connection + 1) % worker->connection_count;
        if (connection->in_flight < worker->run->options.pipeline) return connection;
    }
    return NULL;
}

static double next_interval_ns(struct worker *worker)
{
    double even = 1e9 / worker->rate;
    return worker->run->options.poisson ? -log(1 - prng_unit(&worker->prng)) * even : even;
}

/* Sends all that is due. `waited`: those that were held back by full connections. */
static void send_open(struct worker *worker, int64_t now_ns, bool waited)
{
    while (worker->next_due_ns <= (double)now_ns &&
           may_send(worker, (int64_t)worker->next_due_ns)) {
        struct connection *connection = connection_with_room(worker);
        if (!connection) return; /* the next reply calls again */
        int64_t due_ns = (int64_t)worker->next_due_ns;
        if (!waited) latency_record_ns(&worker->lateness, now_ns - due_ns);
        issue(connection, due_ns);
        flush(connection);
        worker->next_due_ns += next_interval_ns(worker);
    }
    double wait_ns = worker->next_due_ns - (double)now_ns;
    if (wait_ns < 0) return; /* the end of the run */
    struct timeval wait = {(time_t)(wait_ns / 1e9), (suseconds_t)(fmod(wait_ns, 1e9) / 1e3)};
    event_add(worker->due, &wait);
}

static void on_due(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    send_open(context, clock_monotonic_ns(), false);
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static void end_if_done(struct worker *worker, int64_t now_ns)
{
    bool open_and_due = worker->rate > 0 && worker->next_due_ns < (double)worker->run->end_ns;
    if (worker->in_flight) return;
    if (may_send(worker, open_and_due ? (int64_t)worker->next_due_ns : now_ns)) return;
    event_base_loopbreak(worker->base);
}

static void check_bulk(void *context, uint64_t index, size_t total, size_t offset,
                       const char *bytes, size_t size)
{
    struct connection *connection = context;
    const struct load_run *run = connection->worker->run;
    const struct request *request = &connection->ring[connection->head];
    if (index >= template_keys(run->templates[request->command])) return;
    uint64_t key = connection->ring_keys[connection->head * run->most_keys + index];
    if (total == value_size(&run->values, key) &&
        value_matches(&run->values, key, offset, bytes, size)) {
        return;
    }
    if (!connection->value_is_wrong) {
        struct buffer text = {0};
        buffer_append_format(&text, "key %llu has a wrong value of %zu bytes, at %zu: ",
                             (unsigned long long)key, total, offset);
        buffer_append_quoted(&text, slice_make(bytes, size < 64 ? size : 64));
        buffer_append(&text, "", 1);
        complain(connection->worker, request, text.data);
        buffer_free(&text);
    }
    connection->value_is_wrong = true;
}

static void finish(struct connection *connection, int64_t now_ns)
{
    struct worker *worker = connection->worker;
    const struct request *request = &connection->ring[connection->head];
    struct load_figures *figures = &worker->figures[request->command];
    latency_record_ns(&figures->latency, now_ns - request->start_ns);
    add(&figures->errors, connection->answers.is_error);
    add(&figures->nils, connection->answers.nils);
    add(&figures->wrong, connection->value_is_wrong);
    if (connection->answers.is_error) complain(worker, request, connection->answers.line);
    connection->value_is_wrong = false;
    connection->head = (uint32_t)((connection->head + 1) % worker->run->options.pipeline);
    connection->in_flight--;
    worker->in_flight--;
}

static bool take_replies(struct connection *connection, size_t size, int64_t now_ns)
{
    struct worker *worker = connection->worker;
    answer_bulk *check = connection->ring_keys ? check_bulk : NULL;
    for (size_t used, at = 0; at < size; at += used) {
        enum answer_state state = connection->in_flight
                                      ? answer_read(&connection->answers, worker->input + at,
                                                    size - at, &used, check, connection)
                                      : ANSWER_MALFORMED;
        if (state == ANSWER_MALFORMED) {
            errno = 0;
            fail(worker, "the server sent something that is no reply");
            return false;
        }
        if (state == ANSWER_COMPLETE) finish(connection, now_ns);
    }
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    struct connection *connection = context;
    struct worker *worker = connection->worker;
    (void)what;
    ssize_t n = recv(fd, worker->input, INPUT_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        if (n == 0) errno = 0;
        fail(worker, n == 0 ? "the server closed a connection" : "recv");
        return;
    }
    int64_t now_ns = clock_monotonic_ns();
    note_progress(worker->run, now_ns);
    if (!take_replies(connection, (size_t)n, now_ns)) return;
    if (worker->rate > 0) {
        send_open(worker, now_ns, true);
    } else {
        send_closed(connection, now_ns);
    }
    end_if_done(worker, now_ns);
}

/* Now and then: was the run stopped, is its time over? */
static void on_look_up(evutil_socket_t fd, short what, void *context)
{
    struct worker *worker = context;
    (void)fd, (void)what;
    if (atomic_load(&worker->run->abandon)) event_base_loopbreak(worker->base);
    end_if_done(worker, clock_monotonic_ns());
}

/* ---- setting up --------------------------------------------------------------------------------
 */

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

static int connect_tcp(const struct load_options *options)
{
    char port[INT64_TEXT_BYTES];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    port[uint64_format(port, options->port)] = 0;
    if (getaddrinfo(options->host, port, &hints, &found) != 0) return -1;
    int fd = -1, on = 1;
    for (struct addrinfo *one = found; one && fd < 0; one = one->ai_next) {
        fd = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
        if (fd < 0 || connect(fd, one->ai_addr, one->ai_addrlen) == 0) continue;
        int why = errno;
        close(fd);
        errno = why;
        fd = -1;
    }
    freeaddrinfo(found);
    if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static bool set_up_connection(struct worker *worker, struct connection *connection)
{
    const struct load_run *run = worker->run;
    const struct load_options *options = &run->options;
    *connection = (struct connection){.worker = worker};
    connection->ring = mem_calloc(options->pipeline, sizeof *connection->ring);
    if (options->verify) {
        connection->ring_keys =
            mem_calloc(options->pipeline * run->most_keys + 1, sizeof *connection->ring_keys);
    }
    connection->fd = options->socket ? connect_unix(options->socket) : connect_tcp(options);
    if (connection->fd < 0) return false;
    fcntl(connection->fd, F_SETFL, fcntl(connection->fd, F_GETFL) | O_NONBLOCK);
    connection->readable =
        event_new(worker->base, connection->fd, EV_READ | EV_PERSIST, on_readable, connection);
    connection->writable =
        event_new(worker->base, connection->fd, EV_WRITE, on_writable, connection);
    event_add(connection->readable, NULL);
    return true;
}

static void tear_down_connection(struct connection *connection)
{
    if (connection->readable) event_free(connection->readable);
    if (connection->writable) event_free(connection->writable);
    if (connection->fd >= 0) close(connection->fd);
    buffer_free(&connection->out);
    mem_free(connection->ring);
    mem_free(connection->ring_keys);
}

static void begin(struct worker *worker)
{
    int64_t now_ns = worker->run->begin_ns;
    struct timeval often = {0, LOOK_UP_MS * 1000};
    event_add(worker->look_up, &often);
    if (worker->rate > 0) {
        /* Workers do not all send at the same moments. */
        worker->next_due_ns = (double)now_ns + prng_unit(&worker->prng) * 1e9 / worker->rate;
        send_open(worker, now_ns, false);
        return;
    }
    for (unsigned i = 0; i < worker->connection_count; i++) {
        send_closed(&worker->connections[i], now_ns);
    }
}

static void *run_worker(void *context)
{
    struct worker *worker = context;
    struct load_run *run = worker->run;
    for (unsigned i = 0; i < worker->connection_count; i++) {
        if (set_up_connection(worker, &worker->connections[i])) continue;
        fail(worker, "cannot connect");
        tear_down_connection(&worker->connections[i]);
        worker->connection_count = i;
    }
    pthread_barrier_wait(&run->connected);
    pthread_barrier_wait(&run->begin);
    if (!atomic_load(&run->abandon)) {
        begin(worker);
        event_base_dispatch(worker->base);
    }
    pthread_mutex_lock(&run->lock);
    run->running--;
    pthread_cond_signal(&run->ended);
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

struct worker *worker_start(struct load_run *run, unsigned connections, uint64_t requests,
                            double rate, struct key_cursor cursor)
{
    struct worker *worker = mem_calloc(1, sizeof *worker);
    struct event_config *config = event_config_new();
    worker->run = run;
    /* Timers to the microsecond cost a system call each; only the open loop needs them. */
    if (rate > 0) event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    worker->base = event_base_new_with_config(config);
    event_config_free(config);
    worker->look_up = event_new(worker->base, -1, EV_PERSIST, on_look_up, worker);
    worker->due = event_new(worker->base, -1, 0, on_due, worker);
    worker->connections = mem_calloc(connections, sizeof *worker->connections);
    worker->connection_count = connections;
    worker->requests_left = requests;
    worker->rate = rate;
    worker->cursor = cursor;
    worker->prng = (struct prng){prng_mix(cursor.prng.state + 1)};
    worker->figures = mem_calloc(run->options.command_count, sizeof *worker->figures);
    worker->input = mem_alloc(INPUT_BYTES);
    if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0) {
        fputs("kelvin-load: no thread\n", stderr);
        exit(2);
    }
    return worker;
}

void worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    for (unsigned i = 0; i < worker->connection_count; i++) {
        tear_down_connection(&worker->connections[i]);
    }
    event_free(worker->look_up);
    event_free(worker->due);
    event_base_free(worker->base);
    mem_free(worker->connections);
    mem_free(worker->figures);
    mem_free(worker->input);
    mem_free(worker);
}
