#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""METRICS over RESP and the metrics page over HTTP: what they tell, to whom, and what bad clients cannot do."""
import base64
import gzip
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Client, Skip, expect, main, scaled, test, wait_until  # noqa: E402
from servers import die_with_parent, free_port  # noqa: E402

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_ACCEPT = ("application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;"
                     "q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


def with_http(t, *options):
    """A server with a metrics port, which somebody else may be quicker to take."""
    for _ in range(5):
        port = free_port()
        try:
            server = t.server("--metrics-port", port, *options)
        except RuntimeError as error:
            if "metrics-port" not in str(error):
                raise
            continue
        server.http_port = port
        return server
    raise RuntimeError("no port is free")


def ask(server, path, headers=None, method="GET", body=None):
    """(status, headers, body)"""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        reply = connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def parse(page):
    """Series -> value."""
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in page.decode().splitlines() if line and not line.startswith("#")}


def check_histograms(series):
    """Buckets rise up to +Inf, which is the count."""
    buckets = {}
    for name, value in series.items():
        found = re.fullmatch(r'(\w+)_bucket\{(.*?),?le="([^"]+)"\}', name)
        if found:
            labels = "{%s}" % found.group(2) if found.group(2) else ""
            buckets.setdefault((found.group(1), labels), []).append((float(found.group(3)), value))
    assert len(buckets) > 10, buckets.keys()
    for (name, labels), pairs in buckets.items():
        expect(pairs, sorted(pairs), name)
        expect([count for _, count in pairs], sorted(count for _, count in pairs), name)
        expect(pairs[-1], (float("inf"), series[name + "_count" + labels]), name)
        assert name + "_sum" + labels in series, name


def as_map(flat):
    return dict(zip(flat[::2], flat[1::2]))


@test
def the_page_over_resp_is_the_page_over_http(t):
    server = with_http(t)
    client = t.client(server)
    client.run("SET", "a", 1)
    status, headers, body = ask(server, "/metrics")
    expect(status, 200)
    expect(headers["content-type"], TEXT)
    expect(headers["content-length"], str(len(body)))
    names = re.findall(rb"^# TYPE (\w+)", body, re.M)
    expect(len(names), len(set(names)), "families that are there once")
    expect(re.findall(rb"^# TYPE (\w+)", client.run("METRICS"), re.M), names)
    for name in names:
        assert name.startswith(b"kelvin_"), name
    for name in re.findall(rb"^# TYPE (\w+) counter", body, re.M):
        assert name.endswith(b"_total"), name
    check_histograms(parse(body))
    client.run("HELLO", 3)
    reply = client.call("METRICS")
    expect(reply.tree[0], b"=", "kind of the reply in RESP3")


@test
def counters_agree_with_what_was_sent(t):
    server = with_http(t)
    client = t.client(server)
    client.run("METRICS", "RESET")
    client.pipeline([("SET", "k%d" % i, i, "EX", 1000) for i in range(123)])
    client.pipeline([("GET", "k%d" % i) for i in range(457)])
    client.pipeline([("INCR", "k0", "too", "many") for _ in range(5)])
    client.run("SET", "text", "no number")
    client.pipeline([("INCR", "text") for _ in range(7)])
    series = parse(ask(server, "/metrics")[2])
    for name, wanted in {'kelvin_command_calls_total{command="set"}': 124,
                         'kelvin_command_calls_total{command="get"}': 457,
                         'kelvin_command_calls_total{command="incr"}': 7,
                         'kelvin_command_failed_total{command="incr"}': 7,
                         'kelvin_command_rejected_total{command="incr"}': 5,
                         'kelvin_command_seconds_count{command="get"}': 457,
                         'kelvin_command_seconds_bucket{command="get",le="+Inf"}': 457,
                         'kelvin_error_replies_total{code="ERR"}': 12,
                         "kelvin_keyspace_hits_total": 123,
                         "kelvin_keyspace_misses_total": 334,
                         'kelvin_keys{db="0"}': 124,
                         'kelvin_expiring_keys{db="0"}': 123,
                         "kelvin_http_pages_total": 1,
                         "kelvin_ready": 1}.items():
        expect(series[name], wanted, name)
    commands = 1 + 123 + 457 + 1 + 7  # RESET itself is counted behind the reset
    expect(series["kelvin_commands_total"], commands, "commands")


