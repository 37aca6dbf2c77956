/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading records, found at start or of the run: batch writer thread, or start-up. A reader holds
 * its segment, so that it is not retired under it. Where a segment's successor begins is where the
 * segment ends, whatever may still stand behind (rule 3). */
#include "storage/journal_internal.h"

#include "base/check.h"
#include "base/memory.h"

struct journal_reader {
    struct journal *journal;
    struct segment *segment; /* NULL: to be found */
    size_t offset;
    uint64_t from; /* records that end before are passed over */
    uint64_t next; /* sequence of the record at `offset` */
};

/* Under the lock. */
static void enter(struct journal_reader *reader, struct segment *segment)
{
    if (reader->segment) reader->segment->readers--;
    reader->segment = segment;
    if (!segment) return;
    segment->readers++;
    reader->offset = SEGMENT_HEADER_BYTES;
    reader->next = segment->header.first_sequence;
}

struct journal_reader *journal_reader_create(struct journal *journal, uint64_t from)
{
    struct journal_reader *reader = mem_calloc(1, sizeof *reader);
    reader->journal = journal;
    reader->from = from;
    return reader;
}

void journal_reader_destroy(struct journal_reader *reader)
{
    if (!reader) return;
    journal_lock(reader->journal);
    enter(reader, NULL);
    journal_unlock(reader->journal);
    event_raise(&reader->journal->prepare_event); /* a segment may have waited for us */
    mem_free(reader);
}

/* Makes `segment` the one that holds the next record. False when there is none. */
static bool find_segment(struct journal_reader *reader)
{
    struct journal *journal = reader->journal;
    journal_lock(journal);
    if (reader->segment && reader->segment->is_superseded) {
        if (reader->next > reader->from) reader->from = reader->next;
        enter(reader, NULL);
    }
    if (!reader->segment) {
        struct segment *at = journal->chain.first;
        while (at && at->next && at->next->header.first_sequence <= reader->from) at = at->next;
        if (at) enter(reader, at);
    }
    struct segment *next = reader->segment ? reader->segment->next : NULL;
    while (next && reader->next >= next->header.first_sequence) {
        enter(reader, next);
        next = next->next;
    }
    journal_unlock(journal);
    return reader->segment != NULL;
}

enum status journal_reader_next(struct journal_reader *reader, uint64_t up_to,
                                struct journal_record *out, struct error *error)
{
    struct record record;
    if (reader->journal->is_running) { /* what is in the file, in mode write */
        uint64_t readable = journal_syncable_sequence(reader->journal);
        if (up_to > readable) up_to = readable;
    }
    while (find_segment(reader)) {
        struct segment *segment = reader->segment;
        size_t end = atomic_load_explicit(&segment->published, memory_order_acquire);
        if (reader->offset >= end || reader->next > up_to) return STATUS_NOT_FOUND;
        enum status status = record_parse(segment->view + reader->offset, end - reader->offset,
                                          reader->journal->run, &record);
        if (status != STATUS_OK || record.sequence != reader->next)
            return error_set(error, STATUS_CORRUPT,
                             "%s is damaged at offset %zu: the record with sequence %llu had been "
                             "whole", segment->path, reader->offset,
                             (unsigned long long)reader->next);
        uint64_t next = record_next_sequence(&record);
        if (next - 1 > up_to && !record_is_mark(&record)) return STATUS_NOT_FOUND;
        reader->offset += record.size;
        reader->next = next;
        if (record_is_mark(&record) || next - 1 < reader->from) continue;
        out->sequence = record.sequence;
        out->operations = record.operations;
        out->payload = record.payload;
        return STATUS_OK;
    }
    return STATUS_NOT_FOUND;
}
