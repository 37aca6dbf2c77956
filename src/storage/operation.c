/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The operation codec. Pure functions, any thread. The encoding is canonical: each operation has
 * one, and the decoder refuses whatever the encoder would not have written.
 *
 *   byte 0   bits 0-2 kind, 3 has_object, 4 moves_object, 5 an expiry follows, 6-7 old record
 *   PUT, DELETE
 *     byte 1 bits 0-3 type, 4-5 encoding, 6 the old record's expiry follows, 7 its object id does
 *     db_id  key-length  key  [old expiry, 8 bytes]  [old object id]
 *     PUT:   [expiry, 8 bytes]  object id, length | value-length  value
 *   PUT_ELEMENT        object_id  key-length  key  value-length  value
 *   DELETE_ELEMENT     object_id  key-length  key
 *   MAP_DATABASE       number  db_id  dropped_db_id
 *   SWAP_DATABASES     number  other_number
 *   FLUSH_ALL          nothing
 *
 * Ids, lengths and numbers are varints (LEB128: 7 bits a byte, low ones first, the high bit says
 * that more follow; never longer than needed). Expiries are little-endian int64, never -1. */
#include "storage/operation.h"

#include "base/check.h"

enum {
    KIND_MASK = 7,
    FLAG_OBJECT = 1 << 3,
    FLAG_MOVES = 1 << 4,
    FLAG_EXPIRY = 1 << 5,
    OLD_SHIFT = 6,
    TYPE_MASK = 15,
    ENCODING_SHIFT = 4,
    ENCODING_MASK = 3,
    FLAG_OLD_EXPIRY = 1 << 6,
    FLAG_OLD_OBJECT = 1 << 7,
    VARINT_MAX_BYTES = 10
};

