/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The keyspace: what commands see of the data. It joins cache, journal, batch writer and store:
 * reads come from the cache or are loaded, writes go write set -> journal -> cache. Loop thread
 * only, and no call here waits: what is not there yet is asked for, the caller is told FOUND_WAIT,
 * and its waiter is woken when the command may run again from its start.
 *
 * One run of a command (or of an EXEC) has one `struct access`. Handlers read first and write
 * after; all they see already includes what the same run has put in its write set. */
#ifndef KELVIN_STORAGE_KEYSPACE_H
#define KELVIN_STORAGE_KEYSPACE_H

#include "base/list.h"
#include "storage/batch_writer.h"
#include "storage/cache.h"
#include "storage/write_set.h"

struct keyspace;
struct scan_result;

/* Somebody who waits; embedded in the caller's struct. */
struct waiter {
    unsigned pending;  /* what it still waits for */
    struct list links; /* of struct wait_link: the keyspace's */
    struct list_node ready, space; /* in the list of those to wake, of those that want journal space */
    /* Everything waited for has come or failed: run again. Called from the loop, never from inside
     * the call that made it wait. */
    void (*wake)(struct waiter *waiter);
    /* Results that a run asked for and that its next runs use, in order of asking. */
    struct scan_result *scans;
    struct entry **pins; /* entries that its loads brought: stay until waiter_release */
    size_t pin_count, pin_capacity;
    uint64_t pinned_bytes, pinned_key_bytes; /* the latter without chunks of strings */
    int64_t counted;     /* DBSIZE: the exact count that its barrier brought; -1: none */
    bool failed;         /* a load or scan failed: the error for the client is in `error` */
    struct error error;
};
void waiter_init(struct waiter *waiter, void (*wake)(struct waiter *waiter));
/* Forgets what it waits for and what it pinned (the command has run, or its client is gone). */
void waiter_release(struct keyspace *keyspace, struct waiter *waiter);

/* What a run found out that it has to wait for, as a set. */
enum access_wait { WAIT_LOADS = 1, WAIT_SCAN = 2, WAIT_COUNT = 4, WAIT_SPACE = 8,
                   WAIT_COMMIT = 16 /* alone: not void, see keyspace_commit */ };

struct access {
    struct keyspace *keyspace;
    struct write_set *writes;
    struct waiter *waiter;  /* who is registered for what is missing */
    int64_t now_ms;         /* the wall clock of this run; the same for all of it */
    uint64_t depends_on;    /* highest sequence that the reply depends on (rule: promise 2) */
    unsigned wait;          /* enum access_wait found so far; not 0: the run is void */
    unsigned scans_used;
    uint64_t base_sequence; /* what the first operation of the write set will get */
    struct slice hinted_key; /* a key whose hash is known already; data NULL: none */
    uint64_t hinted_hash;
    bool in_transaction;
    bool may_end_later;     /* the caller can deal with WAIT_COMMIT */
    bool unseen;            /* what is written now changes no byte: WATCH shall not notice it */
    bool no_touch;          /* CLIENT NO-TOUCH: reads do not change access times */
    bool keep_expired;      /* do not delete expired keys on reads (CLIENT PAUSE WRITE) */
    struct database_map *map; /* this run's own number -> database, once FLUSH or SWAPDB changed it */
};

/* Begins a run (again). `writes` is cleared. */
void access_begin(struct access *access, struct keyspace *keyspace, struct write_set *writes,
                  struct waiter *waiter, int64_t now_ms);
/* Ends it without effect: drops what the write set holds. */
void access_abandon(struct access *access);

enum found {
    FOUND,
    FOUND_NOTHING, /* the key does not exist, or it is a write that has nothing to do */
    FOUND_WAIT,    /* not known yet; access->wait says why: return from the handler at once */
    FOUND_ERROR    /* access->waiter->error has the text for the client (damage, no memory) */
};

