# SPDX-License-Identifier: BSD-3-Clause
"""A load in which the order of all writes of all connections is itself in the data, so that what a crash leaves can
be held against it exactly.

Each write is an EXEC that appends a token of 8 bytes to the key `order` of database 0, then changes a few keys:
of the writer's own two databases, or of those that all writers share. The reply of that APPEND is the
write's place. A FLUSHALL, which empties `order` too, begins another epoch, whose name is in the key `epoch`.

    MULTI  SELECT 0  GET epoch  APPEND order TOKEN  changes...  EXEC

After a crash `order` says which writes survived, and in which order: they must be a prefix of what was
acknowledged, all keys must be what these writes make of the state before, and all replies what
they were in that order."""
import collections
import random
import threading
import time

from harness import Client
from load import BIG, Lost, Model
from raw_resp import Disconnected, encode, to_bytes

TOKEN = 8
FAR = b"4102444800000"  # the year 2100
SHARED = 0


def is_refusal(reply):
    """A command that was not carried out: writes are refused; or what it needs cannot be read (then without MISCONF)."""
    return reply.startswith((b"EXECABORT", b"MISCONF")) or b"IO error" in reply


class World:
    """Database number to Model."""

    def __init__(self):
        self.models = collections.defaultdict(Model)

    def apply(self, commands):
        """Carries out the commands of one EXEC; gives the replies that are expected (None: any)."""
        at, replies = 0, []
        for command in commands:
            name, arguments = command[0].decode(), command[1:]
            reply = b"OK"
            if name == "SELECT":
                at = int(arguments[0])
            elif name == "FLUSHALL":
                self.models.clear()
            elif name == "SWAPDB":
                one, two = int(arguments[0]), int(arguments[1])
                self.models[one], self.models[two] = self.models[two], self.models[one]
            elif name == "GET":
                reply = self.models[at].value(arguments[0])
            else:
                reply = self.models[at].apply([name] + list(arguments))
            replies.append(reply)
        return replies


