#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Big strings: half a gigabyte, and what a partial write or read of one costs."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import SHORT, Skip, expect, main, scaled, test, wait_until  # noqa: E402

MB = 1 << 20
MANY = 64 << 10  # the most that a partial write may journal


def need_memory(wanted_bytes):
    with open("/proc/meminfo") as lines:
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    if free < wanted_bytes:
        raise Skip("%d MB of memory are needed, %d are free" % (wanted_bytes // MB, free // MB))


def figure(client, name):
    return int(client.info()[name])


@test
def a_value_of_512_mb_is_kept(t):
    if SHORT:
        raise Skip("it takes long under a sanitizer")
    need_memory(6 << 30)
    server = t.server("--maxmemory", "3gb")
    client = t.client(server, 180)
    start, size = bytes(range(256)) * 4096, 512 * MB
    client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % size)
    for _ in range(size // len(start)):
        client.send_raw(start)
    client.send_raw(b"\r\n")
    expect(client.read().raw, b"+OK\r\n")
    expect(client.run("STRLEN", "k"), size)
    expect(client.run("GETRANGE", "k", size - 3, -1), b"\xfd\xfe\xff")
    try:
        client.run("APPEND", "k", "x")
        raise AssertionError("a string over proto-max-bulk-len")
    except client.Error as error:
        assert "exceeds maximum allowed size" in str(error), error
    client.send("GET", "k")
    client.position = 0
    expect(client._line(), b"$%d" % size)
    del client.buffer[:client.position]
    left = size + 2
    while left:
        while not client.buffer:
            client._fill()
        at = (size + 2 - left) % len(start)
        piece = bytes(client.buffer[:min(len(client.buffer), len(start) - at, max(left - 2, 2))])
        if left > 2:
            expect(piece, start[at:at + len(piece)], "bytes of GET")
        del client.buffer[:len(piece)]
        left -= len(piece)
    server.restart(signal.SIGKILL)
    client = t.client(server, 180)
    expect(client.run("STRLEN", "k"), size)
    expect(client.run("GETRANGE", "k", 256 * MB + 65, 256 * MB + 67), b"ABC")


@test
def a_sparse_setrange_at_500_mb_works(t):
    need_memory(4 << 30)
    client = t.client(t.server("--maxmemory", "3gb"), 180)
    expect(client.run("SETRANGE", "s", 500 * MB, "end"), 500 * MB + 3)
    expect(client.run("STRLEN", "s"), 500 * MB + 3)
    expect(client.run("GETRANGE", "s", 500 * MB - 2, -1), b"\0\0end")
    expect(client.run("GETBIT", "s", 8 * 400 * MB), 0)
    expect(client.run("DEL", "s"), 1)


def with_big_string(t, *options):
    server = t.server(*options)
    client = t.client(server, 120)
    client.run("SET", "big", b"0123456789" * (10 * MB))
    expect(client.run("CHECKPOINT"), b"OK")
    return server, client


@test
def a_partial_write_journals_64_kb_at_most(t):
    _, client = with_big_string(t)
    for command in (("APPEND", "big", "tail"), ("SETRANGE", "big", 50 * MB, "middle"),
                    ("SETBIT", "big", 8 * 77 * MB, 1), ("BITFIELD", "big", "SET", "u8", 8 * 33 * MB, 7),
                    ("EXPIRE", "big", 1000), ("PERSIST", "big")):
        before = figure(client, "journal_appended_bytes")
        client.run(*command)
        grown = figure(client, "journal_appended_bytes") - before
        assert grown <= MANY + 1024, "%r journals %d bytes" % (command, grown)
    before = figure(client, "batchwriter_bytes_out")
    expect(client.run("CHECKPOINT"), b"OK")
    written = figure(client, "batchwriter_bytes_out") - before
    assert written <= 6 * (MANY + 1024), "%d bytes are written" % written


@test
def a_read_of_an_uncached_one_reads_no_more_than_it_needs(t):
    server, _ = with_big_string(t)
    server.restart()
    client = t.client(server, 120)
    for command, wanted in ((("GETRANGE", "big", 50000000, 50000004), b"01234"), (("GETBIT", "big", 8 * 70000003), 0),
                            (("STRLEN", "big"), 100 * MB), (("GETRANGE", "big", -3, -1), b"789")):
        before = figure(client, "keyspace_load_bytes")
        expect(client.run(*command), wanted, repr(command))
        loaded = figure(client, "keyspace_load_bytes") - before
        assert loaded <= 3 * MANY, "%r loads %d bytes" % (command, loaded)


@test
def a_million_keys_are_there_after_any_stop(t):
    count = scaled(1000000, 50000)
    server = t.server()
    client = t.client(server, 120)
    for start in range(0, count, 10000):
        client.pipeline([("MSET",) + tuple(x for i in range(at, at + 100) for x in ("k:%d" % i, "v%d" % i))
                         for at in range(start, start + 10000, 100)])
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        server.restart(number)
        client = t.client(server, 120)
        expect(client.run("DBSIZE"), count)
        some = range(0, count, 977)
        expect(client.run("MGET", *("k:%d" % i for i in some)), [b"v%d" % i for i in some])
    expect(len(set(client.scan(5000))), count, "keys of SCAN")


@test
def values_of_megabytes_keep_order_and_survive(t):
    """Their commits are a job's: what stands behind them in a pipeline waits, and kill -9 loses none."""
    server = t.server("--maxmemory", "512mb")
    client, other = t.client(server), t.client(server)
    value = os.urandom(MB) * scaled(24, 6)
    client.send("SET", "a", value)
    client.send("APPEND", "a", b"!")
    client.send("INCR", "n")
    client.send("STRLEN", "a")
    other.run("SET", "small", "1")
    for wanted in (b"+OK\r\n", b":%d\r\n" % (len(value) + 1), b":1\r\n",
                   b":%d\r\n" % (len(value) + 1)):
        expect(client.read().raw, wanted)
    expect(client.run("COPY", "a", "b"), 1)
    expect(client.run("SET", "a", value, "GET"), value + b"!")
    for command in (("MULTI",), ("SET", "c", value), ("INCR", "n"), ("GETRANGE", "c", -3, -1)):
        client.run(*command)
    expect(client.run("EXEC"), [b"OK", 2, value[-3:]])
    client.run("MULTI")
    expect(client.run("EXEC"), [])
    server.restart(signal.SIGKILL)
    client = t.client(server)
    expect(client.run("GET", "a") == value, True)
    expect(client.run("GET", "b") == value + b"!", True)
    expect(client.run("GET", "c") == value, True)
    expect(client.run("MGET", "n", "small"), [b"2", b"1"])


@test
def a_client_may_go_while_a_job_has_its_commit(t):
    server = t.server("--maxmemory", "512mb")
    client = t.client(server)
    value = os.urandom(MB) * scaled(24, 6)
    for i in range(scaled(20, 6)):
        gone = t.client(server)
        gone.send("SET", "k%d" % i, value)
        if i % 2:
            wait_until(lambda: b"cmd=set" in client.run("CLIENT", "LIST") or
                       client.run("EXISTS", "k%d" % i), what="the command runs")
        gone.close()
        client.run("SET", "after", str(i))
    expect(client.run("GET", "after"), str(i).encode())
    for i in range(scaled(20, 6)):
        got = client.run("GET", "k%d" % i)
        assert got is None or got == value, "half a value"
    gone = t.client(server)
    gone.send("SET", "last", value)
    server.restart()
    got = t.client(server).run("GET", "last")
    assert got is None or got == value, "half a value"


main()
