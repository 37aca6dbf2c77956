#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients as they come: thousands that are idle, some that never read or send a byte now and then, one that leaves in the
middle of a hundred thousand commands, more than there is room for; and a stop in the middle of all that."""
import os
import random
import resource
import signal
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import Client, Skip, expect, main, scaled, test, wait_until  # noqa: E402
from raw_resp import Disconnected, encode  # noqa: E402
from attack import SMALL, note_seed  # noqa: E402
from world import Round, World  # noqa: E402


def round_under(t, server, what):
    """The load of world.py while what() goes on; everything is there afterwards, also after kill -9."""
    randomly = random.Random(note_seed())
    client = t.client(server, 120)
    one = Round(client, 0, World(), randomly, server.port)
    one.wait_acknowledged(200)
    what()
    one.wait_acknowledged(one.acknowledged + scaled(2000, 300))
    one.join()
    one.check(client, True, True)
    return one


@test
def ten_thousand_idle_connections(t):
    count = scaled(10000, 2000)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count + 200:
        raise Skip("only %d descriptors are allowed" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else count + 1000, hard))
    server = t.server("--maxclients", count + 100)
    if int(t.client(server).run("CONFIG", "GET", "maxclients")[1]) < count + 50:
        raise Skip("the server may not have so many descriptors")
    idle = []

    def connect():
        for _ in range(count):
            idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=120))
    round_under(t, server, connect)
    info = t.client(server).info("clients")
    assert int(info["connected_clients"]) >= count, info
    for number in random.sample(range(count), 50):
        idle[number].sendall(b"PING\r\n")
        expect(idle[number].recv(100), b"+PONG\r\n")
    for one in idle:
        one.close()
    expect(server.stop(), 0)


@test
def clients_that_never_read_are_bounded(t):
    server = t.server("--maxmemory", "64mb", "--maxmemory-clients", "8mb")
    client = t.client(server, 120)
    client.run("SELECT", 12)
    client.run("SET", "large", "x" * 100000)
    deaf = []

    def ask():
        request = encode([b"GET", b"large"]) * 100
        for _ in range(scaled(50, 20)):
            one = socket.create_connection(("127.0.0.1", server.port), timeout=120)
            one.sendall(b"SELECT 12\r\n")
            one.setblocking(False)
            deaf.append(one)
            try:
                for _ in range(20):
                    one.send(request)
            except OSError:  # its requests are not read either, or it was closed
                pass
    round_under(t, server, ask)
    wait_until(lambda: memory_of_clients(client) <= 8 << 20, 60, "less than maxmemory-clients")
    for one in deaf:
        one.close()
    expect(server.stop(), 0)


def memory_of_clients(client):
    """Output and input of all but this one, as CLIENT LIST tells."""
    total = 0
    for line in client.run("CLIENT", "LIST").decode().splitlines():
        fields = dict(part.split("=", 1) for part in line.split(" ") if "=" in part)
        total += int(fields.get("omem", 0)) + int(fields.get("qbuf", 0))
    return total


@test
def clients_that_send_byte_after_byte_are_served(t):
    server = t.server()
    slow = [Client(server.port, timeout=120) for _ in range(50)]
    for one in slow:
        one.run("SELECT", 12)
    requests = [encode([b"SET", b"slow:%d" % i, b"value"]) for i in range(len(slow))]

    def send():
        for at in range(max(map(len, requests))):
            for client, request in zip(slow, requests):
                client.send_raw(request[at:at + 1])
            time.sleep(scaled(0.2, 0.005))
    round_under(t, server, send)
    for client in slow:
        expect(client.read().raw, b"+OK\r\n")
        client.close()
    client = t.client(server)
    client.run("SELECT", 12)
    expect([client.run("GET", "slow:%d" % i) for i in range(len(slow))], [b"value"] * len(slow))


@test
def a_client_leaves_in_the_middle_of_a_hundred_thousand_commands(t):
    server = t.server(*SMALL)
    request = b"SELECT 12\r\n" + b"".join(encode([b"SET", b"far:%d" % i, b"x" * 20]) for i in range(100000))

    def send():
        one = socket.create_connection(("127.0.0.1", server.port), timeout=120)
        threading.Thread(target=lambda: swallow(one), daemon=True).start()
        one.sendall(request)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()
    round_under(t, server, send)
    client = t.client(server, 120)
    client.run("SELECT", 12)
    there = client.pipeline([("EXISTS", "far:%d" % i) for i in range(100000)])
    assert there == sorted(there, reverse=True), "what was carried out has gaps"
    print("    %d of 100000 were carried out" % sum(there))


def swallow(one):
    try:
        while one.recv(1 << 16):
            pass
    except (OSError, ValueError):
        pass


@test
def one_client_more_than_maxclients_is_told(t):
    server = t.server("--maxclients", 50)
    clients = []
    for _ in range(50):
        clients.append(t.client(server))
        expect(clients[-1].run("PING"), b"PONG")
    for _ in range(20):
        one = Client(server.port, timeout=60)
        expect(one.read_until_closed(), b"-ERR max number of clients reached\r\n")
    expect(clients[0].run("SET", "a", "1"), b"OK")
    clients.pop().close()

    def let_in():
        try:
            return Client(server.port, timeout=60).run("GET", "a") == b"1"
        except (Disconnected, OSError, Client.Error):
            return False
    wait_until(let_in, 60, "a client in the place of one that left")
    expect(server.stop(), 0)


@test
def a_stop_under_load_loses_nothing(t):
    randomly = random.Random(note_seed())
    world = World()
    server = t.new_server(*SMALL, "--appendfsync", randomly.choice(("always", "everysec", "no")),
                          "--journal-io", randomly.choice(("mmap", "write")))
    server.start(60)
    for number in range(scaled(20, 3)):
        client = t.client(server, 120)
        one = Round(client, number, world, randomly, server.port, flushes=0.005)
        one.wait_acknowledged(randomly.randrange(1500))
        began = time.monotonic()
        expect(server.stop(signal.SIGTERM, timeout=120), 0, "exit status")
        took = time.monotonic() - began
        one.join()
        server.start(120)
        world, _ = one.check(t.client(server, 120), True, True)
        print("    %d acknowledged, stopped after %.2f s" % (one.acknowledged, took), flush=True)


main()
