#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 at any moment under full load: no acknowledged write is lost, none is there in part, nothing that was read is
gone, and the server starts by itself. The load of world.py beside that of lib/load.py."""
import os
import random
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import expect, main, scaled, test, wait_until  # noqa: E402
from load import Worker  # noqa: E402
from attack import SMALL, begin_and_kill, note_seed, verify  # noqa: E402
from world import Round, World  # noqa: E402

ROUNDS = scaled(17, 3)  # in each of six modes, with each of two sets of options
TINY = SMALL + ("--journal-segment-size", 65536, "--journal-max-size", "1mb", "--leveldb-write-buffer", 65536)
MODES = [(policy, io) for policy in ("everysec", "always", "no") for io in ("mmap", "write")]


def more_load(server):
    """Fifty connections that nobody checks, for the sake of load."""
    return subprocess.Popen(["redis-benchmark", "-p", str(server.port), "--dbnum", "15", "-c", "50", "-r", "100000", "-n",
                             "100000000", "-d", "100", "-t", "set", "-q"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rounds_of_kills(t, policy, io, options, rounds):
    randomly = random.Random(note_seed("%s %s %s" % (policy, io, "tiny" if options is TINY else "small")))
    server = t.server("--appendfsync", policy, "--journal-io", io, *options)
    world, workers = World(), [Worker(9 + n, randomly.random(), depth=8, flush=False) for n in range(2)]
    total = 0
    for number in range(rounds):
        flushes = randomly.choice((0, 0.01)) if number else 0.01
        client = t.client(server, 120)
        one = Round(client, number, world, randomly, server.port, flushes=flushes)
        if not flushes:
            for worker in workers:
                worker.port = server.port
                worker.start()
        ballast = more_load(server) if scaled(True, False) else None
        one.wait_acknowledged(randomly.randrange(scaled(4000, 2500)))
        expect(server.stop(signal.SIGKILL), -signal.SIGKILL, "exit status")
        one.join()
        for worker in workers if not flushes else ():
            worker.finish()
        if ballast:
            ballast.kill()
            ballast.wait()
        for _ in range(randomly.randrange(3)):
            begin_and_kill(server, randomly)
        server.start(120)
        client = t.client(server, 120)
        world, _ = one.check(client, True, True)
        if not flushes:
            workers = verify(t, server, workers)
        elif one.was_flushed:
            workers = [Worker(9 + n, randomly.random(), depth=8, flush=False) for n in range(2)]
        total += one.acknowledged
        client.close()
    print("    %d rounds, %d writes acknowledged" % (rounds, total))
    wait_until(server.is_alive, 1)


def add(policy, io):
    def function(t):
        for options in (SMALL, TINY) if scaled(True, False) else [random.SystemRandom().choice((SMALL, TINY))]:
            rounds_of_kills(t, policy, io, options, ROUNDS)
    function.__name__ = "nothing_acknowledged_is_lost_by_kill_9_%s_%s" % (policy, io)
    test(function)


for mode in MODES if scaled(True, False) else random.SystemRandom().sample(MODES, 3):
    add(*mode)
main()
