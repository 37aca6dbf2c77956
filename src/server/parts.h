/* SPDX-License-Identifier: BSD-3-Clause
 *
 * All parts of the running server in one place: what server.c sets up bottom-up and tears down in
 * reverse, and what INFO, CONFIG and the memory budget look at. Loop thread, but for what startup.c
 * fills in before the loop gets it. */
#ifndef KELVIN_SERVER_PARTS_H
#define KELVIN_SERVER_PARTS_H

#include "commands/dispatch.h"
#include "net/net.h"
#include "server/settings.h"

struct memory_budget;

struct parts {
    struct settings settings;
    int lock_fd;
    struct loop *loop;
    struct net *net;
    struct http *http; /* NULL: metrics-port is 0 */
    struct job_queue *jobs;
    struct store *store;
    struct leveldb_options store_options; /* it is opened with; start-up and the batch writer's thread */
    struct journal *journal;
    struct cache *cache;
    struct batch_writer *batch_writer;
    struct keyspace *keyspace; /* NULL while loading */
    struct memory_budget *budget;

    struct net_metrics net_metrics;
    struct http_metrics http_metrics;
    struct job_metrics job_metrics;
    struct journal_metrics journal_metrics;
    struct cache_metrics cache_metrics;
    struct batch_writer_metrics batch_writer_metrics;
    struct keyspace_metrics keyspace_metrics;
    struct leveldb_metrics leveldb_metrics;

    void (*on_ready)(void); /* start-up has worked */
    uint64_t store_id;
    int64_t started_ms, started_us; /* wall clock, monotonic */
    uint64_t startup_bytes; /* allocated when the keyspace was opened */
    char run_id[41];
    char *executable, *data_dir; /* absolute */
    enum status store_health;    /* as the batch writer last said */
    char store_health_text[256];
    _Atomic uint64_t loading_total_bytes, loading_done_bytes;
    _Atomic(struct store *) loading_store; /* for who stops start-up */
    _Atomic bool loading_stops;
};

/* A metric table and the figures that it describes, for INFO and CONFIG RESETSTAT. */
struct metric_part {
    const struct metric_table *table;
    void *metrics;
};
enum { METRIC_PARTS = 9 };
struct metric_part parts_metrics(struct parts *parts, unsigned index);

/* --- startup.c: opens store and journal, applies what is left. May block: a thread of its own. --- */
enum status startup_run(struct parts *parts, const struct batch_writer_events *events,
                        bool *start_empty, struct error *error);
/* Loop: startup_run, which runs, fails soon. */
void startup_stop(struct parts *parts);

/* --- disk_sizes.c: lowers what is too large for the file system of `folder`; says so in the log --- */
void disk_sizes_fit(struct settings *settings, const char *folder);

/* --- memory_budget.c --- */
struct memory_budget *memory_budget_create(struct parts *parts);
void memory_budget_destroy(struct memory_budget *budget);
/* Divides maxmemory anew; by a timer, ten times a second. */
void memory_budget_cron(struct memory_budget *budget);
uint64_t memory_budget_maxmemory(const struct memory_budget *budget);
/* Memory of the machine or the cgroup, as it was at start. */
uint64_t memory_budget_machine(const struct memory_budget *budget);
/* The bytes that LevelDB shall get for its block cache under this maxmemory. */
int64_t memory_budget_block_cache(uint64_t maxmemory_bytes);
/* The same for its memtables. */
int64_t memory_budget_write_buffer(uint64_t maxmemory_bytes);
/* What the kernel last said; asks for fresh figures, which come later. */
const struct mem_usage *memory_budget_usage(struct memory_budget *budget);
uint64_t memory_budget_peak(const struct memory_budget *budget);

/* --- info.c --- */
void info_init(struct parts *parts);
void info_append(const struct slice *sections, int count, struct buffer *out);
void info_cron(void); /* ten times a second: rates */
void info_finish(void);

/* --- metrics.c --- */
void metrics_init(struct parts *parts);
/* As struct server (commands/dispatch.h) promises it. */
void metrics_visit(const struct metric_visitor *visitor);
void metrics_reset_all(void);
bool metrics_is_ready(struct error *error);

/* --- latency_watch.c: ten times a second, events for LATENCY --- */
void latency_watch_cron(const struct parts *parts);

/* --- config_command.c --- */
/* Whether an option of that name holds a password. */
bool config_is_secret(struct slice name);
void config_init(struct parts *parts);
void config_run(struct command_run *run);

#endif
