#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Real client libraries, each in its own program: hiredis, python3-redis, node's ioredis and redis. A
program's lines are shown as they are; its tests count one by one."""
import fcntl
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import main, test  # noqa: E402

CLIENTS = os.path.join(HERE, "..", "clients")
NODE = os.path.join(CLIENTS, "node")


def run_client(t, *command):
    server = t.new_server()
    path = os.path.join(server.folder, "socket")
    server.options += ["--unixsocket", path]
    server.start(90)
    done = subprocess.run([*command, str(server.port), path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=180, check=False)
    text = done.stdout.decode(errors="replace")
    for line in text.splitlines()[:-1]:
        print("    " + line)
    assert done.returncode == 0 and text.rstrip().endswith(", 0 failed"), (done.returncode, text[-300:])


@test
def hiredis(t):
    run_client(t, os.path.join(os.path.dirname(t.binary), "tests/clients/hiredis_client"))


@test
def python3_redis(t):
    run_client(t, "/usr/bin/python3", os.path.join(CLIENTS, "python_client.py"))


def install_node_packages():
    """npm ci, once; several runs may come at the same time."""
    stamp = os.path.join(NODE, "node_modules/.package-lock.json")
    lock = os.path.join(NODE, "package-lock.json")
    with open(lock, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not os.path.exists(stamp) or os.path.getmtime(stamp) < os.path.getmtime(lock):
            done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=NODE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=300, check=False)
            if done.returncode != 0:
                raise AssertionError("npm ci: " + done.stdout.decode(errors="replace")[-1000:])
            os.utime(stamp)


@test
def node_ioredis_and_redis(t):
    install_node_packages()
    run_client(t, "node", os.path.join(NODE, "clients.js"))


main()
