/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A scan's walk over the records of a database: all keys, a page of them, or some at random. It goes in
 * jobs of bounded length, so that others have their turn between them however few workers there are;
 * each makes its own iterator, since one that is kept would keep files and memtables with it. Workers;
 * nothing here touches what the loop owns. */
#include "storage/keyspace_scan_internal.h"

#include "base/glob.h"

enum {
    RANDOM_CANDIDATES = 16, /* so that a deleted or expired one does not end the search */
    RANDOM_STEPS = 64,
    JOB_BYTES = 4 << 20,    /* records that one job looks at: some 10 milliseconds from memory */
    RECORD_BYTES = 64,      /* what a record without a value counts for in that */
    CURRENT_CHECK_RECORDS = 1024 /* how often a walk looks whether its store is still the one */
};

/* --- what is found --- */

/* False: there is no room, the key is still to be taken. */
static bool list_key(struct scan_result *scan, struct slice key)
{
    char size[8];
    if (scan->kind == SCAN_RANDOM && scan->found == RANDOM_CANDIDATES) return false;
    if (scan->found && scan->bytes.size + sizeof size + key.size > scan->max_bytes) return false;
    put_le64(size, key.size);
    buffer_append(&scan->bytes, size, sizeof size);
    buffer_append_slice(&scan->bytes, key);
    scan->found++;
    return true;
}

static void collect_key(struct scan_result *scan, struct slice key)
{
    scan->found++;
    scan->encode(&scan->bytes, key);
    if (scan->bytes.size <= SCAN_COLLECT_BYTES) return;
    buffer_free(&scan->bytes);
    scan->pass = PASS_COUNT;
}

static bool stream_key(struct scan_result *scan, struct slice key)
{
    enum { FRAME_BYTES = 32 };
    if (scan->bytes.size && scan->bytes.size + key.size + FRAME_BYTES > SCAN_BLOCK_BYTES)
        return false;
    scan->encode(&scan->bytes, key);
    scan->sent++;
    return true;
}

static bool take_key(struct scan_result *scan, struct slice key)
{
    switch (scan->pass) {
    case PASS_LIST: return list_key(scan, key);
    case PASS_COLLECT: collect_key(scan, key); return true;
    case PASS_COUNT: scan->found++; return true;
    case PASS_STREAM: return stream_key(scan, key);
    }
    return false;
}

static bool is_wanted(const struct scan_result *scan, struct slice key, struct slice value)
{
    struct key_record record;
    if (key_record_decode(value, &record) != STATUS_OK) return false;
    if (record.expire_at_ms >= 0 && record.expire_at_ms <= scan->now_ms) return false;
    if (scan->type >= 0 && record.type != scan->type) return false;
    return !scan->has_pattern || glob_match(buffer_slice(&scan->pattern), key, false);
}

/* --- in order --- */

/* Where the walk starts, and with a literal prefix where it ends. */
static void walk_bounds(const struct scan_result *scan, struct buffer *start, struct buffer *prefix)
{
    char *literal = mem_alloc(scan->pattern.size + 1);
    size_t size = scan->has_pattern ? glob_literal_prefix(buffer_slice(&scan->pattern), literal) : 0;
    record_key_name(prefix, scan->db_id, slice_make(literal, size));
    mem_free(literal);
    if (scan->has_position) record_key_name(start, scan->db_id, buffer_slice(&scan->position));
    if (!scan->has_position || slice_compare(buffer_slice(start), buffer_slice(prefix)) < 0) {
        buffer_clear(start);
        buffer_append_slice(start, buffer_slice(prefix));
    }
}

static bool has_prefix(struct slice name, struct slice prefix)
{
    return name.size >= prefix.size && memcmp(name.data, prefix.data, prefix.size) == 0;
}

/* What was given out cannot be taken back: a stream goes on with the store that FLUSHALL replaced. */
static bool must_give_up(const struct scan_result *scan)
{
    struct store *store = scan->base.keyspace->parts.store;
    return scan->pass == PASS_STREAM ? store_awaits(store, scan->engine)
                                     : !store_is_current(store, scan->engine);
}

/* Looks at the record under the iterator. WALK_ENDED: go on with the next. Anything else: stop, the
 * walk goes on at this record. */
static enum walk_end look_at(struct scan_result *scan, struct slice key, struct slice value,
                             uint64_t *done)
{
    if (scan->kind == SCAN_PAGE && scan->looked == scan->wanted) return WALK_FULL;
    if (*done >= JOB_BYTES) return WALK_PAUSED;
    if (is_wanted(scan, key, value) && !take_key(scan, key)) return WALK_FULL;
    *done += RECORD_BYTES + value.size;
    if (++scan->looked % CURRENT_CHECK_RECORDS == 0 && must_give_up(scan)) return WALK_REPLACED;
    return WALK_ENDED;
}

