/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Slices (borrowed bytes), buffers (owned, growing bytes) and the conversions between bytes and
 * numbers that the protocol promises. Keys and values may hold any byte, zeros included. Pure
 * functions, any thread. */
#ifndef KELVIN_BASE_BYTES_H
#define KELVIN_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed: valid as long as its owner says. `data` may be NULL where size is 0. */
struct slice {
    const char *data;
    size_t size;
};

/* Owned by whoever holds the struct; zero-initialised is an empty one. */
struct buffer {
    char *data;
    size_t size;
    size_t capacity;
};

enum {
    INT64_TEXT_BYTES = 24,   /* room for any int64 with sign and final zero */
    DOUBLE_TEXT_BYTES = 5200 /* room for any long double as Redis prints it in fixed notation */
};

#define SLICE_LITERAL(text) ((struct slice){(text), sizeof(text) - 1})

static inline struct slice slice_make(const void *data, size_t size)
{
    return (struct slice){(const char *)data, size};
}

static inline struct slice slice_from_text(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Compares without case (ASCII). `text` ends with a zero. */
bool slice_equal_nocase(struct slice slice, const char *text);

/* memcmp order, a prefix before what it begins. */
int slice_compare(struct slice a, struct slice b);

/* A zero-terminated copy; free with mem_free. */
char *slice_dup_text(struct slice slice);

/* Decimal int64 as Redis's string2ll reads it: optional '-', no '+', no blanks, no leading zeros,
 * no overflow. False leaves *out alone. */
bool slice_to_int64(struct slice slice, int64_t *out);
bool slice_to_uint64(struct slice slice, uint64_t *out);

/* A long double as Redis's getLongDoubleFromObject reads it (no blanks, not NaN; inf allowed). */
bool slice_to_long_double(struct slice slice, long double *out);
/* A double as Redis's getDoubleFromObject reads it. */
bool slice_to_double(struct slice slice, double *out);

/* Writes the decimal text without a final zero; returns its length. `out` has INT64_TEXT_BYTES. */
size_t int64_format(char *out, int64_t value);
size_t uint64_format(char *out, uint64_t value);

/* A long double as INCRBYFLOAT prints it (17 digits after the point, trailing zeros dropped;
 * "inf" and "-inf"). `out` has DOUBLE_TEXT_BYTES. Returns the length. */
size_t long_double_format_human(char *out, long double value);
/* A double as Redis's replies print it ("%.17g", "inf", "-inf", "nan"). `out` has 64 bytes. */
size_t double_format(char *out, double value);

/* Makes room for `extra` more bytes; aborts when memory is out (see memory.h). */
void buffer_reserve(struct buffer *buffer, size_t extra);
void buffer_append(struct buffer *buffer, const void *data, size_t size);
void buffer_append_slice(struct buffer *buffer, struct slice slice);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends the bytes so that a log line or a report stays one readable line: printable ASCII as it
 * is, the rest as in Redis's sdscatrepr, in double quotes. */
void buffer_append_quoted(struct buffer *buffer, struct slice slice);
void buffer_clear(struct buffer *buffer); /* size 0, keeps the memory */
void buffer_free(struct buffer *buffer);  /* back to the empty state */
static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return (struct slice){buffer->data, buffer->size};
}

/* Fixed-width integers: little-endian for frames (journal), big-endian where byte order must be
 * number order (LevelDB keys). */
static inline void put_le32(void *out, uint32_t v) { memcpy(out, &v, sizeof v); }
static inline void put_le64(void *out, uint64_t v) { memcpy(out, &v, sizeof v); }
static inline uint32_t get_le32(const void *in) { uint32_t v; memcpy(&v, in, sizeof v); return v; }
static inline uint64_t get_le64(const void *in) { uint64_t v; memcpy(&v, in, sizeof v); return v; }
static inline void put_be64(void *out, uint64_t v) { v = __builtin_bswap64(v); memcpy(out, &v, sizeof v); }
static inline uint64_t get_be64(const void *in) { uint64_t v; memcpy(&v, in, sizeof v); return __builtin_bswap64(v); }
static inline void put_be32(void *out, uint32_t v) { v = __builtin_bswap32(v); memcpy(out, &v, sizeof v); }
static inline uint32_t get_be32(const void *in) { uint32_t v; memcpy(&v, in, sizeof v); return __builtin_bswap32(v); }

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats on disk assume little-endian");

#endif
