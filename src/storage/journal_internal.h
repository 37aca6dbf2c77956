/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of the journal share. Who owns which field stands beside it.
 *
 *   loop thread      journal.c           appends; switches segments
 *   sync thread      journal_sync.c      syncs, journal_replace.c when a sync has failed
 *   write thread     journal_sync.c      mode write only: writes what the loop appended
 *   prepare thread   journal_prepare.c   populates ahead, frees, prepares
 *                    journal_space.c     free space, reserve file
 *   any              journal_reader.c
 *   before these     journal_recovery.c, journal_start.c
 *
 * The prepare thread is apart from the sync thread so that zeroing and allocating 64 MB on a slow
 * disk never delays a sync. `lock` guards the lists; nobody holds it during a call that may block.
 *
 * A segment's way:
 *
 *   created -> ready -> chain (the last one is the current) -> retiring -> free -> ready ...
 *                                                                     \-> deleted */
#ifndef KELVIN_STORAGE_JOURNAL_INTERNAL_H
#define KELVIN_STORAGE_JOURNAL_INTERNAL_H

#include "storage/journal.h"
#include "storage/journal_event.h"
#include "storage/journal_segment.h"

#include <pthread.h>

enum {
    UNSYNCED_SOFT_BYTES = 32 << 20, /* a sync begins at this many unsynced bytes, */
    UNSYNCED_HARD_BYTES = 64 << 20, /* and appends wait at this many: they are held in memory */
    POPULATE_AHEAD_BYTES = 8 << 20,
    SYNC_INTERVAL_US = 1000000,
    SYNC_LATE_US = 2000000,
    RETRY_US = 250000,       /* preparing, while somebody needs it */
    SLOW_RETRY_US = 2000000, /* while nobody does */
    SPACE_LOOK_US = 1000000, /* at the free space, while writes come; while it is short: RETRY_US */
    FIRST_PAUSE_US = 50000   /* between attempts to make a failed sync good; doubled each time */
};

enum journal_gate { /* why the loop must not append; bits */
    GATE_CLOSED = 1 << 0, /* no run */
    GATE_FAILED = 1 << 1, /* a sync failed: see journal_replace.c */
    GATE_FROZEN = 1 << 3, /* with FAILED: the loop keeps its hands off until both are cleared */
    GATE_FULL = 1 << 2,   /* preparing fails, and only what is kept for deletes is left */
    GATE_SHORT = 1 << 4   /* less is free than applying the journal may take; deletes pass both */
};

enum journal_event_bits {
    EVENT_WRITTEN = 1 << 0,
    EVENT_SYNCED = 1 << 1,
    EVENT_SPACE = 1 << 2,
    EVENT_HEALTH = 1 << 3,
    EVENT_FREEZE = 1 << 4
};

/* Outlives the journal when it is in a mailbox as the journal is closed. */
struct journal_letter {
    struct letter letter;
    struct journal *journal;
    _Atomic unsigned bits;
};

struct segment_list {
    struct segment *first, *last;
    unsigned count;
};

struct journal {
    const struct journal_options *options;
    struct journal_metrics *metrics, *own_metrics;
    const struct journal_file_operations *files;
    char *folder, *store_folder; /* the latter NULL: on the same file system */
    uint64_t store_id, run;
    uint8_t boot_id[BOOT_ID_BYTES];
    size_t segment_bytes;
    unsigned prepared_target;
    bool is_shared; /* mode mmap */
    bool is_running;
    bool accepts_damage; /* journal_repair.c: damage ends the journal like a torn end */
    /* Prepare thread: */
    bool was_locked, reserve_is_made, reserve_is_known;
    int64_t reserve_again_us;
    uint64_t looked_position;
    uint64_t next_file_id; /* prepare thread */
    double ticks_per_us;
    int64_t retry_us, first_pause_us; /* as above; shorter in tests */

    /* --- loop --- */
    struct segment *current; /* written under the lock; the sync thread's while frozen */
    size_t offset, limit;    /* in it: next record, and up to where that may reach */
    uint64_t next_sequence;
    uint64_t position;       /* bytes appended in this run */
    uint64_t carried_synced; /* the synced sequence that the last record told */
    size_t populate_trigger; /* wake the prepare thread from this offset on */
    int64_t unsynced_since_us;
    uint64_t reserve_ticks, fast_appends;
    bool is_held, has_appended;

    /* --- loop to the others: values at the end of a turn --- */
    _Alignas(64) _Atomic uint64_t appended_sequence; /* at once */
    _Atomic uint64_t published_sequence;
    _Atomic uint64_t published_position;
    _Atomic int policy;
    _Atomic size_t wanted_bytes;    /* a record that no ready segment takes, with header */
    _Atomic size_t populate_wanted; /* offset in the current segment, */
    _Atomic size_t populate_next;   /* and in the one that comes after it */
    _Atomic size_t space_wanted;    /* a record that space_position keeps out: look again */
    _Atomic bool wait_seen;         /* somebody was told to wait: on_space is owed */
    _Atomic bool is_closing;
    _Atomic int64_t needed_us;      /* when space was last missed */

