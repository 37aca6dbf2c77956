# SPDX-License-Identifier: BSD-3-Clause
"""What the fault tests share: servers above faultfs.so, and workers that can take an error for an answer."""
import os
import random
import signal
import threading
import time

from harness import Client, wait_until
from load import Lost, Worker
from raw_resp import Disconnected

from faultfs import Disk, Faults
from world import is_refusal

SMALL = ("--journal-segment-size", 262144, "--journal-max-size", "4mb", "--leveldb-table-size", "1mb",
         "--leveldb-write-buffer", 131072, "--disk-reserve", "1mb")


def library():
    return os.environ["KELVIN_FAULTFS"]


def fault_server(t, *options, power=False, folder=None):
    """A server whose files can be broken through `server.faults`; not started."""
    server = t.new_server(*options)
    server.data = folder or os.path.join(server.folder, "data")
    os.makedirs(server.data, exist_ok=True)
    server.options += ["--dir", server.data]
    server.faults = Faults(server.folder, os.path.realpath(server.data), power)
    environment = ["%s=%s" % pair for pair in server.faults.environment.items()]
    server.command = ["env", "LD_PRELOAD=" + library()] + environment + server.command
    return server


def no_file_call_from_the_loop(server):
    complaints = server.faults.complaints()
    if complaints:
        names = sorted(set(complaints))
        raise AssertionError("%d calls on files from the loop's thread: %s" % (len(complaints), "; ".join(names[:10])))


def cut(server, keep, keep_names=None):
    """kill -9, and then the disk as the death of the machine leaves it."""
    server.stop(signal.SIGKILL)
    server.faults.clear()
    root = os.path.realpath(server.data)
    server.disk.play(server.faults.power_path)
    server.disk.write(keep, keep_names)
    if os.path.exists(server.faults.power_path):
        os.unlink(server.faults.power_path)
    server.faults.boot()
    server.disk = Disk(root)


def note_seed(what=""):
    """A seed, from FAULT_SEED when that is set; printed."""
    seed = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**9))
    print("    seed %d  %s" % (seed, what), flush=True)
    return seed


def begin_and_kill(server, randomly):
    """Starts it, and kills it before or while it recovers."""
    try:
        server.start(timeout=randomly.random() * 0.25)
    except RuntimeError:
        if not server.is_alive():
            raise
    server.stop(signal.SIGKILL)


class Stubborn(Worker):
    """Takes -MISCONF for an answer: such a command was not carried out."""

    REFUSED = object()

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.refused, self.last_refusal, self.last_ok = 0, None, 0.0
        self.kinds = {}

    def again(self):
        other = Stubborn(self.database, self.random.random(), self.key_count, self.depth, self.flush)
        other.model, other.acknowledged, other.refused = self.model, self.acknowledged, self.refused
        return other

    def read_reply(self, client, command):
        if command[0] == b"TRANSACTION":
            for _ in range(len(command)):
                client.read()
            tree = client.read().tree
        else:
            tree = client.read().tree
        if tree[0] == b"-":
            if is_refusal(tree[1]):
                return self.refuse(command, tree[1])
            if command[0] != b"RENAME":
                raise Lost("%.100r: %r" % (command, tree))
        elif command[0] == b"TRANSACTION":
            for kind, value in tree[1]:
                if kind == b"-" and value.startswith(b"MISCONF"):
                    raise Lost("MISCONF inside an EXEC: %r" % (tree,))
            self.last_ok = time.monotonic()
            return [value for _, value in tree[1]]
        self.last_ok = time.monotonic()
        return tree[1]

    def refuse(self, command, text):
        self.refused += 1
        self.last_refusal = text
        self.kinds[command[0]] = self.kinds.get(command[0], 0) + 1
        return self.REFUSED

    def check(self, command, reply):
        if reply is not self.REFUSED:
            super().check(command, reply)
        else:
            time.sleep(0.002)


class Prober(threading.Thread):
    """PING and GETs of one cached key from one more client; finish() gives the 99.9th percentile of the time."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stopping, self.seconds, self.error = port, threading.Event(), [0.0], None

    def run(self):
        try:
            client = Client(self.port, timeout=120)
            client.run("SELECT", 15)
            while not self.stopping.is_set():
                began = time.monotonic()
                if client.run("PING") != b"PONG" or client.run("GET", "cached") != b"there":
                    raise Lost("a cached key is gone")
                self.seconds.append(time.monotonic() - began)
                time.sleep(0.002)
        except Exception as error:
            self.error = error

    def finish(self):
        self.stopping.set()
        self.join(150)
        if self.is_alive():
            raise Lost("PING hangs")
        if self.error:
            raise self.error
        self.seconds.sort()
        return self.seconds[int(len(self.seconds) * 0.999)]


def start_load(server, workers):
    for worker in workers:
        worker.port = server.port
        worker.start()


def stop_load(workers):
    for worker in workers:
        worker.finish()


def scans_work(client):
    try:
        return len(client.run("SCAN", 0, "COUNT", 1)) == 2
    except Client.Error:  # the store has not yet been opened again
        return False


def verify(t, server, workers):
    client = t.client(server, 90)
    wait_until(lambda: scans_work(client), 60, "SCAN after a fault")
    for worker in workers:
        live = worker.settle(client)
        client.run("SELECT", worker.database)
        wait_until(lambda live=live: client.run("DBSIZE") == live, 60, "DBSIZE %d of database %d (now %d)"
                   % (live, worker.database, client.run("DBSIZE")))
    client.close()
    return [worker.again() for worker in workers]


def writes_resume(server):
    """How long until a SET works, after the cause of a failure is gone. The promise is 2 seconds, measured on a
    machine that is not busy; here it is printed, and that it comes true at all is what is tested."""
    client = Client(server.port, timeout=120)
    client.run("SELECT", 14)
    began, said = time.monotonic(), None
    while True:
        try:
            client.run("SET", "resumed", "x")
            client.close()
            return time.monotonic() - began
        except Client.Error as error:
            said = error
            if time.monotonic() - began > 120:
                raise AssertionError("writes do not resume: %s" % said)
            time.sleep(0.01)


def wait_refused(server, seconds=120):
    """Until a writer is told; gives the text. With `always` one that got in before waits for its sync."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        client = Client(server.port, timeout=1)
        try:
            client.run("SELECT", 14)
            client.run("SET", "refused", "x")
        except Client.Error as error:
            return str(error)
        except OSError:  # timed out
            pass
        finally:
            client.close()
        time.sleep(0.01)
    raise AssertionError("nobody was told in %d seconds" % seconds)


def wait_acknowledged(workers, more):
    """Until each of them has got so many further replies."""
    targets = [(worker, worker.acknowledged + more) for worker in workers]

    def reached():
        for worker, target in targets:
            if worker.error:
                raise worker.error
        return all(worker.acknowledged >= target for worker, target in targets)
    wait_until(reached, 120, "%d more replies" % more)
