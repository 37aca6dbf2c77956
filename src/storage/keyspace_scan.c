/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What looks at a whole database: KEYS, SCAN, RANDOMKEY, and DBSIZE while blind writes leave the count
 * open. A scan is a barrier with a snapshot, then a job that walks the snapshot, then another run of
 * the command, which finds the result with its waiter. A page of SCAN after the first needs no barrier:
 * what it finds is filtered through the cache's tombstones. Inside EXEC other writers wait from the
 * barrier until the EXEC has run (rule 8). Loop thread, but for the job's own part. */
#include "storage/keyspace_internal.h"

#include "base/glob.h"

#include <stdlib.h>
#include <sys/random.h>

enum {
    BOOKMARKS = 1 << 16,
    BOOKMARK_BYTES_MAX = 16 << 20,
    RANDOM_CANDIDATES = 16, /* so that a deleted or expired one does not end the search */
    RANDOM_STEPS = 64,
    CURRENT_CHECK_RECORDS = 1024 /* how often a walk looks whether its store is still the one */
};

/* --- bookmarks: SCAN's cursors --- */

struct bookmark {
    uint64_t cursor; /* 0: empty */
    uint64_t db_id;
    struct slice key; /* owned: the last one that was looked at */
};

/* A ring: cursor c is at c % BOOKMARKS until that place is needed again. */
struct bookmarks {
    struct bookmark ring[BOOKMARKS];
    uint64_t next, oldest;
    size_t bytes;
};

struct bookmarks *bookmarks_create(void)
{
    struct bookmarks *bookmarks = mem_calloc(1, sizeof *bookmarks);
    /* A random start: a cursor from before a restart is unknown, not somebody else's. */
    uint64_t start = 0;
    if (getrandom(&start, sizeof start, 0) != sizeof start) start = (uint64_t)(uintptr_t)bookmarks;
    bookmarks->next = bookmarks->oldest = (start & ((UINT64_C(1) << 44) - 1)) + 1;
    return bookmarks;
}

static void bookmark_clear(struct bookmarks *bookmarks, uint64_t cursor)
{
    struct bookmark *bookmark = &bookmarks->ring[cursor % BOOKMARKS];
    bookmarks->bytes -= bookmark->key.size;
    mem_free((void *)(uintptr_t)bookmark->key.data);
    *bookmark = (struct bookmark){0};
}

void bookmarks_destroy(struct bookmarks *bookmarks)
{
    while (bookmarks->oldest < bookmarks->next) bookmark_clear(bookmarks, bookmarks->oldest++);
    mem_free(bookmarks);
}

static uint64_t bookmark_add(struct bookmarks *bookmarks, uint64_t db_id, struct slice key)
{
    uint64_t cursor = bookmarks->next++;
    while (bookmarks->oldest < cursor && (cursor - bookmarks->oldest >= BOOKMARKS ||
                                          bookmarks->bytes + key.size > BOOKMARK_BYTES_MAX))
        bookmark_clear(bookmarks, bookmarks->oldest++);
    bookmarks->ring[cursor % BOOKMARKS] =
        (struct bookmark){cursor, db_id, {mem_dup(key.data, key.size), key.size}};
    bookmarks->bytes += key.size;
    return cursor;
}

static const struct bookmark *bookmark_find(const struct bookmarks *bookmarks, uint64_t cursor)
{
    const struct bookmark *bookmark = &bookmarks->ring[cursor % BOOKMARKS];
    return cursor && bookmark->cursor == cursor ? bookmark : NULL;
}

/* --- a scan --- */

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

static void take_key(struct scan_result *scan, struct slice key)
{
    char size[8];
    put_le64(size, key.size);
    buffer_append(&scan->bytes, size, sizeof size);
    buffer_append_slice(&scan->bytes, key);
    scan->found++;
}

