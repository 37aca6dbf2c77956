/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The keyspace's options and metrics, as tables. */
#include "storage/keyspace.h"

#define KEYSPACE_OPTION(name, kind, flags, field, fallback, low, high, unit, help)                 \
    {name, NULL, kind, flags, offsetof(struct keyspace_options, field), fallback, low, high, NULL, \
     unit, help}

static const struct option keyspace_options_rows[] = {
    KEYSPACE_OPTION("databases", OPTION_INTEGER, 0, databases, "16", 1, 10000, NULL,
                    "How many databases SELECT can choose from: 0 to this number less one. Lowering it "
                    "hides the data of the databases above; raising it again shows them."),
    KEYSPACE_OPTION("maxmemory", OPTION_BYTES, OPTION_LIVE, maxmemory_bytes, "0", 0, INT64_MAX, "bytes",
                    "How much memory the process may hold: cache, queues, client buffers and LevelDB's "
                    "buffers, but for the largest single request. It bounds memory, never data: what does "
                    "not fit is read from disk. 0 means a quarter of the memory of the machine or of the "
                    "cgroup, whichever is smaller."),
    KEYSPACE_OPTION("load-memory-percent", OPTION_INTEGER, OPTION_LIVE, load_max_bytes_percent, "50", 1,
                    100, NULL,
                    "How much of the cache may be held at once by commands that wait for keys from disk, "
                    "in percent. Commands beyond it wait their turn; one that alone needs more gets "
                    "-OOM."),
    KEYSPACE_OPTION("active-expire", OPTION_BOOL, OPTION_LIVE | OPTION_HIDDEN, active_expire, "yes", 0, 0,
                    NULL, "Whether expired keys are deleted without anybody asking for them."),
    KEYSPACE_OPTION("expire-cycle-ms", OPTION_INTEGER, OPTION_LIVE, expire_cycle_ms, "100", 1, 60000,
                    "milliseconds",
                    "How often the expiry index is looked at for keys whose time has come. A key is never "
                    "seen after its time whatever this says; it decides how soon its space is given "
                    "back."),
};
const struct option_table keyspace_option_table = {
    "MEMORY AND DATABASES", "How much memory is used, and how the data is divided.", keyspace_options_rows,
    sizeof keyspace_options_rows / sizeof *keyspace_options_rows};

#define KEYSPACE_METRIC(name, kind, field, unit, info, help)                                       \
    {"kelvin_keyspace_" name, kind, offsetof(struct keyspace_metrics, field), unit, info, help}

static const struct metric keyspace_metric_rows[] = {
    KEYSPACE_METRIC("loads_total", METRIC_COUNTER, loads, "", "keyspace_loads",
                    "Records read from LevelDB because a command needed them."),
    KEYSPACE_METRIC("load_bytes_total", METRIC_COUNTER, load_bytes, "bytes", "keyspace_load_bytes",
                    "Bytes of these records."),
    KEYSPACE_METRIC("loads_cancelled_total", METRIC_COUNTER, loads_cancelled, "",
                    "keyspace_loads_cancelled", "Loads whose key was written before they came back."),
    KEYSPACE_METRIC("load_failures_total", METRIC_COUNTER, load_failures, "", "keyspace_load_failures",
                    "Loads that ended with an error reply."),
    KEYSPACE_METRIC("commits_total", METRIC_COUNTER, commits, "", "keyspace_commits",
                    "Write sets that became journal records."),
    KEYSPACE_METRIC("expired_on_access_total", METRIC_COUNTER, expired_on_access, "",
                    "expired_keys_on_access", "Expired keys deleted because somebody asked for them."),
    KEYSPACE_METRIC("expired_by_cycle_total", METRIC_COUNTER, expired_by_cycle, "",
                    "expired_keys_by_cycle", "Expired keys deleted by the background cycle."),
    KEYSPACE_METRIC("hits_total", METRIC_COUNTER, keyspace_hits, "", NULL,
                    "Lookups by reading commands that found the key."),
    KEYSPACE_METRIC("misses_total", METRIC_COUNTER, keyspace_misses, "", NULL,
                    "Lookups by reading commands of keys that do not exist."),
    KEYSPACE_METRIC("parked_for_loads_total", METRIC_COUNTER, parked_loads, "", "parked_for_loads",
                    "Times that a command waited for a record from disk."),
    KEYSPACE_METRIC("parked_for_space_total", METRIC_COUNTER, parked_space, "", "parked_for_space",
                    "Times that a write waited for journal space or for the batch writer."),
    KEYSPACE_METRIC("parked_for_scans_total", METRIC_COUNTER, parked_scans, "", "parked_for_scans",
                    "Times that a command waited for a scan, a count or a barrier."),
    KEYSPACE_METRIC("scans_total", METRIC_COUNTER, scans, "", "keyspace_scans",
                    "Scans of the store (KEYS, SCAN, RANDOMKEY)."),
    KEYSPACE_METRIC("streamed_scans_total", METRIC_COUNTER, streamed_scans, "", "keyspace_streamed_scans",
                    "Of these, scans too large to be collected: counted first, then sent block by block."),
    KEYSPACE_METRIC("scan_streams", METRIC_GAUGE, streams, "", "keyspace_scan_streams",
                    "Scans whose blocks are being sent now. Each holds a snapshot of the store."),
    KEYSPACE_METRIC("writer_pause_seconds_total", METRIC_COUNTER, writer_pause_us, "seconds",
                    "writer_pause_us", "Time during which at least one write waited."),
    KEYSPACE_METRIC("loading", METRIC_GAUGE, loading, "", "keyspace_loading", "Loads under way."),
    KEYSPACE_METRIC("pinned_load_bytes", METRIC_GAUGE, pinned_load_bytes, "bytes",
                    "keyspace_pinned_load_bytes", "Memory held by commands that wait for keys."),
    KEYSPACE_METRIC("load_seconds", METRIC_HISTOGRAM, load_seconds, "seconds", NULL,
                    "From a miss to the record's arrival."),
};
const struct metric_table keyspace_metric_table = {
    "keyspace", keyspace_metric_rows, sizeof keyspace_metric_rows / sizeof *keyspace_metric_rows};
