#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Small things that people and clients see, held against redis-server: INFO's figures and formats, CLIENT,
ACL, OBJECT, LOLWUT, what is refused inside MULTI."""
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import expect, main, test, wait_until  # noqa: E402


def both(t, *options):
    """A client of redis-server and one of ours."""
    return t.client(t.redis(*options)), t.client(t.server(*options))


def same(clients, *arguments):
    """The reply's tree, after both have given the same."""
    theirs, ours = (client.call(*arguments).tree for client in clients)
    expect(ours, theirs, " ".join(str(a) for a in arguments))
    return ours


# --- LOLWUT ---

@test
def lolwut_ends_with_the_version_and_takes_redis_arguments(t):
    clients = both(t)
    for line in ("LOLWUT", "LOLWUT VERSION", "LOLWUT VERSION x", "LOLWUT VERSION 7 x", "LOLWUT foo", "LOLWUT 1 2 3",
                 "LOLWUT VERSION 5 a", "LOLWUT VERSION 5 1 a", "LOLWUT VERSION 5 1 1 a", "LOLWUT VERSION 6 a",
                 "LOLWUT VERSION 6 1 a"):
        same(clients, *line.split())
    for line in ("5", "5 1", "5 40 4 3", "5 0 -1 0", "5 99999 99999 99999 x", "6", "6 1 1", "6 99999 99999 x"):
        for client in clients:
            text = client.run("LOLWUT", "VERSION", *line.split())
            assert text.endswith(b" Redis ver. 7.0.15\n") and text.count(b"\n") > 1, text[-200:]
        assert len(text) < 2000000, len(text)
    clients[1].run("HELLO", 3)
    expect(clients[1].call("LOLWUT", "VERSION", 5).tree[0], b"=")


# --- INFO ---

@test
def info_has_no_field_twice(t):
    client = t.client(t.server())
    client.run("SET", "a", 1, "EX", 100)
    names = [line.split(":")[0] for line in client.run("INFO", "everything").decode().split("\r\n") if ":" in line]
    expect(sorted(set(n for n in names if names.count(n) > 1)), [])


@test
def latencystats_have_three_decimals(t):
    clients = both(t)
    for client in clients:
        client.run("SET", "a", 1)
        client.run("LOLWUT")
        client.pipeline([["GET", "a"]] * 200)
        text = client.run("INFO", "latencystats").decode()
        lines = [line for line in text.split("\r\n") if line.startswith("latency_")]
        expect(sorted(line.split(":")[0].rsplit("_", 1)[1] for line in lines), ["get", "lolwut", "ping", "set"])
        for line in lines:
            values = re.fullmatch(r"latency_percentiles_usec_\w+:p50=(\d+\.\d{3}),p99=(\d+\.\d{3}),p99\.9=(\d+\.\d{3})",
                                  line)
            assert values, line
            figures = [float(v) for v in values.groups()]
            expect(figures, sorted(figures), line)
    # Ends of buckets, not whole microseconds.
    assert re.search(r"_get:p50=\d+\.(?!000)\d{3}", text), text


