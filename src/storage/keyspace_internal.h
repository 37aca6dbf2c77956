/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of the keyspace share among themselves; nobody else includes this. Loop thread.
 *
 *   keyspace.c          lookups, databases, upkeep
 *   keyspace_wait.c     waiters, and jobs that the queue has no room for
 *   keyspace_rows.c     options and metrics
 *   keyspace_load.c     misses: loads, their waiters and placeholders (rule 7)
 *   keyspace_commit.c   write set -> journal -> cache (rule 6)
 *   keyspace_large.c    the same for megabytes, by a job
 *   keyspace_throttle.c back-pressure on writers
 *   keyspace_strings.c  strings, whole or in chunks
 *   keyspace_count.c    barriers and counts
 *   keyspace_scan.c     scans (rule 8); keyspace_scan_internal.h says which file does what
 *   keyspace_expiry.c   the expiry cycle
 *   keyspace_watch.c    WATCH */
#ifndef KELVIN_STORAGE_KEYSPACE_INTERNAL_H
#define KELVIN_STORAGE_KEYSPACE_INTERNAL_H

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"
#include "storage/keyspace.h"

enum {
    CHUNK_KEY_BYTES = 12, /* of a chunk in the cache: be64 object id, be32 index */
    LOAD_MAX_CHUNKS = 64  /* consecutive chunks that one job reads */
};

struct database {
    uint64_t db_id;
    uint16_t table;
    int64_t keys, expiring; /* exact when unknown is 0 */
    uint64_t unknown;       /* operations not yet settled that did not know the old record */
    int64_t settled_keys;   /* exact as of what is applied */
    int64_t mean_expire_at_ms; /* of the keys that were sampled last; 0: none yet */
};

/* A run's own mapping, once it has changed it. */
struct database_map {
    struct database *databases; /* a copy of the keyspace's */
    uint16_t element_table;     /* after FLUSHALL; 0: the keyspace's */
    size_t flushed_all_at;      /* the place of the last FLUSHALL in the write set */
};

/* A job of the keyspace's. When the queue has no room it waits in keyspace->unsent. */
struct keyspace_job {
    struct job job; /* first */
    struct list_node unsent;
    struct keyspace *keyspace;
    void (*drop)(struct keyspace_job *job); /* instead of sending it, once the keyspace has stopped */
};

/* See keyspace_throttle.c. */
struct throttle {
    bool slowing;
    int64_t tokens;        /* bytes that may be written now */
    int64_t refilled_us, applied_us;
    uint64_t applied_rate; /* bytes per second that the batch writer lately freed */
};

struct keyspace {
    const struct keyspace_options *options;
    struct keyspace_metrics *metrics;
    struct keyspace_parts parts;
    struct cache *cache; /* == parts.cache */
    struct database *databases;
    unsigned database_count;
    uint16_t element_table;
    uint64_t epoch;         /* moves when element_table is replaced */
    uint64_t applied;
    struct list loads;      /* every load under way */
    struct list unsent;     /* jobs that the queue had no room for, or that must try again */
    uint64_t pinned_load_bytes;
    struct list admission;  /* waiters (link: space) whose loads must wait for memory */
    struct list ready;      /* waiters to wake at the end of the turn */
    struct list space;      /* waiters that want to commit */
    struct list streams;    /* scans whose blocks are asked for one by one */
    struct waiter *holder;  /* an EXEC with a scan that keeps other writers waiting */
    struct large_commit *large; /* the commit that a job has; NULL: none */
    struct throttle throttle;
    struct error store_error; /* code STATUS_OK: the store works */
    bool stopped;           /* no job is sent any more */
    bool waking;            /* inside the round that wakes waiters */
    int64_t pause_began_us; /* 0: no writer waits */
    struct bookmarks *bookmarks;
    struct watch_table *watches;
    struct expiry_cycle *expiry;
    struct dead_object *dead; /* objects whose cached chunks are to be dropped */
};

/* Joins a waiter to what it waits for. Freed by whichever side ends first. */
struct wait_link {
    struct list_node in_source, in_waiter;
    struct waiter *waiter;
};

/* --- keyspace.c --- */
struct database *access_database(struct access *access, unsigned number);
enum { LOOK_TOUCH = 1, LOOK_EXPIRED_TOO = 2 };
enum found keyspace_look(struct access *access, unsigned number, struct slice key, unsigned flags,
                         struct key_view *out);
/* The database that has this id now, or NULL. */
struct database *keyspace_database_by_id(struct keyspace *keyspace, uint64_t db_id);
void access_depend(struct access *access, uint64_t sequence);
struct pending *access_add(struct access *access, const struct pending *pending);
/* hash_key(key), which dispatch may have computed before. */
static inline uint64_t access_hash(const struct access *access, struct slice key)
{
    bool hinted = key.data && key.data == access->hinted_key.data &&
                  key.size == access->hinted_key.size;
    return hinted ? access->hinted_hash : hash_key(key.data, key.size);
}
/* Frees it, and drops its tables that are not the keyspace's. */
void database_map_destroy(struct keyspace *keyspace, struct database_map *map);
/* The cache table of this run's chunks. */
uint16_t access_element_table(const struct access *access);
/* A copy in the run's arena. In a transaction bytes of an entry must not be borrowed by an operation:
 * one before it in the same write set may change that entry where it lies. */
