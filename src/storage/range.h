/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A range of the journal on its way to LevelDB: the operations of consecutive records, sorted by
 * record so that LevelDB gets sorted runs, operations on one record in the order in which they were
 * made. The batch writer's thread fills and sorts it; then workers read it at once, each its own part.
 *
 * Operations stay in the journal's mapping, encoded: what is kept of each is 32 bytes, and 32 more
 * to sort it. */
#ifndef KELVIN_STORAGE_RANGE_H
#define KELVIN_STORAGE_RANGE_H

#include "storage/journal.h"
#include "storage/operation.h"

/* One operation on a key or an element; borrows from the journal. */
struct range_item {
    const char *operation;
    uint64_t object_id; /* elements */
    uint32_t operation_bytes;
    uint32_t key_bytes;
    uint16_t key_offset; /* of the key within the encoded operation */
    uint16_t place;      /* keys: index into range.databases */
};

/* What is sorted: 8 bytes of the key after what all keys of the database begin with, or the
 * element's object id. */
struct range_order {
    uint64_t prefix;
    uint32_t index; /* into the items */
    uint16_t place;
    uint16_t units; /* of 16 bytes: the operation's size, rounded and capped */
};

struct range_list {
    struct range_item *items; /* in order of sequence */
    struct range_order *order; /* sorted */
    size_t count, capacity;
};

enum range_part { RANGE_KEYS, RANGE_ELEMENTS, RANGE_PARTS };

struct range_database {
    uint64_t db_id;
    struct slice first_key; /* of the first operation; */
    size_t common_bytes;    /* all others begin with as many bytes of it */
    /* Of operations above `claims_after`: what those with a known old record say of the counts,
     * and how many do not know it. */
    int64_t claimed_keys, claimed_expiring;
    uint64_t unknown;
};

enum { RANGE_MAX_DATABASES = 4096, RANGE_MAX_MAPS = 4096, RANGE_ITEM_BYTES = 64 };

struct range {
    struct range_list lists[RANGE_PARTS];
    struct range_database *databases;
    size_t database_count, database_capacity;
    struct operation *maps; /* MAP_DATABASE, SWAP_DATABASES in order */
    size_t map_count, map_capacity;

    bool has_flush;          /* FLUSH_ALL: all before it was dropped */
    uint64_t flush_sequence; /* of the last MAP_DATABASE that belongs to it */
    struct operation *flush_maps;
    size_t flush_map_count, flush_map_capacity;

    uint64_t last_sequence; /* of what was added */
    uint64_t bytes;         /* of the payloads added */
    uint64_t operations;    /* looked at */
    size_t last_place;      /* the database of the last operation */
};

void range_clear(struct range *range); /* keeps a little memory for the next */
void range_free(struct range *range);

/* Adds a record's operations above `after`. Claims count for those above `claims_after`.
 * STATUS_CORRUPT: not what the loop wrote. */
enum status range_add(struct range *range, const struct journal_record *record, uint64_t after,
                      uint64_t claims_after, struct error *error);
/* Nothing more fits in: bytes, or the memory to sort them, have reached their limit. */
bool range_is_full(const struct range *range, uint64_t limit_bytes, uint64_t limit_item_bytes);

void range_sort(struct range *range);

/* After the sort. The end of the group (all operations on one record) that begins at `first`. */
size_t range_group_end(const struct range *range, enum range_part part, size_t first);
/* The end of the batch of whole groups that begins at `first` and has about `bytes`. */
size_t range_batch_end(const struct range *range, enum range_part part, size_t first,
                       uint64_t bytes);
/* Decodes the operation at a sorted position. Cannot fail: range_add has looked at it. */
void range_operation(const struct range *range, enum range_part part, size_t position,
                     struct operation *out);
/* A hint that the operation at that position (any number) will be wanted soon. */
void range_prefetch(const struct range *range, enum range_part part, size_t position);

#endif
