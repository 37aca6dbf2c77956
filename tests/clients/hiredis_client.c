/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Kelvin through hiredis, over TCP and a unix socket: single commands, pipelines, transactions, bytes of
 * all kinds, WATCH, reconnects. (hiredis 0.14 speaks RESP2 alone.)
 *   hiredis_client PORT UNIX_SOCKET
 * One line per test; the last line is "N passed, N failed". */
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIPELINE = 10000, BLOB_BYTES = 3 << 20 };

static int passed, failed;
static const char *way;

static void report(const char *name, bool good)
{
    printf("%-6s hiredis, %s: %s\n", good ? "ok" : "FAILED", way, name);
    if (good)
        passed++;
    else
        failed++;
}

/* Whether the reply is of this type and, where text is given, these bytes; frees it. */
static bool is(redisReply *reply, int type, const char *text)
{
    bool good = reply && reply->type == type && (!text || strcmp(reply->str, text) == 0);
    if (!good && reply) fprintf(stderr, "    type %d, %s\n", reply->type, reply->str ? reply->str : "");
    if (reply) freeReplyObject(reply);
    return good;
}

static bool is_number(redisReply *reply, long long wanted)
{
    bool good = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == wanted;
    if (!good && reply) fprintf(stderr, "    type %d, %lld\n", reply->type, reply->integer);
    if (reply) freeReplyObject(reply);
    return good;
}

static bool test_commands(redisContext *c)
{
    return is(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "PONG") &&
           is(redisCommand(c, "SET k v"), REDIS_REPLY_STATUS, "OK") &&
           is(redisCommand(c, "GET k"), REDIS_REPLY_STRING, "v") &&
           is(redisCommand(c, "GET none"), REDIS_REPLY_NIL, NULL) &&
           is_number(redisCommand(c, "INCRBY n %d", 42), 42) &&
           is(redisCommand(c, "INCR k"), REDIS_REPLY_ERROR,
              "ERR value is not an integer or out of range") &&
           is_number(redisCommand(c, "DEL k n none"), 2);
}

static bool test_bytes(redisContext *c)
{
    char *blob = malloc(BLOB_BYTES);
    for (size_t i = 0; i < BLOB_BYTES; i++) blob[i] = (char)(i * 2654435761u >> 13);
    char key[] = {'k', 0, '\r', '\n', (char)0xff};
    bool good = is(redisCommand(c, "SET %b %b", key, sizeof key, blob, (size_t)BLOB_BYTES),
                   REDIS_REPLY_STATUS, "OK");
    redisReply *reply = redisCommand(c, "GET %b", key, sizeof key);
    good = good && reply && reply->type == REDIS_REPLY_STRING && reply->len == BLOB_BYTES &&
           memcmp(reply->str, blob, BLOB_BYTES) == 0;
    freeReplyObject(reply);
    good = good && is(redisCommand(c, "SET empty %b", "", (size_t)0), REDIS_REPLY_STATUS, "OK") &&
           is(redisCommand(c, "GET empty"), REDIS_REPLY_STRING, "");
    free(blob);
    return good;
}

static bool test_pipeline(redisContext *c)
{
    bool good = is_number(redisCommand(c, "DEL counter"), 0);
    for (int i = 0; i < PIPELINE; i++) redisAppendCommand(c, "INCR counter");
    for (int i = 1; i <= PIPELINE; i++) {
        void *reply = NULL;
        good = redisGetReply(c, &reply) == REDIS_OK && is_number(reply, i) && good;
        if (!good) break;
    }
    return good && is_number(redisCommand(c, "DEL counter"), 1);
}

static bool test_transaction(redisContext *c)
{
    bool good = is(redisCommand(c, "MULTI"), REDIS_REPLY_STATUS, "OK") &&
                is(redisCommand(c, "SET t 1"), REDIS_REPLY_STATUS, "QUEUED") &&
                is(redisCommand(c, "INCR t"), REDIS_REPLY_STATUS, "QUEUED");
    redisReply *reply = redisCommand(c, "EXEC");
    good = good && reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[1]->integer == 2;
    freeReplyObject(reply);
    return good;
}

static bool test_watch(redisContext *c, redisContext *other)
{
    return is(redisCommand(c, "WATCH t"), REDIS_REPLY_STATUS, "OK") &&
           is(redisCommand(other, "SET t changed"), REDIS_REPLY_STATUS, "OK") &&
           is(redisCommand(c, "MULTI"), REDIS_REPLY_STATUS, "OK") &&
           is(redisCommand(c, "SET t mine"), REDIS_REPLY_STATUS, "QUEUED") &&
           is(redisCommand(c, "EXEC"), REDIS_REPLY_NIL, NULL) &&
           is(redisCommand(c, "GET t"), REDIS_REPLY_STRING, "changed");
}

static bool test_reconnect(redisContext *c)
{
    if (!is(redisCommand(c, "QUIT"), REDIS_REPLY_STATUS, "OK")) return false;
    redisReply *none = redisCommand(c, "PING");
    if (none) freeReplyObject(none);
    return !none && redisReconnect(c) == REDIS_OK &&
           is(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "PONG");
}

static void run_all(redisContext *c, redisContext *other)
{
    if (!c || c->err || !other || other->err) {
        report("connect", false);
        return;
    }
    report("commands", test_commands(c));
    report("any bytes", test_bytes(c));
    report("a pipeline of 10,000", test_pipeline(c));
    report("a transaction", test_transaction(c));
    report("a watched key that changed", test_watch(c, other));
    report("quit and reconnect", test_reconnect(c));
    redisFree(c);
    redisFree(other);
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    int port = atoi(argv[1]);
    signal(SIGPIPE, SIG_IGN);
    way = "TCP";
    run_all(redisConnect("127.0.0.1", port), redisConnect("127.0.0.1", port));
    way = "unix socket";
    run_all(redisConnectUnix(argv[2]), redisConnectUnix(argv[2]));
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
