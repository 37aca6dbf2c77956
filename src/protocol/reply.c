/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See reply.h. The chain is a list of pieces. A piece is bytes in a block (16 KiB, shared by the
 * pieces that were cut from it) or somebody else's bytes. Only the last piece grows, and only while
 * it is cut from the reply's open block, whose `used` is then its end. Blocks and pieces come from
 * free lists, so that a steady stream of replies allocates nothing. The free lists are each
 * thread's own: a job may build a reply that the loop sends.
 *
 * Always true: the sizes of the pieces add up to written - consumed. */
#include "protocol/reply.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

enum { BLOCK_BYTES = 16 * 1024, FREE_BLOCKS_MAX = 256, FREE_PIECES_MAX = 1024, HEADER_BYTES = 32 };

struct block {
    struct block *next_free;
    uint32_t references; /* pieces */
    uint32_t used;
    char bytes[];
};
enum { BLOCK_ROOM = BLOCK_BYTES - sizeof(struct block) };

struct piece {
    struct piece *next, *previous;
    char *data;
    size_t size;
    struct block *block; /* NULL: shared bytes */
    bool sealed; /* the place of a length that comes later: never grows */
    void *owner;
    void (*release)(void *owner);
};

struct reply {
    struct piece *first, *last;
    struct block *open; /* one that has a piece here and room, or NULL */
    uint64_t written, consumed;
    uint64_t memory_bytes;
    uint64_t bulk_end; /* where the bulk string in pieces must end */
    size_t pieces;
    int version;
    bool enabled;
};

static _Thread_local struct block *free_blocks;
static _Thread_local struct piece *free_pieces;
static _Thread_local unsigned free_block_count, free_piece_count;

/* --- blocks and pieces --- */

static struct block *block_take(void)
{
    struct block *block = free_blocks;
    if (block) {
        free_blocks = block->next_free;
        free_block_count--;
    } else {
        block = mem_alloc(BLOCK_BYTES);
    }
    block->references = 0;
    block->used = 0;
    return block;
}

static void block_give_back(struct block *block)
{
    if (free_block_count >= FREE_BLOCKS_MAX) {
        mem_free(block);
        return;
    }
    block->next_free = free_blocks;
    free_blocks = block;
    free_block_count++;
}

static struct piece *piece_take(void)
{
    struct piece *piece = free_pieces;
    if (!piece) return mem_alloc(sizeof *piece);
    free_pieces = piece->next;
    free_piece_count--;
    return piece;
}

static void piece_give_back(struct piece *piece)
{
    if (free_piece_count >= FREE_PIECES_MAX) {
        mem_free(piece);
        return;
    }
    piece->next = free_pieces;
    free_pieces = piece;
    free_piece_count++;
}

static void piece_link(struct reply *reply, struct piece *piece)
{
    piece->next = NULL;
    piece->previous = reply->last;
    if (reply->last) reply->last->next = piece;
    else reply->first = piece;
    reply->last = piece;
    reply->pieces++;
}

/* Unlinks a piece from either end or the middle and lets go of its bytes. */
static void piece_drop(struct reply *reply, struct piece *piece)
{
    if (piece->previous) piece->previous->next = piece->next;
    else reply->first = piece->next;
    if (piece->next) piece->next->previous = piece->previous;
    else reply->last = piece->previous;
    reply->pieces--;
    struct block *block = piece->block;
    if (!block) {
        reply->memory_bytes -= piece->size;
        piece->release(piece->owner);
    } else if (--block->references == 0) {
        reply->memory_bytes -= BLOCK_BYTES;
        if (reply->open == block) reply->open = NULL;
        block_give_back(block);
    }
    piece_give_back(piece);
}

/* A new last piece, empty, cut from the open block or from a new one. */
static struct piece *piece_begin(struct reply *reply, size_t room)
{
    if (!reply->open || BLOCK_ROOM - reply->open->used < room) {
        reply->open = block_take();
        reply->memory_bytes += BLOCK_BYTES;
    }
    struct piece *piece = piece_take();
    piece->block = reply->open;
    piece->block->references++;
    piece->data = piece->block->bytes + piece->block->used;
    piece->size = 0;
    piece->sealed = false;
    piece_link(reply, piece);
    return piece;
}

