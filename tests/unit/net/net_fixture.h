/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The network against real sockets and a dispatcher that stands in for the commands: it knows just
 * what a connection has to get right. Loop and clients share one thread: a test writes to its
 * sockets, then turns the loop until what it waits for has come. Included once by each test program
 * (not in tests/lib: the names of the real dispatcher are defined here). */
#ifndef KELVIN_TESTS_NET_FIXTURE_H
#define KELVIN_TESTS_NET_FIXTURE_H

#include "net/net.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"
#include "commands/dispatch.h"
#include "commands/transaction.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* --- what stands in for commands/ --- */

struct server server;
struct dispatch_metrics dispatch_metrics;
static int64_t now_ms;
static const char *password = "";
static struct session *parked_session;
static struct slice parked_argument;
static struct session *last_session;
static unsigned sessions_closed, prefetches, drained;
static uint64_t next_sequence, acknowledged_sequence;
static struct buffer order; /* first letters of the commands that ran */
static char big_value[64 * 1024];
static int big_references;

static inline const char *get_password(void)
{
    return password;
}

static inline void big_release(void *owner)
{
    (void)owner;
    big_references--;
}

void dispatch_set_time(int64_t ms)
{
    now_ms = ms;
}

int64_t dispatch_time_ms(void)
{
    return now_ms;
}

void dispatch_cron(int64_t ms)
{
    (void)ms;
}

size_t dispatch_parked_count(void)
{
    return parked_session ? 1 : 0;
}

void dispatch_drained(struct session *session)
{
    drained++;
    session->awaits_drain = false;
}

static bool parked_for_others;
bool dispatch_waits_for_others(const struct session *session)
{
    return parked_for_others && parked_session == session;
}

void dispatch_error_count(struct slice code)
{
    (void)code;
}

void dispatch_prefetch(const struct session *session, const struct request *request, int step)
{
    (void)session;
    assert_true(request->argc > 0 && step < 2);
    prefetches++;
}

size_t transaction_memory_bytes(const struct session *session)
{
    (void)session;
    return 0;
}

void session_open(struct session *session, const struct session_operations *operations,
                  bool authenticated, int64_t ms)
{
    memset(session, 0, sizeof *session);
    session->operations = operations;
    session->reply = reply_create();
    session->authenticated = authenticated;
    session->created_ms = session->active_ms = ms;
    last_session = session;
}

void session_close(struct session *session)
{
    if (parked_session == session) parked_session = NULL;
    if (last_session == session) last_session = NULL;
    reply_destroy(session->reply);
    session->reply = NULL;
    sessions_closed++;
}

static inline bool is(const struct request *request, const char *name)
{
    return slice_equal_nocase(request->argv[0], name);
}

enum dispatch_result dispatch_request(struct session *session, struct request *request)
{
    struct reply *reply = session->reply;
    assert_null(session->parking);
    assert_false(session->closing);
    if (order.size < 10000) buffer_append(&order, request->argv[0].data, 1);
    if (is(request, "echo")) {
        reply_bulk(reply, request->argv[1]);
    } else if (is(request, "size")) {
        reply_integer(reply, (int64_t)request->argv[1].size);
    } else if (is(request, "big")) {
        big_references++;
        reply_bulk_shared(reply, (struct shared_bytes){slice_make(big_value, sizeof big_value),
                                                       NULL, big_release});
    } else if (is(request, "write")) {
        session->depends_on = ++next_sequence;
        reply_integer(reply, (int64_t)next_sequence);
    } else if (is(request, "park")) {
        reply_error(reply, "ERR this is taken back");
        reply_rollback(reply, (struct reply_mark){reply_written(reply) -
                                                  strlen("-ERR this is taken back\r\n")});
        parked_session = session;
        parked_argument = request->argv[1];
        return DISPATCH_PARKED;
    } else if (is(request, "stream")) {
        /* Three MiB at once: more than a socket takes. */
        for (int i = 0; i < 48; i++) {
            big_references++;
            reply_raw_shared(reply, (struct shared_bytes){slice_make(big_value, sizeof big_value),
                                                          NULL, big_release});
        }
        session->awaits_drain = true;
        session->operations->flush(session);
        parked_session = session;
        parked_argument = request->argv[0];
        return DISPATCH_PARKED;
    } else if (is(request, "auth")) {
        session->authenticated = true;
        reply_ok(reply);
    } else if (is(request, "quit")) {
        reply_ok(reply);
        session->operations->close(session, true);
    } else if (is(request, "die")) {
        reply_ok(reply);
        session->operations->close(session, false);
    } else {
        reply_status(reply, "PONG");
    }
    return DISPATCH_DONE;
}

static inline void unpark(void)
{
    struct session *session = parked_session;
    parked_session = NULL;
    reply_bulk(session->reply, parked_argument);
    session->operations->resume(session);
}

/* --- the fixture --- */

struct fixture {
    struct loop *loop;
    struct net *net;
    struct net_options options;
    struct net_metrics metrics;
    char folder[64], path[128];
    bool (*until)(void *argument);
    void *argument;
    int64_t give_up_us;
    bool gave_up;
};
static struct fixture *f;