/* A key as the run sees it. Borrowed until the run ends. */
struct key_view {
    uint8_t type, encoding;
    bool has_object;
    int64_t expire_at_ms;      /* -1 never */
    struct slice value;        /* without object */
    struct object_head object; /* with */
    struct entry *entry;       /* NULL when it comes from the run's own write set */
};

/* --- reading --- */
/* Looks the key up in database `number` of this run. A key whose time has come is not found, and its
 * delete is put in the write set. Touches. */
enum found keyspace_get(struct access *access, unsigned number, struct slice key,
                        struct key_view *out);
/* As keyspace_get, without a touch (TYPE, TTL, OBJECT, EXISTS of NO-TOUCH). */
enum found keyspace_peek(struct access *access, unsigned number, struct slice key,
                         struct key_view *out);
/* Asks for all keys at once, so that their loads run in parallel; FOUND when all are there. */
enum found keyspace_load(struct access *access, unsigned number, const struct slice *keys,
                         size_t count);
/* The same for keys that are strided through an argument vector (MSET). */
enum found keyspace_load_strided(struct access *access, unsigned number, const struct slice *keys,
                                 size_t count, size_t stride);
/* Lookups that found their key, and that did not, for keyspace_hits and keyspace_misses. */
void keyspace_count_lookups(struct keyspace *keyspace, uint64_t hits, uint64_t misses);
void keyspace_prefetch(struct keyspace *keyspace, unsigned number, uint64_t hash, int step);

/* Strings: length and bytes, however they are kept. */
uint64_t string_view_bytes(const struct key_view *view);
/* Bytes [offset, offset+size) in one piece (a copy in the run's arena when they lie in chunks).
 * The range must lie inside the string. */
enum found string_read(struct access *access, const struct key_view *view, uint64_t offset,
                       uint64_t size, struct slice *out);
/* Piece by piece without copying: the piece at `offset`, at most up to `end`; a hole of a sparse
 * string comes as zeros. `owner` (may be NULL) gets the entry that holds the bytes, NULL for a hole or
 * the write set's own. Asks for all pieces up to `end` when one is missing. */
enum found string_piece(struct access *access, const struct key_view *view, uint64_t offset,
                        uint64_t end, struct slice *piece, struct entry **owner);

/* Asks for all pieces of [offset, end); FOUND when all are there. */
enum found string_load(struct access *access, const struct key_view *view, uint64_t offset,
                       uint64_t end);

/* --- writing: into the run's write set --- */
/* Sets the whole value (chunked when long); needs no old value: none is loaded. `value` is borrowed
 * until the run ends. expire_at_ms -1: never. */
void keyspace_set_string(struct access *access, unsigned number, struct slice key,
                         struct slice value, enum string_encoding encoding, int64_t expire_at_ms);
/* Puts `data` at `offset` of the string (zeros fill a gap; offset == length appends), keeping expiry;
 * costs what it touches. `view` is NULL when the key does not exist. The new encoding is given. */
enum found string_write(struct access *access, unsigned number, struct slice key,
                        const struct key_view *view, uint64_t offset, struct slice data,
                        enum string_encoding encoding);
/* The key must exist (view from this run). */
void keyspace_delete(struct access *access, unsigned number, struct slice key);
/* Changes the expiry alone; -1 takes it away. A time in the past deletes (the caller decides so). */
void keyspace_set_expiry(struct access *access, unsigned number, struct slice key,
                         const struct key_view *view, int64_t expire_at_ms);
/* RENAME and MOVE: the record goes to another key, its object with it. The destination is
 * overwritten. */
void keyspace_move(struct access *access, unsigned number, struct slice key,
                   const struct key_view *view, unsigned to_number, struct slice to_key);
/* COPY: an object is copied piece by piece, hence may have to wait. */
enum found keyspace_copy(struct access *access, unsigned number, struct slice key,
                         const struct key_view *view, unsigned to_number, struct slice to_key);
