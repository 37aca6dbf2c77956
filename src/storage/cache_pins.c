/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Pinned bytes, counted by sequence (see the header). Loop thread only.
 *
 * Always true: a sequence is counted exactly if it is at or above `first`; counters below it are
 * zero; `first` only grows, so that what was added and is subtracted later meets the same rule. */
#include "storage/cache_pins.h"

#include <string.h>

void cache_pins_init(struct cache_pins *pins)
{
    memset(pins, 0, sizeof *pins);
    pins->first = 1;
}

void cache_pins_widen(struct cache_pins *pins)
{
    uint64_t merged[PIN_BUCKETS] = {0};
    uint64_t from = pins->first >> pins->shift;
    for (uint64_t bucket = from; bucket < from + PIN_BUCKETS; bucket++)
        merged[(bucket >> 1) % PIN_BUCKETS] += pins->counters[bucket % PIN_BUCKETS];
    memcpy(pins->counters, merged, sizeof merged);
    pins->shift++;
}

void cache_pins_set_applied(struct cache_pins *pins, uint64_t sequence)
{
    if (sequence <= pins->applied) return;
    pins->applied = sequence;
    if (sequence >= pins->highest) {
        /* Nothing is pinned: begin again with the finest counters. */
        memset(pins->counters, 0, sizeof pins->counters);
        pins->bytes = 0;
        pins->shift = 0;
        if (sequence >= pins->first) pins->first = sequence + 1;
        return;
    }
    while (((pins->first >> pins->shift) + 1) << pins->shift <= sequence + 1) {
        uint64_t *counter = &pins->counters[(pins->first >> pins->shift) % PIN_BUCKETS];
        pins->bytes -= *counter;
        *counter = 0;
        pins->first = ((pins->first >> pins->shift) + 1) << pins->shift;
    }
}
