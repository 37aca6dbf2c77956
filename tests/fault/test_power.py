#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The machine dies: what no sync had covered is gone, or there in part and out of order. faultfs.so's log tells what
was covered. Every record of the workers is an EXEC that counts in one counter for all, so that what survives
can be held against a prefix of the one order in which the writes were made."""
import errno
import os
import random
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import Client, main, scaled, test  # noqa: E402
from load import Lost  # noqa: E402
from raw_resp import Disconnected, encode, to_bytes  # noqa: E402
import faultfs as f  # noqa: E402
from attack import SMALL, fault_server, no_file_call_from_the_loop  # noqa: E402

ROUNDS = scaled(5, 2)


class Writer(threading.Thread):
    """Its n-th record: EXEC [INCR all, SET seq:<name> n, one change of its keys]."""

    def __init__(self, name, seed, port):
        super().__init__(daemon=True)
        self.name, self.random, self.port = name, random.Random(seed), port
        self.stopping, self.error = threading.Event(), None
        self.changes = []  # each: list of (key, value or None)
        self.places = []   # the value of `all` for those acknowledged
        self.times = []
        self.count = 0     # sent

    def key(self):
        return "%s:%d" % (self.name, self.random.randrange(60))

    def change(self):
        pick = self.random.random()
        value = ("%d." % self.count) * self.random.choice((1, 3, 20, 300))
        if pick > 0.99:
            value *= 200
        if pick < 0.55:
            return [(self.key(), value)]
        if pick < 0.75:
            return list({self.key(): value for _ in range(8)}.items())
        return [(key, None) for key in {self.key(), self.key()}]

    def commands(self):
        self.count += 1
        change = self.change()
        self.changes.append(change)
        if change[0][1] is None:
            command = ["DEL"] + [key for key, _ in change]
        else:
            command = ["MSET"] + [part for pair in change for part in pair]
        return [["MULTI"], ["INCR", "all"], ["SET", "seq:%s" % self.name, self.count], command, ["EXEC"]]

    def run(self):
        try:
            client = Client(self.port, timeout=60)
            while not self.stopping.is_set():
                batch = self.random.randrange(1, 6)
                client.send_raw(b"".join(encode([to_bytes(a) for a in c]) for _ in range(batch) for c in self.commands()))
                for _ in range(batch):
                    replies = []
                    for _ in range(5):
                        replies.append(client.read().tree)
                    if replies[-1][0] == b"-":  # refused: the record is none
                        place = len(self.places)
                        self.changes[place] = []
                        self.places.append(None)
                        self.times.append(time.monotonic())
                        continue
                    self.places.append(replies[-1][1][0][1])
                    self.times.append(time.monotonic())
        except (Disconnected, OSError):
            pass
        except Exception as error:
            self.error = error


class Reader(threading.Thread):
    """The highest value of `all` that anybody was shown."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.highest = port, 0

    def run(self):
        try:
            client = Client(self.port, timeout=60)
            while True:
                self.highest = max(self.highest, int(client.run("GET", "all") or 0))
        except (Disconnected, OSError):
            pass


def get(client, key):
    return client.run("GET", key)


def check(client, writers, reader, always, cut_at, began_at, base):
    """`base`: the state before this round: key to value."""
    survived = int(get(client, "all") or 0)
    total, expected = 0, dict(base)
    first = int(base.get("all", 0))
    order = {}
    for writer in writers:
        seq = int(get(client, "seq:%s" % writer.name) or 0)
        inside = [n for n, place in enumerate(writer.places, 1) if place is not None and place <= survived]
        beyond = [n for n, place in enumerate(writer.places, 1) if place is not None and place > survived]
        low = max(inside, default=0)
        assert seq >= low, "%s: %d survived, though %d is before %d" % (writer.name, seq, low, survived)
        assert not beyond or seq < min(beyond), "%s: %d is there, which came after %d" % (writer.name, seq, survived)
        if always and beyond:
            raise Lost("%s: acknowledged %d (place %d), survived: %d, place %d" % (
                writer.name, beyond[-1], writer.places[beyond[-1] - 1], seq, survived))
        late = [n for n in beyond if writer.times[n - 1] < cut_at - 3.5]
        assert not late, "%s: %d was acknowledged %.1f s before the cut" % (
            writer.name, late[-1], cut_at - writer.times[late[-1] - 1])
        done = [n for n in range(1, seq + 1) if n > len(writer.places) or writer.places[n - 1] is not None]
        total += len(done)
        for n in done:
            for key, value in writer.changes[n - 1]:
                if value is None:
                    expected.pop(key, None)
                else:
                    expected[key] = value
        if seq:
            expected["seq:%s" % writer.name] = str(seq)
    assert total == survived - first, "%d records, `all` says %d" % (total, survived - first)
    if survived:
        expected["all"] = str(survived)
    if always:
        assert reader.highest <= survived, "somebody read %d, %d survived" % (reader.highest, survived)
    found = {}
    keys = sorted(key.decode() for key in client.scan())
    for start in range(0, len(keys), 200):
        for key, value in zip(keys[start:start + 200], client.run("MGET", *keys[start:start + 200])):
            found[key] = value.decode()
    for key in set(found) | set(expected):
        if found.get(key) != expected.get(key):
            raise Lost("%s: found %.60r, wanted %.60r" % (key, found.get(key), expected.get(key)))
    assert client.run("DBSIZE") == len(expected), (client.run("DBSIZE"), len(expected))
    return expected, survived - first


