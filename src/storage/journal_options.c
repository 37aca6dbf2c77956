/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal's options and metrics, as tables. */
#include "storage/journal.h"

static const char *const policies[] = {"everysec", "always", "no", NULL};
static const char *const ways[] = {"auto", "mmap", "write", NULL};

#define FIELD(name) offsetof(struct journal_options, name)

static const struct option rows[] = {
    {"appendfsync", NULL, OPTION_CHOICE, OPTION_LIVE, FIELD(appendfsync), "everysec", 0, 0, policies,
     NULL,
     "When an acknowledged write is on the disk.\n"
     "always: before its reply leaves. It survives the death of the machine. One sync covers every\n"
     "client that waits for it, so many clients at once cost little more than one.\n"
     "everysec: within about a second. It survives the death of the process at once. When the disk\n"
     "has not finished a sync for 2 seconds, writers wait; readers do not.\n"
     "no: when the system, the batch writer or a full buffer asks for it. It survives the death of\n"
     "the process.\n"
     "With each of them, what survives a crash is a prefix of the order of the writes."},
    {"journal-io", NULL, OPTION_CHOICE, 0, FIELD(journal_io), "auto", 0, 0, ways, NULL,
     "How records get into the journal's files.\n"
     "mmap: by a copy into a mapped file whose pages are locked in memory; no system call per\n"
     "write. It needs permission to lock about 200 MB (RLIMIT_MEMLOCK, CAP_IPC_LOCK).\n"
     "write: a thread writes them with write(2), and the reply waits for that. Right for file\n"
     "systems whose blocks move when they are written again (btrfs, zfs, overlay, network).\n"
     "auto: mmap where it can be trusted, else write."},
    {"journal-segment-size", NULL, OPTION_BYTES, 0, FIELD(journal_segment_bytes), "64mb", 65536,
     (int64_t)1 << 32, NULL, "bytes",
     "Size of one journal file. They are allocated ahead, and used again in a ring once what they\n"
     "hold is in LevelDB. A record larger than this gets a file of its own size. On a small file\n"
     "system it is never more than a 32nd of it."},
    {"journal-max-size", NULL, OPTION_BYTES, OPTION_LIVE, FIELD(journal_max_bytes), "0", 0, INT64_MAX,
     NULL, "bytes",
     "How much of the journal may wait to be applied and made durable in LevelDB. Writers are\n"
     "slowed from half of it on and paused when it is full. A larger journal takes longer bursts,\n"
     "and takes longer to apply after a crash. 0: what a start applies in about 10 seconds on this\n"
     "machine, from the rate at which LevelDB has lately taken the journal (64mb to 2gb; 512mb\n"
     "until that is known). INFO shows it as journal_max_bytes. Never\n"
     "more than an eighth of the file system."},
    {"journal-prepared-segments", NULL, OPTION_INTEGER, 0, FIELD(journal_prepared_segments), "2", 1,
     64, NULL, NULL,
     "How many journal files are kept ready ahead of the one that is written. The last of them is\n"
     "kept for deletes when the disk is full. More of them bridge a slow disk for longer."},
    {"disk-reserve", NULL, OPTION_BYTES, 0, FIELD(disk_reserve_bytes), "128mb", 0, INT64_MAX,
     NULL, "bytes",
     "Size of a file that only takes up space. It is removed when the disk is full, so that deletes\n"
     "can still be carried out and the store reopened, and made again when there is space. Never\n"
     "more than a 16th of the file system. 0: no such file."},
};

const struct option_table journal_option_table = {
    .title = "Journal",
    .intro = "Every write is appended to the journal, in the order of execution, before it is\n"
             "acknowledged. LevelDB follows in the background.",
    .rows = rows,
    .count = sizeof rows / sizeof *rows,
};

#undef FIELD
#define FIELD(name) offsetof(struct journal_metrics, name)

