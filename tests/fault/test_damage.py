#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Damage of a stopped server's files: bytes flipped, files cut short, removed, swapped, zeroed, folders gone. The start,
or the read that meets the damage, either gives exactly what was acknowledged, or refuses and names the place.
Never wrong data, never a crash. A sample, and in the long form each byte of the small files;
FAULT_DAMAGE=every flips each used byte of all."""
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import Client, expect, main, scaled, test  # noqa: E402
from load import Lost  # noqa: E402
from attack import note_seed  # noqa: E402

OPTIONS = ("--journal-segment-size", 65536, "--journal-prepared-segments", 1, "--disk-reserve", 0, "--leveldb-write-buffer",
           65536, "--leveldb-table-size", "1mb", "--batch-writer-delay", 3600000, "--io-job-threads", 2, "--shutdown-timeout", 1)
EVERY = os.environ.get("FAULT_DAMAGE") == "every"


class Image:
    """A folder as kill -9 left it, with records in tables, in the MANIFEST and in two journal segments."""

    def __init__(self, t):
        self.t, self.data = t, {}
        server = t.server(*OPTIONS)
        client = t.client(server)
        for part in range(2):
            self.write(client, part, 60)
            expect(client.run("CHECKPOINT"), b"OK")
        self.write(client, 2, 30)
        server.stop(signal.SIGKILL)
        self.folder = tempfile.mkdtemp(prefix="kelvin-test-image-")
        for name in ("journal", "store"):
            shutil.copytree(os.path.join(server.folder, name), os.path.join(self.folder, name))
        self.files = sorted(os.path.relpath(os.path.join(base, name), self.folder)
                            for base, _, names in os.walk(self.folder) for name in names)
        self.used = {name: self.used_bytes(name) for name in self.files}

    def write(self, client, part, count):
        for i in range(count):
            key = b"key:%d" % random.randrange(100)
            if random.random() < 0.15:
                client.run("DEL", key)
                self.data.pop(key, None)
                continue
            value = random.randbytes(random.choice((5, 40, 1500 if part == 2 else 200)))
            client.run("SET", key, value)
            self.data[key] = value
        if part < 2:  # an object in chunks
            self.data[b"big"] = b"%d" % part * 70000
            client.run("SET", "big", self.data[b"big"])
            client.run("SETEX", "timed", 100000, "t%d" % part)
            self.data[b"timed"] = b"t%d" % part

    def used_bytes(self, name):
        """Up to where it is not all zeroes."""
        return len(self.read(name).rstrip(b"\0"))

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def remove(self):
        shutil.rmtree(self.folder)


class Case:
    """One damage of a copy of the image."""

    def __init__(self, image, what, names, change):
        self.image, self.what, self.names, self.change = image, what, names, change

    def run(self, t):
        """Gives "served", "errors" (reads that met it) or "refused"."""
        server = t.new_server(*OPTIONS)
        for name in ("journal", "store"):
            shutil.copytree(os.path.join(self.image.folder, name), os.path.join(server.folder, name))
        self.change(server.folder)
        try:
            verdict = self.judge(server)
        except Exception as error:
            raise Lost("%s: %s\n%s" % (self.what, error, server.log_end(12))) from error
        finally:
            server.remove()
            t.servers.remove(server)
        return verdict

    def judge(self, server):
        try:
            server.start(120)
        except RuntimeError:
            return self.judge_refusal(server)
        client = Client(server.port, 120)
        wrong = self.compare(client)
        errors = [e for e in wrong if isinstance(e, Client.Error)]
        wrong = [e for e in wrong if not isinstance(e, Client.Error)]
        if wrong:
            raise Lost("wrong data: %.500s" % wrong[:3])
        expect(client.run("PING"), b"PONG")
        client.close()
        for error in errors:
            self.expect_named(str(error))
        if not server.is_alive():
            raise Lost("it died")
        status = server.stop(signal.SIGKILL if errors else signal.SIGTERM)
        if status != 0 and not errors:
            raise Lost("it ended with status %s" % status)
        return "errors" if errors else "served"

    def compare(self, client):
        """What differs, as errors or as texts."""
        data, found = self.image.data, []
        names = sorted(data) + [b"key:%d" % i for i in range(100) if b"key:%d" % i not in data]
        for name, value in zip(names, client.pipeline([("GET", name) for name in names])):
            if isinstance(value, Client.Error):
                found.append(value)
            elif value != data.get(name):
                found.append("%r is %.60r, wanted %.60r" % (name, value, data.get(name)))
        for wanted, function in ((len(data), lambda: client.run("DBSIZE")), (sorted(data), lambda: sorted(client.scan()))):
            try:
                got = function()
                if got != wanted:
                    found.append("%.200r, wanted %.200r" % (got, wanted))
            except Client.Error as error:
                found.append(error)
        return found

    def judge_refusal(self, server):
        status = server.process.wait(60)
        if status != 1:
            raise Lost("the start ended with status %s" % status)
        self.expect_named(server.log_end(3))
        return "refused"

    def expect_named(self, text):
        """The file, or a folder that it is in: what is missing has no place."""
        places = {name for one in self.names for name in (one, os.path.dirname(one), one.split("/")[0])} - {""}
        if not any(place in text for place in places):
            raise Lost("%s is not named: %s" % (self.names, text))
        if not any(word in text for word in ("kelvin-check", "repair", "ring ")):
            raise Lost("nothing says what to do: %s" % text)


def path(folder, name):
    return os.path.join(folder, name)


def rewrite(name, function):
    """A change of one file's bytes."""
    def change(folder):
        with open(path(folder, name), "r+b") as file:
            content = bytearray(file.read())
            content = function(content)
            file.seek(0)
            file.truncate()
            file.write(content)
    return change


