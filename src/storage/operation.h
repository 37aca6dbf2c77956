/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Operations: what a write set is made of and what a journal record holds. One encoding, in one
 * file, used by the loop (which appends) and by the batch writer (which applies). An operation
 * borrows its bytes. Pure functions, any thread; the decoder is fuzzed.
 *
 * Each operation has a sequence of its own: a record that begins at sequence S with n operations
 * covers S .. S+n-1. Ids of objects and databases are sequences of the operation that made them,
 * hence never used again. */
#ifndef KELVIN_STORAGE_OPERATION_H
#define KELVIN_STORAGE_OPERATION_H

#include "base/bytes.h"
#include "base/status.h"
#include "storage/entry.h"

enum {
    FIRST_SEQUENCE = 1 << 20, /* below: the ids of the databases of an empty store (number + 1) */
    CHUNK_BYTES = 16256,      /* of a big string; with header and key an entry fits in 16 KiB */
    INLINE_VALUE_MAX_BYTES = 64 * 1024 /* longer strings are kept in chunks */
};

enum operation_kind {
    OPERATION_PUT = 1,     /* a key record: the string itself or the head of an object */
    OPERATION_DELETE,      /* a key record; its object, if any, becomes garbage unless moved */
    OPERATION_PUT_ELEMENT, /* an element record of an object: here a chunk, key = be32 index */
    OPERATION_DELETE_ELEMENT,
    OPERATION_MAP_DATABASE,  /* `number` now means `db_id`; `dropped_db_id`, unless 0, is garbage */
    OPERATION_SWAP_DATABASES, /* `number` and `other_number` change their db-ids */
    OPERATION_FLUSH_ALL      /* nothing before it counts; the MAP operations after it in its record
                                give every database its new id */
};

/* What the loop knew of the key record that an operation replaces (rule 10). */
enum old_record { OLD_UNKNOWN, OLD_ABSENT, OLD_PRESENT };

struct operation {
    uint8_t kind;       /* enum operation_kind */
    uint8_t type;       /* enum value_type */
    uint8_t encoding;   /* enum string_encoding */
    bool has_object;    /* PUT: `object` counts, not `value` */
    bool moves_object;  /* DELETE: another key of the same record takes the object over (RENAME) */
    uint8_t old;        /* enum old_record */
    int64_t old_expire_at_ms; /* OLD_PRESENT: -1 none */
    uint64_t old_object_id;   /* OLD_PRESENT: 0 none */
    uint64_t db_id;       /* PUT, DELETE, MAP_DATABASE */
    uint64_t object_id;   /* PUT_ELEMENT, DELETE_ELEMENT */
    struct slice key;     /* of the key or the element */
    struct slice value;   /* PUT without object, PUT_ELEMENT */
    int64_t expire_at_ms; /* PUT: -1 never */
    struct object_head object; /* PUT with has_object */
    uint32_t number, other_number; /* MAP_DATABASE, SWAP_DATABASES */
    uint64_t dropped_db_id;   /* MAP_DATABASE */
    uint64_t sequence; /* filled by the reader of a record, not encoded */
};

/* Exact length of the encoding. */
size_t operation_encoded_bytes(const struct operation *operation);
/* Writes exactly that many bytes; returns the end. */
char *operation_encode(const struct operation *operation, char *out);
/* Takes one operation from the front of `*input`, whose bytes it borrows. STATUS_NOT_FOUND at the
 * end, STATUS_CORRUPT for anything that operation_encode would not have written. */
enum status operation_decode(struct slice *input, struct operation *out);

#endif
