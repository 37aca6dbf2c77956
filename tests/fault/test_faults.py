#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Calls on files fail, once and for a while: nothing acknowledged is lost, readers never notice, writers are
told, and go on when the cause is gone."""
import errno
import os
import random
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import Client, expect, main, scaled, test, wait_until  # noqa: E402
import faultfs as f  # noqa: E402
from attack import (SMALL, Prober, Stubborn, fault_server, no_file_call_from_the_loop, start_load,  # noqa: E402
                    stop_load, verify, writes_resume)

MODES = [(policy, io) for policy in ("everysec", "always", "no") for io in ("mmap", "write")]


def begin(t, *options):
    server = fault_server(t, *options)
    server.start(60)
    client = t.client(server)
    client.run("SELECT", 15)
    client.run("SET", "cached", "there")
    return server


def attack(t, rules, seconds=1.0, mode=("everysec", "mmap"), must_hit=True, must_refuse=False, then=signal.SIGKILL, resume=2.0):
    """Load; the rules hold for a while; all works again without a restart; then the process dies."""
    seed = random.SystemRandom().randrange(10**9)
    print("    seed %d, %s" % (seed, " ".join(mode)))
    server = begin(t, "--appendfsync", mode[0], "--journal-io", mode[1], *SMALL)
    workers = [Stubborn(database, seed + database, depth=8) for database in range(2)]
    prober = Prober(server.port)
    prober.start()
    start_load(server, workers)
    time.sleep(0.3)
    numbers = [server.faults.rule(*rule[:2], **rule[2]) for rule in rules]
    time.sleep(seconds)
    hits = [server.faults.hits(number) for number in numbers]
    server.faults.clear()
    took = writes_resume(server, resume)
    time.sleep(0.4)
    assert server.is_alive(), "the server died"
    stop_load(workers)
    worst = prober.finish()
    refused = sum(worker.refused for worker in workers)
    said = [worker.last_refusal for worker in workers if worker.last_refusal]
    print("    hits %s, %d acknowledged, %d refused, resumed after %.2f s, worst PING %.1f ms, %s"
          % (hits, sum(worker.acknowledged for worker in workers), refused, took, worst * 1000, said[:1]))
    if must_hit:
        assert any(hits), "no call was met"
    if must_refuse:
        assert refused, "nobody was told"
    workers = verify(t, server, workers)  # as it is seen now,
    server.stop(then)
    server.start(60)
    workers = verify(t, server, workers)  # and after a restart
    no_file_call_from_the_loop(server)


def for_modes(function):
    for mode in MODES if not scaled(False, True) else MODES[:4]:
        function(mode)


@test
def the_journals_syncs_fail_once(t):
    for mode in MODES[:4]:
        attack(t, [("*/journal/*.seg", f.SYNC | f.MSYNC, dict(count=1))], mode=mode, seconds=1.3)


@test
def the_journals_syncs_fail_for_a_while(t):
    for mode in MODES[:4]:
        attack(t, [("*/journal/*", f.SYNC | f.MSYNC, {})], mode=mode, seconds=2.5,
               must_refuse=mode[0] != "always")  # there all may be waiting for their replies


@test
def the_journals_writes_fail(t):
    for error in (errno.EIO, errno.ENOSPC):
        attack(t, [("*/journal/*.seg", f.WRITE, dict(error=error))], mode=("everysec", "write"), seconds=1.5)
    attack(t, [("*/journal/*.seg", f.WRITE, dict(error=errno.ENOSPC, count=1))], mode=("always", "write"))
    attack(t, [("*/journal/*.seg", f.WRITE, dict(action=f.SHORT))], mode=("everysec", "write"))


@test
def no_segment_can_be_allocated(t):
    for mode in MODES[:4]:
        attack(t, [("*/journal/*", f.ALLOCATE | f.CREATE, dict(error=errno.ENOSPC)),
                   ("*/store/*", f.WRITE | f.CREATE, dict(error=errno.ENOSPC))],
               mode=mode, seconds=3, must_refuse=True)


@test
def tables_cannot_be_written(t):
    for mode, error in zip(MODES, (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE)):
        attack(t, [("*/store/*.ldb", f.WRITE | f.CREATE, dict(error=error))], mode=mode, seconds=2)


@test
def tables_cannot_be_written_once(t):
    attack(t, [("*/store/*.ldb", f.WRITE, dict(error=errno.ENOSPC, count=1))])
    attack(t, [("*/store/*.ldb", f.WRITE, dict(action=f.SHORT, count=3))])


@test
def tables_cannot_be_synced(t):
    attack(t, [("*/store/*.ldb", f.SYNC, dict(count=1))])
    attack(t, [("*/store/*.ldb", f.SYNC, {})], seconds=2)


@test
def tables_cannot_be_read(t):
    attack(t, [("*/store/*.ldb", f.READ | f.OPEN, {})], seconds=1, must_hit=False)


@test
def the_manifest_cannot_be_written(t):
    for kinds in (f.WRITE, f.SYNC, f.CREATE):
        attack(t, [("*/store/*/MANIFEST-*", kinds, dict(error=errno.ENOSPC if kinds != f.SYNC else errno.EIO))],
               seconds=2, must_hit=kinds != f.CREATE)
    attack(t, [("*/store/*/MANIFEST-*", f.WRITE, dict(action=f.SHORT, count=1)),
               ("*/store/*/MANIFEST-*", f.WRITE, dict(error=errno.ENOSPC, skip=1, count=2))], seconds=1)


@test
def current_cannot_be_renamed(t):
    attack(t, [("*/store/*.ldb", f.WRITE, dict(error=errno.EIO, count=1)),
               ("*/store/*CURRENT", f.RENAME, dict(error=errno.EIO))], seconds=2, must_hit=False)


@test
def folders_cannot_be_synced(t):
    attack(t, [("*", f.SYNC_FOLDER, dict(error=errno.EIO))], seconds=2)


@test
def names_cannot_be_removed(t):
    attack(t, [("*", f.UNLINK | f.RENAME, dict(error=errno.EIO))], seconds=2)


@test
def everything_fails_for_a_while(t):
    for mode in MODES[:4]:
        attack(t, [("*", f.OPEN | f.CREATE | f.WRITE | f.SYNC | f.MSYNC | f.ALLOCATE | f.RENAME | f.UNLINK | f.SYNC_FOLDER
                    | f.READ | f.TRUNCATE | f.MKDIR, {})], seconds=2, mode=mode, must_refuse=True)


@test
def calls_fail_at_random(t):
    for mode in MODES[:4]:
        rules = []
        for _ in range(8):
            rules.append((random.choice(("*/journal/*", "*/store/*", "*.ldb", "*/MANIFEST*", "*")),
                          random.choice((f.WRITE, f.SYNC | f.MSYNC, f.CREATE, f.ALLOCATE, f.RENAME, f.SYNC_FOLDER, f.UNLINK)),
                          dict(error=random.choice((errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE)),
                               skip=random.randrange(20), count=random.choice((1, 1, 2, 5, -1)))))
        print("    rules %r" % (rules,))
        attack(t, rules, seconds=2, mode=mode, must_hit=False)


@test
def a_slow_disk_is_felt_by_nobody_who_does_not_need_it(t):
    for mode in MODES[:4]:
        attack(t, [("*", (1 << 14) - 1, dict(action=f.SLOW, delay_ms=500))], seconds=4, mode=mode, resume=8)


main()
