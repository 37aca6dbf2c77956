/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a run has brought: the figures of all workers added up, a line each second, the result as
 * text or JSON. One thread (main's). */
#ifndef KELVIN_BENCH_OUTCOME_H
#define KELVIN_BENCH_OUTCOME_H

#include "worker.h"

/* What happened from one moment on; `commands` has one element a command. */
struct tally {
    struct latency_snapshot latency;
    uint64_t errors, nils, wrong;
};

struct outcome {
    struct load_run *run;
    struct worker **workers;
    struct tally *baseline, *last,
        *now; /* [commands]: when counting began, a second ago, scratch */
    struct latency_snapshot late_baseline;
    int64_t baseline_ns, last_ns, cpu_baseline_ns;
    struct buffer series_requests, series_errors, series_p50, series_p99, series_max;
};

/* `run` and `workers` stay the caller's. */
void outcome_setup(struct outcome *outcome, struct load_run *run, struct worker **workers);
void outcome_free(struct outcome *outcome);

/* Counting begins anew (the warm-up is over). */
void outcome_rebase(struct outcome *outcome);
/* Once a second: remembers it and, unless told to be quiet, prints it. Requests in that second. */
uint64_t outcome_tick(struct outcome *outcome, bool warmup);
/* All workers have ended. Prints the result; true when no reply was an error or wrong. */
bool outcome_print(struct outcome *outcome);

#endif
