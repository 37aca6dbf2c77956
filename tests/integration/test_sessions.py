#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What clients do to each other and to themselves: passwords, CLIENT KILL, PAUSE and REPLY, waiting
commands, transactions that run again; and COMMAND, compared with redis-server row by row."""
import glob
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Client, expect, main, test, wait_until  # noqa: E402
from raw_resp import Disconnected  # noqa: E402

PASSWORD_SCRIPT = """
PING|GET a|NOSUCH|GET|HELLO|HELLO 3|HELLO 3 AUTH default wrong|HELLO 3 AUTH nobody secret|AUTH wrong
AUTH default wrong|AUTH nobody secret|AUTH|AUTH a b c|CLIENT ID|CLIENT|CLIENT NOSUCH|COMMAND|RESET|MULTI
AUTH secre|AUTH secretx|AUTH default secret|PING|AUTH wrong|PING|ACL WHOAMI|SELECT 3|MULTI|RESET|GET a
AUTH secret|WATCH a|MULTI|AUTH wrong|PING|EXEC|CONFIG GET requirepass|RESET|PING"""


def is_closed(client):
    try:
        client.call("PING")
    except (Disconnected, OSError):
        return True
    return False


def error_of(client, *arguments):
    try:
        return client.run(*arguments)
    except Client.Error as error:
        return str(error)


@test
def a_password_keeps_others_out_as_in_redis(t):
    servers = [t.redis(), t.server()]
    for server in servers:
        t.client(server).run("CONFIG", "SET", "requirepass", "secret")
    pair = [t.client(server) for server in servers]
    for line in PASSWORD_SCRIPT.strip().replace("\n", "|").split("|"):
        theirs, ours = (client.call(*line.split()) for client in pair)
        expect(ours.raw, theirs.raw, line)


@test
def a_client_kills_others_and_then_itself(t):
    server = t.server()
    me, *others = (t.client(server) for _ in range(4))
    ids = [client.run("CLIENT", "ID") for client in [me] + others]
    expect(me.run("CLIENT", "KILL", "ID", ids[1]), 1)
    assert is_closed(others[0])
    address = "127.0.0.1:%d" % others[1].socket.getsockname()[1]
    expect(me.run("CLIENT", "KILL", address), b"OK")
    assert is_closed(others[1])
    expect(me.run("CLIENT", "KILL", "TYPE", "normal"), 1)
    assert is_closed(others[2])
    expect(me.run("CLIENT", "KILL", "ID", ids[0]), 0, "a client spares itself")
    expect(me.run("CLIENT", "KILL", "ID", ids[0], "SKIPME", "no"), 1)
    assert is_closed(me)


@test
def a_parked_client_is_killed_and_its_command_never_runs(t):
    server = t.server()
    me, other = t.client(server), t.client(server)
    identity = other.run("CLIENT", "ID")
    me.run("CLIENT", "PAUSE", 60000, "WRITE")
    other.send("SET", "a", "1")
    wait_until(lambda: b"cmd=NULL" not in me.run("CLIENT", "LIST", "ID", identity))
    expect(me.run("CLIENT", "KILL", "ID", identity), 1)
    assert is_closed(other)
    me.run("CLIENT", "UNPAUSE")
    expect(me.run("GET", "a"), None)


@test
def a_pause_of_writes_lets_reads_pass(t):
    server = t.server()
    me, other = t.client(server), t.client(server)
    me.run("SET", "a", "1")
    me.run("CLIENT", "PAUSE", 60000, "WRITE")
    expect(other.run("GET", "a"), b"1")
    other.send("SET", "a", "2")
    expect(me.run("GET", "a"), b"1")
    me.run("CLIENT", "UNPAUSE")
    expect(other.read().raw, b"+OK\r\n")
    expect(me.run("GET", "a"), b"2")


@test
def one_client_sleeps_and_the_others_go_on(t):
    server = t.server("--enable-debug-command", "yes")
    me, other = t.client(server), t.client(server)
    began = time.monotonic()
    other.send("DEBUG", "SLEEP", "1")
    other.send("PING", "behind")
    for _ in range(100):
        me.run("PING")
    assert time.monotonic() - began < 0.9, "the loop stood still"
    expect(other.read().raw, b"+OK\r\n")
    assert time.monotonic() - began >= 1, "it did not sleep"
    expect(other.read().raw, b"$6\r\nbehind\r\n")


@test
def a_client_may_leave_while_its_command_waits(t):
    server = t.server("--enable-debug-command", "yes")
    for command in (("DEBUG", "SLEEP", "1"), ("WAIT", "1", "500"), ("CHECKPOINT",), ("KEYS", "*"), ("DBSIZE",)):
        client = t.client(server)
        client.run("SET", "a", "1")
        client.send(*command)
        client.close()
    me = t.client(server)
    wait_until(lambda: me.run("CLIENT", "LIST").count(b"\n") == 1, what="only this client is left")
    expect(me.run("GET", "a"), b"1")


@test
def what_a_transaction_does_to_the_world_happens_once(t):
    """The queue has to wait for a scan and for keys that are not in memory, so EXEC runs again."""
    server = t.server("--cache-hot-max-entries", 1, "--cache-warm-max-entries", 1)
    me, other = t.client(server), t.client(server)
    for i in range(20):
        me.run("SET", "key:%d" % i, "x" * i)
    me.run("CHECKPOINT")
    me.run("CLIENT", "SETNAME", "before")
    me.run("MULTI")
    me.run("CLIENT", "GETNAME")
    me.run("CLIENT", "SETNAME", "after")
    me.run("SELECT", 1)
    me.run("SET", "inner", "1")
    me.run("SELECT", 0)
    me.run("CLIENT", "KILL", "ID", other.run("CLIENT", "ID"))
    me.run("BGSAVE")
    me.run("STRLEN", "key:7")
    me.run("KEYS", "key:1*")
    me.run("APPEND", "key:3", "y")
    me.run("DBSIZE")
    replies = me.run("EXEC")
    replies[8] = len(replies[8])
    expect(replies, [b"before", b"OK", b"OK", b"OK", b"OK", 1, b"Background saving started", 7, 11, 4, 20])
    expect(me.run("GET", "key:3"), b"xxxy")
    expect(me.run("CLIENT", "GETNAME"), b"after")
    assert is_closed(other)


@test
def every_row_of_command_is_that_of_redis(t):
    theirs, ours = t.client(t.redis()), t.client(t.server())
    for client in (theirs, ours):
        client.run("HELLO", 3)
    names = [n for n in ours.run("COMMAND", "LIST") if n not in (b"checkpoint", b"metrics") and b"|" not in n]
    for name in names:
        compare_info(name, theirs.run("COMMAND", "INFO", name)[0], ours.run("COMMAND", "INFO", name)[0])
        compare_docs(name, theirs.run("COMMAND", "DOCS", name), ours.run("COMMAND", "DOCS", name))


def compare_info(name, theirs, ours):
    """Subcommands in any order; those that we do not have, or have from a later Redis, do not count."""
    known = {sub[0]: sub for sub in theirs[9]}
    for sub in ours[9]:
        if sub[0] in known:
            expect(sub, known[sub[0]], "COMMAND INFO %s" % sub[0])
    expect(ours[:9], theirs[:9], "COMMAND INFO %s" % name)


def compare_docs(name, theirs, ours):
    """All but the prose, which is our own."""
    def facts(docs):
        found = dict(zip(docs[1][::2], docs[1][1::2]))
        found.pop(b"subcommands", None)
        found[b"history"] = [change[0] for change in found.get(b"history", [])]
        del found[b"summary"]
        return docs[0], found
    expect(facts(ours), facts(theirs), "COMMAND DOCS %s" % name)


@test
def a_transaction_whose_keys_cannot_be_read_is_over(t):
    server = t.server()
    client = t.client(server)
    client.pipeline([("SET", "k%d" % i, b"%d" % i * 100) for i in range(2000)])
    expect(client.run("CHECKPOINT"), b"OK")
    server.stop()
    table = max(glob.glob(os.path.join(server.folder, "store", "data-*", "*.ldb")), key=os.path.getsize)
    with open(table, "r+b") as file:
        file.seek(os.path.getsize(table) // 2)
        file.write(b"damage")
    server.start()
    client = t.client(server)
    unread = next(i for i in range(2000) if client.call("GET", "k%d" % i).is_error)
    for command in (("MULTI",), ("SET", "new", 1), ("GET", "k%d" % unread)):
        client.run(*command)
    answer = error_of(client, "EXEC")
    assert answer.startswith("EXECABORT Transaction discarded because of: ") and table in answer, answer
    expect(client.run("PING"), b"PONG")
    expect(client.run("EXISTS", "new"), 0)
    for command in (("KEYS", "*"), ("SCAN", 0, "COUNT", 5000)):
        assert "checksum mismatch" in error_of(client, *command), command


if __name__ == "__main__":
    main()
