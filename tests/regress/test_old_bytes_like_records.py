#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Found by a differential run with restarts: segments are used again without being zeroed, and what an earlier run left
behind the journal's end may look like records that say that more had been synced. Ordinary numbers in a value were
enough: every start was refused as damage, after a kill and after a clean stop."""
import os
import signal
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib")]
from harness import expect, main, test  # noqa: E402

RUNS = 6  # each run's sequences begin at the next multiple of 2^20


def lookalike(length, operations):
    """Bytes like records of the runs to come: checksum, length, operations, sequence, synced sequence."""
    return b"".join(struct.pack("<QIIQQ", 1, length, operations, (run << 20) + 500000, (run << 20) + 400000)
                    for run in range(1, RUNS))


def starts_again(t, pattern):
    for io in ("mmap", "write"):
        server = t.server("--journal-io", io, "--journal-segment-size", 1 << 20)
        client = t.client(server)
        for number in range(64):  # at each alignment
            client.run("SET", "big:%d" % (number % 8), b"x" * (number % 8) + pattern * (100000 // len(pattern)))
        server.stop()
        for sign in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            server.start(60)
            client = t.client(server)
            client.run("INCR", "starts")
            client.run("CHECKPOINT")
            client.run("INCR", "starts")
            server.stop(sign)
        server.start(60)
        expect(t.client(server).run("GET", "starts"), b"6")
        server.stop()


@test
def old_numbers_that_look_like_a_record_longer_than_the_file_are_no_damage(t):
    starts_again(t, lookalike(1 << 30, 1))


@test
def old_bytes_that_look_like_thousands_of_records_are_no_damage(t):
    starts_again(t, lookalike(40000, 1))


main()
