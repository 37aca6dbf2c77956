/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A keyspace with everything real below it but the engine, which is in memory: journal in a folder of
 * the test's, batch writer, workers, and a loop played by the test. Included once by a test program. */
#ifndef KELVIN_TESTS_KEYSPACE_FIXTURE_H
#define KELVIN_TESTS_KEYSPACE_FIXTURE_H

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"
#include "lib/memory_engine.h"
#include "lib/temp_folder.h"
#include "storage/keyspace.h"

#include <string.h>

enum { FIXTURE_DATABASES = 4, FIXTURE_FOLDERS = 64 };

struct fixture {
    char *dir, *store_dir, *journal_dir;
    struct {
        char *folder;
        struct memory_store *store;
    } disks[FIXTURE_FOLDERS]; /* a FLUSHALL makes a new one */
    unsigned disk_count;
    struct memory_store *disk; /* opened last */

    struct keyspace_options options;
    struct cache_options cache_options;
    struct job_options job_options;
    struct journal_options journal_options;
    struct batch_writer_options writer_options;
    struct keyspace_metrics metrics;
    struct cache_metrics cache_metrics;
    struct job_metrics job_metrics;
    struct journal_metrics journal_metrics;
    struct batch_writer_metrics writer_metrics;

    struct mailbox *loop;
    struct job_queue *jobs;
    struct cache *cache;
    struct store *store;
    struct journal *journal;
    struct batch_writer *writer;
    struct keyspace *keyspace;
    uint64_t budget;

    /* the run under way */
    struct write_set *writes;
    struct waiter waiter;
    bool woken;
    struct access access;
    int64_t now_ms; /* the runs' wall clock */
};

static struct fixture *current; /* for waiter callbacks */

static enum status fixture_open_engine(void *context, struct engine **out, const char *folder,
                                       bool create, struct error *error)
{
    struct fixture *f = context;
    (void)create;
    unsigned i = 0;
    while (i < f->disk_count && strcmp(f->disks[i].folder, folder) != 0) i++;
    if (i == f->disk_count) {
        ASSERT(i < FIXTURE_FOLDERS);
        f->disks[i].folder = mem_dup(folder, strlen(folder) + 1);
        f->disks[i].store = memory_store_create();
        f->disk_count++;
    }
    f->disk = f->disks[i].store;
    return memory_store_open(f->disk, out, error);
}

static void fixture_applied(void *context, uint64_t sequence, const struct settlement *settlements,
                            size_t count)
{
    struct fixture *f = context;
    if (f->keyspace) keyspace_on_applied(f->keyspace, sequence, settlements, count);
}

static void fixture_health(void *context, enum status status, const char *text)
{
    (void)context;
    (void)status;
    (void)text;
}

static void fixture_space(void *context)
{
    struct fixture *f = context;
    if (f->keyspace) keyspace_on_space(f->keyspace);
}

static void fixture_nothing(void *context)
{
    (void)context;
}

static void fixture_synced(void *context)
{
    batch_writer_wake(((struct fixture *)context)->writer);
}

static void fixture_woken(struct waiter *waiter)
{
    (void)waiter;
    current->woken = true;
}

#define MUST(call) ASSERT((call) == STATUS_OK)

static void fixture_start(struct fixture *f)
{
    const struct batch_writer_events events = {f, fixture_applied, fixture_health};
    const struct journal_events journal_events = {f, fixture_nothing, fixture_space,
                                                  fixture_nothing};
    struct journal_found found;
    MUST(mailbox_create(&f->loop, NULL));
    MUST(job_queue_create(&f->jobs, &f->job_options, &f->job_metrics, NULL));
    f->cache = cache_create(&f->cache_options, &f->cache_metrics);
    cache_set_budget(f->cache, f->budget);
    MUST(journal_open(&f->journal, f->journal_dir, &f->journal_options, &f->journal_metrics, &found,
                      NULL));
    MUST(store_open(&f->store, f->store_dir, true, 77, FIRST_SEQUENCE - 1, FIXTURE_DATABASES,
                    fixture_open_engine, f, NULL));
    MUST(batch_writer_create(&f->writer, &f->writer_options, &f->writer_metrics, f->store,
                             f->journal, f->jobs, f->loop, &events, NULL));
    MUST(batch_writer_recover(f->writer, &found, &(struct batch_writer_recovery){0}, NULL));
    uint64_t first = batch_writer_applied_sequence(f->writer) + 1;
    MUST(journal_start_run(f->journal, 77, first, NULL));
    MUST(batch_writer_start(f->writer, NULL));
    const struct keyspace_parts parts = {f->cache, f->journal, f->writer,
                                         f->store, f->jobs,    f->loop};
    f->keyspace = keyspace_create(&f->options, &f->metrics, &parts, found.empty);
    journal_set_events(f->journal, f->loop, &journal_events);
    journal_set_on_synced(f->journal, fixture_synced, f);
    waiter_init(&f->waiter, fixture_woken);
}

