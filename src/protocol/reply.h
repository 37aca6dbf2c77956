/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Replies: bytes in RESP2 or RESP3, collected in order and sent in one write per turn of the loop.
 * A reply stream is a chain of owned blocks and of shared bytes (a large value that is sent from
 * where it lies, its owner held by a reference until sent). Pure memory, no sockets. Loop thread.
 * Protocol: https://redis.io/docs/reference/protocol-spec/ */
#ifndef KELVIN_PROTOCOL_REPLY_H
#define KELVIN_PROTOCOL_REPLY_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Values at least this long are shared, not copied. */
enum { REPLY_SHARED_MIN_BYTES = 4096 };

/* Bytes that somebody else owns: release(owner) is called once, when they are sent or dropped. */
struct shared_bytes {
    struct slice bytes;
    void *owner;
    void (*release)(void *owner);
};

struct reply;

struct reply *reply_create(void);
void reply_destroy(struct reply *reply); /* releases what is still shared */

/* 2 or 3; later items are written in that protocol. */
void reply_set_version(struct reply *reply, int version);
int reply_version(const struct reply *reply);
/* While off, everything written is thrown away (CLIENT REPLY OFF and SKIP). */
void reply_set_enabled(struct reply *reply, bool enabled);

/* Writing. Text of a status or error is without "+", "-" and the line end; CR and LF in it become
 * blanks. An error text without a leading code in capitals must bring its own ("ERR ..."). */
void reply_status(struct reply *reply, const char *text);
void reply_ok(struct reply *reply);
void reply_error(struct reply *reply, const char *text);
void reply_error_format(struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void reply_integer(struct reply *reply, int64_t value);
void reply_bulk(struct reply *reply, struct slice value);
void reply_bulk_text(struct reply *reply, const char *text);
void reply_bulk_format(struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void reply_bulk_integer(struct reply *reply, int64_t value);
/* Appends to a buffer what reply_bulk writes, in either protocol. Any thread. */
void reply_append_bulk(struct buffer *out, struct slice value);
/* A bulk string from shared bytes; takes the reference over in every case. */
void reply_bulk_shared(struct reply *reply, struct shared_bytes shared);
/* A bulk string in pieces: the header for `size` bytes, then exactly that many bytes by
 * reply_raw / reply_raw_shared, then reply_bulk_end. */
void reply_bulk_begin(struct reply *reply, uint64_t size);
void reply_raw(struct reply *reply, struct slice bytes);
void reply_raw_shared(struct reply *reply, struct shared_bytes shared);
void reply_bulk_end(struct reply *reply);
void reply_null(struct reply *reply);       /* $-1 | _ */
void reply_null_array(struct reply *reply); /* *-1 | _ */
void reply_bool(struct reply *reply, bool value);       /* :1 | #t */
void reply_double(struct reply *reply, double value);   /* bulk | , */
void reply_big_number(struct reply *reply, struct slice digits); /* bulk | ( */
void reply_verbatim(struct reply *reply, struct slice text, const char *extension); /* bulk | = */
void reply_array(struct reply *reply, uint64_t count);
void reply_map(struct reply *reply, uint64_t pairs);  /* array of 2n | % */
void reply_set(struct reply *reply, uint64_t count);  /* array | ~ */
void reply_push(struct reply *reply, uint64_t count); /* array | > */
void reply_attribute(struct reply *reply, uint64_t pairs); /* nothing | '|' : only for version 3 */

/* An array, map, set or push whose length is known later. One may be open inside another. It must
 * be filled in before the turn ends, unless it is rolled back; positions of marks behind it move
 * when it is. */
struct reply_deferred {
    void *place; /* opaque; NULL: nothing to fill in */
};
struct reply_deferred reply_defer(struct reply *reply);
void reply_defer_array(struct reply *reply, struct reply_deferred deferred, uint64_t count);
void reply_defer_map(struct reply *reply, struct reply_deferred deferred, uint64_t pairs);
void reply_defer_set(struct reply *reply, struct reply_deferred deferred, uint64_t count);

/* A place to come back to: a command that must wait throws away what it wrote so far and runs
 * again. Valid until bytes behind it are consumed. */
struct reply_mark {
    uint64_t position;
};
struct reply_mark reply_get_mark(const struct reply *reply);
void reply_rollback(struct reply *reply, struct reply_mark mark);
/* True when the item written at `mark` begins with '-': for errorstats, and for EXEC. */
bool reply_is_error_at(const struct reply *reply, struct reply_mark mark);
/* Copies up to `size` bytes written since the mark; returns how many. */
size_t reply_peek(const struct reply *reply, struct reply_mark mark, char *out, size_t size);

/* Sending. Positions count bytes since creation: written so far, consumed so far. */
uint64_t reply_written(const struct reply *reply);
uint64_t reply_consumed(const struct reply *reply);
/* Bytes that wait to be sent, and the memory that they hold (shared bytes count in full). */
uint64_t reply_pending_bytes(const struct reply *reply);
uint64_t reply_memory_bytes(const struct reply *reply);
/* Number of blocks and shared pieces that wait: CLIENT LIST's oll. */
size_t reply_block_count(const struct reply *reply);
/* Fills up to `max` vectors with bytes in front of position `limit`; returns how many. */
int reply_gather(const struct reply *reply, uint64_t limit, struct iovec *vectors, int max);
/* `count` bytes were sent: frees blocks and releases shared bytes. */
void reply_consume(struct reply *reply, uint64_t count);

#endif