STATISTICS = {
    "arity": "GET;GET a b;SET a;CONFIG GET;CONFIG nosuch;CONFIG;NOSUCH;nosuch x;CLIENT;CLIENT nosuch;OBJECT ENCODING",
    "failed": "SET a x;INCR a;INCRBY a x;SETRANGE a -1 x;EXPIRE a x;GETEX a foo;SET a b foo;LCS a;OBJECT FREQ a;"
              "SELECT 99;CONFIG SET nosuch 1;CONFIG SET maxmemory x;HELLO 9;AUTH x;AUTH a b",
    "transactions": "MULTI;SET a 1;INCR a;GET;NOSUCH;EXEC;MULTI;SET a x;INCR a;GET a;EXEC;MULTI;DISCARD;EXEC;DISCARD;"
                    "MULTI;MULTI;WATCH a;EXEC;WATCH a;SET a 2;MULTI;PING;EXEC;MULTI;SELECT 99;CONFIG SET nosuch x;"
                    "CONFIG nosuch;EXEC;MULTI;SELECT 99;CONFIG SET nosuch x;EXEC;MULTI;EXEC;MULTI;GET a;GET b;"
                    "MGET a b c;COPY a d;SET x y GET;EXISTS a b;CLIENT LIST;GET a;EXEC",
    "reads": "SET a abc;SET b 5;GET a;GET n;MGET a b n;EXISTS a b n;TTL a;PTTL n;TYPE a;STRLEN a;GETRANGE n 0 1;"
             "SUBSTR b 0 1;LCS a n;TOUCH a n;BITCOUNT a;BITPOS n 1;GETBIT a 1;EXPIRETIME a;OBJECT ENCODING n;"
             "OBJECT REFCOUNT a;MEMORY USAGE a;DEBUG OBJECT a;RANDOMKEY;KEYS *;DBSIZE;WATCH a;UNWATCH;PFCOUNT n;"
             "BITFIELD_RO a GET u8 0",
    "reads of writers": "SET a abc;SET b 5;GETEX a;GETEX n;GETEX a EX 100;BITOP AND d a n;BITOP NOT d n;"
                        "BITOP OR d a b n;PFADD p x;PFMERGE q p n;PFMERGE n2 n3;BITFIELD a GET u8 0;"
                        "BITFIELD n GET u8 0;BITFIELD a SET u8 0 1;SET a x GET;SET n x GET;SET a x NX GET;"
                        "SET a x KEEPTTL;SET a 1 XX;GETSET n4 1;GETDEL n5;GETDEL a;COPY b c;COPY n6 c;COPY b c",
    "writers": "SET a abc;SET b 5;APPEND a x;APPEND n x;INCR b;INCR n2;SETRANGE a 1 x;SETBIT a 1 1;SETNX a 1;"
               "MSETNX b 1 n3 2;MOVE b 1;PERSIST a;EXPIRE a 10;EXPIRE n4 10;RENAME a c;RENAMENX c d;RENAME n5 e;"
               "DEL c n6;UNLINK d;GETSET n2 0",
    "expired": "SET e 1 PX 1;DEBUG SLEEP 0.05;GET e;EXISTS e;TTL e;MGET e n",
}


def statistics(client):
    """What INFO counts, without times and bytes."""
    text = "".join(client.run("INFO", section).decode() for section in ("commandstats", "errorstats", "stats"))
    text = re.sub(r"usec=\d+,usec_per_call=[\d.]+,", "", text)
    return {name: value for name, value in (line.split(":", 1) for line in text.split("\r\n") if ":" in line)
            if not name.startswith(("instantaneous_", "total_net_", "total_reads_", "total_writes_", "expired_stale_",
                                    "expire_cycle_", "reply_buffer_"))}


@test
def statistics_count_as_in_redis(t):
    clients = both(t)
    for name, lines in STATISTICS.items():
        seen = []
        for client in clients:
            client.run("FLUSHALL")
            client.run("CONFIG", "RESETSTAT")
            client.pipeline([line.split() for line in lines.split(";")])
            seen.append(statistics(client))
        theirs, ours = seen
        wrong = {field: (ours.get(field), theirs.get(field)) for field in set(ours) | set(theirs)
                 if ours.get(field) != theirs.get(field)}
        expect(wrong, {}, name + ": field, ours and theirs")


def average_ttl(client, number=0):
    return int(re.search(r"avg_ttl=(\d+)", client.info("keyspace")["db%d" % number]).group(1))


@test
def info_tells_the_mean_time_to_live(t):
    client = t.client(t.server())
    client.run("SET", "a", 1)
    expect(average_ttl(client), 0)
    client.run("SET", "b", 1, "EX", 10000)
    client.run("SET", "c", 1, "EX", 30000)
    assert 19000000 < average_ttl(client) <= 20000000, average_ttl(client)
    client.pipeline([["SET", "many:%d" % i, 1, "EX", 50000 + i % 1000] for i in range(20000)])
    assert 49000000 < average_ttl(client) <= 51000000, average_ttl(client)
    client.run("FLUSHALL")
    client.run("SET", "a", 1)
    expect(average_ttl(client), 0)
    client.run("SELECT", 3)
    client.run("SET", "b", 1, "PX", 2 ** 53)
    assert 2 ** 53 - 10 ** 8 < average_ttl(client, 3) <= 2 ** 53, average_ttl(client, 3)
    client.run("PERSIST", "b")
    client.run("CHECKPOINT")
    expect(average_ttl(client, 3), 0)


