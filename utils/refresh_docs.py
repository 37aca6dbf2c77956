#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes what the documents have from the server's tables: the list of commands between the two marker lines
of README.md, and redis.conf.example.

    utils/refresh_docs.py build/kelvin-server [--check]

--check changes nothing and ends with 1 when something is out of date."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BEGIN, END = "<!-- commands: begin -->", "<!-- commands: end -->"


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def between(text, begin, end, content):
    """`text` with `content` between two marker lines that are in it once each."""
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError("README.md: %s and %s must be there once each" % (begin, end))
    head, rest = text.split(begin)
    return "%s%s\n\n%s\n\n%s%s" % (head, begin, content.strip("\n"), end, rest.split(end)[1])


def documents(server, root=ROOT):
    """Path -> (what it holds, what it should hold)."""
    def ask(option):
        return subprocess.run([server, option], check=True, capture_output=True, text=True).stdout

    readme, manual = os.path.join(root, "README.md"), os.path.join(root, "redis.conf.example")
    text = read(readme)
    return {readme: (text, between(text, BEGIN, END, ask("--commands-page"))),
            manual: (read(manual), ask("--print-config"))}


def main():
    if len(sys.argv) not in (2, 3) or (len(sys.argv) == 3 and sys.argv[2] != "--check"):
        sys.exit(__doc__)
    stale = [(path, wanted) for path, (found, wanted) in documents(sys.argv[1]).items() if found != wanted]
    for path, wanted in stale:
        if len(sys.argv) == 3:
            print("%s is out of date: make docs" % os.path.relpath(path, ROOT))
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(wanted)
            print("written: %s" % os.path.relpath(path, ROOT))
    return 1 if stale and len(sys.argv) == 3 else 0


if __name__ == "__main__":
    sys.exit(main())
