/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The job queue: order, lanes, bounds, the way back. Jobs that must not end yet wait at a gate
 * that the test opens; nothing sleeps. */
#include "storage/job_queue.h"

#include "base/check.h"
#include "base/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LOG_MAX = 4096 };

/* Where jobs stop until the test lets them go, and where they write down that they ran. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned inside;                /* jobs that wait at it */
    unsigned allowed;               /* that may still pass */
    unsigned running, most_running; /* of those that count themselves */
    unsigned log[LOG_MAX], logged;
};

struct test_job {
    struct job job;
    struct gate *gate;
    unsigned number;
    bool waits;
    char thread_name[16];
};

struct fixture {
    struct job_options options;
    struct job_metrics metrics;
    struct mailbox *home;
    struct job_queue *queue;
    struct gate gate;
    unsigned done;
};

static struct fixture *current; /* for `done`, which has no context but the job */

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    option_set_defaults(&job_option_table, &f->options);
    assert_int_equal(mailbox_create(&f->home, NULL), STATUS_OK);
    pthread_mutex_init(&f->gate.lock, NULL);
    pthread_cond_init(&f->gate.changed, NULL);
    *state = current = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    job_queue_destroy(f->queue);
    mailbox_deliver(f->home);
    mailbox_destroy(f->home);
    pthread_cond_destroy(&f->gate.changed);
    pthread_mutex_destroy(&f->gate.lock);
    option_free_strings(&job_option_table, &f->options);
    mem_free(f);
    return 0;
}

/* --- jobs --- */

