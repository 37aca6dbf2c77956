# SPDX-License-Identifier: BSD-3-Clause
"""Rows about loading much, starting, and staying within maxmemory."""
import threading
import time

from measure import Disconnected, say, status_mb



def bulk(bench):
    """Each key once, at full speed."""
    keys = 100000 if bench.arguments.quick else bench.arguments.bulk_keys
    rows = []
    for kind in ("kelvin", "redis"):
        server = bench.server(kind)
        try:
            server.start()
            result = bench.measure(server, "bulk load", lambda: bench.generator.fill(server, keys))
            bench.commands["bulk"] = bench.generator.last
            bench.raw.setdefault("bulk", {})[kind] = result
            rows.append([server.title, "%.0f" % result["requests_per_second"], "%.0f" % result["longest_gap_ms"],
                         "%.2f" % result["cpu_us_per_request"]])
            say("bulk: %s: %s keys/s, longest gap %s ms, %s us" % tuple(rows[-1]))
        finally:
            server.remove()
    return [("Bulk load of %d keys, 64-byte values, -P 64" % keys,
             ("server", "keys/s", "longest time without a reply ms", "CPU us a key"), rows)]


# ---- start-up ------------------------------------------------------------------------------------

def until_ready(server):
    """Starts it; (seconds until the first reply, that reply), seconds until PING gives PONG."""
    began = time.monotonic()
    server.spawn()
    first = None
    while True:
        if server.process.poll() is not None:
            raise RuntimeError("%s ended:\n%s" % (server.title, server.log_end()))
        try:
            client = server.client()
            reply = client.call("PING")
            first = first or (time.monotonic() - began, reply.raw[:8])
            while reply.is_error:
                time.sleep(0.002)
                reply = client.call("PING")
            client.close()
            return first, time.monotonic() - began
        except (OSError, Disconnected):
            time.sleep(0.002)


def start_after_kill(bench, server, count):
    loader = bench.generator.start(server, "-P", 16, "-k", count, "-S", 600, "SET key:{key} {value}")
    time.sleep(3 if bench.arguments.quick else 15)
    info = server.info()
    server.process.kill()
    server.process.wait()
    loader.kill()
    loader.communicate()
    first, ready = until_ready(server)
    found = server.run("DBSIZE")
    if found < count:
        raise RuntimeError("%s has %d keys instead of %d" % (server.title, found, count))
    left = info.get("journal_unmarked_bytes")
    what = "journal left: %d MB" % (int(left) >> 20) if left else "AOF: %d MB" % (int(info["aof_current_size"]) >> 20)
    say("startup: %s: after kill -9 first reply %s in %.2f s, ready in %.2f s, %s"
        % (server.title, first[1].decode(errors="replace").strip(), first[0], ready, what))
    return [server.title, "after kill -9 under SET -P 16", "%.2f (%s)" % (first[0], first[1].decode().strip()),
            "%.2f" % ready, what]


def walks(server, count):
    """How long DBSIZE and a KEYS that finds 1,000 keys take right after a start."""
    rows = []
    for what, command in (("DBSIZE", ("DBSIZE",)), ("KEYS of a prefix, 1,000 found", ("KEYS", "key:%09d*" % (count // 2000)))):
        began = time.monotonic()
        found = server.run(*command)
        seconds = time.monotonic() - began
        if found != count and len(found) != 1000:
            raise RuntimeError("%s: %s gives %s" % (server.title, what, found))
        rows.append([server.title, "%s with %d keys" % (what, count), "", "%.4f" % seconds, ""])
        say("startup: %s: %s in %.4f s" % (server.title, what, seconds))
    return rows


def startup(bench):
    count = 200000 if bench.arguments.quick else bench.arguments.start_keys
    rows = []
    for kind in ("kelvin", "redis"):
        server = bench.server(kind)
        try:
            server.start()
            bench.generator.fill(server, count)
            server.wait_quiet()
            began = time.monotonic()
            server.stop(timeout=600)
            stopped = time.monotonic() - began
            first, ready = until_ready(server)
            rows.append([server.title, "%d keys, after a clean stop (which took %.1f s)" % (count, stopped),
                         "%.2f" % first[0], "%.2f" % ready, ""])
            say("startup: %s: after a clean stop ready in %.2f s" % (server.title, ready))
            rows += walks(server, count)
            rows.append(start_after_kill(bench, server, count))
        finally:
            server.remove()
    bench.raw["startup"] = rows
    return [("Start", ("server", "what", "first reply after s", "ready after s", "to read"), rows)]


# ---- within maxmemory ----------------------------------------------------------------------------

class Watch(threading.Thread):
    """Samples a server's memory every 50 ms."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.most = {}
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            process = self.server.process
            try:
                for name in ("RssAnon", "RssFile", "RssShmem"):
                    self.most[name] = max(self.most.get(name, 0), status_mb(process.pid, name))
            except (OSError, AttributeError):
                continue

    def row(self, what, rate):
        most, self.most = self.most, {}
        file_mb = most["RssFile"] + most["RssShmem"]
        say("memory: %s: %.0f/s, RssAnon at most %.0f MB, RssFile %.0f MB" % (what, rate, most["RssAnon"], file_mb))
        return [what, "%.0f" % rate if rate else "", "%.0f" % most["RssAnon"], "%.0f" % file_mb]

    def stop(self):
        self.over.set()
        if self.is_alive():
            self.join()


def memory(bench):
    """maxmemory 256mb while twelve times as much is written, overwritten and read; every value is checked."""
    count = 100000 if bench.arguments.quick else 3000000
    seconds = 2 if bench.arguments.quick else 20
    server = bench.server("kelvin", "--maxmemory", "256mb")
    data = ("-k", count, "-d", 1024)
    watch, rows, generator = Watch(server), [], bench.generator
    try:
        server.start()
        watch.start()
        loaded = generator.fill(server, count, 1024)
        rows.append(watch.row("load %d keys of 1 KiB" % count, loaded["requests_per_second"]))
        for name, command in (("SET -P 16, at random", "SET key:{key} {value}"),
                              ("GET -P 16, at random", "GET key:{key}")):
            result = generator.load(server, "-P", 16, "-S", seconds, *data, command)
            rows.append(watch.row(name, result["requests_per_second"]))
        writer = generator.start(server, "-c", 25, "-S", seconds, *data, "SET key:{key} {value}")
        result = generator.load(server, "-S", seconds, *data, "GET key:{key}")
        generator.finish(writer)
        rows.append(watch.row("GET -P 1 while 25 other clients SET", result["requests_per_second"]))
        result = generator.load(server, "-n", count // 100, "-o", "sequential", "--verify", *data,
                                "MGET [key:{key}]*100")
        if result["nils"]:
            raise RuntimeError("%d keys are missing" % result["nils"])
        rows.append(watch.row("all values read in order and compared", result["requests_per_second"] * 100))
        server.wait_quiet()
        rows.append(watch.row("afterwards", 0))
    finally:
        watch.stop()
        server.remove()
    bench.raw["memory"] = rows
    return [("Within maxmemory 256mb", ("phase", "keys/s", "RssAnon at most MB", "RssFile at most MB"), rows)]


