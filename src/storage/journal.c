/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal's append side: the loop's functions, none of which makes a call that can wait for a
 * disk. A reserve finds room below `limit` or asks others to make some and says AGAIN; a commit
 * seals the record; the end of a turn publishes what was appended and wakes who has work by it.
 *
 * Always true on the loop: bytes below `offset` of the current segment are whole records, and
 * limit <= populated, so a store never meets a page that nobody has touched. */
#include "storage/journal_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"

#if defined(__x86_64__)
#define TICKS() __builtin_ia32_rdtsc()
#else
#define TICKS() ((uint64_t)clock_monotonic_ns())
#endif

uint64_t journal_ticks(void)
{
    return TICKS();
}

/* --- waking and events --- */

static void deliver_letter(struct letter *letter);

void journal_post(struct journal *journal, unsigned bits)
{
    struct journal_letter *own = journal->letter;
    if (atomic_fetch_or(&own->bits, bits) == 0 && journal->home) {
        own->letter.deliver = deliver_letter;
        mailbox_put(journal->home, &own->letter);
    }
}

static void publish(struct journal *journal)
{
    atomic_store_explicit(&journal->current->published, journal->offset, memory_order_release);
    atomic_store_explicit(&journal->published_position, journal->position, memory_order_release);
    /* Sequentially consistent, as is the sync thread's store to sync_is_idle: one of the two sees
     * the other's. */
    atomic_store(&journal->published_sequence, journal->next_sequence - 1);
}

static void wake_after_append(struct journal *journal)
{
    uint64_t sequence = journal->next_sequence - 1;
    if (!journal->is_shared) {
        event_raise(&journal->write_event);
    } else {
        uint64_t synced = atomic_load_explicit(&journal->synced_sequence, memory_order_relaxed);
        uint64_t unsynced = journal->position - atomic_load_explicit(&journal->synced_position,
                                                                     memory_order_relaxed);
        bool now = sequence > synced &&
                   (journal->options->appendfsync == JOURNAL_ALWAYS ||
                    atomic_load(&journal->requested_sequence) > synced);
        if (now || unsynced >= UNSYNCED_SOFT_BYTES || atomic_load(&journal->sync_is_idle))
            event_raise(&journal->sync_event);
    }
    if (journal->offset >= journal->populate_trigger) {
        journal->populate_trigger = SIZE_MAX;
        event_raise(&journal->prepare_event);
    }
}

static void finish_turn(struct journal *journal)
{
    atomic_store_explicit(&journal->policy, journal->options->appendfsync, memory_order_relaxed);
    if (journal->fast_appends > 0) { /* below a microsecond: the first bucket */
        struct histogram *histogram = &journal->metrics->append_seconds;
        atomic_fetch_add_explicit(&histogram->buckets[0], journal->fast_appends,
                                  memory_order_relaxed);
        atomic_fetch_add_explicit(&histogram->count, journal->fast_appends, memory_order_relaxed);
        journal->fast_appends = 0;
    }
    uint64_t before = atomic_load_explicit(&journal->published_sequence, memory_order_relaxed);
    if (atomic_load_explicit(&journal->synced_sequence, memory_order_relaxed) >= before)
        journal->unsynced_since_us = clock_monotonic_us();
    journal->has_appended = false;
    publish(journal);
    gauge_set(&journal->metrics->appended_sequence, (int64_t)journal->next_sequence - 1);
    gauge_set(&journal->metrics->unmarked_bytes, (int64_t)journal_unmarked_bytes(journal));
    wake_after_append(journal);
}

/* A sync has failed: the sync thread will move the append position, and first wants to know that
 * the loop keeps its hands off. */
static void freeze_if_asked(struct journal *journal)
{
    unsigned gate = atomic_load_explicit(&journal->gate, memory_order_acquire);
    if (!(gate & GATE_FAILED) || (gate & GATE_FROZEN) || journal->is_held) return;
    if (journal->has_appended) finish_turn(journal);
    atomic_fetch_or(&journal->gate, (unsigned)GATE_FROZEN);
    event_raise(&journal->sync_event);
}

void journal_end_turn(struct journal *journal)
{
    ASSERT_THREAD(THREAD_LOOP);
    if (!journal->is_running) return;
    if (journal->has_appended) finish_turn(journal);
    freeze_if_asked(journal);
}

