#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sends the same commands to redis-server and to Kelvin and compares each reply byte by byte.

    tests/integration/differential.py [--server build/kelvin-server] [--seed N] [--count N] [--resp 2|3]
        [--cases | --stream | --expiry] [--restart N] [--kill N] [--reload N]
        [--kelvin "--option value ..."]

Three parts: the cases of differential_cases.txt (one section, one test), a random stream, and keys
with a short time to live. After the stream both data sets are compared key by key. On a difference
it prints the seed, the last commands, and a short list of commands that still shows it. --restart and
--kill end Kelvin (SIGTERM, SIGKILL) after so many commands and start it again on the same folder;
--kelvin passes options, for tiny caches and the like. Ends with "N passed, N failed"."""
import argparse
import collections
import os
import random
import shlex
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

from differential_compare import is_different, name_of  # noqa: E402
from differential_stream import KEYS, ODD, Stream  # noqa: E402
from raw_resp import Connection, Disconnected, encode  # noqa: E402
from servers import kelvin_server, redis_server  # noqa: E402

CONNECTIONS = 3
DATABASES = 16
SHRINK_SECONDS = 20
NO_REPLY = b"!"  # in front of a command of the cases: none comes


class Different(Exception):
    """Two replies that should be the same."""


def show(arguments):
    """A command as a line that the cases file understands."""
    def word(argument):
        if argument and all(33 <= b < 127 and b not in b"\"'\\#" for b in argument):
            return argument.decode()
        text = "".join(chr(b) if 32 <= b < 127 and b not in b"\"\\" else "\\x%02x" % b for b in argument)
        return '"%s"' % (text if len(text) < 200 else text[:80] + "...%d bytes..." % len(argument))
    return " ".join(word(a) for a in arguments)


class Pair:
    """The two servers, and connections that do the same on both."""

    def __init__(self, redis, kelvin, resp):
        self.redis, self.kelvin, self.resp = redis, kelvin, resp
        self.connections, self.queues = [], []
        self.recent = collections.deque(maxlen=20)
        self.log = []  # since the last fresh start

    def connect(self):
        self.disconnect()
        self.connections = [(Connection(self.redis.port), Connection(self.kelvin.port))
                            for _ in range(CONNECTIONS)]
        self.queues = [None] * CONNECTIONS
        if self.resp == 3:
            for pair in self.connections:
                for connection in pair:
                    connection.call("HELLO", "3")

    def disconnect(self):
        for pair in self.connections:
            for connection in pair:
                connection.close()
        self.connections = []

    def fresh_start(self):
        """Empty data sets, new connections."""
        self.connect()
        for connection in self.connections[0]:
            connection.call("FLUSHALL")
        self.log = []
        self.recent.clear()

    def run(self, number, arguments):
        """One command on connection `number`; raises Different."""
        if name_of(arguments) == b"SCAN" and self.queues[number] is None:
            return self.scan(number, arguments)
        return self.run_batch(number, [arguments])

    def run_batch(self, number, commands):
        """Several commands in one write."""
        theirs, ours = self.connections[number]
        request = b"".join(encode(c[1:] if c[0] == NO_REPLY else c) for c in commands)
        theirs.send_raw(request)
        ours.send_raw(request)
        for arguments in commands:
            self.note(number, arguments)
            if arguments[0] == NO_REPLY:
                continue
            self.compare(number, arguments, ours.read(), theirs.read())

    def note(self, number, arguments):
        self.recent.append((number, arguments))
        self.log.append((number, arguments))

    def compare(self, number, arguments, ours, theirs):
        name, queue = name_of(arguments), self.queues[number]
        if is_different(arguments, ours.tree, theirs.tree, queue) and \
                not (name == b"DBSIZE" and queue is None and self.count_again(number)):
            raise Different("connection %d: %s\n  redis:  %r\n  kelvin: %r" %
                            (number, show(arguments), theirs, ours))
        if name == b"RANDOMKEY" and ours.tree[0] == b"$" and ours.tree[1] is not None:
            for connection, reply in zip(self.connections[number], (theirs, ours)):
                if connection.call("EXISTS", reply.tree[1]).tree != (b":", 1):
                    raise Different("RANDOMKEY gave a key that does not exist: %r" % reply)
        self.follow_transaction(number, name, arguments, ours)

    def follow_transaction(self, number, name, arguments, reply):
        if reply.raw == b"+QUEUED\r\n" and self.queues[number] is not None:
            self.queues[number].append(arguments)
        elif name == b"MULTI" and reply.raw == b"+OK\r\n":
            self.queues[number] = []
        elif name in (b"EXEC", b"DISCARD", b"RESET") and not \
                (reply.is_error and b"wrong number" in reply.raw):
            self.queues[number] = None
        if name == b"RESET" and self.resp == 3:
            for connection in self.connections[number]:
                connection.call("HELLO", "3")

    def count_again(self, number):
        """Keys that are over but not yet deleted count in DBSIZE: an access deletes them."""
        counts = []
        for connection in self.connections[number]:
            connection.call("EXISTS", *KEYS, *ODD)
            counts.append(connection.call("DBSIZE").raw)
        return counts[0] == counts[1]

    def scan(self, number, arguments):
        """A whole iteration; the cursors are each server's own."""
        self.note(number, arguments)
        found = []
        for connection in self.connections[number]:
            reply = connection.call(*arguments)
            keys = set()
            while not reply.is_error:
                cursor, batch = reply.tree[1]
                keys.update(item[1] for item in batch[1])
                if cursor[1] == b"0":
                    break
                reply = connection.call(arguments[0], cursor[1], *arguments[2:])
            found.append(reply.raw if reply.is_error else keys)
        if arguments[1:2] != [b"0"] and not all(isinstance(f, bytes) for f in found):
            return  # a cursor that neither has given out means nothing, or is an error
        if found[0] != found[1]:
            raise Different("connection %d: %s\n  redis:  %r\n  kelvin: %r" %
                            (number, show(arguments), found[0], found[1]))

    def values(self):
        """What the keys of the last command hold now, for a report."""
        number, arguments = self.recent[-1]
        lines = []
        for key in sorted(set(arguments[1:])) if self.queues[number] is None else []:
            theirs, ours = (c.call("GET", key) for c in self.connections[number])
            if theirs.raw == ours.raw and theirs.tree[0] == b"$" and theirs.tree[1] is not None:
                lines.append("  both have %s = %r" % (show([key]), theirs))
            elif theirs.raw != ours.raw:
                lines.append("  redis has %s = %r\n  kelvin has %r" % (show([key]), theirs, ours))
        return lines

    def compare_data(self):
        """Every key of every database: value, encoding, time to live."""
        self.connect()
        for database in range(DATABASES):
            self.run(0, [b"SELECT", b"%d" % database])
            self.run(0, [b"KEYS", b"*"])
            keys = self.connections[0][0].call("KEYS", "*").tree[1]
            for _, key in sorted(keys):
                for command in ([b"TYPE"], [b"GET"], [b"OBJECT", b"ENCODING"], [b"PTTL"], [b"STRLEN"]):
                    self.run(0, command + [key])
            self.run(0, [b"DBSIZE"])


