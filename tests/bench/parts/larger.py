# SPDX-License-Identifier: BSD-3-Clause
"""Rows about more data than memory, and about what writing costs the disk. Kelvin, and LevelDB alone through the
same Env: Redis cannot hold such data."""
import json
import subprocess
import time

import svg
from measure import MemoryGroup, say

VALUE_BYTES, KEY_BYTES = 1024, len("key:000000000000")
# Beside maxmemory: the journal's locked segments and a little page cache.
GROUP_MORE_MB = 640
GET, SET = "GET key:{key}", "SET key:{key} {value}"


def zipf_mass(theta, count):
    """The sum of r^-theta up to count; beyond 100,000 by its integral."""
    exact = min(count, 100000)
    total = sum(r ** -theta for r in range(1, exact + 1))
    if count > exact:
        power = 1 - theta
        total += ((count + 0.5) ** power - (exact + 0.5) ** power) / power
    return total


def cache_figures(server):
    info = server.info()
    hot, warm, misses = (int(info["cache_" + n]) for n in ("hits_hot", "hits_warm", "misses"))
    return {"hot": hot, "hits": hot + warm, "all": hot + warm + misses, "budget": int(info["cache_budget_bytes"]),
            "entries": int(info["cache_hot_entries"]) + int(info["cache_warm_entries"]),
            "used": int(info["cache_used_bytes"])}


def run_and_count(bench, server, warm_seconds, seconds, *arguments):
    """A run of the generator, with the hit ratio during it. Before it, one with other draws warms the cache."""
    if warm_seconds:
        bench.generator.load(server, "-S", warm_seconds, "--seed", 1, *arguments)
    before = cache_figures(server)
    bench.seed += 1
    result = bench.generator.load(server, "-S", seconds, "--seed", bench.seed, *arguments)
    after = cache_figures(server)
    asked = max(1, after["all"] - before["all"])
    result["hit_ratio"] = (after["hits"] - before["hits"]) / asked
    result["hot_ratio"] = (after["hot"] - before["hot"]) / asked
    result["entries"], result["filled"] = after["entries"], after["used"] / after["budget"]
    return result


# ---- reads ---------------------------------------------------------------------------------------

class Larger:
    """A server with ten times more data than memory, in a cgroup that bounds the page cache too."""

    def __init__(self, bench):
        self.bench = bench
        self.keys = int(bench.arguments.data_gb * (1 << 30) / (VALUE_BYTES + KEY_BYTES))
        self.maxmemory_mb = min(1024, max(128, int(bench.arguments.data_gb * 1024 / 10)))
        self.group_mb = self.maxmemory_mb + GROUP_MORE_MB
        self.group = MemoryGroup(self.group_mb)
        if not self.group.folder:
            bench.note("no cgroup could be made: the page cache held much of the data")
        self.server = bench.server("kelvin", "--maxmemory", "%dmb" % self.maxmemory_mb)
        self.server.group = self.group

    def remove(self):
        self.server.remove()
        self.group.remove()

    def fill(self):
        began = time.monotonic()
        self.server.start()
        result = self.bench.generator.fill(self.server, self.keys, VALUE_BYTES, order="shuffled")
        self.server.wait_quiet()
        say("larger: %d keys of 1 KiB in %.0f s (%.0f/s), longest gap %.0f ms" % (
            self.keys, time.monotonic() - began, result["requests_per_second"], result["longest_gap_ms"]))
        return result

    def options(self, *more):
        return ("-k", self.keys, "-d", VALUE_BYTES) + more

    def engine(self, order, seconds):
        """LevelDB alone: the server is stopped, and started again afterwards."""
        server, bench = self.server, self.bench
        threads = server.run("CONFIG", "GET", "io-job-threads")[1].decode()
        settings = server.run("CONFIG", "GET", "leveldb-*")
        own = [s.decode() for pair in zip(settings[::2], settings[1::2]) for s in pair if pair[1] not in (b"", b"0")]
        began = time.monotonic()
        server.stop(timeout=600)
        stopped = time.monotonic() - began
        command = [bench.arguments.engine_bench, server.folder, "threads", threads, "seconds", str(seconds),
                   "warmup", "2", "keys", str(self.keys), "order", order] + own
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            self.group.add(process.pid)
            out = process.communicate()[0]
        if process.returncode != 0:
            raise RuntimeError("engine_bench failed")
        bench.commands["larger, LevelDB"] = "engine_bench FOLDER " + " ".join(command[2:])
        result = json.loads(out)
        result["threads"] = int(threads)
        if result["missing"]:
            raise RuntimeError("engine_bench: %d keys were missing" % result["missing"])
        began = time.monotonic()
        server.start()
        say("larger: stopped in %.1f s, LevelDB alone: %.0f/s, started in %.1f s"
            % (stopped, result["requests_per_second"], time.monotonic() - began))
        return result


