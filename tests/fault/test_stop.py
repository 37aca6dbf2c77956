#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""SIGTERM while the disk is slow: the server ends, though the store is not done by far, and the next start has everything.
No clock decides: how long a stop may take is counted in calls that it still makes."""
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import expect, main, test, wait_until  # noqa: E402
import faultfs as f  # noqa: E402
from attack import SMALL, fault_server, note_seed, verify, wait_acknowledged  # noqa: E402
from load import Worker  # noqa: E402

SLOW = dict(action=f.SLOW, delay_ms=500)


def loaded(t, *options):
    """A server with a journal that the store has not yet, since its tables take very long."""
    server = fault_server(t, *SMALL, "--journal-max-size", "64mb", "--leveldb-write-buffer", 65536, *options)
    server.start(120)
    seed = note_seed()
    workers = [Worker(database, seed + database, key_count=2000, depth=8, flush=False) for database in range(3)]
    for worker in workers:
        worker.port = server.port
        worker.start()
    wait_acknowledged(workers, 500)
    slow = server.faults.rule("*/store/*.ldb", f.WRITE | f.SYNC | f.CREATE, **SLOW)
    wait_until(lambda: server.faults.hits(slow) > 2, 120, "a slow table")
    wait_acknowledged(workers, 2000)
    for worker in workers:
        worker.finish()
    return server, workers, slow


def restart_and_check(t, server, workers):
    server.faults.clear()
    server.start(120)
    verify(t, server, workers)


@test
def a_stop_does_not_wait_for_slow_tables(t):
    server, workers, slow = loaded(t, "--shutdown-timeout", 1)
    before = server.faults.hits(slow)
    expect(server.stop(signal.SIGTERM, 120), 0, "exit status")
    took = server.faults.hits(slow) - before
    print("    %d slow calls after the signal" % took, flush=True)
    assert took < 20, "the stop wrote %d times to tables" % took
    restart_and_check(t, server, workers)


@test
def a_stop_at_once_leaves_all_to_the_next_start(t):
    server, workers, slow = loaded(t, "--shutdown-timeout", 60)
    client = t.client(server)
    before = server.faults.hits(slow)
    client.send("SHUTDOWN", "NOSAVE")
    expect(server.process.wait(120), 0, "exit status")
    assert server.faults.hits(slow) - before < 10
    server.process = None
    restart_and_check(t, server, workers)


@test
def a_stop_ends_a_start_that_applies_the_journal(t):
    server, workers, _ = loaded(t)
    server.stop(signal.SIGKILL)
    server.faults.clear()
    slow = server.faults.rule("*/store/*.ldb", f.WRITE | f.SYNC | f.CREATE, **SLOW)
    try:
        server.start(timeout=0.5)
    except RuntimeError:
        assert server.is_alive()
    wait_until(lambda: server.faults.hits(slow) > 0, 120, "a slow table")
    expect(server.stop(signal.SIGTERM, 120), 0, "exit status")
    assert server.faults.hits(slow) < 20, server.faults.hits(slow)
    restart_and_check(t, server, workers)


main()
