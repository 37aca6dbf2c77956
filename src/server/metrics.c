/* SPDX-License-Identifier: BSD-3-Clause
 *
 * All figures of the server in one walk: the tables of the modules, then what has labels (commands, error
 * codes, databases) and what the process as a whole is. Nothing here asks a disk. Loop thread. */
#include "base/clock.h"
#include "base/memory.h"
#include "commands/dispatch.h"
#include "server/server.h"
#include "server/version.h"

#include <stdio.h>
#include <sys/resource.h>

static struct parts *metrics_parts;

/* --- commands --- */

static const struct metric calls_row = {
    "kelvin_command_calls_total", METRIC_COUNTER, 0, "", NULL,
    "Times that the command ran. Commands that were never called are left out."};
static const struct metric failed_row = {
    "kelvin_command_failed_total", METRIC_COUNTER, 0, "", NULL,
    "Times that the command ran and ended with an error."};
static const struct metric refused_row = {
    "kelvin_command_rejected_total", METRIC_COUNTER, 0, "", NULL,
    "Times that the command was refused before it ran."};
static const struct metric latency_row = {
    "kelvin_command_seconds", METRIC_HISTOGRAM, 0, "seconds", NULL,
    "Time that the command ran on the event loop, without what it waited for. Recorded while "
    "latency-tracking is on."};

typedef void each_command(const struct metric_visitor *visitor, const struct metric *row,
                          const struct command *command, const char *labels);

static void visit_calls(const struct metric_visitor *visitor, const struct metric *row,
                        const struct command *command, const char *labels)
{
    metric_visit_value(visitor, row, labels, (double)counter_get(&command_stats(command)->calls));
}

static void visit_failed(const struct metric_visitor *visitor, const struct metric *row,
                         const struct command *command, const char *labels)
{
    metric_visit_value(visitor, row, labels, (double)counter_get(&command_stats(command)->failed));
}

static void visit_refused(const struct metric_visitor *visitor, const struct metric *row,
                          const struct command *command, const char *labels)
{
    metric_visit_value(visitor, row, labels, (double)counter_get(&command_stats(command)->rejected));
}

static void visit_latency(const struct metric_visitor *visitor, const struct metric *row,
                          const struct command *command, const char *labels)
{
    const struct histogram *histogram = &command_stats(command)->latency_ns;
    if (atomic_load_explicit(&histogram->count, memory_order_relaxed) > 0)
        metric_visit_histogram(visitor, row, labels, histogram, &metric_scale_ns);
}

static void visit_command(const struct metric_visitor *visitor, const struct metric *row,
                          const struct command *command, each_command *visit)
{
    const struct command_stats *stats = command_stats(command);
    if (!counter_get(&stats->calls) && !counter_get(&stats->rejected) && !counter_get(&stats->failed))
        return;
    struct buffer labels = {0};
    metric_append_label(&labels, "command", slice_from_text(command_full_name(command)));
    buffer_append(&labels, "", 1);
    visit(visitor, row, command, labels.data);
    buffer_free(&labels);
}

static void visit_commands(const struct metric_visitor *visitor, const struct metric *row,
                           each_command *visit)
{
    metric_visit_family(visitor, row);
    if (!visitor->sample) return;
    for (int i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);
        visit_command(visitor, row, command, visit);
        for (int k = 0; k < command->subcommand_count; k++)
            visit_command(visitor, row, &command->subcommands[k], visit);
    }
}

static void visit_errors(const struct metric_visitor *visitor)
{
    static const struct metric row = {"kelvin_error_replies_total", METRIC_COUNTER, 0, "", NULL,
                                      "Error replies by their first word."};
    const char *code;
    uint64_t count;
    metric_visit_family(visitor, &row);
    for (size_t i = 0; dispatch_error_at(i, &code, &count); i++) {
        struct buffer labels = {0};
        metric_append_label(&labels, "code", slice_from_text(code));
        buffer_append(&labels, "", 1);
        metric_visit_value(visitor, &row, labels.data, (double)count);
        buffer_free(&labels);
    }
}

/* --- databases --- */

/* A series for each database that has keys, and always for the first. */
static void visit_databases(const struct metric_visitor *visitor, const struct metric *row,
                            bool expiring)
{
    struct keyspace *keyspace = metrics_parts->keyspace;
    metric_visit_family(visitor, row);
    for (unsigned i = 0; keyspace && i < keyspace_database_count(keyspace); i++) {
        int64_t keys, with_expiry;
        char labels[32];
        keyspace_estimate(keyspace, i, &keys, &with_expiry);
        if (i > 0 && keys <= 0 && with_expiry <= 0) continue;
        (void)snprintf(labels, sizeof labels, "db=\"%u\"", i);
        metric_visit_value(visitor, row, labels, (double)(expiring ? with_expiry : keys));
    }
}

static void visit_keys(const struct metric_visitor *visitor)
{
    static const struct metric keys_row = {"kelvin_keys", METRIC_GAUGE, 0, "", NULL,
                                           "Keys of the database."};
    static const struct metric expiring_row = {"kelvin_expiring_keys", METRIC_GAUGE, 0, "", NULL,
                                               "Keys of the database that have a time to live."};
    visit_databases(visitor, &keys_row, false);
    visit_databases(visitor, &expiring_row, true);
}

