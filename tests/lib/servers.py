# SPDX-License-Identifier: BSD-3-Clause
"""Starts and stops servers for tests, each with its own port and folder. Standard library only.

KELVIN_OPTIONS in the environment holds options for every Kelvin that a test starts; those that a test
gives itself come behind them and win."""
import ctypes
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from raw_resp import Connection, Disconnected


PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """In a child: no server outlives its test, not even one that was killed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def first_ephemeral_port():
    """From here on the kernel gives ports to outgoing connections, of other tests too."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
            first = int(file.read().split()[0])
    except OSError:
        first = 60000
    return first if 21000 <= first <= 60000 else 60000


def free_port():
    while True:
        port = random.SystemRandom().randrange(20000, first_ephemeral_port())
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Server:
    """A server process; `command` is its start of the command line."""

    def __init__(self, name, command, options=()):
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="kelvin-test-%s-" % name)
        self.log = os.path.join(self.folder, "output.log")
        self.command = list(command)
        self.options = list(options)
        self.process = None
        self.port, self.log_begin = 0, 0

    def start(self, timeout=30):
        """On a port of its own; another one when somebody was quicker."""
        for _ in range(5):
            try:
                self.start_once(timeout)
                return
            except RuntimeError:
                if self.is_alive() or not self.port_was_taken():
                    raise
        raise RuntimeError("no port is free")

    def port_was_taken(self):
        with open(self.log, "rb") as log:
            log.seek(self.log_begin)
            return b"ddress already in use" in log.read()

    def start_once(self, timeout):
        self.port = free_port()
        with open(self.log, "ab") as log:
            self.log_begin = log.tell()
            self.process = subprocess.Popen(
                self.command + ["--port", str(self.port), "--dir", self.folder] + self.options,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                connection = Connection(self.port)
                if "--requirepass" in self.options:
                    connection.call("AUTH", self.options[self.options.index("--requirepass") + 1])
                reply = connection.call("PING")
                connection.close()
                if not reply.is_error:
                    return
            except (OSError, Disconnected):
                pass
            time.sleep(0.02)
        raise RuntimeError("%s does not answer; its log ends with:\n%s" % (self.name, self.log_end()))

    def log_end(self, lines=30):
        with open(self.log, "rb") as log:
            return b"\n".join(log.read().splitlines()[-lines:]).decode(errors="replace")

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, signal_number=signal.SIGTERM, timeout=60):
        """Ends the process; returns its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process = None
        return status

    def restart(self, signal_number=signal.SIGTERM):
        self.stop(signal_number)
        self.start()

    def remove(self):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def redis_server(options=()):
    return Server("redis", ["redis-server", "--save", "", "--appendonly", "no", "--enable-debug-command",
                            "yes"], options)


def kelvin_server(binary="build/kelvin-server", options=()):
    given = shlex.split(os.environ.get("KELVIN_OPTIONS", ""))
    return Server("kelvin", [binary, "--enable-debug-command", "yes"] + given, options)
