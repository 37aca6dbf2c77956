/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Failed assertions, and threads with a name and a role. Any thread. */
#include "base/check.h"

#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local enum thread_role own_role = THREAD_UNNAMED;

_Static_assert(sizeof(pthread_t) == sizeof(unsigned long), "thread_start hands out a pthread_t");

_Noreturn static void die(const char *reason)
{
    enum { FRAMES = 32 };
    void *frames[FRAMES];
    char name[16] = "?", line[ERROR_TEXT_BYTES + 64];
    pthread_getname_np(pthread_self(), name, sizeof name);
    snprintf(line, sizeof line, "thread %s: %s", name, reason);
    log_emergency(line);
    int count = backtrace(frames, FRAMES);
    char **symbols = backtrace_symbols(frames, count);
    for (int i = 1; symbols && i < count; i++) log_emergency(symbols[i]);
    abort();
}

_Noreturn void assert_failed(const char *file, int line, const char *condition)
{
    char reason[ERROR_TEXT_BYTES];
    snprintf(reason, sizeof reason, "assertion failed at %s:%d: %s", file, line, condition);
    die(reason);
}

_Noreturn void panic(const char *format, ...)
{
    char reason[ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    die(reason);
}

void thread_set_role(enum thread_role role, const char *name)
{
    char kernel_name[16]; /* longer names are refused by the kernel */
    snprintf(kernel_name, sizeof kernel_name, "%s", name);
    pthread_setname_np(pthread_self(), kernel_name);
    own_role = role;
}

enum thread_role thread_role(void)
{
    return own_role;
}

struct start {
    enum thread_role role;
    char name[16];
    void (*run)(void *argument);
    void *argument;
};

static void *run_thread(void *argument)
{
    struct start start = *(struct start *)argument;
    mem_free(argument);
    thread_set_role(start.role, start.name);
    start.run(start.argument);
    return NULL;
}

enum status thread_start(unsigned long *out, enum thread_role role, const char *name,
                         void (*run)(void *argument), void *argument, struct error *error)
{
    struct start *start = mem_calloc(1, sizeof *start);
    start->role = role;
    snprintf(start->name, sizeof start->name, "%s", name);
    start->run = run;
    start->argument = argument;

    /* A thread inherits the mask: signals are the main thread's business. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int failure = pthread_create(&thread, NULL, run_thread, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        mem_free(start);
        return error_set_errno(error, failure, "cannot start the thread %s", name);
    }
    *out = thread;
    return STATUS_OK;
}
