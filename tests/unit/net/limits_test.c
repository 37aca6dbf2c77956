/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What clients may hold, and how long: limits, eviction, fairness. */
#include "net_fixture.h"

static void a_long_pipeline_lets_others_go_first(void **state)
{
    struct client greedy, modest;
    struct buffer request = {0};
    (void)state;
    client_open(&greedy);
    client_open(&modest);
    turn_times(3);
    for (int i = 0; i < 10000; i++) buffer_append_text(&request, "Z\r\n");
    client_send(&greedy, request.data, request.size);
    client_say(&modest, "A\r\n");
    client_expect(&modest, "+PONG\r\n");
    const char *place = memchr(order.data, 'A', order.size);
    assert_non_null(place);
    assert_true(place - order.data < 5000);
    greedy.wanted = 70000;
    turn_until(has_enough, &greedy);
    assert_int_equal(greedy.got.size, 70000);
    assert_true(counter_get(&f->metrics.budget_turns) > 0);
    buffer_free(&request);
    client_close(&greedy);
    client_close(&modest);
}

static void one_client_too_many_is_refused(void **state)
{
    struct client first, second;
    (void)state;
    f->options.maxclients = 1;
    client_open(&first);
    client_say(&first, "PING\r\n");
    client_expect(&first, "+PONG\r\n");
    client_open(&second);
    client_expect_end(&second, "-ERR max number of clients reached\r\n");
    assert_int_equal(counter_get(&f->metrics.connections_rejected), 1);
    client_close(&second);
    client_close(&first);
}

