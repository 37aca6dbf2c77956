/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal on disk. Pure functions on bytes, any thread. Integers are little-endian.
 *
 * A journal is a folder of segment files, journal-NNNNNNNN.seg (the number in the name only tells
 * files apart; their order is in the headers). A segment is one header page, then records:
 *
 *   segment   0      header, first copy          4096  record, record, ... up to the file's end
 *             1024   header, second copy
 *             2048   append offset
 *
 *   header    0   magic "KELVINJL"               56  previous: number of the segment before it
 *             8   format version (4)             64  first sequence
 *             12  header page bytes (4)          72  sequence known to be synced when it was begun
 *             16  store id                       80  replaces from this sequence on (0: nothing)
 *             24  run: random, one per run       88  segment bytes
 *             32  boot id (16)                   96  checksum of the 96 bytes before, XXH3
 *             48  number: the order of segments
 *
 *   append    bits 0-38 the offset divided by 8, bit 39: the next segment has been begun, bits 40-63
 *   offset    a check of these. One aligned store, so that the death of the process leaves the old
 *             or the new one.
 *
 *   record    0   checksum: XXH3, seeded with the run, of all that follows up to the length
 *             8   length (4): of header and payload, without the padding to 8
 *             12  operations (4): 0 is a sync mark, 0xffffffff the mark of a clean end
 *             16  sequence of its first operation; a mark's is that of the next record
 *             24  sequence known to be synced when it was written
 *             32  payload: encoded operations (operation.h)
 *
 * The checksum of a record with a payload of 1 MiB or more is that of its bytes 8 to 31 followed
 * by the 8 bytes of the payload's own checksum, so that another thread can compute that one.
 *
 * Segments are used again without being zeroed: what the ring saves in writes is worth more than
 * tidy files. Old records cannot come back, because a record counts only at the place where its
 * sequence is the next one expected, under the run number of the segment's header:
 *   - a record of an earlier run fails its checksum, whose seed was that run's random number;
 *   - an older record of the same run has a lower sequence than any that the reused segment
 *     begins with, since a segment is reused only when all of it has been marked;
 *   - and it vouches only for sequences below its own, so it cannot turn a torn end into damage.
 * A header page is zeroed and synced before its segment counts as free. */
#ifndef KELVIN_STORAGE_JOURNAL_FORMAT_H
#define KELVIN_STORAGE_JOURNAL_FORMAT_H

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

enum {
    JOURNAL_FORMAT_VERSION = 1,
    SEGMENT_HEADER_BYTES = 4096,
    SEGMENT_SECOND_COPY = 1024,
    SEGMENT_APPEND_OFFSET = 2048,
    BOOT_ID_BYTES = 16,
    RECORD_HEADER_BYTES = 32,
    RECORD_ALIGNMENT = 8,
    RECORD_LARGE_PAYLOAD_BYTES = 1 << 20
};
/* A record's length has 32 bits. */
#define RECORD_MAX_PAYLOAD_BYTES ((size_t)UINT32_MAX - RECORD_HEADER_BYTES - RECORD_ALIGNMENT)
#define RECORD_OPERATIONS_END UINT32_MAX

struct segment_header {
    uint64_t store_id, run, number, previous, first_sequence, synced_sequence, replaces_from,
        segment_bytes;
    uint8_t boot_id[BOOT_ID_BYTES];
};

/* Fills a whole header page, with the append offset at the first record's place. */
void segment_header_encode(const struct segment_header *header, char *page);
/* STATUS_NOT_FOUND: the page is blank. STATUS_CORRUPT: neither copy is whole. STATUS_UNSUPPORTED:
 * of a newer format. */
enum status segment_header_decode(const char *page, struct segment_header *out);

/* `is_closed`: the header of the next segment is in its place. */
uint64_t append_offset_encode(size_t offset, bool is_closed);
/* False when the check fails. */
bool append_offset_decode(uint64_t word, size_t *out, bool *is_closed);

struct record {
    uint64_t sequence, synced_sequence;
    uint32_t operations;
    size_t size; /* with padding: the distance to the next record */
    struct slice payload;
};

static inline size_t record_size(size_t payload_bytes)
{
    return (RECORD_HEADER_BYTES + payload_bytes + RECORD_ALIGNMENT - 1) &
           ~(size_t)(RECORD_ALIGNMENT - 1);
}

static inline bool record_is_mark(const struct record *record)
{
    return record->operations == 0 || record->operations == RECORD_OPERATIONS_END;
}

/* The sequence after its last one. */
static inline uint64_t record_next_sequence(const struct record *record)
{
    return record->sequence + (record_is_mark(record) ? 0 : record->operations);
}

/* The checksum of a record's fixed part and payload, which lie one after the other from `at`. */
static inline uint64_t record_checksum(const char *at, size_t length, uint64_t run,
                                       const uint64_t *payload_checksum)
{
    if (__builtin_expect(length < RECORD_HEADER_BYTES + RECORD_LARGE_PAYLOAD_BYTES, 1))
        return hash_checksum(at + 8, length - 8, run);
    char fixed[RECORD_HEADER_BYTES];
    memcpy(fixed, at + 8, RECORD_HEADER_BYTES - 8);
    put_le64(fixed + RECORD_HEADER_BYTES - 8,
             payload_checksum ? *payload_checksum
                              : hash_checksum(at + RECORD_HEADER_BYTES,
                                              length - RECORD_HEADER_BYTES, run));
    return hash_checksum(fixed, sizeof fixed, run);
}

/* Completes the record at `at`, whose payload is in place. `payload_checksum` (NULL: computed here)
 * is hash_checksum(payload, run) and used for large payloads only. */
static inline void record_seal(char *at, size_t payload_bytes, uint32_t operations,
                               uint64_t sequence, uint64_t synced_sequence, uint64_t run,
                               const uint64_t *payload_checksum)
{
    size_t length = RECORD_HEADER_BYTES + payload_bytes;
    put_le32(at + 8, (uint32_t)length);
    put_le32(at + 12, operations);
    put_le64(at + 16, sequence);
    put_le64(at + 24, synced_sequence);
    put_le64(at, record_checksum(at, length, run, payload_checksum));
}

/* Reads the record at `at`, of which `available` bytes are there. STATUS_NOT_FOUND: a length of
 * zero, nothing was written here. STATUS_CORRUPT: not a whole record of that run. The sequence is
 * the caller's to check. */
enum status record_parse(const char *at, size_t available, uint64_t run, struct record *out);

/* The offset of a whole record of that run in [from, end), with a sequence up to `last`, that says
 * that `first` had been synced; 0 when there is none. For telling damage from a torn end (rule 2).
 * Values may have been made to look like thousands of such records, each of which would have to be
 * hashed: after VOUCHER_MAX_PASSES times the bytes that there are it gives up and returns where it
 * was, so that somebody looks. */
enum { VOUCHER_MAX_PASSES = 16 };
size_t record_find_voucher(const char *segment, size_t from, size_t end, uint64_t run,
                           uint64_t first, uint64_t last);

#endif
