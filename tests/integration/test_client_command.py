#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""CLIENT, as redis-server answers it: what LIST tells of each client, who is closed by KILL, what REPLY and PAUSE
do to replies. Each scenario runs on both servers, and what its clients see must be the same."""
import contextlib
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import expect, main, test, wait_until  # noqa: E402
from raw_resp import Disconnected, encode  # noqa: E402

# Other figures here, or none of ours.
OWN = ("id", "addr", "laddr", "fd", "qbuf", "qbuf-free", "argv-mem", "multi-mem", "rbs", "rbp", "obl", "oll", "omem",
       "tot-mem", "events", "age", "idle")


class World:
    """One server and its clients, by name."""

    def __init__(self, t, server):
        self.t, self.server, self.clients = t, server, {}

    def __getitem__(self, name):
        if name not in self.clients:
            self.clients[name] = self.t.client(self.server)
            self.clients[name].id = self.clients[name].run("CLIENT", "ID")
        return self.clients[name]

    def addr(self, name):
        return "%s:%d" % self[name].socket.getsockname()

    def laddr(self, name):
        return "%s:%d" % self[name].socket.getpeername()

    def ask(self, name, *arguments):
        """The reply, or that the connection has ended."""
        try:
            return self[name].call(*arguments).tree
        except (Disconnected, OSError):
            return "closed"

    def line(self, name):
        """What CLIENT LIST says of it, without our own figures."""
        text = self["looks"].run("CLIENT", "LIST", "ID", self[name].id).decode()
        fields = [field.split("=", 1) for field in text.strip().split(" ")]
        return [(name, "" if name in OWN else value) for name, value in fields]

    def alive(self):
        """Which of the clients are still there."""
        ids = re.findall(r"^id=(\d+) ", self["looks"].run("CLIENT", "LIST").decode(), re.M)
        return sorted(name for name, client in self.clients.items() if str(client.id) in ids and name != "looks")


def same(t, scenario, *options):
    """Runs it on both; what it gives must be equal."""
    theirs, ours = (scenario(World(t, server)) for server in (t.redis(*options), t.server(*options)))
    expect(len(ours), len(theirs), "number of observations")
    for i, (one, other) in enumerate(zip(ours, theirs)):
        expect(one, other, "observation %d" % i)


@test
def a_line_of_client_list_is_that_of_redis(t):
    def scenario(world):
        seen = [world.line("a")]
        for command in ("GET x", "GET", "NOSUCH", "CONFIG nosuch", "CONFIG GET x", "SELECT 3", "CLIENT SETNAME me",
                        "HELLO 3", "MULTI", "GET x", "GET", "DISCARD", "WATCH x", "SET x 1", "CLIENT NO-EVICT ON",
                        "MULTI", "EXEC", "CLIENT NO-EVICT OFF", "INFO", "OBJECT HELP", "RESET", "CLIENT REPLY OFF"):
            world["a"].send(*command.split())
            if command != "CLIENT REPLY OFF":
                world["a"].read()
            else:
                wait_until(lambda: dict(world.line("a"))["cmd"] == "client|reply")
            seen.append((command, world.line("a")))
        return seen
    same(t, scenario)


@test
def a_client_that_waits_is_shown_as_blocked(t):
    def scenario(world):
        seen = []
        world["a"].send("WAIT", 1, 0)
        world["b"].send("WAIT", 1, 100000000)
        wait_until(lambda: int(world["looks"].info("clients")["blocked_clients"]) == 2)
        for name in "ab":
            seen.append(world.line(name))
        seen.append(world["looks"].info("clients")["clients_in_timeout_table"])
        seen += [world.ask("looks", "CLIENT", "UNBLOCK", world[name].id, *how)
                 for name, how in (("a", ()), ("b", ("ERROR",)), ("a", ()), ("looks", ()))]
        seen += [world[name].read().tree for name in "ab"]
        seen += [world.ask("looks", "CLIENT", "UNBLOCK", *line.split()) for line in ("999999", "x", "1 foo", "1 ERROR x")]
        world["a"].send("WAIT", 1, 100000000)
        wait_until(lambda: int(world["looks"].info("clients")["blocked_clients"]) == 1)
        seen.append(world.ask("looks", "CLIENT", "UNBLOCK", world["a"].id, "TIMEOUT"))
        seen.append(world["a"].read().tree)
        seen.append(world.ask("looks", "CLIENT", "PAUSE", 100000, "WRITE"))
        world["a"].send("SET", "x", 1)
        wait_until(lambda: int(world["looks"].info("clients")["blocked_clients"]) == 1)
        seen.append(world.line("a"))
        seen.append(world.ask("looks", "CLIENT", "UNPAUSE"))
        seen.append(world["a"].read().tree)
        seen.append(world.line("a"))
        return seen
    same(t, scenario)


@test
def kill_closes_whom_its_filters_name(t):
    def scenario(world):
        seen = []

        def kill(*words):
            for name in "abc":
                if name in world.clients and name not in world.alive():
                    world.clients.pop(name).close()
                world[name]
            by_name = {"%s.%s" % (name, what): str(value) for name in "abc"
                       for what, value in (("id", world[name].id), ("addr", world.addr(name)),
                                           ("laddr", world.laddr(name)))}
            reply = world.ask("a", "CLIENT", "KILL", *[by_name.get(word, word) for word in words])
            seen.append((words, reply, world.alive()))

        for line in ("b.addr", "a.addr", "nosuch", "ID b.id", "ID a.id", "ID a.id SKIPME no", "ID 999999", "ID 0", "ID -1",
                     "ID x", "ADDR b.addr", "ADDR b.laddr", "ADDR a.addr", "ADDR a.addr SKIPME no", "LADDR b.addr",
                     "ID b.id ADDR c.addr", "ID b.id ADDR b.addr", "ID b.id LADDR b.laddr USER default TYPE normal",
                     "USER nosuch", "USER default ID c.id", "TYPE master", "TYPE pubsub", "TYPE slave", "TYPE replica",
                     "TYPE nosuch", "TYPE normal ID c.id", "ID b.id SKIPME", "ID b.id SKIPME maybe", "ID", "FOO bar",
                     "ID b.id ID c.id", "ADDR b.addr ADDR c.addr", "SKIPME yes ID a.id", "SKIPME no ID b.id", "",
                     "id b.id skipme YES", "type NORMAL id b.id"):
            kill(*line.split())
        return seen
    same(t, scenario)


@test
def kill_without_a_name_closes_all_others(t):
    def scenario(world):
        seen = []
        for line in ("TYPE normal", "USER default", "TYPE normal SKIPME no", "SKIPME no", "LADDR a.laddr"):
            for name in "abc":
                world[name]
            words = [world.laddr("a") if word == "a.laddr" else word for word in line.split()]
            seen.append((line, world.ask("a", "CLIENT", "KILL", *words)))
            for name in "abc":
                seen.append((line, name, world.ask(name, "PING")))
            for client in world.clients.values():
                client.close()
            world.clients.clear()
        return seen
    same(t, scenario)


@test
def kill_ends_transactions_and_waits(t):
    def scenario(world):
        world["a"].send("WAIT", 1, 0)
        world.ask("b", "MULTI")
        world.ask("b", "SET", "x", 1)
        wait_until(lambda: int(world["looks"].info("clients")["blocked_clients"]) == 1)
        seen = [world.ask("c", "CLIENT", "KILL", "ID", world[name].id) for name in "ab"]
        seen += [world["a"].read_until_closed(), world.ask("b", "EXEC"), world.alive()]
        wait_until(lambda: int(world["looks"].info("clients")["blocked_clients"]) == 0)
        # Oneself, with replies before and requests behind.
        world["c"].send_raw(encode([b"PING"]) + encode([b"CLIENT", b"KILL", b"ID", str(world["c"].id).encode(), b"SKIPME",
                                                        b"no"]) + encode([b"PING"]))
        seen.append(world["c"].read_until_closed())
        world["d"].send_raw(encode([b"MULTI"]) + encode([b"CLIENT", b"KILL", b"ID", str(world["d"].id).encode(), b"SKIPME",
                                                         b"no"]) + encode([b"SET", b"y", b"1"]) + encode([b"EXEC"]))
        seen.append(world["d"].read_until_closed())
        seen.append(world.ask("looks", "GET", "y"))
        return seen
    same(t, scenario)


REPLIES = ["CLIENT REPLY OFF;PING;CLIENT REPLY ON;PING", "CLIENT REPLY SKIP;PING;PING", "CLIENT REPLY SKIP;CLIENT REPLY SKIP;"
           "PING;PING", "CLIENT REPLY SKIP;NOSUCH;PING", "CLIENT REPLY SKIP;CLIENT REPLY ON;PING", "CLIENT REPLY OFF;"
           "CLIENT REPLY SKIP;PING;CLIENT REPLY ON", "CLIENT REPLY SKIP;CLIENT REPLY OFF;PING;CLIENT REPLY ON;PING",
           "CLIENT REPLY foo;PING", "CLIENT REPLY;PING", "MULTI;CLIENT REPLY OFF;PING;EXEC;PING;CLIENT REPLY ON;PING",
           "MULTI;CLIENT REPLY SKIP;PING;PING;EXEC;PING;PING", "MULTI;CLIENT REPLY SKIP;EXEC;PING;PING",
           "CLIENT REPLY OFF;MULTI;PING;EXEC;CLIENT REPLY ON;PING", "CLIENT REPLY SKIP;MULTI;PING;EXEC;PING",
           "MULTI;PING;CLIENT REPLY SKIP;EXEC;GET a", "CLIENT REPLY SKIP;GET;PING", "MULTI;CLIENT REPLY ON;PING;EXEC",
           "MULTI;CLIENT REPLY OFF;CLIENT REPLY ON;PING;EXEC;PING", "CLIENT REPLY OFF;RESET;PING",
           "CLIENT REPLY OFF;MULTI;NOSUCH;EXEC;CLIENT REPLY ON", "CLIENT REPLY SKIP;WAIT 1 1;PING",
           "CLIENT REPLY OFF;HELLO 3;CLIENT REPLY ON;HELLO 2", "CLIENT REPLY SKIP;DEBUG SLEEP 0;PING",
           "CLIENT REPLY OFF;QUIT;PING", "CLIENT REPLY SKIP;QUIT;PING", "CLIENT REPLY SKIP;RESET;PING;PING"]


@test
def reply_modes_hide_what_redis_hides(t):
    def scenario(world):
        seen = []
        for line in REPLIES:
            data = b"".join(encode([word.encode() for word in step.split()]) for step in line.split(";"))
            end = b"" if "QUIT" in line else encode([b"CLIENT", b"REPLY", b"ON"]) + encode([b"ECHO", b"end"])
            for pieces in ([data + end], [data[at:at + 7] for at in range(0, len(data), 7)] + [end]):
                if len(pieces) > 1 and "QUIT" in line:
                    continue
                with socket.create_connection(("127.0.0.1", world.server.port), timeout=60) as peer:
                    for piece in pieces:
                        peer.sendall(piece)
                    with contextlib.suppress(OSError):  # QUIT may be quicker
                        peer.shutdown(socket.SHUT_WR)
                    text = b""
                    while True:
                        more = peer.recv(65536)
                        if not more:
                            break
                        text += more
                seen.append((line, len(pieces) > 1, re.sub(rb"(\$2\r\nid\r\n:)\d+", rb"\1", text)))
        return seen
    same(t, scenario)


@test
def pause_stops_what_its_mode_says(t):
    def scenario(world):
        seen = []
        for mode in ("", "ALL", "WRITE", "all", "write"):
            for line in ("GET x", "SET x 1", "PING", "INCR x", "EXPIRE x 100", "INFO server", "PFCOUNT x", "CLIENT ID"):
                seen.append((mode, line, world.ask("looks", "CLIENT", "PAUSE", 100000, *mode.split())))
                stops = mode.lower() != "write" or line.split()[0] in ("SET", "INCR", "EXPIRE", "PFCOUNT")
                world["a"].send(*line.split())
                if stops and mode.lower() == "write":
                    wait_until(lambda: int(world["looks"].info("clients")["blocked_clients"]) == 1, 20, line)
                elif not stops:
                    seen.append((line, world["a"].read().tree[0]))
                # What ends a pause of everything must have been sent with what began it.
                if mode.lower() == "write":
                    seen.append(world.ask("looks", "CLIENT", "UNPAUSE"))
                else:
                    world.server_ends_pause()
                if stops:
                    seen.append((mode, line, world["a"].read().tree[0]))
        return seen

    def with_end(world):
        # UNPAUSE is stopped by a pause of everything itself: the pause ends by its time.
        world.server_ends_pause = lambda: None
        world_ask = world.ask

        def ask(name, *arguments):
            if arguments[:2] == ("CLIENT", "PAUSE") and (len(arguments) < 4 or arguments[3].lower() == "all"):
                arguments = ("CLIENT", "PAUSE", 50) + arguments[3:]
            return world_ask(name, *arguments)
        world.ask = ask
        return scenario(world)
    same(t, with_end)


@test
def pause_checks_its_arguments_and_is_only_made_stricter(t):
    def scenario(world):
        seen = [world.ask("a", "CLIENT", *line.split()) for line in (
            "PAUSE", "PAUSE x", "PAUSE -1", "PAUSE 1 foo", "PAUSE 1 WRITE x", "PAUSE 9223372036854775807 WRITE", "UNPAUSE x",
            "UNPAUSE", "PAUSE 99999999999999999999", "PAUSE 1.5")]
        # A shorter one does not end a longer one.
        for line in ("PAUSE 100000 WRITE", "PAUSE 1 WRITE"):
            seen.append(world.ask("looks", "CLIENT", *line.split()))
        world["b"].send("SET", "x", 1)
        wait_until(lambda: int(world["looks"].info("clients")["blocked_clients"]) == 1)
        seen.append(world.ask("c", "GET", "x"))
        seen.append(world.ask("c", "MULTI"))
        seen.append(world.ask("c", "GET", "x"))
        seen.append(world.ask("c", "EXEC"))
        seen.append(world.ask("c", "MULTI"))
        world["c"].send("SET", "x", 2)
        wait_until(lambda: int(world["looks"].info("clients")["blocked_clients"]) == 2)
        seen.append(world.ask("looks", "CLIENT", "UNPAUSE"))
        seen.append(world["b"].read().tree)
        seen.append(world["c"].read().tree)
        seen.append(world.ask("c", "EXEC"))
        return seen
    same(t, scenario)


@test
def arguments_are_checked_as_in_redis(t):
    def scenario(world):
        return [(line, world.ask("a", "CLIENT", *line.split())) for line in (
            "", "nosuch", "ID x", "GETNAME", "GETNAME x", "SETNAME", "SETNAME a b", "SETNAME a\x01b", "SETNAME ok", "GETNAME",
            "LIST x", "LIST TYPE", "LIST TYPE nosuch", "LIST TYPE master", "LIST TYPE pubsub", "LIST ID", "LIST ID x",
            "LIST ID 99999", "LIST ID -1", "LIST ID 99999 x", "LIST FOO bar", "INFO x", "NO-EVICT", "NO-EVICT x", "NO-EVICT ON",
            "NO-EVICT off", "GETREDIR", "GETREDIR x", "CACHING", "CACHING yes", "CACHING no", "CACHING x", "TRACKINGINFO",
            "TRACKINGINFO x", "TRACKING", "TRACKING off", "TRACKING x", "REPLY x", "UNBLOCK", "UNBLOCK x", "KILL",
            "HELP x")]
    same(t, scenario)


main()
