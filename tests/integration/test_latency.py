#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""LATENCY: Redis's replies, events named after our parts."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import expect, main, test, wait_until  # noqa: E402

WATCHING = ("--enable-debug-command", "yes", "--latency-monitor-threshold", "1000")


def both(t, *options):
    return [t.client(t.redis(*options)), t.client(t.server(*options))]


@test
def replies_and_errors_are_those_of_redis(t):
    redis, ours = both(t)
    for command in ((), ("LATEST",), ("LATEST", "x"), ("HISTORY",), ("HISTORY", "x"), ("HISTORY", "x", "y"), ("GRAPH",),
                    ("GRAPH", "x"), ("RESET",), ("RESET", "x", "y"), ("DOCTOR", "x"), ("HISTOGRAM", "nosuch"),
                    ("HISTOGRAM", "get", "nosuch"), ("HELP",), ("HELP", "x"), ("NOSUCH",)):
        expect(ours.call("LATENCY", *command), redis.call("LATENCY", *command), command)


@test
def a_command_that_takes_long_is_an_event(t):
    graphs = []
    for client in both(t, *WATCHING):
        client.run("DEBUG", "SLEEP", "1.1")
        newest = next(event for event in client.run("LATENCY", "LATEST") if event[0] == b"command")
        assert newest[1] > 1600000000 and newest[2] >= 1100 and newest[3] >= newest[2], newest
        assert newest[1:3] in client.run("LATENCY", "HISTORY", "command")
        graph = client.run("LATENCY", "GRAPH", "command")
        if len(client.run("LATENCY", "HISTORY", "command")) == 1:  # nothing else was held up
            graphs.append(re.sub(rb"\d+", b"N", graph))
        client.run("HELLO", 3)
        assert client.call("LATENCY", "GRAPH", "command").raw.startswith(b"="), "a text in RESP3"
        assert b"command" in client.run("LATENCY", "DOCTOR")
        expect(client.run("LATENCY", "RESET", "command", "nosuch"), 1)
        expect(client.run("LATENCY", "HISTORY", "command"), [])
    expect(len(set(graphs)) < 2, True, graphs)


@test
def the_threshold_is_live_and_zero_watches_nothing(t):
    client = t.client(t.server("--enable-debug-command", "yes"))
    client.run("DEBUG", "SLEEP", "0.1")
    expect(client.run("LATENCY", "LATEST"), [])
    assert b"latency-monitor-threshold" in client.run("LATENCY", "DOCTOR")
    client.run("CONFIG", "SET", "latency-monitor-threshold", "50")
    client.run("DEBUG", "SLEEP", "0.1")
    assert client.run("LATENCY", "HISTORY", "command")
    client.run("CONFIG", "SET", "latency-monitor-threshold", "0")
    client.run("LATENCY", "RESET")
    client.run("DEBUG", "SLEEP", "0.1")
    expect(client.run("LATENCY", "LATEST"), [])


@test
def the_parts_tell_what_took_them_long(t):
    """A turn of the loop with a reply of many megabytes takes more than a millisecond; syncs on most disks, too, but
    that is not asked."""
    client = t.client(t.server("--latency-monitor-threshold", "1", "--appendfsync", "always"))
    keys = ["k%d" % i for i in range(20000)]
    known = {b"command", b"fast-command", b"loop-turn", b"load", b"journal-append", b"journal-sync", b"batch"}

    def loop_turn_is_there():
        client.run("MSET", *[word for key in keys for word in (key, "x" * 100)])
        events = {event[0] for event in client.run("LATENCY", "LATEST")}
        assert events <= known, events
        return b"loop-turn" in events
    wait_until(loop_turn_is_there, 60)
    for name in client.run("LATENCY", "LATEST"):
        assert name[0] in client.run("LATENCY", "DOCTOR"), name


@test
def a_histogram_counts_every_call(t):
    for client in both(t):
        client.run("CONFIG", "RESETSTAT")
        for _ in range(50):
            client.run("SET", "a", "b")
        client.run("CLIENT", "ID")
        client.run("CONFIG", "GET", "port")
        reply = client.run("LATENCY", "HISTOGRAM", "set", "client", "nosuch", "CONFIG|GET", "get")
        expect(reply[::2], [b"set", b"client|id", b"config|get"])
        name, calls, title, pairs = reply[1]
        expect((name, calls, title), (b"calls", 50, b"histogram_usec"))
        counts = pairs[1::2]
        assert counts == sorted(set(counts)) and counts[-1] == 50, pairs
        ends = {((1032 << k) - 1) // 1000 for k in range(30)}
        assert set(pairs[::2]) <= ends and pairs[::2] == sorted(pairs[::2]), pairs
        names = client.run("LATENCY", "HISTOGRAM")[::2]
        assert {b"set", b"client|id", b"config|get", b"latency|histogram"} <= set(names), names
        client.run("HELLO", 3)
        assert client.call("LATENCY", "HISTOGRAM", "set").raw.startswith(b"%1\r\n$3\r\nset\r\n%2\r\n$5\r\ncalls\r\n"), "a map"
        client.run("CONFIG", "RESETSTAT")
        expect(client.run("LATENCY", "HISTOGRAM", "set"), [])


main()
