/* SPDX-License-Identifier: BSD-3-Clause
 *
 * INFO: the sections that Redis has, truthfully, and one for each of our parts, straight from the
 * metric tables. Nothing here asks a disk: what lies there is told by the last answer of a job. Loop
 * thread. */
#include "base/clock.h"
#include "base/memory.h"
#include "commands/families.h"
#include "commands/latency.h"
#include "server/info_internal.h"
#include "server/version.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { RATE_SAMPLES = 16 };

static struct {
    struct parts *parts;
    struct {
        uint64_t commands, in, out;
        int64_t at_us;
    } samples[RATE_SAMPLES];
    unsigned sample;
    uint64_t ops_per_second, in_per_second, out_per_second;
} state;

void info_init(struct parts *parts)
{
    state.parts = parts;
    latency_normalize_options(&parts->settings.commands);
}

void info_finish(void)
{
    info_leveldb_finish();
    state.parts = NULL;
}

void info_cron(void)
{
    const struct net_metrics *net = &state.parts->net_metrics;
    info_leveldb_cron(state.parts);
    unsigned oldest = (state.sample + 1) % RATE_SAMPLES;
    int64_t now_us = clock_monotonic_us();
    state.sample = oldest;
    uint64_t commands = counter_get(&dispatch_metrics.commands);
    uint64_t in = counter_get(&net->received_bytes), out = counter_get(&net->sent_bytes);
    int64_t passed_us = now_us - state.samples[oldest].at_us;
    if (state.samples[oldest].at_us && passed_us > 0 && commands >= state.samples[oldest].commands) {
        double seconds = (double)passed_us / 1e6;
        state.ops_per_second = (uint64_t)((double)(commands - state.samples[oldest].commands) / seconds);
        state.in_per_second = (uint64_t)((double)(in - state.samples[oldest].in) / seconds);
        state.out_per_second = (uint64_t)((double)(out - state.samples[oldest].out) / seconds);
    }
    state.samples[oldest].commands = commands;
    state.samples[oldest].in = in;
    state.samples[oldest].out = out;
    state.samples[oldest].at_us = now_us;
}

/* --- Redis's sections --- */

