/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Slices and growing buffers (numbers are in number.c). Any thread; a buffer belongs to one thread
 * at a time. Always: size <= capacity, and data is NULL only where capacity is 0. */
#include "base/bytes.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

bool slice_equal_nocase(struct slice slice, const char *text)
{
    return strlen(text) == slice.size &&
           (slice.size == 0 || strncasecmp(slice.data, text, slice.size) == 0);
}

int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    if (order != 0) return order;
    return (a.size > b.size) - (a.size < b.size);
}

char *slice_dup_text(struct slice slice)
{
    char *text = mem_alloc(slice.size + 1);
    if (slice.size > 0) memcpy(text, slice.data, slice.size);
    text[slice.size] = '\0';
    return text;
}

/* Doubles while small, then adds a quarter: the amortised cost stays constant and a big buffer
 * wastes little. */
static size_t grown_capacity(size_t capacity, size_t needed)
{
    enum { SMALLEST = 64, DOUBLE_UP_TO = 1 << 20 };
    size_t grown = capacity < DOUBLE_UP_TO ? capacity * 2 : capacity + capacity / 4;
    if (grown < SMALLEST) grown = SMALLEST;
    return mem_good_size(grown > needed ? grown : needed);
}

void buffer_reserve(struct buffer *buffer, size_t extra)
{
    if (buffer->capacity - buffer->size >= extra) return;
    ASSERT(extra <= PTRDIFF_MAX - buffer->size);
    size_t capacity = grown_capacity(buffer->capacity, buffer->size + extra);
    buffer->data = mem_realloc(buffer->data, capacity);
    buffer->capacity = capacity;
}

void buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    if (size == 0) return;
    buffer_reserve(buffer, size);
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

void buffer_append_slice(struct buffer *buffer, struct slice slice)
{
    buffer_append(buffer, slice.data, slice.size);
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    buffer_reserve(buffer, 128);
    size_t room = buffer->capacity - buffer->size;
    int length = vsnprintf(buffer->data + buffer->size, room, format, arguments);
    ASSERT(length >= 0);
    if ((size_t)length >= room) {
        buffer_reserve(buffer, (size_t)length + 1);
        vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, again);
    }
    buffer->size += (size_t)length;
    va_end(again);
    va_end(arguments);
}

void buffer_append_quoted(struct buffer *buffer, struct slice slice)
{
    buffer_append_text(buffer, "\"");
    for (size_t i = 0; i < slice.size; i++) {
        char c = slice.data[i];
        switch (c) {
        case '\\':
        case '"':
            buffer_append(buffer, (char[]){'\\', c}, 2);
            break;
        case '\n':
            buffer_append_text(buffer, "\\n");
            break;
        case '\r':
            buffer_append_text(buffer, "\\r");
            break;
        case '\t':
            buffer_append_text(buffer, "\\t");
            break;
        case '\a':
            buffer_append_text(buffer, "\\a");
            break;
        case '\b':
            buffer_append_text(buffer, "\\b");
            break;
        default:
            if (c >= ' ' && c <= '~')
                buffer_append(buffer, &c, 1);
            else
                buffer_append_format(buffer, "\\x%02x", (unsigned)(unsigned char)c);
        }
    }
    buffer_append_text(buffer, "\"");
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
}

void buffer_free(struct buffer *buffer)
{
    mem_free(buffer->data);
    *buffer = (struct buffer){0};
}
