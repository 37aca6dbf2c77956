# SPDX-License-Identifier: BSD-3-Clause
"""Rows about cost: memory of an entry, CPU by number of connections and of keys, an idle server, latencies at
a fixed rate."""
import signal
import statistics
import time

import svg
from measure import cpu_us, say, status_mb, wake_ups

BOTH = (("kelvin", "Kelvin"), ("redis", "Redis"))
KEY_BYTES, VALUE_BYTES = len("key:000000000000"), 64
QUANTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")


def entry(bench):
    """Memory beside key and value."""
    keys = bench.keys
    rows = []
    for kind in ("kelvin", "redis"):
        server = bench.server(kind)
        try:
            server.start()
            empty = status_mb(server.pid, "RssAnon")
            bench.generator.fill(server, keys)
            server.wait_quiet()
            info = server.info()
            per_key = (status_mb(server.pid, "RssAnon") - empty) * (1 << 20) / keys - KEY_BYTES - VALUE_BYTES
            counted = ""
            if kind == "kelvin":
                entries = int(info["cache_hot_entries"]) + int(info["cache_warm_entries"])
                counted = "%.1f" % (int(info["cache_used_bytes"]) / entries - KEY_BYTES - VALUE_BYTES)
                if entries != keys:
                    bench.note("entry: the cache held %d of %d keys" % (entries, keys))
            rows.append([server.title, counted, "%.1f" % per_key])
            bench.raw.setdefault("entry", {})[kind] = {"rss_bytes": per_key, "counted_bytes": counted}
            say("entry: %s: %s bytes counted, %.1f by RssAnon" % (server.title, counted or "-", per_key))
        finally:
            server.remove()
    return [("Memory beside key and value: %d keys of 16 bytes, values of 64 (bytes an entry)" % keys,
             ("server", "as INFO counts it", "by RssAnon, all included"), rows)]


def both(bench, measure):
    """measure(server, kind) for Kelvin and Redis, started and filled by it."""
    found = {}
    for kind in ("kelvin", "redis"):
        server = bench.server(kind, "--maxclients", 10100)
        try:
            server.start()
            found[kind] = measure(server)
        finally:
            server.remove()
    return found


def steps(bench, name, title, x_name, values, run):
    """A table and a picture of CPU a request at several `values`; run(server, value) is one run."""
    def measure(server):
        results = []
        for value in values:
            runs = [run(server, value) for _ in range(min(3, bench.arguments.pairs))]
            results.append({"value": value, "cpu_us": statistics.median(r["cpu_us_per_request"] for r in runs),
                            "requests_per_second": statistics.median(r["requests_per_second"] for r in runs)})
            say("%s: %s, %d: %.2f us, %.0f/s" % (name, server.title, value, results[-1]["cpu_us"],
                                                 results[-1]["requests_per_second"]))
        return results

    found = both(bench, measure)
    bench.raw[name] = found
    rows = [["%d" % k["value"], "%.0f" % k["requests_per_second"], "%.2f" % k["cpu_us"],
             "%.0f" % r["requests_per_second"], "%.2f" % r["cpu_us"]] for k, r in zip(found["kelvin"], found["redis"])]
    series = {label: [(f["value"], f["cpu_us"]) for f in found[kind]] for kind, label in BOTH}
    bench.plots.append((name, svg.lines(title, "CPU of all threads of the server", series, x_name,
                                        "microseconds a request", x_log=True), title))
    return [(title, (x_name, "Kelvin, requests/s", "Kelvin, CPU us", "Redis, requests/s", "Redis, CPU us"), rows)]


def steady(server, seconds):
    """What happens in so many seconds, connecting and closing left out."""
    def sample():
        return int(server.info()["total_commands_processed"]), cpu_us(server.pid), time.monotonic()

    requests, cpu, began = sample()
    time.sleep(seconds)
    more_requests, more_cpu, ended = sample()
    done = max(1, more_requests - requests)
    return {"requests_per_second": done / (ended - began), "cpu_us_per_request": (more_cpu - cpu) / done}