void keyspace_flush_database(struct access *access, unsigned number);
void keyspace_flush_all(struct access *access);
/* May have to load keys that somebody watches. */
enum found keyspace_swap_databases(struct access *access, unsigned a, unsigned b);

/* --- the whole database --- */
/* Exact number of keys (the run's own writes included); waits for a barrier when it is open. */
enum found keyspace_count(struct access *access, unsigned number, uint64_t *count);
/* For INFO: the mean time to live of the keys with an expiry among up to 512 neighbours in the cache's
 * index, from a random place on, so all that are cached where there are few. Where the sample has none,
 * the mean of the last one that had; 0 before there was any (after a start, until keys are used).
 * Redis's figure is a mean of what its expiry cycle met. Bounded, asks no disk. */
int64_t keyspace_average_ttl_ms(struct keyspace *keyspace, unsigned number, int64_t now_ms);
/* Last settled figures, for INFO: never wait. */
void keyspace_estimate(struct keyspace *keyspace, unsigned number, int64_t *keys,
                       int64_t *expiring);

enum scan_kind { SCAN_KEYS, SCAN_PAGE, SCAN_RANDOM };
struct scan_request {
    enum scan_kind kind;
    unsigned number;
    struct slice pattern;     /* size 0: all. KEYS, PAGE */
    bool has_pattern;
    int type;                 /* -1: any. PAGE */
    uint64_t cursor;          /* PAGE; 0 begins */
    uint64_t count;           /* PAGE: how many records to look at */
    /* keyspace_keys: appends a key as it stands in the reply. Called on a worker. */
    void (*encode)(struct buffer *out, struct slice key);
};
/* FOUND: *keys and *count (owned by the waiter until released) and, for PAGE, the next cursor (0: done);
 * FOUND_ERROR for an unknown cursor, and for KEYS when more is found than may be collected. A page ends
 * before its count when it would be large. The run's own writes are merged in. */
enum found keyspace_scan(struct access *access, const struct scan_request *request,
                         const struct slice **keys, size_t *count, uint64_t *next_cursor);
/* KEYS outside of a transaction, however many there are. FOUND: *count is exact, and the keys, encoded,
 * come from keyspace_next_keys; the access may be ended before. */
enum found keyspace_keys(struct access *access, const struct scan_request *request,
                         uint64_t *count);
/* The next block, a quarter of a MiB or one key (when all fit in a MiB: all). FOUND: *block becomes the
 * caller's, *more tells whether to ask again. FOUND_WAIT: it is there when the waiter is woken.
 * FOUND_NOTHING: there is none. FOUND_ERROR: the rest cannot be had, waiter->error says why; while the
 * next block is not asked for the waiter may be woken for that alone. A snapshot of the store is held
 * until the end or waiter_release: ask soon. */
enum found keyspace_next_keys(struct waiter *waiter, struct buffer *block, bool *more);

/* --- committing --- */
/* Makes the write set one journal record and publishes it; nothing to do for an empty one.
 *
 * With access->may_end_later a write set of megabytes is copied, hashed and made into entries by a
 * job: then STATUS_AGAIN with access->wait == WAIT_COMMIT. The write set is empty, its content the
 * commit's; depends_on has the sequence already. What it borrowed (the request's bytes) and the waiter
 * must stay until the waiter is woken: then it is done, as it always is. Other writers wait meanwhile.
 *
 * STATUS_OK: done, access->depends_on covers it. STATUS_AGAIN: no journal space, or writers are held
 * (the waiter is registered and will be woken). STATUS_NO_SPACE, STATUS_IO_ERROR: refused, `error` is
 * the text for -MISCONF. In all but the first nothing has changed. `may_use_reserve`: DEL, EXPIRE,
 * FLUSH. */
enum status keyspace_commit(struct access *access, bool may_use_reserve, struct error *error);
/* Before what a commit borrows is freed at stop: waits (a moment) for the one that a job has. */
void keyspace_finish_commit(struct keyspace *keyspace);

