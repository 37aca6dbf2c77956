/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Connections and listeners: order, parking, holding back, ends, addresses. */
#include "net_fixture.h"

static void a_request_is_answered_with_one_read_and_one_write(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    client_say(&client, "PING\r\n");
    client_expect(&client, "+PONG\r\n");
    uint64_t reads = counter_get(&f->metrics.reads), writes = counter_get(&f->metrics.writes);
    for (int i = 0; i < 10; i++) {
        client_say(&client, "*2\r\n$4\r\necho\r\n$2\r\nhi\r\n");
        client_expect(&client, "$2\r\nhi\r\n");
    }
    assert_int_equal(counter_get(&f->metrics.reads) - reads, 10);
    assert_int_equal(counter_get(&f->metrics.writes) - writes, 10);
    client_close(&client);
}

static void a_pipeline_is_prefetched_and_answered_in_order_with_one_write(void **state)
{
    struct client client;
    struct buffer expected = {0}, request = {0};
    (void)state;
    client_open(&client);
    turn_times(3);
    for (int i = 0; i < 100; i++) {
        buffer_append_format(&request, "echo %d\r\n", 1000 + i);
        buffer_append_format(&expected, "$4\r\n%d\r\n", 1000 + i);
    }
    client_send(&client, request.data, request.size);
    buffer_append(&expected, "", 1);
    client_expect(&client, expected.data);
    assert_int_equal(counter_get(&f->metrics.writes), 1);
    assert_int_equal(prefetches, 200);
    buffer_free(&expected);
    buffer_free(&request);
    client_close(&client);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct client client;
    const char *request = "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n";
    (void)state;
    client_open(&client);
    for (size_t i = 0; request[i]; i++) {
        client_send(&client, request + i, 1);
        turn_times(1);
    }
    client_expect(&client, "$5\r\nhello\r\n");
    client_close(&client);
}

static void a_parked_command_holds_back_what_follows_but_not_other_clients(void **state)
{
    struct client client, other;
    (void)state;
    client_open(&client);
    client_open(&other);
    client_say(&client, "echo a\r\npark bbb\r\necho c\r\n");
    client_expect(&client, "$1\r\na\r\n");
    client_say(&client, "echo d\r\n");
    client_say(&other, "PING\r\n");
    client_expect(&other, "+PONG\r\n");
    client_expect_nothing(&client);
    assert_non_null(parked_session);
    unpark();
    client_expect(&client, "$3\r\nbbb\r\n$1\r\nc\r\n$1\r\nd\r\n");
    client_close(&client);
    client_close(&other);
}

static bool reading_is_paused(void *argument)
{
    (void)argument;
    return counter_get(&f->metrics.read_pauses) > 0;
}

static void the_socket_of_a_parked_client_is_not_read_without_end(void **state)
{
    struct client client;
    char *many = malloc(60000);
    (void)state;
    memset(many, '\n', 60000);
    client_open(&client);
    client_say(&client, "park x\r\n");
    turn_times(3);
    client_send(&client, many, 60000);
    turn_until(reading_is_paused, NULL);
    assert_true(counter_get(&f->metrics.received_bytes) < 60000);
    client_say(&client, "PING\r\n");
    unpark();
    client_expect(&client, "$1\r\nx\r\n+PONG\r\n");
    free(many);
    client_close(&client);
}

static void a_client_that_goes_away_while_parked_is_answered_if_it_only_ended_its_side(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    client_say(&client, "park x\r\nPING\r\n");
    shutdown(client.fd, SHUT_WR);
    client_expect_nothing(&client);
    unpark();
    client_expect_end(&client, "$1\r\nx\r\n+PONG\r\n");
    client_close(&client);
}

static void a_client_that_closes_is_forgotten(void **state)
{
    struct client client;
    unsigned one = 1;
    (void)state;
    client_open(&client);
    client_say(&client, "*2\r\n$4\r\necho\r\n$5\r\nhal");
    turn_times(3);
    assert_int_equal(net_connection_count(f->net), 1);
    client_close(&client);
    turn_until(session_is_gone, &one);
    assert_int_equal(net_connection_count(f->net), 0);
    assert_int_equal(net_client_memory_bytes(f->net), 0);
}

