#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""SLOWLOG: Redis's entries, and behind them where the time went."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import expect, main, test, wait_until  # noqa: E402

EVERYTHING = ("--slowlog-log-slower-than", "0")


def both(t, *options):
    return [t.client(t.redis(*options)), t.client(t.server(*options))]


def entries(client, *count):
    return client.run("SLOWLOG", "GET", *count)


def times(entry):
    return dict(zip(entry[6][::2], entry[6][1::2]))


@test
def an_entry_is_that_of_redis_with_the_times_behind_it(t):
    shapes = []
    for client in both(t, *EVERYTHING):
        client.run("CLIENT", "SETNAME", "somebody")
        client.run("SLOWLOG", "RESET")
        client.run("SET", "key", "value")
        newest = entries(client)[0]
        _, at_s, duration, arguments, address, name = newest[:6]
        assert at_s > 1600000000 and duration >= 0 and address.startswith(b"127.0.0.1:"), newest
        shapes.append((arguments, name, [entry[3] for entry in entries(client, -1)][1:]))
    expect(shapes[1], shapes[0])
    expect(list(times(newest)), [b"wait_usec", b"run_usec", b"sync_usec"])
    expect(times(newest)[b"run_usec"], newest[2])


@test
def arguments_are_cut_as_in_redis(t):
    commands = [["PING", "x" * 128], ["PING", "x" * 129], ["PING", "x" * 100000], ["PING", ""],
                ["MGET"] + ["k%d" % i for i in range(31)], ["MGET"] + ["k%d" % i for i in range(32)],
                ["MGET"] + ["y" * 200] * 500, ["SETRANGE", b"a\x00b\xff", "0", b"\r\n\x00"]]
    redis, ours = both(t, *EVERYTHING)
    for client in (redis, ours):
        for command in commands:
            client.run(*command)
    expect([e[3] for e in entries(ours)], [e[3] for e in entries(redis)])


@test
def replies_and_errors_are_those_of_redis(t):
    redis, ours = both(t)
    for command in ((), ("LEN",), ("LEN", "1"), ("GET",), ("GET", "x"), ("GET", "-2"), ("GET", "-1"), ("GET", "0"),
                    ("GET", "1", "2"), ("RESET",), ("RESET", "x"), ("HELP",), ("HELP", "x"), ("NOSUCH",)):
        expect(ours.call("SLOWLOG", *command), redis.call("SLOWLOG", *command), command)


@test
def as_many_are_kept_as_the_option_says_newest_first(t):
    for client in both(t, *EVERYTHING, "--slowlog-max-len", "10"):
        for i in range(30):
            client.run("PING", i)
        expect(client.run("SLOWLOG", "LEN"), 10)
        expect([e[3][1] for e in entries(client, 3)[1:]], [b"29", b"28"])
        expect(len(entries(client)), 10)
        expect(len(entries(client, -1)), 10)
        expect(len(entries(client, 100)), 10)
        numbers = [e[0] for e in entries(client, -1)]
        expect(numbers, list(range(numbers[0], numbers[0] - 10, -1)))
        client.run("CONFIG", "SET", "slowlog-max-len", "1")
        client.run("PING")
        expect(client.run("SLOWLOG", "LEN"), 1)
        client.run("CONFIG", "SET", "slowlog-max-len", "0")
        client.run("PING")
        expect(client.run("SLOWLOG", "LEN"), 0)


@test
def the_threshold_is_live_and_counts_what_a_command_ran(t):
    client = t.client(t.server("--enable-debug-command", "yes", "--slowlog-log-slower-than", "200000"))
    client.run("DEBUG", "SLEEP", "0.1")
    client.run("DEBUG", "SLEEP", "0.3")

    def found(name):
        return [e for e in entries(client, -1) if e[3][0] == name]
    expect([e[3][2] for e in found(b"DEBUG")], [b"0.3"])
    assert found(b"DEBUG")[0][2] >= 300000
    name, counted = client.run("METRICS", "GET", "kelvin_commands_slow_total")
    assert int(counted) >= 1, (name, counted)
    client.run("CONFIG", "SET", "slowlog-log-slower-than", "-1")
    client.run("DEBUG", "SLEEP", "0.3")
    expect(len(found(b"DEBUG")), 1)
    client.run("CONFIG", "SET", "slowlog-log-slower-than", "0")
    expect([e[3] for e in entries(client, 1)], [[b"CONFIG", b"SET", b"slowlog-log-slower-than", b"0"]])
    client.run("WAIT", "1", "400")  # waits, and holds nobody up
    assert times(found(b"WAIT")[0])[b"wait_usec"] >= 400000


