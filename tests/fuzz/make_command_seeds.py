#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes seeds for tests/fuzz/command_fuzz.c: the sections of differential_cases.txt, and pieces of
the differential test's random stream.

    tests/fuzz/make_command_seeds.py FOLDER

For a long run: `command_fuzz LEARNED FOLDER`. What is in the tree is what fuzz/minimize.py left of
such runs."""
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

from differential import NO_REPLY, read_cases  # noqa: E402
from differential_stream import Stream  # noqa: E402
from raw_resp import encode  # noqa: E402

WHOLE, IN_PIECES = b"0", b"\x90"  # the first byte: how the target cuts the rest
SEEDS, COMMANDS, MOST_BYTES = 400, 12, 4000
BASE_MS = 4 * 10**12


def pieces(commands):
    """One connection's requests, in seeds of at most MOST_BYTES."""
    seed = b""
    for arguments in commands:
        request = encode(arguments)
        if len(request) > MOST_BYTES:
            continue
        if len(seed) + len(request) > MOST_BYTES:
            yield seed
            seed = b""
        seed += request
    yield seed


def seeds():
    cases = os.path.join(HERE, "..", "integration", "differential_cases.txt")
    for _, commands in read_cases(cases):
        requests = [a[1:] if a[0] == NO_REPLY else a for _, a in commands]
        yield from pieces(requests)
        yield from pieces([[b"HELLO", b"3"]] + requests)
    for number in range(SEEDS):
        stream = Stream(random.Random(number), BASE_MS)
        commands = [stream.next() for _ in range(COMMANDS)]
        if number % 4 == 0:
            commands = [[b"MULTI"]] + commands + [[b"EXEC"]]
        yield from pieces(commands)


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for number, seed in enumerate(seeds()):
        with open(os.path.join(folder, "%04d" % number), "wb") as file:
            file.write((IN_PIECES if number % 3 == 2 else WHOLE) + seed)


if __name__ == "__main__":
    main()