static inline size_t varint_bytes(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

static inline char *varint_encode(uint64_t value, char *out)
{
    while (__builtin_expect(value >= 0x80, 0)) {
        *out++ = (char)(unsigned char)(value | 0x80);
        value >>= 7;
    }
    *out++ = (char)(unsigned char)value;
    return out;
}

static inline size_t bytes_encoded(struct slice bytes)
{
    return varint_bytes(bytes.size) + bytes.size;
}

static inline char *bytes_encode(struct slice bytes, char *out)
{
    out = varint_encode(bytes.size, out);
    if (bytes.size > 0) memcpy(out, bytes.data, bytes.size);
    return out + bytes.size;
}

static inline char *int64_encode(int64_t value, char *out)
{
    put_le64(out, (uint64_t)value);
    return out + sizeof value;
}

static inline bool has_old_expiry(const struct operation *operation)
{
    return operation->old == OLD_PRESENT && operation->old_expire_at_ms != -1;
}

static inline bool has_old_object(const struct operation *operation)
{
    return operation->old == OLD_PRESENT && operation->old_object_id != 0;
}

size_t operation_encoded_bytes(const struct operation *operation)
{
    size_t size = 1;
    switch (operation->kind) {
    case OPERATION_PUT:
        if (operation->expire_at_ms != -1) size += 8;
        size += operation->has_object ? varint_bytes(operation->object.object_id) +
                                            varint_bytes(operation->object.length)
                                      : bytes_encoded(operation->value);
        __attribute__((fallthrough)); /* the rest is as for a delete */
    case OPERATION_DELETE:
        size += 1 + varint_bytes(operation->db_id) + bytes_encoded(operation->key);
        if (has_old_expiry(operation)) size += 8;
        if (has_old_object(operation)) size += varint_bytes(operation->old_object_id);
        return size;
    case OPERATION_PUT_ELEMENT:
        size += bytes_encoded(operation->value);
        __attribute__((fallthrough));
    case OPERATION_DELETE_ELEMENT:
        return size + varint_bytes(operation->object_id) + bytes_encoded(operation->key);
    case OPERATION_MAP_DATABASE:
        return size + varint_bytes(operation->number) + varint_bytes(operation->db_id) +
               varint_bytes(operation->dropped_db_id);
    case OPERATION_SWAP_DATABASES:
        return size + varint_bytes(operation->number) + varint_bytes(operation->other_number);
    case OPERATION_FLUSH_ALL:
        return size;
    default:
        panic("operation of unknown kind %d", operation->kind);
    }
}

/* PUT and DELETE. */
static char *key_record_encode(const struct operation *operation, char *out)
{
    bool is_put = operation->kind == OPERATION_PUT;
    bool old_expiry = has_old_expiry(operation), old_object = has_old_object(operation);
    unsigned first = operation->kind | (unsigned)operation->old << OLD_SHIFT;
    unsigned second = (old_expiry ? FLAG_OLD_EXPIRY : 0) | (old_object ? FLAG_OLD_OBJECT : 0);

    ASSERT(operation->old <= OLD_PRESENT);
    if (is_put) {
        unsigned encoding = operation->encoding == STRING_COPY ? STRING_AUTO : operation->encoding;
        ASSERT(operation->type <= VALUE_STREAM && encoding <= STRING_NOT_INT);
        if (operation->has_object) first |= FLAG_OBJECT;
        if (operation->expire_at_ms != -1) first |= FLAG_EXPIRY;
        second |= operation->type | encoding << ENCODING_SHIFT;
    } else if (operation->moves_object) {
        first |= FLAG_MOVES;
    }
    *out++ = (char)(unsigned char)first;
    *out++ = (char)(unsigned char)second;
    out = varint_encode(operation->db_id, out);
    out = bytes_encode(operation->key, out);
    if (old_expiry) out = int64_encode(operation->old_expire_at_ms, out);
    if (old_object) out = varint_encode(operation->old_object_id, out);
    if (!is_put) return out;
    if (operation->expire_at_ms != -1) out = int64_encode(operation->expire_at_ms, out);
    if (!operation->has_object) return bytes_encode(operation->value, out);
    out = varint_encode(operation->object.object_id, out);
    return varint_encode(operation->object.length, out);
}

char *operation_encode(const struct operation *operation, char *out)
{
    switch (operation->kind) {
    case OPERATION_PUT:
    case OPERATION_DELETE:
        return key_record_encode(operation, out);
    case OPERATION_PUT_ELEMENT:
    case OPERATION_DELETE_ELEMENT:
        *out++ = (char)operation->kind;
        out = varint_encode(operation->object_id, out);
        out = bytes_encode(operation->key, out);
        if (operation->kind == OPERATION_PUT_ELEMENT) out = bytes_encode(operation->value, out);
        return out;
    case OPERATION_MAP_DATABASE:
        *out++ = (char)operation->kind;
        out = varint_encode(operation->number, out);
        out = varint_encode(operation->db_id, out);
        return varint_encode(operation->dropped_db_id, out);
    case OPERATION_SWAP_DATABASES:
        *out++ = (char)operation->kind;
        out = varint_encode(operation->number, out);
        return varint_encode(operation->other_number, out);
    case OPERATION_FLUSH_ALL:
        *out++ = (char)operation->kind;
        return out;
    default:
        panic("operation of unknown kind %d", operation->kind);
    }
}

/* The takers move the front of `input` and return false for what the encoder never writes. */

static bool take_varint(struct slice *input, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < input->size && i < VARINT_MAX_BYTES; i++) {
        uint64_t byte = (unsigned char)input->data[i];
        if (i == VARINT_MAX_BYTES - 1 && byte > 1) return false; /* more than 64 bits */
        value |= (byte & 0x7f) << (7 * i);
        if (byte >= 0x80) continue;
        if (byte == 0 && i > 0) return false; /* longer than needed */
        *input = slice_make(input->data + i + 1, input->size - i - 1);
        *out = value;
        return true;
    }
    return false;
}

