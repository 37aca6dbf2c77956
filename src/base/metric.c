/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Histograms, and the walk over a metric table. Any thread: all figures are relaxed atomics, so a
 * reader beside a writer may see a count that is one ahead of its bucket; sums of buckets are
 * what quantiles are computed from. */
#include "base/metric.h"

#include "base/check.h"

enum { SUB_BITS = 3, SUB_BUCKETS = 1 << SUB_BITS };

/* Values below 8 have a bucket each; then each power of two is cut in 8. */
static unsigned bucket_of(uint64_t microseconds)
{
    if (microseconds < SUB_BUCKETS) return (unsigned)microseconds;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(microseconds);
    unsigned sub = (unsigned)(microseconds >> (exponent - SUB_BITS)) & (SUB_BUCKETS - 1);
    unsigned bucket = SUB_BUCKETS + (exponent - SUB_BITS) * SUB_BUCKETS + sub;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

uint64_t histogram_bucket_limit_us(unsigned bucket)
{
    ASSERT(bucket < HISTOGRAM_BUCKETS);
    if (bucket < SUB_BUCKETS) return bucket;
    unsigned shift = bucket / SUB_BUCKETS - 1;
    uint64_t first = (uint64_t)(SUB_BUCKETS + bucket % SUB_BUCKETS) << shift;
    return first + ((uint64_t)1 << shift) - 1;
}

void histogram_record_us(struct histogram *histogram, uint64_t microseconds)
{
    atomic_fetch_add_explicit(&histogram->buckets[bucket_of(microseconds)], 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, microseconds, memory_order_relaxed);
    uint64_t maximum = atomic_load_explicit(&histogram->maximum, memory_order_relaxed);
    while (microseconds > maximum &&
           !atomic_compare_exchange_weak_explicit(&histogram->maximum, &maximum, microseconds,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

uint64_t histogram_quantile_us(const struct histogram *histogram, double fraction)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
    if (total == 0) return 0;

    uint64_t maximum = atomic_load_explicit(&histogram->maximum, memory_order_relaxed);
    double wanted = fraction * (double)total;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        if (seen > 0 && (double)seen >= wanted) {
            uint64_t limit = histogram_bucket_limit_us(i);
            return limit < maximum ? limit : maximum;
        }
    }
    return maximum; /* the last bucket has no upper end */
}

void histogram_reset(struct histogram *histogram)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        atomic_store_explicit(&histogram->buckets[i], 0, memory_order_relaxed);
    atomic_store_explicit(&histogram->count, 0, memory_order_relaxed);
    atomic_store_explicit(&histogram->sum, 0, memory_order_relaxed);
    atomic_store_explicit(&histogram->maximum, 0, memory_order_relaxed);
}

void metric_reset(const struct metric_table *table, void *metrics)
{
    for (size_t i = 0; i < table->count; i++) {
        void *field = (char *)metrics + table->rows[i].offset;
        switch (table->rows[i].kind) {
        case METRIC_COUNTER:
            counter_reset(field);
            break;
        case METRIC_HISTOGRAM:
            histogram_reset(field);
            break;
        case METRIC_GAUGE:
            break;
        }
    }
}