    /* --- the others to the loop --- */
    _Alignas(64) _Atomic uint64_t synced_sequence;
    _Atomic uint64_t synced_position;
    _Atomic uint64_t written_sequence, written_position;
    _Atomic int64_t good_sync_began_us;
    _Atomic unsigned gate;
    _Atomic uint64_t marked_sequence, marked_position;
    _Atomic uint64_t free_disk_bytes, store_need_bytes;
    _Atomic uint64_t space_position; /* up to it what was free at the last look is enough */
    _Atomic int64_t looked_us; /* at the free space */
    _Atomic uint64_t automatic_max_bytes; /* of journal_max_bytes, where that is 0 */

    /* --- threads --- */
    struct event sync_event, write_event, prepare_event;
    unsigned long sync_thread, write_thread, prepare_thread;
    bool has_sync_thread, has_write_thread, has_prepare_thread;
    _Atomic bool sync_is_idle, write_stop, sync_stop, prepare_stop, write_is_parked;
    _Atomic uint64_t requested_sequence; /* to be synced soon, whatever the policy */
    _Atomic bool reserve_given_up;

    pthread_mutex_t lock;
    struct segment_list chain, ready, retiring, free;
    struct segment *sync_segment;  /* the first that may hold unsynced bytes */
    struct segment *write_segment; /* write thread */
    uint64_t next_number;
    struct error sync_error;    /* while GATE_FAILED */
    struct error prepare_error; /* code OK: preparing works */
    struct error space_error;   /* while GATE_SHORT */

    struct journal_letter *letter;
    struct mailbox *home;
    struct journal_events events;
    void (*on_synced)(void *context);
    void *on_synced_context;
};

/* --- lists (under the lock) --- */
void segment_list_push(struct segment_list *list, struct segment *segment);
struct segment *segment_list_pop(struct segment_list *list);
void segment_list_remove(struct segment_list *list, struct segment *segment);

static inline void journal_lock(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
}
static inline void journal_unlock(struct journal *journal)
{
    pthread_mutex_unlock(&journal->lock);
}

/* journal_start.c */
struct journal *journal_new(const char *folder, const struct journal_options *options,
                            struct journal_metrics *metrics,
                            const struct journal_file_operations *files);
void journal_free(struct journal *journal);
enum status journal_open_with(struct journal **out, const char *folder,
                              const struct journal_options *options,
                              struct journal_metrics *metrics,
                              const struct journal_file_operations *files,
                              struct journal_found *found, struct error *error);

/* journal_repair.c */
enum status journal_repair_with(const char *folder, const struct journal_file_operations *files,
                                struct journal_found *found, struct error *damage,
                                struct error *error);

/* journal.c */
/* Any thread: has the loop called for these reasons. */
void journal_post(struct journal *journal, unsigned bits);
/* Puts a ready segment at the chain's end and makes it the current one (loop, or start-up). */
void journal_begin_segment(struct journal *journal, struct segment *segment);
void journal_fill_header(struct journal *journal, struct segment_header *header,
                         const struct segment *segment);
/* The last sequence and position that may be synced: published, or (mode write) written. */
uint64_t journal_syncable_sequence(const struct journal *journal);
uint64_t journal_syncable_position(const struct journal *journal);

/* Loop, as the last thing of a run. */
void journal_append_end_mark(struct journal *journal);
uint64_t journal_ticks(void);

/* journal_recovery.c: fills chain (what counts, readable) and free (blank) and retiring (the rest).
 */
enum status journal_recover(struct journal *journal, struct journal_found *found,
                            struct error *error);

/* journal_sync.c, journal_replace.c, journal_prepare.c: thread bodies and steps */
void journal_sync_run(void *journal);
void journal_write_run(void *journal);
void journal_prepare_run(void *journal);
/* Everything syncable is synced. On failure nothing more is known to be. */
enum status journal_sync_once(struct journal *journal, struct error *error);
/* Any thread: a write or sync failed; closes the gate and says so. */
void journal_fail(struct journal *journal, const struct error *error);
/* Sync thread: everything up to here is durable. */
void journal_announce_synced(struct journal *journal, uint64_t sequence);
/* Sync thread, after a failure: true when all is synced elsewhere, false at stop without success. */
bool journal_replace_unsynced(struct journal *journal);
/* Under the lock: opens or closes GATE_FULL; returns whether that changed. */
bool journal_update_full(struct journal *journal);
/* The name of the next segment file, with that ending; free with mem_free. */
char *journal_new_path(struct journal *journal, const char *ending);
/* A ready segment of at least `bytes`, made under a temporary name; prepare thread and start-up. */
enum status journal_prepare_segment(struct journal *journal, size_t bytes, struct segment **out,
                                    struct error *error);
void journal_update_gauges(struct journal *journal);

/* journal_space.c: prepare thread and start-up */
/* Whether `bytes` more may be taken from the disk. STATUS_NO_SPACE says why not. */
enum status journal_check_space(struct journal *journal, size_t bytes, struct error *error);
/* Looks, opens or closes the gate, makes or removes the reserve file; when it is time for that.
 * Returns for how long it may be left alone; < 0: until something is appended. */
int64_t journal_mind_space(struct journal *journal);
int journal_remove_reserve(struct journal *journal);

#endif
