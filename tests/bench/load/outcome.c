/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a run has brought. The workers count from their start; what a second or the run without its
 * warm-up brought is the difference of two sums. */
#include "outcome.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static const struct {
    const char *name;
    double fraction;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}};
enum { QUANTILES = sizeof quantiles / sizeof *quantiles };

static int64_t own_cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static unsigned commands(const struct outcome *outcome)
{
    return outcome->run->options.command_count;
}

/* The sums over all workers since their start. */
static void add_up(const struct outcome *outcome, struct tally *sums)
{
    memset(sums, 0, commands(outcome) * sizeof *sums);
    for (uint64_t w = 0; w < outcome->run->options.threads; w++) {
        for (unsigned c = 0; c < commands(outcome); c++) {
            const struct load_figures *figures = worker_figures(outcome->workers[w], c);
            latency_add_to(&sums[c].latency, &figures->latency);
            sums[c].errors += atomic_load(&figures->errors);
            sums[c].nils += atomic_load(&figures->nils);
            sums[c].wrong += atomic_load(&figures->wrong);
        }
    }
}

static void subtract(struct tally *later, const struct tally *earlier)
{
    latency_subtract(&later->latency, &earlier->latency);
    later->errors -= earlier->errors;
    later->nils -= earlier->nils;
    later->wrong -= earlier->wrong;
}

static void merge(struct tally *into, const struct tally *other)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        into->latency.buckets[i] += other->latency.buckets[i];
    }
    into->latency.count += other->latency.count;
    into->latency.sum_ns += other->latency.sum_ns;
    if (other->latency.maximum_ns > into->latency.maximum_ns) {
        into->latency.maximum_ns = other->latency.maximum_ns;
    }
    into->errors += other->errors;
    into->nils += other->nils;
    into->wrong += other->wrong;
}

/* All commands together, what came after `earlier`; free with mem_free. */
static struct tally *total_since(struct outcome *outcome, const struct tally *earlier)
{
    struct tally *total = mem_calloc(1, sizeof *total);
    for (unsigned c = 0; c < commands(outcome); c++) {
        struct tally *part = mem_dup(&outcome->now[c], sizeof *part);
        subtract(part, &earlier[c]);
        merge(total, part);
        mem_free(part);
    }
    return total;
}

void outcome_setup(struct outcome *outcome, struct load_run *run, struct worker **workers)
{
    *outcome = (struct outcome){.run = run, .workers = workers};
    outcome->baseline = mem_calloc(commands(outcome), sizeof *outcome->baseline);
    outcome->last = mem_calloc(commands(outcome), sizeof *outcome->last);
    outcome->now = mem_calloc(commands(outcome), sizeof *outcome->now);
    outcome->baseline_ns = outcome->last_ns = run->begin_ns;
    outcome->cpu_baseline_ns = own_cpu_ns();
}

void outcome_free(struct outcome *outcome)
{
    mem_free(outcome->baseline);
    mem_free(outcome->last);
    mem_free(outcome->now);
    buffer_free(&outcome->series_requests);
    buffer_free(&outcome->series_errors);
    buffer_free(&outcome->series_p50);
    buffer_free(&outcome->series_p99);
    buffer_free(&outcome->series_max);
}

static void add_up_lateness(const struct outcome *outcome, struct latency_snapshot *late)
{
    memset(late, 0, sizeof *late);
    for (uint64_t w = 0; w < outcome->run->options.threads; w++) {
        latency_add_to(late, worker_lateness(outcome->workers[w]));
    }
}

void outcome_rebase(struct outcome *outcome)
{
    add_up(outcome, outcome->baseline);
    add_up_lateness(outcome, &outcome->late_baseline);
    memcpy(outcome->last, outcome->baseline, commands(outcome) * sizeof *outcome->last);
    outcome->baseline_ns = outcome->last_ns = clock_monotonic_ns();
    outcome->cpu_baseline_ns = own_cpu_ns();
    atomic_store(&outcome->run->longest_gap_ns, 0);
    buffer_clear(&outcome->series_requests);
    buffer_clear(&outcome->series_errors);
    buffer_clear(&outcome->series_p50);
    buffer_clear(&outcome->series_p99);
    buffer_clear(&outcome->series_max);
}

