/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Who gets how much of maxmemory. LevelDB's buffers and a floor for the process itself are set aside,
 * clients' buffers are subtracted as they grow, and the rest is the cache's. Since the allocator
 * rounds and fragments, ten times a second the cache's share is corrected by what the allocator says
 * that it holds. Loop thread; the kernel's figures are read by a job. */
#include "server/parts.h"

#include "base/clock.h"
#include "base/memory.h"

enum {
    FIXED_BYTES = 8 << 20,       /* code's data, stacks, tables, queues */
    MIN_CACHE_BYTES = 1 << 20,
    USAGE_FRESH_MS = 1000
};

struct memory_budget {
    struct parts *parts;
    uint64_t maxmemory, peak, corrected;
    struct mem_usage usage;
    struct usage_job *asked; /* under way */
    int64_t read_ms;
};

/* Outlives the budget when it is on its way as the server stops. */
struct usage_job {
    struct job job;
    struct memory_budget *budget;
    struct mem_usage usage;
};

int64_t memory_budget_block_cache(uint64_t maxmemory_bytes)
{
    const int64_t low = 1 << 20, high = 512 << 20;
    int64_t share = (int64_t)(maxmemory_bytes / 16);
    return share < low ? low : share > high ? high : share;
}

static uint64_t configured(const struct settings *settings)
{
    if (settings->keyspace.maxmemory_bytes) return (uint64_t)settings->keyspace.maxmemory_bytes;
    return mem_machine_bytes() / 4;
}

struct memory_budget *memory_budget_create(struct parts *parts)
{
    struct memory_budget *budget = mem_calloc(1, sizeof *budget);
    budget->parts = parts;
    budget->maxmemory = configured(&parts->settings);
    return budget;
}

void memory_budget_destroy(struct memory_budget *budget)
{
    if (!budget) return;
    if (budget->asked) budget->asked->budget = NULL;
    mem_free(budget);
}

uint64_t memory_budget_maxmemory(const struct memory_budget *budget)
{
    return budget->maxmemory;
}

uint64_t memory_budget_peak(const struct memory_budget *budget)
{
    return budget->peak;
}

/* What is not the cache's by plan. */
static uint64_t set_aside(const struct memory_budget *budget)
{
    const struct settings *settings = &budget->parts->settings;
    uint64_t leveldb = 2 * (uint64_t)settings->leveldb.write_buffer_bytes +
                       (uint64_t)settings->leveldb.block_cache_bytes;
    uint64_t batches = (uint64_t)settings->batch_writer.batch_writer_concurrency *
                       (uint64_t)settings->batch_writer.batch_writer_batch_bytes;
    return FIXED_BYTES + leveldb + batches + net_client_memory_bytes(budget->parts->net);
}

void memory_budget_cron(struct memory_budget *budget)
{
    struct parts *parts = budget->parts;
    budget->maxmemory = configured(&parts->settings);
    net_set_maxmemory(parts->net, budget->maxmemory);
    uint64_t allocated = mem_allocated_bytes();
    if (allocated > budget->peak) budget->peak = allocated;
    if (!parts->cache) return;
    uint64_t aside = set_aside(budget);
    uint64_t share = budget->maxmemory > aside ? budget->maxmemory - aside : 0;
    /* What the allocator holds beyond the cache's own count, less what was set aside for it, comes off
     * the cache's share. */
    uint64_t used = cache_used_bytes(parts->cache);
    uint64_t others = allocated > used ? allocated - used : 0;
    if (others > aside) share -= share < others - aside ? share : others - aside;
    cache_set_budget(parts->cache, share > MIN_CACHE_BYTES ? share : MIN_CACHE_BYTES);
    if (parts->keyspace)
        keyspace_set_other_memory(parts->keyspace, net_client_memory_bytes(parts->net));
}

static void usage_run(struct job *job)
{
    mem_usage_read(&((struct usage_job *)(void *)job)->usage);
}

static void usage_done(struct job *job)
{
    struct usage_job *asked = (struct usage_job *)(void *)job;
    if (asked->budget) {
        asked->budget->usage = asked->usage;
        asked->budget->read_ms = clock_wall_ms();
        asked->budget->asked = NULL;
    }
    mem_free(asked);
}

const struct mem_usage *memory_budget_usage(struct memory_budget *budget)
{
    if (!budget->asked && clock_wall_ms() - budget->read_ms > USAGE_FRESH_MS) {
        struct usage_job *asked = mem_calloc(1, sizeof *asked);
        asked->budget = budget;
        asked->job = (struct job){.lane = JOB_BACKGROUND,
                                  .kind = JOB_KIND_OTHER,
                                  .run = usage_run,
                                  .done = usage_done,
                                  .home = loop_mailbox(budget->parts->loop)};
        if (job_queue_submit(budget->parts->jobs, &asked->job) == STATUS_OK)
            budget->asked = asked;
        else
            mem_free(asked);
    }
    return &budget->usage;
}
