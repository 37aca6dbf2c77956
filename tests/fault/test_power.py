#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The machine dies: what no sync had covered is gone, or there in part and out of order. faultfs.so's log tells what
was covered; of a mapping, any subset of the pages that were stored to later may be there too. The cut comes
anywhere under load, or at a chosen call: in the middle of a range's way into tables, of a FLUSHALL, of
the making or the reuse of a segment, of recovery. The load and what is checked: world.py."""
import errno
import os
import random
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import main, scaled, test, wait_until  # noqa: E402
import faultfs as f  # noqa: E402
from attack import SMALL, cut, fault_server, no_file_call_from_the_loop, note_seed  # noqa: E402
from world import Round, World  # noqa: E402

ROUNDS = scaled(12, 2)
TINY = SMALL + ("--journal-segment-size", 65536, "--journal-max-size", "1mb", "--leveldb-write-buffer", 65536)
ANYWHERE = ()
# Where the process dies: pattern, kinds of calls, and before the how-manieth of them at most.
TABLES = [("*/store/*.ldb", f.CREATE | f.WRITE | f.SYNC, 12), ("*/store/*/MANIFEST-*", f.CREATE | f.WRITE | f.SYNC, 8)]
FLUSHALL = [("*/store/data-*", f.MKDIR, 1), ("*/store/CURRENT*", f.CREATE | f.WRITE | f.SYNC | f.RENAME, 6),
            ("*/store", f.SYNC_FOLDER, 3), ("*/store/data-*/CURRENT*", f.RENAME, 2), ("*/store/*", f.UNLINK, 30)]
SEGMENTS = [("*/journal/*.seg", f.WRITE, 9), ("*/journal/*.seg", f.SYNC | f.MSYNC, 9),
            ("*/journal/*.tmp", f.CREATE | f.ALLOCATE | f.WRITE | f.SYNC, 5), ("*/journal/*", f.RENAME, 2),
            ("*/journal", f.SYNC_FOLDER, 2)]


def start_and_cut(server, before_call, keep):
    """It starts, and the machine dies again before the n-th call on a file."""
    server.faults.rule("*", f.ALL & ~f.LOOK, action=f.DIE, skip=before_call)
    try:
        server.start(60)
    except RuntimeError:
        if server.process.returncode != -signal.SIGKILL:
            raise
    cut(server, keep)


def die_at(server, randomly, moment):
    """At a call of the moment; gives which."""
    pattern, kinds, most = randomly.choice(moment)
    before = randomly.randrange(most)
    server.faults.rule(pattern, kinds, action=f.DIE, skip=before)
    wait_until(lambda: not server.is_alive(), 120, "call %d of kind %d on %s" % (before, kinds, pattern))
    return "before call %d of kind %d on %s" % (before, kinds, pattern)


def run_into(server, one, rules):
    """The rules hold until each has been met and some more was written."""
    numbers = [server.faults.rule(*rule[:2], **rule[2]) for rule in rules]
    wait_until(lambda: all(server.faults.hits(number) for number in numbers), 120, "a fault")
    one.wait_acknowledged(one.acknowledged + 100)
    return "after %s faults" % [server.faults.hits(number) for number in numbers]


def die_again(server, randomly, times):
    for _ in range(times):
        start_and_cut(server, randomly.randrange(server.start_calls + 10), randomly.choice((0, 0.5)))


def start(server):
    before = server.faults.calls()
    server.start(120)
    server.start_calls = server.faults.calls() - before


def attack(t, policy, io, moment=ANYWHERE, rules=(), rounds=ROUNDS, again=None, options=SMALL, flushes=0.0):
    randomly = random.Random(note_seed("%s %s" % (policy, io)))
    random.seed(randomly.random())
    server = fault_server(t, "--appendfsync", policy, "--journal-io", io, *options, power=True)
    server.disk = f.Disk(os.path.realpath(server.data))
    start(server)
    world = World()
    for number in range(rounds):
        client = t.client(server, 120)
        one = Round(client, number, world, randomly, server.port, flushes=flushes, watch=True,
                    may_refuse=bool(rules))
        begin = one.reader.synced
        one.wait_acknowledged(randomly.randrange(1, 1200))
        if policy != "no":  # a sync that is known to have covered something
            wait_until(lambda: one.reader.synced > begin or one.raise_errors(), 120, "a sync")
        where = die_at(server, randomly, moment) if moment else run_into(server, one, rules) if rules else "anywhere"
        keep = randomly.choice((0, 0, 0.5, 0.9))
        server.stop(signal.SIGKILL)
        one.join()
        cut(server, keep)
        die_again(server, randomly, randomly.randrange(3) if again is None else again)
        start(server)
        client = t.client(server, 120)
        world, survived = one.check(client, policy == "always", policy == "always")
        print("    cut %s, pages kept: %s; %d acknowledged, %d there since the last FLUSHALL"
              % (where, keep, one.acknowledged, survived), flush=True)
    no_file_call_from_the_loop(server)


def ways():
    """Of journal-io; in the short form one of the two."""
    return ("write", "mmap") if scaled(True, False) else [random.SystemRandom().choice(("write", "mmap"))]


@test
def nothing_acknowledged_is_lost_always(t):
    for io in ways():
        attack(t, "always", io)


@test
def what_survives_is_a_prefix_everysec(t):
    for io in ways():
        attack(t, "everysec", io, flushes=0.005)


@test
def what_survives_is_a_prefix_no(t):
    for io in ways():
        attack(t, "no", io)


def policies():
    """In the short form one of the four."""
    modes = [(policy, io) for policy in ("always", "everysec") for io in ("write", "mmap")]
    return modes if scaled(True, False) else [random.SystemRandom().choice(modes)]


@test
def a_cut_in_the_middle_of_applying_a_range(t):
    for mode in policies():
        attack(t, *mode, moment=TABLES)


@test
def a_cut_in_the_middle_of_a_flushall(t):
    for mode in policies():
        attack(t, *mode, moment=FLUSHALL, flushes=0.02)


@test
def a_cut_while_a_segment_is_made_or_used_again(t):
    for mode in policies():
        attack(t, *mode, moment=SEGMENTS, options=TINY)


@test
def cuts_in_the_middle_of_recovery_one_after_the_other(t):
    for mode in policies():
        attack(t, *mode, again=3, rounds=scaled(12, 1), options=TINY)


@test
def a_failed_sync_and_then_the_cut(t):
    for io in ways():
        attack(t, "always", io, rules=[("*/journal/*.seg", f.SYNC | f.MSYNC | f.WRITE, dict(error=errno.EIO, count=1))])
        attack(t, "everysec", io, rules=[("*/journal/*.seg", f.SYNC | f.MSYNC, dict(error=errno.EIO, count=3))])


@test
def the_store_fails_and_then_the_cut(t):
    attack(t, "always", "write", rules=[("*/store/*.ldb", f.SYNC | f.WRITE, dict(error=errno.EIO, skip=2, count=2)),
                                        ("*/store/*/MANIFEST*", f.SYNC | f.WRITE, dict(error=errno.ENOSPC, skip=2, count=1))])


main()
