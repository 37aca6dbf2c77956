/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The batch writer's own parts, for its files alone:
 *
 *   batch_writer.c          its life, its thread, when to do what, barriers
 *   batch_writer_range.c    one range: collect, batches, marker, what the loop is told
 *   batch_writer_failure.c  the store closed after a failure, opened again, caught up (rule 13)
 *
 * All fields belong to the writer's thread (at start-up: the caller's), but for those that say
 * otherwise. */
#ifndef KELVIN_STORAGE_BATCH_WRITER_INTERNAL_H
#define KELVIN_STORAGE_BATCH_WRITER_INTERNAL_H

#include "storage/batch_writer.h"
#include "storage/coalesce.h"
#include "storage/counts.h"
#include "storage/range.h"
#include "storage/reclaim.h"
#include "storage/sweep.h"

#include <pthread.h>

/* Drawn in batch_writer.c. */
enum writer_state {
    WRITER_OPEN,
    WRITER_AGAIN, /* applies again what had been in, or may be in in part; readers are kept out */
    WRITER_CLOSED, /* after a failure; opens the store again at reopen_at_us */
    WRITER_BROKEN  /* not opened again by itself: damage */
};

/* A batch and the slot that it owns while in flight. */
struct batch {
    struct job job;
    struct batch_writer *writer;
    struct batch *next_free;
    struct coalesce_input input;
    struct coalesce_output output;
    int64_t run_us;
    enum status status;
    struct error error;
};

/* A marker that is written but not known to be durable. */
struct pending_marker {
    uint64_t sequence;
    uint64_t generation; /* durable once engine durable_generation is above it */
    uint64_t bytes;      /* of the journal, that it stands for */
};

struct start_count {
    uint64_t db_id;
    int64_t keys, expiring;
};

struct batch_writer {
    const struct batch_writer_options *options;
    struct batch_writer_metrics *metrics;
    struct store *store;
    struct journal *journal;
    struct job_queue *jobs;
    struct mailbox *loop;
    struct batch_writer_events events;
    struct mailbox *box;
    struct reclaim *reclaim;
    struct sweep sweep;
    unsigned long thread;
    bool started;
    const struct batch_writer_recovery *recovery; /* while recovering, else NULL */
    uint64_t recovery_from, recovery_to;          /* sequences */

    enum writer_state state;
    struct journal_reader *reader;
    uint64_t position;      /* everything up to it is in the store as it is open now */
    uint64_t again_up_to;   /* up to it operations may be in already */
    uint64_t marker;        /* of the last marker written */
    uint64_t marked;        /* of the last durable one */
    uint64_t claimed;       /* claims up to it were reported */
    uint64_t *db_ids;       /* number -> db-id at `position` */
    uint32_t databases;
    struct counts counts;
    struct start_count *start_counts; /* unchanged once the thread runs */
    size_t start_count;
    struct range range;
    struct pending_marker *pending;
    size_t pending_count, pending_capacity;
    uint64_t journal_limit;  /* as the journal was told */
    double bytes_per_second; /* of the journal, while a range was applied; 0: not known */
    uint64_t flush_ahead;    /* the reader stands before a FLUSH_ALL: the next range ends not below */
    bool full_disk;          /* the rest of the journal is one range (rule 18) */
    bool keeps_handle;       /* WRITER_CLOSED for want of space: readers go on with the handle as it is */
    uint64_t wanted_bytes;   /* with less free space opening again has failed */
    uint64_t opened_bytes;   /* free when it was last opened again; 0: at start */
    int64_t opened_at_us;    /* when it last worked again; 0: it has not since the last failure */
    uint64_t flush_looked;   /* up to it the journal holds no FLUSH_ALL that is not in */

    struct batch batches[COUNT_SLOTS];
    struct batch *free_batches;
    unsigned in_flight;
    size_t positions_done;    /* of the range's, by the batches that came back */
    enum status range_status; /* of these batches */
    struct error range_error;
    uint64_t *garbage; /* object ids of the range */
    size_t garbage_count, garbage_capacity;

