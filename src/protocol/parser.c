/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See parser.h. Always true: slices of the request in the making with an index below `fixed` point
 * into memory that the request owns; those from `fixed` on point into the input, which began at
 * `base` when they were noted. A request in the making lives in `pending` between two calls. */
#include "protocol/parser.h"

#include "base/check.h"
#include "base/memory.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>

enum { BIG_FIRST_BYTES = 1024 * 1024, FEW = 8 };

enum parser_state { PARSER_START, PARSER_ARGUMENTS, PARSER_BIG };

struct owned_bytes {
    struct owned_bytes *next;
    char bytes[];
};

struct parser {
    enum parser_state state;
    int fixed;
    int64_t missing;     /* arguments still to come, the open one included */
    int64_t bulk_bytes;  /* of the open argument; -1: its header comes next */
    size_t offset;       /* where to go on, from the first unconsumed byte */
    const char *base;
    struct owned_bytes *big; /* the open big argument, not yet in pending.owned */
    size_t big_bytes, big_filled, big_capacity; /* with the final CRLF */
    struct request pending;
    char error[64];
};

/* What one call works on. */
struct cursor {
    char *input, *next, *end;
    const struct parser_limits *limits;
    struct request *request;
    const char **error;
};

struct parser *parser_create(void)
{
    struct parser *parser = mem_calloc(1, sizeof *parser);
    request_init(&parser->pending);
    return parser;
}

void parser_destroy(struct parser *parser)
{
    if (!parser) return;
    mem_free(parser->big);
    request_release(&parser->pending);
    mem_free(parser);
}

/* --- requests --- */

void request_init(struct request *request)
{
    request->argc = 0;
    request->capacity = FEW;
    request->row = NULL;
    request->argv = request->few;
    request->owned = NULL;
    request->owned_count = 0;
    request->owned_bytes = 0;
    request->row = NULL;
}

void request_owned_free(void *first)
{
    struct owned_bytes *owned = first;
    while (owned) {
        struct owned_bytes *next = owned->next;
        mem_free(owned);
        owned = next;
    }
}

void *request_take_owned(struct request *request)
{
    void *owned = request->owned;
    request->owned = NULL;
    request->owned_count = 0;
    request->owned_bytes = 0;
    return owned;
}

void request_release(struct request *request)
{
    if (request->argv != request->few) mem_free(request->argv);
    request_owned_free(request->owned);
    request_init(request);
}

size_t request_memory_bytes(const struct request *request)
{
    size_t bytes = request->owned_bytes;
    if (request->argv != request->few) bytes += (size_t)request->capacity * sizeof(struct slice);
    return bytes;
}

/* `to` is fresh; `from` becomes so. */
static void request_move(struct request *to, struct request *from)
{
    to->argc = from->argc;
    to->owned = from->owned;
    to->owned_bytes = from->owned_bytes;
    if (from->argv != from->few) {
        to->argv = from->argv;
        to->capacity = from->capacity;
    } else {
        memcpy(to->few, from->few, (size_t)from->argc * sizeof from->few[0]);
    }
    request_init(from);
}

static void request_grow(struct request *request)
{
    size_t capacity = (size_t)request->capacity * 2;
    if (request->argv == request->few) {
        struct slice *argv = mem_alloc(capacity * sizeof *argv);
        memcpy(argv, request->few, sizeof request->few);
        request->argv = argv;
    } else {
        request->argv = mem_realloc(request->argv, capacity * sizeof *request->argv);
    }
    request->capacity = (int)capacity;
}

static inline void request_add(struct request *request, char *data, size_t size)
{
    if (__builtin_expect(request->argc == request->capacity, 0)) request_grow(request);
    request->argv[request->argc++] = (struct slice){data, size};
}

static void request_own(struct request *request, struct owned_bytes *owned, size_t size)
{
    owned->next = request->owned;
    request->owned = owned;
    request->owned_bytes += size;
}

/* Copies the arguments that lie in the input into one allocation of the request. */
static void request_copy_from(struct request *request, int first)
{
    size_t size = 0;
    for (int i = first; i < request->argc; i++) size += request->argv[i].size;
    if (size == 0) return;
    struct owned_bytes *owned = mem_alloc(sizeof *owned + size);
    char *at = owned->bytes;
    for (int i = first; i < request->argc; i++) {
        struct slice *argument = &request->argv[i];
        memcpy(at, argument->data, argument->size);
        argument->data = at;
        at += argument->size;
    }
    request_own(request, owned, sizeof *owned + size);
}

/* --- keeping the place --- */

