/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Cached records: allocation, layout and the last reference. Loop thread only.
 *
 * Always true: bytes of an entry that somebody references do not change; an entry is freed when
 * the cache has let go of it and the last reference is gone, whichever comes last. */
#include "storage/entry.h"

#include "base/check.h"
#include "base/memory.h"

#include <stddef.h>

enum { EXPIRY_BYTES = 8 };

/* Loop thread only, like all entries: one figure for the process. */
static uint64_t detached_bytes;

static size_t allocation_size(size_t key_size, size_t value_size, bool has_expiry)
{
    return sizeof(struct entry) + (has_expiry ? EXPIRY_BYTES : 0) + key_size + value_size;
}

size_t entry_memory_bytes(const struct entry *entry)
{
    return mem_good_size(allocation_size(entry->key_size, entry->value_size, entry->has_expiry));
}

uint64_t entry_detached_bytes(void)
{
    return detached_bytes;
}

struct entry *entry_create(struct slice key, struct slice value, int64_t expire_at_ms)
{
    bool has_expiry = expire_at_ms != -1;
    ASSERT(key.size <= UINT32_MAX && value.size <= UINT32_MAX);
    struct entry *entry = mem_alloc(allocation_size(key.size, value.size, has_expiry));
    memset(entry, 0, sizeof *entry);
    entry->key_size = (uint32_t)key.size;
    entry->value_size = (uint32_t)value.size;
    entry->has_expiry = has_expiry;
    char *to = entry->bytes;
    if (has_expiry) {
        memcpy(to, &expire_at_ms, EXPIRY_BYTES);
        to += EXPIRY_BYTES;
    }
    if (key.size > 0) memcpy(to, key.data, key.size);
    if (value.size > 0) memcpy(to + key.size, value.data, value.size);
    return entry;
}

bool entry_fits(const struct entry *entry, size_t value_size, bool has_expiry)
{
    if (value_size == entry->value_size && has_expiry == entry->has_expiry) return true;
    if (value_size > UINT32_MAX) return false;
    return mem_good_size(allocation_size(entry->key_size, value_size, has_expiry)) ==
           entry_memory_bytes(entry);
}

void entry_rewrite(struct entry *entry, struct slice value, int64_t expire_at_ms)
{
    bool has_expiry = expire_at_ms != -1;
    ASSERT(entry->references == 0);
    char *key_from = entry->bytes + (entry->has_expiry ? EXPIRY_BYTES : 0);
    char *key_to = entry->bytes + (has_expiry ? EXPIRY_BYTES : 0);
    char *value_to = key_to + entry->key_size;

    /* The key moves by 8 bytes when an expiry comes or goes. A value that lies in this entry must
     * not be overwritten by the key before it has moved, nor the key by the value. */
    if (key_to < key_from) memmove(key_to, key_from, entry->key_size);
    if (value.size > 0) memmove(value_to, value.data, value.size);
    if (key_to > key_from) memmove(key_to, key_from, entry->key_size);
    if (has_expiry) memcpy(entry->bytes, &expire_at_ms, EXPIRY_BYTES);
    entry->has_expiry = has_expiry;
    entry->value_size = (uint32_t)value.size;
}

void entry_detach(struct entry *entry)
{
    entry->linked = 0;
    if (entry->references > 0) {
        detached_bytes += entry_memory_bytes(entry);
    } else {
        mem_free(entry);
    }
}

void entry_unref(struct entry *entry)
{
    ASSERT_THREAD(THREAD_LOOP);
    ASSERT(entry->references > 0);
    if (--entry->references > 0 || entry->linked) return;
    detached_bytes -= entry_memory_bytes(entry);
    mem_free(entry);
}