static bool is_wanted(const struct scan_result *scan, struct slice key, struct slice value)
{
    struct key_record record;
    if (key_record_decode(value, &record) != STATUS_OK) return false;
    if (record.expire_at_ms >= 0 && record.expire_at_ms <= scan->now_ms) return false;
    if (scan->type >= 0 && record.type != scan->type) return false;
    return !scan->has_pattern || glob_match(buffer_slice(&scan->pattern), key, false);
}

/* Where the walk starts, and with a literal prefix where it ends. */
static void scan_bounds(struct scan_result *scan, struct buffer *start, struct buffer *prefix)
{
    char *literal = mem_alloc(scan->pattern.size + 1);
    size_t size = scan->has_pattern ? glob_literal_prefix(buffer_slice(&scan->pattern), literal) : 0;
    record_key_name(prefix, scan->db_id, slice_make(literal, size));
    mem_free(literal);
    if (scan->has_after) record_key_name(start, scan->db_id, buffer_slice(&scan->after));
    if (!scan->has_after || slice_compare(buffer_slice(start), buffer_slice(prefix)) < 0) {
        buffer_clear(start);
        buffer_append_slice(start, buffer_slice(prefix));
    }
}

static bool has_prefix(struct slice name, struct slice prefix)
{
    return name.size >= prefix.size && memcmp(name.data, prefix.data, prefix.size) == 0;
}

static void walk(struct scan_result *scan, struct engine_iterator *iterator)
{
    const struct engine_operations *engine = scan->engine->operations;
    struct buffer start = {0}, prefix = {0};
    scan_bounds(scan, &start, &prefix);
    uint64_t looked = 0;
    for (engine->iterator_seek(iterator, buffer_slice(&start)); engine->iterator_valid(iterator);
         engine->iterator_next(iterator)) {
        struct slice name = engine->iterator_key(iterator), key;
        uint64_t db_id;
        if (!has_prefix(name, buffer_slice(&prefix))) break;
        if (!record_parse_key_name(name, &db_id, &key)) break;
        if (scan->has_after && slice_equal(key, buffer_slice(&scan->after))) continue;
        if (scan->kind == SCAN_PAGE && looked == scan->count) {
            scan->more = true;
            break;
        }
        looked++;
        if (scan->kind == SCAN_PAGE) {
            buffer_clear(&scan->last);
            buffer_append_slice(&scan->last, key);
        }
        if (is_wanted(scan, key, engine->iterator_value(iterator))) take_key(scan, key);
        if (looked % CURRENT_CHECK_RECORDS == 0 &&
            !store_is_current(scan->base.keyspace->parts.store, scan->engine)) {
            scan->replaced = true;
            break;
        }
    }
    buffer_free(&start);
    buffer_free(&prefix);
}

static uint64_t next_random(struct scan_result *scan)
{
    scan->random = scan->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return scan->random >> 20;
}

/* First and last key of the database; false when it is empty. */
static bool database_ends(struct scan_result *scan, struct engine_iterator *iterator,
                          struct buffer *first, struct buffer *last)
{
    const struct engine_operations *engine = scan->engine->operations;
    struct buffer bound = {0};
    uint64_t db_id;
    struct slice key;
    record_key_name(&bound, scan->db_id + 1, slice_make("", 0));
    engine->iterator_seek(iterator, buffer_slice(&bound));
    if (engine->iterator_valid(iterator)) {
        engine->iterator_previous(iterator);
    } else {
        /* Past the end of everything: the last record at all may be ours. */
        buffer_clear(&bound);
        record_meta_name(&bound, "");
        engine->iterator_seek(iterator, buffer_slice(&bound));
        if (engine->iterator_valid(iterator)) engine->iterator_previous(iterator);
    }
    bool any = engine->iterator_valid(iterator) &&
               record_parse_key_name(engine->iterator_key(iterator), &db_id, &key) &&
               db_id == scan->db_id;
    if (any) buffer_append_slice(last, key);
    buffer_clear(&bound);
    record_key_name(&bound, scan->db_id, slice_make("", 0));
    engine->iterator_seek(iterator, buffer_slice(&bound));
    if (any && engine->iterator_valid(iterator) &&
        record_parse_key_name(engine->iterator_key(iterator), &db_id, &key))
        buffer_append_slice(first, key);
    buffer_free(&bound);
    return any;
}

