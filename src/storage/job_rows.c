/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The job queue's options and metrics, as tables. */
#include "storage/job_queue.h"

static const struct option option_rows[] = {
    {
        .name = "io-job-threads",
        .kind = OPTION_INTEGER,
        .offset = offsetof(struct job_options, io_job_threads),
        .default_text = "4",
        .minimum = 1,
        .maximum = 64,
        .help = "How many threads read and write the disk. Each of them waits for one disk call at a\n"
                "time: with more of them more reads are in flight, which is what fast disks want;\n"
                "with many keys not in memory and an idle disk, raise it (8 to 16). Reads that clients\n"
                "wait for go first, and one thread is kept free for them (where there are two or more)\n"
                "while writes go to LevelDB, scans run and deleted data is cleared away. 1: everything\n"
                "one after the other, for diagnosis.",
    },
    {
        .name = "io-job-queue-max",
        .kind = OPTION_INTEGER,
        .offset = offsetof(struct job_options, queue_max_jobs),
        .default_text = "16384",
        .minimum = 8,
        .maximum = 16777216,
        .help = "How many jobs may wait for a thread; three quarters of it are for reads. When it is\n"
                "full, the clients that would need a read are not read from until there is room again:\n"
                "kelvin_jobs_refused_total counts it. Raise io-job-threads first.",
    },
};
const struct option_table job_option_table = {
    .title = "DISK JOBS",
    .intro = "Whatever may wait for the disk runs as a job on a small pool of threads, never on the\n"
             "thread that serves clients.",
    .rows = option_rows,
    .count = sizeof option_rows / sizeof option_rows[0],
};

#define ROW(field, row_kind, row_name, row_unit, row_info, text)                                   \
    {                                                                                              \
        .name = "kelvin_jobs_" row_name, .kind = row_kind,                                         \
        .offset = offsetof(struct job_metrics, field), .unit = row_unit, .info = row_info,         \
        .help = text                                                                               \
    }

#define LANE(lane, name, what)                                                                     \
    ROW(submitted[lane], METRIC_COUNTER, name "_submitted_total", "", "jobs_" name "_submitted",   \
        "Jobs that were queued: " what),                                                           \
    ROW(finished[lane], METRIC_COUNTER, name "_finished_total", "", "jobs_" name "_finished",      \
        "Jobs that have run: " what),                                                              \
    ROW(queued[lane], METRIC_GAUGE, name "_queued", "", "jobs_" name "_queued",                    \
        "Jobs that wait for a thread: " what),                                                     \
    ROW(running[lane], METRIC_GAUGE, name "_running", "", "jobs_" name "_running",                 \
        "Jobs that run: " what),                                                                   \
    ROW(wait_seconds[lane], METRIC_HISTOGRAM, name "_wait_seconds", "seconds",                     \
        "jobs_" name "_wait", "Time from queueing to a thread: " what)

#define KIND(kind, name, what)                                                                     \
    ROW(run_seconds[kind], METRIC_HISTOGRAM, name "_run_seconds", "seconds", "jobs_" name "_run",  \
        "Time that a job runs: " what)

static const struct metric metric_rows[] = {
    LANE(JOB_READ, "read", "reads that clients wait for"),
    LANE(JOB_BATCH, "batch", "batches of writes"),
    LANE(JOB_SCAN, "scan", "scans that clients wait for"),
    LANE(JOB_BACKGROUND, "background", "expiry, reclaim and the like"),
    ROW(refused, METRIC_COUNTER, "refused_total", "", "jobs_refused",
        "Jobs that found the queue full"),
    KIND(JOB_KIND_GET, "kind_get", "reading records"),
    KIND(JOB_KIND_BATCH, "kind_batch", "writing a batch"),
    KIND(JOB_KIND_SCAN, "kind_scan", "walking many records"),
    KIND(JOB_KIND_EXPIRY, "kind_expiry", "walking the expiry index"),
    KIND(JOB_KIND_RECLAIM, "kind_reclaim", "clearing away deleted data"),
    KIND(JOB_KIND_FILE, "kind_file", "files beside the store"),
    KIND(JOB_KIND_COPY, "kind_copy", "copying large values"),
    KIND(JOB_KIND_OTHER, "kind_other", "anything else"),
};
const struct metric_table job_metric_table = {
    .family = "jobs",
    .rows = metric_rows,
    .count = sizeof metric_rows / sizeof metric_rows[0],
};