static void resume(struct parser *parser, struct cursor *cursor)
{
    request_move(cursor->request, &parser->pending);
    uintptr_t moved = (uintptr_t)cursor->input - (uintptr_t)parser->base;
    if (moved == 0) return;
    for (int i = parser->fixed; i < cursor->request->argc; i++) {
        struct slice *argument = &cursor->request->argv[i];
        argument->data = (const char *)((uintptr_t)argument->data + moved);
    }
}

static enum parser_result need_more(struct parser *parser, struct cursor *cursor)
{
    parser->base = cursor->input;
    parser->offset = (size_t)(cursor->next - cursor->input);
    request_move(&parser->pending, cursor->request);
    return PARSER_MORE;
}

static enum parser_result malformed(struct cursor *cursor, const char *text)
{
    *cursor->error = text;
    request_release(cursor->request);
    return PARSER_ERROR;
}

static enum parser_result complete(struct parser *parser, struct cursor *cursor)
{
    cursor->request->owned_count = parser->fixed;
    parser->state = PARSER_START;
    parser->fixed = 0;
    parser->offset = 0;
    return PARSER_COMMAND;
}

/* --- lines that announce a length --- */

enum header_result { HEADER_OK, HEADER_MORE, HEADER_TOO_BIG, HEADER_NOT_A_NUMBER };

/* Anything that the fast path does not know. As in Redis the line ends at CR and whatever byte
 * follows it. */
static enum header_result read_odd_header(struct cursor *cursor, int64_t *value)
{
    size_t size = (size_t)(cursor->end - cursor->next);
    char *cr = memchr(cursor->next, '\r', size);
    if (!cr) return size > PARSER_INLINE_MAX_BYTES ? HEADER_TOO_BIG : HEADER_MORE;
    if (cr + 1 == cursor->end) return HEADER_MORE;
    char *digits = cursor->next + 1;
    if (cr < digits || !slice_to_int64(slice_make(digits, (size_t)(cr - digits)), value))
        return HEADER_NOT_A_NUMBER;
    cursor->next = cr + 2;
    return HEADER_OK;
}

/* Type byte, number, CR, LF; moves the cursor behind it. */
static inline enum header_result read_header(struct cursor *cursor, int64_t *value)
{
    const char *at = cursor->next + 1;
    const char *stop = cursor->end - at > 10 ? at + 10 : cursor->end;
    int64_t number = 0;
    while (at < stop && (unsigned char)(*at - '0') <= 9) number = number * 10 + (*at++ - '0');
    ptrdiff_t digits = at - (cursor->next + 1);
    bool plain = cursor->end - at >= 2 && at[0] == '\r' && digits > 0 &&
                 (digits == 1 || cursor->next[1] != '0');
    if (__builtin_expect(!plain, 0)) return read_odd_header(cursor, value);
    *value = number;
    cursor->next += digits + 3;
    return HEADER_OK;
}

/* --- big arguments --- */

/* The first megabyte has come: room for the rest. All of it at once, since the kernel gives pages
 * only as they are filled, and copying a large part again would hold up the loop. */
static bool big_reserve(struct parser *parser)
{
    if (parser->big_filled < parser->big_capacity) return true;
    size_t capacity = parser->big_bytes;
    struct owned_bytes *larger = mem_try_alloc(sizeof *larger + capacity);
    if (!larger) return false;
    memcpy(larger->bytes, parser->big->bytes, parser->big_filled);
    mem_free(parser->big);
    parser->big = larger;
    parser->big_capacity = capacity;
    return true;
}

/* Begins small, so that an announced length alone costs nothing. */
static bool big_open(struct parser *parser, struct cursor *cursor)
{
    size_t here = (size_t)(cursor->end - cursor->next);
    size_t whole = (size_t)parser->bulk_bytes + 2;
    size_t capacity = here * 2 > BIG_FIRST_BYTES ? here * 2 : BIG_FIRST_BYTES;
    if (capacity > whole) capacity = whole;
    parser->big = mem_try_alloc(sizeof *parser->big + capacity);
    if (!parser->big) return false;
    memcpy(parser->big->bytes, cursor->next, here);
    parser->big_bytes = whole;
    parser->big_filled = here;
    parser->big_capacity = capacity;
    request_copy_from(cursor->request, parser->fixed);
    parser->fixed = cursor->request->argc;
    parser->state = PARSER_BIG;
    return true;
}

size_t parser_big_room(struct parser *parser, char **room)
{
    if (parser->state != PARSER_BIG || parser->big_filled == parser->big_bytes) return 0;
    if (!big_reserve(parser)) return 0;
    *room = parser->big->bytes + parser->big_filled;
    return parser->big_capacity - parser->big_filled;
}

