/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The batch writer: brings the synced journal into LevelDB, off the loop. It works in ranges, one
 * after the other: sorts, coalesces (the last operation per record counts), derives what follows
 * (expiry index, garbage, counts), splits into batches of which at most `batch_writer_concurrency`
 * are in flight on the job queue; then writes the marker. Rules 1 and 9 to 18 of the design. A
 * thread of its own; the loop talks to it by letters and gets letters back.
 *
 * States: drawn in batch_writer.c. */
#ifndef KELVIN_STORAGE_BATCH_WRITER_H
#define KELVIN_STORAGE_BATCH_WRITER_H

#include "base/mailbox.h"
#include "storage/engine.h"
#include "storage/job_queue.h"
#include "storage/journal.h"
#include "storage/store.h"

struct batch_writer_options {
    int64_t batch_writer_concurrency; /* default 10 */
    int64_t batch_writer_range_bytes; /* journal bytes that start a range, default 16 MiB */
    int64_t batch_writer_delay_ms;    /* age that starts a range, default 1000 */
    int64_t batch_writer_batch_bytes; /* per LevelDB batch, default 512 KiB */
};
extern const struct option_table batch_writer_option_table;

struct batch_writer_metrics {
    struct counter ranges, batches, operations_in, operations_out, bytes_in, bytes_out,
        old_lookups, retries, reopens, barriers, checkpoints, reclaimed_records, stall_us;
    /* retries: ranges that failed; reopens: times that the store was opened again; stall_us: time that the
     * store was closed for writing */
    struct gauge in_flight, applied_sequence, garbage_objects, garbage_databases, closed;
    struct histogram range_seconds, batch_seconds;
};
extern const struct metric_table batch_writer_metric_table;

/* What a range settled about one database, for the loop's count (exact, once per sequence). */
struct settlement {
    uint64_t db_id;
    int64_t keys;      /* to add to the loop's count: true change minus what known operations claimed */
    int64_t expiring;  /* the same for keys with an expiry */
    uint64_t unknown;  /* how many operations with OLD_UNKNOWN the range held */
    int64_t total_keys, total_expiring; /* exact, as of the sequence that is reported with it */
};

/* Calls on the loop, by letters. */
struct batch_writer_events {
    void *context;
    /* Everything up to `sequence` is in LevelDB, visible to readers. */
    void (*on_applied)(void *context, uint64_t sequence, const struct settlement *settlements,
                       size_t count);
    /* The store was closed for writing, or works again (status OK). */
    void (*on_health)(void *context, enum status status, const char *text);
};

struct batch_writer;

/* `applied` is the marker of the store as opened; records after it, if any, are applied "again"
 * (old records are read just before, rule 10) up to `again_up_to`. Nothing starts yet. All arguments
 * outlive the writer. */
enum status batch_writer_create(struct batch_writer **out,
                                const struct batch_writer_options *options,
                                struct batch_writer_metrics *metrics, struct store *store,
                                struct journal *journal, struct job_queue *jobs,
                                struct mailbox *loop, const struct batch_writer_events *events,
                                struct error *error);

/* How to catch up at start-up. A struct of zeros will do. */
struct batch_writer_recovery {
    /* Of the journal, in one range, and of memory to sort it in. The larger the better: each record's
     * old one is then met once, in order, and LevelDB gets long sorted runs. 0: as in normal work. */
    uint64_t range_bytes;
    /* May be NULL. Called now and then, on the calling thread, with the share of the operations that is
     * in; false: stop. */
    bool (*progress)(void *context, double share);
    void *context;
};
/* Start-up, calling thread, before batch_writer_start: applies every record that the journal found
 * (journal_found) after the store's marker and makes the marker durable at `last_sequence`.
 * STATUS_CLOSED: `progress` said stop; the next start goes on. */
enum status batch_writer_recover(struct batch_writer *writer, const struct journal_found *found,
                                 const struct batch_writer_recovery *recovery,
                                 struct error *error);

/* Starts the thread; the journal's run has begun. */
enum status batch_writer_start(struct batch_writer *writer, struct error *error);

/* Applies all, makes the marker durable, ends the thread. What cannot be done within `timeout_ms` is left to
 * the next start (the journal keeps everything), and STATUS_CLOSED or the store's error says so: at once
 * where it is plain that the time is too short, else when it is over; what the store does then is
 * cancelled, and it can only be closed. */
enum status batch_writer_stop(struct batch_writer *writer, int64_t timeout_ms, struct error *error);
void batch_writer_destroy(struct batch_writer *writer);

/* Keys and keys with expiry per db-id as stored at start, for the loop's counts. */
void batch_writer_counts(struct batch_writer *writer, uint64_t db_id, int64_t *keys,
                         int64_t *expiring);
/* The db-id behind a SELECT number, once all that the journal held is applied (the store's own map is
 * as old as its opening). Before the first write. */
uint64_t batch_writer_database_id(const struct batch_writer *writer, uint32_t number);

/* A barrier: answered when everything appended before it was asked for is synced, applied and
 * visible (BARRIER_VISIBLE), with a snapshot taken then, before any later write (BARRIER_SNAPSHOT),
 * or with a durable marker too (BARRIER_DURABLE: CHECKPOINT). The caller owns the struct until
 * `done` is called on the loop. A barrier that cannot finish because the store is broken gets the
 * error; rule 13. */
enum barrier_kind { BARRIER_VISIBLE, BARRIER_SNAPSHOT, BARRIER_DURABLE };
struct barrier {
    struct letter letter;          /* used by the writer */
    enum barrier_kind kind;
    uint64_t sequence;             /* filled by batch_writer_barrier */
    enum status status;            /* result */
    char error_text[256];          /* when not OK */
    struct engine *engine;         /* BARRIER_SNAPSHOT: a reference, the receiver's */
    struct engine_snapshot *snapshot;
    void (*done)(struct barrier *barrier); /* on the loop */
    struct barrier *next;                  /* the rest is the writer's */
    struct batch_writer *writer;
    bool reload;
};
/* Loop. A snapshot holds nothing later than the barrier's sequence, unless the store had to be opened
 * again in between: then it may hold more of what is synced. While the store is closed a barrier waits for
 * the first try to reopen it, then gets the error. */
void batch_writer_barrier(struct batch_writer *writer, struct barrier *barrier);
/* Any thread: synced_sequence moved (the writer asks the journal for that itself), or, with a policy
 * that never syncs by itself, something was appended: then the loop's timer calls it now and then.
 * Costs a few loads unless the writer has something to do now. */
void batch_writer_wake(struct batch_writer *writer);
/* Loop: start the next range early, whatever its size or age. */
void batch_writer_hurry(struct batch_writer *writer);
/* DEBUG RELOAD: closes and reopens the store between two ranges, then answers as BARRIER_VISIBLE. */
void batch_writer_reload(struct batch_writer *writer, struct barrier *barrier);

/* Any thread: records still to be reclaimed in the background, roughly (garbage rows). */
uint64_t batch_writer_garbage(const struct batch_writer *writer);
/* Any thread: what on_applied reports. After batch_writer_recover: the marker, so that the new run
 * begins at that plus one. */
uint64_t batch_writer_applied_sequence(const struct batch_writer *writer);

#endif
