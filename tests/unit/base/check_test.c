/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Assertions and thread roles. */
#include <pthread.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

struct seen {
    enum thread_role role;
    char name[16];
    int open_signals;
};

static void look_around(void *argument)
{
    struct seen *seen = argument;
    sigset_t mask;
    seen->role = thread_role();
    pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    seen->open_signals = !sigismember(&mask, SIGTERM) + !sigismember(&mask, SIGINT);
    ASSERT_THREAD(THREAD_SYNC);
}

static void a_started_thread_has_role_name_and_no_signals(void **state)
{
    (void)state;
    struct seen seen = {0};
    unsigned long thread;
    assert_int_equal(thread_start(&thread, THREAD_SYNC, "a-name-that-is-too-long", look_around,
                                  &seen, NULL),
                     STATUS_OK);
    pthread_join(thread, NULL);
    assert_int_equal(seen.role, THREAD_SYNC);
    assert_string_equal(seen.name, "a-name-that-is-");
    assert_int_equal(seen.open_signals, 0);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGTERM));
}

static void a_thread_without_a_role_may_call_anything(void **state)
{
    (void)state;
    assert_int_equal(thread_role(), THREAD_UNNAMED);
    ASSERT_THREAD(THREAD_LOOP);
    ASSERT_THREAD(THREAD_WRITER);
}

static void fail_role(void)
{
    thread_set_role(THREAD_WORKER, "worker");
    ASSERT_THREAD(THREAD_LOOP);
}

static void fail_assertion(void)
{
    int two = 2;
    ASSERT(two == 3);
}

static void fail_panic(void)
{
    panic("number %d", 42);
}

/* Runs `end_badly` in a process of its own; returns what it printed. */
static void run_and_die(void (*end_badly)(void), char *output, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDOUT_FILENO);
        end_badly();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t got;
    while ((got = read(ends[0], output + used, size - 1 - used)) > 0) used += (size_t)got;
    output[used] = '\0';
    close(ends[0]);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFSIGNALED(result) && WTERMSIG(result) == SIGABRT);
}

static void a_failed_assertion_says_where_and_aborts(void **state)
{
    (void)state;
    char output[8192];
    run_and_die(fail_assertion, output, sizeof output);
    assert_non_null(strstr(output, "check_test.c"));
    assert_non_null(strstr(output, "two == 3"));
    run_and_die(fail_panic, output, sizeof output);
    assert_non_null(strstr(output, "number 42"));
}

static void a_call_on_the_wrong_thread_aborts(void **state)
{
    (void)state;
    char output[8192];
    run_and_die(fail_role, output, sizeof output);
    assert_non_null(strstr(output, "thread worker: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_started_thread_has_role_name_and_no_signals),
        cmocka_unit_test(a_thread_without_a_role_may_call_anything),
        cmocka_unit_test(a_failed_assertion_says_where_and_aborts),
        cmocka_unit_test(a_call_on_the_wrong_thread_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
