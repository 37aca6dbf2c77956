#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Scans of large databases: replies that are sent while they are read, and readers that do not take them."""
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import SHORT, Client, expect, main, scaled, test, wait_until  # noqa: E402

MANY = scaled(60000, 30000)  # keys of 200 bytes: more than all socket buffers hold
PADDING = b"x" * 180
SMALL_BUFFER = 32 * 1024


def names(count, padding=PADDING):
    return [b"key:%012d:%s" % (i, padding) for i in range(count)]


def load(client, keys):
    for start in range(0, len(keys), 10000):
        some = keys[start:start + 10000]
        client.pipeline([("MSET",) + tuple(x for key in some[at:at + 200] for x in (key, b"v"))
                         for at in range(0, len(some), 200)])
    expect(client.run("CHECKPOINT"), b"OK")


def server_with_keys(t, *options, count=MANY):
    server = t.server(*options)
    client = t.client(server, 120)
    keys = names(count)
    load(client, keys)
    return server, client, keys


def slow_client(t, server, timeout=120):
    """Its side of the socket takes little before somebody reads."""
    client = t.client(server, timeout)
    client.close()
    client.socket = socket.socket()
    client.socket.settimeout(timeout)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    client.socket.connect(("127.0.0.1", server.port))
    return client


def figure(client, name):
    return int(client.info()[name])


def streams(client):
    return figure(client, "keyspace_scan_streams")


def in_the_middle(t, server, client):
    """A client whose KEYS has begun, and who does not read."""
    reader = slow_client(t, server)
    expect(reader.run("CLIENT", "ID") > 0, True)
    before = figure(client, "keyspace_streamed_scans")
    reader.send("KEYS", "*")
    wait_until(lambda: figure(client, "keyspace_streamed_scans") > before, 60, "the stream")
    expect(streams(client), 1, "streams")
    return reader


def wait_for_log(server, text):
    wait_until(lambda: text in server.log_end(), 60, "the line in the log")


def size_of_reply(keys):
    return len(b"*%d\r\n" % len(keys)) + sum(len(b"$%d\r\n" % len(k)) + len(k) + 2 for k in keys)


