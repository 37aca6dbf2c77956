/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Time. The wall clock decides about expiry; the monotonic clock measures. Any thread. */
#ifndef KELVIN_BASE_CLOCK_H
#define KELVIN_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_us(void);      /* since 1970, microseconds */
int64_t clock_wall_ms(void);      /* since 1970, milliseconds */
int64_t clock_monotonic_us(void); /* from an arbitrary start, never backwards */
int64_t clock_monotonic_ns(void);

/* For tests: added to the wall clock (an hour either way). */
void clock_shift_wall_ms(int64_t delta_ms);

#endif
