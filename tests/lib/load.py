# SPDX-License-Identifier: BSD-3-Clause
"""A load whose every acknowledged write can be checked after the server was killed.

A Worker has a connection and a database of its own, sends random writes in pipelines and keeps a model
of what the database must hold. Its commands run in the order in which they were sent, and what
survives a crash is a prefix of that order at or behind the last reply: so the data that is found
must be the model after the acknowledged operations and some number of those still open."""
import random
import threading
import time

from harness import Client
from raw_resp import Disconnected, encode, to_bytes

BIG = 70000
FAR_MS = 3600 * 1000


class Lost(AssertionError):
    """The server holds what it must not, or lacks what it promised."""


class Model:
    """Key to (value, expire_at_ms or 0)."""

    def __init__(self):
        self.keys = {}

    def value(self, key):
        return self.keys[key][0] if key in self.keys else None

    def expiry(self, key):
        return self.keys[key][1] if key in self.keys else 0

    def apply(self, command):
        """Carries out one command; gives the reply that is expected, or None where any will do."""
        name, arguments = command[0], command[1:]
        return getattr(self, "do_" + name.lower())(*arguments)

    def do_set(self, key, value, *expiry):
        self.keys[key] = (value, int(expiry[1]) if expiry else 0)
        return b"OK"

    def do_mset(self, *pairs):
        for key, value in zip(pairs[::2], pairs[1::2]):
            self.keys[key] = (value, 0)
        return b"OK"

    def do_incr(self, key):
        number = int(self.value(key) or 0) + 1
        self.keys[key] = (b"%d" % number, self.expiry(key))
        return number

    def do_append(self, key, more):
        value = (self.value(key) or b"") + more
        self.keys[key] = (value, self.expiry(key))
        return len(value)

    def do_setrange(self, key, offset, more):
        value, offset = self.value(key) or b"", int(offset)
        value = value[:offset].ljust(offset, b"\0") + more + value[offset + len(more):]
        self.keys[key] = (value, self.expiry(key))
        return len(value)

    def do_setbit(self, key, offset, bit):
        value, offset = bytearray(self.value(key) or b""), int(offset)
        value.extend(bytes(max(0, offset // 8 + 1 - len(value))))
        mask = 0x80 >> offset % 8
        old = int(value[offset // 8] & mask != 0)
        value[offset // 8] = value[offset // 8] & ~mask | (mask if int(bit) else 0)
        self.keys[key] = (bytes(value), self.expiry(key))
        return old

    def do_msetnx(self, *pairs):
        if any(key in self.keys for key in pairs[::2]):
            return 0
        self.do_mset(*pairs)
        return 1

    def do_pexpireat(self, key, at_ms):
        if key not in self.keys:
            return 0
        self.keys[key] = (self.value(key), int(at_ms))
        return 1

    def do_persist(self, key):
        if not self.expiry(key):
            return 0
        self.keys[key] = (self.value(key), 0)
        return 1

    def do_getdel(self, key):
        return self.keys.pop(key, (None,))[0]

    def do_del(self, *keys):
        return sum(self.keys.pop(key, None) is not None for key in dict.fromkeys(keys))

    def do_unlink(self, *keys):
        return self.do_del(*keys)

    def do_copy(self, source, target, _replace):
        if source not in self.keys:
            return 0
        self.keys[target] = self.keys[source]
        return 1

    def do_rename(self, source, target):
        if source not in self.keys:
            return None
        self.keys[target] = self.keys.pop(source)
        return b"OK"

    def do_flushdb(self):
        self.keys.clear()
        return b"OK"

    def do_transaction(self, *commands):
        return [self.apply(command) for command in commands]


class Worker(threading.Thread):
    """One connection under load until the server goes away or stop() is called."""

    def __init__(self, database, seed, key_count=400, depth=32, flush=True):
        super().__init__(daemon=True)
        self.database = database
        self.random = random.Random(seed)
        self.key_count, self.depth, self.flush = key_count, depth, flush
        self.model = Model()
        self.open = []  # sent, not acknowledged, in order
        self.acknowledged = 0
        self.port = 0
        self.error = None
        self.stopping = threading.Event()

    def again(self):
        """A new thread with the same model: after a restart."""
        other = Worker(self.database, self.random.random(), self.key_count, self.depth, self.flush)
        other.model, other.acknowledged = self.model, self.acknowledged
        return other

    def key(self, kind=b"s"):
        return b"%s:%d" % (kind, self.random.randrange(self.key_count))

    def text(self):
        pick = self.random.random()
        size = self.random.randrange(60) if pick < 0.95 else self.random.randrange(3000)
        if pick > 0.992:
            size = BIG + self.random.randrange(2 * BIG)
        start = b"%x." % self.random.getrandbits(64)
        return (start * (size // len(start) + 1))[:size]

    def simple_command(self):
        pick = self.random.random()
        if pick < 0.30:
            return (b"SET", self.key(), self.text())
        if pick < 0.45:
            return (b"INCR", self.key(b"n"))
        if pick < 0.55:
            return (b"APPEND", self.key(), self.text())
        if pick < 0.65:
            return (b"DEL" if pick < 0.6 else b"UNLINK", self.key(), self.key(), self.key(b"n"))
        if pick < 0.75:
            return (b"MSET",) + tuple(x for _ in range(10) for x in (self.key(), self.text()[:500]))
        if pick < 0.80:
            return (b"SETRANGE", self.key(), b"%d" % self.random.choice((0, 5, BIG, 2 * BIG)), self.text()[:99] + b".")
        if pick < 0.90:
            ahead = self.random.choice((300, 1500, FAR_MS, FAR_MS))
            return (b"SET", self.key(b"x"), self.text(), b"PXAT", b"%d" % (time.time() * 1000 + ahead))
        if pick < 0.93:
            return (b"COPY", self.key(), self.key(b"c"), b"REPLACE")
        if pick < 0.95:
            return (b"RENAME", self.key(), self.key())
        return self.rarer_command() if pick < 0.99 else (b"DEL", self.key(b"x"))

    def rarer_command(self):
        pick = self.random.randrange(6)
        if pick == 0:
            return (b"SETBIT", self.key(), b"%d" % self.random.choice((0, 77, 8 * BIG + 1)), b"%d" % self.random.randrange(2))
        if pick == 1:
            return (b"MSETNX",) + tuple(x for _ in range(3) for x in (self.key(b"m"), self.text()[:99]))
        if pick == 2:
            return (b"GETDEL", self.key(self.random.choice((b"s", b"m"))))
        if pick == 3:
            return (b"PERSIST", self.key(b"e"))
        if pick == 4:
            return (b"SETRANGE", self.key(b"e"), b"3", b"%d" % self.random.getrandbits(30))
        return (b"PEXPIREAT", self.key(b"e"), b"%d" % (time.time() * 1000 + 10 * FAR_MS))

    def command(self):
        pick = self.random.random()
        if pick < 0.04:
            return (b"TRANSACTION",) + tuple(self.simple_command() for _ in range(self.random.randrange(1, 5)))
        if pick < 0.0405 and self.flush:
            return (b"FLUSHDB",)
        return self.simple_command()

    @staticmethod
    def bytes_of(command):
        if command[0] == b"TRANSACTION":
            return b"".join(encode(c) for c in ((b"MULTI",),) + command[1:] + ((b"EXEC",),))
        return encode([to_bytes(a) for a in command])

    def check(self, command, reply):
        wanted = self.model.apply([command[0].decode()] + list(command[1:])
                                  if command[0] != b"TRANSACTION" else
                                  ["transaction"] + [[c[0].decode()] + list(c[1:]) for c in command[1:]])
        if wanted is None or command[0] == b"DEL" and command[1].startswith(b"x:"):
            return  # whether a key with a time to live is still there is the clock's affair
        if isinstance(wanted, list):
            for one, got, want in zip(command[1:], reply, wanted):
                if want is not None and not one[1].startswith(b"x:") and got != want:
                    raise Lost("%.200r in EXEC: got %.200r, wanted %.200r" % (one, got, want))
        elif reply != wanted:
            raise Lost("%.200r: got %.200r, wanted %.200r" % (command, reply, wanted))

    def read_reply(self, client, command):
        """Values; errors inside an EXEC are values too."""
        if command[0] == b"TRANSACTION":
            for _ in range(len(command)):
                client.read()
            tree = client.read().tree
            if tree[0] == b"-":
                raise Lost("EXEC: %r" % (tree,))
            return [value for kind, value in tree[1]]
        tree = client.read().tree
        if tree[0] == b"-" and command[0] != b"RENAME":
            raise Lost("%.100r: %r" % (command, tree))
        return tree[1]

    def run(self):
        try:
            client = Client(self.port, timeout=90)
            client.run("SELECT", self.database)
            while not self.stopping.is_set():
                self.open = [self.command() for _ in range(self.random.randrange(1, self.depth))]
                client.send_raw(b"".join(self.bytes_of(c) for c in self.open))
                while self.open:
                    reply = self.read_reply(client, self.open[0])
                    self.check(self.open.pop(0), reply)
                    self.acknowledged += 1
            client.close()
        except (Disconnected, OSError):
            pass
        except Exception as error:  # told by whoever joins
            self.error = error

    def finish(self):
        self.stopping.set()
        self.join(120)
        if self.is_alive():
            raise Lost("a worker hangs")
        if self.error:
            raise self.error

    # ---- after a restart ------------------------------------------------------------------------

    def found(self, client):
        """What the server holds: key to (value, expire_at_ms or 0)."""
        client.run("SELECT", self.database)
        names = sorted(set(client.scan(1000)) | set(self.model.keys))
        found = {}
        for start in range(0, len(names), 200):
            some = names[start:start + 200]
            replies = client.pipeline([(b"GET", n) for n in some] + [(b"PEXPIRETIME", n) for n in some])
            for name, value, expiry in zip(some, replies, replies[len(some):]):
                if isinstance(value, Exception):
                    raise value
                if value is not None and expiry != -2:
                    found[name] = (value, max(0, expiry))
        return found

    @staticmethod
    def live(keys):
        """Those whose time has not come, as far as the clock lets us tell."""
        now = time.time() * 1000
        return {k: v for k, v in keys.items() if not v[1] or v[1] > now + FAR_MS / 2}

    def settle(self, client):
        """Waits until short-lived keys are gone, then finds the number of open operations that were
        carried out, and makes the model what the server holds."""
        last = max((e for _, e in list(self.model.keys.values()) if e < time.time() * 1000 + FAR_MS / 2), default=0)
        for command in self.open:
            for one in command[1:] if command[0] == b"TRANSACTION" else [command]:
                if b"PXAT" in one and int(one[-1]) < time.time() * 1000 + FAR_MS / 2:
                    last = max(last, int(one[-1]))
        time.sleep(max(0.0, last / 1000 - time.time() + 0.002))
        found = self.found(client)
        first_difference = None
        for carried_out in range(len(self.open) + 1):
            wanted = self.live(self.model.keys)
            if found == wanted:
                break
            if first_difference is None:
                first_difference = self.describe(wanted, found)
            if carried_out == len(self.open):
                raise Lost("database %d, %d acknowledged, %d open: %s"
                           % (self.database, self.acknowledged, len(self.open), first_difference))
            command = self.open[carried_out]
            self.model.apply(["transaction"] + [[c[0].decode()] + list(c[1:]) for c in command[1:]]
                             if command[0] == b"TRANSACTION" else [command[0].decode()] + list(command[1:]))
        self.open = []
        self.model.keys = dict(found)
        return len(found)

    @staticmethod
    def describe(wanted, found):
        lines = []
        for key in sorted(set(wanted) | set(found)):
            if wanted.get(key) != found.get(key):
                lines.append("%r: found %.120r, wanted %.120r" % (key, found.get(key), wanted.get(key)))
        return "%d keys differ, %s" % (len(lines), "; ".join(lines[:3]))