static inline bool last_is_open(const struct reply *reply)
{
    const struct piece *last = reply->last;
    return last && reply->open && last->block == reply->open && !last->sealed;
}

/* Room for `size` bytes (at most BLOCK_ROOM) at the end of the last piece. */
static inline char *room(struct reply *reply, size_t size)
{
    if (__builtin_expect(!last_is_open(reply) || BLOCK_ROOM - reply->open->used < size, 0))
        piece_begin(reply, size);
    return reply->last->data + reply->last->size;
}

static inline void grew(struct reply *reply, size_t size)
{
    reply->last->size += size;
    reply->open->used += (uint32_t)size;
    reply->written += size;
}

static void write_bytes(struct reply *reply, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        size_t here = last_is_open(reply) ? BLOCK_ROOM - reply->open->used : 0;
        if (here == 0) {
            piece_begin(reply, 1);
            here = BLOCK_ROOM - reply->open->used;
        }
        if (here > size) here = size;
        memcpy(reply->last->data + reply->last->size, from, here);
        grew(reply, here);
        from += here;
        size -= here;
    }
}

/* --- life --- */

struct reply *reply_create(void)
{
    struct reply *reply = mem_calloc(1, sizeof *reply);
    reply->version = 2;
    reply->enabled = true;
    return reply;
}

void reply_destroy(struct reply *reply)
{
    if (!reply) return;
    while (reply->last) piece_drop(reply, reply->last);
    mem_free(reply);
}

void reply_set_version(struct reply *reply, int version)
{
    ASSERT(version == 2 || version == 3);
    reply->version = version;
}

int reply_version(const struct reply *reply)
{
    return reply->version;
}

void reply_set_enabled(struct reply *reply, bool enabled)
{
    reply->enabled = enabled;
}

/* --- items --- */

/* Type byte, number, CR, LF; returns the length. */
static inline size_t header_format(char *out, char type, uint64_t value)
{
    char *at = out;
    *at++ = type;
    if (value < 10) {
        *at++ = (char)('0' + value);
    } else if (value < 100) {
        *at++ = (char)('0' + value / 10);
        *at++ = (char)('0' + value % 10);
    } else {
        at += uint64_format(at, value);
    }
    *at++ = '\r';
    *at++ = '\n';
    return (size_t)(at - out);
}

static void write_header(struct reply *reply, char type, uint64_t value)
{
    if (!reply->enabled) return;
    grew(reply, header_format(room(reply, HEADER_BYTES), type, value));
}

static void write_literal(struct reply *reply, const char *text, size_t size)
{
    if (!reply->enabled) return;
    memcpy(room(reply, size), text, size);
    grew(reply, size);
}
#define WRITE_LITERAL(reply, text) write_literal(reply, text, sizeof(text) - 1)

/* One line; CR and LF inside become blanks. */
static void write_line(struct reply *reply, char type, const char *text, size_t size)
{
    if (!reply->enabled) return;
    size_t chunk = BLOCK_ROOM / 2;
    write_bytes(reply, &type, 1);
    while (size > 0) {
        size_t here = size < chunk ? size : chunk;
        char *out = room(reply, here);
        for (size_t i = 0; i < here; i++)
            out[i] = text[i] == '\r' || text[i] == '\n' ? ' ' : text[i];
        grew(reply, here);
        text += here;
        size -= here;
    }
    write_bytes(reply, "\r\n", 2);
}

void reply_status(struct reply *reply, const char *text)
{
    write_line(reply, '+', text, strlen(text));
}

void reply_ok(struct reply *reply)
{
    WRITE_LITERAL(reply, "+OK\r\n");
}

void reply_error(struct reply *reply, const char *text)
{
    write_line(reply, '-', text, strlen(text));
}