void parser_big_filled(struct parser *parser, size_t size)
{
    ASSERT(parser->state == PARSER_BIG && size <= parser->big_capacity - parser->big_filled);
    parser->big_filled += size;
}

size_t parser_big_bytes(const struct parser *parser)
{
    return parser->state == PARSER_BIG ? parser->big_filled : 0;
}

/* Takes what the input has for the open big argument. False when there is no memory. */
static bool big_feed(struct parser *parser, struct cursor *cursor)
{
    while (cursor->next < cursor->end) {
        char *room;
        size_t here = (size_t)(cursor->end - cursor->next);
        size_t size = parser_big_room(parser, &room);
        if (size == 0) break;
        if (size > here) size = here;
        memcpy(room, cursor->next, size);
        parser_big_filled(parser, size);
        cursor->next += size;
    }
    return parser->big_filled == parser->big_bytes || big_reserve(parser);
}

static void big_close(struct parser *parser, struct cursor *cursor)
{
    request_add(cursor->request, parser->big->bytes, parser->big_bytes - 2);
    request_own(cursor->request, parser->big, sizeof *parser->big + parser->big_capacity);
    parser->big = NULL;
    parser->fixed = cursor->request->argc;
    parser->bulk_bytes = -1;
    parser->missing--;
    parser->state = PARSER_ARGUMENTS;
}

/* --- multi-bulk requests --- */

static enum parser_result bad_argument_header(struct parser *parser, struct cursor *cursor,
                                              enum header_result result)
{
    if (result == HEADER_TOO_BIG)
        return malformed(cursor, "Protocol error: too big bulk count string");
    return malformed(cursor, *cursor->next == '$' ? "Protocol error: invalid bulk length"
                                                  : (snprintf(parser->error, sizeof parser->error,
                                                              "Protocol error: expected '$', got "
                                                              "'%c'", *cursor->next),
                                                     parser->error));
}

/* The header of one argument: PARSER_COMMAND stands for "go on". */
static inline enum parser_result read_argument_header(struct parser *parser,
                                                      struct cursor *cursor)
{
    if (cursor->next == cursor->end) return PARSER_MORE;
    char *start = cursor->next;
    int64_t size;
    enum header_result result = read_header(cursor, &size);
    if (result == HEADER_MORE) return PARSER_MORE;
    if (result != HEADER_OK || *start != '$') {
        cursor->next = start;
        return bad_argument_header(parser, cursor, result);
    }
    if (size < 0 || size > cursor->limits->max_bulk_bytes)
        return malformed(cursor, "Protocol error: invalid bulk length");
    if (size > PARSER_UNAUTHENTICATED_BULK_BYTES && !cursor->limits->authenticated)
        return malformed(cursor, "Protocol error: unauthenticated bulk length");
    parser->bulk_bytes = size;
    return PARSER_COMMAND;
}

static enum parser_result read_arguments(struct parser *parser, struct cursor *cursor)
{
    while (parser->missing > 0) {
        if (parser->bulk_bytes < 0) {
            enum parser_result result = read_argument_header(parser, cursor);
            if (result == PARSER_MORE) return need_more(parser, cursor);
            if (result == PARSER_ERROR) return result;
        }
        size_t here = (size_t)(cursor->end - cursor->next);
        if (here < (size_t)parser->bulk_bytes + 2) {
            if (parser->bulk_bytes < PARSER_BIG_ARGUMENT_BYTES) return need_more(parser, cursor);
            if (!big_open(parser, cursor))
                return malformed(cursor, "Protocol error: out of memory");
            cursor->next = cursor->input; /* all bytes are consumed: offset 0 behind them */
            return need_more(parser, cursor);
        }
        request_add(cursor->request, cursor->next, (size_t)parser->bulk_bytes);
        cursor->next += parser->bulk_bytes + 2;
        parser->bulk_bytes = -1;
        parser->missing--;
    }
    return complete(parser, cursor);
}

static enum parser_result read_multibulk(struct parser *parser, struct cursor *cursor)
{
    int64_t count;
    switch (read_header(cursor, &count)) {
    case HEADER_MORE:
        return PARSER_MORE;
    case HEADER_TOO_BIG:
        return malformed(cursor, "Protocol error: too big mbulk count string");
    case HEADER_NOT_A_NUMBER:
        return malformed(cursor, "Protocol error: invalid multibulk length");
    case HEADER_OK:
        break;
    }
    if (count > INT_MAX) return malformed(cursor, "Protocol error: invalid multibulk length");
    if (count > PARSER_UNAUTHENTICATED_ARGUMENTS && !cursor->limits->authenticated)
        return malformed(cursor, "Protocol error: unauthenticated multibulk length");
    if (count <= 0) return complete(parser, cursor);
    parser->state = PARSER_ARGUMENTS;
    parser->missing = count;
    parser->bulk_bytes = -1;
    return read_arguments(parser, cursor);
}

