/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Time from the kernel's clocks (no system call: the vDSO answers). Any thread. */
#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t wall_shift_us;

static int64_t read_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_wall_us(void)
{
    return read_clock_ns(CLOCK_REALTIME) / 1000 +
           atomic_load_explicit(&wall_shift_us, memory_order_relaxed);
}

int64_t clock_wall_ms(void)
{
    return clock_wall_us() / 1000;
}

int64_t clock_monotonic_us(void)
{
    return read_clock_ns(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_monotonic_ns(void)
{
    return read_clock_ns(CLOCK_MONOTONIC);
}

void clock_shift_wall_ms(int64_t delta_ms)
{
    atomic_fetch_add_explicit(&wall_shift_us, delta_ms * 1000, memory_order_relaxed);
}
