/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The sync thread: makes durable what the loop has published, by the policy, on request, and before
 * too much is held in memory. In mode write, the write thread before it puts the bytes into the
 * file, so that acknowledging them does not wait behind a sync that is under way.
 *
 * Rule 1: the sequence that becomes the synced one is sampled before the sync, which then covers
 * all segments up to that place. Idle, both sleep without a timeout: what is left unsynced when
 * the last record is synced is at most a sync mark, which asks for one more sync a second later. */
#include "storage/journal_internal.h"

#include "base/check.h"
#include "base/clock.h"

#include <limits.h>

static struct segment *next_segment(struct journal *journal, struct segment *segment)
{
    journal_lock(journal);
    struct segment *next = segment->next;
    journal_unlock(journal);
    return next;
}

void journal_fail(struct journal *journal, const struct error *error)
{
    counter_add_shared(&journal->metrics->sync_failures, 1);
    journal_lock(journal);
    journal->sync_error = *error;
    atomic_fetch_or(&journal->gate, (unsigned)GATE_FAILED);
    journal_unlock(journal);
    journal_post(journal, EVENT_HEALTH | EVENT_FREEZE);
}

void journal_announce_synced(struct journal *journal, uint64_t sequence)
{
    if (sequence <= atomic_load(&journal->synced_sequence)) return;
    atomic_store_explicit(&journal->synced_sequence, sequence, memory_order_release);
    gauge_set(&journal->metrics->synced_sequence, (int64_t)sequence);
    journal_lock(journal);
    void (*on_synced)(void *) = journal->on_synced;
    void *context = journal->on_synced_context;
    journal_unlock(journal);
    if (on_synced) on_synced(context);
    journal_post(journal, EVENT_SYNCED);
    if (clock_monotonic_us() - atomic_load(&journal->looked_us) >= SPACE_LOOK_US)
        event_raise(&journal->prepare_event); /* looks at the free space while writes come */
}

static size_t syncable_end(const struct journal *journal, const struct segment *segment)
{
    return atomic_load_explicit(journal->is_shared ? &segment->published : &segment->written,
                                memory_order_acquire);
}

enum status journal_sync_once(struct journal *journal, struct error *error)
{
    uint64_t sequence = journal_syncable_sequence(journal); /* before the rest: rule 1 */
    uint64_t position = journal_syncable_position(journal);
    int64_t began_us = clock_monotonic_us();

    struct segment *segment = journal->sync_segment;
    for (;;) {
        /* In this order: once there is a successor, `published` is final. In mode write the
         * successor counts when the write thread has come to it. */
        struct segment *next = next_segment(journal, segment);
        if (next && syncable_end(journal, next) == 0) next = NULL;
        enum status status = segment_sync(journal->files, segment, syncable_end(journal, segment),
                                          error);
        if (status != STATUS_OK) return status;
        if (!next) break;
        segment = next;
        journal_lock(journal);
        journal->sync_segment = segment;
        journal_unlock(journal);
    }
    int64_t now_us = clock_monotonic_us();
    counter_add_shared(&journal->metrics->syncs, 1);
    histogram_record_us(&journal->metrics->sync_seconds, (uint64_t)(now_us - began_us));
    gauge_set(&journal->metrics->last_sync_unix_ms, clock_wall_ms());
    atomic_store_explicit(&journal->good_sync_began_us, began_us, memory_order_relaxed);
    atomic_store_explicit(&journal->synced_position, position, memory_order_release);
    journal_announce_synced(journal, sequence);
    if (atomic_exchange(&journal->wait_seen, false)) journal_post(journal, EVENT_SPACE);
    return STATUS_OK;
}

/* When the next sync is due; INT64_MAX: nothing asks for one. */
static int64_t next_sync_us(const struct journal *journal, int64_t last_began_us)
{
    uint64_t sequence = journal_syncable_sequence(journal);
    uint64_t position = journal_syncable_position(journal);
    uint64_t synced = atomic_load(&journal->synced_sequence);
    uint64_t synced_position = atomic_load(&journal->synced_position);
    int policy = atomic_load(&journal->policy);

    if (position == synced_position) return INT64_MAX;
    if (atomic_load(&journal->sync_stop)) return 0;
    if (sequence > synced) {
        if (policy == JOURNAL_ALWAYS || atomic_load(&journal->requested_sequence) > synced ||
            position - synced_position >= UNSYNCED_SOFT_BYTES)
            return 0;
    }
    return policy == JOURNAL_NO ? INT64_MAX : last_began_us + SYNC_INTERVAL_US;
}

