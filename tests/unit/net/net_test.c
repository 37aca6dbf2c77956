/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The network against real sockets and a dispatcher that stands in for the commands: it knows just
 * what a connection has to get right. Loop and clients share one thread: a test writes to its
 * sockets, then turns the loop until what it waits for has come. */
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
static unsigned sessions_closed, prefetches;
static uint64_t next_sequence, acknowledged_sequence;
static struct buffer order; /* first letters of the commands that ran */
static char big_value[64 * 1024];
static int big_references;

static const char *get_password(void)
{
    return password;
}

static void big_release(void *owner)
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

static bool is(const struct request *request, const char *name)
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

static void unpark(void)
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

static int64_t hook_end_turn(void *context)
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

static uint64_t hook_acknowledged(void *context)
{
    (void)context;
    return acknowledged_sequence;
}

static void turn_until(bool (*until)(void *argument), void *argument)
{
    f->until = until;
    f->argument = argument;
    f->gave_up = false;
    f->give_up_us = clock_monotonic_us() + 20 * 1000000;
    loop_run(f->loop);
    assert_false(f->gave_up);
}

static bool counted(void *argument)
{
    return --*(int *)argument < 0;
}

static void turn_times(int turns)
{
    turn_until(counted, &turns);
}

static void set_option(const char *name, const char *text)
{
    const struct option *row = option_find(&net_option_table, slice_from_text(name));
    struct error error;
    assert_non_null(row);
    assert_int_equal(option_set(row, &f->options, slice_from_text(text), &error), STATUS_OK);
}

static int set_up(void **state)
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
    sessions_closed = prefetches = 0;
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

static int tear_down(void **state)
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

static void client_open(struct client *client)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memset(client, 0, sizeof *client);
    strcpy(address.sun_path, f->path);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client->fd, (const struct sockaddr *)&address, sizeof address), 0);
}

static void client_close(struct client *client)
{
    if (client->fd >= 0) close(client->fd);
    client->fd = -1;
    buffer_free(&client->got);
}