def larger_reads(bench, store):
    seconds = 3 if bench.arguments.quick else 20
    rows = []
    for order in ("uniform", "zipf:0.99"):
        ratios = []
        for pair in range(1 if bench.arguments.quick else 2):
            ours = run_and_count(bench, store.server, seconds / 2, seconds, *store.options("-o", order, GET))
            bench.commands["larger"] = bench.generator.last
            alone = store.engine(order, seconds)
            ratios.append(ours["requests_per_second"] / alone["requests_per_second"])
            bench.raw.setdefault("larger", []).append({"order": order, "kelvin": ours, "leveldb": alone})
            say("larger: %s pair %d: kelvin %.0f/s p99 %.1f ms, hits %.1f%%, LevelDB with %d threads %.0f/s, ratio %.2f"
                % (order, pair + 1, ours["requests_per_second"], ours["latency_us"]["p99"] / 1000,
                   ours["hit_ratio"] * 100, alone["threads"], alone["requests_per_second"], ratios[-1]))
        rows.append([order, "%.0f" % ours["requests_per_second"], "%.0f" % alone["requests_per_second"],
                     " ".join("%.2f" % r for r in ratios), "%.1f%%" % (ours["hit_ratio"] * 100),
                     "%.1f" % (ours["latency_us"]["p50"] / 1000), "%.1f" % (ours["latency_us"]["p99"] / 1000),
                     "%.1f" % (ours["latency_us"]["p99.9"] / 1000)])
    bound = ", process and page cache in a cgroup of %d MB" % store.group_mb if store.group.folder else ""
    return ("Random GET, %.1f GB of 1 KiB values, maxmemory %d MB%s" % (bench.arguments.data_gb, store.maxmemory_mb, bound),
            ("keys", "Kelvin, 50 connections, requests/s", "LevelDB alone, as many threads, requests/s",
             "ratios (uniform: at least 0.8)", "hits", "p50 ms", "p99 ms", "p99.9 ms"), rows)


def overwrite(bench, store):
    """SETs at random without end, and GETs of hot keys beside them."""
    server, generator = store.server, bench.generator
    seconds = int(bench.arguments.minutes * 60)
    hot = ("-k", 1000, "-d", VALUE_BYTES, "-o", "uniform", GET)  # these keys are read, hence hot, and rewritten too
    generator.load(server, "-S", 1, *hot)
    before = server.info()

    def run():
        reader = generator.start(server, "-c", 4, "-P", 16, "-r", 2000, "-S", seconds, *hot)
        writes = generator.load(server, *store.options("-S", seconds, "--patience", 300, SET))
        bench.commands["overwrite"] = generator.last
        writes["reads"] = generator.finish(reader)
        return writes

    result = bench.measure(server, "overwriting", run)
    after = server.info()
    reads = result["reads"]
    series = result["series"]["requests_per_second"][:seconds]  # not those in which the last replies were waited for
    bench.raw["overwrite"] = result
    per_byte = result["disk_bytes"] / (result["requests"] * (KEY_BYTES + VALUE_BYTES))
    lookups = (int(after["batchwriter_old_lookups"]) - int(before["batchwriter_old_lookups"])) / result["requests"]
    say("overwrite: %.0f SET/s, slowest second %.0f, longest gap %.0f ms, %.2f bytes to disk per byte, GET hits p99.9 "
        "%.2f ms (left late by %.2f)" % (result["requests_per_second"], min(series), result["longest_gap_ms"], per_byte,
                                         reads["latency_us"]["p99.9"] / 1000, reads["left_late_us"]["p99.9"] / 1000))
    bench.plots.append(("overwrite", svg.lines(
        "SET of 1 KiB at random over %.1f GB, each second" % bench.arguments.data_gb,
        "50 connections, maxmemory %d MB; longest time without a reply: %.0f ms"
        % (store.maxmemory_mb, result["longest_gap_ms"]),
        {"SET": [(i + 1, v) for i, v in enumerate(series)]}, "second", "requests/s"), "Overwriting"))
    return ("Random overwrites of the same store for %.1f minutes, 50 connections; 2,000 GETs/s of hot keys beside them"
            % bench.arguments.minutes,
            ("SET/s", "slowest second", "seconds without any (none)", "longest gap ms", "SET p99.9 ms",
             "GET hits p99 ms", "GET hits p99.9 ms (at most 5)", "of it late here, p99.9", "CPU us a SET",
             "bytes to disk per byte of key and value", "look-ups of the old record per SET"),
            [["%.0f" % result["requests_per_second"], "%.0f" % min(series), "%d" % sum(v == 0 for v in series),
              "%.0f" % result["longest_gap_ms"], "%.1f" % (result["latency_us"]["p99.9"] / 1000),
              "%.2f" % (reads["latency_us"]["p99"] / 1000), "%.2f" % (reads["latency_us"]["p99.9"] / 1000),
              "%.2f" % (reads["left_late_us"]["p99.9"] / 1000),
              "%.1f" % result["cpu_us_per_request"], "%.2f" % per_byte, "%.2f" % lookups]])


def larger(bench):
    store = Larger(bench)
    try:
        fill = store.fill()
        bench.raw["larger-fill"] = fill
        return [larger_reads(bench, store), overwrite(bench, store)]
    finally:
        store.remove()


# ---- the cache -----------------------------------------------------------------------------------

