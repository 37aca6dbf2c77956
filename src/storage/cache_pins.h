/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How many bytes of the cache are pinned: those of entries whose last operation is above the
 * applied sequence. For cache.c alone; loop thread only.
 *
 * Nothing is kept per entry, and nothing is walked when the applied sequence moves: the bytes are
 * counted in a ring of PIN_BUCKETS counters, each for 2^shift sequences, and a counter whose
 * sequences are all applied is dropped whole. As long as no more than PIN_BUCKETS sequences are
 * above the applied one the figure is exact; otherwise it is too high by at most one counter. */
#ifndef KELVIN_STORAGE_CACHE_PINS_H
#define KELVIN_STORAGE_CACHE_PINS_H

#include "base/check.h"

#include <stdint.h>

enum { PIN_BUCKETS = 1024 };

struct cache_pins {
    uint64_t bytes; /* the sum of all counters */
    uint64_t first; /* the first sequence that is counted */
    uint64_t applied;
    uint64_t highest; /* that was ever counted */
    unsigned shift;
    uint64_t counters[PIN_BUCKETS];
};

void cache_pins_init(struct cache_pins *pins);
/* Makes every counter stand for twice as many sequences. */
void cache_pins_widen(struct cache_pins *pins);

/* An entry with that sequence came. 0 is never counted. In line: every write does both. */
static inline void cache_pins_add(struct cache_pins *pins, uint64_t sequence, uint64_t bytes)
{
    if (sequence < pins->first) return;
    while ((sequence >> pins->shift) - (pins->first >> pins->shift) >= PIN_BUCKETS)
        cache_pins_widen(pins);
    pins->counters[(sequence >> pins->shift) % PIN_BUCKETS] += bytes;
    pins->bytes += bytes;
    if (sequence > pins->highest) pins->highest = sequence;
}

/* It goes. */
static inline void cache_pins_subtract(struct cache_pins *pins, uint64_t sequence, uint64_t bytes)
{
    if (sequence < pins->first) return;
    uint64_t *counter = &pins->counters[(sequence >> pins->shift) % PIN_BUCKETS];
    ASSERT(*counter >= bytes);
    *counter -= bytes;
    pins->bytes -= bytes;
}

/* Never moves backwards. */
void cache_pins_set_applied(struct cache_pins *pins, uint64_t sequence);

#endif
