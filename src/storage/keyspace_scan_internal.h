/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of a scan share among themselves.
 *
 *   keyspace_scan.c       a scan's life on the loop, and its result for the command
 *   keyspace_scan_walk.c  its work on a worker
 *   keyspace_bookmarks.c  SCAN's cursors */
#ifndef KELVIN_STORAGE_KEYSPACE_SCAN_INTERNAL_H
#define KELVIN_STORAGE_KEYSPACE_SCAN_INTERNAL_H

#include "storage/keyspace_internal.h"

enum scan_state { SCAN_UNDER_WAY, SCAN_DONE, SCAN_FAILED };

struct scan_result {
    struct keyspace_job base; /* first */
    struct barrier barrier;
    struct scan_result *next; /* of the same waiter, in order of asking */
    struct list waiters;      /* of wait_link: at most one */
    enum scan_state state;
    bool orphan;              /* its waiter is gone */
    enum scan_kind kind;
    uint64_t db_id, count;
    int64_t now_ms;
    int type;
    bool has_pattern, prefix_only;
    struct buffer pattern, after; /* after: PAGE goes on behind this key */
    bool has_after;
    uint64_t random;
    struct engine *engine;
    struct engine_snapshot *snapshot;
    /* the result */
    enum status status;
    struct error error;
    struct buffer bytes;      /* size:8 key, behind one another */
    size_t found;
    bool replaced;            /* the store was reopened meanwhile: walk again (rule 13) */
    bool more;                /* PAGE: not at the end */
    struct buffer last;       /* PAGE: the last key that was looked at */
    struct slice *keys;
};

/* --- keyspace_scan_walk.c: on a worker --- */
void scan_walk(struct scan_result *scan, struct engine_iterator *iterator);
/* Some keys, evenly chosen by their bytes. */
void scan_pick_random(struct scan_result *scan, struct engine_iterator *iterator);

/* --- keyspace_bookmarks.c --- */
struct bookmark {
    uint64_t cursor; /* 0: empty */
    uint64_t db_id;
    struct slice key; /* owned: the last one that was looked at */
};

/* Returns the cursor. */
uint64_t bookmark_add(struct bookmarks *bookmarks, uint64_t db_id, struct slice key);
/* NULL: unknown, or it is too long ago. */
const struct bookmark *bookmark_find(const struct bookmarks *bookmarks, uint64_t cursor);

#endif
