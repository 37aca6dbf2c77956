#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""redis-cli and redis-benchmark, driven for real."""
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import expect, main, scaled, test  # noqa: E402
from raw_resp import encode  # noqa: E402

BULK = scaled(100000, 20000)


def tool(*arguments, given=b"", seconds=120):
    done = subprocess.run([str(a) for a in arguments], input=given, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=seconds, check=False)
    if done.returncode != 0:
        raise AssertionError("%s: exit code %d, %r" % (arguments, done.returncode, done.stdout[-500:]))
    return done.stdout


def cli(server, *arguments, **more):
    return tool("redis-cli", "-p", server.port, *arguments, **more)


def until_stopped(seconds, *arguments):
    """The output of a tool that runs until it is interrupted."""
    with subprocess.Popen(["stdbuf", "-oL"] + [str(a) for a in arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        time.sleep(seconds)
        expect(process.poll(), None, "redis-cli runs on")
        process.terminate()
        return process.communicate()[0]


def fill(server, count=BULK):
    """By redis-cli --pipe; values of 1 to 10 bytes, one of 5,000."""
    commands = [encode([b"SET", b"key:%d" % i, b"v" * (1 + i % 10)]) for i in range(count - 1)]
    commands.append(encode([b"SET", b"key:big", b"b" * 5000]))
    return cli(server, "--pipe", given=b"".join(commands))


@test
def redis_cli_sends_commands(t):
    server = t.server()
    expect(cli(server, "SET", "a", "1"), b"OK\n")
    expect(cli(server, "INCR", "a"), b"2\n")
    expect(cli(server, "--no-raw", "GET", "a"), b'"2"\n')
    expect(cli(server, "-n", "3", "--no-raw", "GET", "a"), b"(nil)\n")
    expect(cli(server, "-x", "SET", "bytes", given=b"\x00\xff\r\n"), b"OK\n")
    expect(cli(server, "GET", "bytes"), b"\x00\xff\r\n\n")
    expect(cli(server, "-r", "3", "INCR", "a"), b"3\n4\n5\n")
    expect(cli(server, "-3", "--no-raw", "CONFIG", "GET", "port"),
           b'1# "port" => "%d"\n' % server.port)
    expect(cli(server, "--no-raw", "NOSUCH", "x"),
           b"(error) ERR unknown command 'NOSUCH', with args beginning with: 'x' \n")
    assert b"redis_version:7.0.15" in cli(server, "INFO", "server")


@test
def redis_cli_is_used_by_hand(t):
    server = t.server()
    text = cli(server, given=b"help set\nhelp @string\nset k v\nget k\nmulti\nincr n\nexec\nselect 2\ndbsize\n")
    for part in (b"summary:", b"since:", b"GETRANGE", b"OK\nv\nOK\nQUEUED\n1\nOK\n0\n"):
        assert part in text, (part, text[-500:])


@test
def redis_cli_pipes_100000_commands(t):
    server = t.server()
    text = fill(server)
    assert b"errors: 0, replies: %d" % BULK in text, text
    expect(cli(server, "DBSIZE"), b"%d\n" % BULK)
    expect(cli(server, "GET", "key:12"), b"vvv\n")


@test
def redis_cli_scans_and_weighs_keys(t):
    server = t.server()
    fill(server)
    keys = cli(server, "--scan").split()
    expect(len(keys), BULK, "keys of --scan")
    expect(len(set(keys)), BULK, "different keys of --scan")
    expect(len(cli(server, "--scan", "--pattern", "key:12*").split()), sum(
        str(i).startswith("12") for i in range(BULK - 1)), "keys of --scan --pattern")
    big = cli(server, "--bigkeys")
    assert b"Sampled %d keys in the keyspace!" % BULK in big, big[-800:]
    assert b"""Biggest string found '"key:big"' has 5000 bytes""" in big, big[-800:]
    mem = cli(server, "--memkeys")
    assert b"Sampled %d keys in the keyspace!" % BULK in mem, mem[-800:]
    assert b"""Biggest string found '"key:big"' has""" in mem, mem[-800:]


@test
def redis_cli_shows_statistics_and_latency(t):
    server = t.server()
    fill(server, 1000)
    stat = until_stopped(2.5, "redis-cli", "-p", server.port, "--stat")
    assert b"keys" in stat and re.search(rb"^1000 ", stat, re.MULTILINE), stat
    latency = cli(server, "--latency")  # one second, where the output is no terminal
    assert re.fullmatch(rb"\d+ \d+ [\d.]+ \d+\n", latency), latency
    history = until_stopped(2.5, "redis-cli", "-p", server.port, "--raw", "--latency-history", "-i", "1")
    assert re.search(rb"\d+ \d+ [\d.]+ \d+", history), history


@test
def redis_cli_finds_the_unix_socket(t):
    server = t.new_server()
    path = os.path.join(server.folder, "socket")
    server.options += ["--unixsocket", path]
    server.start()
    expect(tool("redis-cli", "-s", path, "PING", "hello"), b"hello\n")


def benchmark(server, *arguments):
    """Requests per second by name."""
    text = tool("redis-benchmark", "-p", server.port, "-q", "--csv", *arguments).decode()
    rows = re.findall(r'^"([^"]+)","([\d.]+)"', text, re.MULTILINE)
    return {name: float(rate) for name, rate in rows}


TASKS = ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)")


def check_benchmark(t, *arguments):
    server = t.server()
    t.client(server).run("CONFIG", "RESETSTAT")
    count = scaled(20000, 4000)
    rates = benchmark(server, "-t", "ping,set,get,incr,mset", "-n", count, "-r", 1000, *arguments)
    expect(sorted(rates), sorted(TASKS), "what redis-benchmark ran")
    for name, rate in rates.items():
        assert rate > 100, (name, rate)
    client = t.client(server)
    total = sum(int(client.run("GET", key) or 0) for key in client.scan(1000, "MATCH", "counter:*"))
    expect(total, count, "the sum of the INCRs")
    expect(client.info("errorstats"), {}, "errors")


@test
def redis_benchmark_runs_plain(t):
    check_benchmark(t)


@test
def redis_benchmark_runs_with_pipelines(t):
    check_benchmark(t, "-P", 16)


@test
def redis_benchmark_runs_with_3_threads(t):
    check_benchmark(t, "--threads", 3, "-P", 4)


main()
