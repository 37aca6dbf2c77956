/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The reply reader: BETWEEN lines it gathers a line; a bulk's line sets `bulk_left`, which is then
 * passed through. Nesting needs no stack: an aggregate adds its elements to those that are left. */
#include "answers.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_END_BYTES = 2 };

static void begin(struct answer_reader *reader)
{
    reader->began = true;
    reader->is_error = false;
    reader->nils = 0;
    reader->index = 0;
    reader->elements_left = 1;
    reader->line_bytes = 0;
    reader->line[0] = 0;
}

static void element_done(struct answer_reader *reader)
{
    reader->elements_left--;
    reader->index++;
}

/* A whole line is there. */
static bool act_on_line(struct answer_reader *reader)
{
    char kind = reader->line[0];
    char *end;
    long long number;
    switch (kind) {
    case '-':
        reader->is_error = true;
        element_done(reader);
        return true;
    case '+':
    case ':':
    case ',':
    case '#':
    case '(':
        element_done(reader);
        return true;
    case '_':
        reader->nils++;
        element_done(reader);
        return true;
    case '$':
    case '=':
    case '!':
    case '*':
    case '~':
    case '>':
    case '%':
        break;
    default:
        return false;
    }
    number = strtoll(reader->line + 1, &end, 10);
    if (end == reader->line + 1 || *end || number < -1) return false;
    if (number < 0) {
        reader->nils++;
        element_done(reader);
    } else if (kind == '$' || kind == '=' || kind == '!') {
        if (kind == '!') reader->is_error = true;
        reader->bulk_bytes = (size_t)number;
        reader->bulk_left = (size_t)number + LINE_END_BYTES;
    } else {
        /* The aggregate itself is no element that counts. */
        reader->elements_left += (uint64_t)number * (kind == '%' ? 2 : 1) - 1;
    }
    return true;
}

static size_t read_bulk(struct answer_reader *reader, const char *bytes, size_t size,
                        answer_bulk *on_bulk, void *context)
{
    size_t part = size < reader->bulk_left ? size : reader->bulk_left;
    size_t offset = reader->bulk_bytes + LINE_END_BYTES - reader->bulk_left;
    if (on_bulk && offset < reader->bulk_bytes) {
        size_t real = reader->bulk_bytes - offset;
        on_bulk(context, reader->index, reader->bulk_bytes, offset, bytes,
                real < part ? real : part);
    } else if (on_bulk && reader->bulk_bytes == 0 && offset == 0) {
        on_bulk(context, reader->index, 0, 0, bytes, 0);
    }
    reader->bulk_left -= part;
    if (reader->bulk_left == 0) element_done(reader);
    return part;
}

/* Gathers a line; true when it is whole. What does not fit is dropped. */
static bool read_line(struct answer_reader *reader, const char *bytes, size_t size, size_t *used)
{
    const char *end = memchr(bytes, '\n', size);
    size_t part = end ? (size_t)(end - bytes) : size;
    size_t room = ANSWER_LINE_BYTES - reader->line_bytes;
    size_t kept = part < room ? part : room;
    memcpy(reader->line + reader->line_bytes, bytes, kept);
    reader->line_bytes += kept;
    *used += part + (end ? 1 : 0);
    if (!end) return false;
    if (reader->line_bytes && reader->line[reader->line_bytes - 1] == '\r') reader->line_bytes--;
    reader->line[reader->line_bytes] = 0;
    reader->line_bytes = 0;
    return true;
}

enum answer_state answer_read(struct answer_reader *reader, const char *bytes, size_t size,
                              size_t *used, answer_bulk *on_bulk, void *context)
{
    *used = 0;
    if (!reader->began) begin(reader);
    while (reader->elements_left) {
        if (*used == size) return ANSWER_PARTIAL;
        if (reader->bulk_left) {
            *used += read_bulk(reader, bytes + *used, size - *used, on_bulk, context);
        } else if (read_line(reader, bytes + *used, size - *used, used)) {
            if (!act_on_line(reader)) return ANSWER_MALFORMED;
        }
    }
    reader->began = false;
    return ANSWER_COMPLETE;
}
