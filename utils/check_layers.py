#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks the house rules that no compiler knows; part of `make lint`.

  * #include arrows between the layers of src/ run one way
  * a library is seen only where it belongs (LevelDB, xxHash, libevent, OpenSSL, zlib)
  * no file over 800 lines
  * an SPDX line at the top of every source, test and script

Usage: utils/check_layers.py [ROOT]      Prints FILE:LINE: what, exits with 1 if anything.
"""
import os
import re
import sys

# What a layer may include, besides itself.
ARROWS = {
    "base": set(),
    "protocol": {"base"},
    "storage": {"base"},
    "commands": {"storage", "protocol", "base"},
    "net": {"commands", "storage", "protocol", "base"},
    "server": {"net", "commands", "storage", "protocol", "base"},
}

# Header of a library -> the files that may include it.
LIBRARIES = [
    (re.compile(r"leveldb/"), re.compile(r"src/storage/(engine[^/]*\.c|leveldb_env\.(cc|h))$")),
    (re.compile(r"xxh(ash|3|_)"), re.compile(r"src/base/hash\.c$")),
    (re.compile(r"(event2/|event\.h|evhttp\.h|evutil\.h)"), re.compile(r"src/net/")),
    (re.compile(r"openssl/"), re.compile(r"src/base/digest\.c$")),
    (re.compile(r"zlib\.h"), re.compile(r"src/net/http")),
    (re.compile(r"jemalloc/"), re.compile(r"src/base/memory\.c$")),
]

MAX_LINES = 800
SOURCE = (".c", ".cc", ".h")
WITH_SPDX = SOURCE + (".sh", ".py", ".js")
SKIP = {".git", "build", "data", "node_modules", "__pycache__", ".ci"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def files(root):
    for folder, names, entries in os.walk(root):
        names[:] = sorted(n for n in names if n not in SKIP)
        for entry in sorted(entries):
            yield os.path.relpath(os.path.join(folder, entry), root)


def check_includes(path, lines):
    layer = path.split("/")[1]
    if layer not in ARROWS:
        yield 1, f"src/{layer} is not a layer"
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(1)
        target = header.split("/")[0]
        if target in ARROWS and target != layer and target not in ARROWS[layer]:
            yield number, f"{layer} must not include {header}"
        if line.lstrip().startswith("#include \"") and target not in ARROWS:
            yield number, f'write the layer: #include "{layer}/{header}"'
        for library, allowed in LIBRARIES:
            if library.match(header) and not allowed.search(path):
                yield number, f"{header} has no place in this file"


def check_file(root, path):
    if not path.endswith(WITH_SPDX) and os.path.basename(path) != "Makefile":
        return
    with open(os.path.join(root, path), encoding="utf-8") as file:
        lines = file.read().split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    if not any("SPDX-License-Identifier: BSD-3-Clause" in line for line in lines[:3]):
        yield 1, "no SPDX-License-Identifier in the first lines"
    if path.endswith(WITH_SPDX) and len(lines) > MAX_LINES:
        yield len(lines), f"{len(lines)} lines; {MAX_LINES} are allowed"
    if path.startswith("src/") and path.endswith(SOURCE):
        if path.count("/") < 2:
            yield 1, "a source belongs in a layer's folder"
        else:
            yield from check_includes(path, lines)


def main():
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    root = sys.argv[1] if len(sys.argv) > 1 else default
    found = 0
    for path in files(root):
        for number, what in check_file(root, path):
            print(f"{path}:{number}: {what}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
