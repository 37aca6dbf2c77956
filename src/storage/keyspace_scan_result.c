/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a command gets of a scan whose keys are collected: a page of SCAN, RANDOMKEY, KEYS inside EXEC.
 * The run's own writes are merged in. Loop thread. */
#include "storage/keyspace_scan_internal.h"

#include "base/glob.h"

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
 * array in the run's arena; NULL when there is no memory for it. */
static struct slice *merge_own(struct access *access, const struct scan_request *request,
                               const struct slice *keys, size_t *count)
{
    const struct database *database = access_database(access, request->number);
    size_t own = write_set_count(access->writes), merged = 0;
    struct slice *out =
        (struct slice *)(void *)write_set_memory(access->writes, (*count + own + 1) * sizeof *out);
    if (!out) return NULL;
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

/* The first key to look at. FOUND_NOTHING: the cursor's database was flushed or swapped away. */
static enum found page_start(struct access *access, const struct scan_request *request,
                             struct slice *start, bool *has_start)
{
    *start = slice_make("", 0);
    *has_start = false;
    if (request->kind != SCAN_PAGE || request->cursor == 0) return FOUND;
    const struct bookmark *bookmark =
        bookmark_find(access->keyspace->bookmarks, request->cursor);
    if (!bookmark)
        return scan_refuse(access, STATUS_INVALID,
                           "unknown cursor: it is too old or from before a restart, start at 0");
    *start = bookmark->key;
    *has_start = true;
    return bookmark->db_id == access_database(access, request->number)->db_id ? FOUND
                                                                              : FOUND_NOTHING;
}

static enum found fail_for_memory(struct access *access)
{
    return scan_refuse(access, STATUS_NO_MEMORY, "not enough memory for the keys that were found");
}

static enum found begin(struct access *access, const struct scan_request *request,
                        const struct slice **keys, size_t *count)
{
    struct slice start;
    bool has_start;
    enum found found = page_start(access, request, &start, &has_start);
    if (found == FOUND_ERROR) return found;
    if (found == FOUND_NOTHING) return FOUND;
    if (access_database(access, request->number)->db_id >= access->base_sequence) {
        *keys = merge_own(access, request, NULL, count); /* made by this very run */
        return *keys ? FOUND : fail_for_memory(access);
    }
    if (keyspace_hold_writers(access)) scan_begin(access, request, start, has_start);
    return FOUND_WAIT;
}

enum found keyspace_scan(struct access *access, const struct scan_request *request,
                         const struct slice **keys, size_t *count, uint64_t *next_cursor)
{
    ASSERT(!request->encode);
    struct keyspace *keyspace = access->keyspace;
    struct scan_result *scan = scan_of_run(access);
    *count = 0;
    *next_cursor = 0;
    if (!scan) return begin(access, request, keys, count);
    enum found found = scan_look(access, scan);
    if (found != FOUND) return found;
    /* Flushed or swapped since the snapshot: then nothing of it counts (rule 7). */
    bool counts = scan->db_id == access_database(access, request->number)->db_id;
    *count = counts ? scan->found : 0;
    *keys = merge_own(access, request, scan->keys, count);
    if (!*keys) return fail_for_memory(access);
    if (counts && request->kind == SCAN_PAGE && scan->end == WALK_FULL)
        *next_cursor =
            bookmark_add(keyspace->bookmarks, scan->db_id, buffer_slice(&scan->position));
    access_depend(access, journal_appended_sequence(keyspace->parts.journal));
    return FOUND;
}