/* --- inline requests --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static char escaped_byte(char c)
{
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/* Reads behind an opening quote, writes the bytes to *out, leaves *in behind the closing one.
 * False when it is missing, or when something other than a blank follows it. */
static bool read_quoted(char quote, char **in, const char *end, char **out)
{
    char *from = *in, *to = *out;
    while (from < end && *from != quote) {
        bool escape = *from == '\\' && end - from >= 2;
        if (escape && quote == '"' && end - from >= 4 && from[1] == 'x' &&
            hex_digit(from[2]) >= 0 && hex_digit(from[3]) >= 0) {
            *to++ = (char)(hex_digit(from[2]) * 16 + hex_digit(from[3]));
            from += 4;
        } else if (escape && quote == '"') {
            *to++ = escaped_byte(from[1]);
            from += 2;
        } else if (escape && from[1] == '\'') {
            *to++ = '\'';
            from += 2;
        } else {
            *to++ = *from++;
        }
    }
    if (from == end) return false;
    from++;
    *in = from;
    *out = to;
    return from == end || isspace((unsigned char)*from);
}

/* One word, unescaped where it stands. */
static bool read_word(char **in, const char *end, struct request *request)
{
    char *start = *in, *to = *in;
    while (*in < end) {
        char c = *(*in)++;
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t') break;
        if (c == '"' || c == '\'') {
            if (!read_quoted(c, in, end, &to)) return false;
            break;
        }
        *to++ = c;
    }
    request_add(request, start, (size_t)(to - start));
    return true;
}

static enum parser_result read_inline(struct parser *parser, struct cursor *cursor)
{
    size_t size = (size_t)(cursor->end - cursor->next);
    char *newline = memchr(cursor->next, '\n', size);
    if (!newline) {
        if (size > PARSER_INLINE_MAX_BYTES)
            return malformed(cursor, "Protocol error: too big inline request");
        return PARSER_MORE;
    }
    char *in = cursor->next;
    size = (size_t)(newline - in);
    if (size > 0 && newline[-1] == '\r') size--;
    /* Redis splits a C string: a zero byte ends the line. */
    char *end = in + strnlen(in, size);
    for (;;) {
        while (in < end && isspace((unsigned char)*in)) in++;
        if (in >= end) break;
        if (!read_word(&in, end, cursor->request))
            return malformed(cursor, "Protocol error: unbalanced quotes in request");
    }
    cursor->next = newline + 1;
    return complete(parser, cursor);
}

/* --- the way in --- */

static enum parser_result go_on(struct parser *parser, struct cursor *cursor)
{
    if (parser->state == PARSER_BIG) {
        if (!big_feed(parser, cursor)) return malformed(cursor, "Protocol error: out of memory");
        if (parser->big_filled < parser->big_bytes) {
            cursor->next = cursor->input;
            return need_more(parser, cursor);
        }
        big_close(parser, cursor);
    }
    return read_arguments(parser, cursor);
}

enum parser_result parser_next(struct parser *parser, const struct parser_limits *limits,
                               char *input, size_t size, size_t *consumed,
                               struct request *request, const char **error)
{
    static char nothing[1];
    struct cursor cursor = {.limits = limits, .request = request, .error = error};
    cursor.input = cursor.next = input ? input : nothing;
    cursor.end = cursor.input + size;
    *consumed = 0;
    enum parser_result result;
    if (parser->state == PARSER_START) {
        if (size == 0) return PARSER_MORE;
        result = *cursor.input == '*' ? read_multibulk(parser, &cursor)
                                      : read_inline(parser, &cursor);
    } else {
        cursor.next += parser->offset;
        resume(parser, &cursor);
        result = go_on(parser, &cursor);
    }
    if (result == PARSER_COMMAND) *consumed = (size_t)(cursor.next - cursor.input);
    if (result == PARSER_MORE && parser->state == PARSER_BIG) *consumed = size;
    return result;
}

bool parser_is_idle(const struct parser *parser)
{
    return parser->state == PARSER_START;
}

size_t parser_memory_bytes(const struct parser *parser)
{
    size_t bytes = sizeof *parser + request_memory_bytes(&parser->pending);
    if (parser->big) bytes += sizeof *parser->big + parser->big_filled;
    return bytes;
}
