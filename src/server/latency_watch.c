/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LATENCY's events of the parts: what their histograms got since the last look, ten times a second, if it is
 * as long as latency-monitor-threshold. So no part knows of it, and their threads pay nothing. A time is told
 * as the end of its bucket, an eighth too long at most. Loop thread. */
#include "commands/latency_events.h"
#include "server/parts.h"


enum { WATCHED = 5 };

struct watched {
    const char *event;
    const struct histogram *histogram;
};

static struct {
    bool watching;
    uint64_t seen[WATCHED][HISTOGRAM_BUCKETS];
} state;

/* Takes over the buckets; the longest new time, 0 when there is none. */
static uint64_t look_at(const struct histogram *histogram, uint64_t seen[HISTOGRAM_BUCKETS])
{
    uint64_t longest_us = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        uint64_t before = count < seen[i] ? 0 : seen[i]; /* CONFIG RESETSTAT */
        if (count > before) longest_us = histogram_bucket_limit_us(i);
        seen[i] = count;
    }
    uint64_t maximum = atomic_load_explicit(&histogram->maximum, memory_order_relaxed);
    return longest_us < maximum ? longest_us : maximum;
}

void latency_watch_cron(const struct parts *parts)
{
    const struct watched all[WATCHED] = {
        {"loop-turn", &parts->net_metrics.turn_seconds},
        {"load", &parts->keyspace_metrics.load_seconds},
        {"journal-append", &parts->journal_metrics.append_seconds},
        {"journal-sync", &parts->journal_metrics.sync_seconds},
        {"batch", &parts->batch_writer_metrics.batch_seconds},
    };
    int64_t threshold_ms = parts->settings.commands.latency_threshold_ms;
    bool was_watching = state.watching;
    state.watching = threshold_ms > 0;
    for (size_t i = 0; i < WATCHED && state.watching; i++) {
        int64_t ms = (int64_t)(look_at(all[i].histogram, state.seen[i]) / 1000);
        if (was_watching && ms >= threshold_ms)
            latency_event_add(all[i].event, ms, dispatch_time_ms() / 1000);
    }
}
