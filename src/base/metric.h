/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Metrics. A module keeps its figures in a struct of its own and declares them once, as rows of a
 * table; INFO, the metrics page and their documentation come from those rows. Base units (seconds,
 * bytes); counters end in _total. Updating is a relaxed load and store where one thread owns the
 * figure, a relaxed add where several do; reading is allowed from any thread. */
#ifndef KELVIN_BASE_METRIC_H
#define KELVIN_BASE_METRIC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct counter {
    _Atomic uint64_t value;
};
struct gauge {
    _Atomic int64_t value;
};

/* Log-linear buckets, 8 a power of two, 1 microsecond to 19 hours: 12.5% relative error.
 * Values are microseconds; a table row with unit "seconds" is shown divided by 1e6. */
enum { HISTOGRAM_BUCKETS = 8 + 33 * 8 };
struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
    _Atomic uint64_t count, sum, maximum;
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric {
    const char *name; /* kelvin_journal_appended_bytes_total */
    enum metric_kind kind;
    size_t offset;    /* of the field in the module's metrics struct */
    const char *unit; /* "bytes", "" ; "seconds": the field holds microseconds; "milliseconds": shown as
                         seconds on the metrics page */
    const char *info; /* its name in INFO, or NULL */
    const char *help;
};

struct metric_table {
    const char *family; /* "journal", ... : the INFO section it belongs to */
    const struct metric *rows;
    size_t count;
};

/* One thread owns the figure. */
static inline void counter_add(struct counter *c, uint64_t n)
{
    atomic_store_explicit(&c->value, atomic_load_explicit(&c->value, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
/* Several threads do. */
static inline void counter_add_shared(struct counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}
static inline uint64_t counter_get(const struct counter *c)
{
    return atomic_load_explicit(&c->value, memory_order_relaxed);
}
static inline void counter_reset(struct counter *c)
{
    atomic_store_explicit(&c->value, 0, memory_order_relaxed);
}
static inline void gauge_set(struct gauge *g, int64_t v)
{
    atomic_store_explicit(&g->value, v, memory_order_relaxed);
}
static inline void gauge_add_shared(struct gauge *g, int64_t n)
{
    atomic_fetch_add_explicit(&g->value, n, memory_order_relaxed);
}
static inline int64_t gauge_get(const struct gauge *g)
{
    return atomic_load_explicit(&g->value, memory_order_relaxed);
}

/* Any thread. */
void histogram_record_us(struct histogram *histogram, uint64_t microseconds);
/* The value below which the fraction (0..1) of the recorded ones lie; 0 when empty. */
uint64_t histogram_quantile_us(const struct histogram *histogram, double fraction);
void histogram_reset(struct histogram *histogram);
/* The largest value that a bucket holds, in microseconds (the last one has no real end). */
uint64_t histogram_bucket_limit_us(unsigned bucket);

/* Sets every counter and histogram of the struct to zero (CONFIG RESETSTAT); gauges stay. */
void metric_reset(const struct metric_table *table, void *metrics);

#endif