static double us(uint64_t ns)
{
    return (double)ns / 1000;
}

static void append_number(struct buffer *series, double value)
{
    buffer_append_format(series, "%s%.0f", series->size ? "," : "", value);
}

uint64_t outcome_tick(struct outcome *outcome, bool warmup)
{
    int64_t now_ns = clock_monotonic_ns();
    double seconds = (double)(now_ns - outcome->last_ns) / 1e9;
    add_up(outcome, outcome->now);
    struct tally *second = total_since(outcome, outcome->last);
    struct tally *swap = outcome->last;
    outcome->last = outcome->now;
    outcome->now = swap;
    outcome->last_ns = now_ns;

    const struct latency_snapshot *latency = &second->latency;
    unsigned long long bad = second->errors + second->wrong;
    double p50 = us(latency_quantile_ns(latency, 0.5)),
           p99 = us(latency_quantile_ns(latency, 0.99));
    append_number(&outcome->series_requests, (double)latency->count / seconds);
    append_number(&outcome->series_errors, (double)second->errors);
    append_number(&outcome->series_p50, p50);
    append_number(&outcome->series_p99, p99);
    append_number(&outcome->series_max, us(latency->maximum_ns));
    if (!outcome->run->options.quiet) {
        fprintf(stderr,
                "%s%4.0f s  %9.0f requests/s  %llu errors  p50 %.0f us  p99 %.0f us  max %.0f us\n",
                warmup ? "warm-up " : "", (double)(now_ns - outcome->run->begin_ns) / 1e9,
                (double)latency->count / seconds, bad, p50, p99, us(latency->maximum_ns));
    }
    uint64_t count = latency->count;
    mem_free(second);
    return count;
}

/* ---- the result --------------------------------------------------------------------------------
 */

static void print_latency_json(const struct latency_snapshot *latency)
{
    printf("{\"mean\":%.2f", latency_mean_ns(latency) / 1000);
    for (unsigned i = 0; i < QUANTILES; i++) {
        printf(",\"%s\":%.2f", quantiles[i].name,
               us(latency_quantile_ns(latency, quantiles[i].fraction)));
    }
    printf(",\"max\":%.2f}", us(latency->maximum_ns));
}

static void print_tally_json(const struct tally *tally)
{
    printf("\"requests\":%llu,\"errors\":%llu,\"nils\":%llu,\"wrong\":%llu,\"latency_us\":",
           (unsigned long long)tally->latency.count, (unsigned long long)tally->errors,
           (unsigned long long)tally->nils, (unsigned long long)tally->wrong);
    print_latency_json(&tally->latency);
}