    struct barrier *barriers, **barriers_end; /* waiting, in order of asking */
    int64_t dirty_since_us; /* something unapplied was first seen; 0: nothing is */
    int64_t reopen_at_us;    /* WRITER_CLOSED */
    int64_t retry_at_us;     /* WRITER_AGAIN: what had failed is not tried before */
    int64_t pause_us;        /* grows with each failure until the store works again */
    int64_t pause_min_us, pause_max_us; /* 100 ms, 1 s; tests have less time */
    int64_t closed_since_us;
    bool barriers_fail;  /* it failed a second time: barriers get `health` */
    bool readers_out;    /* since the store was closed */
    struct error health; /* what the loop was told last; STATUS_OK: works */

    /* Any thread. */
    _Atomic uint64_t applied;
    _Atomic uint64_t garbage_rows;
    _Atomic uint64_t wake_synced; /* worth a wake-up once this sequence is synced */
    _Atomic uint64_t wake_bytes;  /* ... or so many bytes are unmarked */
    _Atomic uint64_t looks;       /* orders a look at these against what it looks for */
    _Atomic bool wake_sent, hurry, stopping;
    struct letter wake_letter;
    _Atomic int64_t stop_deadline_us;
    struct error stop_error; /* read after the thread has ended */
    pthread_mutex_t end_lock;
    pthread_cond_t ended;
    bool has_ended; /* under end_lock */
};

/* --- batch_writer_range.c --- */

/* Brings the next range, of records up to `up_to`, in. STATUS_NOT_FOUND: there is none. On other failures the
 * store is as rule 9 says: only to be closed. */
enum status writer_run_range(struct batch_writer *writer, uint64_t up_to, struct error *error);
/* A marker at `position`, if there is none yet. */
enum status writer_write_marker(struct batch_writer *writer, struct error *error);
/* Looks which markers have become durable. */
void writer_note_durable(struct batch_writer *writer);
/* Makes the marker at `position` durable by force. */
enum status writer_checkpoint(struct batch_writer *writer, struct error *error);
/* Waits for the reclaim step that runs, if any. */
void writer_wait_reclaim(struct batch_writer *writer);
/* Bytes of ranges that are in but not marked. */
uint64_t writer_pending_bytes(const struct batch_writer *writer);
bool writer_is_again(const struct batch_writer *writer);

/* --- batch_writer_failure.c --- */

/* Reads map, counts and marker of the store as it is open now. */
enum status writer_load(struct batch_writer *writer, struct error *error);
/* Tells the journal how much space the store may need for its own work. */
void writer_note_need(struct batch_writer *writer);
/* Something failed: closes the store, tells the loop. */
void writer_fail(struct batch_writer *writer, enum status status, const struct error *error);
/* Time to try: opens the store again. */
void writer_try_reopen(struct batch_writer *writer);
/* After each range and each reopening: lets readers in once everything they had seen is there, and is
 * healthy again once what had failed is in. */
void writer_note_caught_up(struct batch_writer *writer);
/* Closes the store for DEBUG RELOAD; it is opened again as after a failure. */
void writer_reload(struct batch_writer *writer);
/* Puts the reader at the last FLUSH_ALL up to `up_to`, if there is one: nothing before it is to be
 * applied (rule 17), and on a full disk could not be. */
enum status writer_skip_to_flush(struct batch_writer *writer, uint64_t up_to, struct error *error);

/* --- batch_writer.c --- */

void writer_publish_garbage(struct batch_writer *writer);
/* We are to stop, and the time for that is over. */
bool writer_is_out_of_time(const struct batch_writer *writer);
/* Up to where a range may go: what is synced, but not past what a snapshot is wanted of. */
uint64_t writer_range_limit(const struct batch_writer *writer);

#endif