@test
def passwords_are_hidden(t):
    for client in both(t, *EVERYTHING):
        client.run("CONFIG", "SET", "requirepass", "secret-1", "maxclients", "900", "masterauth", "secret-2")
        client.run("AUTH", "secret-1")
        client.run("AUTH", "default", "secret-1")
        client.call("AUTH", "default", "secret-3")
        client.run("HELLO", "2", "AUTH", "default", "secret-1", "SETNAME", "me")
        seen = [e[3] for e in entries(client, 5)][::-1]
        hidden = b"(redacted)"
        expect(seen[0], [b"CONFIG", b"SET", b"requirepass", hidden, b"maxclients", b"900", b"masterauth", hidden])
        expect(seen[1:4], [[b"AUTH", hidden], [b"AUTH", hidden, hidden], [b"AUTH", hidden, hidden]])
        expect(seen[4], [b"HELLO", b"2", b"AUTH", hidden, hidden, b"SETNAME", b"me"])


@test
def a_transaction_shows_what_it_ran_and_not_exec(t):
    seen = []
    for client in both(t, *EVERYTHING):
        client.run("SLOWLOG", "RESET")
        client.pipeline([("MULTI",), ("SET", "a", "1"), ("INCR", "a"), ("EXEC",), ("GET", "a")])
        seen.append([e[3] for e in entries(client)])
    expect(seen[1], seen[0])
    expect(seen[1][0], [b"GET", b"a"])


@test
def a_wait_for_records_is_told_apart(t):
    """Nothing stays in memory, so that GET has to wait, and EXEC runs again for its scan."""
    client = t.client(t.server(*EVERYTHING, "--cache-hot-max-entries", 1, "--cache-warm-max-entries", 1))
    for i in range(10):
        client.run("SET", "key:%d" % i, "x")
    client.run("CHECKPOINT")

    def waited(*command):
        client.run(*command)
        newest = entries(client, 1)[0]
        expect(newest[3], [word.encode() for word in command])
        expect(times(newest)[b"run_usec"], newest[2])
        return times(newest)[b"wait_usec"]
    assert any(waited("GET", "key:%d" % i) > 0 for i in range(10)), "no GET had to wait"
    expect(waited("PING"), 0)
    client.run("SLOWLOG", "RESET")
    client.pipeline([("MULTI",), ("PING",), ("GET", "key:1"), ("DBSIZE",), ("KEYS", "key:*"), ("EXEC",)])
    names = [e[3][0] for e in entries(client)]
    expect(names[:5], [b"KEYS", b"DBSIZE", b"GET", b"PING", b"MULTI"])


@test
def a_wait_for_the_sync_is_told_apart(t):
    server = t.server(*EVERYTHING, "--appendfsync", "always")
    client = t.client(server)
    client.run("SET", "a", "1")  # its reply came, so its sync is over
    newest = entries(client, 1)[0]
    expect(newest[3][0], b"SET")
    synced = times(newest)[b"sync_usec"]
    assert synced > 0, newest
    client.run("PING")
    expect([times(e)[b"sync_usec"] for e in entries(client) if e[3][0] == b"SET"], [synced])
    client.pipeline([("MULTI",), ("SET", "a", "2"), ("SET", "b", "2"), ("EXEC",)])
    in_exec = [e for e in entries(client) if e[3][0] == b"SET"][:2]
    assert all(times(e)[b"sync_usec"] > 0 for e in in_exec), in_exec


@test
def a_large_write_is_there_once(t):
    """A job has its commit."""
    client = t.client(t.server(*EVERYTHING))
    client.run("SET", "big", b"x" * (8 << 20))
    client.run("PING")
    found = [e for e in entries(client) if e[3][0] == b"SET"]
    expect([e[3][2][128:] for e in found], [b"... (%d more bytes)" % ((8 << 20) - 128)])
    client.pipeline([("MULTI",), ("SET", "big", b"y" * (8 << 20)), ("EXEC",)])
    wait_until(lambda: client.run("STRLEN", "big") == 8 << 20)
    expect(len([e for e in entries(client, -1) if e[3][0] == b"SET"]), 2)


main()
