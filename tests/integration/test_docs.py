#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""README.md and redis.conf.example: up to date with the server's tables, and its examples run."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(ROOT, "utils")]
from harness import Skip, expect, main, test  # noqa: E402
import refresh_docs  # noqa: E402

NODE_FOLDER = os.path.join(ROOT, "tests", "clients", "node")


def readme():
    return refresh_docs.read(os.path.join(ROOT, "README.md"))


def example(language):
    """The first fenced block of README in that language."""
    found = re.search(r"^```%s\n(.*?)^```" % language, readme(), re.M | re.S)
    if not found:
        raise AssertionError("README.md has no example in %s" % language)
    return found.group(1)


def run(command, text, port, folder=None):
    """Runs an example with our port instead of the usual one."""
    expect(text.count("6379"), 1, "ports in the example")
    done = subprocess.run(command, input=text.replace("6379", str(port)), text=True, capture_output=True,
                          timeout=60, cwd=folder, check=False)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (command[0], done.stderr[-500:]))
    return done.stdout


@test
def the_list_of_commands_and_the_example_configuration_are_up_to_date(t):
    for path, (found, wanted) in refresh_docs.documents(os.path.realpath(t.binary)).items():
        if found != wanted:
            raise AssertionError("%s is out of date: make docs" % os.path.relpath(path, ROOT))


@test
def the_example_configuration_starts_a_server_and_changes_no_default(t):
    plain = t.client(t.server())
    server = t.new_server()
    server.command.insert(1, os.path.join(ROOT, "redis.conf.example"))
    server.start()
    own = {b"port", b"dir", b"pidfile", b"logfile"}

    def settings(client):
        pairs = client.run("CONFIG", "GET", "*")
        return {k: v for k, v in zip(pairs[::2], pairs[1::2]) if k not in own}

    expect(settings(t.client(server)), settings(plain), "CONFIG GET *")


@test
def every_command_in_the_list_is_known(t):
    client = t.client(t.server())
    names = re.findall(r"^\| `([A-Z]+)[^`]*` \|", readme().split(refresh_docs.BEGIN)[1], re.M)
    if len(names) < 100:
        raise AssertionError("only %d commands in the list" % len(names))
    for name, row in zip(names, client.run("COMMAND", "INFO", *names)):
        if row is None:
            raise AssertionError("%s is not known" % name)


@test
def the_python_example_runs(t):
    server = t.server()
    output = run([sys.executable, "-"], example("python"), server.port)
    expect(output, "b'Ada' b'1'\n", "output")


@test
def the_node_example_runs(t):
    if not os.path.isdir(os.path.join(NODE_FOLDER, "node_modules", "redis")):
        raise Skip("tests/clients/node has no packages: npm ci --prefix tests/clients/node")
    server = t.server()
    output = run(["node", "-"], example("js"), server.port, NODE_FOLDER)
    expect(output, "Ada\n", "output")


@test
def every_option_that_readme_names_exists(t):
    client = t.client(t.server())
    tuning = readme().split("### Tuning")[1].split("## How it works")[0]
    names = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)\b", tuning)) - {"kelvin-server"}
    for name in sorted(names):
        if not client.run("CONFIG", "GET", name):
            raise AssertionError("there is no option %s" % name)


main()