@test
def get_gives_what_matches_and_its_values(t):
    client = t.client(t.server())
    client.run("SET", "a", 1)
    client.run("GET", "a")
    expect(client.run("METRICS", "GET", "kelvin_keyspace_hits_total"), [b"kelvin_keyspace_hits_total", 1])
    expect(client.run("METRICS", "GET", "nothing*"), [])
    labelled = client.run("METRICS", "GET", 'kelvin_command_calls_total{command="get"}')
    expect(labelled, [b'kelvin_command_calls_total{command="get"}', 1])
    several = as_map(client.run("METRICS", "GET", "kelvin_command_seconds*", "kelvin_keys"))
    expect(several[b'kelvin_keys{db="0"}'], 1)
    histogram = as_map(several[b'kelvin_command_seconds{command="get"}'])
    expect(list(histogram), [b"count", b"sum", b"p50", b"p99", b"p99.9", b"max"])
    expect(histogram[b"count"], 1)
    expect(histogram[b"sum"], histogram[b"max"])
    assert 0 < float(histogram[b"p50"]) < 60, histogram
    expect(len(client.run("METRICS", "GET", "*")) > 200, True)


@test
def list_describes_each_family_of_the_page(t):
    client = t.client(t.server())
    listed = as_map(client.run("METRICS", "LIST"))
    page = client.run("METRICS")
    expect(list(listed), re.findall(rb"^# TYPE (\w+)", page, re.M))
    for name, facts in listed.items():
        facts = as_map(facts)
        expect(list(facts), [b"type", b"unit", b"help"])
        assert b"# TYPE %s %s\n" % (name, facts[b"type"]) in page, name
        assert facts[b"unit"] in (b"", b"bytes", b"seconds"), (name, facts)
        assert facts[b"help"] and b"\n" not in facts[b"help"], name
        if facts[b"unit"] == b"seconds":
            assert name.endswith((b"_seconds", b"_seconds_total")), name


@test
def reset_sets_counters_back_and_leaves_gauges(t):
    client = t.client(t.server())
    client.run("SET", "a", 1)
    client.run("GET", "a")
    expect(client.run("METRICS", "RESET"), b"OK")
    series = parse(client.run("METRICS"))
    expect(series["kelvin_keyspace_hits_total"], 0)
    expect(series['kelvin_keys{db="0"}'], 1)
    assert 'kelvin_command_calls_total{command="get"}' not in series, series
    expect(client.info("stats")["keyspace_hits"], "0")
    assert b"METRICS <subcommand>" in client.run("METRICS", "HELP")[0]
    for wrong in (("METRICS", "FOO"), ("METRICS", "GET"), ("METRICS", "RESET", "x")):
        try:
            client.run(*wrong)
        except Client.Error as error:
            assert str(error).startswith("ERR "), error
        else:
            raise AssertionError("%r was taken" % (wrong,))


@test
def who_asks_for_openmetrics_gets_it(t):
    server = with_http(t)
    for accept, kind in ((PROMETHEUS_ACCEPT, OPENMETRICS), ("application/openmetrics-text", OPENMETRICS),
                         ("text/plain", TEXT), ("*/*", TEXT), ("", TEXT),
                         ("application/openmetrics-text;q=0.2,text/plain", TEXT),
                         ("application/openmetrics-text;q=0", TEXT)):
        status, headers, body = ask(server, "/metrics", {"Accept": accept})
        expect((status, headers["content-type"]), (200, kind), accept)
        expect(body.endswith(b"# EOF\n"), kind == OPENMETRICS, accept)
    body = ask(server, "/metrics", {"Accept": PROMETHEUS_ACCEPT})[2]
    assert b"# TYPE kelvin_commands counter\nkelvin_commands_total " in body
    assert b"# UNIT kelvin_net_received_bytes bytes\n" in body
    expect(len(re.findall(rb"^# EOF$", body, re.M)), 1)
    check_histograms(parse(body))


@test
def a_page_is_packed_for_who_takes_gzip(t):
    server = with_http(t)
    status, headers, body = ask(server, "/metrics", {"Accept-Encoding": "deflate, gzip"})
    expect((status, headers.get("content-encoding")), (200, "gzip"))
    page = gzip.decompress(body)
    assert len(body) < len(page) / 3, (len(body), len(page))
    assert b"kelvin_commands_total " in page
    for encoding in ("identity", "deflate", "gzip;q=0"):
        expect(ask(server, "/metrics", {"Accept-Encoding": encoding})[1].get("content-encoding"), None, encoding)
    assert "content-encoding" not in ask(server, "/healthz", {"Accept-Encoding": "gzip"})[1]


@test
def promtool_finds_nothing_to_complain_about(t):
    if not shutil.which("promtool"):
        raise Skip("promtool (Debian's package prometheus) is not installed")
    server = with_http(t)
    client = t.client(server)
    client.pipeline([("SET", "a", 1), ("GET", "a"), ("GET",), ("NO\"SUCH\\COMMAND",)])
    for page in (ask(server, "/metrics")[2], client.run("METRICS")):
        done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, timeout=120,
                              check=False)
        expect((done.returncode, done.stdout + done.stderr), (0, b""), "promtool")


