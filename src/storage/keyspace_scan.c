/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A scan's life on the loop. A scan is a barrier with a snapshot, then jobs that walk the snapshot, then
 * another run of the command, which finds the result with its waiter. A page of SCAN after the first
 * needs no barrier: what it finds is filtered through the cache's tombstones. Inside EXEC other writers
 * wait from the barrier until the EXEC has run (rule 8). Loop thread.
 *
 * Always true: a scan that holds a handle of the store has a job under way, or is a stream
 * (keyspace->streams), or has its command run in this turn: none is forgotten when the handle is wanted
 * back. */
#include "storage/keyspace_scan_internal.h"

#include <stdio.h>
#include <sys/random.h>

/* --- the end --- */

/* The way back of a handle and a snapshot that no job holds: both calls may block. */
struct give_back {
    struct keyspace_job base; /* first */
    struct engine *engine;
    struct engine_snapshot *snapshot;
};

static void give_back_run(struct job *job)
{
    struct give_back *back = (struct give_back *)(void *)job;
    if (back->snapshot) back->engine->operations->snapshot_release(back->engine, back->snapshot);
    engine_unref(back->engine);
}

static void give_back_done(struct job *job)
{
    mem_free(job);
}

/* The server stops: on this thread then. */
static void give_back_drop(struct keyspace_job *job)
{
    give_back_run(&job->job);
    mem_free(job);
}

void scan_give_back(struct scan_result *scan)
{
    if (!scan->engine) return;
    struct give_back *back = mem_calloc(1, sizeof *back);
    back->base.job.run = give_back_run;
    back->base.job.done = give_back_done;
    back->base.drop = give_back_drop;
    back->base.keyspace = scan->base.keyspace;
    back->engine = scan->engine;
    back->snapshot = scan->snapshot;
    scan->engine = NULL;
    scan->snapshot = NULL;
    keyspace_send_job(&back->base, JOB_SCAN, JOB_KIND_SCAN);
}

static void scan_destroy(struct scan_result *scan)
{
    scan_stream_end(scan);
    scan_give_back(scan);
    buffer_free(&scan->pattern);
    buffer_free(&scan->start);
    buffer_free(&scan->position);
    buffer_free(&scan->bytes);
    mem_free(scan->keys);
    mem_free(scan);
}

void scan_results_release(struct waiter *waiter)
{
    while (waiter->scans) {
        struct scan_result *scan = waiter->scans;
        waiter->scans = scan->next;
        scan->waiter = NULL;
        if (scan->state != SCAN_UNDER_WAY) scan_destroy(scan);
    }
}

void scan_fail(struct scan_result *scan, enum status status, const char *text)
{
    scan_stream_end(scan);
    scan_give_back(scan);
    scan->state = SCAN_FAILED;
    if (text == scan->error.text) scan->error.code = status; /* what the walk has met */
    else error_set(&scan->error, status, "%s", text);
}

/* --- its way --- */

static void scan_settle(struct scan_result *scan, enum status status, const char *text)
{
    if (status == STATUS_OK) scan->state = SCAN_DONE;
    else scan_fail(scan, status, text);
    waiters_release(scan->base.keyspace, &scan->waiters);
}

static void send_barrier(struct scan_result *scan);

static void scan_again(struct scan_result *scan)
{
    buffer_clear(&scan->bytes);
    scan->found = scan->looked = 0;
    if (scan->pass == PASS_COUNT) scan->pass = PASS_COLLECT;
    scan->has_position = scan->has_start;
    buffer_clear(&scan->position);
    buffer_append_slice(&scan->position, buffer_slice(&scan->start));
    send_barrier(scan);
}

static void fail_for_size(struct scan_result *scan)
{
    char text[128];
    snprintf(text, sizeof text,
             "KEYS inside a transaction found more than %zu bytes of keys: SCAN, or KEYS outside of it",
             scan->max_bytes);
    scan_settle(scan, STATUS_NO_MEMORY, text);
}

static void scan_done(struct scan_result *scan)
{
    if (scan->pass != PASS_STREAM || scan->end != WALK_ENDED) {
        scan_settle(scan, STATUS_OK, NULL);
        return;
    }
    scan_stream_end(scan);
    /* The same snapshot, read twice. */
    bool all = scan->sent == scan->found;
    scan_settle(scan, all ? STATUS_OK : STATUS_CORRUPT, "two walks over the keys differ");
}

static void scan_job_done(struct job *job)
{
    struct scan_result *scan = (struct scan_result *)(void *)job;
    bool again = scan->status == STATUS_AGAIN || (scan->status == STATUS_OK &&
                                                  scan->end == WALK_REPLACED);
    if (!scan->waiter)
        scan_destroy(scan);
    else if (again && scan->pass == PASS_STREAM)
        scan_settle(scan, STATUS_AGAIN, "the store is opened again");
    else if (again)
        scan_again(scan);
    else if (scan->status != STATUS_OK)
        scan_settle(scan, scan->status, scan->error.text);
    else if (scan->end == WALK_PAUSED)
        scan_send(scan);
    else if (scan->end == WALK_FULL && scan->kind == SCAN_KEYS && scan->pass == PASS_LIST)
        fail_for_size(scan);
    else
        scan_done(scan);
}

