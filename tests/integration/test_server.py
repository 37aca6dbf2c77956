#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The process: its command line, how it starts, refuses to start, goes to the background and stops."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Client, Skip, expect, main, scaled, test, wait_until  # noqa: E402
from raw_resp import Disconnected, encode  # noqa: E402
from servers import die_with_parent, free_port  # noqa: E402

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def ask(t, *arguments, stdin=None, folder=None):
    """Runs the binary until it ends by itself: (exit code, standard output, standard error)."""
    done = subprocess.run([t.binary] + [str(a) for a in arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, input=stdin, timeout=60, text=True, cwd=folder,
                          preexec_fn=die_with_parent)
    return done.returncode, done.stdout, done.stderr


def write(server, name, text):
    path = os.path.join(server.folder, name)
    with open(path, "w") as out:
        out.write(text)
    return path


def refused(t, server, *arguments):
    """The text of a start that must fail."""
    code, out, err = ask(t, *arguments, "--port", free_port(), "--dir", server.folder)
    expect(code, 1, out + err)
    return out + err


def log_of(server):
    with open(server.log, errors="replace") as log:
        return log.read()


# --- the command line ---

@test
def questions_are_answered_without_a_server(t):
    code, out, _ = ask(t, "--version")
    expect(code, 0)
    assert re.match(r"Kelvin server v=\d+\.\d+\.\d+ .*7\.0\.15.*leveldb=.*malloc=", out), out
    expect(ask(t, "-v")[1], out)
    code, out, _ = ask(t, "--help")
    assert code == 0 and out.startswith("Usage:"), out
    code, out, _ = ask(t, "--commands-page")
    assert code == 0 and "GETRANGE" in out, out[:200]


@test
def the_example_file_is_what_the_tables_say(t):
    code, out, _ = ask(t, "--print-config")
    expect(code, 0)
    path = os.path.join(TOP, "redis.conf.example")
    with open(path) as example:
        assert example.read() == out, "redis.conf.example is stale: make docs"
    expect(ask(t, "--test-config", path)[:2], (0, "%s: the configuration is fine\n" % path))


@test
def a_configuration_is_tested_without_starting(t):
    server = t.new_server()
    good = write(server, "good.conf", "port 7000\nbind 127.0.0.1\nmaxmemory 1gb\n")
    expect(ask(t, "--test-config", good)[0], 0)
    for number, line in ((2, "nosuch 1"), (2, "maxmemory many"), (2, "bind"), (2, 'dir "a'), (2, "port 1 2"),
                         (2, "client-output-buffer-limit normal 1"), (2, "appendfsync maybe"),
                         (2, "include /nosuch/file"), (2, "maxmemory-policy nosuch")):
        bad = write(server, "bad.conf", "# one\n%s\n" % line)
        code, out, err = ask(t, "--test-config", bad)
        expect((code, out), (1, ""), line)
        if not line.startswith("client-output"):
            assert "bad.conf:%d:" % number in err, (line, err)
    expect(ask(t, "--test-config")[0], 1)
    for bad in ("rename-command GET", "rename-command NOSUCH X", "port 0"):
        expect(ask(t, "--test-config", write(server, "bad.conf", bad + "\n"))[0], 1, bad)
    assert not os.path.exists(os.path.join(server.folder, "journal"))


@test
def an_unknown_option_of_the_command_line_is_refused(t):
    server = t.new_server()
    text = refused(t, server, "--nosuch", "1")
    assert "command line" in text and "unknown option 'nosuch'" in text, text


@test
def options_come_from_files_arguments_and_standard_input(t):
    server = t.new_server()
    write(server, "more.conf", "timeout 7\nmaxclients 50\n")
    path = write(server, "main.conf", "include %s/more.conf\r\n# x\r\nTIMEOUT 8\r\nmaxmemory 1k\r\n"
                 "pidfile \"%s/a\\x20b\"\r\nmaxmemory 100mb\r\n" % (server.folder, server.folder))
    server.command.insert(1, path)
    server.options += ["--save", "", "--appendonly", "yes", "--maxclients", "60"]
    server.start()
    client = t.client(server)
    assert os.path.exists(os.path.join(server.folder, "a b")), "the pidfile"
    wanted = {b"timeout": b"8", b"maxclients": b"60", b"maxmemory": b"104857600", b"save": b"",
              b"appendonly": b"yes"}
    for name, value in wanted.items():
        expect(client.run("CONFIG", "GET", name), [name, value])
    expect(client.info("server")["config_file"], path)
    warnings = [line for line in log_of(server).split("\n") if "has no effect here" in line]
    expect(len(warnings), 2, "warnings")
    code, _, err = ask(t, "-", "--nosuch", "1", stdin="timeout x\n")
    assert code == 1 and "standard input" in err or "-:1" in err, err


@test
def commands_get_other_names(t):
    server = t.server("--rename-command", "GET", "fetch", "--rename-command", "FLUSHALL", "")
    client = t.client(server)
    client.run("SET", "a", "1")
    expect(client.run("FETCH", "a"), b"1")
    for gone in (["GET", "a"], ["FLUSHALL"]):
        assert client.call(*gone).raw.startswith(b"-ERR unknown command"), gone


# --- where it listens ---

@test
def a_unix_socket_serves_without_any_port(t):
    server = t.new_server()
    path = os.path.join(server.folder, "k.sock")
    with open(server.log, "ab") as log:
        server.process = subprocess.Popen(
            [t.binary, "--port", "0", "--unixsocket", path, "--unixsocketperm", "700", "--dir",
             server.folder], stdout=log, stderr=log, preexec_fn=die_with_parent)
    wait_until(lambda: "Ready to accept connections" in log_of(server), 30, "start")
    expect(os.stat(path).st_mode & 0o777, 0o700)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(encode([b"SET", b"a", b"1"]) + encode([b"GET", b"a"]))
        wanted = b"+OK\r\n$1\r\n1\r\n"
        got = b""
        while len(got) < len(wanted):
            got += client.recv(100)
        expect(got, wanted)
    expect(server.stop(), 0)
    assert not os.path.exists(path), "the socket's file is left"


@test
def a_port_that_is_taken_stops_the_start(t):
    server, other = t.server(), t.new_server()
    code, out, err = ask(t, "--port", server.port, "--dir", other.folder)
    assert code == 1 and "cannot listen on 127.0.0.1:%d" % server.port in out + err, out + err


@test
def protected_mode_keeps_strangers_out(t):
    addresses = socket.gethostbyname_ex(socket.gethostname())[2]
    outside = [a for a in addresses if not a.startswith("127.")]
    if not outside:
        raise Skip("this machine has loopback alone")
    server = t.server("--bind", "* -::*")
    with socket.create_connection((outside[0], server.port), 10) as stranger:
        assert stranger.recv(1000).startswith(b"-DENIED "), "a stranger was let in"
    t.client(server).run("CONFIG", "SET", "protected-mode", "no")
    with socket.create_connection((outside[0], server.port), 10) as stranger:
        stranger.sendall(b"PING\r\n")
        expect(stranger.recv(1000), b"+PONG\r\n")


# --- the background ---

def pid_in(path):
    with open(path) as text:
        return int(text.read())


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open("/proc/%d/stat" % pid) as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


@test
def the_front_process_tells_how_the_start_went(t):
    server = t.new_server()
    pidfile, log = (os.path.join(server.folder, name) for name in ("k.pid", "k.log"))
    port = free_port()
    options = ["--port", port, "--dir", server.folder, "--daemonize", "yes", "--pidfile", pidfile,
               "--logfile", log]
    code, out, err = ask(t, *options)
    expect(code, 0, out + err)
    pid = pid_in(pidfile)
    try:
        client = t.client(port)
        expect(client.run("SET", "a", "1"), b"OK")
        expect(client.info("server")["process_id"], str(pid))
        code, out, err = ask(t, *options[2:], "--port", free_port(), "--pidfile", pidfile + "2")
        expect(code, 1, "a second server on the same folder")
        assert "another server" in out + err, out + err
        assert os.path.exists(pidfile) and not os.path.exists(pidfile + "2")
        code, _, _ = ask(t, "--port", port, "--dir", server.folder + "/other", "--daemonize", "yes",
                         "--logfile", log + "2")
        expect(code, 1, "a port that is taken")
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_running(pid), 30, "the stop")
    assert not os.path.exists(pidfile), "the pidfile is left"
    with open(log) as text:
        text = text.read()
    ready = "Ready to accept connections on 127.0.0.1:%d" % port
    for wanted in (ready, "OK means", server.folder, "stopped"):
        assert wanted in text, text


