#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 and restarts in the middle of load: every acknowledged write is there, whole, and the counts are exact."""
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import expect, main, scaled, test, wait_until  # noqa: E402
from load import Worker  # noqa: E402

ROUNDS = scaled(4, 2)
WORKERS = 3
# A ring that turns within a second of load.
TINY = ("--journal-segment-size", 65536, "--journal-max-size", "1mb", "--leveldb-table-size", "1mb",
        "--leveldb-write-buffer", 65536)
# Nothing stays in memory that can leave it.
NO_CACHE = ("--cache-hot-percent", 0, "--cache-warm-max-entries", 1)


def check_counts(client, worker, live):
    """DBSIZE is exact, once what has expired is gone."""
    client.run("SELECT", worker.database)
    wait_until(lambda: client.run("DBSIZE") == live, 20,
               "DBSIZE %d of database %d (now %d)" % (live, worker.database, client.run("DBSIZE")))
    expect(len(set(client.scan())), live, "keys that SCAN finds")


def under_load(server, workers, seconds, end):
    """Runs the workers, calls `end` in the middle of it."""
    for worker in workers:
        worker.port = server.port
        worker.start()
    time.sleep(seconds)
    end()
    for worker in workers:
        worker.finish()


def verify(t, server, workers):
    client = t.client(server, 90)
    for worker in workers:
        check_counts(client, worker, worker.settle(client))
    client.close()
    return [worker.again() for worker in workers]


def rounds_of_kills(t, *options):
    server = t.server(*options)
    seed = random.SystemRandom().randrange(10**9)
    print("    seed %d" % seed)
    workers = [Worker(database, seed + database) for database in range(WORKERS)]
    for turn in range(ROUNDS):
        clean = turn % 3 == 2

        def end(clean=clean):
            status = server.stop(signal.SIGTERM if clean else signal.SIGKILL)
            expect(status, 0 if clean else -signal.SIGKILL, "exit status")

        under_load(server, workers, 0.3 + random.random() * scaled(0.8, 0.5), end)
        if turn % 2 == 1:  # it dies while it starts, too
            begin_and_kill(server)
        server.start(90)
        workers = verify(t, server, workers)
    total = sum(worker.acknowledged for worker in workers)
    print("    %d acknowledged" % total)
    assert total > 100, total


def begin_and_kill(server):
    """Starts, and kills before or while the journal is applied."""
    try:
        server.start(timeout=random.random() * 0.3)
    except RuntimeError:
        if not server.is_alive():
            raise
    expect(server.stop(signal.SIGKILL), -signal.SIGKILL, "exit status")


@test
def nothing_acknowledged_is_lost_everysec_mmap(t):
    rounds_of_kills(t, "--appendfsync", "everysec", "--journal-io", "mmap")


@test
def nothing_acknowledged_is_lost_everysec_write(t):
    rounds_of_kills(t, "--appendfsync", "everysec", "--journal-io", "write")


@test
def nothing_acknowledged_is_lost_always_mmap(t):
    rounds_of_kills(t, "--appendfsync", "always", "--journal-io", "mmap")


@test
def nothing_acknowledged_is_lost_always_write(t):
    rounds_of_kills(t, "--appendfsync", "always", "--journal-io", "write")


@test
def nothing_acknowledged_is_lost_no_mmap(t):
    rounds_of_kills(t, "--appendfsync", "no", "--journal-io", "mmap")


@test
def nothing_acknowledged_is_lost_no_write(t):
    rounds_of_kills(t, "--appendfsync", "no", "--journal-io", "write")


@test
def nothing_acknowledged_is_lost_in_a_turning_ring_of_tiny_segments(t):
    rounds_of_kills(t, *TINY, *NO_CACHE)


@test
def nothing_acknowledged_is_lost_in_a_turning_ring_always_write(t):
    rounds_of_kills(t, "--appendfsync", "always", "--journal-io", "write", *TINY)


@test
def nothing_acknowledged_is_lost_without_a_cache(t):
    rounds_of_kills(t, "--maxmemory", "64mb", *NO_CACHE)


def fill(client, count=2000):
    for database in range(3):
        client.run("SELECT", database)
        client.pipeline([("SET", "k:%d" % i, "v%d" % i) for i in range(count)])


@test
def an_acknowledged_flushall_holds_after_kill_9(t):
    server = t.server()
    for _ in range(scaled(4, 2)):
        client = t.client(server)
        fill(client)
        client.run("FLUSHALL")
        client.run("SELECT", 1)
        client.run("SET", "after", "x")
        server.restart(signal.SIGKILL)
        client = t.client(server)
        for database, wanted in ((0, []), (1, [b"after"]), (2, [])):
            client.run("SELECT", database)
            expect(client.scan(), wanted, "keys of database %d" % database)
            expect(client.run("DBSIZE"), len(wanted))


@test
def a_flushall_cut_by_kill_9_is_whole_or_not_at_all(t):
    server = t.server()
    for turn in range(scaled(6, 2)):
        client = t.client(server)
        fill(client)
        client.send("FLUSHALL")
        time.sleep(turn * 0.002)
        server.restart(signal.SIGKILL)
        client = t.client(server)
        sizes = []
        for database in range(3):
            client.run("SELECT", database)
            sizes.append(client.run("DBSIZE"))
            expect(len(client.scan()), sizes[-1], "keys of database %d" % database)
        assert sizes in ([0, 0, 0], [2000, 2000, 2000]), sizes


@test
def a_stop_while_it_loads_ends_cleanly(t):
    server = t.server()
    client = t.client(server)
    for start in range(0, scaled(200000, 20000), 10000):
        client.pipeline([("SET", "k:%d" % i, "v%d" % i) for i in range(start, start + 10000)])
    server.stop(signal.SIGKILL)
    for pause in (0.0, 0.01, 0.03, 0.06, 0.1):
        try:
            server.start(timeout=pause)
        except RuntimeError:
            assert server.is_alive(), server.log_end()
        time.sleep(pause)
        status = server.stop(signal.SIGTERM)
        assert status in (0, -signal.SIGTERM), status  # the latter before it listens to signals
    server.start()
    expect(t.client(server).run("DBSIZE"), scaled(200000, 20000))


@test
def what_checkpoint_acknowledged_needs_no_replay(t):
    server = t.server()
    client = t.client(server)
    fill(client)
    expect(client.run("CHECKPOINT"), b"OK")
    info = client.info("journal")
    expect(info["journal_marked_sequence"], info["journal_appended_sequence"])
    server.restart(signal.SIGKILL)
    client = t.client(server)
    for database in range(3):
        client.run("SELECT", database)
        expect(client.run("DBSIZE"), 2000)


main()
