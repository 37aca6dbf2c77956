#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Bad input and limits: Redis's own bytes where Redis has an answer, and nobody else notices anything."""
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Client, Skip, expect, main, scaled, test, wait_until  # noqa: E402
from raw_resp import Disconnected, encode  # noqa: E402

PING = b"*1\r\n$4\r\nPING\r\n"
MALFORMED = {
    "a count that is no number": b"*abc\r\n",
    "a count too big": b"*2147483648\r\n",
    "a count over the limit of arguments": b"*1048577\r\n",
    "a negative count is nothing": b"*-1\r\n" + PING + b"QUIT\r\n",
    "no dollar": b"*1\r\n+PING\r\n",
    "no dollar but a digit": b"*2\r\n3\r\nGET\r\n",
    "a bulk that is no number": b"*1\r\n$x\r\n",
    "a negative bulk": b"*1\r\n$-5\r\n",
    "a bulk over proto-max-bulk-len": b"*2\r\n$3\r\nGET\r\n$536870913\r\n",
    "a huge bulk": b"*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n",
    "good ones before the bad one are answered": PING * 3 + b"*1\r\n$x\r\n" + PING,
    "a count without end": b"*" + b"1" * 70000,
    "a bulk length without end": b"*1\r\n$" + b"1" * 70000,
    "an inline command without end": b"x" * 70000,
    "unbalanced quotes": b"SET a \"b\r\n",
    "unbalanced single quotes": b"SET a 'b\r\n",
    "a quote followed by a letter": b"SET a \"b\"c\r\n",
    "inline": b"SET in \"a\\x00b\\n\" \r\nGET in\nDEL in\r\n\r\n  \r\nQUIT\r\n",
    "a POST of a browser": b"POST / HTTP/1.1\r\nHost: here\r\n\r\nSET a b\r\n",
    "Host: alone": b"Host: here\r\n\r\n",
    "an empty command name": b"*1\r\n$0\r\n\r\nQUIT\r\n",
    "a long unknown command": b"*2\r\n$200\r\n" + b"u" * 200 + b"\r\n$200\r\n" + b"a" * 200 + b"\r\nQUIT\r\n",
    "bytes in an unknown command": b"*2\r\n$3\r\n\r\n\x00\r\n$2\r\n\xff\n\r\nQUIT\r\n",
}


def answer(server, data):
    """All that comes until the server closes the connection."""
    client = Client(server.port, timeout=4)
    try:
        client.send_raw(data)
    except OSError:
        pass
    text = b""
    try:
        while True:
            more = client.socket.recv(1 << 16)
            if not more:
                break
            text += more
    except ConnectionResetError:
        pass
    except socket.timeout:
        text += b" (stays open)"
    client.close()
    return text


@test
def malformed_requests_get_the_answer_of_redis(t):
    kelvin, redis = t.server(), t.redis()
    other = t.client(kelvin)
    wrong = []
    for what, data in MALFORMED.items():
        got, wanted = answer(kelvin, data), answer(redis, data)
        if got != wanted:
            wrong.append("%s: got %.200r, wanted %.200r" % (what, got, wanted))
        expect(other.run("PING"), b"PONG", "another client during: " + what)
    assert not wrong, "\n".join(wrong)


@test
def requests_may_arrive_byte_by_byte(t):
    client = t.client(t.server())
    for byte in encode([b"SET", b"k", b"a\r\nb"]) + encode([b"GET", b"k"]) + b"PING\r\n":
        client.send_raw(bytes([byte]))
        time.sleep(0.001)
    expect([client.read().raw for _ in range(3)], [b"+OK\r\n", b"$4\r\na\r\nb\r\n", b"+PONG\r\n"])


@test
def keys_and_values_hold_any_byte(t):
    client = t.client(t.server())
    keys = [bytes([a, b]) for a in range(256) for b in (0, 10, 13, 255)] + [b"", b"k" * 70000]
    client.pipeline([("SET", key, key + b"\0v") for key in keys])
    expect(client.pipeline([("GET", key) for key in keys]), [key + b"\0v" for key in keys])
    expect(sorted(client.scan(100)), sorted(keys))
    expect(client.run("CHECKPOINT"), b"OK")
    expect(client.run("DEBUG", "RELOAD"), b"OK")
    expect(client.pipeline([("GET", key) for key in keys]), [key + b"\0v" for key in keys])
    expect(client.run("DBSIZE"), len(keys))