static bool take_number(struct slice *input, uint32_t *out)
{
    uint64_t value;
    if (!take_varint(input, &value) || value > UINT32_MAX) return false;
    *out = (uint32_t)value;
    return true;
}

static bool take_bytes(struct slice *input, struct slice *out)
{
    uint64_t size;
    if (!take_varint(input, &size) || size > input->size) return false;
    *out = slice_make(input->data, (size_t)size);
    *input = slice_make(input->data + size, input->size - (size_t)size);
    return true;
}

static bool take_expiry(struct slice *input, int64_t *out)
{
    if (input->size < sizeof *out) return false;
    *out = (int64_t)get_le64(input->data);
    *input = slice_make(input->data + sizeof *out, input->size - sizeof *out);
    return *out != -1;
}

static bool key_record_decode(struct slice *input, unsigned first, struct operation *out)
{
    bool is_put = out->kind == OPERATION_PUT;
    if (input->size == 0) return false;
    unsigned second = (unsigned char)input->data[0];
    *input = slice_make(input->data + 1, input->size - 1);

    out->old = (uint8_t)(first >> OLD_SHIFT);
    out->type = second & TYPE_MASK;
    out->encoding = (second >> ENCODING_SHIFT) & ENCODING_MASK;
    out->has_object = first & FLAG_OBJECT;
    out->moves_object = first & FLAG_MOVES;
    if (out->old > OLD_PRESENT || out->type > VALUE_STREAM || out->encoding > STRING_NOT_INT)
        return false;
    if (out->old != OLD_PRESENT && (second & (FLAG_OLD_EXPIRY | FLAG_OLD_OBJECT))) return false;
    if (is_put ? out->moves_object
               : (first & (FLAG_OBJECT | FLAG_EXPIRY)) || out->type || out->encoding)
        return false;

    if (!take_varint(input, &out->db_id) || !take_bytes(input, &out->key)) return false;
    if ((second & FLAG_OLD_EXPIRY) && !take_expiry(input, &out->old_expire_at_ms)) return false;
    if ((second & FLAG_OLD_OBJECT) &&
        (!take_varint(input, &out->old_object_id) || out->old_object_id == 0))
        return false;
    if (!is_put) return true;
    if ((first & FLAG_EXPIRY) && !take_expiry(input, &out->expire_at_ms)) return false;
    if (!out->has_object) return take_bytes(input, &out->value);
    return take_varint(input, &out->object.object_id) && take_varint(input, &out->object.length);
}

static bool decode_body(struct slice *input, unsigned first, struct operation *out)
{
    if (out->kind == OPERATION_PUT || out->kind == OPERATION_DELETE)
        return key_record_decode(input, first, out);
    if (first & ~(unsigned)KIND_MASK) return false;
    switch (out->kind) {
    case OPERATION_PUT_ELEMENT:
        return take_varint(input, &out->object_id) && take_bytes(input, &out->key) &&
               take_bytes(input, &out->value);
    case OPERATION_DELETE_ELEMENT:
        return take_varint(input, &out->object_id) && take_bytes(input, &out->key);
    case OPERATION_MAP_DATABASE:
        return take_number(input, &out->number) && take_varint(input, &out->db_id) &&
               take_varint(input, &out->dropped_db_id);
    case OPERATION_SWAP_DATABASES:
        return take_number(input, &out->number) && take_number(input, &out->other_number);
    case OPERATION_FLUSH_ALL:
        return true;
    default:
        return false;
    }
}

enum status operation_decode(struct slice *input, struct operation *out)
{
    if (input->size == 0) return STATUS_NOT_FOUND;
    unsigned first = (unsigned char)input->data[0];
    struct slice rest = slice_make(input->data + 1, input->size - 1);
    struct operation operation = {.kind = first & KIND_MASK,
                                  .expire_at_ms = -1,
                                  .old_expire_at_ms = -1};
    if (!decode_body(&rest, first, &operation)) return STATUS_CORRUPT;
    *input = rest;
    *out = operation;
    return STATUS_OK;
}
