/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The write set: an array of pending operations, an arena, and, once the array is long, a hash index
 * over the latest operation of each record. Cleared and reused by every command. Loop thread. */
#include "storage/write_set.h"

#include "base/check.h"
#include "base/memory.h"

enum {
    LINEAR_MAX = 8,            /* up to here searching backwards beats an index */
    KEPT_CAPACITY = 1024,      /* operations kept between commands */
    ARENA_BLOCK_BYTES = 16384, /* the block that is kept */
};

struct arena_block {
    struct arena_block *next;
    char bytes[];
};

struct write_set {
    struct pending *items;
    size_t count, capacity;
    size_t expires;            /* how many are deletes of expired keys */
    uint32_t *index;           /* open addressing: position + 1 of the latest on a record, 0 empty */
    size_t index_size;         /* a power of two; 0: no index */
    char *block;               /* the arena's current block */
    size_t block_used;
    struct arena_block *large; /* what did not fit */
};

struct write_set *write_set_create(void)
{
    struct write_set *set = mem_calloc(1, sizeof *set);
    set->block = mem_alloc(ARENA_BLOCK_BYTES);
    return set;
}

struct write_set *write_set_take(struct write_set *set)
{
    struct write_set *taken = mem_dup(set, sizeof *set);
    *set = (struct write_set){.block = mem_alloc(ARENA_BLOCK_BYTES)};
    return taken;
}

static void free_large(struct write_set *set)
{
    while (set->large) {
        struct arena_block *next = set->large->next;
        mem_free(set->large);
        set->large = next;
    }
}

static void drop_index(struct write_set *set)
{
    mem_free(set->index);
    set->index = NULL;
    set->index_size = 0;
}

void write_set_clear(struct write_set *set)
{
    set->count = 0;
    set->expires = 0;
    set->block_used = 0;
    if (set->large) free_large(set);
    if (set->index) drop_index(set);
    if (set->capacity > KEPT_CAPACITY) {
        mem_free(set->items);
        set->items = NULL;
        set->capacity = 0;
    }
}

void write_set_destroy(struct write_set *set)
{
    if (!set) return;
    write_set_clear(set);
    mem_free(set->items);
    mem_free(set->block);
    mem_free(set);
}

size_t write_set_count(const struct write_set *set)
{
    return set->count;
}

struct pending *write_set_at(const struct write_set *set, size_t index)
{
    ASSERT(index < set->count);
    return &set->items[index];
}

static bool is_same_record(const struct pending *pending, uint16_t table, struct slice key,
                           uint64_t hash)
{
    return pending->hash == hash && pending->table == table &&
           slice_equal(pending_cache_key(pending), key);
}

/* The slot of the record, or the empty slot where it belongs. */
static uint32_t *index_slot(const struct write_set *set, uint16_t table, struct slice key,
                            uint64_t hash)
{
    size_t mask = set->index_size - 1;
    size_t at = (hash ^ table) & mask;
    while (set->index[at] &&
           !is_same_record(&set->items[set->index[at] - 1], table, key, hash))
        at = (at + 1) & mask;
    return &set->index[at];
}

static void index_insert(struct write_set *set, size_t position)
{
    const struct pending *pending = &set->items[position];
    if (!pending->table) return;
    *index_slot(set, pending->table, pending_cache_key(pending), pending->hash) =
        (uint32_t)(position + 1);
}

static void rebuild_index(struct write_set *set)
{
    size_t size = 64;
    while (size < set->count * 4) size *= 2;
    mem_free(set->index);
    set->index = mem_calloc(size, sizeof *set->index);
    set->index_size = size;
    for (size_t i = 0; i < set->count; i++) index_insert(set, i);
}

struct pending *write_set_add(struct write_set *set, const struct pending *pending)
{
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 16;
        set->items = mem_realloc(set->items, set->capacity * sizeof *set->items);
    }
    const struct pending *earlier =
        set->count && pending->table
            ? write_set_find(set, pending->table, pending_cache_key(pending), pending->hash)
            : NULL;
    struct pending *added = &set->items[set->count++];
    *added = *pending;
    added->earlier = earlier ? (uint32_t)(earlier - set->items) + 1 : 0;
    set->expires += pending->expires;
    if (set->index && set->count * 2 <= set->index_size)
        index_insert(set, set->count - 1);
    else if (set->count > LINEAR_MAX)
        rebuild_index(set);
    return added;
}

const struct pending *write_set_find(const struct write_set *set, uint16_t table,
                                     struct slice key, uint64_t hash)
{
    if (set->index) {
        uint32_t at = *index_slot(set, table, key, hash);
        return at ? &set->items[at - 1] : NULL;
    }
    for (size_t i = set->count; i-- > 0;)
        if (is_same_record(&set->items[i], table, key, hash)) return &set->items[i];
    return NULL;
}

void write_set_truncate(struct write_set *set, size_t count)
{
    ASSERT(count <= set->count);
    while (set->count > count) set->expires -= set->items[--set->count].expires;
    if (!set->index) return;
    drop_index(set);
    if (set->count > LINEAR_MAX) rebuild_index(set);
}

bool write_set_only_expires(const struct write_set *set)
{
    return set->expires == set->count;
}

size_t write_set_encoded_bytes(const struct write_set *set)
{
    size_t bytes = 0;
    for (size_t i = 0; i < set->count; i++)
        bytes += operation_encoded_bytes(&set->items[i].operation);
    return bytes;
}

char *write_set_memory(struct write_set *set, size_t size)
{
    size = (size + 7) & ~(size_t)7;
    if (size <= ARENA_BLOCK_BYTES - set->block_used) {
        char *memory = set->block + set->block_used;
        set->block_used += size;
        return memory;
    }
    struct arena_block *block = mem_try_alloc(sizeof *block + size);
    if (!block) return NULL;
    block->next = set->large;
    set->large = block;
    return block->bytes;
}
