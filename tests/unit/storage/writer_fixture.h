/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A batch writer with everything around it: a store on engines in memory (one for each folder), the
 * fake journal, real workers, and a loop played by the test: it counts as the keyspace does and
 * checks what settlements make of that. Included by one test file. */
#ifndef KELVIN_TESTS_WRITER_FIXTURE_H
#define KELVIN_TESTS_WRITER_FIXTURE_H

#include "journal_fake.h"
#include "lib/memory_engine.h"
#include "storage/batch_writer_internal.h"
#include "writer_model.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIXTURE_DISKS = 64, FIXTURE_COUNTS = 256 };

struct disk {
    char *folder;
    struct memory_store *store;
};

struct loop_count {
    uint64_t db_id;
    int64_t keys, expiring;
    uint64_t unknown;
};

struct fixture {
    char dir[64], folder[96];
    pthread_mutex_t lock; /* the writer's thread opens disks */
    struct disk disks[FIXTURE_DISKS];
    unsigned disk_count;
    struct memory_store *disk; /* opened last */
    _Atomic bool open_fails;
    bool settles;
    store_open_engine *open_engine; /* NULL: in memory */
    unsigned fail_calls; /* for each engine that is opened */

    struct journal *journal;
    struct job_options job_options;
    struct job_metrics job_metrics;
    struct job_queue *jobs;
    struct mailbox *loop;
    struct store *store;
    struct batch_writer_options options;
    struct batch_writer_metrics metrics;
    struct batch_writer *writer;

    struct loop_count counts[FIXTURE_COUNTS];
    unsigned count_count;
    uint64_t applied;
    enum status health;
    char health_text[128];
    unsigned health_changes;
};

/* Some writes fill the memtable, and it becomes durable before the range that they belong to is in. */
static struct {
    _Atomic(struct memory_store *) disk;
    const struct engine_operations *operations;
    struct engine_operations mine;
    _Atomic uint64_t writes;
} settling;

static inline enum status write_and_settle(struct engine *engine, const struct engine_batch *batch,
                                           struct error *error)
{
    enum status status = settling.operations->write(engine, batch, error);
    uint64_t write = atomic_fetch_add(&settling.writes, 1) * 0x9e3779b97f4a7c15U;
    if (write >> 61) return status;
    struct memory_store *disk = atomic_load(&settling.disk);
    memory_store_switch(disk);
    memory_store_settle(disk);
    return status;
}

static inline void settle_sometimes(struct memory_store *disk, struct engine *engine)
{
    atomic_store(&settling.disk, disk);
    /* Once: a later open may be the writer's own while others use the table. */
    if (!settling.operations) {
        settling.operations = engine->operations;
        settling.mine = *engine->operations;
        settling.mine.write = write_and_settle;
    }
    engine->operations = &settling.mine;
}

static enum status fixture_open_engine(void *context, struct engine **out, const char *folder,
                                       bool create, struct error *error)
{
    struct fixture *f = context;
    (void)create;
    if (f->open_fails) return error_set(error, STATUS_IO_ERROR, "cannot open for the test");
    pthread_mutex_lock(&f->lock);
    unsigned i = 0;
    while (i < f->disk_count && strcmp(f->disks[i].folder, folder) != 0) i++;
    if (i == f->disk_count) {
        ASSERT(i < FIXTURE_DISKS);
        f->disks[f->disk_count++] =
            (struct disk){mem_dup(folder, strlen(folder) + 1), memory_store_create()};
    }
    struct memory_store *disk = f->disk = f->disks[i].store;
    pthread_mutex_unlock(&f->lock);
    enum status status = memory_store_open(disk, out, error);
    if (status == STATUS_OK && f->settles) settle_sometimes(disk, *out);
    return status;
}

static inline struct loop_count *loop_count(struct fixture *f, uint64_t db_id)
{
    for (unsigned i = 0; i < f->count_count; i++) {
        if (f->counts[i].db_id == db_id) return &f->counts[i];
    }
    ASSERT(f->count_count < FIXTURE_COUNTS);
    f->counts[f->count_count] = (struct loop_count){.db_id = db_id};
    return &f->counts[f->count_count++];
}