/* --- the process --- */

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void visit_one(const struct metric_visitor *visitor, const struct metric *row,
                      const char *labels, double value)
{
    metric_visit_family(visitor, row);
    metric_visit_value(visitor, row, labels, value);
}

#define ONE(name, kind, unit, help, labels, value)                                                 \
    do {                                                                                           \
        static const struct metric one_row = {name, kind, 0, unit, NULL, help};                        \
        visit_one(visitor, &one_row, labels, value);                                               \
    } while (0)

static void visit_processor(const struct metric_visitor *visitor)
{
    static const struct metric row = {"kelvin_process_cpu_seconds_total", METRIC_COUNTER, 0,
                                      "seconds", NULL, "Processor time of all threads, by mode."};
    struct rusage all = {0}, loop = {0};
    getrusage(RUSAGE_SELF, &all);
    getrusage(RUSAGE_THREAD, &loop);
    metric_visit_family(visitor, &row);
    metric_visit_value(visitor, &row, "mode=\"user\"", seconds(all.ru_utime));
    metric_visit_value(visitor, &row, "mode=\"system\"", seconds(all.ru_stime));
    ONE("kelvin_loop_cpu_seconds_total", METRIC_COUNTER, "seconds",
        "Processor time of the event loop's thread. Near one second per second it is the limit.", "",
        seconds(loop.ru_utime) + seconds(loop.ru_stime));
}

static double max_descriptors(void)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    return (double)limit.rlim_cur;
}

static void visit_process(const struct metric_visitor *visitor)
{
    struct parts *parts = metrics_parts;
    const struct mem_usage *usage = memory_budget_usage(parts->budget);
    struct error ignored;
    visit_processor(visitor);
    ONE("kelvin_process_resident_memory_bytes", METRIC_GAUGE, "bytes",
        "Resident memory of the process, mapped journal included; as last read from the kernel.", "",
        (double)usage->rss);
    ONE("kelvin_process_anonymous_memory_bytes", METRIC_GAUGE, "bytes",
        "Resident memory that is no file: what maxmemory bounds; as last read from the kernel.", "",
        (double)usage->rss_anonymous);
    ONE("kelvin_allocated_bytes", METRIC_GAUGE, "bytes", "Memory handed out by the allocator.", "",
        (double)mem_allocated_bytes());
    ONE("kelvin_maxmemory_bytes", METRIC_GAUGE, "bytes", "The limit in force: maxmemory.", "",
        (double)memory_budget_maxmemory(parts->budget));
    ONE("kelvin_process_threads", METRIC_GAUGE, "", "Threads of the process; as last read.", "",
        (double)usage->threads);
    ONE("kelvin_process_open_descriptors", METRIC_GAUGE, "",
        "Open files and sockets of the process; as last read.", "", (double)usage->descriptors);
    ONE("kelvin_process_max_descriptors", METRIC_GAUGE, "", "How many it may have.", "",
        max_descriptors());
    ONE("kelvin_process_start_time_seconds", METRIC_GAUGE, "seconds",
        "When the process started, since 1970.", "", (double)parts->started_ms / 1000);
    ONE("kelvin_ready", METRIC_GAUGE, "",
        "1: the data are there and writes are taken. 0: what /readyz says.", "",
        metrics_is_ready(&ignored));
    ONE("kelvin_build_info", METRIC_GAUGE, "", "Always 1; the labels tell the version.",
        "version=\"" KELVIN_VERSION "\",redis_version=\"" KELVIN_REDIS_VERSION "\"", 1);
}

/* --- what the others call --- */

void metrics_init(struct parts *parts)
{
    metrics_parts = parts;
    server.visit_metrics = metrics_visit;
    server.reset_metrics = metrics_reset_all;
    server.is_ready = metrics_is_ready;
}

void metrics_visit(const struct metric_visitor *visitor)
{
    for (unsigned i = 0; i < METRIC_PARTS; i++) {
        struct metric_part part = parts_metrics(metrics_parts, i);
        metric_visit_table(visitor, part.table, part.metrics);
    }
    visit_commands(visitor, &calls_row, visit_calls);
    visit_commands(visitor, &failed_row, visit_failed);
    visit_commands(visitor, &refused_row, visit_refused);
    visit_commands(visitor, &latency_row, visit_latency);
    visit_errors(visitor);
    visit_keys(visitor);
    visit_process(visitor);
}

void metrics_reset_all(void)
{
    for (unsigned i = 0; i < METRIC_PARTS; i++) {
        struct metric_part part = parts_metrics(metrics_parts, i);
        metric_reset(part.table, part.metrics);
    }
    for (int i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);
        memset(command_stats(command), 0, sizeof(struct command_stats));
        for (int k = 0; k < command->subcommand_count; k++)
            memset(command_stats(&command->subcommands[k]), 0, sizeof(struct command_stats));
    }
    dispatch_reset_stats();
}

bool metrics_is_ready(struct error *error)
{
    const struct parts *parts = metrics_parts;
    *error = (struct error){0};
    if (!parts->keyspace)
        error_set(error, STATUS_AGAIN, "loading: the journal is being applied");
    else if (server_is_stopping())
        error_set(error, STATUS_AGAIN, "stopping");
    else if (journal_health(parts->journal, error) == STATUS_OK)
        return true;
    return false;
}
