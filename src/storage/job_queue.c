/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The job queue: one lock, a list per lane, and workers. The lock is held for a few assignments
 * only, never while a job runs, so that the loop may take it.
 *
 * Who goes next: a read, unless work of other lanes has waited while FAIRNESS reads were taken;
 * among the other lanes the first whose share of the workers is not used up, and of two that are
 * equal in that the one whose turn it is. Shares, with T workers: batches, scans and background
 * jobs together at most T - 1, batches alone one less than that, so that a scan does not wait for
 * the end of a long row of batches; with one worker all take turns.
 *
 * Always true: slow_running is the number of workers that run other jobs than reads, and depth[]
 * the length of the lanes' lists. */
#include "storage/job_queue.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

enum { FAIRNESS = 16 };

struct lane {
    struct job *first, **end;
    int64_t depth, running;
    int64_t max_depth; /* above it a job is refused; 0: never */
    int64_t max_running;
};

struct job_queue {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct lane lanes[JOB_LANES];
    struct job_metrics *metrics;
    unsigned long *threads;
    unsigned thread_count;
    unsigned idle; /* workers that wait for work */
    int64_t slow_running, slow_max;
    unsigned reads_in_a_row; /* taken while other work waited */
    enum job_lane last_slow;
    bool ending;

    struct job_metrics own_metrics;
};

/* --- choosing; under the lock --- */

static bool slow_lane_is_ready(const struct job_queue *queue, enum job_lane lane)
{
    return queue->lanes[lane].first && queue->slow_running < queue->slow_max &&
           queue->lanes[lane].running < queue->lanes[lane].max_running;
}

/* Round robin over the lanes that are not reads. JOB_READ: none is ready. */
static enum job_lane next_slow_lane(const struct job_queue *queue)
{
    unsigned slow_lanes = JOB_LANES - 1, last = (unsigned)queue->last_slow - 1;
    for (unsigned step = 1; step <= slow_lanes; step++) {
        enum job_lane lane = (enum job_lane)(1 + (last + step) % slow_lanes);
        if (slow_lane_is_ready(queue, lane)) return lane;
    }
    return JOB_READ;
}

static struct job *take_from(struct job_queue *queue, enum job_lane number)
{
    struct lane *lane = &queue->lanes[number];
    struct job *job = lane->first;
    lane->first = job->next;
    if (!lane->first) lane->end = &lane->first;
    lane->depth--;
    lane->running++;
    if (number != JOB_READ) {
        queue->slow_running++;
        queue->last_slow = number;
    }
    gauge_set(&queue->metrics->queued[number], lane->depth);
    gauge_set(&queue->metrics->running[number], lane->running);
    return job;
}

/* NULL: nothing that this worker may do now. */
static struct job *take_next(struct job_queue *queue)
{
    enum job_lane slow = next_slow_lane(queue);
    bool reads = queue->lanes[JOB_READ].first != NULL;
    if (reads && (slow == JOB_READ || queue->reads_in_a_row < FAIRNESS)) {
        if (slow != JOB_READ) queue->reads_in_a_row++;
        return take_from(queue, JOB_READ);
    }
    if (slow == JOB_READ) return NULL;
    queue->reads_in_a_row = 0;
    return take_from(queue, slow);
}

/* --- the way back --- */

static void deliver_done(struct letter *letter)
{
    struct job *job = (struct job *)(void *)((char *)letter - offsetof(struct job, letter));
    job->done(job);
}

/* --- workers --- */

static uint64_t elapsed_us(int64_t from_us, int64_t to_us)
{
    return to_us > from_us ? (uint64_t)(to_us - from_us) : 0;
}

static void run_job(struct job_queue *queue, struct job *job)
{
    enum job_lane lane = job->lane;
    enum job_kind kind = job->kind;
    int64_t started_us = clock_monotonic_us();
    histogram_record_us(&queue->metrics->wait_seconds[lane],
                        elapsed_us(job->submitted_us, started_us));
    job->run(job);
    histogram_record_us(&queue->metrics->run_seconds[kind],
                        elapsed_us(started_us, clock_monotonic_us()));
}

