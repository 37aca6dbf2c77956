/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What looks at a whole database: KEYS, SCAN, RANDOMKEY. A scan is a barrier with a snapshot, then a
 * job that walks the snapshot, then another run of the command, which finds the result with its waiter.
 * A page of SCAN after the first needs no barrier: what it finds is filtered through the cache's
 * tombstones. Inside EXEC other writers wait from the barrier until the EXEC has run (rule 8). Loop
 * thread, but for the job's own part. */
#include "storage/keyspace_scan_internal.h"

#include "base/glob.h"

#include <sys/random.h>

static void scan_free(struct scan_result *scan)
{
    buffer_free(&scan->pattern);
    buffer_free(&scan->after);
    buffer_free(&scan->bytes);
    buffer_free(&scan->last);
    mem_free(scan->keys);
    mem_free(scan);
}

void scan_results_release(struct keyspace *keyspace, struct waiter *waiter)
{
    (void)keyspace;
    while (waiter->scans) {
        struct scan_result *scan = waiter->scans;
        waiter->scans = scan->next;
        if (scan->state == SCAN_UNDER_WAY)
            scan->orphan = true;
        else
            scan_free(scan);
    }
}

/* --- on a worker --- */

static void scan_run(struct job *job)
{
    struct scan_result *scan = (struct scan_result *)(void *)job;
    if (!scan->engine) {
        scan->status = store_acquire(scan->base.keyspace->parts.store, &scan->engine, &scan->error);
        if (scan->status != STATUS_OK) return;
    }
    const struct engine_operations *engine = scan->engine->operations;
    struct engine_iterator *iterator = engine->iterate(scan->engine, scan->snapshot, false);
    if (scan->kind == SCAN_RANDOM)
        scan_pick_random(scan, iterator);
    else
        scan_walk(scan, iterator);
    scan->status = engine->iterator_status(iterator, &scan->error);
    engine->iterator_destroy(iterator);
    if (scan->snapshot) engine->snapshot_release(scan->engine, scan->snapshot);
    scan->snapshot = NULL;
    engine_unref(scan->engine);
    scan->engine = NULL;
}

/* --- back on the loop --- */

static void scan_end(struct scan_result *scan, enum status status, const char *text)
{
    scan->state = status == STATUS_OK ? SCAN_DONE : SCAN_FAILED;
    if (status != STATUS_OK) error_set(&scan->error, status, "%s", text);
    waiters_release(scan->base.keyspace, &scan->waiters);
    if (scan->orphan) scan_free(scan);
}

static void index_keys(struct scan_result *scan)
{
    scan->keys = mem_alloc((scan->found + 1) * sizeof *scan->keys);
    const char *at = scan->bytes.data;
    for (size_t i = 0; i < scan->found; i++) {
        size_t size = (size_t)get_le64(at);
        scan->keys[i] = slice_make(at + 8, size);
        at += 8 + size;
    }
}

static void scan_again(struct scan_result *scan);

static void scan_job_done(struct job *job)
{
    struct scan_result *scan = (struct scan_result *)(void *)job;
    if ((scan->replaced || scan->status == STATUS_AGAIN) && !scan->orphan) {
        scan_again(scan);
        return;
    }
    if (scan->status == STATUS_OK) index_keys(scan);
    scan_end(scan, scan->status, scan->error.text);
}

/* The server stops: a snapshot may be given back on this thread now. */
static void scan_drop(struct keyspace_job *job)
{
    struct scan_result *scan = (struct scan_result *)(void *)job;
    ASSERT(scan->orphan);
    if (scan->snapshot) scan->engine->operations->snapshot_release(scan->engine, scan->snapshot);
    if (scan->engine) engine_unref(scan->engine);
    scan_free(scan);
}

static void send_scan(struct scan_result *scan)
{
    scan->base.job.run = scan_run;
    scan->base.job.done = scan_job_done;
    scan->base.drop = scan_drop;
    counter_add(&scan->base.keyspace->metrics->scans, 1);
    keyspace_send_job(&scan->base, JOB_SCAN, JOB_KIND_SCAN);
}

static void scan_barrier_done(struct barrier *barrier)
{
    struct scan_result *scan =
        (struct scan_result *)(void *)((char *)barrier - offsetof(struct scan_result, barrier));
    if (barrier->status != STATUS_OK) {
        scan_end(scan, barrier->status, barrier->error_text);
        return;
    }
    scan->engine = barrier->engine;
    scan->snapshot = barrier->snapshot;
    send_scan(scan); /* an orphan runs too: the snapshot must be given back off the loop */
}

static void send_barrier(struct scan_result *scan)
{
    scan->barrier.kind = BARRIER_SNAPSHOT;
    scan->barrier.done = scan_barrier_done;
    batch_writer_barrier(scan->base.keyspace->parts.batch_writer, &scan->barrier);
}

static void scan_again(struct scan_result *scan)
{
    buffer_clear(&scan->bytes);
    scan->found = 0;
    scan->more = scan->replaced = false;
    send_barrier(scan);
}

