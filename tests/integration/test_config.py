#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""CONFIG: replies as redis-server gives them, live options that take effect, REWRITE."""
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Client, expect, main, test, wait_until  # noqa: E402
from servers import free_port  # noqa: E402

# One word list a line; "_" stands for an empty word, "~" for a blank inside a word.
SAME_AS_REDIS = """
CONFIG
CONFIG GET
CONFIG SET
CONFIG SET a
CONFIG SET maxmemory
CONFIG NOSUCH
CONFIG HELP
CONFIG HELP x
CONFIG RESETSTAT
CONFIG RESETSTAT x
CONFIG REWRITE x
CONFIG SET nosuch 1
CONFIG SET nosuch 1 other 2
CONFIG SET maxmemory 1mb nosuch
CONFIG SET maxmemory 1mb nosuch 1
CONFIG SET timeout 5 timeout 6
CONFIG SET TIMEOUT 5 timeout 6
CONFIG SET timeout 5 TCP-keepalive x
CONFIG GET timeout
CONFIG SET timeout 7 tcp-keepalive 60
CONFIG GET timeout
CONFIG GET tcp-keepalive
CONFIG SET timeout -1
CONFIG SET timeout 2147483648
CONFIG SET port abc
CONFIG SET port 70000
CONFIG SET daemonize yes
CONFIG SET DAEMONIZE yes
CONFIG SET databases 3
CONFIG SET dir /tmp
CONFIG SET dbfilename x
CONFIG SET appendfilename x
CONFIG SET rename-command x
CONFIG SET unixsocket /tmp/x
CONFIG SET maxmemory abc
CONFIG SET maxmemory 10xb
CONFIG SET maxmemory 100mb
CONFIG GET maxmemory
CONFIG SET maxmemory 1g
CONFIG GET MaxMemory
CONFIG GET MAXMEMORY maxmemory
CONFIG GET maxmemory MAXMEMORY maxm?mory
CONFIG GET maxmemory-sampl?s
CONFIG GET MAXMEMORY-SAMPL?S
CONFIG GET maxmemory-[os]*[abcs]
CONFIG GET nosuch*
CONFIG GET rename-command
CONFIG GET include
CONFIG GET slave-priority
CONFIG SET slave-priority 1 replica-priority 2
CONFIG SET loglevel bad
CONFIG SET loglevel VERBOSE
CONFIG GET loglevel
CONFIG SET appendfsync sometimes
CONFIG SET appendfsync always
CONFIG GET appendfsync
CONFIG SET protected-mode maybe
CONFIG SET maxmemory-policy nosuch
CONFIG SET maxmemory-policy allkeys-lru
CONFIG GET maxmemory-policy
CONFIG SET save 900
CONFIG SET save 900~1~300
CONFIG SET save 0~1
CONFIG SET save 900~1~300~10
CONFIG GET save
CONFIG SET save _
CONFIG GET save
CONFIG SET appendonly maybe
CONFIG SET lfu-log-factor x
CONFIG SET client-output-buffer-limit bad
CONFIG SET client-output-buffer-limit bad~1~1~1
CONFIG SET client-output-buffer-limit normal~1~1
CONFIG SET client-output-buffer-limit normal~x~1~1
CONFIG SET client-output-buffer-limit normal~1mb~2mb~3
CONFIG GET client-output-buffer-limit
CONFIG SET maxmemory-clients 200mb
CONFIG GET maxmemory-clients
CONFIG SET maxmemory-clients 10%
CONFIG GET maxmemory-clients
CONFIG SET maxmemory-clients 101%
CONFIG SET maxmemory-clients -1%
CONFIG SET maxmemory-clients x%
CONFIG SET maxmemory-clients %
CONFIG SET bind 999.999.999.999
CONFIG SET proto-max-bulk-len 10
CONFIG SET client-query-buffer-limit 10
CONFIG SET bind 1.2.3.4
CONFIG SET timeout 9 bind 1.2.3.4
CONFIG GET timeout
CONFIG SET maxclients 0
CONFIG SET requirepass _
CONFIG GET requirepass
CONFIG GET unixsocketperm
CONFIG SET unixsocketperm 777
CONFIG SET notify-keyspace-events _
CONFIG SET notify-keyspace-events Ex
CONFIG SET notify-keyspace-events yes
CONFIG SET maxmemory-samples 0
CONFIG SET maxmemory-samples 10mb
CONFIG SET auto-aof-rewrite-min-size 2mb
CONFIG GET auto-aof-rewrite-min-size
CONFIG SET activerehashing NO
CONFIG GET activerehashing
CONFIG SET slave-priority 5
CONFIG GET replica-priority
CONFIG SET slave-priority 5 SLAVE-priority 6
CONFIG SET shutdown-timeout 100000
CONFIG SET shutdown-timeout -1
CONFIG SET oom-score-adj-values 1~2
CONFIG SET shutdown-on-sigterm save~nosave
CONFIG SET shutdown-on-sigterm never
MULTI
CONFIG SET timeout 11
CONFIG SET timeout x
CONFIG GET timeout
EXEC
CONFIG REWRITE
INFO nosuch
INFO modules
INFO modules modules cluster
INFO CLUSTER
INFO replication
"""


