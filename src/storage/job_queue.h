/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The job queue: worker threads run what may block on a disk. A job is a function, its input and
 * its result, embedded in the submitter's struct; when it has run, it is put in the mailbox that it
 * names, and its `done` is called by that mailbox's owner (the loop, or the batch writer).
 *
 * Lanes: reads that clients wait for never queue behind batches, scans or reclaim. Workers take
 * from the first lane that has work and whose share of the workers is not used up; batches and
 * scans together leave at least one worker to reads (where there are two or more). */
#ifndef KELVIN_STORAGE_JOB_QUEUE_H
#define KELVIN_STORAGE_JOB_QUEUE_H

#include "base/mailbox.h"
#include "base/metric.h"
#include "base/option.h"

enum job_lane {
    JOB_READ,       /* a client waits for a record */
    JOB_BATCH,      /* the batch writer's */
    JOB_SCAN,       /* a client waits for a scan */
    JOB_BACKGROUND, /* expiry walks, reclaim, figures */
    JOB_LANES
};

/* For the time per kind of job. */
enum job_kind { JOB_KIND_GET, JOB_KIND_BATCH, JOB_KIND_SCAN, JOB_KIND_EXPIRY, JOB_KIND_RECLAIM,
                JOB_KIND_FILE, JOB_KIND_COPY, JOB_KIND_OTHER, JOB_KINDS };

struct job {
    struct letter letter;   /* used by the queue for the way back */
    struct job *next;
    enum job_lane lane;
    enum job_kind kind;
    int64_t submitted_us;
    void (*run)(struct job *job);  /* on a worker; may block */
    void (*done)(struct job *job); /* by the owner of `home`; may free the job */
    struct mailbox *home;
};

struct job_options {
    int64_t io_job_threads;   /* default 4 (1..64) */
    int64_t queue_max_jobs;   /* default 16384 */
};
extern const struct option_table job_option_table;

struct job_metrics {
    struct counter submitted[JOB_LANES], finished[JOB_LANES], refused;
    struct gauge queued[JOB_LANES], running[JOB_LANES];
    struct histogram wait_seconds[JOB_LANES], run_seconds[JOB_KINDS];
};
extern const struct metric_table job_metric_table;

struct job_queue;

enum status job_queue_create(struct job_queue **out, const struct job_options *options,
                             struct job_metrics *metrics, struct error *error);
/* Runs what is queued, then ends the workers. Nobody submits any more. */
void job_queue_destroy(struct job_queue *queue);

/* Any thread. STATUS_BUSY when the lane's share of queue_max_jobs is full: the caller keeps the job and
 * tries again. JOB_BATCH is never refused: the batch writer bounds itself. */
enum status job_queue_submit(struct job_queue *queue, struct job *job);

#endif
