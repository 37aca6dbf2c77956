/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A write set: the operations that one command (or one EXEC) has decided on, in order, before any of
 * them counts. keyspace_commit makes all of them one journal record and then publishes them; throwing
 * it away undoes everything. Bytes in it are borrowed: from the request, from cached entries (which
 * no operation before in the same set may replace), or from the set's own arena. Loop thread. */
#ifndef KELVIN_STORAGE_WRITE_SET_H
#define KELVIN_STORAGE_WRITE_SET_H

#include "storage/operation.h"

struct pending {
    struct operation operation;
    uint64_t hash;  /* hash_key(operation.key) */
    uint16_t table; /* cache table that it goes to; 0 for database operations */
    bool expires;   /* a DELETE because the time had come, not because a client said so */
    bool unseen;    /* changes nothing that a client could see: WATCH does not notice it */
    uint32_t earlier;    /* the set's: position + 1 of the operation before it on the same record */
    struct entry *found; /* commit's: the cached entry that it replaces */
    struct entry *made;  /* commit's: the new entry, where a job made it; else NULL */
};

/* The key under which the cache holds the record. An element's operation.key is the tail of it: the
 * eight bytes in front are its object id (see keyspace_strings.c). */
static inline struct slice pending_cache_key(const struct pending *pending)
{
    struct slice key = pending->operation.key;
    if (pending->operation.kind == OPERATION_PUT_ELEMENT ||
        pending->operation.kind == OPERATION_DELETE_ELEMENT)
        return (struct slice){key.data - 8, key.size + 8};
    return key;
}

struct write_set;

struct write_set *write_set_create(void);
void write_set_destroy(struct write_set *set);
void write_set_clear(struct write_set *set); /* keeps a little memory for the next */
/* A new set with all that `set` has, arena included; `set` is empty then. */
struct write_set *write_set_take(struct write_set *set);

size_t write_set_count(const struct write_set *set);
struct pending *write_set_at(const struct write_set *set, size_t index);
/* Appends; the struct is copied (but `earlier`, which is filled in), its bytes are borrowed. Returns
 * the place, valid until the next. */
struct pending *write_set_add(struct write_set *set, const struct pending *pending);
/* The latest operation on that record, or NULL. O(1) however many there are. */
const struct pending *write_set_find(const struct write_set *set, uint16_t table,
                                     struct slice key, uint64_t hash);
/* Cuts back to the first `count` operations (a command of an EXEC that failed half-way). */
void write_set_truncate(struct write_set *set, size_t count);
/* True when it holds nothing but deletes with `expires`. */
bool write_set_only_expires(const struct write_set *set);
/* Bytes of the journal record that it would make. */
size_t write_set_encoded_bytes(const struct write_set *set);

/* Memory that lives until the set is cleared, aligned to 8 bytes. NULL when there is none for a large
 * size. */
char *write_set_memory(struct write_set *set, size_t size);

#endif
