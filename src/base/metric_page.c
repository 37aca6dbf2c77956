/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See metric_page.h. A histogram is read bucket by bucket while others write to it, and its count on the
 * page is the sum of what was read, so that the buckets of one page always agree with it. Any thread. */
#include "base/metric_page.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

const struct metric_scale metric_scale_us = {1000000, 4, 24, 1};
const struct metric_scale metric_scale_ns = {1000000000, 8, 34, 2};

/* --- the walk --- */

void metric_visit_family(const struct metric_visitor *visitor, const struct metric *metric)
{
    if (visitor->family) visitor->family(visitor->context, metric);
}

void metric_visit_value(const struct metric_visitor *visitor, const struct metric *metric,
                        const char *labels, double value)
{
    const struct metric_sample sample = {.labels = labels, .value = value};
    if (visitor->sample) visitor->sample(visitor->context, metric, &sample);
}

void metric_visit_histogram(const struct metric_visitor *visitor, const struct metric *metric,
                            const char *labels, const struct histogram *histogram,
                            const struct metric_scale *scale)
{
    const struct metric_sample sample = {.labels = labels, .histogram = histogram, .scale = scale};
    if (visitor->sample) visitor->sample(visitor->context, metric, &sample);
}

/* How many of the field's units make one that is shown. */
static double divisor(const struct metric *metric)
{
    if (strcmp(metric->unit, "seconds") == 0) return 1e6;
    return strcmp(metric->unit, "milliseconds") == 0 ? 1e3 : 1;
}

void metric_visit_table(const struct metric_visitor *visitor, const struct metric_table *table,
                        const void *metrics)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct metric *row = &table->rows[i];
        const void *field = (const char *)metrics + row->offset;
        metric_visit_family(visitor, row);
        switch (row->kind) {
        case METRIC_COUNTER:
            metric_visit_value(visitor, row, "", (double)counter_get(field) / divisor(row));
            break;
        case METRIC_GAUGE:
            metric_visit_value(visitor, row, "", (double)gauge_get(field) / divisor(row));
            break;
        case METRIC_HISTOGRAM:
            metric_visit_histogram(visitor, row, "", field, &metric_scale_us);
            break;
        }
    }
}

const char *metric_shown_unit(const struct metric *metric)
{
    return strcmp(metric->unit, "milliseconds") == 0 ? "seconds" : metric->unit;
}

const char *metric_kind_name(enum metric_kind kind)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};
    return names[kind];
}

/* --- words --- */

static void append_escaped(struct buffer *out, struct slice text, bool quotes)
{
    size_t plain = 0; /* what needs no escape goes over in one piece */
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c != '\n' && c != '\\' && (c != '"' || !quotes)) continue;
        buffer_append(out, text.data + plain, i - plain);
        plain = i + 1;
        if (c == '\n')
            buffer_append_text(out, "\\n");
        else if (c == '\\')
            buffer_append_text(out, "\\\\");
        else
            buffer_append_text(out, "\\\"");
    }
    buffer_append(out, text.data + plain, text.size - plain);
}

void metric_append_label(struct buffer *out, const char *name, struct slice value)
{
    if (out->size) buffer_append_text(out, ",");
    buffer_append_text(out, name);
    buffer_append_text(out, "=\"");
    append_escaped(out, value, true);
    buffer_append_text(out, "\"");
}

void metric_append_number(struct buffer *out, double value)
{
    enum { EXACT_BITS = 53 };
    char text[32];
    if (isnan(value)) {
        buffer_append_text(out, "NaN");
    } else if (isinf(value)) {
        buffer_append_text(out, value > 0 ? "+Inf" : "-Inf");
    } else if (fabs(value) <= (double)((int64_t)1 << EXACT_BITS) && value == floor(value)) {
        buffer_append(out, text, int64_format(text, (int64_t)value));
    } else {
        int size = snprintf(text, sizeof text, "%.15g", value);
        buffer_append(out, text, (size_t)size);
    }
}

/* value / per_unit, exactly. printf's doubles would be half of the time that a page takes. */
static void append_decimal(struct buffer *out, uint64_t value, uint64_t per_unit)
{
    char text[INT64_TEXT_BYTES];
    uint64_t whole = value / per_unit, rest = value - whole * per_unit;
    buffer_append(out, text, uint64_format(text, whole));
    size_t size = 0;
    if (rest > 0) text[size++] = '.';
    for (uint64_t unit = per_unit / 10; rest > 0; rest %= unit, unit /= 10)
        text[size++] = (char)('0' + rest / unit);
    buffer_append(out, text, size);
}

/* --- the page --- */

static bool ends_with(struct slice text, const char *end)
{
    size_t size = strlen(end);
    return text.size >= size && memcmp(text.data + text.size - size, end, size) == 0;
}

