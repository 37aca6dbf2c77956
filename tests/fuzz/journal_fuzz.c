/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target: arbitrary bytes as the records of a segment. The header is made whole and each
 * record's checksum is repaired where it lies at an expected place (first byte of the input even),
 * so that the fuzzer gets past them. Whatever is accepted must be readable to its end. */
#include "base/check.h"
#include "storage/journal_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RUN = 77, FIRST = 100, BYTES = 65536 };

static char folder[64] = "/tmp/kelvin-journal-fuzz-XXXXXX", path[128];

static void repair_checksums(char *bytes)
{
    size_t offset = SEGMENT_HEADER_BYTES;
    while (offset + RECORD_HEADER_BYTES <= BYTES) {
        size_t length = get_le32(bytes + offset + 8);
        if (length < RECORD_HEADER_BYTES || length > BYTES - offset) return;
        put_le64(bytes + offset, record_checksum(bytes + offset, length, RUN, NULL));
        offset += record_size(length - RECORD_HEADER_BYTES);
    }
}

static void write_segment(const uint8_t *data, size_t size)
{
    static char bytes[BYTES];
    struct segment_header header = {.store_id = 1, .run = RUN, .number = 1,
                                    .first_sequence = FIRST, .synced_sequence = FIRST - 1,
                                    .segment_bytes = BYTES};
    bool repairs = size > 0 && data[0] % 2 == 0, is_raw = size > 0 && data[0] % 16 == 15;
    memset(bytes, 0, sizeof bytes);
    segment_header_encode(&header, bytes);
    size_t room = is_raw ? BYTES : BYTES - SEGMENT_HEADER_BYTES;
    if (size > room) size = room;
    memcpy(bytes + (is_raw ? 0 : SEGMENT_HEADER_BYTES), data, size);
    if (repairs) repair_checksums(bytes);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || pwrite(fd, bytes, sizeof bytes, 0) != sizeof bytes) abort();
    close(fd);
}

static int no_sync(void *context, int fd) { return (void)context, (void)fd, 0; }
static int no_folder_sync(void *context, const char *name) { return (void)context, (void)name, 0; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct journal_file_operations files;
    static const struct journal_options options = {.journal_segment_bytes = BYTES};
    struct journal *journal;
    struct journal_found found;
    struct error error;
    if (!path[0]) {
        if (!mkdtemp(folder)) abort();
        snprintf(path, sizeof path, "%s/journal-00000001.seg", folder);
        files = journal_files_of_system;
        files.fdatasync = no_sync;
        files.sync_folder = no_folder_sync;
    }
    write_segment(data, size);
    if (journal_open_with(&journal, folder, &options, NULL, &files, &found, &error) != STATUS_OK)
        return 0;
    struct journal_reader *reader = journal_reader_create(journal, 0);
    struct journal_record record;
    uint64_t last = 0;
    while (journal_reader_next(reader, UINT64_MAX, &record, &error) == STATUS_OK) {
        ASSERT(record.sequence > last);
        last = record.sequence + record.operations - 1;
    }
    ASSERT(found.empty || last == found.last_sequence);
    journal_reader_destroy(reader);
    journal_close(journal, NULL);
    return 0;
}
