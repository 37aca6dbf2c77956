#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Found by damaging files (test_damage.py): without its newest journal segment the server started and served what was
older, in silence. A segment now says that another one was begun after it."""
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "fault"), os.path.join(HERE, "..", "lib")]
from harness import expect, main, test  # noqa: E402


def newest_segment(folder):
    """The one with the highest number in its header."""
    def number(path):
        with open(path, "rb") as file:
            page = file.read(56)
        return int.from_bytes(page[48:56], "little")
    paths = [os.path.join(folder, "journal", name) for name in os.listdir(os.path.join(folder, "journal"))
             if name.endswith(".seg")]
    return max(paths, key=number)


def refuse(t, io, damage):
    server = t.server("--journal-io", io, "--journal-segment-size", 65536, "--batch-writer-delay", 3600000)
    client = t.client(server)
    for number in range(30):
        client.run("SET", "k:%d" % number, "x" * 3000)
    server.stop(signal.SIGKILL)
    path = newest_segment(server.folder)
    with open(path, "rb") as file:
        content = file.read()
    damage(path)
    try:
        server.start(60)
        raise AssertionError("it starts, with %d keys" % t.client(server).run("DBSIZE"))
    except RuntimeError:
        expect(server.process.wait(60), 1, "exit status")
    assert "damaged at offset" in server.log_end(2) and "repair" in server.log_end(2), server.log_end(2)
    with open(path, "wb") as file:  # brought back, all is there
        file.write(content)
    server.start(60)
    expect(t.client(server).run("DBSIZE"), 30)


def zero_header(path):
    with open(path, "r+b") as file:
        file.write(bytes(4096))


@test
def a_missing_newest_segment_is_refused(t):
    for io in ("mmap", "write"):
        refuse(t, io, os.unlink)


@test
def a_newest_segment_with_a_blank_header_is_refused(t):
    for io in ("mmap", "write"):
        refuse(t, io, zero_header)


@test
def a_header_without_the_end_of_what_was_written_is_refused(t):
    """Its second half and the first records, as of a block that was lost."""
    def damage(path):
        with open(path, "r+b") as file:
            file.seek(1536)
            file.write(bytes(4096))
    for io in ("mmap", "write"):
        refuse(t, io, damage)


main()