static void run(struct job *job)
{
    struct test_job *test = (struct test_job *)(void *)job;
    struct gate *gate = test->gate;
    pthread_getname_np(pthread_self(), test->thread_name, sizeof test->thread_name);
    pthread_mutex_lock(&gate->lock);
    gate->log[gate->logged++ % LOG_MAX] = test->number;
    if (++gate->running > gate->most_running) gate->most_running = gate->running;
    if (test->waits) {
        gate->inside++;
        pthread_cond_broadcast(&gate->changed);
        while (gate->allowed == 0) pthread_cond_wait(&gate->changed, &gate->lock);
        gate->allowed--;
        gate->inside--;
    }
    gate->running--;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void done(struct job *job)
{
    (void)job;
    current->done++;
}

static struct test_job make(struct fixture *f, enum job_lane lane, unsigned number, bool waits)
{
    return (struct test_job){
        .job = {.lane = lane, .kind = JOB_KIND_OTHER, .run = run, .done = done, .home = f->home},
        .gate = &f->gate,
        .number = number,
        .waits = waits};
}

static void start(struct fixture *f, int64_t threads, int64_t max_jobs)
{
    f->options.io_job_threads = threads;
    f->options.queue_max_jobs = max_jobs;
    assert_int_equal(job_queue_create(&f->queue, &f->options, &f->metrics, NULL), STATUS_OK);
}

static void submit(struct fixture *f, struct test_job *job)
{
    assert_int_equal(job_queue_submit(f->queue, &job->job), STATUS_OK);
}

static void wait_until_inside(struct fixture *f, unsigned count)
{
    pthread_mutex_lock(&f->gate.lock);
    while (f->gate.inside < count) pthread_cond_wait(&f->gate.changed, &f->gate.lock);
    pthread_mutex_unlock(&f->gate.lock);
}

static unsigned inside(struct fixture *f)
{
    pthread_mutex_lock(&f->gate.lock);
    unsigned count = f->gate.inside;
    pthread_mutex_unlock(&f->gate.lock);
    return count;
}

static void let_pass(struct fixture *f, unsigned count)
{
    pthread_mutex_lock(&f->gate.lock);
    f->gate.allowed += count;
    pthread_cond_broadcast(&f->gate.changed);
    pthread_mutex_unlock(&f->gate.lock);
}

static void wait_until_done(struct fixture *f, unsigned count)
{
    while (f->done < count) {
        assert_true(mailbox_wait(f->home, 10 * 1000000));
        mailbox_deliver(f->home);
    }
    assert_int_equal(f->done, count);
}

/* --- tests --- */

static void a_job_runs_on_a_worker_and_comes_back_to_its_home(void **state)
{
    struct fixture *f = *state;
    start(f, 4, 100);
    struct test_job job = make(f, JOB_READ, 1, false);
    submit(f, &job);
    wait_until_done(f, 1);
    assert_memory_equal(job.thread_name, "kelvin-job-", 11);
    assert_int_equal(counter_get(&f->metrics.submitted[JOB_READ]), 1);
    assert_int_equal(counter_get(&f->metrics.finished[JOB_READ]), 1);
    assert_int_equal(gauge_get(&f->metrics.queued[JOB_READ]), 0);
    assert_int_equal(f->metrics.run_seconds[JOB_KIND_OTHER].count, 1);
    assert_int_equal(f->metrics.wait_seconds[JOB_READ].count, 1);
}

static void one_thread_runs_one_job_at_a_time_reads_first(void **state)
{
    struct fixture *f = *state;
    struct test_job gate = make(f, JOB_READ, 0, true), jobs[8];
    const enum job_lane lanes[] = {JOB_BACKGROUND, JOB_SCAN, JOB_BATCH, JOB_READ,
                                   JOB_BACKGROUND, JOB_SCAN, JOB_BATCH, JOB_READ};
    const unsigned expected[] = {0, 3, 7, 2, 1, 0, 6, 5, 4};
    start(f, 1, 100);
    submit(f, &gate);
    wait_until_inside(f, 1);
    for (unsigned i = 0; i < 8; i++) {
        jobs[i] = make(f, lanes[i], i, false);
        submit(f, &jobs[i]);
    }
    assert_int_equal(gauge_get(&f->metrics.queued[JOB_SCAN]), 2);
    assert_int_equal(gauge_get(&f->metrics.running[JOB_READ]), 1);
    let_pass(f, 1);
    wait_until_done(f, 9);
    assert_int_equal(f->gate.most_running, 1);
    assert_memory_equal(f->gate.log, expected, sizeof expected);
}

static void reads_do_not_starve_the_other_lanes(void **state)
{
    struct fixture *f = *state;
    struct test_job gate = make(f, JOB_READ, 0, true), batch = make(f, JOB_BATCH, 99, false);
    struct test_job reads[60];
    start(f, 1, 100);
    submit(f, &gate);
    wait_until_inside(f, 1);
    submit(f, &batch);
    for (unsigned i = 0; i < 60; i++) {
        reads[i] = make(f, JOB_READ, i, false);
        submit(f, &reads[i]);
    }
    let_pass(f, 1);
    wait_until_done(f, 62);
    unsigned place = 0;
    while (f->gate.log[place] != 99) place++;
    assert_in_range(place, 10, 20);
}

static void other_lanes_leave_a_worker_to_reads(void **state)
{
    struct fixture *f = *state;
    struct test_job slow[9], read = make(f, JOB_READ, 9, false);
    const enum job_lane lanes[] = {JOB_BATCH, JOB_SCAN, JOB_BACKGROUND};
    start(f, 4, 100);
    for (unsigned i = 0; i < 9; i++) {
        slow[i] = make(f, lanes[i % 3], i, true);
        submit(f, &slow[i]);
    }
    wait_until_inside(f, 3);
    submit(f, &read);
    wait_until_done(f, 1);
    assert_int_equal(inside(f), 3);
    let_pass(f, 9);
    wait_until_done(f, 10);
    assert_int_equal(f->gate.most_running <= 4, 1);
}

static void batches_leave_a_worker_to_scans(void **state)
{
    struct fixture *f = *state;
    struct test_job batches[10], scan = make(f, JOB_SCAN, 10, false);
    start(f, 4, 100);
    for (unsigned i = 0; i < 10; i++) {
        batches[i] = make(f, JOB_BATCH, i, true);
        submit(f, &batches[i]);
    }
    wait_until_inside(f, 2);
    submit(f, &scan);
    wait_until_done(f, 1);
    assert_int_equal(inside(f), 2);
    let_pass(f, 10);
    wait_until_done(f, 11);
}

static void with_two_workers_one_is_for_reads(void **state)
{
    struct fixture *f = *state;
    struct test_job slow[2], read = make(f, JOB_READ, 2, false);
    start(f, 2, 100);
    for (unsigned i = 0; i < 2; i++) {
        slow[i] = make(f, i == 0 ? JOB_BATCH : JOB_SCAN, i, true);
        submit(f, &slow[i]);
    }
    wait_until_inside(f, 1);
    submit(f, &read);
    wait_until_done(f, 1);
    assert_int_equal(inside(f), 1);
    let_pass(f, 2);
    wait_until_done(f, 3);
}

static void a_full_lane_refuses_until_there_is_room(void **state)
{
    struct fixture *f = *state;
    struct test_job gate = make(f, JOB_READ, 0, true), jobs[13];
    start(f, 1, 16); /* 12 of them for reads */
    submit(f, &gate);
    wait_until_inside(f, 1);
    for (unsigned i = 0; i < 12; i++) {
        jobs[i] = make(f, JOB_READ, i, true);
        submit(f, &jobs[i]);
    }
    jobs[12] = make(f, JOB_READ, 12, false);
    assert_int_equal(job_queue_submit(f->queue, &jobs[12].job), STATUS_BUSY);
    assert_int_equal(job_queue_submit(f->queue, &jobs[12].job), STATUS_BUSY);
    assert_int_equal(counter_get(&f->metrics.refused), 2);
    let_pass(f, 13);
    wait_until_done(f, 13);
    submit(f, &jobs[12]);
    wait_until_done(f, 14);
}

static void batches_are_never_refused(void **state)
{
    struct fixture *f = *state;
    struct test_job gate = make(f, JOB_READ, 0, true), batches[100];
    start(f, 1, 8);
    submit(f, &gate);
    wait_until_inside(f, 1);
    for (unsigned i = 0; i < 100; i++) {
        batches[i] = make(f, JOB_BATCH, i, false);
        submit(f, &batches[i]);
    }
    let_pass(f, 1);
    wait_until_done(f, 101);
}

static void the_end_of_the_queue_runs_what_is_queued(void **state)
{
    struct fixture *f = *state;
    struct test_job jobs[200];
    start(f, 3, 1000);
    for (unsigned i = 0; i < 200; i++) {
        jobs[i] = make(f, (enum job_lane)(i % JOB_LANES), i, false);
        submit(f, &jobs[i]);
    }
    job_queue_destroy(f->queue);
    f->queue = NULL;
    mailbox_deliver(f->home);
    assert_int_equal(f->done, 200);
    for (unsigned i = 0; i < JOB_LANES; i++) {
        assert_int_equal(counter_get(&f->metrics.finished[i]), 50);
        assert_int_equal(gauge_get(&f->metrics.running[i]), 0);
    }
}

/* A job that submits the next one when it is done, as the batch writer does. */
struct chain_job {
    struct job job;
    struct fixture *fixture;
    unsigned left;
};

static void run_nothing(struct job *job)
{
    (void)job;
}

static void submit_again(struct job *job)
{
    struct chain_job *chain = (struct chain_job *)(void *)job;
    if (--chain->left > 0)
        assert_int_equal(job_queue_submit(chain->fixture->queue, job), STATUS_OK);
    else
        chain->fixture->done++;
}

static void many_jobs_from_many_chains_all_come_back(void **state)
{
    enum { CHAINS = 40, LINKS = 500 };
    struct fixture *f = *state;
    struct chain_job chains[CHAINS];
    start(f, 4, 1000);
    for (unsigned i = 0; i < CHAINS; i++) {
        chains[i] = (struct chain_job){.job = {.lane = (enum job_lane)(i % JOB_LANES),
                                               .kind = (enum job_kind)(i % JOB_KINDS),
                                               .run = run_nothing,
                                               .done = submit_again,
                                               .home = f->home},
                                       .fixture = f,
                                       .left = LINKS};
        assert_int_equal(job_queue_submit(f->queue, &chains[i].job), STATUS_OK);
    }
    wait_until_done(f, CHAINS);
    uint64_t finished = 0;
    for (unsigned i = 0; i < JOB_LANES; i++) finished += counter_get(&f->metrics.finished[i]);
    assert_int_equal(finished, CHAINS * LINKS);
}

/* Submitters on several threads, each with a mailbox of its own. */
struct submitter {
    struct fixture *fixture;
    unsigned long thread;
    unsigned came_back;
};

struct counted_job {
    struct job job;
    struct submitter *submitter;
};

static void count_back(struct job *job)
{
    ((struct counted_job *)(void *)job)->submitter->came_back++;
}

static void submit_many(void *argument)
{
    enum { JOBS = 300 };
    struct submitter *submitter = argument;
    struct counted_job jobs[JOBS];
    struct mailbox *home;
    if (mailbox_create(&home, NULL) != STATUS_OK) return;
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (struct counted_job){.job = {.lane = JOB_BATCH,
                                               .kind = JOB_KIND_BATCH,
                                               .run = run_nothing,
                                               .done = count_back,
                                               .home = home},
                                       .submitter = submitter};
        job_queue_submit(submitter->fixture->queue, &jobs[i].job);
    }
    while (submitter->came_back < JOBS && mailbox_wait(home, 10 * 1000000)) mailbox_deliver(home);
    mailbox_destroy(home);
}

