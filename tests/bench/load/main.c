/* SPDX-License-Identifier: BSD-3-Clause
 *
 * kelvin-load, a load generator: sets up the run, starts the workers, prints a line a second. The
 * main thread only waits and adds up; each worker has a thread of its own. */
#include "load_options.h"
#include "outcome.h"
#include "worker.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static struct load_run run;

/* Which keys are hot and what their values are must be the same in every run, whatever its --seed:
 * one run checks and overwrites what another has filled in. */
enum { LAYOUT_SEED = 1 };

static void on_signal(int number)
{
    (void)number;
    atomic_store(&run.stop, true); /* a second one ends the process */
}

_Noreturn static void refuse(const char *what, const char *text)
{
    fprintf(stderr, "kelvin-load: %s: %s (see --help)\n", what, text);
    exit(2);
}

/* A descriptor for each connection. */
static void raise_file_limit(uint64_t connections)
{
    struct rlimit limit;
    uint64_t needed = connections + 100;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return;
    limit.rlim_cur = needed;
    if (limit.rlim_max < needed) limit.rlim_max = needed;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) refuse("too many connections", strerror(errno));
}

static void set_up_run(void)
{
    struct load_options *options = &run.options;
    if (!key_space_setup(&run.keys, options->order, options->keys, LAYOUT_SEED)) {
        refuse("--order", options->order);
    }
    if (!value_maker_setup(&run.values, options->values, (unsigned)options->compressible,
                           LAYOUT_SEED)) {
        refuse("--value", options->values);
    }
    for (unsigned i = 0; i < options->command_count; i++) {
        const char *problem;
        run.templates[i] =
            template_parse(options->commands[i].text, &run.values, LAYOUT_SEED, &problem);
        if (!run.templates[i]) refuse(options->commands[i].text, problem);
        unsigned keys = template_keys(run.templates[i]);
        if (keys > run.most_keys) run.most_keys = keys;
        run.weight += options->commands[i].weight;
    }
    if (options->fill && !run.most_keys) refuse("--fill", "its command has no {key}");
    if (options->fill && !key_space_is_walk(&run.keys)) {
        refuse("--fill", "goes through the keys in the order sequential or shuffled");
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&run.ended, &attributes);
    pthread_mutex_init(&run.lock, NULL);
    pthread_barrier_init(&run.connected, NULL, (unsigned)options->threads + 1);
    pthread_barrier_init(&run.begin, NULL, (unsigned)options->threads + 1);
    run.running = (unsigned)options->threads;
}

/* What worker i of n gets of an amount. */
static uint64_t share(uint64_t amount, uint64_t i, uint64_t n)
{
    return amount / n + (i < amount % n);
}

static uint64_t requests_of(uint64_t i)
{
    const struct load_options *options = &run.options;
    uint64_t threads = options->threads;
    if (options->fill && !options->requests) {
        uint64_t keys = share(options->keys, i, threads);
        return (keys + run.most_keys - 1) / run.most_keys;
    }
    return options->requests ? share(options->requests, i, threads) : UINT64_MAX;
}

static void start_workers(struct worker **workers)
{
    const struct load_options *options = &run.options;
    for (uint64_t i = 0; i < options->threads; i++) {
        struct key_cursor cursor = {
            .prng = {prng_mix(options->seed * 1000 + i)}, .position = i, .step = options->threads};
        workers[i] = worker_start(&run, (unsigned)share(options->connections, i, options->threads),
                                  requests_of(i), options->rate / (double)options->threads, cursor);
    }
    pthread_barrier_wait(&run.connected);
    run.begin_ns = clock_monotonic_ns();
    double seconds = options->seconds > 0 ? options->seconds + options->warmup_seconds : 0;
    run.end_ns = seconds > 0 ? run.begin_ns + (int64_t)(seconds * 1e9) : INT64_MAX;
    atomic_store(&run.last_reply_ns, run.begin_ns);
}

/* Waits until then, or until all workers have ended: true. */
static bool wait_for_end(int64_t until_ns)
{
    struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    int code = 0;
    pthread_mutex_lock(&run.lock);
    while (run.running && code == 0) code = pthread_cond_timedwait(&run.ended, &run.lock, &until);
    bool ended = run.running == 0;
    pthread_mutex_unlock(&run.lock);
    return ended;
}

static void watch(struct outcome *outcome)
{
    int64_t counting_ns = run.begin_ns + (int64_t)(run.options.warmup_seconds * 1e9);
    int64_t patience_ns = (int64_t)run.options.patience_seconds * 1000000000;
    int64_t next_ns = run.begin_ns;
    for (bool warmup = counting_ns > run.begin_ns;;) {
        next_ns += 1000000000;
        if (warmup && next_ns > counting_ns) next_ns = counting_ns;
        bool ended = wait_for_end(next_ns);
        if (ended && clock_monotonic_ns() - outcome->last_ns < 500000000) return;
        outcome_tick(outcome, warmup);
        if (ended) return;
        if (warmup && next_ns >= counting_ns) {
            warmup = false;
            outcome_rebase(outcome);
        }
        int64_t silent_ns = clock_monotonic_ns() - atomic_load(&run.last_reply_ns);
        if (silent_ns > patience_ns && !atomic_load(&run.abandon)) {
            pthread_mutex_lock(&run.lock);
            snprintf(run.failure, sizeof run.failure, "no reply for %llu seconds",
                     (unsigned long long)run.options.patience_seconds);
            pthread_mutex_unlock(&run.lock);
            atomic_store(&run.abandon, true);
        }
    }
}

static void tear_down_run(struct worker **workers)
{
    for (uint64_t i = 0; i < run.options.threads; i++) worker_join(workers[i]);
    for (unsigned i = 0; i < run.options.command_count; i++) template_free(run.templates[i]);
    value_maker_free(&run.values);
    mem_free(workers);
}

int main(int argc, char **argv)
{
    load_options_parse(&run.options, argc, argv);
    raise_file_limit(run.options.connections);
    set_up_run();
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    struct worker **workers = mem_calloc(run.options.threads, sizeof *workers);
    struct outcome outcome;
    start_workers(workers);
    outcome_setup(&outcome, &run, workers);
    pthread_barrier_wait(&run.begin);
    watch(&outcome);
    bool good = false;
    if (!run.failure[0])
        good = outcome_print(&outcome);
    else
        fprintf(stderr, "kelvin-load: %s\n", run.failure);
    outcome_free(&outcome);
    tear_down_run(workers);
    return run.failure[0] ? 2 : good ? 0 : 1;
}