struct slice access_keep(struct access *access, struct slice bytes);
void access_fail(struct access *access, enum status status, const char *text);
/* An object is gone: its cached chunks may go, over time. */
void keyspace_object_died(struct keyspace *keyspace, struct object_head head);
bool keyspace_drop_dead(struct keyspace *keyspace, unsigned steps);

/* --- keyspace_wait.c --- */
/* Puts a waiter on the list of those to wake. */
void waiter_ready(struct keyspace *keyspace, struct waiter *waiter);
void waiter_link(struct waiter *waiter, struct list *source);
/* A reference until waiter_release. */
void waiter_pin(struct waiter *waiter, struct entry *entry);
/* Everybody in the list has got what he waited for. */
void waiters_release(struct keyspace *keyspace, struct list *source);
void waiters_fail(struct list *source, enum status status, const char *text);
void keyspace_retry_writers(struct keyspace *keyspace);
/* Wakes those that are ready; those that become ready meanwhile have their turn in the next round. */
void waiters_wake(struct keyspace *keyspace);
/* Sends it now; `keyspace`, `drop` and the job's run and done are set. */
void keyspace_send_job(struct keyspace_job *job, enum job_lane lane, enum job_kind kind);
/* Sends it when keyspace_send_unsent is called next. */
void keyspace_send_later(struct keyspace_job *job);
void keyspace_send_unsent(struct keyspace *keyspace);

/* --- keyspace_load.c --- */
/* The key, or with `object_id` the chunks first .. first+count-1, are not in memory: load them. */
void keyspace_load_key(struct access *access, const struct database *database, struct slice key,
                       uint64_t hash);
void keyspace_load_chunks(struct access *access, uint64_t object_id, uint32_t first,
                          uint32_t count);
/* A placeholder is about to be replaced by a write. */
void keyspace_cancel_load(struct keyspace *keyspace, struct entry *placeholder);
/* The access has met a placeholder. */
void keyspace_join_load(struct access *access, struct entry *placeholder);

/* --- keyspace_commit.c --- */
/* What follows the record: publishes the entries, adopts the mapping. Ends the access. */
void commit_publish(struct access *access);

/* --- keyspace_large.c --- */
enum { LARGE_COMMIT_BYTES = 2 << 20 /* payloads from here on; below, a job would cost more */ };
/* Leaves the reserved record and the write set to a job. */
void large_commit_begin(struct access *access, const struct journal_append *append);

/* --- keyspace_throttle.c --- */
bool throttle_must_wait(struct keyspace *keyspace);
void throttle_spend(struct keyspace *keyspace, size_t bytes);
void throttle_note_applied(struct keyspace *keyspace, uint64_t freed_bytes);
/* When waiting writers should be tried again; -1: when something happens. */
int64_t throttle_retry_ms(const struct keyspace *keyspace);

/* --- keyspace_strings.c --- */
void chunk_key_write(char out[CHUNK_KEY_BYTES], uint64_t object_id, uint32_t index);

/* --- keyspace_count.c --- */
/* An EXEC keeps other writers out from here on; one at a time (rule 8). False: it has to wait. */
bool keyspace_hold_writers(struct access *access);

/* --- keyspace_bookmarks.c --- */
struct bookmarks *bookmarks_create(void);
void bookmarks_destroy(struct bookmarks *bookmarks);

/* --- keyspace_scan.c --- */
void scan_results_release(struct waiter *waiter);
/* Streams whose handle of the store is wanted back fail. Now and then. */
void keyspace_check_streams(struct keyspace *keyspace);

/* --- keyspace_expiry.c --- */
struct expiry_cycle *expiry_cycle_create(struct keyspace *keyspace);
void expiry_cycle_destroy(struct expiry_cycle *cycle);
void expiry_cycle_note(struct expiry_cycle *cycle, int64_t expire_at_ms, uint64_t sequence);
void expiry_cycle_run(struct keyspace *keyspace, int64_t now_ms);

/* --- keyspace_watch.c --- */
struct watch_table *watch_table_create(void);
void watch_table_destroy(struct watch_table *table);
/* After an operation was published. */
void watch_note_key(struct keyspace *keyspace, const struct database *database,
                    const struct pending *pending);
void watch_note_flush(struct keyspace *keyspace, unsigned number);
enum found watch_prepare_swap(struct access *access, unsigned a, unsigned b);
void watch_note_swap(struct keyspace *keyspace, unsigned a, unsigned b);

#endif