def rss_anonymous(server):
    with open("/proc/%d/status" % server.process.pid) as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Peak(threading.Thread):
    """The most memory that the server held while this ran."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.bytes, self.ended = server, 0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    def run(self):
        while not self.ended.is_set():
            self.bytes = max(self.bytes, rss_anonymous(self.server))
            time.sleep(0.002)


@test
def all_keys_come_in_a_fraction_of_the_memory_that_they_take(t):
    count = scaled(300000, 30000)
    server, client, keys = server_with_keys(t, "--maxmemory", "48mb", count=count)
    expect(client.run("PING"), b"PONG")
    before = rss_anonymous(server)
    with Peak(server) as peak:
        reply = client.call("KEYS", "*")
    expect(len(reply.raw), size_of_reply(keys), "size of the reply")
    expect(sorted(Client.value(reply.tree)), keys, "keys")
    if not SHORT:  # a sanitizer keeps what was freed
        grown = peak.bytes - before
        assert grown < size_of_reply(keys) / 3, "%d bytes more for a reply of %d" % (grown, len(reply.raw))
    expect(streams(client), 0, "streams")


@test
def what_a_client_asks_next_waits_behind_its_keys(t):
    _, client, keys = server_with_keys(t)
    client.send("HELLO", 3)
    client.read()
    for command in (("KEYS", "*"), ("SET", "another", 1), ("KEYS", "key:0000*"), ("GET", "another"), ("KEYS", "*")):
        client.send(*command)
    expect(sorted(client.value(client.read().tree)), keys)
    expect(client.read().raw, b"+OK\r\n")
    expect(sorted(client.value(client.read().tree)), keys)
    expect(client.read().raw, b"$1\r\n1\r\n")
    expect(sorted(client.value(client.read().tree)), [b"another"] + keys)


@test
def a_reply_that_nobody_wants_is_not_sent(t):
    _, client, keys = server_with_keys(t)
    client.send("CLIENT", "REPLY", "SKIP")
    client.send("KEYS", "*")
    expect(client.run("ECHO", "next"), b"next")
    client.send("CLIENT", "REPLY", "OFF")
    client.send("KEYS", "*")
    client.send("CLIENT", "REPLY", "ON")
    expect(client.read().raw, b"+OK\r\n")
    expect(len(client.run("KEYS", "*")), len(keys))


@test
def a_reader_that_stops_is_closed_and_the_others_go_on(t):
    server, client, _ = server_with_keys(t)
    stuck = in_the_middle(t, server, client)
    expect(client.run("CONFIG", "SET", "reply-stream-timeout", 1), b"OK")
    expect(client.run("SET", "a", "b"), b"OK")
    expect(client.run("GET", "a"), b"b")
    expect(client.run("KEYS", "a"), [b"a"])
    wait_until(lambda: streams(client) == 0, 60, "the end of the stream")
    wait_for_log(server, "reply-stream-timeout")
    assert len(stuck.read_until_closed()) < size_of_reply(names(MANY))


@test
def a_slow_reader_gets_every_key(t):
    server, client, keys = server_with_keys(t)
    slow = in_the_middle(t, server, client)
    for _ in range(20):
        slow._fill()
        time.sleep(0.02)
    expect(sorted(slow.value(slow.read().tree)), keys)
    expect(streams(client), 0, "streams")


@test
def many_readers_at_once_get_every_key(t):
    server, client, keys = server_with_keys(t)
    readers = [t.client(server, 120) for _ in range(8)]
    for reader in readers:
        reader.send("KEYS", "*")
    for reader in readers:
        expect(sorted(reader.value(reader.read().tree)), keys)
    wait_until(lambda: streams(client) == 0, 60, "the end of the streams")


@test
def a_reader_may_be_killed_in_the_middle(t):
    server, client, keys = server_with_keys(t)
    reader = slow_client(t, server)
    number = reader.run("CLIENT", "ID")
    reader.send("KEYS", "*")
    wait_until(lambda: streams(client) == 1, 60, "the stream")
    expect(client.run("CLIENT", "KILL", "ID", number), 1)
    wait_until(lambda: streams(client) == 0, 60, "the end of the stream")
    reader.read_until_closed()
    expect(len(client.run("KEYS", "*")), len(keys))


@test
def readers_may_leave_in_the_middle(t):
    server, client, keys = server_with_keys(t)
    for _ in range(5):
        readers = [in_the_middle(t, server, client)]
        readers[0]._fill()
        readers[0].close()
        wait_until(lambda: streams(client) == 0, 60, "the end of the stream")
    expect(len(client.run("KEYS", "*")), len(keys))
    expect(client.run("DEBUG", "RELOAD"), b"OK")  # waits for ever when a handle was not given back


@test
def a_reload_in_the_middle_closes_the_reader(t):
    server, client, keys = server_with_keys(t)
    reader = in_the_middle(t, server, client)
    expect(client.run("DEBUG", "RELOAD"), b"OK")
    assert len(reader.read_until_closed()) < size_of_reply(keys)
    wait_for_log(server, "in the middle of a reply")
    expect(sorted(client.run("KEYS", "*")), keys)


@test
def a_flush_in_the_middle_takes_nothing_from_the_reader(t):
    server, client, keys = server_with_keys(t)
    reader = in_the_middle(t, server, client)
    expect(client.run("FLUSHALL"), b"OK")
    expect(client.run("SET", "after", "1"), b"OK")
    expect(client.run("CHECKPOINT"), b"OK")
    expect(client.run("KEYS", "*"), [b"after"])
    expect(sorted(reader.value(reader.read().tree)), keys)
    folder = os.path.join(server.folder, "store")
    wait_until(lambda: len([f for f in os.listdir(folder) if f.startswith("data-")]) == 1, 60,
               "the removal of the old store")


@test
def a_stop_in_the_middle_is_a_clean_stop(t):
    server, client, keys = server_with_keys(t, "--shutdown-timeout", 1)
    in_the_middle(t, server, client)
    expect(server.stop(signal.SIGTERM), 0, "exit status")
    server.start()
    expect(t.client(server).run("DBSIZE"), len(keys))


@test
def the_output_limit_counts_what_waits_for_a_reader_of_keys(t):
    server, client, keys = server_with_keys(t)
    expect(client.run("CONFIG", "SET", "client-output-buffer-limit", "normal 128kb 0 0"), b"OK")
    reader = slow_client(t, server)
    reader.send("KEYS", "*")
    wait_for_log(server, "client-output-buffer-limit")
    assert len(reader.read_until_closed()) < size_of_reply(keys)
    expect(streams(client), 0, "streams")
    expect(client.run("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0"), b"OK")
    expect(len(client.run("KEYS", "*")), len(keys))


@test
def inside_a_transaction_too_many_keys_are_an_error(t):
    server, client, keys = server_with_keys(t, "--maxmemory", "48mb")
    expect(client.run("MULTI"), b"OK")
    for command in (("KEYS", "*"), ("SET", "mine", "1"), ("KEYS", "mine*")):
        expect(client.run(*command), b"QUEUED")
    (error, ok, mine) = client.call("EXEC").tree[1]
    expect((error[0], error[1][:4]), (b"-", b"OOM "))
    expect(ok, (b"+", b"OK"))
    expect(Client.value(mine), [b"mine"])
    expect(client.run("GET", "mine"), b"1")


@test
def a_page_of_scan_may_be_as_long_as_it_wants(t):
    _, client, keys = server_with_keys(t)
    expect(sorted(client.scan(10 * MANY)), keys)
    cursor, some = client.run("SCAN", 0, "COUNT", 10 * MANY)
    assert cursor != b"0" and sum(len(key) for key in some) <= 1 << 20


@test
def one_worker_is_enough_for_keys_and_loads_at_once(t):
    server, _, keys = server_with_keys(t, "--io-job-threads", 1, "--cache-percent", 0)
    reader, other = t.client(server, 120), t.client(server, 120)
    for round_ in range(3):
        reader.send("KEYS", "*")
        for i in range(0, MANY, MANY // 20):
            expect(other.run("GET", keys[(i + round_) % MANY]), b"v")
        expect(sorted(reader.value(reader.read().tree)), keys)


@test
def a_client_that_never_reads_at_all_costs_no_more_than_a_few_blocks(t):
    server, client, keys = server_with_keys(t)
    reader = in_the_middle(t, server, client)
    line = next(l for l in client.run("CLIENT", "LIST").decode().split("\n") if " cmd=keys " in l)
    held = int(line.split(" omem=")[1].split()[0])
    assert held <= 3 * 256 * 1024, line
    expect(sorted(reader.value(reader.read().tree)), keys)


main()