/* OpenMetrics: a counter's family has the name without _total. */
static struct slice family_name(const struct metric_page *page, const struct metric *metric)
{
    struct slice name = slice_from_text(metric->name);
    if (page->format == METRIC_OPENMETRICS && metric->kind == METRIC_COUNTER &&
        ends_with(name, "_total"))
        name.size -= strlen("_total");
    return name;
}

static void begin_comment(struct buffer *out, const char *what, struct slice name)
{
    buffer_append_text(out, "# ");
    buffer_append_text(out, what);
    buffer_append_text(out, " ");
    buffer_append_slice(out, name);
    buffer_append_text(out, " ");
}

static void write_family(void *context, const struct metric *metric)
{
    const struct metric_page *page = context;
    struct buffer *out = page->out;
    struct slice name = family_name(page, metric);
    begin_comment(out, "HELP", name);
    /* A line break in a table is only the end of a line of source. */
    for (const char *text = metric->help; *text;) {
        size_t size = strcspn(text, "\n");
        append_escaped(out, slice_make(text, size), page->format == METRIC_OPENMETRICS);
        text += size;
        if (*text++ != '\n') break;
        buffer_append_text(out, " ");
    }
    buffer_append_text(out, "\n");
    begin_comment(out, "TYPE", name);
    buffer_append_text(out, metric_kind_name(metric->kind));
    buffer_append_text(out, "\n");

    const char *unit = metric_shown_unit(metric);
    size_t unit_size = strlen(unit);
    if (page->format == METRIC_OPENMETRICS && unit_size && name.size > unit_size &&
        ends_with(name, unit) && name.data[name.size - unit_size - 1] == '_') {
        begin_comment(out, "UNIT", name);
        buffer_append_text(out, unit);
        buffer_append_text(out, "\n");
    }
}

/* name_suffix{labels}, and a blank */
static void begin_line(struct buffer *out, const struct metric *metric, const char *suffix,
                       const char *labels)
{
    buffer_append_text(out, metric->name);
    buffer_append_text(out, suffix);
    if (*labels) {
        buffer_append_text(out, "{");
        buffer_append_text(out, labels);
        buffer_append_text(out, "}");
    }
    buffer_append_text(out, " ");
}

static void end_line(struct buffer *out, uint64_t count)
{
    char text[INT64_TEXT_BYTES];
    buffer_append(out, text, uint64_format(text, count));
    buffer_append_text(out, "\n");
}

static void begin_bucket(struct buffer *out, const struct metric *metric, const char *labels)
{
    buffer_append_text(out, metric->name);
    buffer_append_text(out, "_bucket{");
    buffer_append_text(out, labels);
    buffer_append_text(out, *labels ? ",le=\"" : "le=\"");
}

static uint64_t bucket_count(const struct histogram *histogram, unsigned bucket)
{
    return atomic_load_explicit(&histogram->buckets[bucket], memory_order_relaxed);
}

static void write_histogram(struct buffer *out, const struct metric *metric,
                            const struct metric_sample *sample)
{
    const struct histogram *histogram = sample->histogram;
    const struct metric_scale *scale = sample->scale;
    uint64_t total = 0;
    unsigned bucket = 0;
    for (unsigned bit = scale->first; bit <= scale->last; bit += scale->step) {
        uint64_t limit = ((uint64_t)1 << bit) - 1;
        for (; bucket < HISTOGRAM_BUCKETS && histogram_bucket_limit_us(bucket) <= limit; bucket++)
            total += bucket_count(histogram, bucket);
        begin_bucket(out, metric, sample->labels);
        append_decimal(out, limit, scale->per_unit);
        buffer_append_text(out, "\"} ");
        end_line(out, total);
    }
    for (; bucket < HISTOGRAM_BUCKETS; bucket++) total += bucket_count(histogram, bucket);
    begin_bucket(out, metric, sample->labels);
    buffer_append_text(out, "+Inf\"} ");
    end_line(out, total);
    begin_line(out, metric, "_sum", sample->labels);
    append_decimal(out, atomic_load_explicit(&histogram->sum, memory_order_relaxed), scale->per_unit);
    buffer_append_text(out, "\n");
    begin_line(out, metric, "_count", sample->labels);
    end_line(out, total);
}

static void write_sample(void *context, const struct metric *metric,
                         const struct metric_sample *sample)
{
    const struct metric_page *page = context;
    if (sample->histogram) {
        write_histogram(page->out, metric, sample);
        return;
    }
    begin_line(page->out, metric, "", sample->labels);
    metric_append_number(page->out, sample->value);
    buffer_append_text(page->out, "\n");
}

struct metric_visitor metric_page_visitor(struct metric_page *page)
{
    return (struct metric_visitor){page, write_family, write_sample};
}

void metric_page_end(struct metric_page *page)
{
    if (page->format == METRIC_OPENMETRICS) buffer_append_text(page->out, "# EOF\n");
}