static void scan_drop(struct keyspace_job *job)
{
    struct scan_result *scan = (struct scan_result *)(void *)job;
    ASSERT(!scan->waiter);
    scan_destroy(scan);
}

void scan_send(struct scan_result *scan)
{
    scan->base.job.run = scan_run;
    scan->base.job.done = scan_job_done;
    scan->base.drop = scan_drop;
    keyspace_send_job(&scan->base, JOB_SCAN, JOB_KIND_SCAN);
}

static void scan_barrier_done(struct barrier *barrier)
{
    struct scan_result *scan =
        (struct scan_result *)(void *)((char *)barrier - offsetof(struct scan_result, barrier));
    if (barrier->status == STATUS_OK) {
        scan->engine = barrier->engine;
        scan->snapshot = barrier->snapshot;
    }
    if (!scan->waiter)
        scan_destroy(scan);
    else if (barrier->status != STATUS_OK)
        scan_settle(scan, barrier->status, barrier->error_text);
    else
        scan_send(scan);
}

static void send_barrier(struct scan_result *scan)
{
    scan->barrier.kind = BARRIER_SNAPSHOT;
    scan->barrier.done = scan_barrier_done;
    batch_writer_barrier(scan->base.keyspace->parts.batch_writer, &scan->barrier);
}

/* --- its beginning --- */

/* What KEYS inside EXEC may collect: a fourth of the cache's budget with all that is made of it. A page of
 * SCAN ends early instead. */
static size_t max_bytes_of(const struct keyspace *keyspace, enum scan_kind kind)
{
    uint64_t share = cache_budget_bytes(keyspace->cache) / SCAN_EXEC_SHARE;
    if (kind != SCAN_KEYS || share < SCAN_COLLECT_BYTES) return SCAN_COLLECT_BYTES;
    return share < SCAN_EXEC_MAX_BYTES ? (size_t)share : SCAN_EXEC_MAX_BYTES;
}

static struct scan_result *scan_create(struct access *access, const struct scan_request *request)
{
    struct scan_result *scan = mem_calloc(1, sizeof *scan);
    struct keyspace *keyspace = access->keyspace;
    list_init(&scan->waiters);
    scan->base.keyspace = keyspace;
    scan->waiter = access->waiter;
    scan->kind = request->kind;
    scan->db_id = access_database(access, request->number)->db_id;
    scan->wanted = request->count;
    scan->now_ms = access->now_ms;
    scan->type = request->kind == SCAN_PAGE ? request->type : -1;
    scan->has_pattern = request->has_pattern;
    buffer_append_slice(&scan->pattern, request->pattern);
    scan->encode = request->encode;
    scan->pass = request->encode ? PASS_COLLECT : PASS_LIST;
    scan->max_bytes = max_bytes_of(keyspace, request->kind);
    if (getrandom(&scan->random, sizeof scan->random, GRND_NONBLOCK) != sizeof scan->random)
        scan->random = (uint64_t)access->now_ms * 2654435761U +
                       journal_next_sequence(keyspace->parts.journal);
    return scan;
}

void scan_begin(struct access *access, const struct scan_request *request, struct slice start,
                bool has_start)
{
    struct keyspace *keyspace = access->keyspace;
    struct scan_result *scan = scan_create(access, request);
    struct scan_result **end = &access->waiter->scans;
    while (*end) end = &(*end)->next;
    *end = scan;
    scan->has_start = scan->has_position = has_start;
    buffer_append_slice(&scan->start, start);
    buffer_append_slice(&scan->position, start);
    access->wait |= WAIT_SCAN;
    counter_add(&keyspace->metrics->parked_scans, 1);
    counter_add(&keyspace->metrics->scans, 1);
    waiter_link(access->waiter, &scan->waiters);
    if (has_start && !access->in_transaction)
        scan_send(scan);
    else
        send_barrier(scan);
}

struct scan_result *scan_of_run(struct access *access)
{
    struct scan_result *scan = access->waiter->scans;
    for (unsigned i = 0; scan && i < access->scans_used; i++) scan = scan->next;
    return scan;
}

enum found scan_look(struct access *access, struct scan_result *scan)
{
    if (scan->state == SCAN_UNDER_WAY) {
        access->wait |= WAIT_SCAN;
        return FOUND_WAIT;
    }
    access->scans_used++;
    if (scan->state == SCAN_DONE) return FOUND;
    return scan_refuse(access, scan->error.code, scan->error.text);
}

/* Not waiter->failed: inside EXEC it is the answer of one command alone. */
enum found scan_refuse(struct access *access, enum status status, const char *text)
{
    error_set(&access->waiter->error, status, "%s", text);
    return FOUND_ERROR;
}
