/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Assertions about our own mistakes; they stay on in release builds. Bytes from a socket, a file
 * or the configuration are checked and become a status instead. Threads have names, and the rule
 * "only this thread may call" is executable. */
#ifndef KELVIN_BASE_CHECK_H
#define KELVIN_BASE_CHECK_H

#include "base/status.h"

#include <stdbool.h>

/* Logs file, line, condition and a backtrace, then aborts. */
_Noreturn void assert_failed(const char *file, int line, const char *condition);
/* The same for what must never happen, with a formatted reason. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) assert_failed(__FILE__, __LINE__, #condition);      \
    } while (0)

enum thread_role { THREAD_UNNAMED, THREAD_LOOP, THREAD_WORKER, THREAD_SYNC, THREAD_WRITER, THREAD_LOG };

/* Names the calling thread (kernel name, log lines) and gives it a role. */
void thread_set_role(enum thread_role role, const char *name);
enum thread_role thread_role(void);

/* Starts a thread with the role and all signals blocked. `*out` is a pthread_t. Join with
 * pthread_join. */
enum status thread_start(unsigned long *out, enum thread_role role, const char *name,
                         void (*run)(void *argument), void *argument, struct error *error);

/* A thread without a role (a unit test, start-up before the loop) may call anything. */
#define ASSERT_THREAD(role) ASSERT(thread_role() == (role) || thread_role() == THREAD_UNNAMED)

#endif
