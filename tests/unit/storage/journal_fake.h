/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A journal in memory for tests of the batch writer, in the place of the real one: a list of records
 * that the test appends to and syncs. It keeps everything, so that a test can replay all of it, but
 * a reader that asks for what was marked has lost data: it aborts. Included by one test file. */
#ifndef KELVIN_TESTS_JOURNAL_FAKE_H
#define KELVIN_TESTS_JOURNAL_FAKE_H

#include "base/check.h"
#include "base/memory.h"
#include "storage/journal.h"
#include "storage/operation.h"

#include <pthread.h>
#include <stdatomic.h>

struct fake_record {
    uint64_t sequence;
    uint32_t operations;
    char *payload;
    size_t size;
};

struct journal {
    pthread_mutex_t lock;
    struct fake_record *records;
    size_t count, capacity;
    _Atomic uint64_t appended, synced, marked, bytes, marked_bytes;
    _Atomic unsigned fill_percent, sync_requests, reserves_given_up;
    _Atomic bool syncs_fail; /* a request does nothing */
    _Atomic uint64_t free_bytes, needed_bytes; /* of the disk */
    void (*on_synced)(void *context);
    void *on_synced_context;
};

struct journal_reader {
    struct journal *journal;
    size_t index;
    uint64_t from;
};

static inline struct journal *fake_journal_create(uint64_t first_sequence)
{
    struct journal *journal = mem_calloc(1, sizeof *journal);
    pthread_mutex_init(&journal->lock, NULL);
    journal->appended = journal->synced = journal->marked = first_sequence - 1;
    return journal;
}

static inline void fake_journal_destroy(struct journal *journal)
{
    for (size_t i = 0; i < journal->count; i++) mem_free(journal->records[i].payload);
    mem_free(journal->records);
    pthread_mutex_destroy(&journal->lock);
    mem_free(journal);
}

static inline void fake_journal_append(struct journal *journal, const struct operation *operations,
                                uint32_t count)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) size += operation_encoded_bytes(&operations[i]);
    char *payload = mem_alloc(size + 1), *end = payload;
    for (uint32_t i = 0; i < count; i++) end = operation_encode(&operations[i], end);
    ASSERT((size_t)(end - payload) == size);
    pthread_mutex_lock(&journal->lock);
    if (journal->count == journal->capacity) {
        journal->capacity = journal->capacity ? journal->capacity * 2 : 256;
        journal->records =
            mem_realloc(journal->records, journal->capacity * sizeof *journal->records);
    }
    journal->records[journal->count++] =
        (struct fake_record){journal->appended + 1, count, payload, size};
    journal->bytes += size;
    journal->appended += count;
    pthread_mutex_unlock(&journal->lock);
}

static inline void fake_journal_sync(struct journal *journal, uint64_t up_to)
{
    pthread_mutex_lock(&journal->lock);
    if (up_to > journal->synced) journal->synced = up_to;
    void (*on_synced)(void *) = journal->on_synced;
    void *context = journal->on_synced_context;
    pthread_mutex_unlock(&journal->lock);
    if (on_synced) on_synced(context);
}

/* The machine died: records after `last` never were. */
static inline void fake_journal_cut(struct journal *journal, uint64_t last)
{
    while (journal->count > 0 && journal->records[journal->count - 1].sequence > last)
        mem_free(journal->records[--journal->count].payload);
    journal->appended = journal->synced = last;
}

uint64_t journal_appended_sequence(const struct journal *journal)
{
    return journal->appended;
}

uint64_t journal_synced_sequence(const struct journal *journal)
{
    return journal->synced;
}

void journal_request_sync(struct journal *journal)
{
    journal->sync_requests++;
    if (!journal->syncs_fail) journal->synced = journal->appended;
}

uint64_t journal_unmarked_bytes(const struct journal *journal)
{
    return journal->bytes - journal->marked_bytes;
}

unsigned journal_fill_percent(const struct journal *journal)
{
    return journal->fill_percent;
}

bool journal_disk_is_short(const struct journal *journal)
{
    return atomic_load(&journal->free_bytes) < atomic_load(&journal->needed_bytes);
}

uint64_t journal_measure_free_bytes(struct journal *journal)
{
    return atomic_load(&journal->free_bytes);
}

uint64_t journal_needed_disk_bytes(const struct journal *journal)
{
    return atomic_load(&journal->needed_bytes);
}

void journal_set_store_need(struct journal *journal, uint64_t bytes)
{
    (void)journal;
    (void)bytes;
}

void journal_set_automatic_max(struct journal *journal, uint64_t bytes)
{
    (void)journal;
    ASSERT(bytes > 0);
}

void journal_give_up_reserve(struct journal *journal)
{
    journal->reserves_given_up++;
}

void journal_set_on_synced(struct journal *journal, void (*on_synced)(void *context), void *context)
{
    pthread_mutex_lock(&journal->lock);
    journal->on_synced = on_synced;
    journal->on_synced_context = context;
    pthread_mutex_unlock(&journal->lock);
}

void journal_set_marked(struct journal *journal, uint64_t sequence)
{
    ASSERT(sequence <= journal->synced);
    if (sequence <= journal->marked) return;
    uint64_t bytes = 0;
    pthread_mutex_lock(&journal->lock);
    for (size_t i = 0; i < journal->count; i++) {
        const struct fake_record *record = &journal->records[i];
        if (record->sequence + record->operations - 1 <= sequence) bytes += record->size;
    }
    pthread_mutex_unlock(&journal->lock);
    journal->marked = sequence;
    journal->marked_bytes = bytes;
}

struct journal_reader *journal_reader_create(struct journal *journal, uint64_t from)
{
    struct journal_reader *reader = mem_calloc(1, sizeof *reader);
    ASSERT(from > journal->marked); /* what is below may be gone */
    reader->journal = journal;
    reader->from = from;
    return reader;
}

enum status journal_reader_next(struct journal_reader *reader, uint64_t up_to,
                                struct journal_record *out, struct error *error)
{
    struct journal *journal = reader->journal;
    enum status status = STATUS_NOT_FOUND;
    (void)error;
    pthread_mutex_lock(&journal->lock);
    while (reader->index < journal->count) {
        const struct fake_record *record = &journal->records[reader->index];
        uint64_t last = record->sequence + record->operations - 1;
        if (last > up_to) break;
        reader->index++;
        if (last < reader->from) continue;
        *out = (struct journal_record){record->sequence, record->operations,
                                       slice_make(record->payload, record->size)};
        status = STATUS_OK;
        break;
    }
    pthread_mutex_unlock(&journal->lock);
    return status;
}

void journal_reader_destroy(struct journal_reader *reader)
{
    mem_free(reader);
}

#endif
