/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The metrics page: figures as text, in the two formats that scrapers read, and the walk over figures
 * that the page shares with whoever lists them otherwise. Pure functions, any thread.
 *   https://prometheus.io/docs/instrumenting/exposition_formats/ (0.0.4)
 *   https://github.com/OpenObservability/OpenMetrics (1.0) */
#ifndef KELVIN_BASE_METRIC_PAGE_H
#define KELVIN_BASE_METRIC_PAGE_H

#include "base/bytes.h"
#include "base/metric.h"

/* Limits of the buckets on a page, 2^first, 2^(first+step), ... 2^last of the histogram's own unit. The
 * 272 buckets of a histogram would make pages of megabytes. 3 <= first. */
struct metric_scale {
    uint64_t per_unit; /* what the histogram counts in, per second; a power of ten */
    unsigned first, last, step;
};
/* Microseconds: 16 us to 17 s by twos. Nanoseconds: 256 ns to 17 s by fours. */
extern const struct metric_scale metric_scale_us, metric_scale_ns;

/* One series of a family. */
struct metric_sample {
    const char *labels; /* as metric_append_label writes them; "" for none */
    double value;       /* in the unit that is shown */
    const struct histogram *histogram; /* instead of the value; else NULL */
    const struct metric_scale *scale;
};

/* First `family`, then its samples, then the next one. Either may be NULL. */
struct metric_visitor {
    void *context;
    void (*family)(void *context, const struct metric *metric);
    void (*sample)(void *context, const struct metric *metric, const struct metric_sample *sample);
};

void metric_visit_family(const struct metric_visitor *visitor, const struct metric *metric);
void metric_visit_value(const struct metric_visitor *visitor, const struct metric *metric,
                        const char *labels, double value);
void metric_visit_histogram(const struct metric_visitor *visitor, const struct metric *metric,
                            const char *labels, const struct histogram *histogram,
                            const struct metric_scale *scale);
/* All rows of a table, without labels. */
void metric_visit_table(const struct metric_visitor *visitor, const struct metric_table *table,
                        const void *metrics);

/* The unit that is shown: "seconds" where the row has "milliseconds". */
const char *metric_shown_unit(const struct metric *metric);
/* "counter", "gauge", "histogram". */
const char *metric_kind_name(enum metric_kind kind);

/* Appends name="value", behind a comma unless it is the first one. Any bytes. */
void metric_append_label(struct buffer *out, const char *name, struct slice value);
/* Appends the shortest text: integers exactly up to 2^53, "+Inf", "-Inf", "NaN". */
void metric_append_number(struct buffer *out, double value);

enum metric_format { METRIC_TEXT, METRIC_OPENMETRICS };
struct metric_page {
    struct buffer *out;
    enum metric_format format;
};
/* A visitor that writes the page; after the walk, metric_page_end. `page` outlives it. */
struct metric_visitor metric_page_visitor(struct metric_page *page);
void metric_page_end(struct metric_page *page);

#endif
