#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""HyperLogLogs whose bytes somebody has changed, and hll-sparse-max-bytes: replies and bytes are those of
redis-server."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import expect, main, scaled, test  # noqa: E402

HEADER = b"HYLL\x01" + b"\x00" * 10 + b"\x80"
REGISTERS = 16384


class Pair:
    """redis-server and Kelvin; every reply must be the same."""

    def __init__(self, t):
        self.clients = [t.client(t.redis()), t.client(t.server())]
        self.said = []

    def forget(self):
        self.said = []
        for client in self.clients:
            client.run("FLUSHALL")

    def call(self, *arguments):
        self.said.append([a if not isinstance(a, bytes) else a.hex() for a in arguments[:8]])
        theirs, ours = (client.call(*arguments) for client in self.clients)
        expect(ours.raw, theirs.raw, "%.3000r" % self.said)
        return theirs

    def pipeline(self, commands):
        theirs, ours = ([str(r) for r in client.pipeline(commands)] for client in self.clients)
        for command, one, other in zip(commands, ours, theirs):
            expect(one, other, "%.500r" % command)


def ends_cut(value):
    """Whether the last run lacks its second byte. Redis then writes to the byte behind its string, and finds
    what it wrote there later on, as long as the string is not copied: no two PFADDs on such a one."""
    at = len(HEADER)
    while at < len(value):
        at += 2 if value[at] & 0xc0 == 0x40 else 1
    return at > len(value)


def zeros(length):
    return bytes([0x40 | (length - 1) >> 8, (length - 1) & 255])


def some_runs(rng):
    """Runs of all kinds, also in odd forms, that cover all registers or a few more."""
    out, left = bytearray(HEADER), REGISTERS
    while left > 0:
        kind = rng.random()
        if kind < 0.4:
            length = rng.randrange(1, 5)
            out.append(0x80 | rng.randrange(32) << 2 | (length - 1))
        elif kind < 0.6:
            length = rng.randrange(1, 65)
            out.append(length - 1)
        else:
            length = rng.randrange(1, rng.choice([2, 3, 65, 300, 2000]))
            out += zeros(length)
        left -= length
        if len(out) > 800 and left > 0:
            out += zeros(left)
            left = 0
    return bytes(out)


def damage(rng, value):
    value = bytearray(value)
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        kind, at = rng.randrange(6), rng.randrange(len(value)) if value else 0
        if kind <= 1 and value:
            value[at] = rng.randrange(256)
        elif kind == 2 and value:
            value[rng.randrange(min(len(value), 16))] = rng.choice([0, 1, 2, 127, 128, 255])
        elif kind == 3:
            value = value[:at]
        elif kind == 4:
            value += bytes(rng.randrange(256) for _ in range(rng.randrange(1, 6)))
        else:
            value = value[:-1]
    return bytes(value)


def steps_of(rng, cut):
    """A few commands on the keys a, b and c."""
    steps = []
    for _ in range(rng.randrange(1, 5)):
        kind = rng.randrange(5)
        if kind <= 1 and not cut:
            count = rng.choice([0, 1, 1, 3, 50])
            steps.append(["PFADD", "a"] + [rng.randrange(10 ** 9) for _ in range(count)])
        elif kind == 2:
            steps.append(["PFCOUNT", "a"])
        elif kind == 3:
            steps.append(["PFCOUNT", "a", "b"])
        else:
            steps.append(["PFMERGE"] + [rng.choice("abc") for _ in range(3)])
    return steps


@test
def every_byte_of_a_sparse_one_may_be_damaged(t):
    pair = Pair(t)
    pair.call("PFADD", "good", *range(12))
    good = pair.call("GET", "good").tree[1]
    pair.call("PFADD", "other", "x", "y")
    for at in range(len(good)):
        for byte in sorted({0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xff, good[at] ^ 1, good[at] ^ 0x80}):
            pair.pipeline([["SET", "k", good], ["SETRANGE", "k", at, bytes([byte])], ["PFCOUNT", "k"], ["PFADD", "k"],
                           ["PFCOUNT", "other", "k"], ["PFMERGE", "m", "other", "k"], ["PFMERGE", "k", "other"],
                           ["PFADD", "k", "z"], ["DEL", "k", "m"]])


@test
def every_length_of_a_sparse_and_a_dense_one_is_answered(t):
    pair = Pair(t)
    for count in (5, 5000):
        pair.call("DEL", "good")
        pair.call("PFADD", "good", *range(count))
        good = pair.call("GET", "good").tree[1]
        for size in list(range(0, min(len(good), 60))) + [len(good) - 1, len(good) + 1]:
            pair.pipeline([["SET", "k", (good + b"\x00")[:size]], ["PFCOUNT", "k"], ["PFCOUNT", "k", "good"],
                           ["PFMERGE", "m", "k"], ["PFADD", "k", "z"], ["DEL", "k", "m"]])


@test
def random_damage_gives_the_same_replies_and_bytes(t):
    seed = int(os.environ.get("HLL_SEED", 1))
    print("    seed %d" % seed, flush=True)
    rng, pair = random.Random(seed), Pair(t)
    for _ in range(scaled(1000, 200)):
        pair.forget()
        pair.call("CONFIG", "SET", "hll-sparse-max-bytes", rng.choice([3000, 3000, 3000, 0, 20, 100, 15000, 40000]))
        if rng.random() < 0.5:
            pair.call("PFADD", "a", *[rng.randrange(10 ** 9) for _ in range(rng.choice([0, 1, 5, 100, 900]))])
            values = [pair.call("GET", "a").tree[1], some_runs(rng)]
        else:
            values = [some_runs(rng), some_runs(rng)]
        for name in "ab":
            value = rng.choice(values)
            if rng.random() < 0.8:
                value = damage(rng, value)
            pair.call("SET", name, value)
            if name == "a":
                cut = ends_cut(value)
        for step in steps_of(rng, cut):
            # After an error Redis may have raised some of the registers.
            if pair.call(*step).is_error:
                break
        else:
            for name in "abc":
                pair.call("GET", name)


@test
def the_limit_of_the_sparse_form_is_an_option(t):
    pair = Pair(t)
    for value in (0, 19, 100, 12304, 20000, 2 ** 62):
        pair.forget()
        pair.call("CONFIG", "SET", "hll-sparse-max-bytes", value)
        pair.call("CONFIG", "GET", "hll-sparse-max-bytes")
        for start in range(0, 40000, 4000):
            pair.call("PFADD", "k", *range(start, start + 4000))
            pair.call("STRLEN", "k")
        pair.call("PFMERGE", "m", "k")
        for name in "km":
            pair.call("GET", name)
            pair.call("PFCOUNT", name)
    for value in (-1, "x"):
        pair.call("CONFIG", "SET", "hll-sparse-max-bytes", value)


main()