static void info_server(struct buffer *out)
{
    struct parts *parts = state.parts;
    struct utsname system;
    uname(&system);
    int64_t uptime_s = (clock_monotonic_us() - parts->started_us) / 1000000;
    LINE("redis_version:%s", KELVIN_REDIS_VERSION);
    LINE("kelvin_version:%s", KELVIN_VERSION);
    LINE("redis_git_sha1:00000000");
    LINE("redis_git_dirty:0");
    LINE("redis_build_id:0");
    LINE("redis_mode:standalone");
    LINE("os:%s %s %s", system.sysname, system.release, system.machine);
    LINE("arch_bits:%zu", sizeof(long) * 8);
    LINE("monotonic_clock:POSIX clock_gettime");
    LINE("multiplexing_api:epoll");
    LINE("atomicvar_api:c11-builtin");
    LINE("gcc_version:%d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    LINE("process_id:%ld", (long)getpid());
    LINE("process_supervised:no");
    LINE("run_id:%s", parts->run_id);
    LINE("tcp_port:%lld", (long long)parts->settings.net.port);
    LINE("server_time_usec:%lld", (long long)clock_wall_us());
    LINE("uptime_in_seconds:%lld", (long long)uptime_s);
    LINE("uptime_in_days:%lld", (long long)(uptime_s / 86400));
    LINE("hz:10");
    LINE("configured_hz:10");
    LINE("lru_clock:%lld", (long long)(clock_wall_ms() / 1000 & 0xffffff));
    LINE("executable:%s", parts->executable);
    LINE("config_file:%s", parts->settings.file);
    LINE("data_folder:%s", parts->data_dir);
    LINE("io_threads_active:0");
}

static void info_clients(struct buffer *out)
{
    uint64_t input, output;
    size_t blocked, timed;
    net_largest_buffers(state.parts->net, &input, &output);
    dispatch_count_blocked(&blocked, &timed);
    LINE("connected_clients:%zu", session_count());
    LINE("cluster_connections:0");
    LINE("maxclients:%lld", (long long)state.parts->settings.net.maxclients);
    LINE("client_recent_max_input_buffer:%llu", number(input));
    LINE("client_recent_max_output_buffer:%llu", number(output));
    LINE("blocked_clients:%zu", blocked);
    LINE("tracking_clients:0");
    LINE("clients_in_timeout_table:%zu", timed);
}

static void memory_section(struct buffer *out)
{
    info_memory(state.parts, out);
}

/* Figures of things that are not there. */
static void zero_lines(struct buffer *out, const char *names)
{
    while (*names) {
        int size = (int)strcspn(names, " ");
        LINE("%.*s:0", size, names);
        names += size + (names[size] == ' ');
    }
}

static void info_loading(struct buffer *out)
{
    struct parts *parts = state.parts;
    uint64_t done = atomic_load_explicit(&parts->loading_done_bytes, memory_order_relaxed);
    uint64_t total = atomic_load_explicit(&parts->loading_total_bytes, memory_order_relaxed);
    int64_t passed_s = (clock_monotonic_us() - parts->started_us) / 1000000;
    LINE("loading:%d", server.loading);
    if (!server.loading) return;
    LINE("loading_start_time:%lld", (long long)(parts->started_ms / 1000));
    LINE("loading_total_bytes:%llu", number(total));
    LINE("loading_loaded_bytes:%llu", number(done));
    LINE("loading_loaded_perc:%.2f", total ? 100.0 * (double)done / (double)total : 0.0);
    LINE("loading_eta_seconds:%lld",
         done ? (long long)((double)passed_s * (double)(total - done) / (double)done) : -1LL);
}

static void info_persistence(struct buffer *out)
{
    struct parts *parts = state.parts;
    struct error error = {0};
    bool healthy = !parts->keyspace || journal_health(parts->journal, &error) == STATUS_OK;
    info_loading(out);
    LINE("async_loading:0");
    zero_lines(out, "current_cow_peak current_cow_size current_cow_size_age");
    LINE("current_fork_perc:0.00");
    zero_lines(out, "current_save_keys_processed current_save_keys_total");
    LINE("rdb_changes_since_last_save:%llu",
         number((uint64_t)(gauge_get(&parts->journal_metrics.appended_sequence) -
                           gauge_get(&parts->journal_metrics.marked_sequence))));
    LINE("rdb_bgsave_in_progress:0");
    LINE("rdb_last_save_time:%lld", (long long)server.last_save_s());
    LINE("rdb_last_bgsave_status:%s", parts->store_health == STATUS_OK ? "ok" : "err");
    LINE("rdb_last_bgsave_time_sec:-1");
    LINE("rdb_current_bgsave_time_sec:-1");
    LINE("rdb_saves:%llu", number(counter_get(&parts->batch_writer_metrics.checkpoints)));
    zero_lines(out, "rdb_last_cow_size rdb_last_load_keys_expired rdb_last_load_keys_loaded");
    LINE("aof_enabled:1");
    zero_lines(out, "aof_rewrite_in_progress aof_rewrite_scheduled");
    LINE("aof_last_rewrite_time_sec:-1");
    LINE("aof_current_rewrite_time_sec:-1");
    LINE("aof_last_bgrewrite_status:ok");
    zero_lines(out, "aof_rewrites aof_rewrites_consecutive_failures");
    LINE("aof_last_write_status:%s", healthy ? "ok" : "err");
    zero_lines(out, "aof_last_cow_size module_fork_in_progress module_fork_last_cow_size");
    LINE("aof_current_size:%llu", parts->keyspace ? number(journal_unmarked_bytes(parts->journal)) : 0);
    zero_lines(out, "aof_base_size aof_pending_rewrite aof_buffer_length "
               "aof_pending_bio_fsync aof_delayed_fsync");
    if (!healthy) LINE("journal_error:%s", error.text);
    if (parts->store_health != STATUS_OK) LINE("store_error:%s", parts->store_health_text);
}

static void info_stats(struct buffer *out)
{
    struct parts *parts = state.parts;
    const struct net_metrics *net = &parts->net_metrics;
    const struct keyspace_metrics *keys = &parts->keyspace_metrics;
    LINE("total_connections_received:%llu", number(counter_get(&net->connections_accepted)));
    LINE("total_commands_processed:%llu", number(counter_get(&dispatch_metrics.commands)));
    LINE("instantaneous_ops_per_sec:%llu", number(state.ops_per_second));
    LINE("total_net_input_bytes:%llu", number(counter_get(&net->received_bytes)));
    LINE("total_net_output_bytes:%llu", number(counter_get(&net->sent_bytes)));
    zero_lines(out, "total_net_repl_input_bytes total_net_repl_output_bytes");
    LINE("instantaneous_input_kbps:%.2f", (double)state.in_per_second / 1024);
    LINE("instantaneous_output_kbps:%.2f", (double)state.out_per_second / 1024);
    LINE("instantaneous_input_repl_kbps:0.00");
    LINE("instantaneous_output_repl_kbps:0.00");
    LINE("rejected_connections:%llu", number(counter_get(&net->connections_rejected)));
    zero_lines(out, "sync_full sync_partial_ok sync_partial_err");
    LINE("expired_keys:%llu", number(counter_get(&keys->expired_on_access) +
                                     counter_get(&keys->expired_by_cycle)));
    LINE("expired_stale_perc:0.00");
    zero_lines(out, "expired_time_cap_reached_count expire_cycle_cpu_milliseconds "
               "evicted_keys");
    LINE("evicted_clients:%llu", number(counter_get(&net->evicted)));
    zero_lines(out, "total_eviction_exceeded_time current_eviction_exceeded_time");
    LINE("keyspace_hits:%llu", number(counter_get(&keys->keyspace_hits)));
    LINE("keyspace_misses:%llu", number(counter_get(&keys->keyspace_misses)));
    zero_lines(out, "pubsub_channels pubsub_patterns pubsubshard_channels latest_fork_usec "
               "total_forks migrate_cached_sockets slave_expires_tracked_keys "
               "active_defrag_hits active_defrag_misses active_defrag_key_hits "
               "active_defrag_key_misses total_active_defrag_time "
               "current_active_defrag_time tracking_total_keys tracking_total_items "
               "tracking_total_prefixes unexpected_error_replies");
    LINE("total_error_replies:%llu", number(counter_get(&dispatch_metrics.errors)));
    LINE("dump_payload_sanitizations:0");
    LINE("total_reads_processed:%llu", number(counter_get(&net->reads)));
    LINE("total_writes_processed:%llu", number(counter_get(&net->writes)));
    zero_lines(out, "io_threaded_reads_processed io_threaded_writes_processed "
               "reply_buffer_shrinks reply_buffer_expands");
}

static void info_replication(struct buffer *out)
{
    LINE("role:master");
    LINE("connected_slaves:0");
    LINE("master_failover_state:no-failover");
    LINE("master_replid:%s", state.parts->run_id);
    LINE("master_replid2:0000000000000000000000000000000000000000");
    LINE("master_repl_offset:0");
    LINE("second_repl_offset:-1");
    LINE("repl_backlog_active:0");
    LINE("repl_backlog_size:1048576");
    LINE("repl_backlog_first_byte_offset:0");
    LINE("repl_backlog_histlen:0");
}

static void cpu_line(struct buffer *out, const char *name, struct timeval time)
{
    LINE("%s:%ld.%06ld", name, (long)time.tv_sec, (long)time.tv_usec);
}

static void info_cpu(struct buffer *out)
{
    struct rusage self = {0}, children = {0}, thread = {0};
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    getrusage(RUSAGE_THREAD, &thread);
    cpu_line(out, "used_cpu_sys", self.ru_stime);
    cpu_line(out, "used_cpu_user", self.ru_utime);
    cpu_line(out, "used_cpu_sys_children", children.ru_stime);
    cpu_line(out, "used_cpu_user_children", children.ru_utime);
    cpu_line(out, "used_cpu_sys_main_thread", thread.ru_stime);
    cpu_line(out, "used_cpu_user_main_thread", thread.ru_utime);
}

static void info_modules(struct buffer *out)
{
    (void)out;
}

static void each_command(struct buffer *out, void (*line)(struct buffer *, const struct command *))
{
    for (int i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);
        line(out, command);
        for (int k = 0; k < command->subcommand_count; k++) line(out, &command->subcommands[k]);
    }
}