static inline void loop_applied(void *context, uint64_t sequence, const struct settlement *settlements,
                         size_t count)
{
    struct fixture *f = context;
    ASSERT(sequence > f->applied);
    f->applied = sequence;
    for (size_t i = 0; i < count; i++) {
        struct loop_count *counted = loop_count(f, settlements[i].db_id);
        counted->keys += settlements[i].keys;
        counted->expiring += settlements[i].expiring;
        ASSERT(counted->unknown >= settlements[i].unknown);
        counted->unknown -= settlements[i].unknown;
    }
}

static inline void loop_health(void *context, enum status status, const char *text)
{
    struct fixture *f = context;
    f->health = status;
    f->health_changes++;
    snprintf(f->health_text, sizeof f->health_text, "%s", text);
}

/* As keyspace_commit counts. */
static inline void loop_count_operation(struct fixture *f, const struct operation *operation)
{
    if (operation->kind != OPERATION_PUT && operation->kind != OPERATION_DELETE) return;
    struct loop_count *counted = loop_count(f, operation->db_id);
    bool put = operation->kind == OPERATION_PUT, old = operation->old == OLD_PRESENT;
    if (operation->old == OLD_UNKNOWN) {
        counted->unknown++;
        return;
    }
    counted->keys += put - old;
    counted->expiring += (put && operation->expire_at_ms != -1) -
                         (old && operation->old_expire_at_ms != -1);
}

static inline void fixture_append(struct fixture *f, const struct operation *operations, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) loop_count_operation(f, &operations[i]);
    fake_journal_append(f->journal, operations, count);
}

static inline void fixture_create(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    const char *base = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%s/kelvin-writer-XXXXXX", base ? base : "/tmp");
    ASSERT(mkdtemp(f->dir));
    snprintf(f->folder, sizeof f->folder, "%s/store", f->dir);
    f->journal = fake_journal_create(FIRST_SEQUENCE);
    option_set_defaults(&job_option_table, &f->job_options);
    option_set_defaults(&batch_writer_option_table, &f->options);
    ASSERT(job_queue_create(&f->jobs, &f->job_options, &f->job_metrics, NULL) == STATUS_OK);
    ASSERT(mailbox_create(&f->loop, NULL) == STATUS_OK);
}

static inline enum status fixture_open_store(struct fixture *f, struct error *error)
{
    return store_open(&f->store, f->folder, true, 7, FIRST_SEQUENCE - 1, MODEL_DATABASES,
                      f->open_engine ? f->open_engine : fixture_open_engine, f, error);
}

/* Opens, recovers what the journal holds, starts. */
static inline enum status fixture_start(struct fixture *f, struct error *error)
{
    static const struct batch_writer_events events = {.on_applied = loop_applied,
                                                      .on_health = loop_health};
    struct batch_writer_events mine = events;
    struct journal_found found = {.last_sequence = f->journal->appended};
    mine.context = f;
    enum status status = fixture_open_store(f, error);
    if (status != STATUS_OK) return status;
    if (f->fail_calls) memory_store_fail(f->disk, f->fail_calls, 1, 0, STATUS_IO_ERROR);
    status = batch_writer_create(&f->writer, &f->options, &f->metrics, f->store, f->journal,
                                 f->jobs, f->loop, &mine, error);
    if (status != STATUS_OK) goto close_store;
    f->writer->pause_min_us = 500;
    f->writer->pause_max_us = 4000;
    status = batch_writer_recover(f->writer, &found, &(struct batch_writer_recovery){0}, error);
    if (status != STATUS_OK) goto destroy_writer;
    f->applied = batch_writer_applied_sequence(f->writer);
    f->count_count = 0;
    for (size_t i = 0; i < f->writer->start_count; i++) {
        struct loop_count *counted = loop_count(f, f->writer->start_counts[i].db_id);
        batch_writer_counts(f->writer, counted->db_id, &counted->keys, &counted->expiring);
    }
    journal_set_marked(f->journal, f->applied);
    f->health = STATUS_OK;
    return batch_writer_start(f->writer, error);

destroy_writer:
    batch_writer_destroy(f->writer);
close_store:
    store_close(f->store);
    f->store = NULL;
    f->writer = NULL;
    return status;
}