@test
def a_pidfile_that_cannot_be_written_does_not_stop_the_start(t):
    server = t.server("--pidfile", "/nowhere/k.pid")
    assert "cannot write the pidfile '/nowhere/k.pid'" in log_of(server), log_of(server)


# --- refusing ---

@test
def a_second_server_on_the_folder_is_refused(t):
    server = t.server()
    text = refused(t, server)
    assert server.folder in text and "another" in text, text
    expect(t.client(server).run("PING"), b"PONG")


def filled(t):
    """A stopped server that has data in both journal and store."""
    server = t.server()
    client = t.client(server)
    client.run("SET", "a", "1")
    client.run("CHECKPOINT")
    client.run("SET", "b", "2")
    expect(server.stop(), 0)
    return server


def move(server, name, to):
    os.rename(os.path.join(server.folder, name), os.path.join(to.folder, name))


@test
def a_store_without_its_journal_is_refused_until_it_is_back(t):
    server, aside = filled(t), t.new_server()
    move(server, "journal", aside)
    text = refused(t, server)
    assert "no journal" in text and server.folder in text, text
    shutil.rmtree(os.path.join(server.folder, "journal"), ignore_errors=True)
    move(aside, "journal", server)
    server.start()
    expect(t.client(server).run("MGET", "a", "b"), [b"1", b"2"])


