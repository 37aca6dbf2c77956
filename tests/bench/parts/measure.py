# SPDX-License-Identifier: BSD-3-Clause
"""Servers for the benches, and what is measured of them: processor time of all their threads, bytes to
disk, memory; and the load generators. Standard library only."""
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
from harness import Client  # noqa: E402
from raw_resp import Disconnected  # noqa: E402
from servers import Server, die_with_parent, free_port  # noqa: E402

AOF = ["--appendonly", "yes", "--save", ""]
KINDS = {  # name: (which program, what it is called in tables, options)
    "kelvin": ("kelvin", "Kelvin", ["--appendfsync", "everysec"]),
    "kelvin-always": ("kelvin", "Kelvin, always", ["--appendfsync", "always"]),
    "redis": ("redis", "Redis", AOF + ["--appendfsync", "everysec"]),
    "redis-always": ("redis", "Redis, always", AOF + ["--appendfsync", "always"]),
    "redis-none": ("redis", "Redis without persistence", ["--appendonly", "no", "--save", ""]),
}
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
SETTLE_LIMIT_SECONDS = 120


def say(text):
    print("%s  %s" % (time.strftime("%H:%M:%S"), text), flush=True)


# ---- what /proc says -----------------------------------------------------------------------------

def cpu_us(pid):
    """User and system time of all threads, those that have ended and children that were waited for
    (Redis's rewrites) included."""
    with open("/proc/%d/stat" % pid, "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return sum(int(f) for f in fields[11:15]) * TICK_US


def proc_fields(path):
    with open(path, encoding="ascii") as file:
        return dict(line.split(":", 1) for line in file if ":" in line)


def status_mb(pid, name):
    return int(proc_fields("/proc/%d/status" % pid).get(name, "0").split()[0]) / 1024


def disk_bytes(pid):
    """Bytes that the process has sent to the disk or made dirty in files (mapped ones too)."""
    fields = proc_fields("/proc/%d/io" % pid)
    return int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])


def wake_ups(pid):
    """How often all threads together went to sleep."""
    tasks = os.listdir("/proc/%d/task" % pid)
    return sum(int(proc_fields("/proc/%d/task/%s/status" % (pid, t))["voluntary_ctxt_switches"]) for t in tasks)


# ---- a bound on memory ---------------------------------------------------------------------------

