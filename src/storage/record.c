/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The codec of the records in LevelDB; record.h draws them. Pure functions, any thread. The
 * decoders refuse whatever the encoders would not have written. */
#include "storage/record.h"

#include "base/check.h"

enum {
    FLAG_EXPIRY = 1,
    FLAG_OBJECT = 2,
    ENCODING_SHIFT = 2,
    ENCODING_MASK = 3,
    FLAGS_KNOWN = FLAG_EXPIRY | FLAG_OBJECT | ENCODING_MASK << ENCODING_SHIFT
};

static const char database_prefix[] = "database";
static const char count_prefix[] = "count";

static void append_byte(struct buffer *out, char byte)
{
    buffer_append(out, &byte, 1);
}

static void append_be32(struct buffer *out, uint32_t value)
{
    char bytes[4];
    put_be32(bytes, value);
    buffer_append(out, bytes, sizeof bytes);
}

static void append_be64(struct buffer *out, uint64_t value)
{
    char bytes[8];
    put_be64(bytes, value);
    buffer_append(out, bytes, sizeof bytes);
}

static void append_le64(struct buffer *out, uint64_t value)
{
    char bytes[8];
    put_le64(bytes, value);
    buffer_append(out, bytes, sizeof bytes);
}

/* Kind and id in one go: these are made for every key that is written or loaded. */
static void append_kind_and_id(struct buffer *out, char kind, uint64_t id)
{
    char bytes[9];
    bytes[0] = kind;
    put_be64(bytes + 1, id);
    buffer_append(out, bytes, sizeof bytes);
}

void record_key_name(struct buffer *out, uint64_t db_id, struct slice key)
{
    append_kind_and_id(out, RECORD_KEY, db_id);
    buffer_append_slice(out, key);
}

void record_element_name(struct buffer *out, uint64_t object_id, struct slice element)
{
    append_kind_and_id(out, RECORD_ELEMENT, object_id);
    buffer_append_slice(out, element);
}

void record_chunk_name(struct buffer *out, uint64_t object_id, uint32_t index)
{
    append_kind_and_id(out, RECORD_ELEMENT, object_id);
    append_be32(out, index);
}

void record_expiry_name(struct buffer *out, int64_t expire_at_ms, uint64_t db_id, struct slice key)
{
    ASSERT(expire_at_ms >= 0); /* a negative time would sort after all others */
    append_kind_and_id(out, RECORD_EXPIRY, (uint64_t)expire_at_ms);
    append_be64(out, db_id);
    buffer_append_slice(out, key);
}

void record_garbage_name(struct buffer *out, char kind, uint64_t id)
{
    ASSERT(kind == RECORD_GARBAGE_OBJECT || kind == RECORD_GARBAGE_DATABASE);
    append_byte(out, RECORD_GARBAGE);
    append_byte(out, kind);
    append_be64(out, id);
}

void record_meta_name(struct buffer *out, const char *name)
{
    append_byte(out, RECORD_META);
    buffer_append_text(out, name);
}

void record_database_name(struct buffer *out, uint32_t number)
{
    record_meta_name(out, database_prefix);
    append_be32(out, number);
}

void record_count_name(struct buffer *out, uint64_t db_id, uint16_t slot)
{
    record_meta_name(out, count_prefix);
    append_be64(out, db_id);
    char bytes[2] = {(char)(slot >> 8), (char)(slot & 0xff)};
    buffer_append(out, bytes, sizeof bytes);
}

static struct slice cut_front(struct slice from, size_t bytes)
{
    return slice_make(from.data + bytes, from.size - bytes);
}

static bool take_kind_and_id(struct slice *name, char kind, uint64_t *id)
{
    if (name->size < 9 || name->data[0] != kind) return false;
    *id = get_be64(name->data + 1);
    *name = cut_front(*name, 9);
    return true;
}

bool record_parse_key_name(struct slice name, uint64_t *db_id, struct slice *key)
{
    uint64_t id;
    if (!take_kind_and_id(&name, RECORD_KEY, &id)) return false;
    *db_id = id;
    *key = name;
    return true;
}

bool record_parse_element_name(struct slice name, uint64_t *object_id, struct slice *element)
{
    uint64_t id;
    if (!take_kind_and_id(&name, RECORD_ELEMENT, &id)) return false;
    *object_id = id;
    *element = name;
    return true;
}