def connections(bench):
    """GET -P 1 with more and more connections."""
    filled = set()

    def run(server, count):
        if server not in filled:
            bench.generator.fill(server, bench.keys)
            filled.add(server)
        bench.settle(server, "before connections")
        load = bench.generator.start(server, "-c", count, "-k", bench.keys, "-S", 600)
        bench.commands["connections"] = bench.generator.last
        while int(server.info()["connected_clients"]) <= count:
            if load.poll() is not None:
                bench.generator.finish(load)
            time.sleep(0.05)
        time.sleep(0.5)
        result = steady(server, bench.arguments.seconds)
        load.send_signal(signal.SIGINT)
        bench.generator.finish(load)
        return result

    return steps(bench, "connections", "CPU per GET, by the number of connections", "connections",
                 (1, 50, 1000, 10000), run)


def keys(bench):
    """GET -P 16 over more and more keys, all in memory."""
    def run(server, count):
        if int(server.run("DBSIZE")) != count:
            server.run("FLUSHALL", "ASYNC")
            bench.generator.fill(server, count)
        result = bench.measure(server, "keys", lambda: bench.generator.load(
            server, "-P", 16, "-k", count, "-S", bench.arguments.seconds))
        bench.commands["keys"] = bench.generator.last
        return result

    counts = [n for n in (10000, 100000, 1000000, 10000000, 50000000) if n <= bench.arguments.most_keys]
    return steps(bench, "keys", "CPU per GET -P 16, by the number of keys", "keys", counts, run)


def idle(bench):
    """What a server costs that nobody uses."""
    seconds, rows = (3 if bench.arguments.quick else 20), []

    def measure(server):
        bench.generator.fill(server, 100000)
        server.wait_quiet()
        cpu, wakes = cpu_us(server.pid), wake_ups(server.pid)
        time.sleep(seconds)
        return {"cpu_percent": (cpu_us(server.pid) - cpu) / seconds / 1e4,
                "wake_ups_per_second": (wake_ups(server.pid) - wakes) / seconds}

    found = both(bench, measure)
    bench.raw["idle"] = found
    for kind, label in BOTH:
        rows.append([label, "%.2f%%" % found[kind]["cpu_percent"], "%.0f" % found[kind]["wake_ups_per_second"]])
        say("idle: %s: %s of a processor, %s wake-ups/s" % tuple(rows[-1]))
    return [("Idle, 100,000 keys, no connection, %d s" % seconds,
             ("server", "of a processor", "wake-ups/s, all threads"), rows)]


def latency(bench):
    """Latencies at a fixed rate, from the intended start of each request."""
    rate = bench.arguments.rate
    seconds = 2 if bench.arguments.quick else 15

    def measure(server):
        bench.generator.fill(server, bench.keys)
        server.wait_quiet()
        result = bench.generator.load(server, "-r", rate, "--poisson", "-P", 16, "-S", seconds, "--warmup", 1,
                                      "-k", bench.keys, "-o", "zipf:0.99", "GET key:{key}", "--weight", 80,
                                      "SET key:{key} {value}", "--weight", 20)
        bench.commands["latency"] = bench.generator.last
        late = result["left_late_us"]
        say("latency: %s: p50 %.0f us, p99.9 %.0f us (left late: p50 %.0f, p99.9 %.0f)" % (
            server.title, result["latency_us"]["p50"], result["latency_us"]["p99.9"], late["p50"], late["p99.9"]))
        return result

    found = both(bench, measure)
    bench.raw["latency"] = found
    rows, series = [], {}
    # Each step to the right is a tenth of the requests.
    places = ((2, "p50"), (10, "p90"), (100, "p99"), (1000, "p99.9"), (10000, "p99.99"))
    for kind, label in BOTH:
        latency_us, late_us = found[kind]["latency_us"], found[kind]["left_late_us"]
        rows.append([label, "%.0f" % found[kind]["requests_per_second"]]
                    + ["%.0f" % latency_us[q] for q in QUANTILES] + ["%.0f" % late_us["p99"]])
        series[label] = [(x, latency_us[q]) for x, q in places]
    title = "Latency at %d requests/s, 80 GET : 20 SET" % rate
    bench.plots.append(("latency", svg.lines(
        title, "open loop, random arrivals, counted from when each request should have left", series, "percentile",
        "microseconds", x_log=True, y_log=True,
        x_labels={x: q[1:] for x, q in places}), title))
    return [(title + ", Zipf 0.99, 50 connections (us)",
             ("server", "requests/s") + QUANTILES + ("load generator late, p99",), rows)]
