/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A cached record: one allocation with header, optional expiry, key and value. What lives in memory
 * of the data set is made of these: keys (present, known absent, being loaded) and elements (the
 * chunks of big strings). The cache holds each once; replies and parked commands hold further
 * references, under which the bytes never change. Loop thread only, but for entry_unref's final
 * free, which only ever happens there too. */
#ifndef KELVIN_STORAGE_ENTRY_H
#define KELVIN_STORAGE_ENTRY_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum entry_state {
    ENTRY_PRESENT,
    ENTRY_ABSENT, /* known not to exist: a tombstone while its delete is not yet applied */
    ENTRY_LOADING /* placeholder of a load under way: never evicted */
};

/* The data types, as in the key record. */
enum value_type { VALUE_STRING = 0, VALUE_LIST, VALUE_SET, VALUE_ZSET, VALUE_HASH, VALUE_STREAM };

/* How a string came to be, which OBJECT ENCODING tells: */
enum string_encoding {
    STRING_AUTO,   /* int, embstr or raw, by its bytes */
    STRING_RAW,    /* raw whatever its bytes (APPEND, SETRANGE, SETBIT, ...) */
    STRING_NOT_INT, /* embstr or raw by length (INCRBYFLOAT) */
    STRING_COPY    /* like STRING_AUTO, but a small int is not one that all keys share (COPY).
                      In memory alone: the journal and the store keep STRING_AUTO */
};

struct entry {
    struct entry *newer, *older; /* neighbours in the tier's list */
    uint64_t sequence;           /* of its last operation; 0: as LevelDB has it */
    uint32_t references;         /* beside the cache's own */
    uint32_t key_size;
    uint32_t value_size;
    uint32_t accessed_s;   /* loop clock, seconds: idle times, OBJECT IDLETIME */
    uint32_t hash;         /* low half of hash_key(key) */
    uint16_t table;        /* index of the cache table that holds it */
    uint8_t type : 4;      /* enum value_type */
    uint8_t encoding : 2;  /* enum string_encoding */
    uint8_t state : 2;     /* enum entry_state */
    uint8_t tier : 2;      /* enum cache_tier; 0: in no tier */
    uint8_t has_expiry : 1;
    uint8_t has_object : 1; /* the value is a struct object_head, not the bytes themselves */
    uint8_t linked : 1;    /* the cache holds it */
    uint8_t fresh : 1;     /* a load brought it and nobody has accessed it since */
    uint8_t touches : 2;   /* accesses since it was put at the head of its list, up to 3 */
    char bytes[];          /* [int64_t expire_at_ms] key value */
};

_Static_assert(sizeof(struct entry) == 48, "bookkeeping per entry is bounded");

/* The value of a key whose data are element records under an object id. */
struct object_head {
    uint64_t object_id;
    uint64_t length; /* bytes of a string */
};

static inline struct slice entry_key(const struct entry *entry)
{
    return (struct slice){entry->bytes + (entry->has_expiry ? 8 : 0), entry->key_size};
}

static inline struct slice entry_value(const struct entry *entry)
{
    return (struct slice){entry->bytes + (entry->has_expiry ? 8 : 0) + entry->key_size,
                          entry->value_size};
}

/* -1: never. */
static inline int64_t entry_expire_at_ms(const struct entry *entry)
{
    int64_t at;
    if (!entry->has_expiry) return -1;
    memcpy(&at, entry->bytes, sizeof at);
    return at;
}

/* Only with has_object. */
static inline struct object_head entry_object(const struct entry *entry)
{
    struct object_head head;
    memcpy(&head, entry_value(entry).data, sizeof head);
    return head;
}

/* Holds the entry beyond its stay in the cache. */
static inline struct entry *entry_ref(struct entry *entry)
{
    entry->references++;
    return entry;
}
/* Frees it when nobody, the cache included, holds it any more. */
void entry_unref(struct entry *entry);

/* Memory of the allocation: its size class, a function of the sizes of key, value and expiry. */
size_t entry_memory_bytes(const struct entry *entry);
/* Memory of all entries that have left the cache while somebody still held them. */
uint64_t entry_detached_bytes(void);

/* --- for the cache --- */
/* An entry with copies of key and value (each at most UINT32_MAX bytes); expire_at_ms -1: never. In
 * no table, no list and no tier, referenced by nobody. */
struct entry *entry_create(struct slice key, struct slice value, int64_t expire_at_ms);
/* True when entry_rewrite would leave the allocation in the same size class. */
bool entry_fits(const struct entry *entry, size_t value_size, bool has_expiry);
/* Puts value and expiry in the place of what it has; needs entry_fits, and nobody may reference it.
 * `value` may point into the entry's own value. */
void entry_rewrite(struct entry *entry, struct slice value, int64_t expire_at_ms);
/* The cache lets go: freed now, or by the last entry_unref. */
void entry_detach(struct entry *entry);

#endif
