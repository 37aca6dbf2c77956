/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the journal says about itself: sequences, health, pauses, figures; and what others tell it
 * (marked, sync soon, reserve). Any thread, unless the header says otherwise; nothing here blocks
 * on a disk. */
#include "storage/journal_internal.h"

#include "base/check.h"
#include "base/clock.h"

void segment_list_push(struct segment_list *list, struct segment *segment)
{
    segment->next = NULL;
    if (list->last)
        list->last->next = segment;
    else
        list->first = segment;
    list->last = segment;
    list->count++;
}

void segment_list_remove(struct segment_list *list, struct segment *segment)
{
    struct segment *previous = NULL, *at = list->first;
    while (at != segment) {
        ASSERT(at != NULL);
        previous = at;
        at = at->next;
    }
    if (previous)
        previous->next = segment->next;
    else
        list->first = segment->next;
    if (list->last == segment) list->last = previous;
    segment->next = NULL;
    list->count--;
}

struct segment *segment_list_pop(struct segment_list *list)
{
    struct segment *first = list->first;
    if (first) segment_list_remove(list, first);
    return first;
}

uint64_t journal_next_sequence(const struct journal *journal)
{
    return journal->next_sequence;
}

uint64_t journal_appended_sequence(const struct journal *journal)
{
    return atomic_load_explicit(&journal->appended_sequence, memory_order_relaxed);
}

uint64_t journal_synced_sequence(const struct journal *journal)
{
    return atomic_load_explicit(&journal->synced_sequence, memory_order_acquire);
}

uint64_t journal_acknowledged_sequence(const struct journal *journal)
{
    if (journal->options->appendfsync == JOURNAL_ALWAYS) return journal_synced_sequence(journal);
    if (journal->is_shared) return journal_appended_sequence(journal);
    return atomic_load_explicit(&journal->written_sequence, memory_order_acquire);
}

uint64_t journal_syncable_sequence(const struct journal *journal)
{
    return journal->is_shared ? atomic_load(&journal->published_sequence)
                              : atomic_load(&journal->written_sequence);
}

uint64_t journal_syncable_position(const struct journal *journal)
{
    return journal->is_shared
               ? atomic_load_explicit(&journal->published_position, memory_order_acquire)
               : atomic_load_explicit(&journal->written_position, memory_order_acquire);
}

void journal_request_sync(struct journal *journal)
{
    uint64_t wanted = journal_appended_sequence(journal);
    uint64_t before = atomic_load(&journal->requested_sequence);
    while (before < wanted &&
           !atomic_compare_exchange_weak(&journal->requested_sequence, &before, wanted)) {
    }
    event_raise(&journal->sync_event);
}

enum status journal_health(const struct journal *journal, struct error *error)
{
    unsigned gate = atomic_load_explicit(&journal->gate, memory_order_acquire);
    if ((gate & (GATE_FAILED | GATE_FULL | GATE_SHORT)) == 0) return STATUS_OK;
    struct journal *locked = (struct journal *)(uintptr_t)journal; /* the lock is not const */
    journal_lock(locked);
    struct error copy = gate & GATE_FAILED  ? journal->sync_error
                        : gate & GATE_SHORT ? journal->space_error
                                            : journal->prepare_error;
    journal_unlock(locked);
    if (copy.code != STATUS_OK && error) *error = copy;
    return copy.code;
}

bool journal_update_full(struct journal *journal)
{
    unsigned kept = journal->prepared_target < 2 ? 1 : 2;
    bool is_full = journal->prepare_error.code != STATUS_OK && journal->ready.count < kept;
    unsigned before = is_full ? atomic_fetch_or(&journal->gate, (unsigned)GATE_FULL)
                              : atomic_fetch_and(&journal->gate, ~(unsigned)GATE_FULL);
    return is_full != ((before & GATE_FULL) != 0);
}

static uint64_t max_bytes(const struct journal *journal)
{
    int64_t limit = journal->options->journal_max_bytes;
    return limit > 0 ? (uint64_t)limit
                     : atomic_load_explicit(&journal->automatic_max_bytes, memory_order_relaxed);
}

void journal_set_automatic_max(struct journal *journal, uint64_t bytes)
{
    atomic_store_explicit(&journal->automatic_max_bytes, bytes, memory_order_relaxed);
    gauge_set(&journal->metrics->max_bytes, (int64_t)max_bytes(journal));
}