def words(line):
    return ["" if w == "_" else w.replace("~", " ") for w in line.split()]


def without_ids(line, reply):
    """The replication ids are random."""
    if line != "INFO replication":
        return reply.raw
    return b"".join(p for p in reply.raw.split(b"\r\n") if not p.startswith((b"master_replid", b"$", b"=")))


def compare(t, resp):
    pair = [t.client(t.redis("--unixsocketperm", "700")), t.client(t.server("--unixsocketperm", "700"))]
    for client in pair:
        client.call("HELLO", resp)
    for line in SAME_AS_REDIS.strip().split("\n"):
        theirs, ours = (without_ids(line, client.call(*words(line))) for client in pair)
        expect(ours, theirs, line)


@test
def config_answers_as_redis_in_resp2(t):
    compare(t, 2)


@test
def config_answers_as_redis_in_resp3(t):
    compare(t, 3)


@test
def every_option_of_redis_is_known_with_its_default(t):
    theirs, ours = (t.client(s).run("CONFIG", "GET", "*") for s in (t.redis(), t.server()))
    theirs, ours = (dict(zip(pairs[::2], pairs[1::2])) for pairs in (theirs, ours))
    expect(sorted(set(theirs) - set(ours)), [], "options that are missing")
    # The tests start redis-server with appendonly and save off, and both with a port and a folder.
    meant = {b"port", b"dir", b"logfile", b"bind", b"maxmemory-clients", b"appendonly", b"pidfile",
             b"enable-debug-command", b"jemalloc-bg-thread", b"oom-score-adj"}
    different = {name: (theirs[name], ours[name]) for name in theirs
                 if name not in meant and theirs[name] != ours[name]}
    expect(different, {}, "defaults that differ (redis, ours)")


@test
def the_folder_is_shown_with_its_whole_path(t):
    server = t.new_server()
    server.options = ["--dir", os.path.relpath(server.folder)]
    server.start()
    expect(t.client(server).run("CONFIG", "GET", "dir"), [b"dir", server.folder.encode()])


@test
def a_failed_set_changes_nothing(t):
    client = t.client(t.server())
    try:
        client.run("CONFIG", "SET", "timeout", "77", "maxmemory", "64mb", "bind", "1.2.3.4")
        raise AssertionError("an address that nobody has was taken")
    except Client.Error:
        pass
    taken = client.call("CONFIG", "SET", "timeout", "7", "port", t.server().port, "tcp-keepalive", "9")
    expect(taken.raw, b"-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen "
                      b"on this port. Check server logs.\r\n")
    expect(client.run("CONFIG", "GET", "timeout"), [b"timeout", b"0"])
    expect(client.run("CONFIG", "GET", "maxmemory"), [b"maxmemory", b"0"])
    expect(client.run("PING"), b"PONG")


@test
def the_port_moves_while_clients_stay(t):
    server = t.server()
    client, port = t.client(server), free_port()
    client.run("CONFIG", "SET", "port", port)
    expect(t.client(port).run("PING"), b"PONG")
    expect(client.run("PING"), b"PONG")
    try:
        socket.create_connection(("127.0.0.1", server.port), 5).close()
        raise AssertionError("the old port still answers")
    except OSError:
        pass


@test
def a_new_password_leaves_sessions_and_binds_newcomers(t):
    server = t.server()
    client = t.client(server)
    client.run("CONFIG", "SET", "requirepass", "long secret")
    expect(client.run("PING"), b"PONG")
    newcomer = t.client(server)
    expect(newcomer.call("PING").raw, b"-NOAUTH Authentication required.\r\n")
    expect(newcomer.run("AUTH", "long secret"), b"OK")
    expect(newcomer.run("PING"), b"PONG")


