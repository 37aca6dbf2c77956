/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A load run and its workers. A worker is one thread with an event loop and its share of the
 * connections; it owns them and its random numbers, and counts in figures that any thread may read
 * while it runs. The run is shared by all: set up before they start, then read, but for the atomics
 * and what is below the lock. */
#ifndef KELVIN_BENCH_WORKER_H
#define KELVIN_BENCH_WORKER_H

#include "keys.h"
#include "latency.h"
#include "load_options.h"
#include "template.h"
#include "values.h"

#include <pthread.h>

/* What one worker counts about one command. */
struct load_figures {
    struct latency latency;
    _Atomic uint64_t errors, nils, wrong;
};

struct load_run {
    struct load_options options;
    struct key_space keys;
    struct value_maker values;
    struct template *templates[LOAD_MAX_COMMANDS];
    unsigned most_keys; /* in one command */
    uint64_t weight;

    pthread_barrier_t connected; /* workers and main: all connections are there */
    pthread_barrier_t begin;     /* main has set begin_ns and end_ns */
    int64_t begin_ns, end_ns;
    atomic_bool stop;                              /* nothing more is sent */
    atomic_bool abandon;                           /* nothing more is waited for */
    _Atomic int64_t last_reply_ns, longest_gap_ns; /* gap: no reply to anybody for so long */

    pthread_mutex_t lock;
    pthread_cond_t ended;
    unsigned running;
    char first_complaint[512]; /* an error reply or a wrong value */
    char failure[256];         /* what ended a worker early */
};

struct worker;

/* Connects and sets up; the thread starts. Share: connections and requests of this worker alone;
 * requests UINT64_MAX: no limit. `cursor` is where its keys begin. */
struct worker *worker_start(struct load_run *run, unsigned connections, uint64_t requests,
                            double rate, struct key_cursor cursor);
/* Waits for the thread's end and frees everything. */
void worker_join(struct worker *worker);

const struct load_figures *worker_figures(const struct worker *worker, unsigned command);
/* Open loop: how much later than intended requests left although a connection was free. */
const struct latency *worker_lateness(const struct worker *worker);

#endif
