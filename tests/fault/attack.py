# SPDX-License-Identifier: BSD-3-Clause
"""What the fault tests share: servers above faultfs.so, and workers that can take an error for an answer."""
import os
import random
import threading
import time

from harness import Client, wait_until
from load import Lost, Worker
from raw_resp import Disconnected

from faultfs import Faults

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
            if tree[1].startswith((b"MISCONF", b"EXECABORT")):
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
    """PING and GETs of one cached key from one more client: the times they take."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stopping, self.seconds, self.error = port, threading.Event(), [], None

    def run(self):
        try:
            client = Client(self.port, timeout=30)
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
        self.join(60)
        if self.is_alive():
            raise Lost("PING hangs")
        if self.error:
            raise self.error
        return max(self.seconds)


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
    wait_until(lambda: scans_work(client), 10, "SCAN after a fault")
    for worker in workers:
        live = worker.settle(client)
        client.run("SELECT", worker.database)
        wait_until(lambda live=live: client.run("DBSIZE") == live, 20, "DBSIZE %d of database %d (now %d)"
                   % (live, worker.database, client.run("DBSIZE")))
    client.close()
    return [worker.again() for worker in workers]


def writes_resume(server, seconds=2.0):
    """How long until a SET works, after the cause of a failure is gone."""
    client = Client(server.port, timeout=30)
    client.run("SELECT", 14)
    began, said = time.monotonic(), None
    while True:
        try:
            client.run("SET", "resumed", "x")
            break
        except Client.Error as error:
            said = error
            if time.monotonic() - began > seconds + 20:
                raise AssertionError("writes do not resume: %s" % said)
            time.sleep(0.01)
    client.close()
    took = time.monotonic() - began
    if took > seconds:
        raise AssertionError("writes resumed after %.1f s only; last: %s" % (took, said))
    return took