@test
def the_mean_time_to_live_outlives_the_cache(t):
    server = t.server("--cache-percent", 0)
    client = t.client(server)
    client.pipeline([["SET", "k:%d" % i, "v" * 100, "EX", 100000] for i in range(1000)])
    before = average_ttl(client)
    assert 99000000 < before <= 100000000, before
    client.run("CHECKPOINT")
    client.pipeline([["GET", "k:%d" % i] for i in range(1000)])
    assert 98000000 < average_ttl(client) <= before, average_ttl(client)


@test
def figures_of_memory_fit_each_other(t):
    client = t.client(t.server())
    client.pipeline([["SET", "big:%d" % i, "x" * 200000] for i in range(100)])
    info = {name: int(value) for name, value in client.info("memory").items() if value.isdigit()}
    assert 15000000 < info["used_memory_dataset"] <= info["used_memory"] - info["used_memory_startup"], info
    expect(info["used_memory_overhead"] + info["used_memory_dataset"], info["used_memory"])
    assert info["used_memory"] <= info["used_memory_peak"], info
    assert info["used_memory_rss"] > 1000000 and info["rss_anonymous"] > 100000, info
    percent = client.info("memory")["used_memory_dataset_perc"]
    assert 50 < float(percent[:-1]) <= 100, percent


# --- what is refused before it runs ---

@test
def a_protected_command_is_refused_when_it_is_queued(t):
    clients = both(t, "--enable-debug-command", "no")
    for line in ("MULTI", "DEBUG", "DISCARD", "MULTI", "DEBUG SLEEP 0", "EXEC", "MULTI", "DEBUG nosuch", "EXEC",
                 "MULTI", "MODULE LOAD x", "EXEC", "MULTI", "MODULE LIST", "EXEC", "MODULE LOAD", "MODULE UNLOAD x",
                 "MODULE LOADEX x", "MODULE nosuch", "DEBUG", "CONFIG SET requirepass secret"):
        same(clients, *line.split())
    strangers = [t.client(client.socket.getpeername()[1]) for client in clients]
    for line in ("DEBUG SLEEP 0", "MODULE LOAD x", "MODULE LIST"):
        same(strangers, *line.split())


@test
def protected_commands_run_for_whom_the_options_name(t):
    for who in ("yes", "local"):
        clients = both(t, "--enable-debug-command", who, "--enable-module-command", who)
        for line in ("DEBUG SLEEP 0", "MODULE LOAD x", "MODULE LOADEX x CONFIG", "MODULE UNLOAD x", "MODULE HELP"):
            same(clients, *line.split())


# --- ACL ---

@test
def acl_shows_the_hash_of_the_password(t):
    clients = both(t)
    for version in (2, 3):
        for client in clients:
            client.run("HELLO", version)
        for password in ("", "secret", "x" * 300):
            same(clients, "CONFIG", "SET", "requirepass", password)
            for line in ("ACL LIST", "ACL GETUSER default", "ACL GETUSER nosuch", "ACL GETUSER DEFAULT", "ACL USERS",
                         "ACL WHOAMI"):
                same(clients, *line.split())