static struct fixture *fixture_create(uint64_t budget)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    current = f;
    f->budget = budget;
    f->dir = temp_folder_create();
    f->store_dir = temp_folder_path(f->dir, "store");
    f->journal_dir = temp_folder_path(f->dir, "journal");
    option_set_defaults(&keyspace_option_table, &f->options);
    option_set_defaults(&cache_option_table, &f->cache_options);
    option_set_defaults(&job_option_table, &f->job_options);
    option_set_defaults(&journal_option_table, &f->journal_options);
    option_set_defaults(&batch_writer_option_table, &f->writer_options);
    f->journal_options.journal_io = JOURNAL_IO_WRITE;
    f->journal_options.journal_segment_bytes = 1 << 20;
    f->journal_options.disk_reserve_bytes = 0;
    f->writer_options.batch_writer_delay_ms = 5;
    f->writes = write_set_create();
    f->now_ms = clock_wall_ms();
    fixture_start(f);
    return f;
}

static void fixture_stop(struct fixture *f)
{
    waiter_release(f->keyspace, &f->waiter);
    keyspace_stop(f->keyspace);
    MUST(batch_writer_stop(f->writer, 10000, NULL));
    job_queue_destroy(f->jobs);
    mailbox_deliver(f->loop);
    journal_close(f->journal, NULL);
    mailbox_deliver(f->loop);
    keyspace_destroy(f->keyspace);
    f->keyspace = NULL;
    batch_writer_destroy(f->writer);
    store_close(f->store);
    cache_destroy(f->cache);
    mailbox_destroy(f->loop);
}

static void fixture_destroy(struct fixture *f)
{
    fixture_stop(f);
    write_set_destroy(f->writes);
    for (unsigned i = 0; i < f->disk_count; i++) {
        memory_store_destroy(f->disks[i].store);
        mem_free(f->disks[i].folder);
    }
    temp_folder_remove(f->dir);
    mem_free(f->store_dir);
    mem_free(f->journal_dir);
    mem_free(f);
}

static void fixture_turn(struct fixture *f)
{
    mailbox_wait(f->loop, 2000);
    mailbox_deliver(f->loop);
    keyspace_end_turn(f->keyspace);
    batch_writer_wake(f->writer);
    keyspace_cron(f->keyspace);
}

/* --- running commands as dispatch does --- */

static void run_begin(struct fixture *f)
{
    f->woken = false;
    access_begin(&f->access, f->keyspace, f->writes, &f->waiter, f->now_ms);
}

/* The run found out that it has to wait: throws it away and waits. */
static void run_wait(struct fixture *f)
{
    access_abandon(&f->access);
    while (!f->woken) fixture_turn(f);
}

/* False: something is missing; it has been waited for, run again. */
static bool run_commit(struct fixture *f)
{
    if (!f->access.wait && keyspace_commit(&f->access, true, NULL) == STATUS_OK) {
        waiter_release(f->keyspace, &f->waiter);
        keyspace_end_turn(f->keyspace);
        return true;
    }
    run_wait(f);
    ASSERT(!f->waiter.failed); /* what it waited for has come */
    return false;
}

#define RUN(f, ...)                                                                                \
    do {                                                                                           \
        run_begin(f);                                                                              \
        __VA_ARGS__                                                                                \
    } while (!run_commit(f))

/* Everything that was written is in the engine, and may leave memory. */
static void fixture_settle(struct fixture *f)
{
    uint64_t last = journal_appended_sequence(f->journal);
    while (batch_writer_applied_sequence(f->writer) < last) {
        batch_writer_hurry(f->writer);
        journal_request_sync(f->journal);
        fixture_turn(f);
    }
    for (int i = 0; i < 20; i++) fixture_turn(f);
}

#endif