static void commandstats_line(struct buffer *out, const struct command *command)
{
    const struct command_stats *stats = command_stats(command);
    uint64_t calls = counter_get(&stats->calls), usec = counter_get(&stats->usec);
    uint64_t rejected = counter_get(&stats->rejected), failed = counter_get(&stats->failed);
    if (!calls && !rejected && !failed) return;
    LINE("cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu",
         command_full_name(command), number(calls), number(usec),
         calls ? (double)usec / (double)calls : 0.0, number(rejected), number(failed));
}

static void info_commandstats(struct buffer *out)
{
    each_command(out, commandstats_line);
}

static void info_latencystats(struct buffer *out)
{
    latency_append_info(&state.parts->settings.commands, out);
}

static void info_errorstats(struct buffer *out)
{
    const char *code;
    uint64_t count;
    for (size_t i = 0; dispatch_error_at(i, &code, &count); i++)
        LINE("errorstat_%s:count=%llu", code, number(count));
}

static void info_cluster(struct buffer *out)
{
    LINE("cluster_enabled:0");
}

static void info_keyspace(struct buffer *out)
{
    struct keyspace *keyspace = state.parts->keyspace;
    if (!keyspace) return;
    for (unsigned i = 0; i < keyspace_database_count(keyspace); i++) {
        int64_t keys, expiring;
        keyspace_estimate(keyspace, i, &keys, &expiring);
        if (keys > 0 || expiring > 0)
            LINE("db%u:keys=%lld,expires=%lld,avg_ttl=%lld", i, (long long)keys, (long long)expiring,
                 (long long)keyspace_average_ttl_ms(keyspace, i, dispatch_time_ms()));
    }
}

