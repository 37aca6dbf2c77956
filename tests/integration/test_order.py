#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Replies keep the order of the requests and every command runs whole, also where some keys must first come from
disk; slow readers and CLIENT PAUSE hold up nobody else."""
import os
import random
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Client, expect, main, scaled, test, wait_until  # noqa: E402
from raw_resp import encode  # noqa: E402

NO_CACHE = ("--cache-hot-percent", 0, "--cache-warm-max-entries", 1)
KEYS = scaled(5000, 1500)


def value_of(i):
    return (b"value %d " % i) * (1 + i % 40)


def fill(client, count=KEYS):
    client.pipeline([("SET", "k:%d" % i, value_of(i)) for i in range(count)])


def make_cold(client):
    """All keys leave memory: only what LevelDB holds is left."""
    expect(client.run("CHECKPOINT"), b"OK")
    names = ("cache-hot-max-entries", "cache-warm-max-entries")
    before = client.run("CONFIG", "GET", *names)
    for name in names:
        client.run("CONFIG", "SET", name, 1)
    wait_until(lambda: entries(client) <= 4, 20, "an empty cache")
    client.run("CONFIG", "SET", *before)


def entries(client):
    info = client.info("cache")
    return int(info["cache_hot_entries"]) + int(info["cache_warm_entries"])


def mixed_commands(random_source, count):
    commands, wanted = [], []
    for _ in range(count):
        i, j = random_source.randrange(KEYS), random_source.randrange(KEYS)
        pick = random_source.random()
        if pick < 0.4:
            commands.append(("GET", "k:%d" % i))
            wanted.append(value_of(i))
        elif pick < 0.6:
            commands.append(("GET", "hot"))
            wanted.append(b"h")
        elif pick < 0.7:
            commands.append(("MGET", "k:%d" % i, "hot", "none:%d" % i, "k:%d" % j))
            wanted.append([value_of(i), b"h", None, value_of(j)])
        elif pick < 0.8:
            commands.append(("PING", "p%d" % i))
            wanted.append(b"p%d" % i)
        elif pick < 0.9:
            commands.append(("GETRANGE", "k:%d" % i, "2", "6"))
            wanted.append(value_of(i)[2:7])
        else:
            commands.append(("SET", "k:%d" % i, value_of(i)))
            wanted.append(b"OK")
    return commands, wanted


def check_order(t, *options):
    server = t.server(*options)
    client = t.client(server)
    fill(client)
    client.run("SET", "hot", "h")
    make_cold(client)
    errors = []

    def talk(seed):
        mine = Client(server.port)
        source = random.Random(seed)
        for _ in range(scaled(20, 6)):
            commands, wanted = mixed_commands(source, 200)
            for command, got, want in zip(commands, mine.pipeline(commands), wanted):
                if got != want:
                    errors.append((command, got, want))
        mine.close()

    threads = [threading.Thread(target=talk, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[:3]
    return client


@test
def replies_keep_their_order_when_cold_keys_mix_with_hot_ones(t):
    client = check_order(t)
    assert int(client.info("cache")["keyspace_loads"]) > 0


@test
def replies_keep_their_order_without_a_cache(t):
    check_order(t, *NO_CACHE)


@test
def evicted_keys_come_back(t):
    server = t.server("--maxmemory", "32mb", "--leveldb-block-cache", "1mb")
    client = t.client(server)
    count, size = scaled(60000, 15000), 2000
    for start in range(0, count, 1000):
        client.pipeline([("SET", "e:%d" % i, b"%d:" % i + b"x" * size) for i in range(start, start + 1000)])
    expect(client.run("DBSIZE"), count)
    source = random.Random(1)
    for _ in range(20):
        some = [source.randrange(count) for _ in range(100)]
        got = client.pipeline([("GET", "e:%d" % i) for i in some])
        expect(got, [b"%d:" % i + b"x" * size for i in some])
    info = client.info()
    if count * size > 64 << 20:
        assert int(info["keyspace_loads"]) > 0 and int(info["cache_evictions"]) > 0, info["cache_evictions"]
    assert int(info["cache_used_bytes"]) < 40 << 20, info["cache_used_bytes"]


@test
def counters_stay_exact_while_their_keys_come_and_go(t):
    server = t.server(*NO_CACHE)
    rounds, threads = scaled(300, 60), 6

    def count():
        mine = Client(server.port)
        for _ in range(rounds):
            for reply in mine.pipeline([("INCR", "c:%d" % (i % 7)) for i in range(35)]):
                assert isinstance(reply, int), reply
        mine.close()

    running = [threading.Thread(target=count) for _ in range(threads)]
    for thread in running:
        thread.start()
    client = t.client(server)
    while any(thread.is_alive() for thread in running):
        expect(client.run("CHECKPOINT"), b"OK")
        expect(client.run("DEBUG", "RELOAD"), b"OK")
    for thread in running:
        thread.join()
    expect([int(client.run("GET", "c:%d" % i)) for i in range(7)], [rounds * threads * 5] * 7)


@test
def a_transaction_over_cold_keys_is_whole(t):
    server = t.server(*NO_CACHE)
    client = t.client(server)
    client.run("MSET", "a", 1000, "b", 1000)
    stop = threading.Event()
    errors = []

    def move(seed):
        mine, source = Client(server.port), random.Random(seed)
        for _ in range(scaled(300, 60)):
            amount = source.randrange(10)
            replies = mine.pipeline([("MULTI",), ("DECRBY", "a", amount), ("INCRBY", "b", amount), ("EXEC",)])
            if not isinstance(replies[3], list):
                errors.append(replies)
        mine.close()

    def watch():
        mine = Client(server.port)
        while not stop.is_set():
            a, b = mine.run("MGET", "a", "b")
            if int(a) + int(b) != 2000:
                errors.append((a, b))
        mine.close()

    movers = [threading.Thread(target=move, args=(i,)) for i in range(4)]
    watcher = threading.Thread(target=watch)
    for thread in movers + [watcher]:
        thread.start()
    for thread in movers:
        thread.join()
    stop.set()
    watcher.join()
    assert not errors, errors[:3]
    expect(sum(int(v) for v in client.run("MGET", "a", "b")), 2000)


@test
def a_slow_reader_gets_every_byte_and_holds_up_nobody(t):
    server = t.server("--client-output-buffer-limit", "normal", 0, 0, 0, "--maxmemory", "1gb", "--maxmemory-clients", "0")
    client = t.client(server)
    big = os.urandom(1 << 20)
    client.run("SET", "big", big)
    slow = Client(server.port, timeout=60)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    count = 60
    slow.send_raw((encode([b"GET", b"big"]) + encode([b"PING", b"x"])) * count)
    wait_until(lambda: client.run("CLIENT", "LIST").count(b"\n") == 2, 5, "two clients")
    worst = 0
    for _ in range(200):
        began = time.monotonic()
        expect(client.run("PING"), b"PONG")
        worst = max(worst, time.monotonic() - began)
    assert worst < 2, "PING took %.3f s" % worst
    client.run("SET", "big", "overwritten")
    time.sleep(0.2)
    values = [slow.value(slow.read().tree) for _ in range(2 * count)]
    assert set(values[1::2]) == {b"x"}
    assert all(v in (big, b"overwritten") for v in values[::2])
    expect(values[0], big)
    slow.close()


@test
def client_pause_holds_writes_then_lets_them_run(t):
    server = t.server()
    client, other = t.client(server), t.client(server)
    client.run("SET", "k", "before")
    expect(client.run("CLIENT", "PAUSE", 600, "WRITE"), b"OK")
    began = time.monotonic()
    other.send("SET", "k", "after")
    expect(client.run("GET", "k"), b"before", "a read during the pause")
    expect(other.value(other.read().tree), b"OK")
    waited = time.monotonic() - began
    assert 0.4 < waited < 5, waited
    expect(client.run("GET", "k"), b"after")
    expect(client.run("CLIENT", "PAUSE", 60000, "WRITE"), b"OK")
    other.send("SET", "k", "at last")
    expect(client.run("CLIENT", "UNPAUSE"), b"OK")
    expect(other.value(other.read().tree), b"OK")
    began = time.monotonic()
    expect(client.run("CLIENT", "PAUSE", 300, "ALL"), b"OK")
    expect(other.run("GET", "k"), b"at last")
    assert time.monotonic() - began > 0.2


@test
def one_pipeline_of_100000_commands(t):
    client = t.client(t.server())
    count = scaled(100000, 20000)
    sender = threading.Thread(target=client.send_raw, args=(encode([b"INCR", b"n"]) * count,))
    sender.start()
    for i in range(count):
        tree = client.read().tree
        if tree != (b":", i + 1):
            raise AssertionError("reply %d is %r" % (i + 1, tree))
    sender.join()


main()