class Test:
    """Runs the parts and keeps the score."""

    def __init__(self, options):
        self.options = options
        self.redis = redis_server()
        self.kelvin = kelvin_server(options.server, shlex.split(options.kelvin))
        self.passed = self.failed = 0
        self.restarts = {}

    def run(self):
        self.redis.start()
        self.kelvin.start()
        try:
            everything = not (self.options.cases or self.options.stream or self.options.expiry)
            for resp in [self.options.resp] if self.options.resp else [2, 3]:
                self.pair = Pair(self.redis, self.kelvin, resp)
                if everything or self.options.cases:
                    self.run_cases()
                if everything or self.options.expiry:
                    self.run_expiry()
                if everything or self.options.stream:
                    self.run_stream()
        finally:
            self.redis.remove()
            status = self.kelvin.stop()
            if status != 0:
                self.report("Kelvin ends cleanly", "its exit status is %s; its log ends with:\n%s" %
                            (status, self.kelvin.log_end()))
            self.kelvin.remove()
        print("%d passed, %d failed" % (self.passed, self.failed))
        return self.failed == 0

    def report(self, title, problem=None):
        if problem is None:
            self.passed += 1
        else:
            self.failed += 1
            print("FAILED: %s\n  %s" % (title, problem), flush=True)

    def guard(self, title, action):
        """Runs one test. A server that is gone ends everything."""
        try:
            action()
            self.report(title)
        except Different as difference:
            self.report(title, difference)
        except (Disconnected, OSError) as error:
            self.report(title, "%r after: %s\n%s" % (error, " | ".join(
                show(c) for _, c in list(self.pair.recent)[-3:]), self.kelvin.log_end()))
            if not self.kelvin.is_alive():
                raise SystemExit("Kelvin is gone")

    # ---- the cases ----

    def run_cases(self):
        for title, commands in read_cases(os.path.join(HERE, "differential_cases.txt")):
            if self.options.only and self.options.only not in title:
                continue
            self.guard("%s (RESP%d)" % (title, self.pair.resp), lambda: self.run_case(commands))

    def run_case(self, commands):
        self.pair.fresh_start()
        problems = []
        for number, arguments in commands:
            try:
                self.pair.run(number, arguments)
            except Different as difference:
                problems.append(str(difference))
        if problems:
            raise Different("\n  ".join(problems))

    # ---- the stream ----

    def run_stream(self):
        seed = self.options.seed
        title = "the stream of seed %d (RESP%d)" % (seed, self.pair.resp)
        base_ms = int(time.time()) * 1000 // 10**9 * 10**9 + 10**10
        self.random = random.Random(seed)
        self.stream = Stream(self.random, base_ms)
        self.pair.fresh_start()
        done, problems = 0, 0
        while done < self.options.count and problems < self.options.max_failures:
            try:
                done += self.step()
                self.maybe_restart(done)
            except Different as difference:
                problems += 1
                self.report(title, "%s\n%s" % (difference, self.describe()))
                self.pair.fresh_start()
            except (Disconnected, OSError) as error:
                self.report(title, "%r; Kelvin is %s\n%s\n  its log ends with:\n%s" % (
                    error, "alive" if self.kelvin.is_alive() else "gone", self.last_commands(),
                    self.kelvin.log_end()))
                return
        if problems == 0:
            self.report(title)
        self.guard("both data sets are the same after " + title, self.pair.compare_data)

    def step(self):
        """Some commands on one connection; returns their number."""
        r, pair = self.random, self.pair
        number = r.choices(range(CONNECTIONS), [5, 2, 1])[0]
        if r.random() < 0.04:
            commands = [c for c in (self.stream.next() for _ in range(r.randint(2, 30)))
                        if name_of(c) not in (b"SCAN", b"RANDOMKEY", b"DBSIZE")]
            if commands:
                pair.run_batch(number, commands)
            return len(commands)
        pair.run(number, self.transaction_command(pair.queues[number] is not None) or self.stream.next())
        return 1

    def transaction_command(self, is_open):
        r = self.random.random()
        keys = [self.random.choice(KEYS) for _ in range(self.random.randint(1, 3))]
        if is_open:
            table = [(0.2, [b"EXEC"]), (0.03, [b"DISCARD"]), (0.01, [b"MULTI"]), (0.01, [b"WATCH"] + keys),
                     (0.005, [b"UNWATCH"]), (0.003, [b"RESET"])]
        else:
            table = [(0.04, [b"MULTI"]), (0.03, [b"WATCH"] + keys), (0.01, [b"UNWATCH"]), (0.003, [b"EXEC"]),
                     (0.003, [b"DISCARD"]), (0.002, [b"RESET"]), (0.001, [b"WATCH"]), (0.001, [b"EXEC", b"x"])]
        for chance, command in table:
            if r < chance:
                return command
            r -= chance
        return None

    def maybe_restart(self, done):
        for every, number in ((self.options.restart, signal.SIGTERM), (self.options.kill, signal.SIGKILL)):
            if every and done // every != self.restarts.get(number, 0):
                self.restarts[number] = done // every
                self.pair.disconnect()
                self.kelvin.restart(number)
                self.pair.compare_data()
                self.pair.connect()
                self.pair.log = []
        if self.options.reload and done // self.options.reload != self.restarts.get("reload", 0):
            self.restarts["reload"] = done // self.options.reload
            connection = Connection(self.kelvin.port)
            for command in ((b"CHECKPOINT",), (b"DEBUG", b"RELOAD")):
                reply = connection.call(*command)
                if reply.raw != b"+OK\r\n":
                    raise Different("%s: %r" % (show(command), reply))
            connection.close()

    def last_commands(self):
        return "\n".join(["  seed %d; the last commands:" % self.options.seed] +
                         ["    %d> %s" % (number, show(c)) for number, c in self.pair.recent])

    def describe(self):
        """The last commands, and, found by trying, few that still show the difference."""
        lines = [self.last_commands()]
        lines += self.pair.values()
        log = self.shrink(list(self.pair.log)) if self.options.shrink else None
        if log:
            lines.append("  these are enough:")
            lines += ["    %d> %s" % (number, show(c)) for number, c in log]
        return "\n".join(lines)

    def shrink(self, log):
        """Leaves commands out as long as some difference remains."""
        deadline = time.monotonic() + SHRINK_SECONDS
        if not self.replay(log, deadline):
            return None
        size = len(log) // 2
        while size > 0 and time.monotonic() < deadline:
            start = 0
            while start < len(log) and time.monotonic() < deadline:
                shorter = log[:start] + log[start + size:]
                if self.replay(shorter, deadline):
                    log = shorter
                else:
                    start += size
            size //= 2
        return log

    def replay(self, log, deadline):
        """True when the commands show a difference."""
        self.pair.fresh_start()
        try:
            for number, arguments in log:
                if time.monotonic() > deadline:
                    return False
                self.pair.run(number, arguments)
        except Different:
            return True
        return False

    # ---- short times to live ----

    def run_expiry(self):
        for title, action in ((f.__doc__, f) for f in (self.keys_end, self.watched_keys_end,
                                                       self.times_are_kept)):
            self.guard("%s (RESP%d)" % (title, self.pair.resp), action)

    def keys_end(self):
        """Keys whose time is over are gone for every command"""
        readers = [b"GET", b"TTL", b"PTTL", b"TYPE", b"EXISTS", b"STRLEN", b"GETDEL", b"INCR", b"DEL", b"PERSIST",
                   b"EXPIRETIME", b"TOUCH", b"UNLINK", b"PFCOUNT", b"BITCOUNT", b"GETEX"]
        writers = [[b"SETNX", b"1"], [b"APPEND", b"x"], [b"GETSET", b"1"], [b"SETBIT", b"3", b"1"], [b"SETRANGE", b"2", b"z"],
                   [b"INCRBYFLOAT", b"1"], [b"PFADD", b"a"], [b"SET", b"v", b"XX"], [b"SET", b"v", b"KEEPTTL"],
                   [b"SET", b"v", b"NX", b"GET"], [b"EXPIRE", b"1000"], [b"COPY", b"to"], [b"RENAMENX", b"to2"],
                   [b"RENAME", b"to3"], [b"MOVE", b"3"], [b"BITFIELD", b"SET", b"u8", b"0", b"1"], [b"OBJECT"]]
        pair = self.pair
        pair.fresh_start()
        for i in range(len(readers) + len(writers)):
            pair.run(0, [b"SET", b"e%d" % i, b"1", b"PX", b"30"])
        time.sleep(0.15)
        for i, name in enumerate(readers):
            pair.run(0, [name, b"e%d" % i])
            pair.run(0, [b"TTL", b"e%d" % i])
        for i, command in enumerate(writers, len(readers)):
            if command == [b"OBJECT"]:
                pair.run(0, [b"OBJECT", b"ENCODING", b"e%d" % i])
            else:
                pair.run(0, command[:1] + [b"e%d" % i] + command[1:])
            pair.run(0, [b"GET", b"e%d" % i])
            pair.run(0, [b"TTL", b"e%d" % i])
        for command in ([b"KEYS", b"*"], [b"SCAN", b"0"], [b"DBSIZE"], [b"MGET", b"e0", b"to", b"to2"]):
            pair.run(0, command)

    def watched_keys_end(self):
        """A watched key whose time is over fails the EXEC"""
        pair = self.pair
        for seen_before in (False, True):
            pair.fresh_start()
            # Long enough that both servers are told to watch it while it lives.
            pair.run(0, [b"SET", b"w", b"1", b"PX", b"500"])
            pair.run(0, [b"WATCH", b"w", b"other"])
            pair.run(0, [b"MULTI"])
            pair.run(0, [b"SET", b"x", b"1"])
            time.sleep(0.6)
            if seen_before:
                pair.run(1, [b"GET", b"w"])
            pair.run(0, [b"EXEC"])
            pair.run(0, [b"SET", b"gone", b"1", b"PX", b"1"])
            time.sleep(0.05)
            pair.run(0, [b"WATCH", b"gone"])
            pair.run(0, [b"MULTI"])
            pair.run(0, [b"GET", b"gone"])
            pair.run(0, [b"EXEC"])

    def times_are_kept(self):
        """A short time to live is kept by COPY, RENAME, KEEPTTL and partial writes"""
        pair = self.pair
        pair.fresh_start()
        pair.run(0, [b"SET", b"a", b"1", b"PX", b"300"])
        pair.run(0, [b"SET", b"a", b"2", b"KEEPTTL"])
        pair.run(0, [b"APPEND", b"a", b"3"])
        pair.run(0, [b"INCR", b"a"])
        pair.run(0, [b"SETRANGE", b"a", b"70000", b"x"])
        pair.run(0, [b"COPY", b"a", b"b"])
        pair.run(0, [b"RENAME", b"a", b"c"])
        pair.run(0, [b"MOVE", b"c", b"2"])
        pair.run(0, [b"EXISTS", b"a", b"b"])
        time.sleep(0.5)
        pair.run(0, [b"EXISTS", b"a", b"b"])
        pair.run(0, [b"SELECT", b"2"])
        pair.run(0, [b"EXISTS", b"c"])


