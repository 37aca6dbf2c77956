#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A clock that jumps, no more descriptors, no more threads: no crash, no lost write."""
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import Client, expect, main, scaled, test, wait_until  # noqa: E402
from raw_resp import Disconnected  # noqa: E402
from attack import SMALL, library, note_seed  # noqa: E402
from world import Round, World, check_content  # noqa: E402

HOUR = 3600
ORDERS = struct.Struct("<qiI")


class Orders:
    """ballast.c's orders of one server, which is started with its library."""

    def __init__(self, server):
        path = os.path.join(server.folder, "orders")
        with open(path, "wb") as file:
            file.write(ORDERS.pack(0, -1, 0))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), ORDERS.size)
        server.command = ["env", "LD_PRELOAD=" + library(), "FAULTFS_BALLAST=" + path] + server.command

    def jump(self, seconds):
        self.map[:8] = struct.pack("<q", seconds)

    def threads_left(self, count):
        self.map[8:12] = struct.pack("<i", count)

    def refused_threads(self):
        return ORDERS.unpack(self.map[:])[2]


def check_all(t, server, one):
    world, _ = one.check(t.client(server, 120), True, True)
    return world


@test
def the_clock_jumps_an_hour_either_way(t):
    randomly = random.Random(note_seed())
    server = t.new_server(*SMALL)
    orders = Orders(server)
    server.start(60)
    world = World()
    for number in range(scaled(10, 2)):
        client = t.client(server, 120)
        client.run("SELECT", 14)
        client.run("SET", "soon", "x", "PX", 60000)
        one = Round(client, number, world, randomly, server.port)
        for _ in range(4):
            orders.jump(randomly.choice((-HOUR, 0, HOUR, randomly.randrange(-HOUR, HOUR))))
            one.wait_acknowledged(one.acknowledged + 100)
        orders.jump(HOUR)
        wait_until(lambda: client.run("EXISTS", "soon") == 0, 60, "what expires")
        orders.jump(-HOUR)
        one.wait_acknowledged(one.acknowledged + 100)
        expect(client.run("CHECKPOINT"), b"OK")
        server.stop(signal.SIGKILL)
        one.join()
        orders.jump(randomly.choice((-HOUR, 0, HOUR)))
        server.start(60)
        world = check_all(t, server, one)
    expect(server.stop(), 0)


def limit(server, count):
    hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (count, hard))


def used_descriptors(server):
    return len(os.listdir("/proc/%d/fd" % server.process.pid))


@test
def descriptors_run_out_under_load(t):
    """What LevelDB and new clients need is not to be had for a while."""
    randomly = random.Random(note_seed())
    server = t.server(*SMALL, "--leveldb-max-open-files", 74)
    client = t.client(server, 120)
    one = Round(client, 0, World(), randomly, server.port, may_refuse=True)
    one.wait_acknowledged(300)
    before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    limit(server, used_descriptors(server))
    strangers = []
    for _ in range(20):  # the kernel takes them, the server cannot
        try:
            strangers.append(Client(server.port, timeout=120))
            strangers[-1].send("PING")
        except (OSError, Disconnected):
            pass
    done = one.acknowledged
    time.sleep(1)
    expect(client.run("PING"), b"PONG")
    assert server.is_alive(), server.log_end()
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
    print("    %d writes without a free descriptor, %d refused" % (one.acknowledged - done, one.refused))
    wait_until(lambda: answers(server), 60, "a new client")
    one.wait_acknowledged(one.acknowledged + 300)
    for stranger in strangers:
        stranger.close()
    one.join()
    world = check_all(t, server, one)
    server.restart(signal.SIGKILL)
    check_content(t.client(server, 120), world)


def answers(server):
    try:
        client = Client(server.port, timeout=10)
        pong = client.run("PING")
        client.close()
        return pong == b"PONG"
    except (OSError, Disconnected, Client.Error):
        return False


@test
def a_server_with_few_descriptors_starts_or_says_why(t):
    for count in (8, 16, 24, 32, 64, 128, 300):
        server = t.new_server(*SMALL)
        server.command = ["prlimit", "--nofile=%d:%d" % (count, count)] + server.command
        try:
            server.start(60)
        except RuntimeError:
            expect(server.process.wait(60), 1, "exit status with %d descriptors" % count)
            assert "open files" in server.log_end(5), server.log_end(5)
            server.stop()
            continue
        client = only_client(server)
        for number in range(300):
            client.run("SET", "k:%d" % number, "v" * 1000)
        client.close()
        server.restart(signal.SIGKILL)
        client = only_client(server)
        expect(client.run("GET", "k:299"), b"v" * 1000)
        expect(client.run("DBSIZE"), 300)
        client.close()
        expect(server.stop(), 0)


def only_client(server):
    """Where one client is all that there may be, the one that asked whether the server is there may still be it."""
    found = []

    def connect():
        client = Client(server.port, timeout=60)
        try:
            found.append(client if client.run("PING") == b"PONG" else None)
        except (OSError, Disconnected, Client.Error):
            client.close()
        return bool(found)
    wait_until(connect, 60, "room for a client")
    return found[0]


@test
def threads_run_out_at_the_start(t):
    """Each thread that is needed cannot be made once: it says so and ends, or serves without."""
    for count in range(40):
        server = t.new_server(*SMALL)
        orders = Orders(server)
        orders.threads_left(count)
        try:
            server.start(60)
        except RuntimeError:
            expect(server.process.wait(60), 1, "exit status with %d threads" % count)
            assert "thread" in server.log_end(3), server.log_end(5)
            server.stop()
            continue
        client = t.client(server, 60)
        expect(client.run("SET", "a", "1"), b"OK")
        if orders.refused_threads() == 0:
            print("    it starts with %d threads more" % count)
            break
        expect(server.stop(), 0)
    else:
        raise AssertionError("it never starts")


@test
def threads_run_out_while_it_serves(t):
    """A FLUSHALL opens a fresh store, whose compaction needs a thread."""
    server = t.new_server(*SMALL)
    orders = Orders(server)
    server.start(60)
    client = t.client(server, 120)
    for number in range(200):
        client.run("SET", "k:%d" % number, "v")
    orders.threads_left(0)
    client.run("FLUSHALL")
    wait_until(lambda: orders.refused_threads() > 0, 60, "a thread that is needed")
    client.run("SET", "after", "x")
    expect(client.run("GET", "after"), b"x")
    orders.threads_left(-1)
    wait_until(lambda: checkpoint_works(client), 60, "the store")
    expect(client.run("DBSIZE"), 1)
    server.restart(signal.SIGKILL)
    client = t.client(server, 60)
    expect(client.run("DBSIZE"), 1)
    expect(client.run("GET", "after"), b"x")


def checkpoint_works(client):
    try:
        return client.run("CHECKPOINT") == b"OK"
    except Client.Error:
        return False


main()