@test
def maxclients_is_kept(t):
    server = t.server("--maxclients", 10)
    first = t.client(server)
    wait_until(lambda: first.run("CLIENT", "LIST").count(b"\n") == 1, 10, "the start's own client gone")
    clients = [first] + [t.client(server) for _ in range(9)]
    for client in clients:
        expect(client.run("PING"), b"PONG")
    expect(answer(server, PING), b"-ERR max number of clients reached\r\n")
    clients[9].close()
    wait_until(lambda: answer(server, PING + b"QUIT\r\n").startswith(b"+PONG"), 5, "room for a client")
    assert int(clients[1].info("stats")["rejected_connections"]) >= 1


@test
def a_query_buffer_past_its_limit_closes_the_connection(t):
    server = t.server("--client-query-buffer-limit", "1mb", "--proto-max-bulk-len", "1gb")
    other = t.client(server)
    client = t.client(server)
    client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$900000000\r\n")
    try:
        for _ in range(64):
            client.send_raw(b"x" * (1 << 20))
        raise AssertionError("64 MB were taken")
    except (OSError, Disconnected):
        pass
    expect(other.run("PING"), b"PONG")
    expect(other.run("EXISTS", "k"), 0)


@test
def an_output_buffer_past_its_limit_closes_the_connection(t):
    server = t.server("--client-output-buffer-limit", "normal", "20mb", 0, 0)
    other = t.client(server)
    other.run("SET", "k", b"v" * (1 << 20))
    client = t.client(server, 20)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.send_raw(encode([b"GET", b"k"]) * 200)
    wait_until(lambda: other.run("CLIENT", "LIST").count(b"\n") == 1, 20, "the slow reader's end")
    got = len(client.read_until_closed())
    assert got < 100 << 20, got
    expect(other.run("GET", "k"), b"v" * (1 << 20))


@test
def watched_keys_are_memory_of_the_client(t):
    server = t.server("--maxmemory-clients", "2mb")
    client, other = t.client(server), t.client(server)
    try:
        for first in range(0, 1000000, 500):
            client.run("WATCH", *["key:%d" % i for i in range(first, first + 500)])
        raise AssertionError("a million keys are watched within 2 MB")
    except (OSError, Disconnected):
        pass
    expect(other.run("PING"), b"PONG")
    wait_until(lambda: other.run("CLIENT", "LIST").count(b"\n") == 1, 20, "the watcher's end")