static bool sync_is_late(const struct journal *journal)
{
    if (journal->options->appendfsync != JOURNAL_EVERYSEC) return false;
    if (journal_synced_sequence(journal) >= journal_appended_sequence(journal)) return false;
    int64_t since = atomic_load_explicit(&journal->good_sync_began_us, memory_order_relaxed);
    if (journal->unsynced_since_us > since) since = journal->unsynced_since_us;
    return clock_monotonic_us() - since > SYNC_LATE_US;
}

/* On a full disk nobody waits for room: writers get the error, deletes the last segments. */
static bool is_over_limit(const struct journal *journal)
{
    return journal_unmarked_bytes(journal) >= max_bytes(journal) && !journal_disk_is_short(journal);
}

bool journal_must_wait(const struct journal *journal)
{
    if (!is_over_limit(journal) && !sync_is_late(journal)) return false;
    struct journal *mutable = (struct journal *)(uintptr_t)journal;
    if (atomic_exchange(&mutable->wait_seen, true)) return true;
    /* Whoever ends the pause looks at wait_seen; had that just happened, nobody would. */
    return is_over_limit(journal) || sync_is_late(journal);
}

unsigned journal_fill_percent(const struct journal *journal)
{
    uint64_t percent = journal_unmarked_bytes(journal) * 100 / max_bytes(journal);
    unsigned most = journal_disk_is_short(journal) ? 99 : 100; /* see is_over_limit */
    return percent > most ? most : (unsigned)percent;
}

uint64_t journal_unmarked_bytes(const struct journal *journal)
{
    uint64_t marked = atomic_load_explicit(&journal->marked_position, memory_order_relaxed);
    uint64_t published = atomic_load_explicit(&journal->published_position, memory_order_relaxed);
    return published > marked ? published - marked : 0;
}

/* Bytes of the run up to and with `sequence`: exact at the ends of segments, in proportion
 * between. Under the lock. */
static uint64_t position_of(const struct journal *journal, uint64_t sequence)
{
    uint64_t published = atomic_load(&journal->published_sequence);
    if (sequence >= published) return atomic_load(&journal->published_position);
    const struct segment *segment = journal->chain.first;
    while (segment->next && segment->next->header.first_sequence <= sequence)
        segment = segment->next;
    uint64_t first = segment->header.first_sequence;
    if (sequence < first) return segment->start_position;
    uint64_t last = segment->next ? segment->next->header.first_sequence - 1 : published;
    uint64_t bytes = atomic_load(&segment->published) - SEGMENT_HEADER_BYTES;
    double share = (double)(sequence - first + 1) / (double)(last - first + 1);
    return segment->start_position + (uint64_t)((double)bytes * (share < 1 ? share : 1));
}

void journal_set_marked(struct journal *journal, uint64_t sequence)
{
    if (!journal->is_running) return;
    journal_lock(journal);
    ASSERT(sequence <= journal_synced_sequence(journal));
    if (sequence > atomic_load(&journal->marked_sequence)) {
        atomic_store(&journal->marked_sequence, sequence);
        uint64_t position = position_of(journal, sequence);
        if (position > atomic_load(&journal->marked_position))
            atomic_store(&journal->marked_position, position);
    }
    struct segment *first = journal->chain.first;
    bool frees = first && first->next && first->next->header.first_sequence <= sequence + 1;
    journal_unlock(journal);
    gauge_set(&journal->metrics->marked_sequence, (int64_t)sequence);
    gauge_set(&journal->metrics->unmarked_bytes, (int64_t)journal_unmarked_bytes(journal));
    if (frees) event_raise(&journal->prepare_event);
    if (atomic_exchange(&journal->wait_seen, false)) journal_post(journal, EVENT_SPACE);
}

const char *journal_io_name(const struct journal *journal)
{
    return journal->is_shared ? "mmap" : "write";
}

void journal_update_gauges(struct journal *journal)
{
    uint64_t bytes = 0;
    journal_lock(journal);
    const struct segment_list *lists[] = {&journal->chain, &journal->ready, &journal->retiring,
                                          &journal->free};
    unsigned count = 0;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (const struct segment *at = lists[i]->first; at; at = at->next) bytes += at->bytes;
        count += lists[i]->count;
    }
    journal_unlock(journal);
    gauge_set(&journal->metrics->segments, count);
    gauge_set(&journal->metrics->bytes_on_disk, (int64_t)bytes);
    gauge_set(&journal->metrics->unmarked_bytes, (int64_t)journal_unmarked_bytes(journal));
}