static inline enum status fixture_stop(struct fixture *f, int64_t timeout_ms)
{
    if (!f->writer) return STATUS_OK;
    enum status status = batch_writer_stop(f->writer, timeout_ms, NULL);
    mailbox_deliver(f->loop);
    batch_writer_destroy(f->writer);
    store_close(f->store);
    f->writer = NULL;
    f->store = NULL;
    return status;
}

/* The process dies; the machine too, if unsynced records are to be cut. */
static inline void fixture_crash(struct fixture *f)
{
    f->open_fails = true;
    pthread_mutex_lock(&f->lock);
    for (unsigned i = 0; i < f->disk_count; i++) memory_store_crash(f->disks[i].store);
    pthread_mutex_unlock(&f->lock);
    fixture_stop(f, 0);
    f->open_fails = false;
}

static inline void fixture_destroy(struct fixture *f)
{
    char command[160];
    fixture_stop(f, 0);
    job_queue_destroy(f->jobs);
    mailbox_deliver(f->loop);
    mailbox_destroy(f->loop);
    fake_journal_destroy(f->journal);
    for (unsigned i = 0; i < f->disk_count; i++) {
        memory_store_destroy(f->disks[i].store);
        mem_free(f->disks[i].folder);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    ASSERT(system(command) == 0);
}

static inline void fixture_stop_failing(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    for (unsigned i = 0; i < f->disk_count; i++)
        memory_store_fail(f->disks[i].store, 0, 0, 0, STATUS_OK);
    pthread_mutex_unlock(&f->lock);
}

static inline struct memory_store *fixture_disk(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    struct memory_store *disk = f->disk;
    pthread_mutex_unlock(&f->lock);
    return disk;
}

static inline void fixture_sync(struct fixture *f)
{
    fake_journal_sync(f->journal, f->journal->appended);
}

struct asked {
    struct barrier barrier;
    bool done;
};

static inline void asked_done(struct barrier *barrier)
{
    ((struct asked *)barrier)->done = true;
}

static inline void fixture_ask(struct fixture *f, struct asked *asked, enum barrier_kind kind)
{
    *asked = (struct asked){.barrier = {.kind = kind, .done = asked_done}};
    batch_writer_barrier(f->writer, &asked->barrier);
}

static inline enum status fixture_wait(struct fixture *f, struct asked *asked)
{
    while (!asked->done) {
        ASSERT(mailbox_wait(f->loop, 20 * 1000000));
        mailbox_deliver(f->loop);
    }
    return asked->barrier.status;
}

static inline enum status fixture_barrier(struct fixture *f, enum barrier_kind kind)
{
    struct asked asked;
    fixture_ask(f, &asked, kind);
    return fixture_wait(f, &asked);
}

/* Delivers letters until nothing is left to reclaim. */
static inline void fixture_wait_reclaimed(struct fixture *f)
{
    struct asked asked;
    do {
        fixture_ask(f, &asked, BARRIER_VISIBLE);
        fixture_wait(f, &asked);
    } while (batch_writer_garbage(f->writer) > 0 ||
             atomic_load(&f->metrics.garbage_objects.value) > 0);
}

static inline bool counts_match(struct fixture *f, const struct model *model)
{
    bool good = true;
    for (unsigned d = 0; d < MODEL_DATABASES; d++) {
        const struct model_database *database = &model->databases[d];
        struct loop_count *counted = loop_count(f, database->db_id);
        int64_t keys = 0, expiring = 0;
        for (unsigned k = 0; k < MODEL_KEYS; k++) {
            keys += database->keys[k].exists;
            expiring += database->keys[k].exists && database->keys[k].expire_at_ms != -1;
        }
        if (counted->keys == keys && counted->expiring == expiring && !counted->unknown) continue;
        fprintf(stderr, "database %llu: counted %lld/%lld, right %lld/%lld, unknown %llu\n",
                (unsigned long long)database->db_id, (long long)counted->keys,
                (long long)counted->expiring, (long long)keys, (long long)expiring,
                (unsigned long long)counted->unknown);
        good = false;
    }
    return good;
}

#endif
