#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""kelvin-check: what is whole is found whole, whatever a crash left; what is damaged is named, nothing is changed
before it is told to; and after a repair the server serves what the model says or nothing, and what it does not serve was
reported."""
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import expect, main, scaled, test, wait_until  # noqa: E402
from load import Worker  # noqa: E402

SMALL = ("--leveldb-table-size", "1mb", "--leveldb-write-buffer", 65536, "--leveldb-block-size", 1024,
         "--leveldb-compression", "no", "--journal-segment-size", 131072, "--disk-reserve", 0,
         "--cache-hot-percent", 50)
KEYS = scaled(6000, 2500)
LATER = 4000000000000  # ms: not in this test's life


# --- running it ---

def check(t, folder, *options):
    """Exit code and lines."""
    program = os.path.join(os.path.dirname(t.binary), "kelvin-check")
    result = subprocess.run([program, *options, folder], capture_output=True, timeout=300, check=False)
    text = (result.stdout + result.stderr).decode()
    assert result.returncode in (0, 1, 2), (result.returncode, text)
    assert "Sanitizer" not in text, text
    return result.returncode, text.splitlines()


def checksums(folder):
    sums = {}
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "rb") as file:
                sums[os.path.join(path, name)] = hashlib.sha1(file.read()).hexdigest()
    return sums


def check_unchanged(t, folder):
    before = checksums(folder)
    result = check(t, folder)
    expect(checksums(folder), before, "files after the check")
    return result


def expect_clean(t, server):
    code, lines = check_unchanged(t, server.folder)
    assert code == 0 and lines[-1].endswith("no damage found"), lines
    assert not [line for line in lines if line.startswith(("damage", "lost"))], lines


# --- a store of all kinds, and what is in it ---

def fill(client, model, seed):
    """Keys of each kind in databases 0, 3 and 5, changed and deleted in a second round."""
    chance = random.Random(seed)
    commands = []

    def run(database, *command):
        commands.append(command)

    run(0, "SWAPDB", 3, 5)
    for database in (0, 5):
        run(database, "SELECT", database)
        keys = model.setdefault(database, {})
        for i in range(KEYS if database == 0 else KEYS // 10):
            key, value = b"key:%05d" % i, b"first-%d-" % i * 6
            keys[key] = value
            run(database, *(("SET", key, value) if i % 3 else ("SET", key, value, "PXAT", LATER + i)))
        for i in range(12):
            key, value = b"big:%d" % i, bytes([65 + i]) * (70000 + i * 9000)
            keys[key] = value
            run(database, "SET", key, value)
        client.pipeline(commands)
        commands.clear()
        client.run("CHECKPOINT")
    for database in (0, 5):
        run(database, "SELECT", database)
        keys = model[database]
        for key in sorted(keys):
            what = chance.randrange(8)
            if key.startswith(b"big") and what < 4:
                run(database, "SETRANGE", key, 20000, b"changed")
                keys[key] = keys[key][:20000] + b"changed" + keys[key][20007:]
            elif what == 0:
                run(database, "DEL", key)
                del keys[key]
            elif what == 1:
                keys[key] = b"second-" + key * 8
                run(database, "SET", key, keys[key])
            elif what == 2:
                run(database, "APPEND", key, b"more")
                keys[key] += b"more"
    run(0, "SETRANGE", b"sparse", 200000, b"end")
    model[5][b"sparse"] = bytes(200000) + b"end"
    run(0, "SELECT", 7)
    for i in range(300):
        run(7, "SET", b"gone:%d" % i, b"x" * 1000)
    run(7, "FLUSHDB")
    run(7, "SELECT", 0)
    for reply in client.pipeline(commands):
        assert not isinstance(reply, Exception), reply


def served(client, database):
    client.run("SELECT", database)
    keys = client.scan()
    return dict(zip(keys, client.pipeline([("GET", key) for key in keys])))


def template(t, seed=1, stop=signal.SIGKILL):
    server, model = t.server(*SMALL), {}
    client = t.client(server)
    fill(client, model, seed)
    client.run("CHECKPOINT")
    client.close()
    server.stop(stop)
    UNUSED.clear()
    for line in check(t, server.folder)[1]:
        UNUSED.update(re.findall(r"/(\w+\.ldb) is not in use", line))
    return server, model


def copy_of(t, server):
    """Another server on a copy of its folder; not started."""
    copy = t.new_server(*SMALL)
    for name in ("store", "journal", "LOCK"):
        source, target = os.path.join(server.folder, name), os.path.join(copy.folder, name)
        if os.path.isdir(source):
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    return copy


def data_folder(server):
    with open(os.path.join(server.folder, "store", "CURRENT"), encoding="ascii") as current:
        return os.path.join(server.folder, "store", current.read().strip())


UNUSED = set()  # names of tables of the template that LevelDB has left behind


def tables(server):
    folder = data_folder(server)
    return sorted(os.path.join(folder, n) for n in os.listdir(folder)
                  if n.endswith(".ldb") and n not in UNUSED)


def flip(path, offset, size=1):
    with open(path, "r+b") as file:
        file.seek(offset)
        old = file.read(size)
        file.seek(offset)
        file.write(bytes(byte ^ 0x5A for byte in old))


# --- what it says is lost ---

ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "a": b"\a", "b": b"\b", '"': b'"', "\\": b"\\"}
QUOTED = r'"((?:[^"\\]|\\.)*)"'


def unquoted(text):
    return b"".join(bytes([int(hexa, 16)]) if hexa else ESCAPES[escape] if escape else plain.encode()
                    for hexa, escape, plain in re.findall(r"\\x(..)|\\(.)|([^\\]+)", text))


def record_name(text):
    """The bytes in LevelDB of what the check calls it."""
    def number(pattern):
        return [int(group) for group in re.match(pattern, text).groups()]

    if text.startswith("key "):
        key, database = re.match("key " + QUOTED + r" of database id (\d+)", text).groups()
        return b"K" + int(database).to_bytes(8, "big") + unquoted(key)
    if text.startswith("chunk"):
        index, object_id = number(r"chunk (\d+) of object (\d+)")
        return b"E" + object_id.to_bytes(8, "big") + index.to_bytes(4, "big")
    if text.startswith("expiry"):
        at, key, database = re.match(r"expiry \((\d+)\) of key " + QUOTED + r" of database id (\d+)",
                                     text).groups()
        return b"X" + int(at).to_bytes(8, "big") + int(database).to_bytes(8, "big") + unquoted(key)
    if text.startswith("garbage"):
        return b"G"
    if text.startswith("record"):
        return unquoted(re.match("record " + QUOTED, text).group(1))
    return b"M"


def losses(lines):
    """Named keys by database, and ranges of names of records that cannot be read."""
    named, ranges = {}, []
    for line in lines:
        match = re.match("lost: key " + QUOTED + r" of database (\d+):", line)
        if match:
            named.setdefault(int(match.group(2)), set()).add(unquoted(match.group(1)))
        match = re.search(r": records (?:after|from) (.*?)(?: on)? (?:before|up to) (.*)$", line)
        if match:
            ranges.append((record_name(match.group(1)), record_name(match.group(2))))
    return named, ranges


# What database means what id in the template.
IDS = {0: 1, 5: 4}


def compare(t, server, model, lines):
    """Everything that is served is right; all that is not was said; gives how many keys are gone."""
    named, ranges = losses(lines)
    server.start()
    client = t.client(server)
    total = 0
    for database, keys in model.items():
        now = served(client, database)
        if not now and database == 5 and any("map of databases" in line for line in lines):
            now = served(client, 3)  # the number that it had before the swap: said to be uncertain
            named.setdefault(5, set()).update(named.get(3, set()))
        expect(client.run("DBSIZE"), len(now), "DBSIZE")
        wrong = [key for key, value in now.items() if keys.get(key) != value]
        assert not wrong, ("served, but wrong", database, wrong[:5])
        gone = set(keys) - set(now)
        for key in gone - named.get(database, set()):
            name = b"K" + IDS[database].to_bytes(8, "big") + key
            assert any(first <= name <= last for first, last in ranges), ("not reported", database, key)
        assert not named.get(database, set()) & set(now), "named as lost, but served"
        told = [line for line in lines if line.startswith("damage: database %d:" % database)]
        some = any(line.startswith("damage: counts cannot be read") for line in lines)
        assert told or some or gone <= named.get(database, set()), ("no count is told", database, len(gone))
        if told and "journal brings" not in told[0]:
            expect(int(re.search(r"(\d+) can be served", told[0]).group(1)), len(now), told[0])
        total += len(gone)
    client.run("SELECT", 7)
    expect(client.run("DBSIZE"), 0, "a flushed database")
    expect(client.run("SET", "after", "repair"), b"OK")
    client.close()
    expect(server.stop(), 0, "exit status")
    expect_clean(t, server)
    return total


def hurt_and_repair(t, source, model, hurt, name):
    """`hurt` damages a copy; the check names it, changes nothing; the repair makes it serve. Gives how many keys are gone."""
    server = copy_of(t, source)
    hurt(server)
    code, lines = check_unchanged(t, server.folder)
    expect(code, 1, "exit code of %r" % lines)
    assert any(name in line for line in lines if line.startswith("damage")), (name, lines[:10])
    copy = server.folder + "-copy"
    try:
        before = checksums(server.folder)
        code, lines = check(t, server.folder, "--repair", "--copy-to", copy)
        assert code == 0 and lines[-1].endswith("no damage found"), lines
        expect({path.replace(copy, server.folder): s for path, s in checksums(copy).items()}, before,
               "the copy")
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    expect_clean(t, server)
    gone = compare(t, server, model, lines)
    server.remove()
    return gone


# --- whole stores ---

@test
def an_empty_store_and_one_of_all_kinds_are_clean(t):
    server = t.server(*SMALL)
    server.stop()
    expect_clean(t, server)
    server, _ = template(t, stop=signal.SIGTERM)
    expect_clean(t, server)
    server, _ = template(t)
    expect_clean(t, server)


@test
def a_store_that_was_killed_under_load_is_clean(t):
    server = t.server(*SMALL, "--journal-max-size", "1mb")
    seed = random.SystemRandom().randrange(10**9)
    print("    seed %d" % seed)
    workers = [Worker(database, seed + database) for database in range(3)]
    for _ in range(scaled(6, 3)):
        for worker in workers:
            worker.port = server.port
            worker.start()
        time.sleep(0.2 + random.random() * 0.7)
        server.stop(signal.SIGKILL)
        for worker in workers:
            worker.finish()
        expect_clean(t, server)
        server.start(90)
        client = t.client(server)
        for worker in workers:
            worker.settle(client)
        workers = [worker.again() for worker in workers]


@test
def what_is_not_yet_removed_is_no_damage(t):
    server = t.server(*SMALL)
    client = t.client(server)
    for database in (0, 1):
        client.run("SELECT", database)
        client.pipeline([("SET", "big:%d" % i, b"x" * 100000) for i in range(60)])
        client.pipeline([("SET", "k%d" % i, "v", "EX", 10000) for i in range(3000)])
    client.run("CHECKPOINT")
    client.pipeline([("DEL", *["big:%d" % i for i in range(60)]), ("FLUSHDB",), ("SWAPDB", 0, 4)])
    server.stop(signal.SIGKILL)
    expect_clean(t, server)
    server.start()
    t.client(server).run("FLUSHALL")
    server.stop(signal.SIGKILL)
    expect_clean(t, server)


@test
def a_running_server_is_left_alone(t):
    server = t.server(*SMALL)
    for options in ((), ("--repair",)):
        code, lines = check(t, server.folder, *options)
        expect(code, 2, "exit code")
        assert "server is running" in lines[-1], lines
    expect(t.client(server).run("PING"), b"PONG")
    server.stop()
    before = checksums(server.folder)
    expect(check(t, server.folder, "--repair")[0], 0, "exit code")
    expect(checksums(server.folder), before, "nothing was to be repaired")
    expect(check(t, server.folder + "-not-there")[0], 2, "exit code")
    expect(check(t, os.path.join(server.folder, "store"))[0], 2, "exit code")


# --- damage in LevelDB's files ---

@test
def flipped_bytes_of_tables_are_found_and_what_is_lost_is_said(t):
    source, model = template(t, stop=signal.SIGTERM)
    chance = random.Random(7)
    total = 0
    for _ in range(scaled(14, 5)):
        total += hurt_and_repair(t, source, model, lambda server: flip_in_table(server, chance),
                                 os.path.sep)
    print("    %d keys gone in all" % total)


def flip_in_table(server, chance):
    path = chance.choice(tables(server))
    # Not in the 40 bytes at the end, of which not all are used.
    flip(path, chance.randrange(os.path.getsize(path) - 48))


@test
def a_table_without_its_end_costs_nothing_and_one_cut_in_half_its_end(t):
    source, model = template(t, stop=signal.SIGTERM)
    for number in range(scaled(4, 2)):
        def cut(server, number=number):
            path = tables(server)[number % len(tables(server))]
            os.truncate(path, os.path.getsize(path) - 100)
        expect(hurt_and_repair(t, source, model, cut, ".ldb"), 0, "keys gone")

    def cut_in_half(server):
        path = max(tables(server), key=os.path.getsize)
        os.truncate(path, os.path.getsize(path) // 2)
    hurt_and_repair(t, source, model, cut_in_half, ".ldb")


@test
def zeros_in_the_place_of_a_table_or_a_part_are_found(t):
    source, model = template(t, stop=signal.SIGTERM)

    def wipe(server, part):
        path = max(tables(server), key=os.path.getsize)
        size = os.path.getsize(path)
        with open(path, "r+b") as file:
            file.seek(0 if part == 1 else size // 3)
            file.write(bytes(int(size * part)))
    for part in (1, 0.1):
        hurt_and_repair(t, source, model, lambda server, p=part: wipe(server, p), ".ldb")


@test
def a_missing_table_is_found(t):
    source, model = template(t, stop=signal.SIGTERM)
    for number in range(len(tables(source))):
        hurt_and_repair(t, source, model, lambda server, n=number: os.unlink(tables(server)[n]), ".ldb")


@test
def a_damaged_manifest_or_pointer_costs_nothing(t):
    source, model = template(t, stop=signal.SIGTERM)
    folder = data_folder(source)
    manifest = [name for name in os.listdir(folder) if name.startswith("MANIFEST")][0]
    size = os.path.getsize(os.path.join(folder, manifest))
    server = copy_of(t, source)
    path = os.path.join(data_folder(server), manifest)
    for offset in range(0, size, max(1, size // 80)):  # lengths too, which LevelDB takes for its end
        flip(path, offset)
        code, lines = check(t, server.folder)
        assert code == 1 and any(manifest in line for line in lines), (offset, lines)
        flip(path, offset)
    expect(check(t, server.folder)[0], 0, "exit code")
    for offset in (30, size // 2):
        gone = hurt_and_repair(t, source, model,
                               lambda server, o=offset: flip(os.path.join(data_folder(server), manifest), o),
                               manifest)
        expect(gone, 0, "keys gone")
    for hurt, name in (
            (lambda server: os.unlink(os.path.join(data_folder(server), manifest)), manifest),
            (lambda server: os.unlink(os.path.join(data_folder(server), "CURRENT")), "CURRENT"),
            (lambda server: flip(os.path.join(data_folder(server), "CURRENT"), 3), "CURRENT"),
            (lambda server: os.unlink(os.path.join(server.folder, "store", "CURRENT")), "CURRENT"),
            (lambda server: flip(os.path.join(server.folder, "store", "CURRENT"), 0), "CURRENT")):
        expect(hurt_and_repair(t, source, model, hurt, name), 0, "keys gone")


@test
def where_nothing_tells_old_values_from_current_ones_it_refuses(t):
    source, _ = template(t, stop=signal.SIGTERM)
    folder = data_folder(source)
    os.unlink(os.path.join(folder, [n for n in os.listdir(folder) if n.startswith("MANIFEST")][0]))
    os.truncate(tables(source)[-1], 93)
    before, copy = checksums(source.folder), source.folder + "-copy"
    code, lines = check(t, source.folder, "--repair", "--copy-to", copy)
    expect(code, 2, "exit code")
    assert "--accept-old-values" in lines[-1] and not os.path.exists(copy), lines[-1]
    expect(checksums(source.folder), before, "files")
    try:
        expect(check(t, source.folder, "--repair", "--accept-old-values", "--copy-to", copy)[0], 0)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    source.start()
    expect(source.stop(), 0, "exit status")


# --- damage in the journal ---

def segments(server):
    folder = os.path.join(server.folder, "journal")
    return sorted(os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".seg"))


@test
def a_journal_that_is_not_needed_any_more_costs_nothing(t):
    source, model = template(t, stop=signal.SIGTERM)
    for hurt in (lambda server: shutil.rmtree(os.path.join(server.folder, "journal")),
                 lambda server: [os.unlink(path) for path in segments(server)]):
        expect(hurt_and_repair(t, source, model, hurt, "journal"), 0, "keys gone")


def with_tail(t, count, options=("--journal-segment-size", "1mb")):
    """A store whose last `count` writes are in the journal alone; the model before and after each."""
    server = t.server(*SMALL, "--batch-writer-delay", "3600", *options)
    client = t.client(server)
    client.pipeline([("SET", "old:%d" % i, "v") for i in range(200)])
    client.run("CHECKPOINT")
    states = [{b"old:%d" % i: b"v" for i in range(200)}]
    for i in range(count):
        key, value = b"tail:%d" % (i % 40), b"value-%d" % i
        expect(client.run("SET", key, value), b"OK")
        states.append({**states[-1], key: value})
    client.close()
    server.stop(signal.SIGKILL)
    return server, states


def repaired_journal(t, source, hurt):
    server = copy_of(t, source)
    hurt(server)
    code, lines = check_unchanged(t, server.folder)
    expect(code, 1, "exit code of %r" % lines)
    copy = server.folder + "-copy"
    try:
        code, lines = check(t, server.folder, "--repair", "--copy-to", copy)
        assert code == 0, lines
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    expect_clean(t, server)
    server.start()
    client = t.client(server)
    now = served(client, 0)
    client.close()
    expect(server.stop(), 0, "exit status")
    server.remove()
    return now, lines


@test
def a_journal_damaged_in_its_middle_keeps_a_prefix_and_names_what_follows(t):
    source, states = with_tail(t, 120)
    path = segments(source)[0]
    with open(path, "rb") as file:
        content = file.read()
    expect(check(t, source.folder)[0], 0, "exit code before")
    for number in (0, 1, 57, 118):
        place = content.index(b"value-%d" % number)
        now, lines = repaired_journal(
            t, source, lambda server, at=place: flip(os.path.join(server.folder, "journal",
                                                                  os.path.basename(path)), at))
        expect(now, states[number], "what is served")
        named = losses(lines)[0].get(0, set())
        later = {b"tail:%d" % (i % 40) for i in range(number + 1, 120)}
        assert later <= named, (number, later - named)
        assert any("sequence" in line and "offset" in line for line in lines), lines


@test
def a_journal_cut_short_or_without_a_segment_keeps_a_prefix(t):
    source, states = with_tail(t, 4000, options=("--journal-segment-size", 65536))
    assert len(segments(source)) > 3, segments(source)

    def cut(server):
        path = segments(server)[1]
        with open(path, "r+b") as file:
            file.truncate(20000)
    for hurt in (cut, lambda server: os.unlink(segments(server)[1]),
                 lambda server: flip(segments(server)[1], 0, 4096)):
        now, lines = repaired_journal(t, source, hurt)
        assert now in states, sorted(now.items())[:5]
        assert now != states[-1] and any(line.startswith("lost: key") for line in lines), lines[:5]


@test
def damage_below_what_the_store_has_costs_no_later_write(t):
    server = t.server(*SMALL, "--journal-segment-size", "1mb")
    client = t.client(server)
    client.pipeline([("SET", "early:%d" % i, "early-%d" % i) for i in range(50)])
    client.run("CHECKPOINT")
    client.run("CONFIG", "SET", "batch-writer-delay", "3600")
    client.pipeline([("SET", "late:%d" % i, "late-%d" % i) for i in range(50)])
    client.close()
    server.stop(signal.SIGKILL)
    with open(segments(server)[0], "rb") as file:
        place = file.read().index(b"early-7")
    wanted = {b"%s:%d" % (kind, i): b"%s-%d" % (kind, i) for kind in (b"early", b"late") for i in range(50)}
    now, lines = repaired_journal(t, server, lambda copy: flip(segments(copy)[0], place))
    expect(now, wanted, "what is served")
    assert not [line for line in lines if line.startswith("lost")], lines


@test
def journal_and_store_of_different_times_are_told_apart(t):
    server = t.server(*SMALL)
    client = t.client(server)
    client.run("SET", "a", "1")
    client.close()
    server.stop()
    old = os.path.join(server.folder, "old-journal")
    shutil.copytree(os.path.join(server.folder, "journal"), old)
    for value in ("2", "3"):
        server.start()
        client = t.client(server)
        client.run("SET", "a", value)
        client.close()
        server.stop()

    def bring_back(copy):
        shutil.rmtree(os.path.join(copy.folder, "journal"))
        shutil.copytree(old, os.path.join(copy.folder, "journal"))
    now, lines = repaired_journal(t, server, bring_back)
    expect(now, {b"a": b"3"}, "what is served")
    assert any("older copy" in line or "sequence" in line for line in lines), lines


if __name__ == "__main__":
    main()
