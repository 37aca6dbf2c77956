/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sizes of files on a small file system. The defaults are for disks of some gigabytes and more; on a
 * smaller one the journal's ring, the reserve and one compaction of the store (which takes up to 25
 * tables or 12 write buffers) would leave no space for data. So no size is above its share of the file
 * system. Before the parts are made, on the loop's thread. */
#include "server/parts.h"

#include "base/log.h"

#include <sys/statvfs.h>

static void fit(const char *name, int64_t *bytes, int64_t share, struct buffer *said)
{
    const int64_t least = 64 << 10;
    if (share < least) share = least;
    if (*bytes <= share) return;
    *bytes = share;
    buffer_append_format(said, "%s%s %lldkb", said->size ? ", " : "", name, (long long)share >> 10);
}

void disk_sizes_fit(struct settings *settings, const char *folder)
{
    struct statvfs info;
    struct buffer said = {0};
    if (statvfs(folder, &info) != 0 || info.f_blocks == 0) return;
    uint64_t all = (uint64_t)info.f_blocks * info.f_frsize;
    int64_t total = all > INT64_MAX ? INT64_MAX : (int64_t)all;
    int64_t journal_max = settings->journal.journal_max_bytes;
    bool is_automatic = journal_max == 0;
    if (is_automatic) journal_max = JOURNAL_FIRST_MAX_BYTES;
    fit("journal-segment-size", &settings->journal.journal_segment_bytes, total / 32, &said);
    fit("journal-max-size", &journal_max, total / 8, &said);
    fit("disk-reserve", &settings->journal.disk_reserve_bytes, total / 16, &said);
    fit("leveldb-write-buffer", &settings->leveldb.write_buffer_bytes, total / 128, &said);
    fit("leveldb-table-size", &settings->leveldb.table_bytes, total / 256, &said);
    fit("batch-writer-range-size", &settings->batch_writer.batch_writer_range_bytes, total / 32,
        &said);
    if (said.size == 0) return;
    if (!is_automatic || journal_max < JOURNAL_FIRST_MAX_BYTES)
        settings->journal.journal_max_bytes = journal_max;
    buffer_append(&said, "", 1);
    log_write(LOG_NOTICE, "the file system of '%s' has %lld MB, so sizes are smaller than configured: %s",
              folder, (long long)total >> 20, said.data);
    buffer_free(&said);
}