static void work(void *argument)
{
    struct job_queue *queue = argument;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        struct job *job = take_next(queue);
        if (!job) {
            /* At the end what is left is a share that a running job will free: its worker goes on.
             */
            if (queue->ending) break;
            queue->idle++;
            pthread_cond_wait(&queue->work, &queue->lock);
            queue->idle--;
            continue;
        }
        enum job_lane number = job->lane;
        struct lane *lane = &queue->lanes[number];
        pthread_mutex_unlock(&queue->lock);
        run_job(queue, job);
        pthread_mutex_lock(&queue->lock);
        lane->running--;
        if (number != JOB_READ) queue->slow_running--;
        gauge_set(&queue->metrics->running[number], lane->running);
        counter_add(&queue->metrics->finished[number], 1);
        pthread_mutex_unlock(&queue->lock);
        mailbox_put(job->home, &job->letter); /* the job may be gone from here on */
        pthread_mutex_lock(&queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
}

static void end_workers(struct job_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->ending = true;
    pthread_cond_broadcast(&queue->work);
    pthread_mutex_unlock(&queue->lock);
    for (unsigned i = 0; i < queue->thread_count; i++) pthread_join(queue->threads[i], NULL);
}

/* --- the queue --- */

static int64_t at_least_one(int64_t n)
{
    return n > 1 ? n : 1;
}

static void share_out(struct job_queue *queue, int64_t threads, int64_t max_jobs)
{
    queue->slow_max = at_least_one(threads - 1);
    for (unsigned i = 0; i < JOB_LANES; i++) {
        struct lane *lane = &queue->lanes[i];
        lane->end = &lane->first;
        lane->max_running = i == JOB_READ ? threads : queue->slow_max;
        lane->max_depth = at_least_one(max_jobs / 8);
    }
    queue->lanes[JOB_BATCH].max_running = at_least_one(queue->slow_max - 1);
    queue->lanes[JOB_BATCH].max_depth = 0;
    queue->lanes[JOB_READ].max_depth = at_least_one(max_jobs - max_jobs / 4);
    queue->last_slow = JOB_BACKGROUND; /* batches first */
}

enum status job_queue_create(struct job_queue **out, const struct job_options *options,
                             struct job_metrics *metrics, struct error *error)
{
    unsigned threads = (unsigned)at_least_one(options->io_job_threads);
    struct job_queue *queue = mem_calloc(1, sizeof *queue);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->work, NULL);
    queue->metrics = metrics ? metrics : &queue->own_metrics;
    queue->threads = mem_calloc(threads, sizeof *queue->threads);
    share_out(queue, threads, options->queue_max_jobs);
    while (queue->thread_count < threads) {
        char name[32];
        snprintf(name, sizeof name, "kelvin-job-%u", queue->thread_count + 1);
        enum status status = thread_start(&queue->threads[queue->thread_count], THREAD_WORKER, name,
                                          work, queue, error);
        if (status != STATUS_OK) {
            job_queue_destroy(queue);
            return error_add_context(error, status, "job queue");
        }
        queue->thread_count++;
    }
    *out = queue;
    return STATUS_OK;
}

void job_queue_destroy(struct job_queue *queue)
{
    if (!queue) return;
    end_workers(queue);
    pthread_cond_destroy(&queue->work);
    pthread_mutex_destroy(&queue->lock);
    mem_free(queue->threads);
    mem_free(queue);
}

enum status job_queue_submit(struct job_queue *queue, struct job *job)
{
    ASSERT(job->run && job->done && job->home && job->lane < JOB_LANES && job->kind < JOB_KINDS);
    struct lane *lane = &queue->lanes[job->lane];
    job->letter.deliver = deliver_done;
    job->next = NULL;
    job->submitted_us = clock_monotonic_us();
    pthread_mutex_lock(&queue->lock);
    ASSERT(!queue->ending);
    if (lane->max_depth > 0 && lane->depth >= lane->max_depth) {
        counter_add(&queue->metrics->refused, 1);
        pthread_mutex_unlock(&queue->lock);
        return STATUS_BUSY;
    }
    *lane->end = job;
    lane->end = &job->next;
    lane->depth++;
    gauge_set(&queue->metrics->queued[job->lane], lane->depth);
    counter_add(&queue->metrics->submitted[job->lane], 1);
    bool wake = queue->idle > 0 && (job->lane == JOB_READ || slow_lane_is_ready(queue, job->lane));
    pthread_mutex_unlock(&queue->lock);
    if (wake) pthread_cond_signal(&queue->work);
    return STATUS_OK;
}