@test
def prometheus_scrapes_and_computes_with_it(t):
    if not shutil.which("prometheus"):
        raise Skip("Debian's package prometheus is not installed")
    server = with_http(t, "--metrics-token", "scraper")
    client = t.client(server)
    folder, port = tempfile.mkdtemp(prefix="kelvin-test-prometheus-"), free_port()
    try:
        with open(os.path.join(folder, "prometheus.yml"), "w") as file:
            file.write("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n- job_name: kelvin\n"
                       "  authorization: {credentials: scraper}\n"
                       "  static_configs: [{targets: ['127.0.0.1:%d']}]\n" % server.http_port)
        with open(os.path.join(folder, "log"), "wb") as log:
            process = subprocess.Popen(
                ["prometheus", "--config.file", os.path.join(folder, "prometheus.yml"), "--storage.tsdb.path",
                 os.path.join(folder, "data"), "--web.listen-address", "127.0.0.1:%d" % port],
                stdout=log, stderr=log, preexec_fn=die_with_parent)

        def query(text):
            url = "http://127.0.0.1:%d/api/v1/query?%s" % (port, urllib.parse.urlencode({"query": text}))
            try:
                with urllib.request.urlopen(url, timeout=30) as reply:
                    found = re.search(rb'"value":\[[^,]*,"([^"]+)"\]', reply.read())
            except OSError:  # it is starting
                return None
            return float(found.group(1)) if found else None

        try:
            client.pipeline([("GET", "x") for _ in range(1234)])
            wait_until(lambda: query("up") == 1, 60, "up")
            wait_until(lambda: query('kelvin_command_calls_total{command="get"}') == 1234, 60, "the counter")
            expect(query('kelvin_command_seconds_count{command="get"}'), 1234)
            rate = 'histogram_quantile(0.99, kelvin_command_seconds_bucket{command="get"})'
            assert 0 < query(rate) < 20, query(rate)
            expect(query("count(kelvin_build_info)"), 1)
        finally:
            process.terminate()
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@test
def health_and_readiness_are_told(t):
    server = with_http(t)
    expect(ask(server, "/healthz")[::2], (200, b"ok\n"))
    expect(ask(server, "/readyz")[::2], (200, b"ready\n"))


@test
def other_paths_and_methods_are_refused(t):
    server = with_http(t)
    for path in ("/", "/metrics/", "/metricsx", "/METRICS", "/../metrics", "/%6detrics", "//metrics"):
        expect(ask(server, path)[0], 404, path)
    expect(ask(server, "/metrics?x=y")[0], 200)
    for method in ("POST", "PUT", "DELETE"):
        status, headers, _ = ask(server, "/metrics", method=method, body=b"x")
        expect((status, headers["allow"]), (405, "GET, HEAD"), method)
    status, headers, body = ask(server, "/metrics", method="HEAD")
    expect((status, body), (200, b""))
    assert int(headers["content-length"]) > 10000, headers


@test
def a_token_is_asked_for_where_it_is_set(t):
    server = with_http(t, "--metrics-token", "s3cret")

    def basic(text):
        return "Basic " + base64.b64encode(text).decode()

    for value, wanted in ((None, 401), ("Bearer s3cret", 200), ("Bearer S3cret", 401), ("Bearer", 401),
                          (basic(b"prom:s3cret"), 200), (basic(b":s3cret"), 200), (basic(b"s3cret"), 401),
                          (basic(b"s3cret:"), 401), ("Basic %%%%", 401)):
        status, headers, body = ask(server, "/metrics", {"Authorization": value} if value else {})
        expect(status, wanted, value)
        expect("www-authenticate" in headers, wanted == 401, value)
        expect(b"kelvin_" in body, wanted == 200, value)
    expect(ask(server, "/healthz")[0], 200)
    expect(ask(server, "/readyz")[0], 200)
    client = t.client(server)
    expect(client.run("CONFIG", "SET", "metrics-token", "other"), b"OK")
    expect(ask(server, "/metrics", {"Authorization": "Bearer s3cret"})[0], 401)
    expect(ask(server, "/metrics", {"Authorization": "Bearer other"})[0], 200)
    expect(client.run("METRICS", "GET", "kelvin_http_unauthorized_total")[1], 7)