/* The eight bytes behind the common prefix, as a number. */
static uint64_t number_at(const struct buffer *key, size_t offset)
{
    unsigned char bytes[8] = {0};
    for (size_t i = 0; i < 8 && offset + i < key->size; i++)
        bytes[i] = (unsigned char)key->data[offset + i];
    return get_be64(bytes);
}

/* Seeks to a point between the first and the last key, chosen evenly by their bytes, steps on by a
 * random distance, and takes what is there. */
static void pick_random(struct scan_result *scan, struct engine_iterator *iterator)
{
    const struct engine_operations *engine = scan->engine->operations;
    struct buffer first = {0}, last = {0}, name = {0};
    if (!database_ends(scan, iterator, &first, &last)) goto done;
    size_t common = 0;
    while (common < first.size && common < last.size && first.data[common] == last.data[common])
        common++;
    uint64_t low = number_at(&first, common), high = number_at(&last, common);
    for (unsigned tries = 0; tries < RANDOM_CANDIDATES * 2; tries++) {
        char bytes[8];
        uint64_t wide = (next_random(scan) << 24) ^ next_random(scan);
        put_be64(bytes, high > low ? low + wide % (high - low + (high - low < UINT64_MAX)) : low);
        buffer_clear(&name);
        record_key_name(&name, scan->db_id, slice_make(first.data, common));
        buffer_append(&name, bytes, sizeof bytes);
        engine->iterator_seek(iterator, buffer_slice(&name));
        uint64_t steps = next_random(scan) % RANDOM_STEPS, db_id;
        struct slice key;
        for (;; steps--) {
            if (!engine->iterator_valid(iterator) ||
                !record_parse_key_name(engine->iterator_key(iterator), &db_id, &key) ||
                db_id != scan->db_id) {
                /* Around the end: on from the first. */
                buffer_clear(&name);
                record_key_name(&name, scan->db_id, buffer_slice(&first));
                engine->iterator_seek(iterator, buffer_slice(&name));
                if (!record_parse_key_name(engine->iterator_key(iterator), &db_id, &key)) break;
            }
            if (steps == 0) break;
            engine->iterator_next(iterator);
        }
        if (is_wanted(scan, key, engine->iterator_value(iterator))) take_key(scan, key);
        if (scan->found >= RANDOM_CANDIDATES) break;
    }
    /* Nearly all of it has expired: then the first that has not. */
    if (scan->found == 0) walk(scan, iterator);
done:
    buffer_free(&first);
    buffer_free(&last);
    buffer_free(&name);
}

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
        pick_random(scan, iterator);
    else
        walk(scan, iterator);
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

