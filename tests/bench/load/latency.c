/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The histogram of latencies. Bucket i < 256 holds the value i; above, each power of two has 128
 * buckets, and i = exponent * 128 + the first eight bits of the value. */
#include "latency.h"

#include <math.h>

enum { STEPS = 1 << LATENCY_STEP_BITS };

static unsigned bucket_of(uint64_t ns)
{
    if (ns >> LATENCY_LIMIT_BITS) ns = (UINT64_C(1) << LATENCY_LIMIT_BITS) - 1;
    if (ns < 2 * STEPS) return (unsigned)ns;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(ns) - LATENCY_STEP_BITS;
    return exponent * STEPS + (unsigned)(ns >> exponent);
}

/* The largest value that belongs into it. */
static uint64_t bucket_limit(unsigned bucket)
{
    if (bucket < 2 * STEPS) return bucket;
    unsigned exponent = bucket / STEPS - 1;
    return ((uint64_t)(bucket - exponent * STEPS + 1) << exponent) - 1;
}

/* One thread writes: no locked instruction is needed. */
static void add(_Atomic uint64_t *figure, uint64_t n)
{
    uint64_t old = atomic_load_explicit(figure, memory_order_relaxed);
    atomic_store_explicit(figure, old + n, memory_order_relaxed);
}

void latency_record_ns(struct latency *latency, int64_t ns)
{
    uint64_t value = ns < 0 ? 0 : (uint64_t)ns;
    add(&latency->buckets[bucket_of(value)], 1);
    add(&latency->sum_ns, value);
    if (value > atomic_load_explicit(&latency->maximum_ns, memory_order_relaxed)) {
        atomic_store_explicit(&latency->maximum_ns, value, memory_order_relaxed);
    }
}

void latency_add_to(struct latency_snapshot *snapshot, const struct latency *latency)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        uint64_t count = atomic_load_explicit(&latency->buckets[i], memory_order_relaxed);
        snapshot->buckets[i] += count;
        snapshot->count += count;
    }
    snapshot->sum_ns += atomic_load_explicit(&latency->sum_ns, memory_order_relaxed);
    uint64_t maximum = atomic_load_explicit(&latency->maximum_ns, memory_order_relaxed);
    if (maximum > snapshot->maximum_ns) snapshot->maximum_ns = maximum;
}

void latency_subtract(struct latency_snapshot *later, const struct latency_snapshot *earlier)
{
    uint64_t highest = 0;
    later->count = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        later->buckets[i] -= earlier->buckets[i];
        later->count += later->buckets[i];
        if (later->buckets[i]) highest = bucket_limit(i);
    }
    later->sum_ns -= earlier->sum_ns;
    if (highest < later->maximum_ns) later->maximum_ns = highest;
}

uint64_t latency_quantile_ns(const struct latency_snapshot *snapshot, double fraction)
{
    uint64_t wanted = (uint64_t)ceil(fraction * (double)snapshot->count), seen = 0;
    if (wanted < 1) wanted = 1;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += snapshot->buckets[i];
        if (seen >= wanted) {
            uint64_t limit = bucket_limit(i);
            return limit < snapshot->maximum_ns ? limit : snapshot->maximum_ns;
        }
    }
    return snapshot->count ? snapshot->maximum_ns : 0;
}

double latency_mean_ns(const struct latency_snapshot *snapshot)
{
    return snapshot->count ? (double)snapshot->sum_ns / (double)snapshot->count : 0;
}
