/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The request parser: bytes of a connection in, commands out. Arguments are slices into the
 * caller's buffer (or into a big argument's own allocation); no copy and no object per argument.
 * It keeps its place between calls, so that a request may arrive byte by byte. Multi-bulk and
 * inline requests. Pure memory, no sockets; fuzzed. Loop thread.
 *
 *             parser_next: COMMAND             parser_next: MORE, an argument is too big
 *   START --------------------------> START        ARGUMENTS ----------------> BIG
 *     | parser_next: MORE                              ^                        |
 *     +---------------------> ARGUMENTS                +--- all of it is here --+
 */
#ifndef KELVIN_PROTOCOL_PARSER_H
#define KELVIN_PROTOCOL_PARSER_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PARSER_INLINE_MAX_BYTES = 64 * 1024,   /* also of a line that announces a length */
    PARSER_BIG_ARGUMENT_BYTES = 32 * 1024, /* from here on a partly read argument gets an
                                              allocation of its own */
    PARSER_UNAUTHENTICATED_ARGUMENTS = 10,
    PARSER_UNAUTHENTICATED_BULK_BYTES = 16384
};

struct parser_limits {
    int64_t max_bulk_bytes; /* proto-max-bulk-len */
    bool authenticated;     /* false: the two small limits above hold */
};

enum parser_result {
    PARSER_COMMAND, /* a request is complete: argc and argv are filled (argc may be 0: skip it) */
    PARSER_MORE,    /* more bytes are needed */
    PARSER_ERROR    /* malformed: `error` is Redis's text ("Protocol error: ..."); close after it */
};

/* A complete request. The slices that point into the input are valid as long as the input stays
 * where it is, the others until request_release. Not to be copied by assignment. */
struct request {
    int argc;
    int capacity;
    struct slice *argv;
    struct slice few[8]; /* argv points here for short requests */
    void *owned;         /* opaque: the allocations of big arguments */
    int owned_count;     /* complete: the first arguments, up to this many, lie in them */
    size_t owned_bytes;  /* memory held by them */
    const void *row;     /* for whoever runs it: NULL when fresh from the parser */
    uint64_t row_hash;
};

struct parser;

struct parser *parser_create(void);
void parser_destroy(struct parser *parser);

/* Parses one request from input[0..size). `request` is fresh (request_init or request_release).
 *
 * PARSER_COMMAND: *consumed bytes were the request; the slices point into them.
 * PARSER_MORE: *consumed bytes will not be looked at again (0, or all when a big argument is open);
 * the next call gets the bytes behind those again, with more behind them. They may have moved.
 * `request` is fresh again: the parser keeps what it has.
 * PARSER_ERROR: *error is valid until the next call; the parser must not be called again.
 *
 * Inline requests are unescaped in place, which is why `input` is not const. */
enum parser_result parser_next(struct parser *parser, const struct parser_limits *limits,
                               char *input, size_t size, size_t *consumed,
                               struct request *request, const char **error);

/* While a big argument is open: where its next bytes belong and how many, so that the socket may be
 * read straight into it. 0 when none is open, or when it is complete (call parser_next, `size` may
 * be 0), or when no memory could be had (parser_next then says so). */
size_t parser_big_room(struct parser *parser, char **room);
/* `size` bytes were put there. */
void parser_big_filled(struct parser *parser, size_t size);
/* True when no request is in the making. */
bool parser_is_idle(const struct parser *parser);
/* What has come of the open big argument. */
size_t parser_big_bytes(const struct parser *parser);
/* Memory held by the request in the making, beside the input; of a big argument what has come. */
size_t parser_memory_bytes(const struct parser *parser);

void request_init(struct request *request);
/* Frees what the request owns; leaves it as after request_init. */
void request_release(struct request *request);
/* Hands over the allocations of big arguments, to be freed with request_owned_free; the slices stay. */
void *request_take_owned(struct request *request);
void request_owned_free(void *owned);
/* Memory held by the request beside the input. */
size_t request_memory_bytes(const struct request *request);

#endif