def cut(server, keep):
    """kill -9, and then the disk as the death of the machine leaves it."""
    server.stop(signal.SIGKILL)
    return cut_stopped(server, keep)


def cut_stopped(server, keep):
    root = os.path.realpath(server.data)
    server.disk.play(server.faults.power_path)
    server.disk.write(keep)
    if os.path.exists(server.faults.power_path):
        os.unlink(server.faults.power_path)
    server.faults.boot()
    server.disk = f.Disk(root)


def attack(t, policy, io, rules=(), rounds=ROUNDS, restarts=True, options=SMALL, flush=False):
    seed = random.SystemRandom().randrange(10**9)
    print("    seed %d, %s %s" % (seed, policy, io))
    random.seed(seed)
    server = fault_server(t, "--appendfsync", policy, "--journal-io", io, *options, power=True)
    server.disk = f.Disk(os.path.realpath(server.data))
    server.start(60)
    base = {}
    for turn in range(rounds):
        writers = [Writer("%d.%d" % (turn, n), seed + n, server.port) for n in range(3)]
        reader = Reader(server.port)
        began_at = time.monotonic()
        for one in writers + [reader]:
            one.start()
        time.sleep(0.3 + random.random())
        for rule in rules:
            server.faults.rule(*rule[:2], **rule[2])
        if rules:
            time.sleep(0.3 + random.random())
        cut_at = time.monotonic()
        keep = random.choice((0, 0, 0.5, 0.9))
        server.stop(signal.SIGKILL)
        server.faults.clear()
        for one in writers + [reader]:
            one.join(60)
        cut_stopped(server, keep)
        for again in range(random.randrange(3) if restarts else 0):  # and it dies again while it starts
            try:
                server.start(timeout=random.random() * 0.25)
            except RuntimeError:
                if not server.is_alive():
                    raise
            cut(server, random.choice((0, 0.5)))
        server.start(60)
        for writer in writers:
            if writer.error:
                raise writer.error
        client = t.client(server)
        base, survived = check(client, writers, reader, policy == "always", cut_at, began_at, base)
        client.close()
        print("    %d acknowledged, %d survived, pages kept: %s" % (sum(len(w.places) for w in writers), survived, keep))
    no_file_call_from_the_loop(server)


@test
def nothing_acknowledged_is_lost_always_write(t):
    attack(t, "always", "write")


@test
def nothing_acknowledged_is_lost_always_mmap(t):
    attack(t, "always", "mmap")


@test
def what_survives_is_a_prefix_everysec_write(t):
    attack(t, "everysec", "write")


@test
def what_survives_is_a_prefix_everysec_mmap(t):
    attack(t, "everysec", "mmap")


@test
def what_survives_is_a_prefix_no(t):
    attack(t, "no", "write")
    attack(t, "no", "mmap")


@test
def a_failed_sync_and_then_the_cut(t):
    for io in ("write", "mmap"):
        attack(t, "always", io, [("*/journal/*.seg", f.SYNC | f.MSYNC | f.WRITE, dict(error=errno.EIO, count=1))])
        attack(t, "everysec", io, [("*/journal/*.seg", f.SYNC | f.MSYNC, dict(error=errno.EIO, count=3))])


@test
def the_store_fails_and_then_the_cut(t):
    attack(t, "always", "write", [("*/store/*.ldb", f.SYNC | f.WRITE, dict(error=errno.EIO, skip=2, count=2)),
                                  ("*/store/*/MANIFEST*", f.SYNC | f.WRITE, dict(error=errno.ENOSPC, skip=2, count=1))])


main()