static inline int64_t hook_end_turn(void *context)
{
    (void)context;
    if (f->until && f->until(f->argument)) {
        loop_stop(f->loop);
    } else if (clock_monotonic_us() > f->give_up_us) {
        f->gave_up = true;
        loop_stop(f->loop);
    }
    return 1;
}

static inline uint64_t hook_acknowledged(void *context)
{
    (void)context;
    return acknowledged_sequence;
}

static inline void turn_until(bool (*until)(void *argument), void *argument)
{
    f->until = until;
    f->argument = argument;
    f->gave_up = false;
    f->give_up_us = clock_monotonic_us() + 20 * 1000000;
    loop_run(f->loop);
    assert_false(f->gave_up);
}

static inline bool counted(void *argument)
{
    return --*(int *)argument < 0;
}

static inline void turn_times(int turns)
{
    turn_until(counted, &turns);
}

static inline void set_option(const char *name, const char *text)
{
    const struct option *row = option_find(&net_option_table, slice_from_text(name));
    struct error error;
    assert_non_null(row);
    assert_int_equal(option_set(row, &f->options, slice_from_text(text), &error), STATUS_OK);
}

static inline int set_up(void **state)
{
    struct error error;
    f = calloc(1, sizeof *f);
    *state = f;
    strcpy(f->folder, "/tmp/net_test.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/socket", f->folder);
    password = "";
    server.password = get_password;
    parked_session = NULL;
    parked_for_others = false;
    sessions_closed = prefetches = drained = 0;
    next_sequence = acknowledged_sequence = 0;
    big_references = 0;
    buffer_clear(&order);
    for (size_t i = 0; i < sizeof big_value; i++) big_value[i] = (char)(i % 251);
    option_set_defaults(&net_option_table, &f->options);
    set_option("port", "0");
    set_option("unixsocket", f->path);
    assert_int_equal(loop_create(&f->loop, &error), STATUS_OK);
    const struct net_hooks hooks = {f, hook_end_turn, hook_acknowledged};
    assert_int_equal(net_create(&f->net, f->loop, &f->options, &f->metrics, &hooks, &error),
                     STATUS_OK);
    assert_int_equal(net_listen(f->net, &error), STATUS_OK);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    net_destroy(f->net);
    loop_destroy(f->loop);
    option_free_strings(&net_option_table, &f->options);
    assert_int_equal(big_references, 0);
    assert_int_equal(access(f->path, F_OK), -1);
    assert_int_equal(rmdir(f->folder), 0);
    buffer_free(&order);
    free(f);
    f = NULL;
    return 0;
}

/* --- a client --- */

struct client {
    int fd;
    struct buffer got;
    size_t wanted;
    bool ended;
};

static inline void client_open(struct client *client)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memset(client, 0, sizeof *client);
    strcpy(address.sun_path, f->path);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client->fd, (const struct sockaddr *)&address, sizeof address), 0);
}

static inline void client_close(struct client *client)
{
    if (client->fd >= 0) close(client->fd);
    client->fd = -1;
    buffer_free(&client->got);
}

static inline void client_send(struct client *client, const char *bytes, size_t size)
{
    assert_int_equal(send(client->fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static inline void client_say(struct client *client, const char *text)
{
    client_send(client, text, strlen(text));
}

static inline void client_take(struct client *client)
{
    char bytes[65536];
    ssize_t size;
    while ((size = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        buffer_append(&client->got, bytes, (size_t)size);
    if (size == 0 || (size < 0 && errno != EAGAIN)) client->ended = true;
}

static inline bool has_enough(void *argument)
{
    struct client *client = argument;
    client_take(client);
    return client->got.size >= client->wanted || client->ended;
}

static inline bool has_ended(void *argument)
{
    struct client *client = argument;
    client_take(client);
    return client->ended;
}

/* Waits for exactly these bytes. */
static inline void client_expect(struct client *client, const char *text)
{
    client->wanted = strlen(text);
    turn_until(has_enough, client);
    buffer_append(&client->got, "", 1);
    assert_string_equal(client->got.data, text);
    buffer_clear(&client->got);
}

/* That nothing comes, over some turns. */
static inline void client_expect_nothing(struct client *client)
{
    turn_times(5);
    client_take(client);
    assert_int_equal(client->got.size, 0);
    assert_false(client->ended);
}

static inline void client_expect_end(struct client *client, const char *text)
{
    turn_until(has_ended, client);
    buffer_append(&client->got, "", 1);
    assert_string_equal(client->got.data, text);
    buffer_clear(&client->got);
}

/* A client that writes and reads more than the socket holds, piece by piece. */
struct flood {
    struct client *client;
    struct buffer request;
    size_t sent, wanted;
};

static inline bool flood_is_over(void *argument)
{
    struct flood *flood = argument;
    while (flood->sent < flood->request.size) {
        ssize_t size = send(flood->client->fd, flood->request.data + flood->sent,
                            flood->request.size - flood->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size <= 0) break;
        flood->sent += (size_t)size;
    }
    client_take(flood->client);
    return flood->client->ended ||
           (flood->sent == flood->request.size && flood->client->got.size >= flood->wanted);
}

static inline bool session_is_gone(void *argument)
{
    return sessions_closed == *(unsigned *)argument;
}

#endif
