#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""--repair-journal cut the journal below what the store held, and the server refused to start from then on ("the store ends
beyond the journal"). What is in the store needs no journal: now a new one begins behind it."""
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "fault"), os.path.join(HERE, "..", "lib")]
from harness import expect, main, test  # noqa: E402


def repair(server):
    out = subprocess.run([os.path.realpath(sys.argv[1]), "--repair-journal", server.folder], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, check=False)
    expect(out.returncode, 0, "exit code: " + out.stdout.decode())
    return out.stdout.decode()


def fill(t, server, prefix):
    client = t.client(server)
    for number in range(100):
        client.run("SET", "%s:%d" % (prefix, number), "x" * 300)
    client.run("CHECKPOINT")
    return client


@test
def a_journal_that_is_cut_below_the_store_begins_anew_behind_it(t):
    server = t.server("--batch-writer-delay", 3600000)
    fill(t, server, "kept").run("SET", "lost", "not yet in the store")
    server.stop(signal.SIGKILL)
    folder = os.path.join(server.folder, "journal")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "r+b") as file:
            file.seek(4096 + 1000)
            if name.endswith(".seg") and any(file.read(100)):
                file.seek(4096 + 1000)
                file.write(b"damage")
    try:
        server.start(60)
        raise AssertionError("it starts with a damaged journal")
    except RuntimeError:
        expect(server.process.wait(60), 1, "exit status")
    said = repair(server)
    assert "damaged" in said and "begins anew" in said, said
    assert "no damage" in repair(server)
    for end in (signal.SIGKILL, signal.SIGTERM):
        server.start(60)
        client = t.client(server)
        for number in range(100):
            expect(client.run("GET", "kept:%d" % number), b"x" * 300)
        expect(client.run("GET", "lost"), None)
        fill(t, server, "new")
        expect(client.run("DBSIZE"), 200)
        server.stop(end)


main()
