/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The batch writer's options and metrics, as tables. */
#include "storage/batch_writer.h"
#include "storage/counts.h"

static const struct option option_rows[] = {
    {
        .name = "batch-writer-concurrency",
        .kind = OPTION_INTEGER,
        .offset = offsetof(struct batch_writer_options, batch_writer_concurrency),
        .default_text = "10",
        .minimum = 1,
        .maximum = COUNT_SLOTS,
        .help = "How many batches may be on their way to LevelDB at once. LevelDB writes one after the\n"
                "other, but while one writes others look up old records and are built. They run on the\n"
                "threads of io-job-threads, which are the real limit. 1: one after the other, for\n"
                "diagnosis.",
    },
    {
        .name = "batch-writer-range-size",
        .kind = OPTION_BYTES,
        .flags = OPTION_LIVE,
        .offset = offsetof(struct batch_writer_options, batch_writer_range_bytes),
        .default_text = "16mb",
        .minimum = 4096,
        .maximum = INT64_C(1) << 32,
        .unit = "bytes",
        .help = "How much of the journal is brought into LevelDB in one go. The larger, the more writes\n"
                "to one key become one, and the longer the sorted runs; but all of it stays pinned in\n"
                "the cache until it is in, and sorting it takes up to as much memory again.",
    },
    {
        .name = "batch-writer-delay",
        .kind = OPTION_INTEGER,
        .flags = OPTION_LIVE,
        .offset = offsetof(struct batch_writer_options, batch_writer_delay_ms),
        .default_text = "1000",
        .minimum = 0,
        .maximum = 3600 * 1000,
        .unit = "milliseconds",
        .help = "The age at which written data is brought into LevelDB even if it is less than\n"
                "batch-writer-range-size. Nothing is at risk meanwhile: the journal keeps it. A longer\n"
                "delay saves writes where the same keys change often; KEYS, SCAN and DBSIZE then have more\n"
                "to wait for.",
    },
    {
        .name = "batch-writer-batch-size",
        .kind = OPTION_BYTES,
        .flags = OPTION_LIVE,
        .offset = offsetof(struct batch_writer_options, batch_writer_batch_bytes),
        .default_text = "512kb",
        .minimum = 1024,
        .maximum = 64 << 20,
        .unit = "bytes",
        .help = "About how large one LevelDB batch is. All that belongs to one key is in one batch.",
    },
};
const struct option_table batch_writer_option_table = {
    .title = "BATCH WRITER",
    .intro = "What was written is in the journal at once and in LevelDB a little later: the batch writer\n"
             "sorts it, drops what was overwritten meanwhile and writes the rest in batches.",
    .rows = option_rows,
    .count = sizeof option_rows / sizeof option_rows[0],
};

#define ROW(field, row_kind, row_name, row_unit, row_info, text)                                   \
    {                                                                                              \
        .name = "kelvin_batchwriter_" row_name, .kind = row_kind,                                  \
        .offset = offsetof(struct batch_writer_metrics, field), .unit = row_unit,                  \
        .info = row_info, .help = text                                                             \
    }
#define COUNTER(field, name, unit, text) \
    ROW(field, METRIC_COUNTER, name "_total", unit, "batchwriter_" name, text)
#define GAUGE(field, name, unit, text) \
    ROW(field, METRIC_GAUGE, name, unit, "batchwriter_" name, text)
#define HISTOGRAM(field, name, text) \
    ROW(field, METRIC_HISTOGRAM, name, "seconds", "batchwriter_" name, text)

static const struct metric metric_rows[] = {
    COUNTER(ranges, "ranges", "", "Ranges of the journal that went into LevelDB whole."),
    COUNTER(batches, "batches", "", "LevelDB batches written for them."),
    COUNTER(operations_in, "operations_in", "", "Operations taken from the journal."),
    COUNTER(operations_out, "operations_out", "",
            "Puts and deletes that LevelDB got for them, index and garbage records included."),
    COUNTER(bytes_in, "bytes_in", "bytes", "Bytes of journal records taken."),
    COUNTER(bytes_out, "bytes_out", "bytes", "Bytes of the batches that LevelDB got."),
    COUNTER(old_lookups, "old_lookups", "",
            "Old records read from LevelDB because the loop did not know them."),
    COUNTER(retries, "retries", "", "Ranges that failed and were applied again from the marker."),
    COUNTER(reopens, "reopens", "", "Times that the store was opened again."),
    COUNTER(barriers, "barriers", "", "Barriers answered (scans, counts, CHECKPOINT)."),
    COUNTER(checkpoints, "checkpoints", "", "Markers made durable by force."),
    COUNTER(reclaimed_records, "reclaimed_records", "",
            "Records of overwritten objects and flushed databases deleted in the background."),
    COUNTER(stall_us, "stall_seconds", "seconds", "Time that the store was closed for writing."),
    GAUGE(in_flight, "in_flight", "", "Batches on their way to LevelDB."),
    GAUGE(applied_sequence, "applied_sequence", "", "Everything up to it is in LevelDB."),
    GAUGE(garbage_objects, "garbage_objects", "", "Overwritten objects still to be deleted."),
    GAUGE(garbage_databases, "garbage_databases", "", "Flushed databases still to be deleted."),
    GAUGE(closed, "closed", "", "1 while the store is closed after a failure."),
    HISTOGRAM(range_seconds, "range_seconds", "Time from taking a range to its end."),
    HISTOGRAM(batch_seconds, "batch_seconds", "Time to build and write one batch."),
};
const struct metric_table batch_writer_metric_table = {
    .family = "batchwriter",
    .rows = metric_rows,
    .count = sizeof metric_rows / sizeof metric_rows[0],
};
