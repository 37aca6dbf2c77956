/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The HTTP server's socket and connections; libevent's evhttp reads and writes them. It tells nobody when
 * it gives a connection up, so we hold a reference to the bufferevent of each: one that evhttp has
 * freed has no callback any more. A sweep, ten times a second while there are any, drops those, and ends
 * those that live too long by shutting their socket, which evhttp then notices. Loop thread. */
#include "net/http_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SWEEP_MS = 100,
    LIFE_US = 10 * 1000 * 1000,
    IDLE_SECONDS = 5,
    HEADER_BYTES = 8 * 1024,
    BODY_BYTES = 4 * 1024,
    BACKLOG = 64
};

struct http_slot {
    struct bufferevent *stream; /* NULL: free */
    int64_t opened_us;
    bool cut;
};

/* --- connections --- */

static bool is_given_up(struct bufferevent *stream)
{
    void *context = NULL;
    bufferevent_getcb(stream, NULL, NULL, NULL, &context);
    return !context;
}

static void cut_off(struct http *http, struct http_slot *slot)
{
    slot->cut = true;
    counter_add(&http->metrics->cut, 1);
    shutdown(bufferevent_getfd(slot->stream), SHUT_RDWR);
}

/* Gives how many connections there are. */
static int sweep(struct http *http)
{
    int64_t now_us = clock_monotonic_us();
    int open = 0;
    for (int i = 0; i < HTTP_CONNECTIONS; i++) {
        struct http_slot *slot = &http->slots[i];
        if (!slot->stream) continue;
        if (is_given_up(slot->stream)) {
            bufferevent_decref(slot->stream);
            slot->stream = NULL;
            continue;
        }
        open++;
        if (!slot->cut && now_us - slot->opened_us > LIFE_US) cut_off(http, slot);
    }
    gauge_set(&http->metrics->connections, open);
    return open;
}

static void sweep_later(struct http *http)
{
    const struct timeval delay = {.tv_usec = SWEEP_MS * 1000};
    if (!event_pending(http->sweep, EV_TIMEOUT, NULL)) event_add(http->sweep, &delay);
}

static void on_sweep(evutil_socket_t fd, short what, void *argument)
{
    struct http *http = argument;
    (void)fd;
    (void)what;
    loop_enter(http->loop);
    int open = sweep(http);
    if (open < HTTP_CONNECTIONS) evconnlistener_enable(http->listener);
    if (open > 0) sweep_later(http);
}

/* evhttp has accepted a connection and asks for its stream. Behind the last slot nothing is accepted
 * until one is free. */
static struct bufferevent *make_stream(struct event_base *base, void *argument)
{
    struct http *http = argument;
    loop_enter(http->loop);
    counter_add(&http->metrics->accepted, 1);
    int open = sweep(http), i = 0;
    struct bufferevent *stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!stream) return NULL;
    while (i < HTTP_CONNECTIONS && http->slots[i].stream) i++;
    sweep_later(http);
    if (open + 1 >= HTTP_CONNECTIONS) evconnlistener_disable(http->listener);
    if (i == HTTP_CONNECTIONS) return stream; /* idle time alone ends it */
    bufferevent_incref(stream);
    http->slots[i] = (struct http_slot){.stream = stream, .opened_us = clock_monotonic_us()};
    gauge_set(&http->metrics->connections, open + 1);
    return stream;
}

/* No descriptor is left: not to be asked again at once. */
static void on_accept_error(struct evconnlistener *listener, void *argument)
{
    struct http *http = argument;
    loop_enter(http->loop);
    evconnlistener_disable(listener);
    sweep_later(http);
}

static void on_request(struct evhttp_request *request, void *argument)
{
    struct http *http = argument;
    loop_enter(http->loop);
    http_reply(http, request);
}

/* --- the socket --- */

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

static enum status parse_address(const struct http_options *options, struct sockaddr_storage *out,
                                 socklen_t *size, struct error *error)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    const char *text = strcmp(options->bind, "*") == 0 ? "0.0.0.0" : options->bind;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)options->port);
        *size = sizeof *v4;
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)options->port);
        *size = sizeof *v6;
    } else {
        return error_set(error, STATUS_INVALID, "metrics-bind: \"%s\" is not an IP address", text);
    }
    return STATUS_OK;
}

static enum status open_socket(const struct http_options *options, int *out, bool *is_local,
                               struct error *error)
{
    struct sockaddr_storage address;
    socklen_t size = 0;
    int on = 1;
    enum status status = parse_address(options, &address, &size, error);
    if (status != STATUS_OK) return status;
    *is_local = is_loopback(&address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) goto failed;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&address, size) != 0 || listen(fd, BACKLOG) != 0)
        goto failed;
    *out = fd;
    return STATUS_OK;
failed:
    status = error_set_errno(error, errno, "cannot listen on %s, port %lld (metrics-port)",
                             options->bind, (long long)options->port);
    if (fd >= 0) close(fd);
    return status;
}

/* --- start and stop --- */

static void set_limits(struct http *http)
{
    evhttp_set_timeout(http->server, IDLE_SECONDS);
    evhttp_set_max_headers_size(http->server, HEADER_BYTES);
    evhttp_set_max_body_size(http->server, BODY_BYTES);
    evhttp_set_bevcb(http->server, make_stream, http);
    evhttp_set_gencb(http->server, on_request, http);
}

static void say_where(const struct http_options *options, bool is_local)
{
    bool v6 = strchr(options->bind, ':') != NULL;
    log_write(LOG_NOTICE, "metrics are at http://%s%s%s:%lld/metrics", v6 ? "[" : "", options->bind,
              v6 ? "]" : "", (long long)options->port);
    if (!is_local && !*options->token)
        log_write(LOG_WARNING, "other machines can read the metrics: set metrics-token, or "
                               "metrics-bind 127.0.0.1");
}

enum status http_create(struct http **out, struct loop *loop, const struct http_options *options,
                        struct http_metrics *metrics, struct error *error)
{
    *out = NULL;
    if (options->port == 0) return STATUS_OK;
    int fd = -1;
    bool is_local = false;
    enum status status = open_socket(options, &fd, &is_local, error);
    if (status != STATUS_OK) return status;
    struct http *http = mem_calloc(1, sizeof *http);
    *http = (struct http){.loop = loop, .options = options, .metrics = metrics};
    http->slots = mem_calloc(HTTP_CONNECTIONS, sizeof *http->slots);
    http->server = evhttp_new(loop_base(loop));
    http->sweep = evtimer_new(loop_base(loop), on_sweep, http);
    http->listener = evconnlistener_new(loop_base(loop), NULL, NULL,
                                        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!http->server || !http->sweep || !http->listener ||
        !evhttp_bind_listener(http->server, http->listener)) {
        if (http->listener) evconnlistener_free(http->listener);
        else close(fd);
        http->listener = NULL;
        http_destroy(http);
        return error_set(error, STATUS_IO_ERROR, "cannot watch the port for metrics");
    }
    evconnlistener_set_error_cb(http->listener, on_accept_error);
    set_limits(http);
    say_where(options, is_local);
    *out = http;
    return STATUS_OK;
}

void http_destroy(struct http *http)
{
    if (!http) return;
    if (http->server) evhttp_free(http->server);
    for (int i = 0; i < HTTP_CONNECTIONS; i++)
        if (http->slots[i].stream) bufferevent_decref(http->slots[i].stream);
    if (http->sweep) event_free(http->sweep);
    mem_free(http->slots);
    mem_free(http);
}
