#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""MONITOR: what it shows of each command, byte for byte as Redis but for times and ports."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import expect, main, test, wait_until  # noqa: E402
from raw_resp import Disconnected  # noqa: E402

LINE = re.compile(rb"\+\d{10}\.\d{6} \[(\d+) (127\.0\.0\.1:\d+|unix:[^\]]*)\] (.*)\r\n", re.DOTALL)


def shown(raw):
    """A line without what differs from run to run."""
    match = LINE.fullmatch(raw)
    assert match, raw
    return match[1] + b" " + match[3]


def until(monitor, word):
    """All lines before the one of PING `word`, which another client sends."""
    lines = []
    while True:
        line = shown(monitor.read().raw)
        if line.endswith(b'"%s"' % word):
            return lines
        lines.append(line)


def monitored(t, server, commands, version=2):
    monitor, client = t.client(server), t.client(server)
    if version == 3:
        monitor.run("HELLO", 3)
    expect(monitor.call("MONITOR").raw, b"+OK\r\n")
    for command in commands:
        client.call(*command)
    client.run("ECHO", "the end")
    return until(monitor, b"the end")


COMMANDS = [
    ("PING",), ("set", "k", b"a\x00\xff\"\\\n\r\t\a\b\x1bz '"), ("GET", "k"), ("get", ""), ("SELECT", "3"),
    ("MULTI",), ("SET", "a", "5"), ("SELECT", "4"), ("INCR", "a"), ("EXEC",), ("MULTI",), ("DISCARD",),
    ("MULTI",), ("NOSUCH",), ("EXEC",), ("MULTI",), ("MONITOR",), ("PING",), ("EXEC",), ("EXEC",),
    ("WATCH", "a"), ("UNWATCH",), ("NOSUCH", "x"), ("GET",), ("GET", "a", "b"), ("INCR", "k"),
    ("CONFIG", "GET", "port"), ("COMMAND", "COUNT"), ("CLIENT", "ID"), ("CLIENT", "SETNAME", "bob"),
    ("INFO", "nosuch"), ("WAIT", "0", "1"), ("OBJECT", "HELP"), ("SLOWLOG", "LEN"), ("LATENCY", "LATEST"),
    ("SLOWLOG", "HELP"), ("ACL", "WHOAMI"), ("ECHO", "x" * 300), ("AUTH", "pw"), ("AUTH", "default", "pw"),
    ("HELLO", "3", "AUTH", "default", "pw", "SETNAME", "x"), ("HELLO", "2"), ("SET", "k", "v", "EX", "100"),
    ("FLUSHALL",), ("RESET",), ("DBSIZE",),
]


@test
def lines_are_those_of_redis_in_both_protocols(t):
    redis, ours = t.redis(), t.server()
    for version in (2, 3):
        theirs, mine = monitored(t, redis, COMMANDS, version), monitored(t, ours, COMMANDS, version)
        for one, other in zip(mine, theirs):
            expect(one, other)
        expect(len(mine), len(theirs))
        assert b'3 "SET" "a" "5"' in mine and b'4 "EXEC"' in mine, mine


@test
def no_password_is_ever_shown(t):
    lines = monitored(t, t.server(), [("AUTH", "a", "secret", "c"), ("HELLO", "9", "AUTH", "default", "secret"),
                                      ("HELLO", "3", "SETNAME", "auth", "AUTH", "default", "secret"),
                                      ("CONFIG", "SET", "requirepass", "secret")])
    expect(len(lines), 3)
    assert not any(b"secret" in line for line in lines), lines


@test
def what_a_monitor_may_do_is_what_redis_lets_it(t):
    commands = [("GET", "k"), ("SET", "k", "v"), ("MONITOR",), ("PING",), ("KEYS", "*"), ("DBSIZE",), ("PFCOUNT", "x"),
                ("FLUSHALL",), ("NOSUCH",), ("RESET",), ("GET", "k"), ("PING",)]
    streams = []
    for server in (t.redis(), t.server()):
        client = t.client(server)
        client.run("MONITOR")
        client.send_raw(b"".join(b"*%d\r\n" % len(c) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in c)
                                 for c in commands))
        replies = []
        while not replies or replies[-1] != b"$-1\r\n":
            raw = client.read().raw
            replies.append(shown(raw) if LINE.fullmatch(raw) else raw)
        expect(client.read().raw, b"+PONG\r\n")
        streams.append(replies)
    expect(streams[1], streams[0])