@test
def a_journal_without_its_store_is_refused_until_it_is_back(t):
    server, aside = filled(t), t.new_server()
    move(server, "store", aside)
    text = refused(t, server)
    assert "no store" in text, text
    shutil.rmtree(os.path.join(server.folder, "store"), ignore_errors=True)
    move(aside, "store", server)
    server.start()
    expect(t.client(server).run("MGET", "a", "b"), [b"1", b"2"])


@test
def a_journal_of_another_store_is_refused(t):
    one, other = filled(t), filled(t)
    shutil.rmtree(os.path.join(one.folder, "journal"))
    shutil.copytree(os.path.join(other.folder, "journal"), os.path.join(one.folder, "journal"))
    text = refused(t, one)
    assert "does not belong" in text, text


@test
def an_older_copy_of_the_store_is_refused(t):
    server = filled(t)
    store, copy = (os.path.join(server.folder, name) for name in ("store", "copy"))
    shutil.copytree(store, copy)
    for key in ("c", "d"):  # the journal of the last run alone could be applied to the copy
        server.start()
        expect(t.client(server).run("SET", key, "3"), b"OK")
        expect(server.stop(), 0)
    shutil.rmtree(store)
    os.rename(copy, store)
    text = refused(t, server)
    assert "missing" in text or "older" in text, text


@test
def a_damaged_store_is_refused_with_the_file(t):
    server = filled(t)
    store = os.path.join(server.folder, "store")
    with open(os.path.join(store, "CURRENT")) as current:
        data = os.path.join(store, current.read().strip())
    for name in os.listdir(data):
        if name.startswith("MANIFEST"):
            with open(os.path.join(data, name), "r+b") as manifest:
                manifest.seek(20)
                manifest.write(b"damage")
    text = refused(t, server)
    assert server.folder in text, text


@test
def a_folder_of_somebody_else_is_refused(t):
    server = t.new_server()
    os.mkdir(os.path.join(server.folder, "store"))
    write(server, "store/CURRENT", "MANIFEST-000001\n")
    text = refused(t, server)
    assert "store" in text, text


# --- stopping ---

@test
def what_was_read_is_answered_before_the_stop(t):
    server = t.server()
    client = t.client(server)
    count = scaled(20000, 2000)
    client.send_raw(b"".join(encode([b"SET", b"k%d" % i, b"x" * 100]) for i in range(count)))
    client.read()
    server.process.send_signal(signal.SIGTERM)
    answered = 1
    try:
        while True:
            expect(client.read().raw, b"+OK\r\n")
            answered += 1
    except (Disconnected, OSError):
        pass
    expect(server.process.wait(60), 0)
    server.process = None
    server.start()
    assert t.client(server).run("DBSIZE") >= answered


@test
def a_second_signal_does_not_wait_for_clients(t):
    server = t.server("--shutdown-timeout", "60")
    t.may_die.add(server)
    client = t.client(server)
    client.run("SET", "a", "1")
    client.send("DEBUG", "SLEEP", "30")
    wait_until(lambda: t.client(server).info("clients")["blocked_clients"] == "1")
    server.process.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in log_of(server))
    began = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    server.process.wait(20)
    assert time.monotonic() - began < 15
    server.stop()
    server.start()
    expect(t.client(server).run("GET", "a"), b"1")