/* A sync mark, when no record has told yet what is synced; or the mark of a clean end. Where there
 * is no room for one it is left out. */
static void append_mark(struct journal *journal, uint32_t operations)
{
    uint64_t synced = atomic_load_explicit(&journal->synced_sequence, memory_order_acquire);
    if (operations == 0 && journal->carried_synced >= synced) return;
    unsigned gate = atomic_load_explicit(&journal->gate, memory_order_acquire);
    if (journal->is_held || (gate & ~(unsigned)(GATE_FULL | GATE_SHORT)) != 0 ||
        journal->offset + RECORD_HEADER_BYTES > journal->limit)
        return;
    record_seal(journal->current->map + journal->offset, 0, operations, journal->next_sequence,
                synced, journal->run, NULL);
    journal->offset += RECORD_HEADER_BYTES;
    journal->position += RECORD_HEADER_BYTES;
    journal->carried_synced = synced;
    journal->has_appended = true;
    if (journal->is_shared)
        segment_store_append_offset(journal->current, journal->offset, false);
}

static void deliver_letter(struct letter *letter)
{
    struct journal_letter *own = (struct journal_letter *)letter;
    struct journal *journal = own->journal;
    if (!journal) { /* closed meanwhile */
        mem_free(own);
        return;
    }
    unsigned bits = atomic_exchange(&own->bits, 0);
    struct journal_events events = journal->events;
    if (journal->is_running) {
        freeze_if_asked(journal);
        append_mark(journal, 0);
        if (journal->has_appended) finish_turn(journal);
    }
    if ((bits & (EVENT_WRITTEN | EVENT_SYNCED)) && events.on_acknowledged)
        events.on_acknowledged(events.context);
    if ((bits & EVENT_SPACE) && events.on_space) events.on_space(events.context);
    if ((bits & EVENT_HEALTH) && events.on_health) events.on_health(events.context);
}

void journal_set_events(struct journal *journal, struct mailbox *home,
                        const struct journal_events *events)
{
    journal->events = *events;
    journal->home = home;
    unsigned missed = atomic_exchange(&journal->letter->bits, 0);
    if (missed) journal_post(journal, missed);
}

void journal_set_on_synced(struct journal *journal, void (*on_synced)(void *context), void *context)
{
    journal_lock(journal);
    journal->on_synced = on_synced;
    journal->on_synced_context = context;
    journal_unlock(journal);
}

/* --- room --- */

void journal_fill_header(struct journal *journal, struct segment_header *header,
                         const struct segment *segment)
{
    header->store_id = journal->store_id;
    header->run = journal->run;
    memcpy(header->boot_id, journal->boot_id, BOOT_ID_BYTES);
    header->segment_bytes = segment->bytes;
    header->synced_sequence = atomic_load_explicit(&journal->synced_sequence, memory_order_acquire);
}

/* Under the lock. */
void journal_begin_segment(struct journal *journal, struct segment *segment)
{
    struct segment_header *header = &segment->header;
    struct segment *previous = journal->chain.last;
    journal_fill_header(journal, header, segment);
    header->number = journal->next_number++;
    header->previous = previous ? previous->header.number : 0;
    header->first_sequence = journal->next_sequence;
    header->replaces_from = 0;
    segment_header_encode(header, segment->map);
    segment->start_position = journal->position;
    if (previous) {
        previous->last_sequence = journal->next_sequence - 1;
        atomic_store_explicit(&previous->published, journal->offset, memory_order_release);
        if (journal->is_shared) segment_store_append_offset(previous, journal->offset, true);
    }
    atomic_store_explicit(&segment->published, SEGMENT_HEADER_BYTES, memory_order_release);
    segment_list_push(&journal->chain, segment);
    journal->current = segment;
    journal->offset = SEGMENT_HEADER_BYTES;
    journal->limit = SEGMENT_HEADER_BYTES;
}

static enum status need_space(struct journal *journal)
{
    counter_add(&journal->metrics->reserve_stalls, 1);
    atomic_store(&journal->wait_seen, true);
    atomic_store_explicit(&journal->needed_us, clock_monotonic_us(), memory_order_relaxed);
    event_raise(&journal->prepare_event);
    return STATUS_AGAIN;
}