# ---- the file of cases ----

def split_line(line):
    """Words as redis-cli takes them: "..." with \\n \\r \\t \\xHH, '...' as it is."""
    words, i = [], 0
    while i < len(line):
        if line[i] in " \t":
            i += 1
            continue
        word, quote = bytearray(), None
        while i < len(line) and (quote or line[i] not in " \t"):
            c = line[i]
            if quote is None and c in "\"'":
                quote = c
            elif c == quote:
                quote = None
            elif c == "\\" and quote == '"':
                i += 1
                if line[i] == "x":
                    word.append(int(line[i + 1:i + 3], 16))
                    i += 2
                else:
                    word += {"n": b"\n", "r": b"\r", "t": b"\t"}.get(line[i], line[i].encode())
            else:
                word += c.encode()
            i += 1
        words.append(bytes(word))
    return words


def read_cases(path):
    """[(title, [(connection, command)])]. A line "= title" begins a section; "1> " in front of a
    command names its connection; "!" stands for a command without reply; {n*text} repeats."""
    sections = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line.startswith("= "):
                sections.append((line[2:], []))
            elif line and not line.startswith("#"):
                number = 0
                if line[:1].isdigit() and line[1:3] == "> ":
                    number, line = int(line[0]), line[3:]
                sections[-1][1].append((number, [repeat(w) for w in split_line(line)]))
    return sections


