# SPDX-License-Identifier: BSD-3-Clause
"""File systems of a fixed size, and what shall be true when one is full. Needs the right to mount; the mounts are in a
namespace of the test's own, so that nothing is left of them."""
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

from harness import Client, Skip, expect, wait_until
from attack import Prober, fault_server, no_file_call_from_the_loop


def own_namespace():
    """Runs the program again where its mounts are its own; without the right to, as it is."""
    if "KELVIN_OWN_MOUNTS" in os.environ:
        return
    os.environ["KELVIN_OWN_MOUNTS"] = "1"
    unshare = ["unshare", "--mount", "--propagation", "private"]
    try:
        possible = subprocess.run(unshare + ["true"], stderr=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        possible = False
    if possible:
        sys.stdout.flush()
        os.execvp(unshare[0], unshare + [sys.executable] + sys.argv)


class Disk:
    """kind: tmpfs or ext4 (in a file). Unmounted at the end."""

    def __init__(self, t, kind, megabytes):
        self.t, self.kind, self.megabytes = t, kind, megabytes

    def mount(self):
        if self.kind == "tmpfs":
            return ["mount", "-t", "tmpfs", "-o", "size=%dm" % self.megabytes, "none", self.folder]
        with open(self.image, "wb") as file:
            file.truncate(self.megabytes << 20)
        try:
            subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", self.image], check=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            return ["false"]
        return ["mount", "-t", "ext4", "-o", "loop", self.image, self.folder]

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="kelvin-test-disk-")
        self.image = self.folder + ".image"
        if subprocess.run(self.mount(), stderr=subprocess.DEVNULL).returncode != 0:
            self.remove()
            raise Skip("no %s can be mounted here" % self.kind)
        return self

    def __exit__(self, *_):
        for server in self.t.servers:
            server.stop(signal.SIGKILL)
        subprocess.run(["umount", self.folder], check=True)
        self.remove()

    def remove(self):
        os.rmdir(self.folder)
        if os.path.exists(self.image):
            os.unlink(self.image)

    def free(self):
        info = os.statvfs(self.folder)
        return info.f_bavail * info.f_bsize

    def take_all(self):
        """A file of somebody else that takes what is free."""
        self.filler = os.path.join(self.folder, "filler")
        with open(self.filler, "ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass

    def give_back(self):
        os.unlink(self.filler)


def value(key, size):
    """Does not compress; follows from the key."""
    return random.Random(key).randbytes(size)


class Data:
    """What was acknowledged: key to size."""

    def __init__(self, client, size):
        self.client, self.size, self.sizes = client, size, {}
        self.batch = max(1, 200000 // size)

    def write(self, prefix, number):
        """One pipeline of SETs; gives the first error or None."""
        keys = ["%s:%d" % (prefix, number * self.batch + i) for i in range(self.batch)]
        said = None
        for key, reply in zip(keys, self.client.pipeline([("SET", key, value(key, self.size)) for key in keys])):
            if isinstance(reply, Client.Error):
                said = said or str(reply)
            else:
                self.sizes[key] = self.size
        return said

    def fill(self, prefix, most=1 << 60):
        """Until it is refused: gives the error; or until so many bytes are written."""
        for number in range(most // (self.batch * self.size) + 1):
            said = self.write(prefix, number)
            if said:
                return said
        return None

    def delete(self, share):
        keys = random.sample(sorted(self.sizes), int(len(self.sizes) * share))
        for first in range(0, len(keys), 1000):
            some = keys[first:first + 1000]
            expect(self.client.run("DEL", *some), len(some), "DEL on the full disk")
        for key in keys:
            del self.sizes[key]

    def read_some(self, count=20):
        for key in random.sample(sorted(self.sizes), min(count, len(self.sizes))):
            if self.client.run("GET", key) != value(key, self.sizes[key]):
                raise AssertionError("%s is not what was acknowledged" % key)

    def is_counted(self):
        try:
            return self.client.run("DBSIZE") == len(self.sizes)
        except Client.Error:  # the store has not yet been opened again
            return False

    def check(self):
        wait_until(self.is_counted, 60, "DBSIZE %d" % len(self.sizes))
        keys = sorted(self.sizes)
        for first in range(0, len(keys), self.batch):
            some = keys[first:first + self.batch]
            for key, got in zip(some, self.client.run("MGET", *some)):
                if got != value(key, self.sizes[key]):
                    raise AssertionError("%s is not what was acknowledged" % key)
        expect(sorted(self.client.scan()), sorted(key.encode() for key in self.sizes), "keys of SCAN")


def can_write(client):
    try:
        client.run("SET", "again", "x")
        client.run("DEL", "again")
        return True
    except Client.Error as error:
        can_write.last = error
        return False


class Scene:
    """A server on a small disk, with a client that PINGs and reads a cached key all the time."""

    def __init__(self, t, disk, io, policy, size, *options):
        self.t, self.disk = t, disk
        self.server = fault_server(t, "--journal-io", io, "--appendfsync", policy, "--maxmemory", "64mb", *options,
                                   folder=os.path.join(disk.folder, "data"))
        self.server.start(60)
        self.data = Data(t.client(self.server, 60), size)
        self.probe()

    def probe(self):
        self.data.client.run("SELECT", 15)
        self.data.client.run("SET", "cached", "there")
        self.data.client.run("SELECT", 0)
        self.prober = Prober(self.server.port)
        self.prober.start()

    def restart(self, end):
        self.prober.stopping.set()
        self.server.stop(end)
        self.server.start(60)
        self.data.client = self.t.client(self.server, 60)

    def is_refused(self, said):
        assert said and said.startswith("MISCONF") and ("No space left" in said or "full" in said), said
        print("    %d keys, then: %s; %d KB free" % (len(self.data.sizes), said, self.disk.free() >> 10), flush=True)

    def writes_go_on(self, what):
        began = time.monotonic()
        wait_until(lambda: can_write(self.data.client), 60, "writing after " + what)
        print("    writes go on %.1f s after %s, %d KB free" % (time.monotonic() - began, what, self.disk.free() >> 10),
              flush=True)

    def finish(self):
        """All is there, before and after a restart."""
        self.prober.stopping.set()
        self.data.check()
        self.restart(random.choice((signal.SIGKILL, signal.SIGTERM)))
        self.data.check()
        no_file_call_from_the_loop(self.server)
        self.server.stop()


def filled_by_itself(t, kind, megabytes, io, policy, how, size):
    """Writes until they are refused; then `how` frees it: del, flushdb, flushall, kill (and del)."""
    with Disk(t, kind, megabytes) as disk:
        scene = Scene(t, disk, io, policy, size)
        data = scene.data
        scene.is_refused(data.fill("a"))
        data.read_some()
        if how == "kill":
            scene.restart(signal.SIGKILL)
        if how == "flushall" or how == "flushdb":
            data.client.run(how.upper())
            data.sizes.clear()
        else:
            data.delete(2 / 3)
        scene.writes_go_on("the deletes")
        data.read_some()
        if how in ("del", "flushdb"):
            scene.prober.finish()
        for number in range(10):
            wait_until(lambda number=number: data.write("b", number) is None, 60, "a write")
        scene.finish()


def filled_by_others(t, kind, megabytes, io, policy, how, size):
    """Somebody else takes all that is free. `how`: what is done meanwhile."""
    with Disk(t, kind, megabytes) as disk:
        scene = Scene(t, disk, io, policy, size)
        data = scene.data
        assert data.fill("a", (megabytes << 20) // 8) is None
        if how == "flushall":  # or the reserve might be given up while there is somebody who takes it
            data.client.run("CHECKPOINT")
        disk.take_all()
        scene.is_refused(data.fill("b"))
        data.read_some()
        if how == "del":
            data.delete(1 / 2)
            data.read_some()
        elif how == "flushall":
            data.client.run("FLUSHALL")
            data.sizes.clear()
            scene.writes_go_on("FLUSHALL")
        elif how == "kill":
            scene.prober.stopping.set()
            scene.server.stop(signal.SIGKILL)
            try:  # on a disk that is full it may say that it cannot
                scene.server.start(60)
                print("    it starts on the full disk", flush=True)
                t.client(scene.server, 60).run("PING")
            except RuntimeError:
                expect(scene.server.process.wait(60), 1, "exit status")
                said = scene.server.log_end(2)
                assert "full" in said or "No space left" in said, said
                print("    on the full disk it does not start: " + said.strip().split("\n")[-1], flush=True)
            scene.server.stop(signal.SIGKILL)
        disk.give_back()
        if how == "kill":
            scene.server.start(60)
            data.client = t.client(scene.server, 60)
        scene.writes_go_on("space was given back")
        for number in range(10):
            wait_until(lambda number=number: data.write("c", number) is None, 60, "a write")
        scene.finish()