/* Moves to a ready segment that takes `size` bytes. Of two or more the last one is not for everybody
 * until a further one is ready: should that fail, it is what deletes have left (rule 18). */
static enum status switch_segment(struct journal *journal, size_t size, bool use_reserve)
{
    size_t bytes = SEGMENT_HEADER_BYTES + size;
    journal_lock(journal);
    struct segment *found = journal->ready.first;
    while (found && found->bytes < bytes) found = found->next;
    bool is_kept = !use_reserve && journal->prepared_target >= 2 && journal->ready.count == 1;
    if (!found || is_kept ||
        atomic_load_explicit(&found->populated, memory_order_acquire) < bytes) {
        if (found)
            atomic_store(&journal->populate_next, bytes);
        else
            atomic_store(&journal->wanted_bytes, bytes);
        enum status failing = journal->prepare_error.code;
        journal_unlock(journal);
        enum status status = need_space(journal);
        return (found && !is_kept) || failing == STATUS_OK ? status : failing;
    }
    segment_list_remove(&journal->ready, found);
    journal_begin_segment(journal, found);
    bool changed = journal_update_full(journal);
    journal_unlock(journal);
    if (changed) journal_post(journal, EVENT_HEALTH);
    event_raise(&journal->prepare_event);
    return STATUS_OK;
}

/* How many bytes may be appended until somebody has to look at the disk again (rule 18). */
static uint64_t space_left(const struct journal *journal)
{
    uint64_t end = atomic_load_explicit(&journal->space_position, memory_order_acquire);
    return end > journal->position ? end - journal->position : 0;
}

/* Sets `limit` anew; false when `size` bytes do not fit below it. */
static bool find_room(struct journal *journal, size_t size, bool use_reserve)
{
    struct segment *segment = journal->current;
    size_t limit = atomic_load_explicit(&segment->populated, memory_order_acquire);
    uint64_t unsynced =
        journal->position - atomic_load_explicit(&journal->synced_position, memory_order_acquire);
    size_t ahead = page_floor(POPULATE_AHEAD_BYTES / 2);
    journal->populate_trigger = limit >= segment->bytes ? SIZE_MAX
                                : limit > ahead         ? limit - ahead
                                                        : 0;
    if (journal->offset + size > limit) {
        atomic_store(&journal->populate_wanted, journal->offset + size);
        return false;
    }
    /* What is not synced is held in memory. A record larger than all that waits for the others. */
    if (unsynced > 0 && unsynced + size > UNSYNCED_HARD_BYTES) {
        journal_request_sync(journal);
        return false;
    }
    size_t room = unsynced < UNSYNCED_HARD_BYTES ? UNSYNCED_HARD_BYTES - (size_t)unsynced : 0;
    uint64_t space = space_left(journal);
    if (space < size && !use_reserve) {
        atomic_store(&journal->space_wanted, size);
        return false;
    }
    if (room > space) room = (size_t)space;
    if (room < size) room = size;
    journal->limit = limit - journal->offset > room ? journal->offset + room : limit;
    return true;
}

static enum status reserve_slowly(struct journal *journal, size_t size, bool use_reserve)
{
    unsigned gate = atomic_load_explicit(&journal->gate, memory_order_acquire);
    if (gate & GATE_CLOSED) return STATUS_CLOSED;
    if (journal->is_held) {
        atomic_store(&journal->wait_seen, true);
        return STATUS_AGAIN;
    }
    if (gate & GATE_FAILED) {
        freeze_if_asked(journal);
        return STATUS_IO_ERROR;
    }
    if ((gate & (GATE_FULL | GATE_SHORT)) && !use_reserve) {
        need_space(journal);
        enum status status = journal_health(journal, NULL);
        return status == STATUS_OK ? STATUS_AGAIN : status;
    }
    if (journal->offset + size > journal->current->bytes) {
        enum status status = switch_segment(journal, size, use_reserve);
        if (status != STATUS_OK) return status;
    }
    return find_room(journal, size, use_reserve) ? STATUS_OK : need_space(journal);
}

