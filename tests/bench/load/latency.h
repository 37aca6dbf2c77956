/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A histogram of latencies: log-linear buckets, 128 a power of two, so that what comes out is at
 * most 0.8% too large; 1 nanosecond to 18 minutes (longer ones count as that; the maximum is
 * exact). One thread records; any thread may take a snapshot, and the difference of two snapshots
 * is what came between. */
#ifndef KELVIN_BENCH_LATENCY_H
#define KELVIN_BENCH_LATENCY_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    LATENCY_STEP_BITS = 7,
    LATENCY_LIMIT_BITS = 40,
    LATENCY_BUCKETS = (LATENCY_LIMIT_BITS - LATENCY_STEP_BITS + 1) << LATENCY_STEP_BITS
};

/* Zero-initialised is empty. */
struct latency {
    _Atomic uint64_t buckets[LATENCY_BUCKETS];
    _Atomic uint64_t sum_ns, maximum_ns;
};

struct latency_snapshot {
    uint64_t buckets[LATENCY_BUCKETS];
    uint64_t count, sum_ns, maximum_ns;
};

void latency_record_ns(struct latency *latency, int64_t ns); /* below 0 counts as 0 */

/* Adds what `latency` holds. */
void latency_add_to(struct latency_snapshot *snapshot, const struct latency *latency);
/* later -= earlier; the maximum becomes that of the highest bucket that is left. */
void latency_subtract(struct latency_snapshot *later, const struct latency_snapshot *earlier);
/* The value that the fraction (0..1) of the recorded ones do not exceed; 0 when empty. */
uint64_t latency_quantile_ns(const struct latency_snapshot *snapshot, double fraction);
double latency_mean_ns(const struct latency_snapshot *snapshot);

#endif