@test
def client_list_marks_a_monitor(t):
    client = t.client(t.server())
    monitor = t.client(t.servers[0])
    monitor.run("MONITOR")
    expect(client.run("CLIENT", "LIST").count(b" flags=O "), 1)
    monitor.send("RESET")
    expect(monitor.read().raw, b"+RESET\r\n")
    expect(client.run("CLIENT", "LIST").count(b" flags=O "), 0)
    expect(monitor.call("PING").raw, b"+PONG\r\n")


@test
def quit_and_a_closed_connection_end_it(t):
    server = t.server()
    client, one, other = t.client(server), t.client(server), t.client(server)
    one.run("MONITOR")
    other.run("MONITOR")
    one.send("QUIT")
    expect(one.read().raw, b"+OK\r\n")
    try:
        one.read()
        raise AssertionError("still open")
    except Disconnected:
        pass
    other.close()
    wait_until(lambda: client.run("CLIENT", "LIST").count(b"\n") == 1, what="both are gone")
    expect(client.run("PING"), b"PONG")


@test
def a_monitor_that_reads_nothing_meets_the_output_limit(t):
    server = t.server("--client-output-buffer-limit", "normal", "1mb", "0", "0")
    client, monitor = t.client(server), t.client(server)
    monitor.run("MONITOR")
    monitor.send("PING")
    for _ in range(200):
        client.pipeline([("ECHO", "x" * 1000)] * 100)
        if client.run("CLIENT", "LIST").count(b" flags=O ") == 0:
            break
    expect(client.run("CLIENT", "LIST").count(b" flags=O "), 0)


@test
def a_unix_socket_shows_its_path(t):
    server = t.new_server()
    path = os.path.join(server.folder, "socket")
    server.options += ["--unixsocket", path]
    server.start(90)
    monitor, client = t.client(server), t.client(path)
    monitor.run("MONITOR")
    client.run("PING")
    line = monitor.read().raw
    assert line.endswith(b" [0 unix:%s] \"PING\"\r\n" % path.encode()), line


@test
def a_transaction_that_runs_again_is_shown_once(t):
    server = t.server("--cache-hot-max-entries", 1, "--cache-warm-max-entries", 1)
    client = t.client(server)
    for i in range(10):
        client.run("SET", "key:%d" % i, "x")
    client.run("CHECKPOINT")
    lines = monitored(t, server, [("MULTI",), ("GET", "key:1"), ("KEYS", "key:*"), ("APPEND", "key:2", "y"), ("EXEC",)])
    expect(lines, [b'0 "MULTI"', b'0 "GET" "key:1"', b'0 "KEYS" "key:*"', b'0 "APPEND" "key:2" "y"', b'0 "EXEC"'])


@test
def everything_is_shown_in_one_order(t):
    """What several clients send at the same time comes to two monitors in the same order, and nothing is missing."""
    server = t.server()
    monitors = [t.client(server), t.client(server)]
    for monitor in monitors:
        monitor.run("MONITOR")
    clients = [t.client(server) for _ in range(5)]
    for n in range(20):
        for i, client in enumerate(clients):
            client.send_raw(b"".join(b"INCR c%d:%d\r\n" % (i, n * 10 + k) for k in range(10)))
    for client in clients:
        for _ in range(200):
            expect(client.read().raw, b":1\r\n")
    clients[0].run("ECHO", "the end")
    first, second = (until(monitor, b"the end") for monitor in monitors)
    expect(first, second)
    expect(sorted(first), sorted(b'0 "INCR" "c%d:%d"' % (i, n) for i in range(5) for n in range(200)))


main()
