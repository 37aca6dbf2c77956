/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Back-pressure on writers: first slowed, then paused. Pressure is how full the share of the cache is
 * that unapplied entries may pin, or how full the journal is, whichever is more. Above SLOW_PERCENT
 * writes get tokens (bytes) at the rate at which the batch writer has lately applied: three times that
 * rate where slowing begins, just that rate where pressure is full, so that writers meet it smoothly
 * and nobody stands still for a whole range. At 100% they are paused. Readers are never asked.
 * (The idea of a delayed write rate is RocksDB's: https://github.com/facebook/rocksdb/wiki/Write-Stalls.)
 * Loop thread. */
#include "storage/keyspace_internal.h"

#include "base/clock.h"

enum {
    SLOW_PERCENT = 50,
    HURRY_PERCENT = 30,
    FIRST_RATE_BYTES = 32 << 20, /* per second, before anything was measured */
    MIN_RATE_BYTES = 1 << 20,
    BURST_MS = 20,
    MIN_PINNED_LIMIT_BYTES = 8 << 20
};

static unsigned pressure_percent(const struct keyspace *keyspace)
{
    uint64_t limit = cache_budget_bytes(keyspace->cache) / 2;
    if (limit < MIN_PINNED_LIMIT_BYTES) limit = MIN_PINNED_LIMIT_BYTES;
    uint64_t pinned = cache_pinned_bytes(keyspace->cache) * 100 / limit;
    unsigned fill = journal_fill_percent(keyspace->parts.journal);
    return pinned > fill ? (unsigned)pinned : fill;
}

/* Bytes per second that writers may add under this pressure. */
static uint64_t allowed_rate(const struct throttle *throttle, unsigned pressure)
{
    uint64_t rate = throttle->applied_rate ? throttle->applied_rate : FIRST_RATE_BYTES;
    if (rate < MIN_RATE_BYTES) rate = MIN_RATE_BYTES;
    return rate + rate * 2 * (100 - pressure) / (100 - SLOW_PERCENT);
}

static void refill(struct throttle *throttle, unsigned pressure)
{
    int64_t now_us = clock_monotonic_us(), passed_us = now_us - throttle->refilled_us;
    if (passed_us < 1000) return;
    if (passed_us > BURST_MS * 1000) passed_us = BURST_MS * 1000;
    int64_t rate = (int64_t)allowed_rate(throttle, pressure);
    throttle->refilled_us = now_us;
    throttle->tokens += rate * passed_us / 1000000;
    int64_t most = rate * BURST_MS / 1000;
    if (throttle->tokens > most) throttle->tokens = most;
}

bool throttle_must_wait(struct keyspace *keyspace)
{
    struct throttle *throttle = &keyspace->throttle;
    unsigned pressure = pressure_percent(keyspace);
    if (pressure >= HURRY_PERCENT) batch_writer_hurry(keyspace->parts.batch_writer);
    throttle->slowing = pressure >= SLOW_PERCENT;
    if (!throttle->slowing) return false;
    if (pressure >= 100) return true;
    refill(throttle, pressure);
    return throttle->tokens < 0;
}

void throttle_spend(struct keyspace *keyspace, size_t bytes)
{
    if (keyspace->throttle.slowing) keyspace->throttle.tokens -= (int64_t)bytes;
}

void throttle_note_applied(struct keyspace *keyspace, uint64_t freed_bytes)
{
    struct throttle *throttle = &keyspace->throttle;
    int64_t now_us = clock_monotonic_us(), passed_us = now_us - throttle->applied_us;
    throttle->applied_us = now_us;
    /* After a rest the time since the last range says nothing about speed. */
    if (passed_us <= 0 || passed_us > 10000000) return;
    uint64_t rate = (uint64_t)((double)freed_bytes * 1e6 / (double)passed_us);
    throttle->applied_rate = throttle->applied_rate ? (throttle->applied_rate * 3 + rate) / 4 : rate;
}

int64_t throttle_retry_ms(const struct keyspace *keyspace)
{
    enum { RETRY_MS = 2 };
    return keyspace->throttle.slowing && !list_is_empty(&keyspace->space) ? RETRY_MS : -1;
}
