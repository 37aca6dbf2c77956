# SPDX-License-Identifier: BSD-3-Clause
"""What a file of integration tests needs: `@test` functions, each with servers of its own.

    from harness import Skip, main, test

    @test
    def a_value_comes_back(t):
        server = t.server("--appendfsync", "always")   # started; stopped and removed after the test
        ...
    main()

The file is called with the server's binary and, if wanted, parts of test names. One line per test; the last line
is "N passed, N failed". A test fails too when a server of its own did not end cleanly or a sanitizer
or an assertion spoke in its log. TEST_SCALE=short in the environment asks for less work (sanitizers, many
settings). Standard library only."""
import os
import signal
import sys
import time
import traceback

from raw_resp import Connection
from servers import kelvin_server, redis_server

TESTS = []
COMPLAINTS = (b"Sanitizer", b"runtime error:", b"assertion", b"Assertion")
SHORT = os.environ.get("TEST_SCALE", "full") == "short"


class Skip(Exception):
    """Why this test makes no sense here."""


def test(function):
    TESTS.append(function)
    return function


def scaled(full, short):
    return short if SHORT else full


def expect(actual, wanted, what=""):
    if actual != wanted:
        raise AssertionError("%s: got %.300r, wanted %.300r" % (what or "reply", actual, wanted))


def wait_until(condition, seconds=30, what="condition"):
    """Polls; for what no reply tells."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("%s did not come true in %d seconds" % (what, seconds))
        time.sleep(0.01)


class Client(Connection):
    """A connection whose calls give plain values: bytes, int, list, None; an error is raised."""

    class Error(Exception):
        pass

    def run(self, *arguments):
        return self.value(self.call(*arguments).tree)

    def pipeline(self, commands):
        """Sends all, then reads all; errors come back as Error objects."""
        from raw_resp import encode, to_bytes
        self.send_raw(b"".join(encode([to_bytes(a) for a in c]) for c in commands))
        replies = []
        for _ in commands:
            try:
                replies.append(self.value(self.read().tree))
            except Client.Error as error:
                replies.append(error)
        return replies

    @staticmethod
    def value(tree):
        kind, value = tree
        if kind == b"-":
            raise Client.Error(value.decode(errors="replace"))
        if kind in (b"*", b"~", b">") and value is not None:
            return [Client.value(item) for item in value]
        if kind == b"%":
            return [Client.value(item) for item in value]
        return None if kind == b"_" else value

    def info(self, section="everything"):
        lines = self.run("INFO", section).decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def scan(self, count=1000, *more):
        """All keys, cursor by cursor."""
        cursor, keys = b"0", []
        while True:
            cursor, some = self.run("SCAN", cursor, "COUNT", count, *more)
            keys += some
            if cursor == b"0":
                return keys


class TestRun:
    """What one test has: its servers and connections."""

    def __init__(self, binary):
        self.binary = binary
        self.servers, self.clients = [], []
        self.may_die = set()

    def new_server(self, *options):
        """Not started yet."""
        server = kelvin_server(self.binary, [str(o) for o in options])
        self.servers.append(server)
        return server

    def server(self, *options):
        server = self.new_server(*options)
        server.start(timeout=90)
        return server

    def redis(self, *options):
        server = redis_server([str(o) for o in options])
        self.servers.append(server)
        server.start()
        return server

    def client(self, server, timeout=60):
        client = Client(server.port if hasattr(server, "port") else server, timeout)
        self.clients.append(client)
        return client

    def finish(self, failed):
        """Ends all servers; gives what was wrong with them."""
        wrong = []
        for client in self.clients:
            client.close()
        for server in self.servers:
            was_running = server.process is not None
            status = server.stop()
            if server.name == "kelvin" and was_running and status != 0 and server not in self.may_die:
                wrong.append("the server ended with status %s" % status)
            if os.path.exists(server.log):
                with open(server.log, "rb") as log:
                    text = log.read()
                if any(c in text for c in COMPLAINTS):
                    wrong.append("its log has a complaint")
                if failed or wrong:
                    wrong.append("log of %s: ...\n%s" % (server.name, server.log_end(80)))
            server.remove()
        return wrong


def run_one(function, binary):
    """Gives (verdict, why)."""
    run, verdict, why = TestRun(binary), "ok", ""
    try:
        function(run)
    except Skip as skip:
        verdict, why = "skip", str(skip)
    except BaseException as error:  # a failed test must not leave servers behind
        verdict, why = "FAILED", traceback.format_exc()
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            run.finish(True)
            raise
    wrong = run.finish(verdict == "FAILED")
    if wrong:
        verdict, why = "FAILED", why + "\n".join(wrong)
    return verdict, why


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped from outside"))
    binary, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    passed = failed = skipped = 0
    for function in TESTS:
        name = function.__name__
        if names and not any(n in name for n in names):
            continue
        began = time.monotonic()
        verdict, why = run_one(function, binary)
        seconds = time.monotonic() - began
        note = ": " + why if verdict == "skip" else ""
        print("%-6s %s (%.1f s)%s" % (verdict, name.replace("_", " "), seconds, note), flush=True)
        if verdict == "FAILED":
            print("    " + why.rstrip().replace("\n", "\n    "), flush=True)
        passed += verdict == "ok"
        failed += verdict == "FAILED"
        skipped += verdict == "skip"
    print("%d passed, %d failed" % (passed, failed) + (", %d skipped" % skipped if skipped else ""))
    sys.exit(1 if failed else 0)