class MemoryGroup:
    """A cgroup that bounds what its processes hold, page cache included; v1 or v2. `folder` is None
    where none can be made: then nothing is bounded."""

    def __init__(self, megabytes):
        self.folder = None
        for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            folder = os.path.join(root, "kelvin-bench-%d" % os.getpid())
            try:
                os.mkdir(folder)
                with open(os.path.join(folder, limit), "w", encoding="ascii") as file:
                    file.write(str(megabytes << 20))
                self.folder = folder
                return
            except OSError:
                try:
                    os.rmdir(folder)
                except OSError:
                    pass

    def add(self, pid):
        if self.folder:
            with open(os.path.join(self.folder, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write(str(pid))

    def remove(self):
        for _ in range(100):
            try:
                if self.folder:
                    os.rmdir(self.folder)
                return
            except OSError:  # its last process is just ending
                time.sleep(0.05)


# ---- servers -------------------------------------------------------------------------------------

class BenchServer(Server):
    """Server.start waits until it is ready; spawn does not. `kind` is a key of KINDS."""

    def __init__(self, kind, binary, options, folder):
        program, self.title, own = KINDS[kind]
        command = ["redis-server"] if program == "redis" else [os.path.realpath(binary)]
        super().__init__(program, command, own + [str(o) for o in options])
        self.kind, self.group = kind, None
        if folder:
            shutil.rmtree(self.folder)
            self.folder = os.path.join(folder, os.path.basename(self.folder))
            os.makedirs(self.folder)
            self.log = os.path.join(self.folder, "output.log")

    @property
    def pid(self):
        return self.process.pid

    def spawn(self):
        self.port = free_port()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command + ["--port", str(self.port), "--dir", self.folder] + self.options,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)

    def start(self, timeout=600):
        super().start(timeout)
        if self.group:
            self.group.add(self.pid)

    def client(self):
        return Client(self.port, 600)

    def run(self, *command):
        client = self.client()
        try:
            return client.run(*command)
        finally:
            client.close()

    def info(self):
        client = self.client()
        try:
            return client.info()
        finally:
            client.close()

    def has_more_to_do(self):
        """Work that was put off: a rewrite of the AOF, journal that is not in LevelDB yet."""
        info = self.info()
        if info.get("aof_rewrite_in_progress") == "1" and self.name == "redis":
            return True
        if info.get("journal_appended_records", "0") == "0":
            return False  # nothing since its start; what was applied is not known yet
        return info["batchwriter_applied_sequence"] != info["journal_appended_sequence"]

    def wait_quiet(self):
        """Until it uses under 2% of a processor for half a second and has nothing more to do."""
        deadline, quiet = time.monotonic() + SETTLE_LIMIT_SECONDS, 0
        while quiet < 2 and time.monotonic() < deadline:
            before = cpu_us(self.pid)
            time.sleep(0.25)
            busy = cpu_us(self.pid) - before > 10000
            quiet = 0 if busy or self.has_more_to_do() else quiet + 1
        return quiet >= 2


# ---- load ----------------------------------------------------------------------------------------

class Generator:
    """The load generators, on this machine. Remembers the last command line, without its port."""

    def __init__(self, program):
        self.program = program
        self.last = ""

    def start(self, server, *arguments):
        """kelvin-load; give what comes back to `finish`."""
        arguments = [str(a) for a in arguments]
        self.last = "kelvin-load " + " ".join("'%s'" % a if " " in a else a for a in arguments)
        return subprocess.Popen([self.program, "-p", str(server.port), "-q", "-j"] + arguments,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)

    @staticmethod
    def finish(process):
        out, error = process.communicate()
        if process.returncode != 0:
            raise RuntimeError("kelvin-load: %s" % error[-500:])
        return json.loads(out)

    def load(self, server, *arguments):
        return self.finish(self.start(server, *arguments))

    def fill(self, server, keys, value=64, command="SET key:{key} {value}", order="sequential"):
        """Every key once; the result of kelvin-load."""
        result = self.load(server, "-f", "-o", order, "-k", keys, "-d", value, "--patience", 600, command)
        found = server.run("DBSIZE")
        if found < keys:
            raise RuntimeError("%s has %d keys instead of %d" % (server.title, found, keys))
        return result

    def redis_benchmark(self, server, *arguments):
        """Requests per second."""
        arguments = ["-c", "50", "--csv"] + [str(a) for a in arguments]
        self.last = "redis-benchmark " + " ".join(arguments)
        done = subprocess.run(["redis-benchmark", "-p", str(server.port)] + arguments, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith('"') and "rps" not in line]
        if done.returncode != 0 or not lines:
            raise RuntimeError("redis-benchmark: %s" % (done.stderr or done.stdout)[-300:])
        return float(lines[-1].split(",")[1].strip('"'))


class Bench:
    """What all rows share."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.generator = Generator(arguments.load)
        self.keys = 100000 if arguments.quick else 1000000  # in the rows that do not say how many
        self.notes = []      # what a reader must know about a figure
        self.commands = {}   # row: the load generator's command line
        self.raw = {}        # row: all figures, for the JSON file
        self.plots = []      # (file name, SVG text, what it shows)
        self.seed = 1        # of the draws; runs that must not repeat the last one's take the next

    def server(self, kind, *options):
        return BenchServer(kind, self.arguments.server, options, self.arguments.folder)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def settle(self, server, what):
        if not server.wait_quiet():
            self.note("%s was not quiet within %d s %s" % (server.title, SETTLE_LIMIT_SECONDS, what))

    def measure(self, server, what, run):
        """Calls run(), which gives a result of kelvin-load; adds CPU microseconds a request and bytes to disk,
        from its start until the server is quiet again."""
        self.settle(server, "before " + what)
        cpu, disk = cpu_us(server.pid), disk_bytes(server.pid)
        result = run()
        self.settle(server, "after " + what)
        result["cpu_us_per_request"] = (cpu_us(server.pid) - cpu) / max(1, result["requests"])
        result["disk_bytes"] = disk_bytes(server.pid) - disk
        return result


__all__ = ["Bench", "BenchServer", "Client", "Disconnected", "KINDS", "MemoryGroup", "cpu_us", "disk_bytes", "say",
           "status_mb", "wake_ups"]
