/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target: the bytes of a connection against a whole server in this process. The first byte of
 * the input says how the rest is cut into writes. For each complete request there must be one
 * whole, valid reply, and when the connection is over nothing of it may be left; then the data is
 * dropped, so that each input meets an empty server.
 *
 * Not sent: what waits for a time or for others, what turns replies off, and options that change
 * what a connection may send. */
#include "commands/argument.h"
#include "fuzz/resp_check.h"
#include "fuzz/server_in_process.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CACHE_MOST_BYTES = 256 << 20 };

/* What the requests of an input make us expect. */
struct plan {
    size_t send_bytes; /* so many of the input's bytes are sent */
    size_t replies;
    bool loose; /* the client may be closed before it got them all */
    bool resp3; /* it may have asked for it */
    bool sets_options;
};

static bool is(struct slice word, const char *text)
{
    return slice_equal_nocase(word, text);
}

static bool has_word(const struct request *request, const char *const *words)
{
    for (; *words; words++)
        for (int i = 1; i < request->argc; i++)
            if (argument_is(request->argv[i], *words)) return true;
    return false;
}

static bool is_left_out(const struct request *request)
{
    static const char *const timed[] = {"pause", "reply", "sleep", NULL};
    static const char *const connection_options[] = {"bind",
                                                     "port",
                                                     "tcp-backlog",
                                                     "maxclients",
                                                     "timeout",
                                                     "requirepass",
                                                     "proto-max-bulk-len",
                                                     "client-query-buffer-limit",
                                                     "client-output-buffer-limit",
                                                     "maxmemory-clients",
                                                     "loglevel",
                                                     "reply-stream-timeout",
                                                     NULL};
    struct slice name = request->argv[0];
    if (is(name, "wait")) return true;
    if (is(name, "client") || is(name, "debug")) return has_word(request, timed);
    return is(name, "config") && has_word(request, connection_options);
}

/* False: nothing behind it is answered. */
static bool plan_request(struct plan *plan, const struct request *request)
{
    static const char *const kill[] = {"kill", NULL};
    struct slice name = request->argv[0];
    plan->replies++;
    plan->resp3 |= is(name, "hello");
    plan->sets_options |= is(name, "config") || is(name, "debug");
    plan->loose |=
        is(name, "post") || is(name, "host:") || (is(name, "client") && has_word(request, kill));
    return !is(name, "quit");
}

/* Reads the input as the server will, on a copy: inline requests are unescaped in place. */
static struct plan make_plan(const uint8_t *data, size_t size)
{
    struct plan plan = {.send_bytes = size};
    const struct parser_limits limits = {.max_bulk_bytes = parts.settings.net.proto_max_bulk_bytes,
                                         .authenticated = true};
    struct parser *parser = parser_create();
    char *copy = malloc(size + 1);
    ASSERT(copy);
    memcpy(copy, data, size);
    bool goes_on = true;
    for (size_t at = 0, used = 0; goes_on; at += used) {
        struct request request;
        const char *error;
        request_init(&request);
        enum parser_result result =
            parser_next(parser, &limits, copy + at, size - at, &used, &request, &error);
        goes_on = result == PARSER_COMMAND;
        if (result == PARSER_ERROR) plan.replies++;
        if (goes_on && request.argc > 0) {
            goes_on = !is_left_out(&request);
            if (goes_on)
                goes_on = plan_request(&plan, &request);
            else
                plan.send_bytes = at;
        }
        request_release(&request);
    }
    parser_destroy(parser);
    free(copy);
    return plan;
}

/* --- the client --- */

static struct {
    int fd;
    const uint8_t *data;
    size_t size, step;
    struct buffer got;
    bool ended, shut;
} client;

static void client_read(void *context)
{
    char bytes[65536];
    ssize_t size;
    struct loop_watch *watch = *(struct loop_watch **)context;
    while ((size = recv(client.fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        buffer_append(&client.got, bytes, (size_t)size);
    if (size < 0 && errno == EAGAIN) return;
    client.ended = true;
    loop_watch_enable(watch, false);
    shutdown(client.fd, SHUT_RDWR);
}

static int64_t client_write(void)
{
    if (client.ended) {
        if (net_connection_count(parts.net) == 0) loop_stop(parts.loop);
        return 0;
    }
    if (client.size > 0) {
        size_t here = client.size < client.step ? client.size : client.step;
        ssize_t size = send(client.fd, client.data, here, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0) return errno == EAGAIN ? 0 : -1; /* closed: client_read will see it */
        client.data += size;
        client.size -= (size_t)size;
        return 0;
    }
    if (!client.shut) shutdown(client.fd, SHUT_WR);
    client.shut = true;
    return -1;
}

/* One connection from its beginning to its end; the replies are in client.got. */
static void talk(const uint8_t *data, size_t size, size_t step)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct loop_watch *watch;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", parts.settings.net.unixsocket);
    client.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(connect(client.fd, (const struct sockaddr *)&address, sizeof address) == 0);
    client.data = data;
    client.size = size;
    client.step = step ? step : 1;
    client.ended = client.shut = false;
    buffer_clear(&client.got);
    MUST(loop_watch_create(&watch, parts.loop, client.fd, client_read, &watch, NULL));
    more_work = client_write;
    loop_run(parts.loop);
    more_work = NULL;
    loop_watch_destroy(watch);
    close(client.fd);
}

static void check_replies(const struct plan *plan)
{
    size_t at = 0, replies = 0, one = 1;
    while (one > 0 && at < client.got.size) {
        one = resp_reply_size(client.got.data + at, client.got.size - at, plan->resp3, 0);
        at += one;
        replies += one > 0;
    }
    ASSERT(replies <= plan->replies);
    if (!plan->loose) ASSERT(replies == plan->replies && at == client.got.size);
}

static void check_nothing_is_left(void)
{
    ASSERT(session_count() == 0 && dispatch_parked_count() == 0);
    ASSERT(net_client_memory_bytes(parts.net) == 0);
    ASSERT(cache_used_bytes(parts.cache) < CACHE_MOST_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t flush[] = "*1\r\n$8\r\nFLUSHALL\r\n";
    enum { WHOLE = 128, STEP = 3 };
    if (size < 2) return 0;
    if (!parts.net) server_start();
    size_t step = data[0] < WHOLE ? size : 1 + (size_t)(data[0] - WHOLE) * STEP;
    struct plan plan = make_plan(data + 1, size - 1);
    uint64_t before = journal_appended_sequence(parts.journal);
    talk(data + 1, plan.send_bytes, step);
    check_replies(&plan);
    check_nothing_is_left();
    if (plan.sets_options) server_reset_options();
    if (journal_appended_sequence(parts.journal) == before) return 0;
    talk(flush, sizeof flush - 1, sizeof flush);
    ASSERT(slice_equal(buffer_slice(&client.got), SLICE_LITERAL("+OK\r\n")));
    return 0;
}