class OrderWriter(threading.Thread):
    """Writer number `index`; `epoch`: the name of the epoch in which the round begins."""

    def __init__(self, index, seed_random, port, epoch, flushes=0.0, depth=8, may_refuse=False):
        super().__init__(daemon=True)
        self.index, self.random, self.port, self.epoch = index, seed_random, port, epoch
        self.flushes = flushes if index == 0 else 0.0
        self.depth, self.may_refuse = depth, may_refuse
        self.stopping, self.error = threading.Event(), None
        self.sent, self.replies = [], []  # of the n-th write: its commands; its replies, or "refused"
        self.flush_count = 0
        self.refused, self.last_refusal = 0, b""

    @property
    def acknowledged(self):
        return len(self.replies)

    def token(self, number):
        return b"%c%07d" % (ord("a") + self.index, number)

    # ---- what is written ------------------------------------------------------------------------

    def key(self, kind=b"k", count=50):
        return b"%s:%d" % (kind, self.random.randrange(count))

    def value(self, token):
        pick = self.random.random()
        if pick > 0.993:
            return token * ((BIG + self.random.randrange(BIG)) // TOKEN)
        return token * self.random.choice((1, 2, 5, 40, 300 if pick > 0.9 else 3))

    def change(self, token):
        """One command on a database of its own or, now and then, on the shared one."""
        pick, key = self.random.random(), self.key()
        if pick < 0.22:
            return (b"SET", key, self.value(token))
        if pick < 0.32:
            return (b"APPEND", key, token)
        if pick < 0.42:
            return (b"INCR", self.key(b"n"))
        if pick < 0.50:
            return (b"SETRANGE", key, b"%d" % self.random.choice((0, 3, 100, BIG)), token)
        if pick < 0.56:
            return (b"SETBIT", key, b"%d" % self.random.choice((0, 9, 801, 8 * BIG)), b"%d" % self.random.randrange(2))
        if pick < 0.66:
            keys = sorted({self.key() for _ in range(8)})
            return (b"MSET",) + tuple(part for one in keys for part in (one, token * 3))
        if pick < 0.70:
            return (b"MSETNX",) + tuple(part for _ in range(2) for part in (self.key(b"m"), token))
        if pick < 0.76:
            return (b"PEXPIREAT", key, FAR) if pick < 0.74 else (b"PERSIST", key)
        if pick < 0.86:
            return (b"DEL" if pick < 0.82 else b"UNLINK", key, self.key(), self.key(b"m"))
        if pick < 0.90:
            return (b"RENAME", key, self.key())
        if pick < 0.94:
            return (b"COPY", key, self.key(b"c"), b"REPLACE")
        if pick < 0.985:
            return (b"GETDEL", self.key(self.random.choice((b"k", b"c", b"m"))))
        return (b"FLUSHDB",)

    def commands(self, number):
        token = self.token(number)
        begin = [(b"SELECT", b"0"), (b"GET", b"epoch")]
        append = (b"APPEND", b"order", token)
        if self.random.random() < self.flushes:
            self.flush_count += 1
            epoch = b"%s.%d" % (self.epoch.split(b".")[0], self.flush_count)
            return begin + [(b"FLUSHALL",), (b"SET", b"epoch", epoch), append]
        own = [1 + 2 * self.index, 2 + 2 * self.index]
        if self.random.random() < 0.01:
            return begin + [append, (b"SWAPDB", b"%d" % own[0], b"%d" % own[1])]
        database = SHARED if self.random.random() < 0.2 else self.random.choice(own)
        changes = [self.change(token) for _ in range(self.random.choice((1, 1, 2, 4)))]
        if database == SHARED:
            changes = [c for c in changes if c[0] != b"FLUSHDB"]
        return begin + [append, (b"SELECT", b"%d" % database)] + changes

    # ---- running --------------------------------------------------------------------------------

    def send_some(self, client):
        count = self.random.randrange(1, self.depth)
        parts = []
        for _ in range(count):
            commands = self.commands(len(self.sent) + 1)
            self.sent.append(commands)
            parts += [encode([b"MULTI"])] + [encode([to_bytes(a) for a in c]) for c in commands] + [encode([b"EXEC"])]
        client.send_raw(b"".join(parts))
        for commands in self.sent[-count:]:
            for _ in range(len(commands) + 1):
                client.read()
            kind, reply = client.read().tree
            if kind == b"-":
                if not is_refusal(reply):
                    raise Lost("EXEC: %r" % reply)
                self.refused, self.last_refusal = self.refused + 1, reply
                self.replies.append("refused")
            else:
                self.replies.append([value for _, value in reply])
        if self.may_refuse and self.replies[-1] == "refused":
            time.sleep(0.005)

    def run(self):
        try:
            client = Client(self.port, timeout=120)
            while not self.stopping.is_set():
                self.send_some(client)
            client.close()
        except (Disconnected, OSError):
            pass
        except Exception as error:  # told by whoever joins
            self.error = error

    def finish(self):
        self.stopping.set()
        self.join(150)
        if self.is_alive():
            raise Lost("a writer hangs")
        if self.error:
            raise self.error

    def place(self, number):
        """(epoch, length of `order`) of an acknowledged write; None of one that is not."""
        reply = self.replies[number - 1] if number <= len(self.replies) else None
        if reply is None or reply == "refused":
            return None
        commands = self.sent[number - 1]
        at = commands.index((b"APPEND", b"order", self.token(number)))
        epoch = commands[3][2] if commands[2][0] == b"FLUSHALL" else reply[1]
        return epoch_order(epoch), reply[at]


def epoch_order(name):
    """Epochs are named "ROUND.FLUSHES"."""
    one, two = name.split(b".")
    return int(one), int(two)


def read_place(client):
    epoch, length = client.pipeline([("MULTI",), ("SELECT", 0), ("GET", "epoch"), ("STRLEN", "order"), ("EXEC",)])[-1][1:]
    return epoch_order(epoch), length


class OrderReader(threading.Thread):
    """The furthest place that anybody was shown. With `watch`, also the furthest that the server then said to be
    synced: whatever happens to the machine, it must survive."""

    def __init__(self, port, watch=False):
        super().__init__(daemon=True)
        self.port, self.watch = port, watch
        self.highest = self.synced = ((-1, 0), 0)
        self.error, self.stopping = None, threading.Event()

    def run(self):
        try:
            client = Client(self.port, timeout=120)
            while not self.stopping.is_set():
                place = read_place(client)
                self.highest = max(self.highest, place)
                if self.watch:
                    self.wait_synced(client, place)
            client.close()
        except (Disconnected, OSError):
            pass
        except Exception as error:
            self.error = error

    def wait_synced(self, client, place):
        appended = int(client.info("journal")["journal_appended_sequence"])
        while not self.stopping.is_set():
            if int(client.info("journal")["journal_synced_sequence"]) >= appended:
                self.synced = max(self.synced, place)
                return
            self.highest = max(self.highest, read_place(client))
            time.sleep(0.01)


# ---- a round ------------------------------------------------------------------------------------


class Round:
    """From a known state: `world` is what the server holds as it begins."""

    def __init__(self, client, number, world, seed_random, port, writers=4, flushes=0.0, watch=False, may_refuse=False):
        self.world, self.was_flushed, self.may_refuse = world, False, may_refuse
        self.begin_epoch = b"%d.0" % number
        client.pipeline([("MULTI",), ("SELECT", 0), ("DEL", "order"), ("SET", "epoch", self.begin_epoch), ("EXEC",)])
        world.models[0].keys.pop(b"order", None)
        world.models[0].keys[b"epoch"] = (self.begin_epoch, 0)
        if watch:  # a power cut must not take away the round's begin
            client.run("CHECKPOINT")
        self.writers = [OrderWriter(i, random.Random(seed_random.random()), port, self.begin_epoch, flushes,
                                    may_refuse=may_refuse)
                        for i in range(writers)]
        self.reader = OrderReader(port, watch)
        for thread in self.writers + [self.reader]:
            thread.start()

    @property
    def acknowledged(self):
        return sum(writer.acknowledged for writer in self.writers)

    @property
    def refused(self):
        return sum(writer.refused for writer in self.writers)

    def wait_acknowledged(self, count, seconds=120):
        """Until that many writes are acknowledged; raises what a thread ran into."""
        deadline = time.monotonic() + seconds
        while self.acknowledged < count:
            self.raise_errors()
            if time.monotonic() > deadline or not any(w.is_alive() for w in self.writers):
                raise Lost("only %d of %d writes were acknowledged" % (self.acknowledged, count))
            time.sleep(0.002)

    def raise_errors(self):
        for thread in self.writers + [self.reader]:
            if thread.error:
                raise thread.error

    def join(self):
        """After the server died, or to end the load."""
        self.reader.stopping.set()
        for writer in self.writers:
            writer.stopping.set()
        for thread in self.writers + [self.reader]:
            thread.join(150)
            if thread.is_alive():
                raise Lost("a client hangs")
        self.raise_errors()

    # ---- what is left ---------------------------------------------------------------------------

    def check(self, client, all_acknowledged, all_seen):
        """`all_acknowledged`: no acknowledged write may be missing; `all_seen`: nor one that a reader was shown.
        Gives (world as it is now, writes that survived in the last epoch)."""
        client.run("SELECT", 0)
        epoch_name, order = client.run("GET", "epoch"), client.run("GET", "order") or b""
        epoch, size = epoch_order(epoch_name), len(order)
        if size % TOKEN:
            raise Lost("`order` has %d bytes" % size)
        survived = [(order[at] - ord("a"), int(order[at + 1:at + TOKEN])) for at in range(0, size, TOKEN)]
        end = (epoch, size)
        self.check_places(survived, end, all_acknowledged)
        if self.reader.synced > end:
            raise Lost("%r was synced, the end is %r" % (self.reader.synced, end))
        if all_seen and self.reader.highest > end:
            raise Lost("%r was shown to a reader, the end is %r" % (self.reader.highest, end))
        self.check_old_epochs(epoch)
        self.was_flushed = epoch_name != self.begin_epoch
        world = World() if self.was_flushed else self.world
        for writer, number in survived:
            self.replay(world, self.writers[writer], number)
        check_content(client, world)
        return world, len(survived)

    def check_places(self, survived, end, all_acknowledged):
        if len(set(survived)) != len(survived):
            raise Lost("a write was carried out twice")
        for index, (writer, number) in enumerate(survived):
            place = self.writers[writer].place(number)
            here = (end[0], (index + 1) * TOKEN)
            if place not in (None, here):
                raise Lost("write %d of %d was acknowledged at %r and is at %r" % (number, writer, place, here))
        for writer in self.writers:
            numbers = [n for w, n in survived if w == writer.index]
            inside = set(numbers)
            for number in range(min(inside, default=0), max(inside, default=-1) + 1):
                answered = number <= len(writer.replies)
                refused = writer.replies[number - 1] == "refused" if answered else self.may_refuse
                if number not in inside and not refused or number in inside and refused and answered:
                    raise Lost("write %d of writer %d, which %s: %d to %d survived"
                               % (number, writer.index, "was refused, is there" if refused else "is not there",
                                  min(inside), max(inside)))
            if numbers != sorted(numbers):
                raise Lost("the writes of writer %d changed places" % writer.index)
            for number in range(1, len(writer.replies) + 1):
                place = writer.place(number)
                if place is None or place[0] < end[0]:
                    continue
                if place > end and all_acknowledged:
                    raise Lost("write %d of writer %d was acknowledged at %r, the end is %r"
                               % (number, writer.index, place, end))
                if place <= end and number not in inside:
                    raise Lost("write %d of writer %d, acknowledged at %r, is not there" % (number, writer.index, place))

    def check_old_epochs(self, last):
        """Before a FLUSHALL there is no `order` left, but the replies must agree on one."""
        epochs = collections.defaultdict(dict)
        for writer in self.writers:
            for number in range(1, len(writer.replies) + 1):
                place = writer.place(number)
                if place and place[0] < last:
                    if place[1] in epochs[place[0]]:
                        raise Lost("two writes at %r" % (place,))
                    epochs[place[0]][place[1]] = (writer, number)
        for epoch, writes in epochs.items():
            world = World()
            if epoch == epoch_order(self.begin_epoch):
                continue  # the state it began with is still needed
            for length in range(TOKEN, len(writes) * TOKEN + 1, TOKEN):
                if length not in writes:
                    break  # of one that was never answered
                self.replay(world, *writes[length])

    @staticmethod
    def replay(world, writer, number):
        commands = writer.sent[number - 1]
        wanted = world.apply(commands)
        got = writer.replies[number - 1] if number <= len(writer.replies) else None
        if got == "refused":
            raise Lost("write %d of writer %d was refused and is there" % (number, writer.index))
        for command, want, have in zip(commands, wanted, got or ()):
            if want is not None and want != have:
                raise Lost("%.200r of write %d of writer %d: got %.200r, wanted %.200r"
                           % (command, number, writer.index, have, want))


def check_content(client, world):
    for database in range(1 + 2 * 4):
        client.run("SELECT", database)
        wanted = {k: v for k, v in world.models[database].keys.items()}
        names = sorted(set(client.scan()))
        found = {}
        for start in range(0, len(names), 200):
            some = names[start:start + 200]
            values = client.run("MGET", *some)
            times = client.pipeline([("PEXPIRETIME", name) for name in some])
            found.update((n, (v, max(0, e))) for n, v, e in zip(some, values, times))
        for key in sorted(set(found) | set(wanted)):
            if found.get(key) != wanted.get(key):
                raise Lost("%r of database %d: found %.100r, wanted %.100r"
                           % (key, database, found.get(key), wanted.get(key)))
        size = client.run("DBSIZE")
        if size != len(wanted):
            raise Lost("DBSIZE of database %d: %d, wanted %d" % (database, size, len(wanted)))