def set_cache_bytes(server, wanted):
    """Moves maxmemory until the cache's budget is as wanted."""
    for _ in range(8):
        off = wanted - cache_figures(server)["budget"]
        if abs(off) < wanted * 0.01:
            return
        now = int(server.run("CONFIG", "GET", "maxmemory")[1])
        server.run("CONFIG", "SET", "maxmemory", now + off)


def hits(bench):
    """The hit ratio beside the best that a fixed set of keys could have, and what a SCAN does to it."""
    keys = 200000 if bench.arguments.quick else 1000000
    seconds = 3 if bench.arguments.quick else 20
    rows = []
    server = bench.server("kelvin", "--maxmemory", "4gb")
    try:
        server.start()
        bench.generator.fill(server, keys, VALUE_BYTES, order="shuffled")
        server.wait_quiet()
        for part, theta, needed in ((0.10, 0.99, "0.975 of best"), (0.10, 0.8, "0.93 of best"), (0.15, 0.99, "85%")):
            set_cache_bytes(server, int(keys * (VALUE_BYTES + KEY_BYTES) * part))
            result = run_and_count(bench, server, seconds, seconds / 2, "-k", keys, "-d", VALUE_BYTES,
                                   "-o", "zipf:%g" % theta, "-P", 4, GET)
            bench.commands["hits"] = bench.generator.last
            if result["filled"] < 0.95:
                bench.note("hits: theta %g, %.0f%%: the cache was filled to %.0f%% of its bytes only: the warm-up was too short"
                           % (theta, part * 100, result["filled"] * 100))
            best = zipf_mass(theta, result["entries"]) / zipf_mass(theta, keys)
            fixed = zipf_mass(theta, int(keys * part)) / zipf_mass(theta, keys)
            rows.append(["%g" % theta, "%.0f%%" % (part * 100), "%.2f%%" % (result["hit_ratio"] * 100),
                         "%.3f" % (result["hit_ratio"] / fixed), "%.3f" % (result["hit_ratio"] / best), needed])
            bench.raw.setdefault("hits", []).append({"theta": theta, "part": part, "hit_ratio": result["hit_ratio"],
                                                     "best": best, "fixed": fixed, "entries": result["entries"]})
            say("hits: theta %s, cache %s of the data: %s, of the best %s (by entries %s)" % tuple(rows[-1][:5]))
        scan = scan_between(bench, server, keys, seconds / 2)
    finally:
        server.remove()
    return [("Hit ratio, %d keys of 1 KiB" % keys,
             ("Zipf theta", "cache, of the data's bytes", "hits", "of the best fixed set of so many bytes",
              "of the best fixed set of as many entries", "aimed at"), rows),
            ("One full SCAN in between (cache 15%, Zipf 0.99)", ("", "hits", "hits in the hot tier"), scan)]


def scan_between(bench, server, keys, seconds):
    arguments = ("-k", keys, "-d", VALUE_BYTES, "-o", "zipf:0.99", "-P", 4, GET)
    rows, client = [], server.client()
    found = {}
    for what in ("before", "after"):
        found[what] = run_and_count(bench, server, 0, seconds, *arguments)
        rows.append([what, "%.2f%%" % (found[what]["hit_ratio"] * 100), "%.2f%%" % (found[what]["hot_ratio"] * 100)])
        if what == "before":
            began = time.monotonic()
            scanned = len(client.scan(1000))
            say("hits: SCAN of %d keys in %.1f s" % (scanned, time.monotonic() - began))
            if scanned < keys:
                raise RuntimeError("SCAN gave %d keys of %d" % (scanned, keys))
    client.close()
    bench.raw["hits-scan"] = {k: {"hit_ratio": v["hit_ratio"], "hot_ratio": v["hot_ratio"]} for k, v in found.items()}
    return rows


# ---- writes --------------------------------------------------------------------------------------

def amplify(bench):
    """Bytes to disk per byte of key and value; the journal and compaction included."""
    seconds, keys, rows = (3 if bench.arguments.quick else 30), bench.keys, []
    server = bench.server("kelvin")
    try:
        server.start()
        bench.generator.fill(server, keys)
        for order, needed in (("uniform", ""), ("zipf:0.99", "2.5")):
            result = bench.measure(server, "amplify", lambda: bench.generator.load(
                server, "-P", 16, "-k", keys, "-o", order, "-S", seconds, SET))
            bench.commands["amplify, " + order] = bench.generator.last
            result["per_byte"] = result["disk_bytes"] / (result["requests"] * (KEY_BYTES + 64))
            bench.raw.setdefault("amplify", {})[order] = result
            rows.append([order, "%.0f" % result["requests_per_second"], "%.2f" % result["per_byte"], needed])
            say("amplify: %s: %s SET/s, %s bytes to disk per byte" % tuple(rows[-1][:3]))
    finally:
        server.remove()
    return [("Bytes written to disk per byte of key and value: SET -P 16, %d keys, 64-byte values, %d s"
             % (keys, seconds),
             ("keys", "SET/s", "bytes per byte", "at most"), rows)]
