#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Kelvin through Debian's python3-redis (RESP2).

    python_client.py PORT UNIX_SOCKET

One line per test; the last line is "N passed, N failed"."""
import sys
import traceback

import redis

PORT, SOCKET = int(sys.argv[1]), sys.argv[2]


def commands(client):
    client.flushall()
    assert client.set("k", "v", ex=100) is True
    assert client.get("k") == b"v" and client.get("none") is None
    assert 90 < client.ttl("k") <= 100
    assert client.incr("n", 41) == 41 and client.incrbyfloat("f", 1.5) == 1.5
    assert client.mget("k", "none", "n") == [b"v", None, b"41"]
    assert client.set("k", "w", nx=True) is None and client.set("k", "w", get=True) == b"v"
    assert client.setbit("bits", 7, 1) == 0 and client.bitcount("bits") == 1
    assert client.exists("k", "n", "none") == 2 and client.type("k") == b"string"
    assert client.info("server")["redis_version"] == "7.0.15"
    assert client.config_get("port") == {"port": str(PORT)}
    assert client.object("encoding", "n") == b"int"
    try:
        client.incr("k")
        raise AssertionError("no error")
    except redis.ResponseError as error:
        assert str(error) == "value is not an integer or out of range", error


def any_bytes(client):
    key, blob = bytes(range(256)), bytes(range(256)) * 12288
    client.set(key, blob)
    assert client.get(key) == blob and client.strlen(key) == len(blob)
    assert client.getrange(key, -3, -1) == b"\xfd\xfe\xff"


def pipelines(client):
    pipe = client.pipeline(transaction=False)
    for _ in range(10000):
        pipe.incr("counter")
    assert pipe.execute() == list(range(1, 10001))


def transactions(client):
    with client.pipeline() as pipe:
        pipe.set("t", 1).incr("t").get("t")
        assert pipe.execute() == [True, 2, b"2"]


def watched_keys(client):
    with client.pipeline() as pipe:
        pipe.watch("t")
        client.set("t", "changed")
        pipe.multi()
        pipe.set("t", "mine")
        try:
            pipe.execute()
            raise AssertionError("no error")
        except redis.WatchError:
            pass
    assert client.get("t") == b"changed"

    def double(pipe):
        number = int(pipe.get("number") or 1)
        pipe.multi()
        pipe.set("number", number * 2)

    for _ in range(5):
        client.transaction(double, "number")
    assert client.get("number") == b"32"


def scan_iterators(client):
    client.mset({"scan:%d" % i: i for i in range(3000)})
    assert len(set(client.scan_iter(match="scan:*", count=100))) == 3000


def reconnects(client):
    other = client.__class__(connection_pool=redis.ConnectionPool(
        connection_class=client.connection_pool.connection_class,
        **client.connection_pool.connection_kwargs))
    before = client.client_id()
    assert other.client_kill_filter(_id=before) == 1
    try:
        value = client.get("t")
    except redis.ConnectionError:  # it had not seen the end yet; the next call connects anew
        value = client.get("t")
    assert value == b"changed" and client.client_id() != before
    other.close()


def what_is_slow(client):
    before = client.config_get("slowlog-log-slower-than")
    client.config_set("slowlog-log-slower-than", 0)
    client.set("slow", "x y")
    entry = client.slowlog_get(1)[0]
    client.config_set("slowlog-log-slower-than", before["slowlog-log-slower-than"])
    assert entry["command"] == b"SET slow x y" and entry["duration"] >= 0, entry
    assert client.slowlog_len() > 0 and client.slowlog_reset()
    assert client.execute_command("LATENCY", "LATEST") == []


def monitors(client):
    with client.monitor() as monitor:
        client.set("seen", 'a "b"\n')
        seen = next(line for line in monitor.listen() if "seen" in line["command"])
    assert seen["db"] == 0 and seen["command"].startswith('SET seen a "b"'), seen
    assert seen["client_type"] == ("unix" if client.connection_pool.connection_kwargs.get("path") else "tcp"), seen


def main():
    passed = failed = 0
    for way, client in (("TCP", redis.Redis(port=PORT)), ("unix socket", redis.Redis(unix_socket_path=SOCKET))):
        for function in (commands, any_bytes, pipelines, transactions, watched_keys, scan_iterators, what_is_slow,
                         monitors, reconnects):
            name = "python3-redis, %s: %s" % (way, function.__name__.replace("_", " "))
            try:
                function(client)
                passed += 1
                print("ok     " + name)
            except Exception:
                failed += 1
                print("FAILED %s\n    %s" % (name, traceback.format_exc().rstrip().replace("\n", "\n    ")))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


sys.exit(main())