def raw(server, request, timeout=60):
    """Sends bytes, reads to the end."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=timeout) as connection:
        reply = b""
        try:
            connection.sendall(request)
            while True:
                some = connection.recv(65536)
                if not some:
                    return reply
                reply += some
        except ConnectionError:
            return reply


@test
def bad_requests_end_their_own_connection_only(t):
    server = with_http(t)
    client = t.client(server)
    for request in (b"\r\n\r\n", b"GET\r\n\r\n", b"nonsense\r\n\r\n", b"\x00\xff\x80\r\n\r\n",
                    b"GET /metrics HTTP/9.9\r\n\r\n", b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n",
                    b"BREW /metrics HTTP/1.1\r\n\r\n", b"*1\r\n$4\r\nPING\r\n",
                    b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\n\r\n",
                    b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
                    b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100000,
                    b"POST /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                    b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\nx"):
        reply = raw(server, request)
        assert b"kelvin_" not in reply, (request[:80], reply[:80])
        assert b" 200 " not in reply[:20], (request[:80], reply[:80])
        expect(client.run("PING"), b"PONG")
    expect(ask(server, "/healthz")[0], 200)


@test
def one_request_in_small_pieces_is_one_request(t):
    server = with_http(t)
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=60) as connection:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            connection.sendall(bytes([byte]))
        assert connection.recv(100).startswith(b"HTTP/1.1 200 "), "no reply"


@test
def slow_clients_are_cut_off_and_cost_the_others_nothing(t):
    server = with_http(t)
    client = t.client(server)
    # In the long form more than are let in; each would go on for ever, a byte now and then.
    slow = [socket.create_connection(("127.0.0.1", server.http_port), timeout=60) for _ in range(scaled(50, 20))]
    alive, deadline = list(slow), time.monotonic() + 120
    most = 0
    while alive and time.monotonic() < deadline:
        for connection in list(alive):
            try:
                connection.sendall(b"G")
                connection.setblocking(False)
                if connection.recv(1000) == b"":
                    raise ConnectionError
            except BlockingIOError:
                pass
            except OSError:
                alive.remove(connection)
            finally:
                connection.settimeout(60)
        most = max(most, client.run("METRICS", "GET", "kelvin_http_connections")[1])
        time.sleep(0.05)
    expect(len(alive), 0, "slow clients that are still there")
    assert most <= 32, most
    for connection in slow:
        connection.close()
    cut = client.run("METRICS", "GET", "kelvin_http_cut_total")[1]
    assert cut >= 1, cut
    expect(ask(server, "/metrics")[0], 200)
    wait_until(lambda: client.run("METRICS", "GET", "kelvin_http_connections")[1] == 0, 60, "no connections")


@test
def who_does_not_read_is_cut_off(t):
    server = with_http(t)
    client = t.client(server)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(("127.0.0.1", server.http_port))
    connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    wait_until(lambda: client.run("METRICS", "GET", "kelvin_http_pages_total")[1] == 1, 60, "the page")
    wait_until(lambda: client.run("METRICS", "GET", "kelvin_http_connections")[1] == 0, 60, "no connections")
    connection.close()


@test
def a_stop_ends_connections_in_every_state(t):
    server = with_http(t)
    client = t.client(server)
    connections = [socket.create_connection(("127.0.0.1", server.http_port), timeout=60) for _ in range(40)]
    for number, connection in enumerate(connections):
        if number % 3:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n" + b"\r\n" * (number % 3 - 1))
    wait_until(lambda: client.run("METRICS", "GET", "kelvin_http_connections")[1] > 10, 60, "connections")
    expect(server.stop(), 0, "exit status")
    for connection in connections:
        connection.close()


@test
def hundreds_of_connections_one_after_the_other_leave_nothing(t):
    server = with_http(t)
    client = t.client(server)
    for _ in range(300):
        expect(ask(server, "/healthz")[0], 200)
    for _ in range(100):
        socket.create_connection(("127.0.0.1", server.http_port), timeout=60).close()
    wait_until(lambda: client.run("METRICS", "GET", "kelvin_http_connections")[1] == 0, 60, "no connections")
    descriptors = os.listdir("/proc/%d/fd" % server.process.pid)
    assert len(descriptors) < 100, len(descriptors)


@test
def a_port_in_use_is_a_clear_error_at_the_start(t):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = t.new_server("--metrics-port", taken.getsockname()[1])
        t.may_die.add(server)
        try:
            server.start()
        except RuntimeError:
            pass
        else:
            raise AssertionError("it has started")
        log = server.log_end()
        assert "cannot start: cannot listen on 127.0.0.1, port %d (metrics-port): Address already in use" % \
            taken.getsockname()[1] in log, log


@test
def without_the_option_there_is_no_http(t):
    client = t.client(t.server())
    expect(client.run("CONFIG", "GET", "metrics-port"), [b"metrics-port", b"0"])
    expect(client.run("METRICS", "GET", "kelvin_http_connections"), [b"kelvin_http_connections", 0])


main()