static void print_string_json(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') putchar('\\');
        if ((unsigned char)*text < ' ')
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_series_json(const char *name, const struct buffer *series, const char *before)
{
    printf("%s\"%s\":[%.*s]", before, name, (int)series->size, series->size ? series->data : "");
}

static void print_options_json(const struct load_options *options)
{
    printf("\"options\":{\"connections\":%llu,\"threads\":%llu,\"pipeline\":%llu,\"window\":%s,"
           "\"rate\":%.0f,\"poisson\":%s,\"keys\":%llu,\"seed\":%llu,\"order\":",
           (unsigned long long)options->connections, (unsigned long long)options->threads,
           (unsigned long long)options->pipeline, options->window ? "true" : "false", options->rate,
           options->poisson ? "true" : "false", (unsigned long long)options->keys,
           (unsigned long long)options->seed);
    print_string_json(options->order);
    printf(",\"value\":");
    print_string_json(options->values);
    printf("}");
}

static void print_json(struct outcome *outcome, const struct tally *total, double seconds,
                       double cpu_us, const struct latency_snapshot *late)
{
    const struct load_run *run = outcome->run;
    printf("{\"seconds\":%.4f,\"requests_per_second\":%.1f,\"longest_gap_ms\":%.3f,"
           "\"load_cpu_us_per_request\":%.3f,",
           seconds, (double)total->latency.count / seconds,
           (double)atomic_load(&run->longest_gap_ns) / 1e6, cpu_us);
    print_tally_json(total);
    if (run->options.rate > 0) {
        printf(",\"left_late_us\":");
        print_latency_json(late);
    }
    printf(",\"commands\":[");
    for (unsigned c = 0; c < commands(outcome); c++) {
        printf("%s{\"command\":", c ? "," : "");
        print_string_json(run->options.commands[c].text);
        printf(",\"weight\":%llu,", (unsigned long long)run->options.commands[c].weight);
        print_tally_json(&outcome->now[c]);
        printf("}");
    }
    print_series_json("requests_per_second", &outcome->series_requests, "],\"series\":{");
    print_series_json("errors", &outcome->series_errors, ",");
    print_series_json("p50_us", &outcome->series_p50, ",");
    print_series_json("p99_us", &outcome->series_p99, ",");
    print_series_json("max_us", &outcome->series_max, ",");
    printf("},");
    print_options_json(&run->options);
    if (run->first_complaint[0]) {
        printf(",\"first_complaint\":");
        print_string_json(run->first_complaint);
    }
    printf("}\n");
}

static void print_latency_text(const char *what, const struct latency_snapshot *latency)
{
    printf("%-18s mean %.1f", what, latency_mean_ns(latency) / 1000);
    for (unsigned i = 0; i < QUANTILES; i++) {
        printf("  %s %.1f", quantiles[i].name,
               us(latency_quantile_ns(latency, quantiles[i].fraction)));
    }
    printf("  max %.1f us\n", us(latency->maximum_ns));
}

static void print_tally_text(const char *what, const struct tally *tally, double seconds)
{
    printf("%-18s %llu requests, %.0f/s, %llu errors, %llu wrong, %llu nil\n", what,
           (unsigned long long)tally->latency.count, (double)tally->latency.count / seconds,
           (unsigned long long)tally->errors, (unsigned long long)tally->wrong,
           (unsigned long long)tally->nils);
    print_latency_text("  latency", &tally->latency);
}

static void print_text(struct outcome *outcome, const struct tally *total, double seconds,
                       double cpu_us, const struct latency_snapshot *late)
{
    const struct load_run *run = outcome->run;
    for (unsigned c = 0; c < commands(outcome) && commands(outcome) > 1; c++) {
        print_tally_text(run->options.commands[c].text, &outcome->now[c], seconds);
    }
    print_tally_text("all", total, seconds);
    if (run->options.rate > 0) print_latency_text("left here late by", late);
    printf("%-18s %.2f s, longest time without a reply %.1f ms, CPU here %.2f us a request\n", "in",
           seconds, (double)atomic_load(&run->longest_gap_ns) / 1e6, cpu_us);
}

bool outcome_print(struct outcome *outcome)
{
    struct load_run *run = outcome->run;
    int64_t end_ns = atomic_load(&run->last_reply_ns);
    double seconds = (double)(end_ns - outcome->baseline_ns) / 1e9;
    if (seconds <= 0) seconds = 1e-9;
    add_up(outcome, outcome->now);
    struct tally *total = total_since(outcome, outcome->baseline);
    for (unsigned c = 0; c < commands(outcome); c++) {
        subtract(&outcome->now[c], &outcome->baseline[c]);
    }
    struct latency_snapshot *late = mem_calloc(1, sizeof *late);
    add_up_lateness(outcome, late);
    latency_subtract(late, &outcome->late_baseline);
    uint64_t count = total->latency.count ? total->latency.count : 1;
    double cpu_us = (double)(own_cpu_ns() - outcome->cpu_baseline_ns) / 1000 / (double)count;
    (run->options.json ? print_json : print_text)(outcome, total, seconds, cpu_us, late);
    if (run->first_complaint[0]) {
        fprintf(stderr, "kelvin-load: first complaint: %s\n", run->first_complaint);
    }
    bool good = !total->errors && !total->wrong;
    mem_free(late);
    mem_free(total);
    return good;
}