/* The formatted text; `few` is used when it is long enough. Free with format_free. */
static char *format_text(char *few, size_t few_bytes, size_t *size, const char *format,
                         va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(few, few_bytes, format, arguments);
    ASSERT(length >= 0);
    *size = (size_t)length;
    char *text = few;
    if (*size >= few_bytes) {
        text = mem_alloc(*size + 1);
        vsnprintf(text, *size + 1, format, again);
    }
    va_end(again);
    return text;
}

void reply_error_format(struct reply *reply, const char *format, ...)
{
    char few[1024];
    size_t size;
    va_list arguments;
    va_start(arguments, format);
    char *text = format_text(few, sizeof few, &size, format, arguments);
    va_end(arguments);
    /* As Redis does: no blanks for line ends at the end. */
    while (size > 0 && (text[size - 1] == '\r' || text[size - 1] == '\n')) size--;
    write_line(reply, '-', text, size);
    if (text != few) mem_free(text);
}

void reply_integer(struct reply *reply, int64_t value)
{
    if (!reply->enabled) return;
    char *out = room(reply, HEADER_BYTES);
    if (value >= 0) {
        grew(reply, header_format(out, ':', (uint64_t)value));
        return;
    }
    out[0] = ':';
    size_t size = 1 + int64_format(out + 1, value);
    memcpy(out + size, "\r\n", 2);
    grew(reply, size + 2);
}

void reply_bulk(struct reply *reply, struct slice value)
{
    if (!reply->enabled) return;
    if (value.size > BLOCK_ROOM / 4) {
        write_header(reply, '$', value.size);
        write_bytes(reply, value.data, value.size);
        write_bytes(reply, "\r\n", 2);
        return;
    }
    char *out = room(reply, value.size + HEADER_BYTES);
    size_t size = header_format(out, '$', value.size);
    if (value.size > 0) memcpy(out + size, value.data, value.size);
    size += value.size;
    memcpy(out + size, "\r\n", 2);
    grew(reply, size + 2);
}

void reply_append_bulk(struct buffer *out, struct slice value)
{
    buffer_reserve(out, value.size + HEADER_BYTES);
    char *at = out->data + out->size;
    at += header_format(at, '$', value.size);
    if (value.size > 0) memcpy(at, value.data, value.size);
    at += value.size;
    memcpy(at, "\r\n", 2);
    out->size = (size_t)(at + 2 - out->data);
}

void reply_bulk_text(struct reply *reply, const char *text)
{
    reply_bulk(reply, slice_from_text(text));
}

void reply_bulk_format(struct reply *reply, const char *format, ...)
{
    char few[1024];
    size_t size;
    va_list arguments;
    va_start(arguments, format);
    char *text = format_text(few, sizeof few, &size, format, arguments);
    va_end(arguments);
    reply_bulk(reply, slice_make(text, size));
    if (text != few) mem_free(text);
}

void reply_bulk_integer(struct reply *reply, int64_t value)
{
    char text[INT64_TEXT_BYTES];
    reply_bulk(reply, slice_make(text, int64_format(text, value)));
}

void reply_bulk_shared(struct reply *reply, struct shared_bytes shared)
{
    write_header(reply, '$', shared.bytes.size);
    reply_raw_shared(reply, shared);
    WRITE_LITERAL(reply, "\r\n");
}

void reply_bulk_begin(struct reply *reply, uint64_t size)
{
    write_header(reply, '$', size);
    reply->bulk_end = reply->written + size;
}

void reply_raw(struct reply *reply, struct slice bytes)
{
    if (reply->enabled) write_bytes(reply, bytes.data, bytes.size);
}

void reply_raw_shared(struct reply *reply, struct shared_bytes shared)
{
    if (!reply->enabled || shared.bytes.size < REPLY_SHARED_MIN_BYTES) {
        if (reply->enabled) write_bytes(reply, shared.bytes.data, shared.bytes.size);
        shared.release(shared.owner);
        return;
    }
    struct piece *piece = piece_take();
    piece->block = NULL;
    piece->sealed = true;
    piece->data = (char *)(uintptr_t)shared.bytes.data; /* only read */
    piece->size = shared.bytes.size;
    piece->owner = shared.owner;
    piece->release = shared.release;
    piece_link(reply, piece);
    reply->written += piece->size;
    reply->memory_bytes += piece->size;
}

