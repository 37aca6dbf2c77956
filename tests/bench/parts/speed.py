# SPDX-License-Identifier: BSD-3-Clause
"""Rows about speed: Kelvin and Redis in pairs of runs, each run as long as the other."""
import statistics

import svg
from measure import say

MILLION = 1000000
GET, SET = "GET key:{key}", "SET key:{key} {value}"


class Row:
    """One row. `commands`: a template, or several with weights. `rate`, `cpu`: Kelvin's figure must be at least
    or at most so many times Redis's; None: shown only. `fill`: what the servers hold before; None: nothing.
    `refill`: it is made anew before each run. `extra`: a third server that is measured too."""

    def __init__(self, title, commands, pipeline=1, rate=None, cpu=None, connections=50, keys=MILLION, value="64",
                 order="uniform", fill=SET, refill=False, kinds=("kelvin", "redis"), extra=None, benchmark=None):
        self.title, self.rate, self.cpu, self.kinds, self.extra = title, rate, cpu, kinds, extra
        self.commands = [commands] if isinstance(commands, str) else commands
        self.pipeline, self.connections, self.keys = pipeline, connections, keys
        self.value, self.order, self.fill, self.refill = value, order, fill, refill
        self.benchmark = benchmark  # run by redis-benchmark, with these arguments

    def data(self):
        return (self.kinds, self.fill, self.keys, self.value)

    def arguments(self, seconds, pair):
        arguments = ["-c", self.connections, "-P", self.pipeline, "-k", self.keys, "-d", self.value, "-o", self.order,
                     "-S", seconds, "--seed", pair + 1]
        for command in self.commands:
            arguments += [command] if isinstance(command, str) else [command[0], "--weight", command[1]]
        if self.refill:  # each key once at most
            arguments += ["-n", self.keys * 9 // 10]
        return arguments


NONE, ALWAYS = "redis-none", ("kelvin-always", "redis-always")
KIB = {"value": "1024", "keys": 200000}
KIB16 = {"value": "16384", "keys": 20000}
MIB = {"value": "1048576", "keys": 200}
MIX = [(GET, 80), (SET, 20)]

# The third column of figures: at least, at most. They are those of issue 4.
ROWS = {
    "get1": Row("GET -P 1", GET, 1, 1.0, 0.90, extra=NONE),
    "get16": Row("GET -P 16", GET, 16, 1.5, 0.65, extra=NONE),
    "get64": Row("GET -P 64", GET, 64, 2.0, 0.45, extra=NONE),
    "mget100": Row("MGET of 100", "MGET [key:{key}]*100", 1, 1.5, 0.75),
    "mixed1": Row("80 GET : 20 SET, Zipf, -P 1", MIX, 1, 1.1, order="zipf:0.99"),
    "mixed16": Row("80 GET : 20 SET, Zipf, -P 16", MIX, 16, 1.6, order="zipf:0.99"),
    "set1": Row("SET -P 1", SET, 1, 1.0, 0.85, extra=NONE),
    "set16": Row("SET -P 16", SET, 16, 1.7, 0.75, extra=NONE),
    "set64": Row("SET -P 64", SET, 64, 2.0, 0.70, extra=NONE),
    "mset10": Row("MSET of 10, -P 1", "MSET [key:{key} {value}]*10", 1, 1.5, 0.75),
    "mset10x16": Row("MSET of 10, -P 16", "MSET [key:{key} {value}]*10", 16, 1.5, 0.75),
    "mset100": Row("MSET of 100, -P 1", "MSET [key:{key} {value}]*100", 1, 1.5, 0.75),
    "mset100x16": Row("MSET of 100, -P 16", "MSET [key:{key} {value}]*100", 16, 1.5, 0.75),
    "rb-get1": Row("GET -P 1, redis-benchmark", GET, 1, 1.0, 0.90, benchmark=("get", 250000)),
    "rb-get16": Row("GET -P 16, redis-benchmark", GET, 16, 1.5, 0.65, benchmark=("get", 1500000)),
    "rb-set1": Row("SET -P 1, redis-benchmark", SET, 1, 1.0, 0.85, benchmark=("set", 250000)),
    "rb-set16": Row("SET -P 16, redis-benchmark", SET, 16, 1.7, 0.75, benchmark=("set", 1500000)),
    "setex16": Row("SETEX -P 16", "SETEX key:{key} 3600 {value}", 16, 1.5, 0.75),
    "incr16": Row("INCR -P 16", "INCR key:{key}", 16, 1.5, 0.75, fill="SET key:{key} 7"),
    "append16": Row("APPEND of 8 to 16 bytes, -P 16", "APPEND key:{key} {value:8}", 16, 1.5, 0.75,
                    fill="SET key:{key} {value:16}"),
    "del16": Row("DEL -P 16", "DEL key:{key}", 16, 1.5, 0.75, order="shuffled", refill=True),
    "get1k": Row("GET of 1 KiB", GET, 1, 1.3, 0.8, **KIB),
    "set1k": Row("SET of 1 KiB, -P 16", SET, 16, 1.3, 1.3, **KIB),
    "get16k": Row("GET of 16 KiB", GET, 1, 1.2, 0.9, **KIB16),
    "set16k": Row("SET of 16 KiB", SET, 1, 1.0, **KIB16),
    "get1m": Row("GET of 1 MiB", GET, 1, 1.1, 0.95, **MIB),
    "set1m": Row("SET of 1 MiB", SET, 1, 1.0, **MIB),
    "always50": Row("SET, always, 50 connections", SET, 1, 1.3, kinds=ALWAYS),
    "always500": Row("SET, always, 500 connections", SET, 1, 1.3, connections=500, kinds=ALWAYS),
}
HEAD = ("row", "work", "Kelvin, requests/s", "Redis, requests/s", "ratio", "spread", "at least", "met",
        "Kelvin, CPU us/request", "Redis, CPU us/request", "CPU ratio", "spread", "at most", "met",
        "Kelvin, p99 us", "Redis, p99 us")


def middle_and_spread(values):
    return statistics.median(values), min(values), max(values)


class Speed:
    """Holds the servers that several rows use one after the other."""

    def __init__(self, bench):
        self.bench, self.servers, self.data = bench, {}, None

    def close(self):
        for server in self.servers.values():
            server.remove()
        self.servers, self.data = {}, None

    def fill(self, row, server):
        server.run("FLUSHALL", "ASYNC")
        if row.fill:
            self.bench.generator.fill(server, row.keys, row.value, row.fill)

    def prepare(self, row):
        """All servers that the row needs are there and hold its data."""
        kinds = row.kinds + ((row.extra,) if row.extra else ())
        if self.servers and row.kinds[0] not in self.servers:
            self.close()
        changed = self.data != row.data()
        for kind in list(self.servers):
            if changed and kind not in kinds:
                self.servers.pop(kind).remove()
        for kind in kinds:
            if changed or kind not in self.servers:
                if kind not in self.servers:
                    self.servers[kind] = self.bench.server(kind)
                    self.servers[kind].start()
                if not row.refill:
                    self.fill(row, self.servers[kind])
        self.data = row.data()

    def one_run(self, name, row, server, pair):
        bench = self.bench
        if row.refill:
            self.fill(row, server)
        if row.benchmark:
            command, requests = row.benchmark
            requests = int(requests * bench.arguments.seconds / 2)

            def run():
                rate = bench.generator.redis_benchmark(server, "-t", command, "-P", row.pipeline, "-n", requests,
                                                       "-r", row.keys, "-d", row.value)
                return {"requests_per_second": rate, "requests": requests, "latency_us": {"p99": 0}}
        else:
            def run():
                return bench.generator.load(server, *row.arguments(bench.arguments.seconds, pair))
        result = bench.measure(server, "a run of " + name, run)
        result.pop("series", None)
        bench.commands[name] = bench.generator.last
        return result

    def row(self, name):
        """The cells of its line in the table, and (median, smallest, largest) of the ratios of rate and CPU."""
        row, bench = ROWS[name], self.bench
        self.prepare(row)
        kinds = list(row.kinds) + ([row.extra] if row.extra else [])
        runs = {kind: [] for kind in kinds}
        for pair in range(bench.arguments.pairs):
            # Who goes first changes, so that a machine that slows down hurts all alike.
            for kind in kinds if pair % 2 == 0 else reversed(kinds):
                runs[kind].append(self.one_run(name, row, self.servers[kind], pair))
            ours, theirs = runs[row.kinds[0]][-1], runs[row.kinds[1]][-1]
            say("%-10s pair %d of %d: kelvin %8.0f/s %6.2f us, redis %8.0f/s %6.2f us, ratio %.2f, CPU %.2f" % (
                name, pair + 1, bench.arguments.pairs, ours["requests_per_second"], ours["cpu_us_per_request"],
                theirs["requests_per_second"], theirs["cpu_us_per_request"],
                ours["requests_per_second"] / theirs["requests_per_second"],
                ours["cpu_us_per_request"] / max(1e-9, theirs["cpu_us_per_request"])))
        bench.raw[name] = runs
        return self.cells(name, row, runs)

    def cells(self, name, row, runs):
        def figures(kind, key):
            return [run[key] for run in runs[kind]]

        def ratios(key):
            return [a / max(1e-9, b) for a, b in zip(figures(row.kinds[0], key), figures(row.kinds[1], key))]

        def verdict(needed, met):
            return ["", ""] if needed is None else ["%.2f" % needed, "yes" if met else "**no**"]

        rate, cpu = middle_and_spread(ratios("requests_per_second")), middle_and_spread(ratios("cpu_us_per_request"))
        middle = statistics.median
        p99 = [middle([run["latency_us"]["p99"] for run in runs[kind]]) for kind in row.kinds]
        cells = [name, row.title] + ["%.0f" % middle(figures(k, "requests_per_second")) for k in row.kinds]
        cells += ["**%.2f**" % rate[0], "%.2f .. %.2f" % rate[1:]]
        cells += verdict(row.rate, not row.rate or rate[0] >= row.rate)
        cells += ["%.2f" % middle(figures(k, "cpu_us_per_request")) for k in row.kinds]
        cells += ["**%.2f**" % cpu[0], "%.2f .. %.2f" % cpu[1:]]
        cells += verdict(row.cpu, not row.cpu or cpu[0] <= row.cpu)
        cells += ["%.0f" % p if p else "" for p in p99]
        return cells, rate, cpu


def without_persistence(bench, names):
    """A table: Redis that keeps nothing, beside the other two."""
    middle = statistics.median
    lines = []
    for name in names:
        runs = bench.raw[name]
        if NONE not in runs:
            continue
        lines.append([name] + ["%.0f, %.2f us" % (middle(r["requests_per_second"] for r in runs[kind]),
                                                  middle(r["cpu_us_per_request"] for r in runs[kind]))
                               for kind in ("kelvin", "redis", NONE)])
    return lines


def plot(bench, names, figures):
    """Two pictures: the ratios of rates, those of CPU time."""
    for which, title, file in ((0, "Requests per second, Kelvin : Redis", "speed"),
                               (1, "CPU time per request, Kelvin : Redis", "cpu")):
        rows = []
        for name in names:
            row, (middle, low, high) = ROWS[name], figures[name][which]
            needed = (row.rate, row.cpu)[which]
            met = needed is None or (middle >= needed if which == 0 else middle <= needed)
            rows.append((row.title, middle, low, high, needed, met))
        note = ("right of 1: Kelvin is faster", "left of 1: Kelvin needs less")[which]
        bench.plots.append((file, svg.bars(
            title, "median of %d pairs, thin line: smallest to largest; %s" % (bench.arguments.pairs, note), rows, 1.0,
            "thick mark: what is aimed at; orange: missed; dashed: as Redis with the same appendfsync"), title))


def run(bench, names):
    """Sections of the report: (title, head, rows)."""
    speed, lines, figures = Speed(bench), [], {}
    for row in ROWS.values():
        row.keys = min(row.keys, bench.keys)
    try:
        for name in names:
            cells, rate, cpu = speed.row(name)
            lines.append(cells)
            figures[name] = (rate, cpu)
    finally:
        speed.close()
    plot(bench, names, figures)
    sections = [("Speed beside Redis", HEAD, lines)]
    peers = without_persistence(bench, names)
    if peers:
        sections.append(("Beside Redis without persistence", ("row", "Kelvin, everysec: requests/s, CPU",
                                                              "Redis, everysec", "Redis without persistence"), peers))
    return sections


__all__ = ["ROWS", "run"]
