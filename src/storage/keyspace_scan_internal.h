/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of a scan share among themselves.
 *
 *   keyspace_scan.c         a scan's life on the loop
 *   keyspace_scan_walk.c    its work on a worker
 *   keyspace_scan_result.c  what the command gets: SCAN, RANDOMKEY, and KEYS inside EXEC
 *   keyspace_scan_stream.c  what the command gets: KEYS in blocks, however many they are
 *   keyspace_bookmarks.c    SCAN's cursors
 *
 *            barrier -> walk <-> (pause) -> DONE or FAILED      a walk goes in jobs of bounded length
 *               ^        |
 *               +--------+ the store was opened again: from the start, unless keys were given out
 *
 * While a job is under way the scan is the worker's, but for the fields named as the loop's. */
#ifndef KELVIN_STORAGE_KEYSPACE_SCAN_INTERNAL_H
#define KELVIN_STORAGE_KEYSPACE_SCAN_INTERNAL_H

#include "storage/keyspace_internal.h"

enum {
    SCAN_COLLECT_BYTES = 1 << 20,   /* keys up to here are collected in one pass */
    SCAN_BLOCK_BYTES = 256 * 1024,  /* of a streamed reply */
    SCAN_EXEC_MAX_BYTES = 64 << 20, /* keys that KEYS inside EXEC may collect; see max_bytes_of */
    SCAN_EXEC_SHARE = 16            /* of the cache's budget: the same */
};

enum scan_state { SCAN_UNDER_WAY, SCAN_DONE, SCAN_FAILED };

/* What becomes of a key that is found. */
enum scan_pass {
    PASS_LIST,    /* kept as it is */
    PASS_COLLECT, /* kept as it goes into the reply, until there are too many: then PASS_COUNT */
    PASS_COUNT,
    PASS_STREAM   /* kept as in COLLECT; the walk stops at each full block */
};

enum walk_end {
    WALK_ENDED,    /* all was looked at */
    WALK_FULL,     /* the page, or what may be kept at once, is full */
    WALK_PAUSED,   /* long enough for one job */
    WALK_REPLACED  /* the store is opened again: the handle is wanted back (rule 13) */
};

struct scan_result {
    struct keyspace_job base;   /* first */
    struct barrier barrier;
    struct scan_result *next;   /* of the same waiter, in order of asking */
    struct list waiters;        /* of wait_link: at most one. The loop's */
    struct waiter *waiter;      /* NULL: gone. The loop's */
    struct list_node stream;    /* in keyspace->streams. The loop's */
    enum scan_state state;      /* the loop's */
    enum scan_kind kind;
    uint64_t db_id;
    uint64_t wanted, looked;    /* PAGE: how many records are to be looked at, and were */
    int64_t now_ms;             /* the same in all passes: what the count counts is what is sent */
    int type;
    bool has_pattern;
    struct buffer pattern;
    bool has_start, has_position;
    struct buffer start;        /* PAGE: the first key to look at */
    struct buffer position;     /* the same for the next job */
    void (*encode)(struct buffer *out, struct slice key);
    size_t max_bytes;           /* of PASS_LIST */
    uint64_t random;
    struct engine *engine;
    struct engine_snapshot *snapshot;
    /* the result */
    enum scan_pass pass;
    enum walk_end end;
    enum status status;
    struct error error;
    struct buffer bytes;        /* PASS_LIST: size:8 key, behind one another; else encoded keys */
    uint64_t found, sent;       /* sent: by PASS_STREAM */
    struct slice *keys;         /* PASS_LIST, at the end */
};

/* --- keyspace_scan.c: loop --- */
/* Sends it on its way; it is the next of the waiter's. `start`: the first key to look at. */
void scan_begin(struct access *access, const struct scan_request *request, struct slice start,
                bool has_start);
/* The one that this run has come to, or NULL: it has to be begun. */
struct scan_result *scan_of_run(struct access *access);
/* FOUND: it is done, and used up by this run. FOUND_WAIT, FOUND_ERROR: as keyspace_scan. */
enum found scan_look(struct access *access, struct scan_result *scan);
/* The command gets this error. FOUND_ERROR. */
enum found scan_refuse(struct access *access, enum status status, const char *text);
/* The next job. */
void scan_send(struct scan_result *scan);
/* No job is under way. Nobody is woken. */
void scan_fail(struct scan_result *scan, enum status status, const char *text);
/* The handle and the snapshot go back, off the loop. */
void scan_give_back(struct scan_result *scan);

/* --- keyspace_scan_walk.c: on a worker --- */
void scan_run(struct job *job);

/* --- keyspace_scan_stream.c: loop --- */
/* Nothing more comes of it, if it is one. */
void scan_stream_end(struct scan_result *scan);

/* --- keyspace_bookmarks.c --- */
struct bookmark {
    uint64_t cursor; /* 0: empty */
    uint64_t db_id;
    struct slice key; /* owned: the first one that the next page looks at */
};

/* Returns the cursor. */
uint64_t bookmark_add(struct bookmarks *bookmarks, uint64_t db_id, struct slice key);
/* NULL: unknown, or it is too long ago. */
const struct bookmark *bookmark_find(const struct bookmarks *bookmarks, uint64_t cursor);

#endif