/* An EXEC keeps other writers out from here on; one at a time (rule 8). */
static bool hold_writers(struct access *access)
{
    struct keyspace *keyspace = access->keyspace;
    if (!access->in_transaction || keyspace->holder == access->waiter) return true;
    if (keyspace->holder) {
        access->wait |= WAIT_SPACE;
        if (!list_is_linked(&access->waiter->space))
            list_push_back(&keyspace->space, &access->waiter->space);
        return false;
    }
    keyspace->holder = access->waiter;
    return true;
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
        if (!hold_writers(access)) return FOUND_WAIT;
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

/* --- barriers without a scan --- */

struct barrier_wait {
    struct barrier barrier;
    struct list waiters;
    struct keyspace *keyspace;
    uint64_t count_db_id; /* 0: nobody wants a count */
};

static void barrier_wait_done(struct barrier *barrier)
{
    struct barrier_wait *wait = (struct barrier_wait *)(void *)barrier;
    if (barrier->status != STATUS_OK)
        waiters_fail(&wait->waiters, barrier->status, barrier->error_text);
    const struct database *database =
        wait->count_db_id ? keyspace_database_by_id(wait->keyspace, wait->count_db_id) : NULL;
    if (database)
        LIST_FOR_EACH(node, &wait->waiters)
            LIST_ENTRY(node, struct wait_link, in_source)->waiter->counted = database->settled_keys;
    waiters_release(wait->keyspace, &wait->waiters);
    mem_free(wait);
}

static struct barrier_wait *barrier_wait_create(struct keyspace *keyspace, struct waiter *waiter,
                                                enum barrier_kind kind)
{
    struct barrier_wait *wait = mem_calloc(1, sizeof *wait);
    list_init(&wait->waiters);
    wait->keyspace = keyspace;
    wait->barrier.kind = kind;
    wait->barrier.done = barrier_wait_done;
    waiter_link(waiter, &wait->waiters);
    return wait;
}

void keyspace_barrier(struct keyspace *keyspace, struct waiter *waiter, enum barrier_kind kind,
                      bool reload)
{
    struct barrier_wait *wait = barrier_wait_create(keyspace, waiter, kind);
    if (reload)
        batch_writer_reload(keyspace->parts.batch_writer, &wait->barrier);
    else
        batch_writer_barrier(keyspace->parts.batch_writer, &wait->barrier);
}

/* --- counting --- */

/* What the run's own writes add, or FOUND_WAIT when one of them does not know its old record. */
static enum found count_own(struct access *access, unsigned number, int64_t *change)
{
    struct keyspace *keyspace = access->keyspace;
    const struct database *database = access_database(access, number);
    enum found result = FOUND;
    for (size_t i = 0; i < write_set_count(access->writes); i++) {
        const struct pending *pending = write_set_at(access->writes, i);
        if (pending->table != database->table) continue;
        bool put = pending->operation.kind == OPERATION_PUT, existed;
        if (pending->earlier) {
            existed = write_set_at(access->writes, pending->earlier - 1)->operation.kind ==
                      OPERATION_PUT;
        } else {
            struct slice key = pending->operation.key;
            const struct entry *entry =
                cache_find(keyspace->cache, database->table, key, pending->hash);
            if (entry && entry->state == ENTRY_LOADING) {
                access->wait |= WAIT_LOADS;
                result = FOUND_WAIT;
                continue;
            }
            if (!entry && !cache_table_is_complete(keyspace->cache, database->table)) {
                keyspace_load_key(access, database, key, pending->hash);
                result = FOUND_WAIT;
                continue;
            }
            existed = entry && entry->state == ENTRY_PRESENT;
        }
        *change += put - existed;
    }
    return result;
}

enum found keyspace_count(struct access *access, unsigned number, uint64_t *count)
{
    struct keyspace *keyspace = access->keyspace;
    const struct database *database = access_database(access, number);
    int64_t keys = database->keys, own = 0;
    access_depend(access, journal_appended_sequence(keyspace->parts.journal));
    if (database->unknown) {
        if (access->in_transaction || access->waiter->counted < 0) {
            if (!hold_writers(access)) return FOUND_WAIT;
            access->wait |= WAIT_COUNT;
            counter_add(&keyspace->metrics->parked_scans, 1);
            struct barrier_wait *wait =
                barrier_wait_create(keyspace, access->waiter, BARRIER_VISIBLE);
            wait->count_db_id = database->db_id;
            batch_writer_barrier(keyspace->parts.batch_writer, &wait->barrier);
            return FOUND_WAIT;
        }
        keys = access->waiter->counted;
    }
    if (write_set_count(access->writes) && count_own(access, number, &own) == FOUND_WAIT)
        return FOUND_WAIT;
    *count = (uint64_t)(keys + own > 0 ? keys + own : 0);
    return FOUND;
}

void keyspace_estimate(struct keyspace *keyspace, unsigned number, int64_t *keys, int64_t *expiring)
{
    *keys = keyspace->databases[number].keys;
    *expiring = keyspace->databases[number].expiring;
}
