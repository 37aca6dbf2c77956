/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The loop: what wakes it, and that every turn has one beginning and one end. */
#include "net/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static int begun, ended, fired, read_calls, delivered;
static int stop_after_turns; /* 0: never */
static int64_t sleep_ms;
static int pipe_fds[2];
static struct loop_watch *watch;

static void begin(void *context)
{
    (void)context;
    assert_int_equal(begun, ended);
    begun++;
}

static int64_t end(void *context)
{
    (void)context;
    ended++;
    assert_int_equal(begun, ended);
    if (ended == stop_after_turns) loop_stop(loop);
    return sleep_ms;
}

static int set_up(void **state)
{
    struct error error;
    (void)state;
    begun = ended = fired = read_calls = delivered = stop_after_turns = 0;
    sleep_ms = -1;
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(loop_create(&loop, &error), STATUS_OK);
    loop_set_turn(loop, &(struct loop_turn){NULL, begin, end});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(begun, ended);
    assert_int_equal(loop_turns(loop), (uint64_t)begun);
    loop_destroy(loop);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return 0;
}

static void deliver(struct letter *letter)
{
    (void)letter;
    if (++delivered == 2) loop_stop(loop);
}

static void *post(void *argument)
{
    struct letter *letters = argument;
    mailbox_put(loop_mailbox(loop), &letters[0]);
    mailbox_put(loop_mailbox(loop), &letters[1]);
    return NULL;
}

static void letters_from_another_thread_wake_it(void **state)
{
    struct letter letters[2] = {{NULL, deliver}, {NULL, deliver}};
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, post, letters), 0);
    loop_run(loop);
    pthread_join(thread, NULL);
    assert_int_equal(delivered, 2);
}

static void fire(void *context)
{
    if (++fired == *(int *)context) loop_stop(loop);
}

static void a_timer_fires_again_and_again(void **state)
{
    int times = 3;
    (void)state;
    struct loop_timer *timer = loop_timer_create(loop, 1, fire, &times);
    loop_run(loop);
    assert_int_equal(fired, 3);
    loop_timer_destroy(timer);
}

static void the_end_of_a_turn_says_how_long_it_may_sleep(void **state)
{
    (void)state;
    sleep_ms = 1;
    stop_after_turns = 5;
    loop_run(loop);
    assert_int_equal(ended, 5);
    sleep_ms = 0;
    stop_after_turns = 1000;
    loop_run(loop);
    assert_int_equal(ended, 1000);
}

static void readable(void *context)
{
    char byte;
    (void)context;
    read_calls++;
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    loop_stop(loop);
}

static void a_watch_calls_while_it_is_on(void **state)
{
    struct error error;
    (void)state;
    assert_int_equal(loop_watch_create(&watch, loop, pipe_fds[0], readable, NULL, &error),
                     STATUS_OK);
    assert_int_equal(write(pipe_fds[1], "ab", 2), 2);
    loop_run(loop);
    assert_int_equal(read_calls, 1);
    loop_watch_enable(watch, false);
    loop_watch_enable(watch, false);
    sleep_ms = 0;
    stop_after_turns = ended + 10;
    loop_run(loop);
    assert_int_equal(read_calls, 1);
    loop_watch_enable(watch, true);
    stop_after_turns = 0;
    loop_run(loop);
    assert_int_equal(read_calls, 2);
    loop_watch_destroy(watch);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(letters_from_another_thread_wake_it),
        TEST(a_timer_fires_again_and_again),
        TEST(the_end_of_a_turn_says_how_long_it_may_sleep),
        TEST(a_watch_calls_while_it_is_on),
    };
    return cmocka_run_group_tests_name("net/loop", tests, NULL, NULL);
}