void reply_bulk_end(struct reply *reply)
{
    ASSERT(!reply->enabled || reply->written == reply->bulk_end);
    WRITE_LITERAL(reply, "\r\n");
}

void reply_null(struct reply *reply)
{
    if (reply->version == 2) WRITE_LITERAL(reply, "$-1\r\n");
    else WRITE_LITERAL(reply, "_\r\n");
}

void reply_null_array(struct reply *reply)
{
    if (reply->version == 2) WRITE_LITERAL(reply, "*-1\r\n");
    else WRITE_LITERAL(reply, "_\r\n");
}

void reply_bool(struct reply *reply, bool value)
{
    if (reply->version == 2) reply_integer(reply, value);
    else if (value) WRITE_LITERAL(reply, "#t\r\n");
    else WRITE_LITERAL(reply, "#f\r\n");
}

void reply_double(struct reply *reply, double value)
{
    char text[64 + 3] = ",";
    size_t size = double_format(text + 1, value);
    if (reply->version == 2) {
        reply_bulk(reply, slice_make(text + 1, size));
        return;
    }
    memcpy(text + 1 + size, "\r\n", 2);
    write_literal(reply, text, size + 3);
}

void reply_big_number(struct reply *reply, struct slice digits)
{
    if (reply->version == 2) {
        reply_bulk(reply, digits);
        return;
    }
    WRITE_LITERAL(reply, "(");
    reply_raw(reply, digits);
    WRITE_LITERAL(reply, "\r\n");
}

void reply_verbatim(struct reply *reply, struct slice text, const char *extension)
{
    if (reply->version == 2) {
        reply_bulk(reply, text);
        return;
    }
    ASSERT(strlen(extension) == 3);
    write_header(reply, '=', text.size + 4);
    write_literal(reply, extension, 3);
    WRITE_LITERAL(reply, ":");
    reply_raw(reply, text);
    WRITE_LITERAL(reply, "\r\n");
}

void reply_array(struct reply *reply, uint64_t count)
{
    write_header(reply, '*', count);
}

/* The header of a map, set or push in the reply's protocol. */
static size_t aggregate_format(const struct reply *reply, char *out, char type, uint64_t count)
{
    if (reply->version == 3) return header_format(out, type, count);
    return header_format(out, '*', type == '%' ? count * 2 : count);
}

static void write_aggregate(struct reply *reply, char type, uint64_t count)
{
    if (!reply->enabled) return;
    grew(reply, aggregate_format(reply, room(reply, HEADER_BYTES), type, count));
}

void reply_map(struct reply *reply, uint64_t pairs)
{
    write_aggregate(reply, '%', pairs);
}

void reply_set(struct reply *reply, uint64_t count)
{
    write_aggregate(reply, '~', count);
}

void reply_push(struct reply *reply, uint64_t count)
{
    write_aggregate(reply, '>', count);
}

void reply_attribute(struct reply *reply, uint64_t pairs)
{
    if (reply->version == 3) write_header(reply, '|', pairs);
}

/* --- lengths that are known later --- */

struct reply_deferred reply_defer(struct reply *reply)
{
    if (!reply->enabled) return (struct reply_deferred){NULL};
    struct piece *place = piece_begin(reply, HEADER_BYTES);
    place->block->used += HEADER_BYTES;
    place->sealed = true;
    return (struct reply_deferred){place};
}

static void fill_in(struct reply *reply, struct reply_deferred deferred, char type, uint64_t count)
{
    struct piece *place = deferred.place;
    if (!place) return;
    ASSERT(place->size == 0);
    place->size = aggregate_format(reply, place->data, type, count);
    reply->written += place->size;
}