enum status journal_reserve(struct journal *journal, size_t payload_bytes, bool use_reserve,
                            struct journal_append *append)
{
    ASSERT_THREAD(THREAD_LOOP);
    if (payload_bytes > RECORD_MAX_PAYLOAD_BYTES) return STATUS_TOO_LARGE;
    size_t size = record_size(payload_bytes);
    journal->reserve_ticks = TICKS();
    /* The gate first: while it is closed the sync thread may own the rest. */
    if (__builtin_expect(atomic_load_explicit(&journal->gate, memory_order_acquire) != 0 ||
                             journal->offset + size > journal->limit || journal->is_held,
                         0)) {
        enum status status = reserve_slowly(journal, size, use_reserve);
        if (status != STATUS_OK) return status;
    }
    append->segment = journal->current;
    append->offset = journal->offset;
    append->size = payload_bytes;
    append->payload = journal->current->map + journal->offset + RECORD_HEADER_BYTES;
    return STATUS_OK;
}

void journal_hold(struct journal *journal, const struct journal_append *append)
{
    ASSERT_THREAD(THREAD_LOOP);
    ASSERT(append->segment == journal->current && append->offset == journal->offset);
    ASSERT(!journal->is_held && !(atomic_load(&journal->gate) & GATE_FROZEN));
    journal->is_held = true;
}

static void end_hold(struct journal *journal)
{
    if (!journal->is_held) return;
    journal->is_held = false;
    if (atomic_exchange(&journal->wait_seen, false)) journal_post(journal, EVENT_SPACE);
}

void journal_cancel(struct journal *journal, const struct journal_append *append)
{
    ASSERT_THREAD(THREAD_LOOP);
    ASSERT(append->segment == journal->current && append->offset == journal->offset);
    end_hold(journal);
    freeze_if_asked(journal);
}

/* --- commit --- */

static inline void measure_append(struct journal *journal)
{
    uint64_t ticks = TICKS() - journal->reserve_ticks;
    if (__builtin_expect((double)ticks < journal->ticks_per_us, 1)) {
        journal->fast_appends++;
        return;
    }
    histogram_record_us(&journal->metrics->append_seconds,
                        (uint64_t)((double)ticks / journal->ticks_per_us));
}

uint64_t journal_commit_hashed(struct journal *journal, const struct journal_append *append,
                               uint32_t operations, const uint64_t *payload_checksum)
{
    ASSERT_THREAD(THREAD_LOOP);
    ASSERT(append->segment == journal->current && append->offset == journal->offset);
    ASSERT(operations > 0 && operations != RECORD_OPERATIONS_END);
    ASSERT(!(atomic_load_explicit(&journal->gate, memory_order_relaxed) & GATE_FROZEN));
    size_t size = record_size(append->size);
    uint64_t synced = atomic_load_explicit(&journal->synced_sequence, memory_order_relaxed);

    record_seal(append->payload - RECORD_HEADER_BYTES, append->size, operations,
                journal->next_sequence, synced, journal->run, payload_checksum);
    journal->offset += size;
    journal->position += size;
    journal->next_sequence += operations;
    journal->carried_synced = synced;
    journal->has_appended = true;
    if (journal->is_shared)
        segment_store_append_offset(journal->current, journal->offset, false);
    atomic_store_explicit(&journal->appended_sequence, journal->next_sequence - 1,
                          memory_order_relaxed);
    counter_add(&journal->metrics->appended_bytes, size);
    counter_add(&journal->metrics->appended_records, 1);
    counter_add(&journal->metrics->appended_operations, operations);
    measure_append(journal);
    end_hold(journal);
    return journal->next_sequence - 1;
}

uint64_t journal_commit(struct journal *journal, const struct journal_append *append,
                        uint32_t operations)
{
    return journal_commit_hashed(journal, append, operations, NULL);
}

uint64_t journal_payload_checksum(const struct journal *journal, struct slice payload)
{
    return hash_checksum(payload.data, payload.size, journal->run);
}

void journal_append_end_mark(struct journal *journal)
{
    if (journal->offset + RECORD_HEADER_BYTES > journal->limit)
        find_room(journal, RECORD_HEADER_BYTES, true);
    append_mark(journal, RECORD_OPERATIONS_END);
    journal_end_turn(journal);
}
