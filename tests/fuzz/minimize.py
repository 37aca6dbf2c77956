#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Chooses a small corpus from what long runs of a fuzz target have learned.

    tests/fuzz/minimize.py PROGRAM MOST_BYTES OUT FOLDER...

Takes inputs into the new folder OUT, each time the one that reaches most edges that no other has reached
for its size, until all are reached or OUT holds MOST_BYTES."""
import os
import subprocess
import sys
import tempfile

FEATURES_PER_EDGE = 8  # libFuzzer numbers an edge's features by how often it ran


def read_control(path):
    """{file: its edges}, from the control file of a merge."""
    edges = {}
    with open(path, encoding="utf-8") as lines:
        count = int(next(lines))
        next(lines)  # how many of them were there before the merge
        names = [next(lines).rstrip("\n") for _ in range(count)]
        for line in lines:
            words = line.split()
            if words and words[0] == "FT":
                edges[names[int(words[1])]] = {int(w) // FEATURES_PER_EDGE for w in words[2:]}
    return edges


def measure(program, folders):
    with tempfile.TemporaryDirectory() as scratch:
        control = os.path.join(scratch, "control")
        merged = os.path.join(scratch, "merged")
        os.mkdir(merged)
        subprocess.run([program, "-merge=1", "-merge_control_file=" + control, "-timeout=120", merged]
                       + folders, check=True, stderr=subprocess.DEVNULL)
        return read_control(control)


def choose(edges, most_bytes):
    """The chosen files, most useful first."""
    sizes = {name: os.path.getsize(name) + 16 for name in edges}
    reached, used, chosen = set(), 0, []
    while True:
        left = [n for n in edges if n not in chosen and used + sizes[n] <= most_bytes]
        best = max(left, key=lambda n: len(edges[n] - reached) / sizes[n], default=None)
        if best is None or not edges[best] - reached:
            break
        chosen.append(best)
        reached |= edges[best]
        used += sizes[best]
    print("%d of %d inputs, %d bytes, %d of %d edges" %
          (len(chosen), len(edges), used, len(reached), len(set().union(*edges.values()))))
    return chosen


def main():
    program, most_bytes, out, folders = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    edges = measure(program, folders)
    os.makedirs(out)
    for number, name in enumerate(choose(edges, most_bytes)):
        with open(name, "rb") as file, open(os.path.join(out, "%03d" % number), "wb") as copy:
            copy.write(file.read())


if __name__ == "__main__":
    main()