static void replies_wait_for_the_sequence_that_they_depend_on(void **state)
{
    struct client writer, reader;
    (void)state;
    client_open(&writer);
    client_open(&reader);
    client_say(&writer, "PING\r\nwrite\r\nPING\r\n");
    client_expect(&writer, "+PONG\r\n");
    client_expect_nothing(&writer);
    client_say(&writer, "write\r\nquit\r\n");
    client_say(&reader, "PING\r\n");
    client_expect(&reader, "+PONG\r\n");
    client_expect_nothing(&writer);
    acknowledged_sequence = 1;
    net_acknowledged(f->net);
    client_expect(&writer, ":1\r\n+PONG\r\n");
    client_expect_nothing(&writer);
    acknowledged_sequence = 2;
    net_acknowledged(f->net);
    client_expect_end(&writer, ":2\r\n+OK\r\n");
    client_close(&writer);
    client_close(&reader);
}

static void a_malformed_request_is_answered_after_those_before_it(void **state)
{
    struct client client, other;
    (void)state;
    client_open(&client);
    client_open(&other);
    client_say(&client, "park x\r\nPING\r\n*1\r\n!4\r\nPING\r\nmore that is never read\r\n");
    client_expect_nothing(&client);
    unpark();
    client_expect(&client, "$1\r\nx\r\n+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    turn_until(has_ended, &client);
    client_say(&other, "PING\r\n");
    client_expect(&other, "+PONG\r\n");
    assert_int_equal(counter_get(&dispatch_metrics.protocol_errors), 1);
    client_close(&client);
    client_close(&other);
}

static void quit_ends_after_its_reply_and_runs_nothing_more(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    client_say(&client, "PING\r\nquit\r\nPING\r\n");
    client_expect_end(&client, "+PONG\r\n+OK\r\n");
    client_close(&client);
    client_open(&client);
    client_say(&client, "PING\r\ndie\r\nPING\r\n");
    client_expect_end(&client, "");
    client_close(&client);
    buffer_append(&order, "", 1);
    assert_string_equal(order.data, "PqPd");
}

static void what_follows_auth_in_a_pipeline_is_parsed_as_authenticated(void **state)
{
    struct client client;
    struct buffer request = {0};
    (void)state;
    password = "secret";
    client_open(&client);
    buffer_append_text(&request, "*2\r\n$4\r\nauth\r\n$6\r\nsecret\r\n*12\r\n$4\r\nping\r\n");
    for (int i = 0; i < 11; i++) buffer_append_text(&request, "$1\r\nx\r\n");
    client_send(&client, request.data, request.size);
    client_expect(&client, "+OK\r\n+PONG\r\n");
    client_close(&client);
    client_open(&client);
    client_send(&client, request.data + 26, request.size - 26);
    client_expect_end(&client, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    client_close(&client);
    buffer_free(&request);
}

static void big_arguments_arrive_whole(void **state)
{
    struct client client;
    struct flood flood = {.client = &client};
    (void)state;
    client_open(&client);
    buffer_append_text(&flood.request, "*3\r\n$4\r\nSIZE\r\n$5000000\r\n");
    buffer_reserve(&flood.request, 5000000);
    memset(flood.request.data + flood.request.size, 'x', 5000000);
    flood.request.size += 5000000;
    buffer_append_text(&flood.request, "\r\n$1\r\ny\r\nPING\r\n");
    flood.wanted = strlen(":5000000\r\n+PONG\r\n");
    turn_until(flood_is_over, &flood);
    assert_int_equal(client.got.size, flood.wanted);
    assert_memory_equal(client.got.data, ":5000000\r\n+PONG\r\n", flood.wanted);
    buffer_free(&flood.request);
    client_close(&client);
}

static void large_replies_to_a_slow_reader_arrive_whole(void **state)
{
    struct client client;
    struct flood flood = {.client = &client};
    const size_t each = strlen("$65536\r\n") + sizeof big_value + 2;
    (void)state;
    client_open(&client);
    for (int i = 0; i < 200; i++) buffer_append_text(&flood.request, "big\r\n");
    client_send(&client, flood.request.data, flood.request.size);
    turn_times(10); /* nothing is read */
    assert_true(counter_get(&f->metrics.write_stalls) > 0);
    assert_true(big_references > 0);
    flood.sent = flood.request.size;
    flood.wanted = 200 * each;
    turn_until(flood_is_over, &flood);
    assert_int_equal(client.got.size, flood.wanted);
    for (size_t i = 0; i < 200; i++)
        assert_memory_equal(client.got.data + i * each + 8, big_value, sizeof big_value);
    assert_int_equal(big_references, 0);
    buffer_free(&flood.request);
    client_close(&client);
}

static void a_drain_answers_what_was_read_and_then_is_done(void **state)
{
    struct client idle, busy;
    (void)state;
    client_open(&idle);
    client_open(&busy);
    client_say(&idle, "PING\r\n");
    client_expect(&idle, "+PONG\r\n");
    client_say(&busy, "park x\r\nPING\r\n");
    client_expect_nothing(&busy);
    net_drain(f->net);
    client_expect_end(&idle, "");
    assert_false(net_is_drained(f->net));
    unpark();
    client_expect_end(&busy, "$1\r\nx\r\n+PONG\r\n");
    assert_true(net_is_drained(f->net));
    client_close(&idle);
    client_close(&busy);
}

static int connect_to(const char *address, int port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
    if (!is_v6) assert_int_equal(inet_pton(AF_INET, address, &v4.sin_addr), 1);
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int failed = is_v6 ? connect(fd, (const struct sockaddr *)&v6, sizeof v6)
                       : connect(fd, (const struct sockaddr *)&v4, sizeof v4);
    if (failed == 0) return fd;
    close(fd);
    return -1;
}

/* Listens on the addresses at a free port; returns it. */
static int listen_somewhere(const char *bind)
{
    struct error error;
    set_option("bind", bind);
    for (int port = 20000 + (int)(clock_monotonic_ns() % 40000), i = 0; i < 50; port++, i++) {
        f->options.port = port > 60000 ? port - 40000 : port;
        if (net_apply_options(f->net, &error) == STATUS_OK) return (int)f->options.port;
    }
    fail_msg("no free port: %s", error.text);
    return 0;
}

static void tcp_is_served_and_the_addresses_may_change(void **state)
{
    struct client client = {0};
    struct session_io io;
    char expected[128];
    (void)state;
    int port = listen_somewhere("127.0.0.1 127.0.0.2 -203.0.113.77");
    client.fd = connect_to("127.0.0.2", port);
    assert_true(client.fd >= 0);
    client_say(&client, "PING\r\n");
    client_expect(&client, "+PONG\r\n");
    last_session->operations->describe(last_session, &io);
    snprintf(expected, sizeof expected, "127.0.0.2:%d", port);
    assert_string_equal(io.local_address, expected);
    assert_memory_equal(io.address, "127.0.0.1:", 10);
    assert_false(io.unix_socket);
    listen_somewhere("127.0.0.1");
    assert_int_equal(connect_to("127.0.0.2", port), -1);
    client_say(&client, "PING\r\n"); /* who is connected stays so */
    client_expect(&client, "+PONG\r\n");
    client_close(&client);
}

static void the_unix_socket_gets_its_permissions(void **state)
{
    struct net_options options = {0};
    struct net_metrics metrics = {0};
    struct error error;
    struct stat found;
    char path[256];
    (void)state;
    net_destroy(f->net);
    snprintf(path, sizeof path, "%s/other", f->folder);
    option_set_defaults(&net_option_table, &options);
    options.port = 0;
    options.unixsocketperm = 0700;
    mem_free(options.unixsocket);
    options.unixsocket = slice_dup_text(slice_from_text(path));
    const struct net_hooks hooks = {0};
    assert_int_equal(net_create(&f->net, f->loop, &options, &metrics, &hooks, &error), STATUS_OK);
    assert_int_equal(net_listen(f->net, &error), STATUS_OK);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    struct buffer text = {0};
    net_describe_listeners(f->net, &text);
    assert_true(slice_equal(buffer_slice(&text), slice_from_text(path)));
    buffer_free(&text);
    net_destroy(f->net);
    f->net = NULL;
    option_free_strings(&net_option_table, &options);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_answered_with_one_read_and_one_write),
        TEST(a_pipeline_is_prefetched_and_answered_in_order_with_one_write),
        TEST(a_request_may_come_byte_by_byte),
        TEST(a_parked_command_holds_back_what_follows_but_not_other_clients),
        TEST(the_socket_of_a_parked_client_is_not_read_without_end),
        TEST(a_client_that_goes_away_while_parked_is_answered_if_it_only_ended_its_side),
        TEST(a_client_that_closes_is_forgotten),
        TEST(replies_wait_for_the_sequence_that_they_depend_on),
        TEST(a_malformed_request_is_answered_after_those_before_it),
        TEST(quit_ends_after_its_reply_and_runs_nothing_more),
        TEST(what_follows_auth_in_a_pipeline_is_parsed_as_authenticated),
        TEST(big_arguments_arrive_whole),
        TEST(large_replies_to_a_slow_reader_arrive_whole),
        TEST(a_drain_answers_what_was_read_and_then_is_done),
        TEST(tcp_is_served_and_the_addresses_may_change),
        TEST(the_unix_socket_gets_its_permissions),
    };
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