static enum walk_end walk(struct scan_result *scan, struct engine_iterator *iterator)
{
    const struct engine_operations *engine = scan->engine->operations;
    struct buffer start = {0}, prefix = {0};
    uint64_t done = 0;
    enum walk_end end = WALK_ENDED;
    walk_bounds(scan, &start, &prefix);
    for (engine->iterator_seek(iterator, buffer_slice(&start)); engine->iterator_valid(iterator);
         engine->iterator_next(iterator)) {
        struct slice name = engine->iterator_key(iterator), key;
        uint64_t db_id;
        if (!has_prefix(name, buffer_slice(&prefix))) break;
        if (!record_parse_key_name(name, &db_id, &key)) break;
        end = look_at(scan, key, engine->iterator_value(iterator), &done);
        if (end == WALK_ENDED) continue;
        buffer_clear(&scan->position);
        buffer_append_slice(&scan->position, key);
        scan->has_position = true;
        break;
    }
    buffer_free(&start);
    buffer_free(&prefix);
    return end;
}

/* --- at random --- */

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

/* Seeks to a point between `first` and `last`, chosen evenly by their bytes, and steps on by a random
 * distance. False: the iterator has failed. */
static bool seek_at_random(struct scan_result *scan, struct engine_iterator *iterator,
                           const struct buffer *first, const struct buffer *last, struct slice *key)
{
    const struct engine_operations *engine = scan->engine->operations;
    size_t common = 0;
    while (common < first->size && common < last->size &&
           first->data[common] == last->data[common])
        common++;
    uint64_t low = number_at(first, common), high = number_at(last, common);
    uint64_t wide = (next_random(scan) << 24) ^ next_random(scan), db_id;
    char bytes[8];
    struct buffer name = {0};
    put_be64(bytes, high > low ? low + wide % (high - low + (high - low < UINT64_MAX)) : low);
    record_key_name(&name, scan->db_id, slice_make(first->data, common));
    buffer_append(&name, bytes, sizeof bytes);
    engine->iterator_seek(iterator, buffer_slice(&name));
    bool valid = true;
    for (uint64_t steps = next_random(scan) % RANDOM_STEPS; valid; steps--) {
        if (!engine->iterator_valid(iterator) ||
            !record_parse_key_name(engine->iterator_key(iterator), &db_id, key) ||
            db_id != scan->db_id) {
            /* Around the end: on from the first. */
            buffer_clear(&name);
            record_key_name(&name, scan->db_id, buffer_slice(first));
            engine->iterator_seek(iterator, buffer_slice(&name));
            valid = engine->iterator_valid(iterator) &&
                    record_parse_key_name(engine->iterator_key(iterator), &db_id, key);
        }
        if (steps == 0 || !valid) break;
        engine->iterator_next(iterator);
    }
    buffer_free(&name);
    return valid;
}

static enum walk_end pick_random(struct scan_result *scan, struct engine_iterator *iterator)
{
    struct buffer first = {0}, last = {0};
    struct slice key;
    enum walk_end end = WALK_ENDED;
    if (!database_ends(scan, iterator, &first, &last)) goto done;
    for (unsigned tries = 0; tries < RANDOM_CANDIDATES * 2; tries++) {
        if (!seek_at_random(scan, iterator, &first, &last, &key)) goto done;
        if (is_wanted(scan, key, scan->engine->operations->iterator_value(iterator)) &&
            !take_key(scan, key))
            break;
    }
    /* Nearly all of it has expired: then the first ones that have not. */
    if (scan->found == 0) end = walk(scan, iterator);
done:
    buffer_free(&first);
    buffer_free(&last);
    return end;
}

/* --- the job --- */

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

/* Whether nothing more will be read: then the snapshot goes back from here. */
static bool is_last_job(const struct scan_result *scan)
{
    if (scan->status != STATUS_OK || scan->end == WALK_REPLACED) return true;
    if (scan->pass == PASS_LIST) return scan->end != WALK_PAUSED;
    return scan->pass != PASS_COUNT && scan->end == WALK_ENDED;
}

void scan_run(struct job *job)
{
    struct scan_result *scan = (struct scan_result *)(void *)job;
    if (!scan->engine) {
        scan->status = store_acquire(scan->base.keyspace->parts.store, &scan->engine, &scan->error);
        if (scan->status != STATUS_OK) return;
    }
    const struct engine_operations *engine = scan->engine->operations;
    struct engine_iterator *iterator = engine->iterate(scan->engine, scan->snapshot, false);
    if (scan->pass == PASS_STREAM && !scan->bytes.data)
        buffer_reserve(&scan->bytes, SCAN_BLOCK_BYTES);
    scan->end = scan->kind == SCAN_RANDOM && !scan->has_position ? pick_random(scan, iterator)
                                                                 : walk(scan, iterator);
    scan->status = engine->iterator_status(iterator, &scan->error);
    engine->iterator_destroy(iterator);
    if (!is_last_job(scan)) return;
    if (scan->pass == PASS_LIST && scan->status == STATUS_OK) index_keys(scan);
    if (scan->snapshot) engine->snapshot_release(scan->engine, scan->snapshot);
    scan->snapshot = NULL;
    engine_unref(scan->engine);
    scan->engine = NULL;
}
