/* SPDX-License-Identifier: BSD-3-Clause
 *
 * INFO memory. The allocator's figures are fresh; the kernel's are those of the last job, at most about
 * a second old while somebody asks. Loop thread. */
#include "base/memory.h"
#include "server/info_internal.h"

static void bytes_lines(struct buffer *out, const char *name, uint64_t bytes)
{
    const char *const units = "BKMGTP";
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && units[unit + 1]) {
        value /= 1024;
        unit++;
    }
    LINE("%s:%llu", name, number(bytes));
    if (unit == 0)
        LINE("%s_human:%lluB", name, number(bytes));
    else
        LINE("%s_human:%.2f%c", name, value, units[unit]);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

/* "<name>_ratio" of two figures and "<name>_bytes", their difference. */
static void ratio_lines(struct buffer *out, const char *name, uint64_t larger, uint64_t smaller)
{
    LINE("%s_ratio:%.2f", name, larger && smaller ? (double)larger / (double)smaller : 1.0);
    LINE("%s_bytes:%lld", name, larger && smaller ? (long long)larger - (long long)smaller : 0);
}

/* Lua, functions and replication buffers: there are none. */
static void absent_lines(struct buffer *out)
{
    static const char *const zero[] = {
        "used_memory_lua", "used_memory_vm_eval", "used_memory_scripts_eval", "number_of_cached_scripts",
        "number_of_functions", "number_of_libraries", "used_memory_vm_functions",
        "used_memory_vm_total", "used_memory_functions", "used_memory_scripts"};
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++) LINE("%s:0", zero[i]);
    LINE("used_memory_lua_human:0B");
    LINE("used_memory_vm_total_human:0B");
    LINE("used_memory_scripts_human:0B");
}

static void allocator_lines(struct buffer *out, uint64_t used, const struct mem_usage *now,
                            const struct mem_usage *kernel)
{
    LINE("allocator_allocated:%zu", now->allocated);
    LINE("allocator_active:%zu", now->active);
    LINE("allocator_resident:%zu", now->resident);
    ratio_lines(out, "allocator_frag", now->active, now->allocated);
    ratio_lines(out, "allocator_rss", now->resident, now->active);
    ratio_lines(out, "rss_overhead", kernel->rss_anonymous, now->resident);
    /* File pages are not ours to give back: the anonymous ones count. */
    ratio_lines(out, "mem_fragmentation", kernel->rss_anonymous, used);
}

void info_memory(struct parts *parts, struct buffer *out)
{
    const struct mem_usage *kernel = memory_budget_usage(parts->budget);
    struct mem_usage now = {0};
    mem_allocator_read(&now);
    uint64_t index = (uint64_t)gauge_get(&parts->cache_metrics.index_bytes);
    uint64_t used = now.allocated + index, cached = cache_used_bytes(parts->cache);
    uint64_t peak = memory_budget_peak(parts->budget);
    if (used > peak) peak = used;
    uint64_t since_start = used > parts->startup_bytes ? used - parts->startup_bytes : 0;
    if (cached > since_start) cached = since_start;
    bytes_lines(out, "used_memory", used);
    bytes_lines(out, "used_memory_rss", kernel->rss);
    LINE("rss_anonymous:%zu", kernel->rss_anonymous);
    LINE("rss_file:%zu", kernel->rss_file);
    bytes_lines(out, "used_memory_peak", peak);
    LINE("used_memory_peak_perc:%.2f%%", percent(used, peak));
    LINE("used_memory_overhead:%llu", number(used - cached));
    LINE("used_memory_startup:%llu", number(parts->startup_bytes));
    LINE("used_memory_dataset:%llu", number(cached));
    LINE("used_memory_dataset_perc:%.2f%%",
         percent(cached, since_start));
    bytes_lines(out, "total_system_memory", memory_budget_machine(parts->budget));
    absent_lines(out);
    bytes_lines(out, "maxmemory", memory_budget_maxmemory(parts->budget));
    LINE("maxmemory_policy:noeviction");
    allocator_lines(out, used, &now, kernel);
    LINE("mem_not_counted_for_evict:0");
    LINE("mem_replication_backlog:0");
    LINE("mem_total_replication_buffers:0");
    LINE("mem_clients_slaves:0");
    LINE("mem_clients_normal:%llu", number(net_client_memory_bytes(parts->net)));
    LINE("mem_cluster_links:0");
    LINE("mem_aof_buffer:0");
    LINE("mem_allocator:%s", mem_allocator_name());
    LINE("active_defrag_running:0");
    LINE("lazyfree_pending_objects:%lld",
         (long long)(gauge_get(&parts->batch_writer_metrics.garbage_objects) +
                     gauge_get(&parts->batch_writer_metrics.garbage_databases)));
    LINE("lazyfreed_objects:%llu",
         number(counter_get(&parts->batch_writer_metrics.reclaimed_records)));
}