static void client_send(struct client *client, const char *bytes, size_t size)
{
    assert_int_equal(send(client->fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void client_say(struct client *client, const char *text)
{
    client_send(client, text, strlen(text));
}

static void client_take(struct client *client)
{
    char bytes[65536];
    ssize_t size;
    while ((size = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        buffer_append(&client->got, bytes, (size_t)size);
    if (size == 0 || (size < 0 && errno != EAGAIN)) client->ended = true;
}

static bool has_enough(void *argument)
{
    struct client *client = argument;
    client_take(client);
    return client->got.size >= client->wanted || client->ended;
}

static bool has_ended(void *argument)
{
    struct client *client = argument;
    client_take(client);
    return client->ended;
}

/* Waits for exactly these bytes. */
static void client_expect(struct client *client, const char *text)
{
    client->wanted = strlen(text);
    turn_until(has_enough, client);
    buffer_append(&client->got, "", 1);
    assert_string_equal(client->got.data, text);
    buffer_clear(&client->got);
}

/* That nothing comes, over some turns. */
static void client_expect_nothing(struct client *client)
{
    turn_times(5);
    client_take(client);
    assert_int_equal(client->got.size, 0);
    assert_false(client->ended);
}

static void client_expect_end(struct client *client, const char *text)
{
    turn_until(has_ended, client);
    buffer_append(&client->got, "", 1);
    assert_string_equal(client->got.data, text);
    buffer_clear(&client->got);
}

/* --- tests --- */

static void a_request_is_answered_with_one_read_and_one_write(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    client_say(&client, "PING\r\n");
    client_expect(&client, "+PONG\r\n");
    uint64_t reads = counter_get(&f->metrics.reads), writes = counter_get(&f->metrics.writes);
    for (int i = 0; i < 10; i++) {
        client_say(&client, "*2\r\n$4\r\necho\r\n$2\r\nhi\r\n");
        client_expect(&client, "$2\r\nhi\r\n");
    }
    assert_int_equal(counter_get(&f->metrics.reads) - reads, 10);
    assert_int_equal(counter_get(&f->metrics.writes) - writes, 10);
    client_close(&client);
}

static void a_pipeline_is_prefetched_and_answered_in_order_with_one_write(void **state)
{
    struct client client;
    struct buffer expected = {0}, request = {0};
    (void)state;
    client_open(&client);
    turn_times(3);
    for (int i = 0; i < 100; i++) {
        buffer_append_format(&request, "echo %d\r\n", 1000 + i);
        buffer_append_format(&expected, "$4\r\n%d\r\n", 1000 + i);
    }
    client_send(&client, request.data, request.size);
    buffer_append(&expected, "", 1);
    client_expect(&client, expected.data);
    assert_int_equal(counter_get(&f->metrics.writes), 1);
    assert_int_equal(prefetches, 200);
    buffer_free(&expected);
    buffer_free(&request);
    client_close(&client);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct client client;
    const char *request = "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n";
    (void)state;
    client_open(&client);
    for (size_t i = 0; request[i]; i++) {
        client_send(&client, request + i, 1);
        turn_times(1);
    }
    client_expect(&client, "$5\r\nhello\r\n");
    client_close(&client);
}

static void a_parked_command_holds_back_what_follows_but_not_other_clients(void **state)
{
    struct client client, other;
    (void)state;
    client_open(&client);
    client_open(&other);
    client_say(&client, "echo a\r\npark bbb\r\necho c\r\n");
    client_expect(&client, "$1\r\na\r\n");
    client_say(&client, "echo d\r\n");
    client_say(&other, "PING\r\n");
    client_expect(&other, "+PONG\r\n");
    client_expect_nothing(&client);
    assert_non_null(parked_session);
    unpark();
    client_expect(&client, "$3\r\nbbb\r\n$1\r\nc\r\n$1\r\nd\r\n");
    client_close(&client);
    client_close(&other);
}

static bool reading_is_paused(void *argument)
{
    (void)argument;
    return counter_get(&f->metrics.read_pauses) > 0;
}

static void the_socket_of_a_parked_client_is_not_read_without_end(void **state)
{
    struct client client;
    char *many = malloc(60000);
    (void)state;
    memset(many, '\n', 60000);
    client_open(&client);
    client_say(&client, "park x\r\n");
    turn_times(3);
    client_send(&client, many, 60000);
    turn_until(reading_is_paused, NULL);
    assert_true(counter_get(&f->metrics.received_bytes) < 60000);
    client_say(&client, "PING\r\n");
    unpark();
    client_expect(&client, "$1\r\nx\r\n+PONG\r\n");
    free(many);
    client_close(&client);
}

static bool session_is_gone(void *argument)
{
    return sessions_closed == *(unsigned *)argument;
}

static void a_client_that_goes_away_while_parked_is_answered_if_it_only_ended_its_side(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    client_say(&client, "park x\r\nPING\r\n");
    shutdown(client.fd, SHUT_WR);
    client_expect_nothing(&client);
    unpark();
    client_expect_end(&client, "$1\r\nx\r\n+PONG\r\n");
    client_close(&client);
}

static void a_client_that_closes_is_forgotten(void **state)
{
    struct client client;
    unsigned one = 1;
    (void)state;
    client_open(&client);
    client_say(&client, "*2\r\n$4\r\necho\r\n$5\r\nhal");
    turn_times(3);
    assert_int_equal(net_connection_count(f->net), 1);
    client_close(&client);
    turn_until(session_is_gone, &one);
    assert_int_equal(net_connection_count(f->net), 0);
    assert_int_equal(net_client_memory_bytes(f->net), 0);
}

static void replies_wait_for_the_sequence_that_they_depend_on(void **state)
{
    struct client writer, reader;
    (void)state;
    client_open(&writer);
    client_open(&reader);
    client_say(&writer, "PING\r\nwrite\r\nPING\r\n");
    client_expect(&writer, "+PONG\r\n");
    client_expect_nothing(&writer);
    client_say(&writer, "write\r\nquit\r\n");
    client_say(&reader, "PING\r\n");
    client_expect(&reader, "+PONG\r\n");
    client_expect_nothing(&writer);
    acknowledged_sequence = 1;
    net_acknowledged(f->net);
    client_expect(&writer, ":1\r\n+PONG\r\n");
    client_expect_nothing(&writer);
    acknowledged_sequence = 2;
    net_acknowledged(f->net);
    client_expect_end(&writer, ":2\r\n+OK\r\n");
    client_close(&writer);
    client_close(&reader);
}

static void a_malformed_request_is_answered_after_those_before_it(void **state)
{
    struct client client, other;
    (void)state;
    client_open(&client);
    client_open(&other);
    client_say(&client, "park x\r\nPING\r\n*1\r\n!4\r\nPING\r\nmore that is never read\r\n");
    client_expect_nothing(&client);
    unpark();
    client_expect(&client, "$1\r\nx\r\n+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    turn_until(has_ended, &client);
    client_say(&other, "PING\r\n");
    client_expect(&other, "+PONG\r\n");
    assert_int_equal(counter_get(&dispatch_metrics.protocol_errors), 1);
    client_close(&client);
    client_close(&other);
}

static void quit_ends_after_its_reply_and_runs_nothing_more(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    client_say(&client, "PING\r\nquit\r\nPING\r\n");
    client_expect_end(&client, "+PONG\r\n+OK\r\n");
    client_close(&client);
    client_open(&client);
    client_say(&client, "PING\r\ndie\r\nPING\r\n");
    client_expect_end(&client, "");
    client_close(&client);
    buffer_append(&order, "", 1);
    assert_string_equal(order.data, "PqPd");
}

static void what_follows_auth_in_a_pipeline_is_parsed_as_authenticated(void **state)
{
    struct client client;
    struct buffer request = {0};
    (void)state;
    password = "secret";
    client_open(&client);
    buffer_append_text(&request, "*2\r\n$4\r\nauth\r\n$6\r\nsecret\r\n*12\r\n$4\r\nping\r\n");
    for (int i = 0; i < 11; i++) buffer_append_text(&request, "$1\r\nx\r\n");
    client_send(&client, request.data, request.size);
    client_expect(&client, "+OK\r\n+PONG\r\n");
    client_close(&client);
    client_open(&client);
    client_send(&client, request.data + 26, request.size - 26);
    client_expect_end(&client, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    client_close(&client);
    buffer_free(&request);
}

/* A client that writes and reads more than the socket holds, piece by piece. */
struct flood {
    struct client *client;
    struct buffer request;
    size_t sent, wanted;
};

static bool flood_is_over(void *argument)
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

static void big_arguments_arrive_whole(void **state)
{
    struct client client;
    struct flood flood = {.client = &client};
    (void)state;
    client_open(&client);
    buffer_append_text(&flood.request, "*3\r\n$4\r\nSIZE\r\n$5000000\r\n");
    buffer_reserve(&flood.request, 5000000);
    memset(flood.request.data + flood.request.size, 'x', 5000000);
    flood.request.size += 5000000;
    buffer_append_text(&flood.request, "\r\n$1\r\ny\r\nPING\r\n");
    flood.wanted = strlen(":5000000\r\n+PONG\r\n");
    turn_until(flood_is_over, &flood);
    assert_int_equal(client.got.size, flood.wanted);
    assert_memory_equal(client.got.data, ":5000000\r\n+PONG\r\n", flood.wanted);
    buffer_free(&flood.request);
    client_close(&client);
}

static void large_replies_to_a_slow_reader_arrive_whole(void **state)
{
    struct client client;
    struct flood flood = {.client = &client};
    const size_t each = strlen("$65536\r\n") + sizeof big_value + 2;
    (void)state;
    client_open(&client);
    for (int i = 0; i < 200; i++) buffer_append_text(&flood.request, "big\r\n");
    client_send(&client, flood.request.data, flood.request.size);
    turn_times(10); /* nothing is read */
    assert_true(counter_get(&f->metrics.write_stalls) > 0);
    assert_true(big_references > 0);
    flood.sent = flood.request.size;
    flood.wanted = 200 * each;
    turn_until(flood_is_over, &flood);
    assert_int_equal(client.got.size, flood.wanted);
    for (size_t i = 0; i < 200; i++)
        assert_memory_equal(client.got.data + i * each + 8, big_value, sizeof big_value);
    assert_int_equal(big_references, 0);
    buffer_free(&flood.request);
    client_close(&client);
}

static void a_long_pipeline_lets_others_go_first(void **state)
{
    struct client greedy, modest;
    struct buffer request = {0};
    (void)state;
    client_open(&greedy);
    client_open(&modest);
    turn_times(3);
    for (int i = 0; i < 10000; i++) buffer_append_text(&request, "Z\r\n");
    client_send(&greedy, request.data, request.size);
    client_say(&modest, "A\r\n");
    client_expect(&modest, "+PONG\r\n");
    const char *place = memchr(order.data, 'A', order.size);
    assert_non_null(place);
    assert_true(place - order.data < 5000);
    greedy.wanted = 70000;
    turn_until(has_enough, &greedy);
    assert_int_equal(greedy.got.size, 70000);
    assert_true(counter_get(&f->metrics.budget_turns) > 0);
    buffer_free(&request);
    client_close(&greedy);
    client_close(&modest);
}

static void one_client_too_many_is_refused(void **state)
{
    struct client first, second;
    (void)state;
    f->options.maxclients = 1;
    client_open(&first);
    client_say(&first, "PING\r\n");
    client_expect(&first, "+PONG\r\n");
    client_open(&second);
    client_expect_end(&second, "-ERR max number of clients reached\r\n");
    assert_int_equal(counter_get(&f->metrics.connections_rejected), 1);
    client_close(&second);
    client_close(&first);
}

static void a_client_past_its_output_limit_is_closed(void **state)
{
    struct client client;
    struct error error;
    (void)state;
    set_option("client-output-buffer-limit", "normal 300kb 0 0");
    assert_int_equal(net_apply_options(f->net, &error), STATUS_OK);
    assert_string_equal(f->options.client_output_buffer_limit,
                        "normal 307200 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
    client_open(&client);
    for (int i = 0; i < 10; i++) client_say(&client, "big\r\n");
    turn_until(has_ended, &client);
    assert_int_equal(counter_get(&f->metrics.closed_output_limit), 1);
    assert_int_equal(big_references, 0);
    client_close(&client);
}

static void a_client_past_its_query_limit_is_closed(void **state)
{
    struct client client;
    struct flood flood = {.client = &client};
    (void)state;
    f->options.client_query_buffer_limit_bytes = 1 << 20;
    client_open(&client);
    buffer_append_text(&flood.request, "*3\r\n$4\r\nSIZE\r\n$5000000\r\n");
    for (int i = 0; i < 300000; i++) buffer_append_text(&flood.request, "0123456789");
    turn_until(flood_is_over, &flood);
    assert_true(client.ended);
    assert_int_equal(counter_get(&f->metrics.closed_query_limit), 1);
    buffer_free(&flood.request);
    client_close(&client);
}

static void the_client_that_holds_the_most_is_evicted(void **state)
{
    struct client small, large;
    struct error error;
    unsigned one = 1;
    (void)state;
    set_option("maxmemory-clients", "2mb");
    assert_int_equal(net_apply_options(f->net, &error), STATUS_OK);
    client_open(&small);
    client_say(&small, "PING\r\n");
    client_expect(&small, "+PONG\r\n");
    client_open(&large);
    for (int i = 0; i < 100; i++) client_say(&large, "big\r\n");
    turn_until(session_is_gone, &one);
    assert_int_equal(counter_get(&f->metrics.evicted), 1);
    client_say(&small, "PING\r\n");
    client_expect(&small, "+PONG\r\n");
    client_close(&small);
    client_close(&large);
}

static void one_long_request_is_taken_whatever_clients_may_hold_together(void **state)
{
    struct client client;
    struct flood flood = {.client = &client};
    struct error error;
    (void)state;
    set_option("maxmemory-clients", "1mb");
    assert_int_equal(net_apply_options(f->net, &error), STATUS_OK);
    client_open(&client);
    buffer_append_text(&flood.request, "*2\r\n$4\r\nSIZE\r\n$9000000\r\n");
    buffer_reserve(&flood.request, 9000000);
    memset(flood.request.data + flood.request.size, 'x', 9000000);
    flood.request.size += 9000000;
    buffer_append_text(&flood.request, "\r\n");
    flood.wanted = strlen(":9000000\r\n");
    turn_until(flood_is_over, &flood);
    assert_int_equal(client.got.size, flood.wanted);
    assert_int_equal(counter_get(&f->metrics.evicted), 0);
    buffer_free(&flood.request);
    client_close(&client);
}

static void an_idle_client_is_closed_and_holds_no_buffer_before(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    client_say(&client, "PING\r\n");
    client_expect(&client, "+PONG\r\n");
    assert_true(net_client_memory_bytes(f->net) < 4096);
    f->options.timeout_s = 1;
    clock_shift_wall_ms(5000);
    turn_until(has_ended, &client);
    clock_shift_wall_ms(-5000);
    assert_int_equal(counter_get(&f->metrics.closed_idle), 1);
    client_close(&client);
}

static bool could_not_accept(void *argument)
{
    (void)argument;
    return counter_get(&f->metrics.accept_failures) > 0;
}

static void without_descriptors_accepting_waits_and_goes_on_later(void **state)
{
    struct client client, waiting;
    struct rlimit before, tight;
    (void)state;
    client_open(&client);
    client_say(&client, "PING\r\n");
    client_expect(&client, "+PONG\r\n");
    client_open(&waiting);
    getrlimit(RLIMIT_NOFILE, &before);
    tight = (struct rlimit){(rlim_t)waiting.fd + 1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    turn_until(could_not_accept, NULL);
    client_say(&client, "PING\r\n");
    client_expect(&client, "+PONG\r\n");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    client_say(&waiting, "PING\r\n");
    client_expect(&waiting, "+PONG\r\n");
    client_close(&client);
    client_close(&waiting);
}

static void a_drain_answers_what_was_read_and_then_is_done(void **state)
{
    struct client idle, busy;
    (void)state;
    client_open(&idle);
    client_open(&busy);
    client_say(&idle, "PING\r\n");
    client_expect(&idle, "+PONG\r\n");
    client_say(&busy, "park x\r\nPING\r\n");
    client_expect_nothing(&busy);
    net_drain(f->net);
    client_expect_end(&idle, "");
    assert_false(net_is_drained(f->net));
    unpark();
    client_expect_end(&busy, "$1\r\nx\r\n+PONG\r\n");
    assert_true(net_is_drained(f->net));
    client_close(&idle);
    client_close(&busy);
}

static int connect_to(const char *address, int port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
    if (!is_v6) assert_int_equal(inet_pton(AF_INET, address, &v4.sin_addr), 1);
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int failed = is_v6 ? connect(fd, (const struct sockaddr *)&v6, sizeof v6)
                       : connect(fd, (const struct sockaddr *)&v4, sizeof v4);
    if (failed == 0) return fd;
    close(fd);
    return -1;
}

/* Listens on the addresses at a free port; returns it. */
static int listen_somewhere(const char *bind)
{
    struct error error;
    set_option("bind", bind);
    for (int port = 20000 + (int)(clock_monotonic_ns() % 40000), i = 0; i < 50; port++, i++) {
        f->options.port = port > 60000 ? port - 40000 : port;
        if (net_apply_options(f->net, &error) == STATUS_OK) return (int)f->options.port;
    }
    fail_msg("no free port: %s", error.text);
    return 0;
}

static void tcp_is_served_and_the_addresses_may_change(void **state)
{
    struct client client = {0};
    struct session_io io;
    char expected[128];
    (void)state;
    int port = listen_somewhere("127.0.0.1 127.0.0.2 -203.0.113.77");
    client.fd = connect_to("127.0.0.2", port);
    assert_true(client.fd >= 0);
    client_say(&client, "PING\r\n");
    client_expect(&client, "+PONG\r\n");
    last_session->operations->describe(last_session, &io);
    snprintf(expected, sizeof expected, "127.0.0.2:%d", port);
    assert_string_equal(io.local_address, expected);
    assert_memory_equal(io.address, "127.0.0.1:", 10);
    assert_false(io.unix_socket);
    listen_somewhere("127.0.0.1");
    assert_int_equal(connect_to("127.0.0.2", port), -1);
    client_say(&client, "PING\r\n"); /* who is connected stays so */
    client_expect(&client, "+PONG\r\n");
    client_close(&client);
}

static void bad_options_are_refused_with_their_reason(void **state)
{
    static const char *const cases[][3] = {
        {"bind", "localhost", "bind: \"localhost\" is not an IP address"},
        {"client-output-buffer-limit", "normal 1 2",
         "Wrong number of arguments in buffer limit configuration."},
        {"client-output-buffer-limit", "other 1 2 3",
         "Invalid client class specified in buffer limit configuration."},
        {"client-output-buffer-limit", "normal x 2 3",
         "Error in hard, soft or soft_seconds setting in buffer limit configuration."},
        {"maxmemory-clients", "10x", "argument must be a memory or percent value"},
        {"maxmemory-clients", "101%",
         "argument must be a memory value or a percentage from 0% to 100%"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_options options = {0};
        struct error error;
        option_set_defaults(&net_option_table, &options);
        const struct option *row = option_find(&net_option_table, slice_from_text(cases[i][0]));
        assert_int_equal(option_set(row, &options, slice_from_text(cases[i][1]), &error),
                         STATUS_OK);
        assert_int_equal(net_check_options(&options, &error), STATUS_INVALID);
        assert_string_equal(error.text, cases[i][2]);
        option_free_strings(&net_option_table, &options);
    }
}

static void the_unix_socket_gets_its_permissions(void **state)
{
    struct net_options options = {0};
    struct net_metrics metrics = {0};
    struct error error;
    struct stat found;
    char path[256];
    (void)state;
    net_destroy(f->net);
    snprintf(path, sizeof path, "%s/other", f->folder);
    option_set_defaults(&net_option_table, &options);
    options.port = 0;
    options.unixsocketperm = 0700;
    mem_free(options.unixsocket);
    options.unixsocket = slice_dup_text(slice_from_text(path));
    const struct net_hooks hooks = {0};
    assert_int_equal(net_create(&f->net, f->loop, &options, &metrics, &hooks, &error), STATUS_OK);
    assert_int_equal(net_listen(f->net, &error), STATUS_OK);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    struct buffer text = {0};
    net_describe_listeners(f->net, &text);
    assert_true(slice_equal(buffer_slice(&text), slice_from_text(path)));
    buffer_free(&text);
    net_destroy(f->net);
    f->net = NULL;
    option_free_strings(&net_option_table, &options);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_answered_with_one_read_and_one_write),
        TEST(a_pipeline_is_prefetched_and_answered_in_order_with_one_write),
        TEST(a_request_may_come_byte_by_byte),
        TEST(a_parked_command_holds_back_what_follows_but_not_other_clients),
        TEST(the_socket_of_a_parked_client_is_not_read_without_end),
        TEST(a_client_that_goes_away_while_parked_is_answered_if_it_only_ended_its_side),
        TEST(a_client_that_closes_is_forgotten),
        TEST(replies_wait_for_the_sequence_that_they_depend_on),
        TEST(a_malformed_request_is_answered_after_those_before_it),
        TEST(quit_ends_after_its_reply_and_runs_nothing_more),
        TEST(what_follows_auth_in_a_pipeline_is_parsed_as_authenticated),
        TEST(big_arguments_arrive_whole),
        TEST(large_replies_to_a_slow_reader_arrive_whole),
        TEST(a_long_pipeline_lets_others_go_first),
        TEST(one_client_too_many_is_refused),
        TEST(a_client_past_its_output_limit_is_closed),
        TEST(a_client_past_its_query_limit_is_closed),
        TEST(the_client_that_holds_the_most_is_evicted),
        TEST(one_long_request_is_taken_whatever_clients_may_hold_together),
        TEST(an_idle_client_is_closed_and_holds_no_buffer_before),
        TEST(without_descriptors_accepting_waits_and_goes_on_later),
        TEST(a_drain_answers_what_was_read_and_then_is_done),
        TEST(tcp_is_served_and_the_addresses_may_change),
        TEST(bad_options_are_refused_with_their_reason),
        TEST(the_unix_socket_gets_its_permissions),
    };
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
