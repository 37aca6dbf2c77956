/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A flag that one thread sleeps on and any thread raises, over a futex. Raising takes no lock and
 * makes a system call only when the sleeper sleeps. Raising it twice is raising it once. */
#ifndef KELVIN_STORAGE_JOURNAL_EVENT_H
#define KELVIN_STORAGE_JOURNAL_EVENT_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { EVENT_NONE, EVENT_RAISED, EVENT_SLEEPING };

struct event {
    _Atomic uint32_t state;
};

static inline void event_raise(struct event *event)
{
    if (atomic_exchange(&event->state, EVENT_RAISED) == EVENT_SLEEPING)
        syscall(SYS_futex, &event->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Returns when raised, or after `timeout_us` (< 0: never by itself), or once in a while for no
 * reason. Lowers the flag. */
static inline void event_wait(struct event *event, int64_t timeout_us)
{
    uint32_t expected = EVENT_NONE;
    struct timespec limit = {timeout_us / 1000000, (long)(timeout_us % 1000000) * 1000};
    if (timeout_us != 0 &&
        atomic_compare_exchange_strong(&event->state, &expected, EVENT_SLEEPING))
        syscall(SYS_futex, &event->state, FUTEX_WAIT_PRIVATE, EVENT_SLEEPING,
                timeout_us < 0 ? NULL : &limit, NULL, 0);
    atomic_exchange(&event->state, EVENT_NONE); /* what was done before the raise is seen now */
}

#endif
