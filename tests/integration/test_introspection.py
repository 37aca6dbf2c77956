#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the server tells about commands and clients, where the order of Redis's own reply is random
or its figures are."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import expect, main, test, wait_until  # noqa: E402


@test
def command_list_has_the_subcommands(t):
    ours, theirs = ({name.lower() for name in t.client(server).run("COMMAND", "LIST")}
                    for server in (t.server(), t.redis()))
    assert b"client|list" in ours and b"get" in ours, ours
    expect({name for name in ours - theirs if name.split(b"|")[0] not in (b"checkpoint", b"metrics")},
           {b"client|no-touch", b"client|setinfo"})


def percentiles(client, command):
    prefix = "latency_percentiles_usec_%s:" % command
    lines = [line for line in client.run("INFO", "latencystats").decode().split("\r\n") if line.startswith(prefix)]
    return [field.split("=")[0] for line in lines for field in line[len(prefix):].split(",")]


@test
def latency_is_told_in_the_percentiles_that_are_asked_for(t):
    client = t.client(t.server("--latency-tracking-info-percentiles", "50.0", "99.90"))
    expect(client.run("CONFIG", "GET", "latency-tracking-info-percentiles")[1], b"50 99.9")
    client.run("SET", "a", "b")
    expect(percentiles(client, "set"), ["p50", "p99.9"])
    client.run("CONFIG", "SET", "latency-tracking-info-percentiles", "0.0 12.5 100.0")
    expect(client.run("CONFIG", "GET", "latency-tracking-info-percentiles")[1], b"0 12.5 100")
    expect(percentiles(client, "set"), ["p0", "p12.5", "p100"])
    for bad in ("10 101", "-1", "many", '"'):
        assert client.call("CONFIG", "SET", "latency-tracking-info-percentiles", bad).is_error, bad
    expect(percentiles(client, "set"), ["p0", "p12.5", "p100"])
    client.run("CONFIG", "SET", "latency-tracking", "no")
    client.run("SETEX", "a", "10", "b")
    expect(percentiles(client, "set"), [])
    client.run("CONFIG", "SET", "latency-tracking", "yes")
    expect((percentiles(client, "setex"), percentiles(client, "set")), ([], ["p0", "p12.5", "p100"]))
    client.run("CONFIG", "RESETSTAT")
    expect(percentiles(client, "set"), [])


@test
def client_list_shows_what_has_come_of_a_big_argument(t):
    for server in (t.server(), t.redis()):
        watcher, client = t.client(server), t.client(server)
        client.run("CLIENT", "SETNAME", "sender")
        client.send_raw(b"*2\r\n$4\r\nECHO\r\n$3000000\r\n" + b"x" * 2000000)

        def query_bytes():
            line = next(l for l in watcher.run("CLIENT", "LIST").decode().split("\n") if "name=sender" in l)
            return int(dict(field.split("=", 1) for field in line.split(" ")).get("qbuf"))
        wait_until(lambda: query_bytes() == 2000000, 20, "all that was sent")


main()
