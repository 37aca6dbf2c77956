/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The records in LevelDB, drawn here and nowhere else. Integers in keys are big-endian, so that
 * byte order is number order; values are little-endian. The first byte names the kind.
 *
 *   key      'K' db-id:8 key             version:1 type:1 flags:1 [expire-ms:8] then the string itself
 *                                        or, with RECORD_HAS_OBJECT, object-id:8 length:8
 *   element  'E' object-id:8 element     the bytes (a chunk: element = be32 index)
 *   expiry   'X' expire-ms:8 db-id:8 key nothing
 *   garbage  'G' kind:1 id:8             nothing; kind 'o' an object, 'd' a database
 *   meta     'M' name                    see below
 *
 *   M "format"             version:4 (1)
 *   M "store-id"           id:8
 *   M "marker"             sequence:8     everything up to it has been applied
 *   M "database" number:4  db-id:8        absent: number + 1
 *   M "count" db-id:8 slot:2  keys:8 expiring:8 (signed)   the sum over the slots is the count (rule 10)
 *
 * flags: 1 has expiry, 2 has object, 4.. encoding (2 bits). Pure functions, any thread; decoders check
 * everything and are fuzzed. */
#ifndef KELVIN_STORAGE_RECORD_H
#define KELVIN_STORAGE_RECORD_H

#include "base/bytes.h"
#include "base/status.h"
#include "storage/entry.h"

enum { RECORD_FORMAT_VERSION = 1, RECORD_KEY_VERSION = 1 };
enum { RECORD_ELEMENT = 'E', RECORD_GARBAGE = 'G', RECORD_KEY = 'K', RECORD_META = 'M', RECORD_EXPIRY = 'X' };
enum { RECORD_GARBAGE_OBJECT = 'o', RECORD_GARBAGE_DATABASE = 'd' };

struct key_record {
    uint8_t type, encoding;
    bool has_object;
    int64_t expire_at_ms;      /* -1 never */
    struct slice value;        /* without object */
    struct object_head object; /* with */
};

/* Key encoders append to `out`. */
void record_key_name(struct buffer *out, uint64_t db_id, struct slice key);
void record_element_name(struct buffer *out, uint64_t object_id, struct slice element);
void record_chunk_name(struct buffer *out, uint64_t object_id, uint32_t index);
void record_expiry_name(struct buffer *out, int64_t expire_at_ms, uint64_t db_id, struct slice key);
void record_garbage_name(struct buffer *out, char kind, uint64_t id);
void record_meta_name(struct buffer *out, const char *name);
void record_database_name(struct buffer *out, uint32_t number);
void record_count_name(struct buffer *out, uint64_t db_id, uint16_t slot);

/* Name decoders: false when `name` is not of that kind or damaged. Slices borrow from `name`. */
bool record_parse_key_name(struct slice name, uint64_t *db_id, struct slice *key);
bool record_parse_element_name(struct slice name, uint64_t *object_id, struct slice *element);
bool record_parse_expiry_name(struct slice name, int64_t *expire_at_ms, uint64_t *db_id,
                              struct slice *key);
bool record_parse_garbage_name(struct slice name, char *kind, uint64_t *id);
bool record_parse_database_name(struct slice name, uint32_t *number);
bool record_parse_count_name(struct slice name, uint64_t *db_id, uint16_t *slot);

void key_record_encode(struct buffer *out, const struct key_record *record);
/* STATUS_CORRUPT, STATUS_UNSUPPORTED (a newer record version). Borrows from `value`. */
enum status key_record_decode(struct slice value, struct key_record *out);

#endif