bool record_parse_expiry_name(struct slice name, int64_t *expire_at_ms, uint64_t *db_id,
                              struct slice *key)
{
    uint64_t at;
    if (!take_kind_and_id(&name, RECORD_EXPIRY, &at)) return false;
    if (name.size < 8 || at > INT64_MAX) return false;
    *expire_at_ms = (int64_t)at;
    *db_id = get_be64(name.data);
    *key = cut_front(name, 8);
    return true;
}

bool record_parse_garbage_name(struct slice name, char *kind, uint64_t *id)
{
    if (name.size != 10 || name.data[0] != RECORD_GARBAGE) return false;
    if (name.data[1] != RECORD_GARBAGE_OBJECT && name.data[1] != RECORD_GARBAGE_DATABASE)
        return false;
    *kind = name.data[1];
    *id = get_be64(name.data + 2);
    return true;
}

/* What follows 'M' and the prefix, if it has that size. */
static bool take_meta_suffix(struct slice name, const char *prefix, size_t bytes,
                             struct slice *suffix)
{
    size_t prefix_bytes = strlen(prefix);
    if (name.size != 1 + prefix_bytes + bytes || name.data[0] != RECORD_META) return false;
    if (memcmp(name.data + 1, prefix, prefix_bytes) != 0) return false;
    *suffix = cut_front(name, 1 + prefix_bytes);
    return true;
}

bool record_parse_database_name(struct slice name, uint32_t *number)
{
    struct slice suffix;
    if (!take_meta_suffix(name, database_prefix, 4, &suffix)) return false;
    *number = get_be32(suffix.data);
    return true;
}

bool record_parse_count_name(struct slice name, uint64_t *db_id, uint16_t *slot)
{
    struct slice suffix;
    if (!take_meta_suffix(name, count_prefix, 10, &suffix)) return false;
    *db_id = get_be64(suffix.data);
    *slot = (uint16_t)((unsigned char)suffix.data[8] << 8 | (unsigned char)suffix.data[9]);
    return true;
}

void key_record_encode(struct buffer *out, const struct key_record *record)
{
    bool expires = record->expire_at_ms != -1;
    ASSERT(record->type <= VALUE_STREAM && record->encoding <= STRING_NOT_INT);
    ASSERT(record->expire_at_ms >= -1);
    char head[3] = {RECORD_KEY_VERSION, (char)record->type,
                    (char)((expires ? FLAG_EXPIRY : 0) | (record->has_object ? FLAG_OBJECT : 0) |
                           record->encoding << ENCODING_SHIFT)};
    buffer_append(out, head, sizeof head);
    if (expires) append_le64(out, (uint64_t)record->expire_at_ms);
    if (record->has_object) {
        append_le64(out, record->object.object_id);
        append_le64(out, record->object.length);
    } else {
        buffer_append_slice(out, record->value);
    }
}

enum status key_record_decode(struct slice value, struct key_record *out)
{
    if (value.size < 1 || value.data[0] < 1) return STATUS_CORRUPT;
    if (value.data[0] > RECORD_KEY_VERSION) return STATUS_UNSUPPORTED;
    if (value.size < 3) return STATUS_CORRUPT;

    unsigned type = (unsigned char)value.data[1], flags = (unsigned char)value.data[2];
    unsigned encoding = flags >> ENCODING_SHIFT & ENCODING_MASK;
    if (type > VALUE_STREAM || (flags & ~(unsigned)FLAGS_KNOWN) || encoding > STRING_NOT_INT)
        return STATUS_CORRUPT;
    value = cut_front(value, 3);

    struct key_record record = {.type = (uint8_t)type,
                                .encoding = (uint8_t)encoding,
                                .has_object = flags & FLAG_OBJECT,
                                .expire_at_ms = -1};
    if (flags & FLAG_EXPIRY) {
        if (value.size < 8) return STATUS_CORRUPT;
        record.expire_at_ms = (int64_t)get_le64(value.data);
        if (record.expire_at_ms < 0) return STATUS_CORRUPT;
        value = cut_front(value, 8);
    }
    if (record.has_object) {
        if (value.size != 16) return STATUS_CORRUPT;
        record.object.object_id = get_le64(value.data);
        record.object.length = get_le64(value.data + 8);
    } else {
        record.value = value;
    }
    *out = record;
    return STATUS_OK;
}