static struct scan_result *scan_create(struct access *access, const struct scan_request *request,
                                       const struct bookmark *bookmark)
{
    struct scan_result *scan = mem_calloc(1, sizeof *scan);
    list_init(&scan->waiters);
    scan->base.keyspace = access->keyspace;
    scan->kind = request->kind;
    scan->db_id = access_database(access, request->number)->db_id;
    scan->count = request->count;
    scan->now_ms = access->now_ms;
    scan->type = request->kind == SCAN_PAGE ? request->type : -1;
    scan->has_pattern = request->has_pattern;
    buffer_append_slice(&scan->pattern, request->pattern);
    if (bookmark) {
        scan->has_after = true;
        buffer_append_slice(&scan->after, bookmark->key);
    }
    if (getrandom(&scan->random, sizeof scan->random, GRND_NONBLOCK) != sizeof scan->random)
        scan->random = (uint64_t)access->now_ms * 2654435761U + journal_next_sequence(scan->base.keyspace->parts.journal);
    return scan;
}

static void scan_begin(struct access *access, struct scan_result *scan)
{
    struct keyspace *keyspace = access->keyspace;
    struct scan_result **end = &access->waiter->scans;
    while (*end) end = &(*end)->next;
    *end = scan;
    access->wait |= WAIT_SCAN;
    counter_add(&keyspace->metrics->parked_scans, 1);
    waiter_link(access->waiter, &scan->waiters);
    if (scan->has_after && !access->in_transaction)
        send_scan(scan);
    else
        send_barrier(scan);
}

static struct scan_result *scan_of_run(struct access *access)
{
    struct scan_result *scan = access->waiter->scans;
    for (unsigned i = 0; scan && i < access->scans_used; i++) scan = scan->next;
    return scan;
}

/* Whether the snapshot's key is still there: its delete may wait to be applied. */
static bool is_still_there(struct access *access, const struct database *database,
                           struct slice key)
{
    uint64_t hash = hash_key(key.data, key.size);
    const struct entry *entry =
        cache_find(access->keyspace->cache, database->table, key, hash);
    if (!entry || entry->state == ENTRY_LOADING) return true;
    if (entry->state == ENTRY_ABSENT) return false;
    int64_t at = entry_expire_at_ms(entry);
    return at < 0 || at > access->now_ms;
}

static bool matches(const struct scan_request *request, const struct operation *operation)
{
    if (request->kind == SCAN_PAGE && request->type >= 0 && operation->type != request->type)
        return false;
    return !request->has_pattern || glob_match(request->pattern, operation->key, false);
}

/* The run's own writes over the snapshot: what it deleted is not there, what it made is. Returns an
 * array in the run's arena. */
static struct slice *merge_own(struct access *access, const struct scan_request *request,
                               const struct slice *keys, size_t *count)
{
    const struct database *database = access_database(access, request->number);
    size_t own = write_set_count(access->writes), merged = 0;
    struct slice *out =
        (struct slice *)(void *)write_set_memory(access->writes, (*count + own + 1) * sizeof *out);
    if (!out) panic("no memory for the result of a scan");
    for (size_t i = 0; i < *count; i++) {
        if (request->kind == SCAN_PAGE && !is_still_there(access, database, keys[i])) continue;
        if (own && write_set_find(access->writes, database->table, keys[i],
                                  hash_key(keys[i].data, keys[i].size)))
            continue;
        out[merged++] = keys[i];
    }
    for (size_t i = 0; i < own; i++) {
        const struct pending *pending = write_set_at(access->writes, i);
        if (pending->table != database->table || pending->operation.kind != OPERATION_PUT) continue;
        int64_t at = pending->operation.expire_at_ms;
        if (at >= 0 && at <= access->now_ms) continue; /* put with a time in the past */
        if (write_set_find(access->writes, pending->table, pending->operation.key,
                           pending->hash) == pending &&
            matches(request, &pending->operation))
            out[merged++] = pending->operation.key;
    }
    *count = merged;
    return out;
}

enum found keyspace_scan(struct access *access, const struct scan_request *request,
                         const struct slice **keys, size_t *count, uint64_t *next_cursor)
{
    struct keyspace *keyspace = access->keyspace;
    struct scan_result *scan = scan_of_run(access);
    const struct database *database = access_database(access, request->number);
    if (!scan) {
        const struct bookmark *bookmark = NULL;
        *count = 0;
        *next_cursor = 0;
        if (request->kind == SCAN_PAGE && request->cursor) {
            bookmark = bookmark_find(keyspace->bookmarks, request->cursor);
            if (!bookmark) {
                access_fail(access, STATUS_INVALID,
                            "unknown cursor: it is too old or from before a restart, start at 0");
                return FOUND_ERROR;
            }
            if (bookmark->db_id != database->db_id) return FOUND; /* flushed or swapped away */
        }
        if (database->db_id >= access->base_sequence) {
            *keys = merge_own(access, request, NULL, count); /* made by this very run */
            return FOUND;
        }
        if (!keyspace_hold_writers(access)) return FOUND_WAIT;
        scan_begin(access, scan_create(access, request, bookmark));
        return FOUND_WAIT;
    }
    if (scan->state == SCAN_UNDER_WAY) {
        access->wait |= WAIT_SCAN;
        return FOUND_WAIT;
    }
    access->scans_used++;
    if (scan->state == SCAN_FAILED) {
        access_fail(access, scan->error.code, scan->error.text);
        return FOUND_ERROR;
    }
    /* Flushed or swapped since the snapshot: then nothing of it counts (rule 7). */
    *count = scan->db_id == database->db_id ? scan->found : 0;
    *keys = merge_own(access, request, scan->keys, count);
    *next_cursor = scan->more && scan->db_id == database->db_id
                       ? bookmark_add(keyspace->bookmarks, scan->db_id, buffer_slice(&scan->last))
                       : 0;
    access_depend(access, journal_appended_sequence(keyspace->parts.journal));
    return FOUND;
}