static void a_client_past_its_output_limit_is_closed(void **state)
{
    struct client client;
    struct error error;
    (void)state;
    set_option("client-output-buffer-limit", "normal 300kb 0 0");
    assert_int_equal(net_apply_options(f->net, &error), STATUS_OK);
    assert_string_equal(f->options.client_output_buffer_limit,
                        "normal 307200 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
    client_open(&client);
    for (int i = 0; i < 10; i++) client_say(&client, "big\r\n");
    turn_until(has_ended, &client);
    assert_int_equal(counter_get(&f->metrics.closed_output_limit), 1);
    assert_int_equal(big_references, 0);
    client_close(&client);
}

static void a_client_past_its_query_limit_is_closed(void **state)
{
    struct client client;
    struct flood flood = {.client = &client};
    (void)state;
    f->options.client_query_buffer_limit_bytes = 1 << 20;
    client_open(&client);
    buffer_append_text(&flood.request, "*3\r\n$4\r\nSIZE\r\n$5000000\r\n");
    for (int i = 0; i < 300000; i++) buffer_append_text(&flood.request, "0123456789");
    turn_until(flood_is_over, &flood);
    assert_true(client.ended);
    assert_int_equal(counter_get(&f->metrics.closed_query_limit), 1);
    buffer_free(&flood.request);
    client_close(&client);
}

static void the_client_that_holds_the_most_is_evicted(void **state)
{
    struct client small, large;
    struct error error;
    unsigned one = 1;
    (void)state;
    set_option("maxmemory-clients", "2mb");
    assert_int_equal(net_apply_options(f->net, &error), STATUS_OK);
    client_open(&small);
    client_say(&small, "PING\r\n");
    client_expect(&small, "+PONG\r\n");
    client_open(&large);
    for (int i = 0; i < 100; i++) client_say(&large, "big\r\n");
    turn_until(session_is_gone, &one);
    assert_int_equal(counter_get(&f->metrics.evicted), 1);
    client_say(&small, "PING\r\n");
    client_expect(&small, "+PONG\r\n");
    client_close(&small);
    client_close(&large);
}

static void one_long_request_is_taken_whatever_clients_may_hold_together(void **state)
{
    struct client client;
    struct flood flood = {.client = &client};
    struct error error;
    (void)state;
    set_option("maxmemory-clients", "1mb");
    assert_int_equal(net_apply_options(f->net, &error), STATUS_OK);
    client_open(&client);
    buffer_append_text(&flood.request, "*2\r\n$4\r\nSIZE\r\n$9000000\r\n");
    buffer_reserve(&flood.request, 9000000);
    memset(flood.request.data + flood.request.size, 'x', 9000000);
    flood.request.size += 9000000;
    buffer_append_text(&flood.request, "\r\n");
    flood.wanted = strlen(":9000000\r\n");
    turn_until(flood_is_over, &flood);
    assert_int_equal(client.got.size, flood.wanted);
    assert_int_equal(counter_get(&f->metrics.evicted), 0);
    buffer_free(&flood.request);
    client_close(&client);
}

static void an_idle_client_is_closed_and_holds_no_buffer_before(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    client_say(&client, "PING\r\n");
    client_expect(&client, "+PONG\r\n");
    assert_true(net_client_memory_bytes(f->net) < 4096);
    f->options.timeout_s = 1;
    clock_shift_wall_ms(5000);
    turn_until(has_ended, &client);
    clock_shift_wall_ms(-5000);
    assert_int_equal(counter_get(&f->metrics.closed_idle), 1);
    client_close(&client);
}

static bool could_not_accept(void *argument)
{
    (void)argument;
    return counter_get(&f->metrics.accept_failures) > 0;
}

static void without_descriptors_accepting_waits_and_goes_on_later(void **state)
{
    struct client client, waiting;
    struct rlimit before, tight;
    (void)state;
    client_open(&client);
    client_say(&client, "PING\r\n");
    client_expect(&client, "+PONG\r\n");
    client_open(&waiting);
    getrlimit(RLIMIT_NOFILE, &before);
    tight = (struct rlimit){(rlim_t)waiting.fd + 1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    turn_until(could_not_accept, NULL);
    client_say(&client, "PING\r\n");
    client_expect(&client, "+PONG\r\n");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    client_say(&waiting, "PING\r\n");
    client_expect(&waiting, "+PONG\r\n");
    client_close(&client);
    client_close(&waiting);
}

static void bad_options_are_refused_with_their_reason(void **state)
{
    static const char *const cases[][3] = {
        {"bind", "localhost", "bind: \"localhost\" is not an IP address"},
        {"client-output-buffer-limit", "normal 1 2",
         "Wrong number of arguments in buffer limit configuration."},
        {"client-output-buffer-limit", "other 1 2 3",
         "Invalid client class specified in buffer limit configuration."},
        {"client-output-buffer-limit", "normal x 2 3",
         "Error in hard, soft or soft_seconds setting in buffer limit configuration."},
        {"maxmemory-clients", "10x", "argument must be a memory or percent value"},
        {"maxmemory-clients", "x%", "argument must be a memory or percent value"},
        {"maxmemory-clients", "101%", "percentage argument must be less or equal to 100"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_options options = {0};
        struct error error;
        option_set_defaults(&net_option_table, &options);
        const struct option *row = option_find(&net_option_table, slice_from_text(cases[i][0]));
        assert_int_equal(option_set(row, &options, slice_from_text(cases[i][1]), &error),
                         STATUS_OK);
        assert_int_equal(net_check_options(&options, &error), STATUS_INVALID);
        assert_string_equal(error.text, cases[i][2]);
        option_free_strings(&net_option_table, &options);
    }
}

static bool has_drained(void *argument)
{
    (void)argument;
    return drained > 0;
}

static void a_streamed_reply_goes_on_once_the_client_has_taken_it(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    client_say(&client, "stream\r\nPING\r\n");
    turn_times(20);
    assert_int_equal(drained, 0);
    client.wanted = 48 * sizeof big_value - SESSION_DRAINED_BYTES;
    turn_until(has_enough, &client);
    turn_until(has_drained, NULL);
    assert_int_equal(drained, 1);
    client.wanted = 48 * sizeof big_value;
    turn_until(has_enough, &client);
    assert_int_equal(client.got.size, 48 * sizeof big_value); /* PING waits behind it */
    client_close(&client);
}

static void a_client_that_takes_nothing_of_a_streamed_reply_is_closed(void **state)
{
    struct client stuck, other;
    (void)state;
    f->options.reply_stream_timeout_s = 1;
    client_open(&stuck);
    client_open(&other);
    client_say(&stuck, "stream\r\n");
    unsigned gone = 1;
    turn_until(session_is_gone, &gone);
    assert_int_equal(counter_get(&f->metrics.closed_stream), 1);
    assert_int_equal(big_references, 0);
    assert_int_equal(drained, 0);
    client_say(&other, "PING\r\n");
    client_expect(&other, "+PONG\r\n");
    client_close(&stuck);
    client_close(&other);
}

static void nobody_waits_for_others_on_behalf_of_a_peer_that_has_ended(void **state)
{
    struct client client;
    (void)state;
    parked_for_others = true;
    client_open(&client);
    client_say(&client, "PING\r\nPARK x\r\nPING\r\n");
    client_expect(&client, "+PONG\r\n");
    shutdown(client.fd, SHUT_WR);
    client_expect_end(&client, "");
    assert_int_equal(sessions_closed, 1);
    client_close(&client);
}

/* Behind more requests than its buffer holds the end is not read. */
static void an_end_behind_unread_requests_is_seen_too(void **state)
{
    struct client client;
    struct buffer requests = {0};
    (void)state;
    parked_for_others = true;
    client_open(&client);
    buffer_append_text(&requests, "PARK x\r\n");
    for (int i = 0; i < 20000; i++) buffer_append_text(&requests, "PING\r\n");
    client_send(&client, requests.data, requests.size);
    client_expect_nothing(&client);
    shutdown(client.fd, SHUT_WR);
    unsigned one = 1;
    turn_until(session_is_gone, &one);
    buffer_free(&requests);
    client_close(&client);
}

static void a_peer_that_has_ended_and_takes_nothing_is_closed_in_the_end(void **state)
{
    struct client client;
    unsigned one = 1;
    (void)state;
    client_open(&client);
    for (int i = 0; i < 50; i++) client_say(&client, "big\r\n");
    shutdown(client.fd, SHUT_WR);
    turn_times(20);
    assert_int_equal(sessions_closed, 0);
    clock_shift_wall_ms(120000);
    turn_until(session_is_gone, &one);
    clock_shift_wall_ms(-120000);
    assert_int_equal(big_references, 0);
    client_close(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_long_pipeline_lets_others_go_first),
        TEST(one_client_too_many_is_refused),
        TEST(a_client_past_its_output_limit_is_closed),
        TEST(a_client_past_its_query_limit_is_closed),
        TEST(the_client_that_holds_the_most_is_evicted),
        TEST(one_long_request_is_taken_whatever_clients_may_hold_together),
        TEST(an_idle_client_is_closed_and_holds_no_buffer_before),
        TEST(without_descriptors_accepting_waits_and_goes_on_later),
        TEST(a_streamed_reply_goes_on_once_the_client_has_taken_it),
        TEST(a_client_that_takes_nothing_of_a_streamed_reply_is_closed),
        TEST(nobody_waits_for_others_on_behalf_of_a_peer_that_has_ended),
        TEST(an_end_behind_unread_requests_is_seen_too),
        TEST(a_peer_that_has_ended_and_takes_nothing_is_closed_in_the_end),
        TEST(bad_options_are_refused_with_their_reason),
    };
    return cmocka_run_group_tests_name("net/limits", tests, NULL, NULL);
}