static void sleep_until(struct journal *journal, int64_t due_us, int64_t last_began_us)
{
    if (due_us != INT64_MAX) {
        int64_t now_us = clock_monotonic_us();
        if (due_us > now_us) event_wait(&journal->sync_event, due_us - now_us);
        return;
    }
    atomic_store(&journal->sync_is_idle, true);
    if (next_sync_us(journal, last_began_us) == INT64_MAX) event_wait(&journal->sync_event, -1);
    atomic_store(&journal->sync_is_idle, false);
}

void journal_sync_run(void *argument)
{
    struct journal *journal = argument;
    int64_t last_began_us = INT64_MIN / 2;
    for (;;) {
        if (atomic_load(&journal->gate) & GATE_FAILED) {
            if (!journal_replace_unsynced(journal)) return;
            journal_post(journal, EVENT_HEALTH | EVENT_SPACE | EVENT_WRITTEN);
        }
        bool stopping = atomic_load(&journal->sync_stop);
        int64_t due_us = next_sync_us(journal, last_began_us);
        int64_t now_us = clock_monotonic_us();
        if (due_us <= now_us) {
            struct error error = {0};
            last_began_us = now_us;
            if (journal_sync_once(journal, &error) != STATUS_OK) journal_fail(journal, &error);
        } else if (stopping && due_us == INT64_MAX) {
            return;
        } else {
            sleep_until(journal, due_us, last_began_us);
        }
    }
}

/* --- mode write --- */

static enum status write_once(struct journal *journal, uint64_t sequence, uint64_t position,
                              struct error *error)
{
    struct segment *segment = journal->write_segment;
    for (;;) {
        struct segment *next = next_segment(journal, segment);
        size_t end = atomic_load_explicit(&segment->published, memory_order_acquire);
        enum status status = segment_write(journal->files, segment, end, error);
        if (status != STATUS_OK) return status;
        if (!next) break;
        status = segment_write_closed(journal->files, segment, next, error);
        if (status != STATUS_OK) return status;
        segment = journal->write_segment = next;
    }
    atomic_store_explicit(&journal->written_position, position, memory_order_release);
    atomic_store(&journal->written_sequence, sequence);
    return STATUS_OK;
}

static void wake_after_write(struct journal *journal, bool has_moved)
{
    int policy = atomic_load(&journal->policy);
    uint64_t unsynced = atomic_load(&journal->written_position) -
                        atomic_load(&journal->synced_position);
    if (policy == JOURNAL_ALWAYS || atomic_load(&journal->sync_is_idle) ||
        unsynced >= UNSYNCED_SOFT_BYTES ||
        atomic_load(&journal->requested_sequence) > atomic_load(&journal->synced_sequence))
        event_raise(&journal->sync_event);
    if (has_moved && policy != JOURNAL_ALWAYS) journal_post(journal, EVENT_WRITTEN);
}

/* While a failed sync is made good: hands off. Returns false when stopped meanwhile. */
static bool park(struct journal *journal)
{
    for (;;) {
        while (atomic_load(&journal->gate) & GATE_FAILED) {
            if (atomic_load(&journal->write_stop)) return false;
            if (!atomic_exchange(&journal->write_is_parked, true))
                event_raise(&journal->sync_event);
            event_wait(&journal->write_event, -1);
        }
        atomic_store(&journal->write_is_parked, false);
        /* Had the next sync failed before that store, it would have been taken for parked. */
        if (!(atomic_load(&journal->gate) & GATE_FAILED)) return true;
    }
}

void journal_write_run(void *argument)
{
    struct journal *journal = argument;
    while (park(journal)) {
        bool stopping = atomic_load(&journal->write_stop);
        uint64_t sequence = atomic_load(&journal->published_sequence);
        uint64_t position = atomic_load_explicit(&journal->published_position,
                                                 memory_order_acquire);
        if (position == atomic_load(&journal->written_position)) {
            if (stopping) break;
            event_wait(&journal->write_event, -1);
            continue;
        }
        struct error error = {0};
        bool has_moved = sequence > atomic_load(&journal->written_sequence);
        if (write_once(journal, sequence, position, &error) != STATUS_OK) {
            journal_fail(journal, &error);
            event_raise(&journal->sync_event);
        } else {
            wake_after_write(journal, has_moved);
        }
    }
    atomic_store(&journal->write_is_parked, true);
    event_raise(&journal->sync_event);
}
