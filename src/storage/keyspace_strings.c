/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Strings. Up to INLINE_VALUE_MAX_BYTES a string lies in its key record; a longer one is an object: its
 * key record holds a head (object id, length) and the bytes are chunks of CHUNK_BYTES, each a record and
 * a cache entry of its own, so that a partial read or write costs what it touches. A chunk that does not
 * exist is a hole: zeros; one that is shorter than its place is filled up with zeros.
 *
 * A chunk's key in the cache is be64 object id, be32 index; the operation's key is its last four
 * bytes, the index. Loop thread. */
#include "storage/keyspace_internal.h"

static const char zeros[CHUNK_BYTES];

void chunk_key_write(char out[CHUNK_KEY_BYTES], uint64_t object_id, uint32_t index)
{
    put_be64(out, object_id);
    put_be32(out + 8, index);
}

uint64_t string_view_bytes(const struct key_view *view)
{
    return view->has_object ? view->object.length : view->value.size;
}

static char *arena(struct access *access, size_t size)
{
    char *memory = write_set_memory(access->writes, size);
    if (!memory) access_fail(access, STATUS_NO_MEMORY, "out of memory for a value of this size");
    return memory;
}

/* --- chunks --- */

struct chunk {
    struct slice bytes;  /* what is stored; size 0: a hole */
    struct entry *entry; /* that holds them; NULL: a hole, or the run's own */
};

/* FOUND, or FOUND_WAIT after the load of this and the missing chunks behind it (below `end`). */
static enum found look_chunk(struct access *access, uint64_t object_id, uint32_t index,
                             uint32_t end, struct chunk *out)
{
    struct keyspace *keyspace = access->keyspace;
    uint16_t table = access_element_table(access);
    char key[CHUNK_KEY_BYTES];
    chunk_key_write(key, object_id, index);
    uint64_t hash = hash_key(key, sizeof key);
    *out = (struct chunk){{zeros, 0}, NULL};
    if (write_set_count(access->writes)) {
        const struct pending *pending = write_set_find(access->writes, table,
                                                       slice_make(key, sizeof key), hash);
        if (pending) {
            if (pending->operation.kind == OPERATION_PUT_ELEMENT)
                out->bytes = pending->operation.value;
            return FOUND;
        }
    }
    /* An object that this run itself made has no other chunks than those in the write set. */
    if (object_id >= access->base_sequence) return FOUND;
    struct entry *entry = cache_find(keyspace->cache, table,
                                     slice_make(key, sizeof key), hash);
    if (!entry) {
        if (cache_table_is_complete(keyspace->cache, table)) return FOUND;
        uint32_t count = 1;
        while (index + count < end && count < LOAD_MAX_CHUNKS) {
            chunk_key_write(key, object_id, index + count);
            if (cache_find(keyspace->cache, table, slice_make(key, sizeof key),
                           hash_key(key, sizeof key)))
                break;
            count++;
        }
        keyspace_load_chunks(access, object_id, index, count);
        return FOUND_WAIT;
    }
    if (entry->state == ENTRY_LOADING) {
        keyspace_join_load(access, entry);
        return FOUND_WAIT;
    }
    access_depend(access, entry->sequence);
    if (!access->no_touch) cache_touch(keyspace->cache, entry);
    if (entry->state == ENTRY_PRESENT) {
        out->bytes = entry_value(entry);
        out->entry = entry;
    }
    return FOUND;
}

/* Asks for every missing chunk of [first, end). */
static enum found look_all_chunks(struct access *access, uint64_t object_id, uint32_t first,
                                  uint32_t end)
{
    enum found result = FOUND;
    for (uint32_t i = first; i < end; i++) {
        struct chunk chunk;
        if (look_chunk(access, object_id, i, end, &chunk) == FOUND_WAIT) result = FOUND_WAIT;
    }
    return result;
}

static uint32_t chunk_of(uint64_t offset)
{
    return (uint32_t)(offset / CHUNK_BYTES);
}

static uint32_t chunk_end(uint64_t end)
{
    return (uint32_t)((end + CHUNK_BYTES - 1) / CHUNK_BYTES);
}

/* --- reading --- */

enum found string_piece(struct access *access, const struct key_view *view, uint64_t offset,
                        uint64_t end, struct slice *piece, struct entry **owner)
{
    if (owner) *owner = NULL;
    if (!view->has_object) {
        *piece = slice_make(view->value.data + offset, (size_t)(end - offset));
        if (owner) *owner = view->entry;
        return FOUND;
    }
    uint32_t index = chunk_of(offset);
    struct chunk chunk;
    if (look_chunk(access, view->object.object_id, index, chunk_end(end), &chunk) == FOUND_WAIT) {
        look_all_chunks(access, view->object.object_id, index + 1, chunk_end(end));
        return FOUND_WAIT;
    }
    size_t within = (size_t)(offset - (uint64_t)index * CHUNK_BYTES);
    size_t room = CHUNK_BYTES - within;
    if (room > end - offset) room = (size_t)(end - offset);
    if (within < chunk.bytes.size) {
        size_t stored = chunk.bytes.size - within;
        *piece = slice_make(chunk.bytes.data + within, stored < room ? stored : room);
        if (owner) *owner = chunk.entry;
    } else {
        *piece = slice_make(zeros, room);
    }
    return FOUND;
}

