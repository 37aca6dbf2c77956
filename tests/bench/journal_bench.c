/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Micro-benchmark of the journal: what an append of a SET with 100 bytes costs, and how long the
 * slowest ones take while another process writes and syncs on the same disk.
 *
 *   journal_bench [FOLDER [mmap|write [SECONDS]]] */
#include "base/clock.h"
#include "storage/journal.h"
#include "storage/operation.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { APPENDS = 2000000, TURN = 100, PACED_PER_SECOND = 20000 };

static struct journal_metrics metrics;
static struct journal_options options;
static struct journal *journal;
static struct mailbox *home;
static char key[16] = "key:000000000000", value[84];

static void nothing(void *context) { (void)context; }

static void append_one(uint64_t number)
{
    struct operation operation = {.kind = OPERATION_PUT, .db_id = 1, .expire_at_ms = -1,
                                  .old_expire_at_ms = -1,
                                  .key = {key, sizeof key}, .value = {value, sizeof value}};
    struct journal_append append;
    memcpy(key + 4, &number, sizeof number);
    size_t size = operation_encoded_bytes(&operation);
    while (journal_reserve(journal, size, false, &append) != STATUS_OK) {
        journal_end_turn(journal);
        if (mailbox_wait(home, 200)) mailbox_deliver(home);
        journal_set_marked(journal, journal_synced_sequence(journal));
    }
    operation_encode(&operation, append.payload);
    journal_commit(journal, &append, 1);
}

static void end_turn(void)
{
    journal_end_turn(journal);
    if (mailbox_wait(home, 0)) {
        mailbox_deliver(home);
        journal_set_marked(journal, journal_synced_sequence(journal));
    }
}

static int compare_costs(const void *a, const void *b)
{
    int64_t first = *(const int64_t *)a, second = *(const int64_t *)b;
    return first < second ? -1 : first > second;
}

/* Appends in turns: the cost of one, without the turns' ends and the pauses for space. */
static void measure_cost(void)
{
    enum { TURNS = APPENDS / TURN };
    int64_t *costs = calloc(TURNS, sizeof *costs);
    size_t count = 0;
    for (uint64_t i = 0; costs && i < TURNS; i++) {
        uint64_t stalls = counter_get(&metrics.reserve_stalls);
        int64_t began_ns = clock_monotonic_ns();
        for (uint64_t j = 0; j < TURN; j++) append_one(i * TURN + j);
        if (counter_get(&metrics.reserve_stalls) == stalls)
            costs[count++] = clock_monotonic_ns() - began_ns;
        end_turn();
        if (i % 10 == 0) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    if (count == 0) return;
    qsort(costs, count, sizeof *costs, compare_costs);
    printf("append of a SET with 100 bytes: median %.1f ns, best 10%% %.1f ns, worst 10%% %.1f ns "
           "(%zu turns of %d)\n",
           (double)costs[count / 2] / TURN, (double)costs[count / 10] / TURN,
           (double)costs[count * 9 / 10] / TURN, count, TURN);
    free(costs);
}

static void be_noisy(const char *folder)
{
    char path[512];
    size_t size = 4 << 20;
    char *bytes = calloc(1, size);
    snprintf(path, sizeof path, "%s/noise", folder);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    for (unsigned i = 0; bytes && fd >= 0; i++) {
        if (pwrite(fd, bytes, size, (off_t)(i % 64) * (off_t)size) < 0) break;
        if (i % 16 == 15) fdatasync(fd);
    }
    _exit(0);
}

static void measure_latency(const char *folder, int seconds)
{
    pid_t noise = fork();
    if (noise == 0) be_noisy(folder);
    metric_reset(&journal_metric_table, &metrics);
    int64_t began_us = clock_monotonic_us(), now_us;
    uint64_t count = 0, worst_turn_us = 0;
    while ((now_us = clock_monotonic_us()) < began_us + seconds * 1000000LL) {
        uint64_t due = (uint64_t)(now_us - began_us) * PACED_PER_SECOND / 1000000;
        for (; count < due; count++) append_one(count);
        end_turn();
        uint64_t took_us = (uint64_t)(clock_monotonic_us() - now_us);
        if (took_us > worst_turn_us) worst_turn_us = took_us;
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    kill(noise, SIGKILL);
    waitpid(noise, NULL, 0);
    const struct histogram *histogram = &metrics.append_seconds;
    printf("beside a noisy writer, %d appends a second: p50 %llu us, p99.9 %llu us, p99.99 %llu us, "
           "worst %llu us; worst turn %llu us; %llu waits for space; %llu syncs, p50 %llu us, worst "
           "%llu us\n",
           PACED_PER_SECOND, (unsigned long long)histogram_quantile_us(histogram, 0.5),
           (unsigned long long)histogram_quantile_us(histogram, 0.999),
           (unsigned long long)histogram_quantile_us(histogram, 0.9999),
           (unsigned long long)atomic_load(&histogram->maximum), (unsigned long long)worst_turn_us,
           (unsigned long long)counter_get(&metrics.reserve_stalls),
           (unsigned long long)counter_get(&metrics.syncs),
           (unsigned long long)histogram_quantile_us(&metrics.sync_seconds, 0.5),
           (unsigned long long)atomic_load(&metrics.sync_seconds.maximum));
}

int main(int count, char **arguments)
{
    const char *parent = count > 1 ? arguments[1] : "/tmp";
    char folder[300], path[400], command[500];
    snprintf(folder, sizeof folder, "%s/kelvin-journal-bench-XXXXXX", parent);
    if (!mkdtemp(folder)) return perror(folder), 1;
    snprintf(path, sizeof path, "%s/journal", folder);
    option_set_defaults(&journal_option_table, &options);
    options.journal_io = count > 2 && arguments[2][0] == 'w' ? JOURNAL_IO_WRITE : JOURNAL_IO_MMAP;
    options.disk_reserve_bytes = 0;

    struct journal_found found;
    struct error error;
    struct journal_events events = {NULL, nothing, nothing, nothing};
    if (mailbox_create(&home, &error) != STATUS_OK ||
        journal_open(&journal, path, &options, &metrics, &found, &error) != STATUS_OK)
        return fprintf(stderr, "%s\n", error.text), 1;
    journal_set_events(journal, home, &events);
    if (journal_start_run(journal, 1, 1, &error) != STATUS_OK)
        return fprintf(stderr, "%s\n", error.text), 1;
    printf("journal-io %s\n", journal_io_name(journal));
    measure_cost();
    measure_latency(folder, count > 3 ? atoi(arguments[3]) : 10);
    journal_close(journal, &error);
    mailbox_destroy(home);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}