static void several_threads_submit_and_each_gets_its_own_jobs_back(void **state)
{
    struct fixture *f = *state;
    struct submitter submitters[3];
    start(f, 4, 1000);
    for (unsigned i = 0; i < 3; i++) {
        submitters[i] = (struct submitter){.fixture = f};
        assert_int_equal(thread_start(&submitters[i].thread, THREAD_UNNAMED, "submitter",
                                      submit_many, &submitters[i], NULL),
                         STATUS_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(submitters[i].thread, NULL);
        assert_int_equal(submitters[i].came_back, 300);
    }
    assert_int_equal(counter_get(&f->metrics.submitted[JOB_BATCH]), 900);
}

static void every_metric_has_a_row_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(job_metric_table.count, 5 * JOB_LANES + 1 + JOB_KINDS);
    for (size_t i = 0; i < job_metric_table.count; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(job_metric_table.rows[i].offset, job_metric_table.rows[j].offset);
            assert_string_not_equal(job_metric_table.rows[i].name, job_metric_table.rows[j].name);
        }
    }
}

static void the_defaults_are_those_of_the_manual(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->options.io_job_threads, 4);
    assert_int_equal(f->options.queue_max_jobs, 16384);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_job_runs_on_a_worker_and_comes_back_to_its_home),
        TEST(one_thread_runs_one_job_at_a_time_reads_first),
        TEST(reads_do_not_starve_the_other_lanes),
        TEST(other_lanes_leave_a_worker_to_reads),
        TEST(batches_leave_a_worker_to_scans),
        TEST(with_two_workers_one_is_for_reads),
        TEST(a_full_lane_refuses_until_there_is_room),
        TEST(batches_are_never_refused),
        TEST(the_end_of_the_queue_runs_what_is_queued),
        TEST(many_jobs_from_many_chains_all_come_back),
        TEST(several_threads_submit_and_each_gets_its_own_jobs_back),
        TEST(every_metric_has_a_row_of_its_own),
        TEST(the_defaults_are_those_of_the_manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
