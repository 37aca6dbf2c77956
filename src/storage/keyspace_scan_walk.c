/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A scan's walk over the records of a database: all keys, a page of them, or some at random. Workers;
 * nothing here touches what the loop owns. */
#include "storage/keyspace_scan_internal.h"

#include "base/glob.h"

enum {
    RANDOM_CANDIDATES = 16, /* so that a deleted or expired one does not end the search */
    RANDOM_STEPS = 64,
    CURRENT_CHECK_RECORDS = 1024 /* how often a walk looks whether its store is still the one */
};

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

void scan_walk(struct scan_result *scan, struct engine_iterator *iterator)
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
void scan_pick_random(struct scan_result *scan, struct engine_iterator *iterator)
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
    if (scan->found == 0) scan_walk(scan, iterator);
done:
    buffer_free(&first);
    buffer_free(&last);
    buffer_free(&name);
}
