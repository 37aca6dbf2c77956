/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The write-ahead journal: keeps what was acknowledged. Append-only segments, preallocated and
 * zeroed, reused in a ring, so that a sync changes no metadata. The loop appends; the sync thread
 * makes durable and prepares segments ahead; the batch writer reads what is synced. The format is
 * drawn in journal_format.h. Rules 1 to 5, 16 and 18 of the design are kept here.
 *
 * Two ways in: `mmap`, where an append is a copy into a locked, pre-faulted shared mapping, and
 * `write`, where the sync thread write(2)s what the loop appended to memory.
 *
 * Sequences: each operation has one; a record of n operations covers n. "Up to S" includes S. */
#ifndef KELVIN_STORAGE_JOURNAL_H
#define KELVIN_STORAGE_JOURNAL_H

#include "base/bytes.h"
#include "base/mailbox.h"
#include "base/metric.h"
#include "base/option.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum journal_policy { JOURNAL_EVERYSEC, JOURNAL_ALWAYS, JOURNAL_NO }; /* appendfsync */
enum journal_io { JOURNAL_IO_AUTO, JOURNAL_IO_MMAP, JOURNAL_IO_WRITE };

struct journal_options {
    int appendfsync;               /* enum journal_policy; live */
    int journal_io;                /* enum journal_io; auto: mmap where pages can be locked and the
                                      file system is not copy-on-write, else write */
    int64_t journal_segment_bytes; /* 64 MiB (min 64 KiB, for tests) */
    int64_t journal_max_bytes;     /* unapplied + unmarked bytes that pause writers; 0: automatic */
    int64_t journal_prepared_segments; /* ahead of the append position, default 2 */
    int64_t disk_reserve_bytes;    /* the reserve file (rule 18), default 128 MiB; 0: none */
};
extern const struct option_table journal_option_table;

struct journal_metrics {
    struct counter appended_bytes, appended_records, appended_operations; /* loop */
    struct counter syncs, sync_failures, segments_prepared, segments_reused, segments_freed; /* sync thread */
    struct counter reserve_stalls; /* loop: no space was ready */
    struct histogram append_seconds, sync_seconds;
    struct gauge segments, bytes_on_disk, appended_sequence, synced_sequence, marked_sequence,
        unmarked_bytes, max_bytes, last_sync_unix_ms, free_disk_bytes, needed_disk_bytes, disk_is_short;
};
extern const struct metric_table journal_metric_table;

struct journal;

/* --- start-up (the calling thread may block) --- */

/* What is found in the folder before anything is changed. */
struct journal_found {
    bool empty;              /* nothing is there, or a first start was cut off: a new journal must
                                be created; with a store beside it that has a marker: refuse */
    uint64_t store_id;
    uint64_t first_sequence; /* of the records of the last run that are left; 0 when none */
    uint64_t last_sequence;  /* 0 when none */
    uint64_t bytes;          /* of these records */
    bool clean_end;          /* the run was closed: nothing can have been torn off */
    uint64_t base_sequence;  /* all up to here must be in the store: a marker below is refused */
    uint64_t next_sequence;  /* the lowest that a new run may begin with; a marker at or above it
                                is refused. 0 with `empty` */
};

/* Opens the folder (created if missing), syncs what it finds (rule 4) and checks every record of
 * the last run (rule 2). STATUS_CORRUPT names file, offset and what to do; nothing is changed.
 * STATUS_IO_ERROR, STATUS_NO_SPACE, STATUS_UNSUPPORTED (a newer format).
 * `options` and `metrics` outlive the journal. */
enum status journal_open(struct journal **out, const char *folder,
                         const struct journal_options *options, struct journal_metrics *metrics,
                         struct journal_found *found, struct error *error);

/* After everything found is applied and durable in the store: begins a new run whose first
 * operation gets `first_sequence` (above everything seen), invalidates and syncs every old segment,
 * prepares the ring, starts the sync thread. For an empty folder the segments are made under
 * temporary names and renamed last (rule 16). Until this returns OK no append is possible, and
 * dying anywhere in it changes nothing. */
enum status journal_start_run(struct journal *journal, uint64_t store_id, uint64_t first_sequence,
                              struct error *error);

/* Syncs what is left (whatever the policy), ends the sync thread, marks a clean end, frees. */
enum status journal_close(struct journal *journal, struct error *error);

/* For an operator who would rather lose what follows the damage than wait for a backup: cuts the
 * journal of a stopped server at its first damaged record. `damage` says what was found (code OK:
 * nothing, and nothing was changed), `found` what is left. Dying in it leaves the damage in place.
 * STATUS_CORRUPT: no segment has a whole header, there is nothing to keep. */
enum status journal_repair(const char *folder, struct journal_found *found, struct error *damage,
                           struct error *error);

/* --- appending (loop thread) --- */

struct journal_append {
    char *payload; /* write exactly `size` bytes of encoded operations here */
    size_t size;
    /* the rest is the journal's */
    void *segment;
    size_t offset;
};

/* The sequence that the next appended operation gets. */
uint64_t journal_next_sequence(const struct journal *journal);
/* Space for one record. STATUS_AGAIN: none is ready (on_space will be called); STATUS_NO_SPACE,
 * STATUS_IO_ERROR: the journal takes no records now, journal_health says why. Nothing has changed
 * in these cases. A record larger than a segment makes the sync thread prepare a larger one.
 * `use_reserve`: may use what is kept for deletes when the disk is full (rule 18). */
enum status journal_reserve(struct journal *journal, size_t payload_bytes, bool use_reserve,
                            struct journal_append *append);