enum found string_load(struct access *access, const struct key_view *view, uint64_t offset,
                       uint64_t end)
{
    if (!view->has_object || offset >= end) return FOUND;
    return look_all_chunks(access, view->object.object_id, chunk_of(offset), chunk_end(end));
}

enum found string_read(struct access *access, const struct key_view *view, uint64_t offset,
                       uint64_t size, struct slice *out)
{
    struct slice piece = {NULL, 0};
    if (size == 0) {
        *out = piece;
        return FOUND;
    }
    enum found found = string_piece(access, view, offset, offset + size, &piece, NULL);
    if (found != FOUND) return found;
    if (piece.size == size) {
        *out = piece;
        return FOUND;
    }
    if (look_all_chunks(access, view->object.object_id, chunk_of(offset),
                        chunk_end(offset + size)) == FOUND_WAIT)
        return FOUND_WAIT;
    char *memory = arena(access, (size_t)size);
    if (!memory) return FOUND_ERROR;
    for (uint64_t done = 0; done < size; done += piece.size) {
        string_piece(access, view, offset + done, offset + size, &piece, NULL);
        memcpy(memory + done, piece.data, piece.size);
    }
    *out = slice_make(memory, (size_t)size);
    return FOUND;
}

/* --- writing --- */

static struct pending key_put(struct access *access, unsigned number, struct slice key,
                              enum string_encoding encoding, int64_t expire_at_ms)
{
    struct database *database = access_database(access, number);
    struct pending pending = {.table = database->table, .hash = access_hash(access, key)};
    pending.operation.kind = OPERATION_PUT;
    pending.operation.db_id = database->db_id;
    pending.operation.key = key;
    pending.operation.type = VALUE_STRING;
    pending.operation.encoding = (uint8_t)encoding;
    pending.operation.expire_at_ms = expire_at_ms;
    return pending;
}

static void add_chunk(struct access *access, uint64_t object_id, uint32_t index,
                      struct slice bytes)
{
    char *key = write_set_memory(access->writes, CHUNK_KEY_BYTES);
    if (!key) panic("no memory for a chunk's key");
    chunk_key_write(key, object_id, index);
    struct pending pending = {.table = access_element_table(access),
                              .hash = hash_key(key, CHUNK_KEY_BYTES)};
    pending.operation.kind = OPERATION_PUT_ELEMENT;
    pending.operation.object_id = object_id;
    pending.operation.key = slice_make(key + 8, 4);
    pending.operation.value = bytes;
    access_add(access, &pending);
}

/* A new head; its object id is the sequence that this very operation will get. */
static uint64_t add_new_head(struct access *access, struct pending *pending, uint64_t length)
{
    uint64_t object_id = access->base_sequence + write_set_count(access->writes);
    pending->operation.has_object = true;
    pending->operation.object = (struct object_head){object_id, length};
    access_add(access, pending);
    return object_id;
}

static void add_chunks(struct access *access, uint64_t object_id, struct slice value)
{
    uint32_t index = 0;
    for (size_t at = 0; at < value.size; at += CHUNK_BYTES, index++) {
        size_t left = value.size - at;
        add_chunk(access, object_id, index,
                  slice_make(value.data + at, left < CHUNK_BYTES ? left : CHUNK_BYTES));
    }
}

void keyspace_set_string(struct access *access, unsigned number, struct slice key,
                         struct slice value, enum string_encoding encoding, int64_t expire_at_ms)
{
    struct pending pending = key_put(access, number, key, encoding, expire_at_ms);
    if (value.size <= INLINE_VALUE_MAX_BYTES) {
        pending.operation.value = value;
        access_add(access, &pending);
        return;
    }
    add_chunks(access, add_new_head(access, &pending, value.size), value);
}

/* The part of `data` (which lies at `offset` of the string) that falls into the chunk, over what the
 * chunk held (`old`, as long as it was). In the arena. */
static enum found add_merged_chunk(struct access *access, uint64_t object_id, uint32_t index,
                                   struct slice old, uint64_t offset, struct slice data)
{
    uint64_t start = (uint64_t)index * CHUNK_BYTES;
    size_t from = offset > start ? (size_t)(offset - start) : 0;
    size_t skip = offset < start ? (size_t)(start - offset) : 0;
    size_t size = data.size - skip;
    if (size > CHUNK_BYTES - from) size = CHUNK_BYTES - from;
    if (from == 0 && size >= old.size) {
        add_chunk(access, object_id, index, slice_make(data.data + skip, size));
        return FOUND;
    }
    size_t total = from + size > old.size ? from + size : old.size;
    char *memory = arena(access, total);
    if (!memory) return FOUND_ERROR;
    memset(memory, 0, total);
    if (old.size) memcpy(memory, old.data, old.size);
    memcpy(memory + from, data.data + skip, size);
    add_chunk(access, object_id, index, slice_make(memory, total));
    return FOUND;
}

