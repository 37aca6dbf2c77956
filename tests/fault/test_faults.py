#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Calls on files fail, once and for a while: nothing acknowledged is lost, readers never notice, writers are told the
cause, and go on when it is gone. In the short form each run takes some of the tests and modes at random."""
import errno
import os
import random
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import SHORT, TESTS, main, test, wait_until  # noqa: E402
import faultfs as f  # noqa: E402
from attack import (SMALL, Prober, Stubborn, fault_server, no_file_call_from_the_loop, note_seed,  # noqa: E402
                    start_load, stop_load, verify, wait_acknowledged, wait_refused, writes_resume)

MODES = [(policy, io) for policy in ("everysec", "always", "no") for io in ("mmap", "write")]
SAMPLE = 5
EIO = (errno.EIO,)


def modes(io=None, policies=("everysec", "always")):
    """What a test runs in."""
    all_modes = [mode for mode in MODES if mode[0] in policies and io in (None, mode[1])]
    return [random.SystemRandom().choice(all_modes)] if SHORT else all_modes


def begin(t, mode, *options):
    server = fault_server(t, "--appendfsync", mode[0], "--journal-io", mode[1], *SMALL, *options)
    server.start(120)
    client = t.client(server)
    client.run("SELECT", 15)
    client.run("SET", "cached", "there")
    return server


def meet(server, numbers, must_hit):
    """Until a rule has been met; where that is not certain, for a second."""
    if must_hit:
        wait_until(lambda: any(server.faults.hits(number) for number in numbers), 120, "a fault")
    else:
        time.sleep(1)


def attack(t, rules, mode, must_hit=True, must_refuse=False, linger=0.3):
    """Load; the rules hold for a while; all works again without a restart; then the process dies.
    `must_refuse`: until a writer was told, in the words of the cause."""
    seed = note_seed(" ".join(mode))
    server = begin(t, mode)
    workers = [Stubborn(database, seed + database, key_count=200, depth=8) for database in range(2)]
    prober = Prober(server.port)
    prober.start()
    start_load(server, workers)
    wait_acknowledged(workers, 300)
    numbers = [server.faults.rule(*rule[:2], **rule[2]) for rule in rules]
    meet(server, numbers, must_hit)
    said = wait_refused(server) if must_refuse else ""
    time.sleep(linger)
    hits = [server.faults.hits(number) for number in numbers]
    server.faults.clear()
    took = writes_resume(server)
    wait_acknowledged(workers, 50)
    assert server.is_alive(), "the server died"
    stop_load(workers)
    slowest = prober.finish()
    print("    hits %s, %d acknowledged, %d refused, resumed after %.2f s, 99.9%% of PINGs within %.1f ms\n    %s"
          % (hits, sum(worker.acknowledged for worker in workers), sum(worker.refused for worker in workers), took,
             slowest * 1000, said), flush=True)
    if must_refuse:
        errors = [rule[2].get("error", errno.EIO) for rule in rules]
        causes = [os.strerror(error) for error in errors] + ["disk is full"] * (errno.ENOSPC in errors or
                                                                                errno.EDQUOT in errors)
        assert said.startswith("MISCONF") and any(cause in said for cause in causes), said
    workers = verify(t, server, workers)  # as it is seen now,
    server.stop(signal.SIGKILL)
    server.start(120)
    verify(t, server, workers)  # and after a restart
    no_file_call_from_the_loop(server)


# ---- one kind of call on one kind of file ---------------------------------------------------------

def add(name, rules, errors=EIO, io=None, must_refuse=True, must_hit=True, first=()):
    """Two tests: it fails once; it fails until it is told to stop. `first`: rules that bring the server there."""
    def once(t):
        for mode in modes(io):
            attack(t, list(first) + [(*rule, dict(error=errors[0], count=1)) for rule in rules], mode, must_hit=must_hit)

    def for_a_while(t):
        for number, mode in enumerate(modes(io)):
            attack(t, list(first) + [(*rule, dict(error=errors[number % len(errors)])) for rule in rules], mode,
                   must_hit=must_hit, must_refuse=must_refuse)
    once.__name__, for_a_while.__name__ = name + "_fails_once", name + "_fails_for_a_while"
    test(once)
    test(for_a_while)


FAILED_TABLE = ("*/store/*.ldb", f.WRITE, dict(error=errno.EIO, count=1))  # closes the store; it is opened again
add("syncing_the_journal", [("*/journal/*.seg", f.SYNC | f.MSYNC)])
add("writing_the_journal", [("*/journal/*.seg", f.WRITE)], (errno.EIO, errno.ENOSPC), io="write")
add("making_a_segment", [("*/journal/*", f.ALLOCATE | f.CREATE)], must_refuse=False, must_hit=False)
add("making_anything_new", [("*/journal/*", f.ALLOCATE | f.CREATE), ("*/store/*", f.WRITE | f.CREATE)],
    (errno.EIO, errno.ENOSPC))
add("writing_a_table", [("*/store/*.ldb", f.WRITE | f.CREATE)], (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE))
add("syncing_a_table", [("*/store/*.ldb", f.SYNC)])
add("reading_a_table", [("*/store/*.ldb", f.READ | f.OPEN)], must_refuse=False, must_hit=False)
add("writing_the_manifest", [("*/store/*/MANIFEST-*", f.WRITE)], (errno.EIO, errno.ENOSPC))
add("syncing_the_manifest", [("*/store/*/MANIFEST-*", f.SYNC)])
add("making_the_manifest", [("*/store/*/MANIFEST-*", f.CREATE)], first=[FAILED_TABLE])
add("renaming_current", [("*/store/*CURRENT", f.RENAME)], first=[FAILED_TABLE])
add("syncing_a_folder", [("*", f.SYNC_FOLDER)], must_refuse=False, must_hit=False)
add("removing_a_name", [("*", f.UNLINK | f.RENAME)], must_refuse=False, must_hit=False)
add("every_call", [("*", f.OPEN | f.CREATE | f.WRITE | f.SYNC | f.MSYNC | f.ALLOCATE | f.RENAME | f.UNLINK | f.SYNC_FOLDER
                    | f.READ | f.TRUNCATE | f.MKDIR)])


# ---- mixtures -----------------------------------------------------------------------------------

@test
def writes_come_short(t):
    for mode in modes("write"):
        attack(t, [("*/journal/*.seg", f.WRITE, dict(action=f.SHORT))], mode)
    for mode in modes():
        attack(t, [("*/store/*.ldb", f.WRITE, dict(action=f.SHORT, count=3))], mode)
        attack(t, [("*/store/*/MANIFEST-*", f.WRITE, dict(action=f.SHORT, count=1)),
                   ("*/store/*/MANIFEST-*", f.WRITE, dict(error=errno.ENOSPC, skip=1, count=2))], mode)


@test
def calls_fail_at_random(t):
    randomly = random.Random(note_seed("of the rules"))
    for mode in modes(policies=("everysec", "always", "no")):
        rules = []
        for _ in range(8):
            rules.append((randomly.choice(("*/journal/*", "*/store/*", "*.ldb", "*/MANIFEST*", "*")),
                          randomly.choice((f.WRITE, f.SYNC | f.MSYNC, f.CREATE, f.ALLOCATE, f.RENAME, f.SYNC_FOLDER, f.UNLINK)),
                          dict(error=randomly.choice((errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE)),
                               skip=randomly.randrange(20), count=randomly.choice((1, 1, 2, 5, -1)))))
        print("    rules %r" % (rules,))
        attack(t, rules, mode, must_hit=False)


@test
def a_slow_disk_is_felt_by_nobody_who_does_not_need_it(t):
    for mode in modes():
        attack(t, [("*", f.ALL & ~f.CLOSE, dict(action=f.SLOW, delay_ms=500))], mode, linger=2)


if SHORT and len(sys.argv) == 2:
    TESTS[:] = random.SystemRandom().sample(TESTS, SAMPLE)
main()
