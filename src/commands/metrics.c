/* SPDX-License-Identifier: BSD-3-Clause
 *
 * METRICS: the metrics page over RESP, and its figures one by one. They are server/'s, reached by a walk
 * (base/metric_page.h). Loop thread. */
#include "commands/server.h"

#include "base/glob.h"
#include "commands/argument.h"

/* METRICS */
void metrics_page(struct command_run *run)
{
    struct buffer text = {0};
    struct metric_page page = {&text, METRIC_TEXT};
    struct metric_visitor visitor = metric_page_visitor(&page);
    server.visit_metrics(&visitor);
    metric_page_end(&page);
    reply_verbatim(run->reply, buffer_slice(&text), "txt");
    buffer_free(&text);
}

/* --- METRICS GET pattern [pattern ...] --- */

struct getting {
    struct command_run *run;
    struct buffer name; /* of the series, labels included */
    uint64_t found;
};

static bool is_wanted(const struct getting *getting, const struct metric *metric)
{
    const struct command_run *run = getting->run;
    for (int i = 2; i < run->argc; i++)
        if (glob_match(run->argv[i], slice_from_text(metric->name), true) ||
            glob_match(run->argv[i], buffer_slice(&getting->name), true))
            return true;
    return false;
}

static void reply_value(struct reply *reply, double value)
{
    if (value == (double)(int64_t)value)
        reply_integer(reply, (int64_t)value);
    else
        reply_double(reply, value);
}

static void reply_histogram(struct reply *reply, const struct metric_sample *sample)
{
    static const struct {
        const char *name;
        double fraction;
    } quantiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}};
    enum { QUANTILES = sizeof quantiles / sizeof *quantiles };
    const struct histogram *histogram = sample->histogram;
    double per_unit = (double)sample->scale->per_unit;
    reply_map(reply, 3 + QUANTILES);
    reply_bulk_text(reply, "count");
    reply_integer(reply,
                  (int64_t)atomic_load_explicit(&histogram->count, memory_order_relaxed));
    reply_bulk_text(reply, "sum");
    reply_double(reply,
                 (double)atomic_load_explicit(&histogram->sum, memory_order_relaxed) / per_unit);
    for (int i = 0; i < QUANTILES; i++) {
        reply_bulk_text(reply, quantiles[i].name);
        reply_double(reply, (double)histogram_quantile_us(histogram, quantiles[i].fraction) / per_unit);
    }
    reply_bulk_text(reply, "max");
    reply_double(reply, (double)atomic_load_explicit(&histogram->maximum, memory_order_relaxed) /
                            per_unit);
}

static void get_sample(void *context, const struct metric *metric,
                       const struct metric_sample *sample)
{
    struct getting *getting = context;
    struct buffer *name = &getting->name;
    buffer_clear(name);
    buffer_append_text(name, metric->name);
    if (*sample->labels) buffer_append_format(name, "{%s}", sample->labels);
    if (!is_wanted(getting, metric)) return;
    getting->found++;
    reply_bulk(getting->run->reply, buffer_slice(name));
    if (sample->histogram)
        reply_histogram(getting->run->reply, sample);
    else
        reply_value(getting->run->reply, sample->value);
}

void metrics_get(struct command_run *run)
{
    struct getting getting = {.run = run};
    const struct metric_visitor visitor = {&getting, NULL, get_sample};
    struct reply_deferred map = reply_defer(run->reply);
    server.visit_metrics(&visitor);
    reply_defer_map(run->reply, map, getting.found);
    buffer_free(&getting.name);
}

/* --- METRICS LIST --- */

struct listing {
    struct reply *reply;
    uint64_t count;
};

static void list_family(void *context, const struct metric *metric)
{
    struct listing *listing = context;
    struct reply *reply = listing->reply;
    struct buffer help = {0};
    listing->count++;
    reply_bulk_text(reply, metric->name);
    reply_map(reply, 3);
    reply_bulk_text(reply, "type");
    reply_bulk_text(reply, metric_kind_name(metric->kind));
    reply_bulk_text(reply, "unit");
    reply_bulk_text(reply, metric_shown_unit(metric));
    reply_bulk_text(reply, "help");
    buffer_append_text(&help, metric->help);
    for (size_t i = 0; i < help.size; i++)
        if (help.data[i] == '\n') help.data[i] = ' ';
    reply_bulk(reply, buffer_slice(&help));
    buffer_free(&help);
}

void metrics_list(struct command_run *run)
{
    struct listing listing = {.reply = run->reply};
    const struct metric_visitor visitor = {&listing, list_family, NULL};
    struct reply_deferred map = reply_defer(run->reply);
    server.visit_metrics(&visitor);
    reply_defer_map(run->reply, map, listing.count);
}

/* METRICS RESET */
void metrics_reset(struct command_run *run)
{
    server.reset_metrics();
    reply_ok(run->reply);
}

/* METRICS HELP */
void metrics_help(struct command_run *run)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return all metrics as a page in Prometheus's text format.",
        "GET <pattern> [<pattern> ...]",
        "    Return the metrics whose names match a glob-like <pattern>, with their values;",
        "    of a histogram count, sum, percentiles and maximum.",
        "LIST",
        "    Return the names of all metrics with type, unit and meaning.",
        "RESET",
        "    Set counters and histograms back to zero, as CONFIG RESETSTAT does.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}