@test
def shutdown_ends_the_process_and_keeps_the_data(t):
    server = t.server()
    for number, options in enumerate(([], ["NOSAVE"], ["SAVE"], ["NOW"], ["NOSAVE", "NOW", "FORCE"])):
        client = t.client(server)
        expect(client.run("SET", "k%d" % number, "1"), b"OK")
        client.send("SHUTDOWN", *options)
        expect(client.read_until_closed(), b"", options)
        expect(server.process.wait(30), 0, options)
        server.process = None
        server.start()
    client = t.client(server)
    expect(client.run("DBSIZE"), 5)
    for wrong in (["SAVE", "NOSAVE"], ["x"], ["ABORT", "NOW"]):
        expect(client.call("SHUTDOWN", *wrong).raw, b"-ERR syntax error\r\n", wrong)
    expect(client.call("SHUTDOWN", "ABORT").raw, b"-ERR No shutdown in progress.\r\n")


@test
def a_crash_says_where_in_the_log(t):
    server = t.server()
    t.may_die.add(server)
    if "Sanitizer" in t.client(server).info("memory").get("mem_allocator", ""):
        raise Skip("the sanitizer has the signal")
    server.process.send_signal(signal.SIGSEGV)
    assert server.process.wait(30) != 0
    if "crashed: SIGSEGV" not in log_of(server):
        if "Sanitizer" in log_of(server):
            raise Skip("the sanitizer has the signal")
        raise AssertionError(log_of(server))
    server.process = None


# --- what INFO tells ---

@test
def lastsave_moves_with_the_marker(t):
    client = t.client(t.server())
    before = client.run("LASTSAVE")
    assert abs(before - time.time()) < 60
    client.run("SET", "a", "1")
    wait_until(lambda: int(time.time()) > before)
    expect(client.run("CHECKPOINT"), b"OK")
    after = client.run("LASTSAVE")
    assert before < after <= time.time() + 1, (before, after)
    info = client.info("persistence")
    expect(info["rdb_last_save_time"], str(after))
    expect(info["rdb_changes_since_last_save"], "0")


INFO_MAY_LACK = {"role"}


@test
def info_has_all_fields_of_redis(t):
    servers = [t.redis("--appendonly", "yes"), t.server()]
    texts = []
    for server in servers:
        client = t.client(server)
        client.run("SET", "a", "1", "EX", 100)
        client.call("GET")
        texts.append({name: client.run("INFO", *name.split()).decode() for name in
                      ("default", "all", "everything", "server clients", "SERVER server", "nosuch")})
    for name in ("default", "all", "everything", "server clients", "SERVER server", "nosuch"):
        theirs, ours = (re.sub(r"(?m):.*?\r$", "\r", text[name]) for text in texts)
        theirs, ours = (text.split("\r\n") for text in (theirs, ours))
        missing = [l for l in theirs if l not in ours and not l.startswith(("cmdstat_", "latency_perc"))]
        expect(missing, [], name)
        if name in ("default", "server clients", "SERVER server", "nosuch"):
            expect([l for l in ours if l.startswith("#")], [l for l in theirs if l.startswith("#")], name)
    ours = texts[1]["everything"]
    assert "\n" not in ours.replace("\r\n", ""), "a line that ends otherwise"
    for section in ("Cache", "Journal", "Batchwriter", "Jobs", "Leveldb"):
        assert "\r\n\r\n# %s\r\n" % section in ours, section
    assert "cmdstat_get:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0\r\n" in ours, ours


@test
def leveldb_tells_of_its_levels_a_moment_later(t):
    client = t.client(t.server())
    client.run("SET", "a", "x" * 1000)
    client.run("CHECKPOINT")
    wait_until(lambda: any(k.startswith("leveldb_level") for k in client.info("leveldb")), 30, "levels")


@test
def an_idle_server_sleeps(t):
    server = t.server()
    client = t.client(server)
    client.run("SET", "a", "1")
    client.run("CHECKPOINT")

    def ticks():
        with open("/proc/%d/stat" % server.process.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def used_in(seconds):
        before = ticks()
        try:
            client.socket.settimeout(seconds)
            client.read()  # nothing comes: the time passes
        except (socket.timeout, TimeoutError):
            pass
        return ticks() - before
    # Segments are still being prepared at first; 2 ticks in 3 seconds are less than 1 %.
    wait_until(lambda: used_in(3) <= 2, 60, "sleep")


if __name__ == "__main__":
    _ = Client
    main()
