/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal's format on disk, drawn in journal_format.h. Pure functions, any thread. */
#include "storage/journal_format.h"

#include <stdatomic.h>

#define CLOSED_BIT ((uint64_t)1 << 39)

enum { HEADER_COPY_BYTES = 104, HEADER_CHECKED_BYTES = 96, OFFSET_BITS = 40 };

static const char magic[8] = {'K', 'E', 'L', 'V', 'I', 'N', 'J', 'L'};

static void encode_copy(const struct segment_header *header, char *out)
{
    memcpy(out, magic, sizeof magic);
    put_le32(out + 8, JOURNAL_FORMAT_VERSION);
    put_le32(out + 12, SEGMENT_HEADER_BYTES);
    put_le64(out + 16, header->store_id);
    put_le64(out + 24, header->run);
    memcpy(out + 32, header->boot_id, BOOT_ID_BYTES);
    put_le64(out + 48, header->number);
    put_le64(out + 56, header->previous);
    put_le64(out + 64, header->first_sequence);
    put_le64(out + 72, header->synced_sequence);
    put_le64(out + 80, header->replaces_from);
    put_le64(out + 88, header->segment_bytes);
    put_le64(out + 96, hash_checksum(out, HEADER_CHECKED_BYTES, 0));
}

void segment_header_encode(const struct segment_header *header, char *page)
{
    memset(page, 0, SEGMENT_HEADER_BYTES);
    put_le64(page + SEGMENT_APPEND_OFFSET, append_offset_encode(SEGMENT_HEADER_BYTES, false));
    /* The page may be shared: whenever the process dies, a whole header has its append offset. */
    atomic_thread_fence(memory_order_release);
    encode_copy(header, page + SEGMENT_SECOND_COPY);
    encode_copy(header, page);
}

static enum status decode_copy(const char *in, struct segment_header *out)
{
    if (memcmp(in, magic, sizeof magic) != 0) return STATUS_CORRUPT;
    if (get_le64(in + 96) != hash_checksum(in, HEADER_CHECKED_BYTES, 0)) return STATUS_CORRUPT;
    if (get_le32(in + 8) != JOURNAL_FORMAT_VERSION || get_le32(in + 12) != SEGMENT_HEADER_BYTES)
        return STATUS_UNSUPPORTED;
    out->store_id = get_le64(in + 16);
    out->run = get_le64(in + 24);
    memcpy(out->boot_id, in + 32, BOOT_ID_BYTES);
    out->number = get_le64(in + 48);
    out->previous = get_le64(in + 56);
    out->first_sequence = get_le64(in + 64);
    out->synced_sequence = get_le64(in + 72);
    out->replaces_from = get_le64(in + 80);
    out->segment_bytes = get_le64(in + 88);
    return STATUS_OK;
}

static bool is_zero(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0) return false;
    return true;
}

enum status segment_header_decode(const char *page, struct segment_header *out)
{
    enum status first = decode_copy(page, out);
    if (first == STATUS_OK) return STATUS_OK;
    enum status second = decode_copy(page + SEGMENT_SECOND_COPY, out);
    if (second == STATUS_OK) return STATUS_OK;
    if (first == STATUS_UNSUPPORTED || second == STATUS_UNSUPPORTED) return STATUS_UNSUPPORTED;
    if (is_zero(page, HEADER_COPY_BYTES) && is_zero(page + SEGMENT_SECOND_COPY, HEADER_COPY_BYTES))
        return STATUS_NOT_FOUND;
    return STATUS_CORRUPT;
}

static uint64_t offset_check(uint64_t units)
{
    return ((units + 1) * 0x9e3779b97f4a7c15u) >> OFFSET_BITS;
}

uint64_t append_offset_encode(size_t offset, bool is_closed)
{
    uint64_t units = offset / RECORD_ALIGNMENT | (is_closed ? CLOSED_BIT : 0);
    return units | offset_check(units) << OFFSET_BITS;
}

bool append_offset_decode(uint64_t word, size_t *out, bool *is_closed)
{
    uint64_t units = word & (((uint64_t)1 << OFFSET_BITS) - 1);
    if (word >> OFFSET_BITS != offset_check(units)) return false;
    *out = (size_t)(units & ~CLOSED_BIT) * RECORD_ALIGNMENT;
    *is_closed = (units & CLOSED_BIT) != 0;
    return true;
}

/* All of record_parse() but the checksum, which costs as much as the record is long. */
static enum status parse_unchecked(const char *at, size_t available, struct record *out)
{
    if (available < RECORD_HEADER_BYTES) return STATUS_NOT_FOUND;
    size_t length = get_le32(at + 8);
    if (length == 0) return STATUS_NOT_FOUND;
    if (length < RECORD_HEADER_BYTES || length > available) return STATUS_CORRUPT;
    struct record record = {.sequence = get_le64(at + 16),
                            .synced_sequence = get_le64(at + 24),
                            .operations = get_le32(at + 12),
                            .size = record_size(length - RECORD_HEADER_BYTES),
                            .payload = slice_make(at + RECORD_HEADER_BYTES,
                                                  length - RECORD_HEADER_BYTES)};
    if (record.size > available || record.synced_sequence >= record.sequence ||
        (record_is_mark(&record) && record.payload.size != 0) ||
        record_next_sequence(&record) < record.sequence)
        return STATUS_CORRUPT;
    *out = record;
    return STATUS_OK;
}

static bool is_checksum_right(const char *at, uint64_t run)
{
    return get_le64(at) == record_checksum(at, get_le32(at + 8), run, NULL);
}

enum status record_parse(const char *at, size_t available, uint64_t run, struct record *out)
{
    struct record record;
    enum status status = parse_unchecked(at, available, &record);
    if (status != STATUS_OK) return status;
    if (!is_checksum_right(at, run)) return STATUS_CORRUPT;
    *out = record;
    return STATUS_OK;
}

size_t record_find_voucher(const char *segment, size_t from, size_t end, uint64_t run,
                           uint64_t first, uint64_t last)
{
    struct record record;
    uint64_t hashed = 0;
    for (size_t at = from; at + RECORD_HEADER_BYTES <= end; at += RECORD_ALIGNMENT) {
        /* The cheap test first: nearly every place fails it, in the middle of a value too. */
        uint64_t synced = get_le64(segment + at + 24), sequence = get_le64(segment + at + 16);
        if (synced < first || sequence <= synced || sequence > last) continue;
        if (parse_unchecked(segment + at, end - at, &record) != STATUS_OK) continue;
        if (is_checksum_right(segment + at, run)) return at;
        hashed += get_le32(segment + at + 8);
        if (hashed / VOUCHER_MAX_PASSES > end - from) return at;
    }
    return 0;
}