/* --- our own, from the metric tables --- */

static void info_table(struct buffer *out, const char *family)
{
    for (unsigned i = 0; i < METRIC_PARTS; i++) {
        struct metric_part part = parts_metrics(state.parts, i);
        if (strcmp(part.table->family, family) != 0) continue;
        for (size_t k = 0; k < part.table->count; k++) {
            const struct metric *row = &part.table->rows[k];
            if (!row->info) continue;
            const char *figure = (const char *)part.metrics + row->offset;
            if (row->kind == METRIC_COUNTER)
                LINE("%s:%llu", row->info, number(counter_get((const void *)figure)));
            else if (row->kind == METRIC_GAUGE)
                LINE("%s:%lld", row->info, (long long)gauge_get((const void *)figure));
            else
                LINE("%s:count=%llu,p50=%llu,p99=%llu,p99.9=%llu", row->info,
                     number(atomic_load(&((const struct histogram *)(const void *)figure)->count)),
                     number(histogram_quantile_us((const void *)figure, 0.5)),
                     number(histogram_quantile_us((const void *)figure, 0.99)),
                     number(histogram_quantile_us((const void *)figure, 0.999)));
        }
    }
}

static void info_cache(struct buffer *out)
{
    info_table(out, "cache");
    info_table(out, "keyspace");
}

static void info_journal(struct buffer *out)
{
    info_table(out, "journal");
    if (state.parts->keyspace) LINE("journal_io:%s", journal_io_name(state.parts->journal));
}

static void info_batchwriter(struct buffer *out)
{
    info_table(out, "batchwriter");
}

static void info_jobs(struct buffer *out)
{
    info_table(out, "jobs");
}

static void leveldb_section(struct buffer *out)
{
    info_leveldb(state.parts, out);
    info_table(out, "leveldb");
}

/* --- choosing --- */

static const struct section {
    const char *name, *title;
    void (*append)(struct buffer *out);
    bool by_default;
} sections[] = {
    {"server", "Server", info_server, true},
    {"clients", "Clients", info_clients, true},
    {"memory", "Memory", memory_section, true},
    {"persistence", "Persistence", info_persistence, true},
    {"stats", "Stats", info_stats, true},
    {"replication", "Replication", info_replication, true},
    {"cpu", "CPU", info_cpu, true},
    {"modules", "Modules", info_modules, true},
    {"commandstats", "Commandstats", info_commandstats, false},
    {"errorstats", "Errorstats", info_errorstats, true},
    {"latencystats", "Latencystats", info_latencystats, false},
    {"cluster", "Cluster", info_cluster, true},
    {"keyspace", "Keyspace", info_keyspace, true},
    {"cache", "Cache", info_cache, false},
    {"journal", "Journal", info_journal, false},
    {"batchwriter", "Batchwriter", info_batchwriter, false},
    {"jobs", "Jobs", info_jobs, false},
    {"leveldb", "Leveldb", leveldb_section, false},
};

static bool is_wanted(const struct section *section, const struct slice *names, int count)
{
    if (count == 0) return section->by_default;
    for (int i = 0; i < count; i++) {
        if (slice_equal_nocase(names[i], "all") || slice_equal_nocase(names[i], "everything") ||
            slice_equal_nocase(names[i], section->name))
            return true;
        if (slice_equal_nocase(names[i], "default") && section->by_default) return true;
    }
    return false;
}

void info_append(const struct slice *names, int count, struct buffer *out)
{
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (!is_wanted(&sections[i], names, count)) continue;
        if (out->size) buffer_append_text(out, "\r\n");
        LINE("# %s", sections[i].title);
        sections[i].append(out);
    }
}
