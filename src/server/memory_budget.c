/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Who gets how much of maxmemory. LevelDB's buffers and a floor for the process itself are set aside,
 * clients' buffers are subtracted as they grow, and the rest is the cache's. Ten times a second that
 * plan is corrected by what the allocator says: at once by what it has handed out beyond the plan,
 * step by step by the pages that it holds beyond maxmemory (fragments, and free pages on their way
 * back to the system). The cache's index lies outside the allocator. Loop thread; the kernel's figures
 * are read by a job. */
#include "server/parts.h"

#include "base/clock.h"
#include "base/memory.h"

enum {
    FIXED_BYTES = 8 << 20,       /* code's data, stacks, tables, queues */
    UNSEEN_BYTES = 4 << 20,      /* the part of them that does not come from the allocator */
    MIN_CACHE_BYTES = 1 << 20,
    PAGES_DIVISOR = 16,          /* of maxmemory: what the pages may pass it by */
    STEP_DIVISOR = 16,           /* of what the pages are too many, taken off the share each time */
    USAGE_FRESH_MS = 1000
};

struct memory_budget {
    struct parts *parts;
    uint64_t machine; /* asked for once: the answer lies in files */
    _Atomic uint64_t maxmemory; /* the start-up thread reads it, too */
    uint64_t peak, allocated;
    uint64_t off; /* taken off the cache's share for pages that the allocator holds beyond the plan */
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

int64_t memory_budget_write_buffer(uint64_t maxmemory_bytes)
{
    const int64_t low = 4 << 20, high = 32 << 20;
    int64_t share = (int64_t)(maxmemory_bytes / 32);
    return share < low ? low : share > high ? high : share;
}

static uint64_t configured(const struct memory_budget *budget)
{
    int64_t bytes = budget->parts->settings.keyspace.maxmemory_bytes;
    return bytes ? (uint64_t)bytes : budget->machine / 4;
}

struct memory_budget *memory_budget_create(struct parts *parts)
{
    struct memory_budget *budget = mem_calloc(1, sizeof *budget);
    budget->parts = parts;
    budget->machine = mem_machine_bytes();
    budget->maxmemory = configured(budget);
    mem_usage_read(&budget->usage); /* before there is a loop: what INFO tells until the first job */
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

/* What is handed out stays below maxmemory; the pages that hold it may pass it by a sixteenth, lest
 * fragments cost half of the cache. Pages beyond that are worked off slowly, since a smaller cache
 * gives pages back only after a while, and never for more than a quarter: what does not get better by
 * then is fragmentation that a smaller cache does not cure. */
static void correct(struct memory_budget *budget, uint64_t held)
{
    const uint64_t most = budget->maxmemory / 4;
    const uint64_t allowed = budget->maxmemory + budget->maxmemory / PAGES_DIVISOR;
    if (held > allowed) {
        budget->off += (held - allowed) / STEP_DIVISOR;
    } else {
        uint64_t back = (allowed - held) / STEP_DIVISOR;
        budget->off -= back < budget->off ? back : budget->off;
    }
    if (budget->off > most) budget->off = most;
}

static uint64_t cache_share(struct memory_budget *budget, const struct mem_usage *now)
{
    uint64_t index = (uint64_t)gauge_get(&budget->parts->cache_metrics.index_bytes);
    uint64_t used = cache_used_bytes(budget->parts->cache);
    uint64_t entries = used > index ? used - index : 0;
    uint64_t others = now->allocated > entries ? now->allocated - entries : 0;
    uint64_t aside = set_aside(budget);
    if (others > aside) aside = others;
    correct(budget, (now->resident ? now->resident : now->allocated) + index + UNSEEN_BYTES);
    aside += budget->off;
    uint64_t share = budget->maxmemory > aside ? budget->maxmemory - aside : 0;
    if (share < MIN_CACHE_BYTES) share = MIN_CACHE_BYTES;
    return share / 100 * (uint64_t)budget->parts->settings.cache.percent;
}

void memory_budget_cron(struct memory_budget *budget)
{
    struct parts *parts = budget->parts;
    struct mem_usage now = {0};
    budget->maxmemory = configured(budget);
    net_set_maxmemory(parts->net, budget->maxmemory);
    mem_allocator_read(&now);
    budget->allocated = now.allocated;
    if (now.allocated > budget->peak) budget->peak = now.allocated;
    if (!parts->cache) return;
    cache_set_budget(parts->cache, cache_share(budget, &now));
}

uint64_t memory_budget_machine(const struct memory_budget *budget)
{
    return budget->machine;
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
