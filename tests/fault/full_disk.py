#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A real file system of fixed size, filled by writes until they are refused; deletes free it. Needs root.

Not yet among the tests that run by themselves (tests/fault/run BUILD/kelvin-server full_disk.py): writes are
refused only when LevelDB has failed, not while the free space still covers a compaction (rule 18). So
a compaction may not fit into what the reserve file gave up; the store then opens and closes in turns,
and DBSIZE and reads of keys that are not cached wait or fail until space comes from elsewhere."""
import os
import random
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import Client, Skip, expect, main, scaled, test, wait_until  # noqa: E402
from attack import Prober, fault_server, no_file_call_from_the_loop  # noqa: E402


class Disk:
    """A tmpfs of its own; unmounted at the end."""

    def __init__(self, t, size):
        self.t, self.size = t, size

    def __enter__(self):
        import tempfile
        self.folder = tempfile.mkdtemp(prefix="kelvin-test-disk-")
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%s" % self.size, "none", self.folder],
                          stderr=subprocess.DEVNULL).returncode != 0:
            os.rmdir(self.folder)
            raise Skip("no tmpfs can be mounted here")
        return self

    def __exit__(self, *_):
        for server in self.t.servers:
            server.stop(signal.SIGKILL)
        subprocess.run(["umount", self.folder], check=True)
        os.rmdir(self.folder)

    def free(self):
        info = os.statvfs(self.folder)
        return info.f_bavail * info.f_bsize


def value(key, size):
    """Does not compress; follows from the key."""
    return random.Random(key).randbytes(size)


def fill(client, have, prefix, size, limit=100000):
    """Writes until it is refused; gives the error. `have`: key to size of all that was acknowledged."""
    for number in range(limit):
        key = "%s:%d" % (prefix, number)
        try:
            client.run("SET", key, value(key, size))
            have[key] = size
        except Client.Error as error:
            return str(error)
    raise AssertionError("the disk is not full")


def check_all(client, have):
    expect(client.run("DBSIZE"), len(have), "DBSIZE")
    for key, size in have.items():
        if client.run("GET", key) != value(key, size):
            raise AssertionError("%s is not what was acknowledged" % key)
    expect(sorted(client.scan()), sorted(k.encode() for k in have), "keys of SCAN")


def full(t, io, policy, how):
    with Disk(t, "160m") as disk:
        server = fault_server(t, "--journal-io", io, "--appendfsync", policy, "--journal-segment-size", "4mb",
                              "--journal-max-size", "24mb", "--leveldb-write-buffer", "2mb", "--leveldb-table-size", "2mb",
                              "--disk-reserve", "16mb", "--maxmemory", "64mb", folder=os.path.join(disk.folder, "data"))
        server.start(60)
        client, have = t.client(server, 15), {}
        client.run("SELECT", 15)
        client.run("SET", "cached", "there")
        client.run("SELECT", 0)
        prober = Prober(server.port)
        prober.start()
        said = fill(client, have, "a", 100000)
        print("    %d keys, then: %s; %d KB free" % (len(have), said, disk.free() // 1024))
        assert said.startswith("MISCONF") and ("No space left" in said or "full" in said), said
        keys = list(have)
        for key in keys[:3] + keys[-3:] + keys[300:303]:
            assert client.run("GET", key) == value(key, have[key]), "a read on the full disk"
        if how == "kill":
            server.stop(signal.SIGKILL)
            prober.stopping.set()
            server.start(60)
            client = t.client(server, 60)
        began = time.monotonic()
        if how == "flush":
            client.run("FLUSHDB")
            have.clear()
        elif how == "flushall":
            client.run("FLUSHALL")
            have.clear()
        else:
            for key in keys[:len(keys) * 2 // 3]:
                expect(client.run("DEL", key), 1, "DEL on the full disk")
                del have[key]
        print("    deleted after %.1f s" % (time.monotonic() - began))
        began = time.monotonic()

        def can_write():
            try:
                client.run("SET", "again", "x")
                return True
            except Client.Error as error:
                can_write.last = error
                return False
        wait_until(can_write, 60, "writing after the deletes")
        print("    writes go on after %.1f s, %d KB free" % (time.monotonic() - began, disk.free() // 1024))
        client.run("DEL", "again")
        if how != "kill":
            if how != "flushall":
                prober.finish()
            prober.stopping.set()
        for number in range(100):
            key = "b:%d" % number
            client.run("SET", key, value(key, 50000))
            have[key] = 50000
        check_all(client, have)
        server.restart(random.choice((signal.SIGKILL, signal.SIGTERM)))
        check_all(t.client(server, 60), have)
        no_file_call_from_the_loop(server)
        server.stop()


@test
def a_full_disk_is_freed_by_deletes(t):
    full(t, "mmap", "everysec", "del")


@test
def a_full_disk_is_freed_by_deletes_always_write(t):
    full(t, "write", "always", "del")


@test
def a_full_disk_is_freed_by_flushdb(t):
    full(t, "mmap", "always", "flush")


@test
def a_full_disk_is_freed_by_flushall(t):
    full(t, "write", "everysec", "flushall")


@test
def a_server_that_dies_on_a_full_disk_starts_on_it(t):
    full(t, "mmap", "everysec", "kill")


main()