@test
def any_of_very_many_watched_keys_is_seen(t):
    server = t.server()
    other, watchers = t.client(server), [t.client(server) for _ in range(3)]
    many = scaled(50000, 5000)
    for k, client in enumerate(watchers):
        for first in range(0, many, 1000):
            client.run("WATCH", *["key:%d" % i for i in range(first, first + 1000)] * (k + 1))
    for changed in (0, many // 2, many - 1):
        other.run("SET", "key:%d" % changed, "x")
        for client in watchers:
            client.run("MULTI")
            expect(client.run("EXEC"), None)
            client.run("WATCH", *["key:%d" % i for i in range(many)])
    other.run("SET", "key:%d" % many, "x")
    for client in watchers:
        client.run("MULTI")
        expect(client.run("EXEC"), [])


@test
def who_has_not_logged_in_cannot_make_us_keep_replies(t):
    server = t.server("--requirepass", "secret")
    client = t.client(server)
    try:
        for _ in range(1000):
            client.send_raw(b"SET x 5\r\n" * 5000)
        raise AssertionError("a million replies are kept for a stranger")
    except (OSError, Disconnected):
        pass
    t.client(server).run("AUTH", "secret")
    wait_until(lambda: "kept for a client without login" in server.log_end(), 10, "the reason in the log")


@test
def nobody_gets_past_auth_without_the_password(t):
    kelvin = t.server("--requirepass", "secret")
    redis = t.redis("--requirepass", "secret")
    wrong = []
    for arguments in (("GET", "k"), ("PING",), ("AUTH", "x"), ("AUTH", "default", "x"), ("AUTH", "nobody", "secret"),
                      ("HELLO",), ("HELLO", "3"), ("HELLO", "3", "AUTH", "default", "x"), ("SELECT", "1"),
                      ("CONFIG", "GET", "*"), ("NOSUCH",), ("SHUTDOWN",), ("MULTI",), ("EXEC",), ("CLIENT", "ID"),
                      ("COMMAND",), ("DEBUG", "SLEEP", "0"), ("FLUSHALL",), ("AUTH",), ("AUTH", "a", "b", "c"),
                      ("RESET",), ("QUIT",)):
        got, wanted = (Client(s.port).call(*arguments).raw for s in (kelvin, redis))
        if got != wanted:
            wrong.append("%r: got %.200r, wanted %.200r" % (arguments, got, wanted))
    for data in (b"*11\r\n", b"*2\r\n$4\r\nPING\r\n$16385\r\n", b"*1048576\r\n", b"*10\r\n$17000\r\n"):
        got, wanted = answer(kelvin, data), answer(redis, data)
        if got != wanted:
            wrong.append("%r: got %.200r, wanted %.200r" % (data, got, wanted))
    assert not wrong, "\n".join(wrong)
    client = t.client(kelvin)
    expect(client.run("AUTH", "secret"), b"OK")
    expect(client.run("SET", "k", "v"), b"OK")
    hello = t.client(kelvin)
    assert not hello.call("HELLO", "3", "AUTH", "default", "secret").is_error
    expect(hello.run("GET", "k"), b"v")


def own_address():
    """An address of this machine that is not loopback; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


@test
def protected_mode_answers_loopback_alone(t):
    address = own_address()
    if address.startswith("127."):
        raise Skip("this machine has no other address")
    kelvin, redis = t.server("--bind", "*"), t.redis("--bind", "*")
    replies = []
    for server in (kelvin, redis):
        with socket.create_connection((address, server.port), timeout=10) as stranger:
            stranger.settimeout(10)
            text = b""
            try:
                while True:
                    more = stranger.recv(65536)
                    if not more:
                        break
                    text += more
            except ConnectionResetError:
                pass
            replies.append(text)
    for text in replies:
        assert text.startswith(b"-DENIED ") and text.endswith(b"\r\n"), replies
    client = t.client(kelvin)
    expect(client.run("PING"), b"PONG")
    expect(client.run("CONFIG", "SET", "protected-mode", "no"), b"OK")
    with socket.create_connection((address, kelvin.port), timeout=10) as stranger:
        stranger.sendall(PING)
        expect(stranger.recv(100), b"+PONG\r\n")


@test
def a_thousand_connections_are_served(t):
    server = t.server()
    count = scaled(1000, 300)
    clients = [t.client(server) for _ in range(count)]
    for turn in range(3):
        for i, client in enumerate(clients):
            client.send("INCR", "n:%d" % (i % 10))
        for client in clients:
            client.read()
    one = clients[0]
    expect(sum(int(one.run("GET", "n:%d" % i)) for i in range(10)), 3 * count)
    expect(one.run("CLIENT", "LIST").count(b"\n"), count)
    for client in clients[1:]:
        client.close()
    wait_until(lambda: int(one.info("clients")["connected_clients"]) == 1, 20, "all others gone")


@test
def half_a_request_and_gone_leaves_nothing(t):
    server = t.server()
    for i in range(scaled(200, 50)):
        client = Client(server.port)
        client.send_raw(encode([b"SET", b"good:%d" % i, b"v"]) + encode([b"SET", b"half", b"v" * 50])[:-20])
        client.close()
    client = t.client(server)
    wait_until(lambda: client.run("CLIENT", "LIST").count(b"\n") == 1, 20, "all gone")
    expect(client.run("EXISTS", "half"), 0)


main()
