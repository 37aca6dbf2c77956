#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""/readyz and the metric behind it follow the disk and the start; /healthz does not."""
import errno
import http.client
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import expect, main, test, wait_until  # noqa: E402
import faultfs as f  # noqa: E402
from attack import SMALL, fault_server  # noqa: E402
from servers import free_port  # noqa: E402


def ask(port, path):
    """(status, body); (0, ...) where nobody listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    except ConnectionError as error:
        return 0, str(error)
    finally:
        connection.close()


def started(t, *options):
    """A server and its metrics port, which somebody else may be quicker to take."""
    for _ in range(5):
        port = free_port()
        server = fault_server(t, *SMALL, "--metrics-port", port, *options)
        try:
            server.start(120)
            return server, port
        except RuntimeError:
            if "(metrics-port): Address already in use" not in server.log_end():
                raise
            t.may_die.add(server)
    raise RuntimeError("no port is free")


@test
def not_ready_while_syncs_fail(t):
    server, port = started(t, "--appendfsync", "always")
    client = t.client(server)
    client.run("SET", "a", 1)
    expect(ask(port, "/readyz"), (200, "ready\n"))
    server.faults.rule("*/journal/*", f.SYNC | f.MSYNC | f.WRITE | f.CREATE, error=errno.EIO)
    writer = t.client(server)
    writer.send("SET", "a", 2)  # its reply waits for a sync
    wait_until(lambda: ask(port, "/readyz")[0] == 503, 120, "no readiness")
    assert "Input/output error" in ask(port, "/readyz")[1], ask(port, "/readyz")
    expect(client.run("METRICS", "GET", "kelvin_ready"), [b"kelvin_ready", 0])
    expect(ask(port, "/healthz")[0], 200)
    server.faults.clear()
    wait_until(lambda: ask(port, "/readyz")[0] == 200, 120, "readiness")
    expect(client.run("SET", "a", 3), b"OK")


@test
def not_ready_while_the_journal_is_applied(t):
    server, port = started(t, "--batch-writer-delay", 3600000)
    client = t.client(server)
    client.pipeline([("SET", "key:%d" % i, "x" * 100) for i in range(1000)])
    server.stop(signal.SIGKILL)
    server.faults.clear()
    server.faults.rule("*/store/*.ldb", f.WRITE | f.SYNC | f.CREATE, action=f.SLOW, delay_ms=500)
    try:
        server.start(timeout=0.1)
    except RuntimeError:
        assert server.is_alive(), server.log_end()
    wait_until(lambda: ask(port, "/healthz")[0] == 200, 120, "HTTP")
    seen = set()

    def ready():
        status, why = ask(port, "/readyz")
        seen.add((status, why.split(":")[0].strip()))
        return status == 200

    wait_until(ready, 120, "readiness")
    expect(seen, {(503, "loading"), (200, "ready")})
    expect(t.client(server).run("DBSIZE"), 1000)


main()