@test
def limits_of_requests_take_effect_at_once(t):
    server = t.server()
    client = t.client(server)
    client.run("CONFIG", "SET", "proto-max-bulk-len", "1mb")
    expect(client.call("SETRANGE", "a", 1 << 20, "x").raw,
           b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n")
    client.send_raw(b"*2\r\n$3\r\nGET\r\n$1048577\r\n")
    expect(client.read().raw, b"-ERR Protocol error: invalid bulk length\r\n")


@test
def maxclients_and_timeout_take_effect_at_once(t):
    server = t.server()
    client = t.client(server)
    client.run("CONFIG", "SET", "maxclients", 2)
    second = t.client(server)
    expect(second.run("PING"), b"PONG")
    third = t.client(server)
    expect(third.read().raw, b"-ERR max number of clients reached\r\n")
    client.run("CONFIG", "SET", "timeout", 1)

    def is_gone():
        client.run("PING")
        return client.info("clients")["connected_clients"] == "1"
    wait_until(is_gone, 20, "the idle client's end")


@test
def maxmemory_takes_effect_at_once(t):
    client = t.client(t.server())
    client.run("CONFIG", "SET", "maxmemory", "64mb")
    info = client.info()
    expect(info["maxmemory"], str(64 << 20))
    assert int(info["cache_budget_bytes"]) < 64 << 20, info["cache_budget_bytes"]


@test
def rewrite_keeps_comments_and_survives_a_restart(t):
    server = t.new_server()
    path = os.path.join(server.folder, "kelvin.conf")
    with open(path, "w") as out:
        out.write("# mine\n\ntimeout 5\ninclude %s/other.conf\nsave 900 1\n"
                  "rename-command LOLWUT \"\"\n" % server.folder)
    with open(os.path.join(server.folder, "other.conf"), "w") as out:
        out.write("maxclients 100\n")
    server.command.insert(1, path)
    server.start()
    client = t.client(server)
    client.run("CONFIG", "SET", "timeout", "33", "maxmemory", "128mb", "requirepass", "a \"b\" c")
    expect(client.run("CONFIG", "REWRITE"), b"OK")
    with open(path) as text:
        lines = text.read().split("\n")
    assert lines[0] == "# mine" and "timeout 33" in lines and "maxmemory 128mb" in lines, lines
    assert any(line.startswith("include ") for line in lines), lines
    expect([l for l in lines if l.startswith("rename-command")], ['rename-command LOLWUT ""'])
    server.options += ["--requirepass", ""]
    server.restart()
    client = t.client(server)
    expect(client.run("CONFIG", "GET", "timeout"), [b"timeout", b"33"])
    expect(client.run("CONFIG", "GET", "maxmemory"), [b"maxmemory", b"134217728"])
    expect(client.run("CONFIG", "GET", "maxclients"), [b"maxclients", b"100"])
    expect(client.run("CONFIG", "GET", "save"), [b"save", b"900 1"])
    assert client.call("LOLWUT").raw.startswith(b"-ERR unknown command")


def all_options(client):
    pairs = client.run("CONFIG", "GET", "*")
    return dict(zip(pairs[::2], pairs[1::2]))


@test
def every_option_takes_the_value_that_it_shows(t):
    client = t.client(t.server())
    before = all_options(client)
    for name, value in before.items():
        reply = client.call("CONFIG", "SET", name, value).raw
        assert reply == b"+OK\r\n" or b"immutable" in reply or b"protected" in reply, (name, value, reply)
    expect(all_options(client), before)


@test
def what_was_changed_is_there_after_rewrite_and_restart(t):
    server = t.new_server()
    path = os.path.join(server.folder, "kelvin.conf")
    with open(path, "w"):
        pass
    server.command.insert(1, path)
    server.start()
    client = t.client(server)
    apart = ("port", "bind", "requirepass", "protected", "proto", "timeout", "client", "max", "load", "leveldb")
    for name, value in all_options(client).items():
        other = {b"yes": b"no", b"no": b"yes", b"": b"a \" b"}.get(value)
        if other is None and value.isdigit():
            other = b"%d" % (int(value) + 1)
        if other is not None and not name.decode().startswith(apart):
            client.call("CONFIG", "SET", name, other)
    wanted = all_options(client)
    expect(client.run("CONFIG", "REWRITE"), b"OK")
    server.restart()
    client = t.client(server)
    got = all_options(client)
    expect({name: (wanted[name], got[name]) for name in wanted
            if name != b"port" and wanted[name] != got[name]}, {})


@test
def what_follows_maxmemory_does_not_get_into_the_file(t):
    server = t.new_server()
    path = os.path.join(server.folder, "kelvin.conf")
    with open(path, "w") as out:
        out.write("maxmemory 100mb\n")
    server.command.insert(1, path)
    server.start()
    client = t.client(server)
    client.run("CONFIG", "SET", "maxmemory", "200mb")
    expect(client.run("CONFIG", "REWRITE"), b"OK")
    with open(path) as file:
        text = file.read()
    assert "maxmemory 200mb" in text, text
    for name in ("leveldb-block-cache", "leveldb-write-buffer"):
        assert name not in text or name in os.environ.get("KELVIN_OPTIONS", ""), text


@test
def several_words_of_an_option_may_be_one_text_on_the_command_line(t):
    line = "normal 1mb 512kb 5"
    theirs, ours = (t.client(server(*["--client-output-buffer-limit", line])) for server in (t.redis, t.server))
    name = ("CONFIG", "GET", "client-output-buffer-limit")
    expect(ours.run(*name), theirs.run(*name))


@test
def rewrite_without_a_file_is_an_error(t):
    expect(t.client(t.server()).call("CONFIG", "REWRITE").raw,
           b"-ERR The server is running without a config file\r\n")


@test
def resetstat_begins_all_counts_anew(t):
    client = t.client(t.server())
    client.call("GET")
    client.call("SET", "a", "1")
    assert client.info("commandstats")["cmdstat_get"].endswith("rejected_calls=1,failed_calls=0")
    client.run("CONFIG", "RESETSTAT")
    info = client.info("everything")
    assert "cmdstat_get" not in info and "errorstat_ERR" not in info, info
    expect(info["total_error_replies"], "0")


if __name__ == "__main__":
    main()
