# SPDX-License-Identifier: BSD-3-Clause
"""kelvin-load, the benches' load generator: what it sends, checks and counts. (Its parts: unit/bench.)"""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Skip, expect, main, test, wait_until  # noqa: E402
from servers import die_with_parent  # noqa: E402

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(sys.argv[1])), "kelvin-load")


def start(server, *arguments):
    if not os.access(PROGRAM, os.X_OK):
        raise Skip("%s is not built" % PROGRAM)
    return subprocess.Popen([PROGRAM, "-p", str(server.port), "-q", "-j"] + [str(a) for a in arguments], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent)


def run(server, *arguments):
    """(exit code, result, what it said)."""
    process = start(server, *arguments)
    out, said = process.communicate()
    return process.returncode, json.loads(out) if out else None, said


def wait_for_load(client):
    """All its connections are there, and it sends."""
    wait_until(lambda: "cmdstat_get" in client.info("commandstats"), what="a GET")


def check_fill(server, client):
    code, result, said = run(server, "-f", "-o", "shuffled", "-k", 5000, "-d", "0-3000", "-t", 2)
    expect((code, result["requests"], result["errors"]), (0, 5000, 0), said)
    expect(client.run("DBSIZE"), 5000)
    code, result, said = run(server, "-k", 5000, "-d", "0-3000", "-n", 500, "-o", "sequential", "-P", 4, "--verify",
                             "MGET [key:{key}]*10")
    expect((code, result["requests"], result["wrong"], result["nils"]), (0, 500, 0, 0), said)


@test
def a_fill_writes_each_key_once_and_every_value_can_be_checked(t):
    server = t.server()
    check_fill(server, t.client(server))


@test
def it_works_with_redis_too(t):
    redis = t.redis()
    check_fill(redis, t.client(redis))


@test
def a_wrong_value_and_a_missing_one_are_found(t):
    server = t.server()
    client = t.client(server)
    run(server, "-f", "-k", 100)
    value = client.run("GET", "key:000000000042")
    client.run("SET", "key:000000000042", value[:-1] + bytes([value[-1] ^ 1]))
    client.run("DEL", "key:000000000043")
    code, result, said = run(server, "-k", 100, "-n", 100, "-o", "sequential", "-c", 1, "--verify")
    expect((code, result["wrong"], result["nils"], result["errors"]), (1, 1, 1, 0))
    assert "key 42 " in said, said


@test
def errors_are_counted_and_the_first_one_is_shown(t):
    server = t.server()
    run(server, "-f", "-k", 100, "SET key:{key} x")
    code, result, said = run(server, "-k", 100, "-n", 50, "INCR key:{key}")
    expect((code, result["errors"], result["requests"]), (1, 50, 50))
    assert "value is not an integer" in said and "INCR" in said, said


@test
def a_mix_keeps_its_weights_and_counts_each_command(t):
    server = t.server()
    code, result, said = run(server, "-k", 1000, "-n", 10000, "-o", "zipf:0.99", "-P", 8, "GET key:{key}", "--weight", 80,
                             "SET key:{key} {value}", "--weight", 20)
    expect(code, 0, said)
    gets, sets = (command["requests"] for command in result["commands"])
    expect(gets + sets, 10000)
    assert 7700 < gets < 8300, gets  # 7.5 deviations


@test
def at_a_fixed_rate_requests_that_had_to_wait_for_their_turn_count_as_slow(t):
    server = t.server()
    client = t.client(server)
    load = start(server, "-r", 200, "-n", 600, "-c", 2)
    wait_for_load(client)
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(1)  # two requests are under way; 200 more should leave in this second
    server.process.send_signal(signal.SIGCONT)
    out, said = load.communicate()
    result = json.loads(out)
    expect((load.returncode, result["requests"]), (0, 600), said)
    # A sixth of the requests is late by half a second or more: a busy machine makes it more, never less.
    assert result["latency_us"]["p90"] > 300000, result["latency_us"]
    assert result["longest_gap_ms"] > 500, result["longest_gap_ms"]


@test
def a_server_that_goes_away_ends_it_with_a_reason(t):
    server = t.server()
    t.may_die.add(server)
    client = t.client(server)
    load = start(server, "-S", 60)
    wait_for_load(client)
    server.process.kill()
    said = load.communicate()[1]
    expect(load.returncode, 2)
    assert "closed" in said or "reset" in said or "Broken pipe" in said, said


main()