static const struct metric metrics[] = {
    {"kelvin_journal_appended_bytes_total", METRIC_COUNTER, FIELD(appended_bytes), "bytes",
     "journal_appended_bytes", "Bytes of the records appended, headers included."},
    {"kelvin_journal_appended_records_total", METRIC_COUNTER, FIELD(appended_records), "",
     "journal_appended_records", "Records appended: one per command or transaction that writes."},
    {"kelvin_journal_appended_operations_total", METRIC_COUNTER, FIELD(appended_operations), "",
     "journal_appended_operations", "Operations in the records appended."},
    {"kelvin_journal_syncs_total", METRIC_COUNTER, FIELD(syncs), "", "journal_syncs",
     "Syncs that succeeded."},
    {"kelvin_journal_sync_failures_total", METRIC_COUNTER, FIELD(sync_failures), "",
     "journal_sync_failures", "Writes and syncs that failed; what they left was copied elsewhere."},
    {"kelvin_journal_segments_prepared_total", METRIC_COUNTER, FIELD(segments_prepared), "",
     "journal_segments_prepared", "Segment files allocated and zeroed."},
    {"kelvin_journal_segments_reused_total", METRIC_COUNTER, FIELD(segments_reused), "",
     "journal_segments_reused", "Segment files used again."},
    {"kelvin_journal_segments_freed_total", METRIC_COUNTER, FIELD(segments_freed), "",
     "journal_segments_freed", "Segments that were no longer needed."},
    {"kelvin_journal_reserve_stalls_total", METRIC_COUNTER, FIELD(reserve_stalls), "",
     "journal_reserve_stalls", "Appends that found no space ready and had to wait."},
    {"kelvin_journal_append_seconds", METRIC_HISTOGRAM, FIELD(append_seconds), "seconds", NULL,
     "Time to encode, copy and check one record. Where its p99.9 is above some milliseconds,\n"
     "journal-io write is right."},
    {"kelvin_journal_sync_seconds", METRIC_HISTOGRAM, FIELD(sync_seconds), "seconds", NULL,
     "Time of one sync."},
    {"kelvin_journal_segments", METRIC_GAUGE, FIELD(segments), "", "journal_segments",
     "Segment files, prepared ones included."},
    {"kelvin_journal_bytes_on_disk", METRIC_GAUGE, FIELD(bytes_on_disk), "bytes",
     "journal_bytes_on_disk", "Size of the segment files."},
    {"kelvin_journal_appended_sequence", METRIC_GAUGE, FIELD(appended_sequence), "",
     "journal_appended_sequence", "Sequence of the last operation appended."},
    {"kelvin_journal_synced_sequence", METRIC_GAUGE, FIELD(synced_sequence), "",
     "journal_synced_sequence", "Sequence up to which everything is durable in the journal."},
    {"kelvin_journal_marked_sequence", METRIC_GAUGE, FIELD(marked_sequence), "",
     "journal_marked_sequence", "Sequence up to which everything is durable in LevelDB."},
    {"kelvin_journal_unmarked_bytes", METRIC_GAUGE, FIELD(unmarked_bytes), "bytes",
     "journal_unmarked_bytes", "Bytes of records that are not yet durable in LevelDB."},
    {"kelvin_journal_max_bytes", METRIC_GAUGE, FIELD(max_bytes), "bytes", "journal_max_bytes",
     "The limit to these in force now: journal-max-size, or what was found where that is 0."},
    {"kelvin_journal_last_sync_timestamp_seconds", METRIC_GAUGE, FIELD(last_sync_unix_ms),
     "milliseconds", "journal_last_sync_unix_ms", "When the last sync ended, since 1970."},
    {"kelvin_journal_free_disk_bytes", METRIC_GAUGE, FIELD(free_disk_bytes), "bytes",
     "journal_free_disk_bytes", "Free bytes of the file system, as last seen."},
    {"kelvin_journal_needed_disk_bytes", METRIC_GAUGE, FIELD(needed_disk_bytes), "bytes",
     "journal_needed_disk_bytes", "Bytes that must be free; with less, writes get -MISCONF."},
    {"kelvin_journal_disk_is_short", METRIC_GAUGE, FIELD(disk_is_short), "",
     "journal_disk_is_short", "1: the disk is nearly full, only deletes are taken."},
};

const struct metric_table journal_metric_table = {
    .family = "journal",
    .rows = metrics,
    .count = sizeof metrics / sizeof *metrics,
};