void reply_defer_array(struct reply *reply, struct reply_deferred deferred, uint64_t count)
{
    fill_in(reply, deferred, '*', count);
}

void reply_defer_map(struct reply *reply, struct reply_deferred deferred, uint64_t pairs)
{
    fill_in(reply, deferred, '%', pairs);
}

void reply_defer_set(struct reply *reply, struct reply_deferred deferred, uint64_t count)
{
    fill_in(reply, deferred, '~', count);
}

/* --- marks --- */

struct reply_mark reply_get_mark(const struct reply *reply)
{
    return (struct reply_mark){reply->written};
}

void reply_rollback(struct reply *reply, struct reply_mark mark)
{
    ASSERT(mark.position >= reply->consumed && mark.position <= reply->written);
    uint64_t surplus = reply->written - mark.position;
    while (surplus > 0) {
        struct piece *last = reply->last;
        if (last->size > surplus) {
            ASSERT(last->block && !last->sealed); /* no mark is taken inside those */
            last->size -= surplus;
            break;
        }
        surplus -= last->size;
        piece_drop(reply, last);
    }
    reply->written = mark.position;
    struct piece *last = reply->last;
    if (!reply->open || !last || last->block != reply->open) {
        reply->open = NULL;
        return;
    }
    size_t end = (size_t)(last->data - reply->open->bytes);
    reply->open->used = (uint32_t)(end + (last->sealed ? (size_t)HEADER_BYTES : last->size));
}

size_t reply_peek(const struct reply *reply, struct reply_mark mark, char *out, size_t size)
{
    ASSERT(mark.position >= reply->consumed && mark.position <= reply->written);
    uint64_t behind = reply->written - mark.position; /* bytes from the mark on */
    const struct piece *piece = reply->last;
    uint64_t bytes = 0; /* from the beginning of `piece` on */
    while (piece) {
        bytes += piece->size;
        if (bytes >= behind) break;
        piece = piece->previous;
    }
    size_t skip = (size_t)(bytes - behind), done = 0;
    for (; piece && done < size; piece = piece->next, skip = 0) {
        size_t here = piece->size - skip;
        if (here > size - done) here = size - done;
        memcpy(out + done, piece->data + skip, here);
        done += here;
    }
    return done;
}

bool reply_is_error_at(const struct reply *reply, struct reply_mark mark)
{
    char type;
    return reply_peek(reply, mark, &type, 1) == 1 && type == '-';
}

/* --- sending --- */

uint64_t reply_written(const struct reply *reply)
{
    return reply->written;
}

uint64_t reply_consumed(const struct reply *reply)
{
    return reply->consumed;
}

uint64_t reply_pending_bytes(const struct reply *reply)
{
    return reply->written - reply->consumed;
}

uint64_t reply_memory_bytes(const struct reply *reply)
{
    return reply->memory_bytes + reply->pieces * sizeof(struct piece);
}

size_t reply_block_count(const struct reply *reply)
{
    return reply->pieces;
}

int reply_gather(const struct reply *reply, uint64_t limit, struct iovec *vectors, int max)
{
    if (limit > reply->written) limit = reply->written;
    if (limit <= reply->consumed) return 0;
    uint64_t left = limit - reply->consumed;
    int count = 0;
    for (struct piece *piece = reply->first; piece && left > 0 && count < max;
         piece = piece->next) {
        size_t size = piece->size < left ? piece->size : (size_t)left;
        if (size == 0) continue;
        vectors[count++] = (struct iovec){piece->data, size};
        left -= size;
    }
    return count;
}

void reply_consume(struct reply *reply, uint64_t count)
{
    ASSERT(count <= reply->written - reply->consumed);
    reply->consumed += count;
    while (reply->first && count >= reply->first->size) {
        count -= reply->first->size;
        piece_drop(reply, reply->first);
    }
    if (count > 0) {
        struct piece *first = reply->first;
        ASSERT(first);
        first->data += count;
        first->size -= count;
        if (!first->block) reply->memory_bytes -= count;
    }
}