def repeat(word):
    if word[:1] == b"{" and word[-1:] == b"}" and b"*" in word:
        count, text = word[1:-1].split(b"*", 1)
        if count.isdigit():
            return text * int(count)
    return word


def main():
    parser = argparse.ArgumentParser(description="Compares Kelvin's replies with redis-server's.")
    parser.add_argument("--server", default="build/kelvin-server")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--count", type=int, default=20000, help="commands of the stream")
    parser.add_argument("--resp", type=int, choices=(2, 3), help="both when not given")
    parser.add_argument("--cases", action="store_true")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--expiry", action="store_true")
    parser.add_argument("--only", help="sections of the cases whose title has this text")
    parser.add_argument("--restart", type=int, default=0, metavar="N", help="SIGTERM after N commands")
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="SIGKILL after N commands")
    parser.add_argument("--reload", type=int, default=0, metavar="N",
                        help="CHECKPOINT and DEBUG RELOAD after N commands")
    parser.add_argument("--kelvin", default="", help="options for Kelvin")
    parser.add_argument("--max-failures", type=int, default=10)
    parser.add_argument("--no-shrink", dest="shrink", action="store_false")
    options = parser.parse_args()
    print("seed %d" % options.seed, flush=True)
    return 0 if Test(options).run() else 1


if __name__ == "__main__":
    sys.exit(main())