/* --- watching (WATCH) --- */
/* What one client watches. The caller owns the struct and looks at no field but `bytes`. */
struct watcher {
    struct list watches;
    size_t bytes; /* memory that they take */
    bool dirty;
};
void watcher_init(struct watcher *watcher);
/* The key must have been loaded. Once more is once; nothing when a watched key was changed already. */
void keyspace_watch(struct keyspace *keyspace, struct watcher *watcher, unsigned number,
                    struct slice key, struct access *access);
/* True once a key was changed, flushed, swapped away or (existing at WATCH) has expired. */
bool keyspace_watch_is_dirty(const struct watcher *watcher, int64_t now_ms);
void keyspace_unwatch(struct keyspace *keyspace, struct watcher *watcher);

/* --- running it --- */
struct keyspace_options {
    int64_t databases;       /* default 16 */
    int64_t maxmemory_bytes; /* 0: a quarter of the machine */
    int64_t load_max_bytes_percent; /* of the cache: pinned by commands that wait, default 50 */
    bool active_expire;      /* DEBUG SET-ACTIVE-EXPIRE */
    int64_t expire_cycle_ms; /* how often the expiry index is looked at, default 100 */
};
extern const struct option_table keyspace_option_table;

struct keyspace_metrics {
    struct counter loads, load_bytes, loads_cancelled, load_failures, commits, expired_on_access,
        expired_by_cycle, keyspace_hits, keyspace_misses, parked_loads, parked_space, parked_scans,
        scans, streamed_scans, writer_pause_us;
    struct gauge loading, pinned_load_bytes, parked, streams;
    struct histogram load_seconds;
};
extern const struct metric_table keyspace_metric_table;

struct keyspace_parts {
    struct cache *cache;
    struct journal *journal;
    struct batch_writer *batch_writer;
    struct store *store;
    struct job_queue *jobs;
    struct mailbox *loop; /* where loads and barriers come back */
};
/* `start_empty`: the store holds no record, so that a miss in the cache is an answer. */
struct keyspace *keyspace_create(const struct keyspace_options *options,
                                 struct keyspace_metrics *metrics,
                                 const struct keyspace_parts *parts, bool start_empty);
/* No client waits any more, and the job queue is about to end: jobs that it had no room for are
 * dropped, and none is sent from now on. What runs is still delivered before keyspace_destroy. */
void keyspace_stop(struct keyspace *keyspace);
void keyspace_destroy(struct keyspace *keyspace);

/* The batch writer's and journal's events arrive here (see those headers). */
void keyspace_on_applied(struct keyspace *keyspace, uint64_t sequence,
                         const struct settlement *settlements, size_t count);
void keyspace_on_space(struct keyspace *keyspace);
/* The store was closed for writing (status and text say why), or works again (STATUS_OK). While it is
 * closed writes go on as long as journal and cache have room; then they are refused with the text
 * instead of waiting for what may not come. */
void keyspace_on_store_health(struct keyspace *keyspace, enum status status, const char *text);
/* Each turn of the loop, before it sleeps: cache upkeep, end of the journal's turn, woken waiters.
 * Returns the milliseconds after which it wants to be called again even if nothing happens; -1:
 * never. */
int64_t keyspace_end_turn(struct keyspace *keyspace);
/* The expiry cycle and idle times; by a timer. */
void keyspace_cron(struct keyspace *keyspace);

unsigned keyspace_database_count(const struct keyspace *keyspace);
const struct keyspace_parts *keyspace_parts(const struct keyspace *keyspace);
/* CHECKPOINT, DEBUG RELOAD, and the like: a barrier of the given kind for a waiter; when it is done
 * waiter->failed and waiter->error tell. */
void keyspace_barrier(struct keyspace *keyspace, struct waiter *waiter, enum barrier_kind kind,
                      bool reload);

#endif