@test
def acl_checks_its_arguments(t):
    clients = both(t)
    for line in ("ACL", "ACL nosuch", "ACL WHOAMI x", "ACL USERS x", "ACL LIST x", "ACL GETUSER", "ACL GETUSER default x",
                 "ACL CAT", "ACL CAT nosuch", "ACL CAT a b", "ACL GENPASS 0", "ACL GENPASS -1", "ACL GENPASS 4097",
                 "ACL GENPASS x", "ACL GENPASS 1 2", "ACL LOG", "ACL LOG -1", "ACL LOG x", "ACL LOG RESET",
                 "ACL LOG RESET x", "ACL LOAD", "ACL SAVE", "ACL LOAD x", "ACL DRYRUN", "ACL DRYRUN default",
                 "ACL DRYRUN default get", "ACL DRYRUN default GET x", "ACL DRYRUN default nosuch x",
                 "ACL DRYRUN nosuch get x", "ACL DRYRUN default client", "ACL DRYRUN default client list",
                 "ACL DRYRUN default client nosuch", "ACL DRYRUN default config|get x"):
        same(clients, *line.split())
    for bits in (1, 4, 5, 4096):
        expect([len(client.run("ACL", "GENPASS", bits)) for client in clients], [(bits + 3) // 4] * 2)


def denials(client, *arguments):
    """ACL LOG without what differs: the age, and the client's addresses."""
    entries = client.run("ACL", "LOG", *arguments)
    for entry in entries:
        expect(entry[10], b"age-seconds")
        assert 0 <= float(entry[11]) < 60, entry
        assert re.search(rb"^id=\d+ addr=127.*user=default", entry[13]), entry
        entry[11] = entry[13] = None
    return entries


@test
def acl_log_tells_of_refused_logins(t):
    clients = both(t)
    for line in ("AUTH a b", "Auth a b", "AUTH a b", "AUTH default x", "HELLO 3 AUTH a b", "MULTI", "AUTH a b",
                 "AUTH c d", "EXEC"):
        same(clients, *line.split())
    for count in ((), (0,), (1,), (3,), (-5,), (100,)):
        expect(denials(clients[1], *count), denials(clients[0], *count))
    same(clients, "CONFIG", "SET", "requirepass", "secret")
    strangers = [t.client(client.socket.getpeername()[1]) for client in clients]
    for line in ("AUTH x", "AUTH y", "PING", "AUTH secret"):
        same(strangers, *line.split())
    expect(denials(clients[1]), denials(clients[0]))
    same(clients, "CONFIG", "SET", "acllog-max-len", 2)
    same(clients, "AUTH", "z", "z")
    expect(denials(clients[1]), denials(clients[0]))
    same(clients, "ACL", "LOG", "RESET")
    same(clients, "ACL", "LOG")
    same(clients, "CONFIG", "SET", "acllog-max-len", 0)
    same(clients, "AUTH", "z", "z")
    same(clients, "ACL", "LOG")


# --- OBJECT ---

VALUES = ["", "0", "1", "-1", "9999", "10000", "007", "+1", "-0", " 1", "1.0", "3.5", "9223372036854775807",
          "-9223372036854775808", "9223372036854775808", "a" * 44, "a" * 45, "1" * 44]
# V stands for the value.
WAYS = ["SET k V", "SET k V EX 100", "SET k x;SET k V KEEPTTL", "SET k x;SET k V XX GET", "SETEX k 100 V", "SETNX k V",
        "GETSET k V", "MSET k V", "MSETNX k V", "APPEND k V", "SET k V;APPEND k E", "SET k V;APPEND k 5",
        "SETRANGE k 0 V", "SET k V;SETRANGE k 0 E", "SET k V;SETRANGE k 0 7", "SET k V;SETRANGE k 3 7", "SET k V;INCR k",
        "SET k V;INCRBY k 0", "SET k V;INCRBY k 10000", "SET k V;INCRBYFLOAT k 0", "SET k V;INCRBYFLOAT k 1",
        "SET k V;INCRBYFLOAT k 0.5", "SET s V;COPY s k", "SET s V;RENAME s k", "SET s V;APPEND s 1;COPY s k",
        "SET s V EX 100;COPY s k;PERSIST k", "SET s V;COPY s k;INCR k", "SET s V;COPY s k;COPY k k2;RENAME k2 k",
        "SET k V;EXPIRE k 100", "SET k V;GETEX k EX 100", "SET k V;SETBIT k 5 1", "SET k V;BITFIELD k SET u8 0 65",
        "SET k V;BITFIELD k GET u8 0", "SET s V;BITOP OR k s s", "SET k V;MOVE k 1;SELECT 1;COPY k k2 DB 0;RENAME k s;"
        "MOVE s 0;SELECT 0;RENAME k2 k", "MULTI;SET k V;COPY k s;OBJECT ENCODING s;OBJECT REFCOUNT s;INCR k;EXEC"]


def object_cases():
    for way in WAYS:
        for value in VALUES:
            yield [["DEL", "k", "s", "k2"]] + [[{"V": value, "E": ""}.get(word, word) for word in step.split(" ")]
                                               for step in way.split(";")]


@test
def object_tells_the_encoding_and_sharing_of_redis(t):
    clients = both(t)
    looks = [["OBJECT", "ENCODING", "k"], ["OBJECT", "REFCOUNT", "k"], ["GET", "k"], ["OBJECT", "ENCODING", "s"],
             ["OBJECT", "REFCOUNT", "s"]]
    for steps in object_cases():
        theirs, ours = ([str(r) for r in client.pipeline(steps + looks)] for client in clients)
        expect(ours, theirs, steps)


@test
def an_encoding_survives_eviction(t):
    clients = t.client(t.redis()), t.client(t.server("--cache-percent", 0))
    cases = list(object_cases())
    for at in range(0, len(cases), 20):
        for i, steps in enumerate(cases[at:at + 20]):
            if ["SELECT", "1"] in steps:
                continue
            steps = [[word + str(i) if word in ("k", "s", "k2") else word for word in step] for step in steps]
            same_errors = [[str(r) for r in client.pipeline(steps)] for client in clients]
            expect(same_errors[1], same_errors[0], steps)
        clients[1].run("CHECKPOINT")
        for i in range(20):
            same(clients, "OBJECT", "ENCODING", "k%d" % i)
            same(clients, "OBJECT", "ENCODING", "s%d" % i)


# --- a client that ends its sending side ---

def half_closed(server, data):
    """Sends, ends its side at once, and gives all that comes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        text = b""
        while True:
            more = peer.recv(1 << 20)
            if not more:
                return text
            text += more


@test
def a_half_closed_client_gets_all_replies_and_is_not_kept(t):
    servers = t.redis(), t.server()
    for data in (b"PING\r\nPING\r\n", b"PING\r\n" * 500, b"PING\r\n*2\r\n$3\r\nGE", b"PING\r\nWAIT 1 0\r\nPING\r\n",
                 b"WAIT 1 100000000\r\n", b"PING\r\nDEBUG SLEEP 0.2\r\nPING\r\n", b"*1\r\n$abc\r\n",
                 b"MULTI\r\nSET a 1\r\nGET a\r\nEXEC\r\n", b"PING\r\nQUIT\r\nPING\r\n", b"CLIENT REPLY OFF\r\nPING\r\n",
                 b"CLIENT PAUSE 100000000\r\nPING\r\n"):
        theirs, ours = (half_closed(server, data) for server in servers)
        expect(ours, theirs, data[:60])
        assert theirs or b"REPLY OFF" in data or data.startswith(b"WAIT"), data[:60]


@test
def a_half_closed_client_gets_long_replies_and_those_from_disk(t):
    server = t.server("--cache-percent", 0)
    client = t.client(server)
    client.run("SETRANGE", "long", 5000000, "x")
    client.pipeline([["SET", "k:%d" % i, "v" * 100] for i in range(1000)])
    client.run("CHECKPOINT")
    text = half_closed(server, b"".join(b"GET k:%d\r\n" % i for i in range(1000)) + b"GET long\r\nGET long\r\nPING\r\n")
    expect(len(text), 1000 * len(b"$100\r\n\r\n" + b"v" * 100) + 2 * len(b"$5000001\r\n\r\n" + b"v" * 5000001) + 7)
    assert text.endswith(b"x\r\n+PONG\r\n"), text[-30:]
    wait_until(lambda: client.run("CLIENT", "LIST").count(b"\n") == 1, 20, "the other is gone")


main()