/* Writes into an object that exists: the head when it grows, and each chunk that is touched. */
static enum found write_chunks(struct access *access, struct pending *pending,
                               const struct key_view *view, uint64_t offset, struct slice data)
{
    uint64_t object_id = view->object.object_id;
    uint64_t end = offset + data.size;
    uint32_t first = chunk_of(offset), last = chunk_end(end) - 1;
    struct chunk at_first, at_last;
    /* Only the two at the edges can be kept in part. */
    enum found a = look_chunk(access, object_id, first, first + 1, &at_first);
    enum found b = last == first ? a : look_chunk(access, object_id, last, last + 1, &at_last);
    if (a == FOUND_WAIT || b == FOUND_WAIT) return FOUND_WAIT;
    pending->operation.has_object = true;
    pending->operation.object = view->object;
    if (end > view->object.length) pending->operation.object.length = end;
    access_add(access, pending);
    for (uint32_t i = first; i <= last; i++) {
        struct slice old = i == first ? at_first.bytes
                         : i == last  ? at_last.bytes
                                      : (struct slice){zeros, 0};
        if (add_merged_chunk(access, object_id, i, old, offset, data) == FOUND_ERROR)
            return FOUND_ERROR;
    }
    return FOUND;
}

/* An inline string (or none) grows out of its record: a new object of the old bytes and the data. */
static enum found grow_into_chunks(struct access *access, struct pending *pending,
                                   struct slice old, uint64_t offset, struct slice data)
{
    uint64_t end = offset + data.size;
    uint64_t length = end > old.size ? end : old.size;
    uint64_t object_id = add_new_head(access, pending, length);
    uint32_t old_end = chunk_end(old.size), first = chunk_of(offset), last = chunk_end(end) - 1;
    for (uint32_t i = 0; i <= last || i < old_end; i++) {
        uint64_t start = (uint64_t)i * CHUNK_BYTES;
        struct slice kept = {zeros, 0};
        if (i < old_end) {
            size_t left = old.size - (size_t)start;
            kept = slice_make(old.data + start, left < CHUNK_BYTES ? left : CHUNK_BYTES);
        }
        if (i >= first && i <= last) {
            if (add_merged_chunk(access, object_id, i, kept, offset, data) == FOUND_ERROR)
                return FOUND_ERROR;
        } else if (kept.size) {
            /* A copy: the head, which comes first, may take the place of what holds these bytes. */
            add_chunk(access, object_id, i, access_keep(access, kept));
        } else if (i < first) {
            i = first - 1; /* a gap: holes */
        }
    }
    return FOUND;
}

enum found string_write(struct access *access, unsigned number, struct slice key,
                        const struct key_view *view, uint64_t offset, struct slice data,
                        enum string_encoding encoding)
{
    struct pending pending =
        key_put(access, number, key, encoding, view ? view->expire_at_ms : -1);
    if (view && view->has_object) return write_chunks(access, &pending, view, offset, data);
    struct slice old = view ? view->value : (struct slice){NULL, 0};
    uint64_t end = offset + data.size;
    if (end > INLINE_VALUE_MAX_BYTES)
        return grow_into_chunks(access, &pending, old, offset, data);
    size_t total = end > old.size ? (size_t)end : old.size;
    char *memory = arena(access, total);
    if (!memory) return FOUND_ERROR;
    if (old.size) memcpy(memory, old.data, old.size);
    if (offset > old.size) memset(memory + old.size, 0, (size_t)(offset - old.size));
    if (data.size) memcpy(memory + offset, data.data, data.size);
    pending.operation.value = slice_make(memory, total);
    access_add(access, &pending);
    return FOUND;
}

enum found keyspace_copy(struct access *access, unsigned number, struct slice key,
                         const struct key_view *view, unsigned to_number, struct slice to_key)
{
    (void)number;
    (void)key;
    enum string_encoding encoding = view->encoding == STRING_AUTO ? STRING_COPY : view->encoding & 3;
    struct pending pending = key_put(access, to_number, to_key, encoding, view->expire_at_ms);
    pending.operation.type = view->type;
    if (!view->has_object) {
        pending.operation.value =
            access->in_transaction ? access_keep(access, view->value) : view->value;
        access_add(access, &pending);
        return FOUND;
    }
    uint64_t from_id = view->object.object_id;
    uint32_t end = chunk_end(view->object.length);
    if (look_all_chunks(access, from_id, 0, end) == FOUND_WAIT) return FOUND_WAIT;
    uint64_t object_id = add_new_head(access, &pending, view->object.length);
    for (uint32_t i = 0; i < end; i++) {
        struct chunk chunk;
        look_chunk(access, from_id, i, end, &chunk);
        if (!chunk.bytes.size) continue;
        if (access->in_transaction) chunk.bytes = access_keep(access, chunk.bytes);
        else if (chunk.entry) waiter_pin(access->waiter, chunk.entry);
        add_chunk(access, object_id, i, chunk.bytes);
    }
    return FOUND;
}