def flip(image, name, at, bits):
    def function(content):
        content[at] ^= bits
        return content
    return Case(image, "byte %d of %s, bits %#x flipped" % (at, name, bits), [name], rewrite(name, function))


def cut_short(image, name, size):
    return Case(image, "%s cut to %d bytes" % (name, size), [name], rewrite(name, lambda content: content[:size]))


def zero(image, name, at, size):
    def function(content):
        content[at:at + size] = bytes(len(content[at:at + size]))
        return content
    return Case(image, "%d bytes from %d on of %s zeroed" % (size, at, name), [name], rewrite(name, function))


def remove(image, name):
    return Case(image, "%s removed" % name, [name], lambda folder: os.unlink(path(folder, name)))


def swap(image, one, two):
    def change(folder):
        os.rename(path(folder, one), path(folder, "aside"))
        os.rename(path(folder, two), path(folder, one))
        os.rename(path(folder, "aside"), path(folder, two))
    return Case(image, "%s and %s swapped" % (one, two), [one, two], change)


def remove_folder(image, name):
    return Case(image, "the folder %s removed" % name, [name, os.path.dirname(name) or name],
                lambda folder: shutil.rmtree(path(folder, name)))


def run_all(t, cases):
    verdicts = collections.Counter()
    for case in cases:
        began = time.monotonic()
        verdict = case.run(t)
        verdicts[verdict] += 1
        if time.monotonic() - began > 2:
            print("    %s: %s after %.1f s" % (case.what, verdict, time.monotonic() - began), flush=True)
    print("    %d cases: %s" % (sum(verdicts.values()), dict(verdicts)), flush=True)


def with_image(t, make_cases):
    seed = note_seed()
    random.seed(seed)
    image = Image(t)
    try:
        run_all(t, make_cases(image))
    finally:
        image.remove()


@test
def flipped_bits(t):
    def cases(image):
        used = [(name, at) for name in image.files for at in range(image.used[name])]
        print("    %d used bytes in %d files" % (len(used), len(image.files)))
        if not EVERY:  # all of the small files, some of the others
            used = [(name, at) for name in image.files for at in
                    (range(image.used[name]) if image.used[name] < scaled(600, 1) else
                     random.choices(range(image.used[name]), k=scaled(150, 2)))]
        for name, at in used:
            yield flip(image, name, at, 1 << random.randrange(8))
    with_image(t, cases)


@test
def files_cut_short_and_zeroed(t):
    def cases(image):
        for name in image.files:
            for _ in range(scaled(15, 1)):
                yield cut_short(image, name, random.randrange(max(1, image.used[name])))
                at = random.randrange(max(1, image.used[name]))
                yield zero(image, name, at // 512 * 512, random.choice((512, 4096)))
            yield zero(image, name, 0, 1 << 30)
    with_image(t, cases)


@test
def files_and_folders_removed_and_swapped(t):
    def cases(image):
        for name in image.files:
            yield remove(image, name)
        # Tables of one size that change places cannot be told apart: tests/README.md.
        pairs = [(a, b) for a in image.files for b in image.files if a < b and os.path.dirname(a) == os.path.dirname(b) and
                 not (a.endswith(".ldb") and len(image.read(a)) == len(image.read(b)))]
        for pair in pairs if scaled(True, False) else random.sample(pairs, 5):
            yield swap(image, *pair)
        data = os.path.dirname(next(name for name in image.files if "MANIFEST" in name))
        for name in ("journal", "store", data):
            yield remove_folder(image, name)
    with_image(t, cases)


main()