/* Keeps the reservation beyond this turn of the loop, for a payload that a job copies (values over
 * 1 MiB). Until it is committed or cancelled every other reserve gets AGAIN. A reservation that is
 * not held may just be forgotten; it must not be committed after control went back to the event
 * loop. */
void journal_hold(struct journal *journal, const struct journal_append *append);
void journal_cancel(struct journal *journal, const struct journal_append *append);
/* Completes the record of `operations` operations: from now on it is in the order of writes.
 * Returns the sequence of its last operation. Cannot fail. */
uint64_t journal_commit(struct journal *journal, const struct journal_append *append,
                        uint32_t operations);
/* As journal_commit; the payload is hashed by a job with journal_payload_checksum (any thread). It
 * is used for payloads of 1 MiB or more only; smaller ones are hashed here. */
uint64_t journal_commit_hashed(struct journal *journal, const struct journal_append *append,
                               uint32_t operations, const uint64_t *payload_checksum);
uint64_t journal_payload_checksum(const struct journal *journal, struct slice payload);

/* Last sequence that has been appended (any thread). */
uint64_t journal_appended_sequence(const struct journal *journal);
/* Any thread: everything up to here is durable. Never runs ahead of the truth. */
uint64_t journal_synced_sequence(const struct journal *journal);
/* Loop: replies that depend on writes up to here may leave: synced with `always`; else appended
 * (mmap) or handed to the kernel (write). */
uint64_t journal_acknowledged_sequence(const struct journal *journal);
/* Loop, at the end of a turn in which something was appended: starts a group commit where the policy
 * wants one; with `write` hands the appended bytes over. Never blocks. */
void journal_end_turn(struct journal *journal);
/* Any thread: sync soon, whatever the policy (a barrier, CHECKPOINT, stop). */
void journal_request_sync(struct journal *journal);

/* Why appends fail or wait: STATUS_OK when they do not. `error` gets the text for -MISCONF. */
enum status journal_health(const struct journal *journal, struct error *error);
/* True when writers must be paused: the unmarked bytes passed their limit, or (everysec) the last
 * sync began more than 2 seconds ago and has not finished. on_space is called when that ends. */
bool journal_must_wait(const struct journal *journal);
/* Any thread. The limit where the option is 0; JOURNAL_FIRST_MAX_BYTES before. */
enum { JOURNAL_FIRST_MAX_BYTES = 512 << 20 };
void journal_set_automatic_max(struct journal *journal, uint64_t bytes);
/* 0..100: how full the journal is against journal_max_bytes; the loop slows writers from 80 on. */
unsigned journal_fill_percent(const struct journal *journal);

/* Calls on the loop, by letters to `home`. */
struct journal_events {
    void *context;
    void (*on_acknowledged)(void *context); /* journal_acknowledged_sequence moved */
    void (*on_space)(void *context);        /* a reserve that got AGAIN, or a pause, may be retried */
    void (*on_health)(void *context);       /* journal_health changed */
};
void journal_set_events(struct journal *journal, struct mailbox *home,
                        const struct journal_events *events);
/* Called in the sync thread after synced_sequence moved; must only put a letter somewhere. */
void journal_set_on_synced(struct journal *journal, void (*on_synced)(void *context), void *context);

/* --- reading and freeing (batch writer thread; start-up) --- */

struct journal_record {
    uint64_t sequence;   /* of its first operation */
    uint32_t operations;
    struct slice payload; /* valid until journal_set_marked passes it, or the run starts */
};
struct journal_reader;
/* From the first record whose last sequence is >= `from`. Works on the records found at start and
 * on the run's own. */
struct journal_reader *journal_reader_create(struct journal *journal, uint64_t from);
/* The next record that is complete at or below `up_to`. STATUS_NOT_FOUND: no further one (call again
 * with a higher up_to). STATUS_CORRUPT: the checksum fails on a record that had been valid. */
enum status journal_reader_next(struct journal_reader *reader, uint64_t up_to,
                                struct journal_record *out, struct error *error);
void journal_reader_destroy(struct journal_reader *reader);

/* Everything up to here is durable in the store: whole segments at or below are reused or freed. */
void journal_set_marked(struct journal *journal, uint64_t sequence);
/* Appended but not yet marked, in bytes (any thread). */
uint64_t journal_unmarked_bytes(const struct journal *journal);

/* --- free space (rule 18) --- */

/* While less is free on the file system than applying the journal may take, appends that may not use
 * the reserve get STATUS_NO_SPACE, and no writer is paused. It is looked at each second while something
 * is appended, and four times a second while it is so. */
bool journal_disk_is_short(const struct journal *journal); /* any thread */
/* Start-up, before the run: where the store is; its file system's free space counts too. */
void journal_set_store_folder(struct journal *journal, const char *folder);
/* Any thread: what the store needs free for its own work, beside what is appended. */
void journal_set_store_need(struct journal *journal, uint64_t bytes);
/* Any thread: what should be free so that all that is unmarked can be applied. */
uint64_t journal_needed_disk_bytes(const struct journal *journal);
/* Free bytes of the file system, of the fuller one where there are two: as last seen, and (may
 * block) as of now. */
uint64_t journal_free_disk_bytes(const struct journal *journal);
uint64_t journal_measure_free_bytes(struct journal *journal);
/* The reserve file: given up when the disk is full so that deletes and the store's own work can go
 * on; made again by the prepare thread when space is back. Any thread. */
void journal_give_up_reserve(struct journal *journal);
/* Start-up, before the run: removes it now; false when there is none. */
bool journal_drop_reserve(struct journal *journal);

/* For tests and diagnosis: "mmap" or "write", as decided. */
const char *journal_io_name(const struct journal *journal);

#endif
