/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reads replies as they come, in pieces of any size, and keeps none of them: a value of a megabyte
 * is passed through. RESP2, and what RESP3 adds. hiredis would gather each reply first. */
#ifndef KELVIN_BENCH_ANSWERS_H
#define KELVIN_BENCH_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ANSWER_LINE_BYTES = 200 };

/* Called with each piece of a bulk string: `index` counts the elements of the reply, from 0. */
typedef void answer_bulk(void *context, uint64_t index, size_t total, size_t offset,
                         const char *bytes, size_t size);

/* Zero-initialised is ready for a first reply. */
struct answer_reader {
    /* The reply that was read last; valid after answer_read gave `complete`. */
    bool is_error;
    uint64_t nils;
    char line[ANSWER_LINE_BYTES + 1]; /* its last line; an error's text, cut off */

    bool began;
    size_t line_bytes;
    uint64_t elements_left, index;
    size_t bulk_bytes, bulk_left; /* left: with the line end behind it */
};

enum answer_state { ANSWER_PARTIAL, ANSWER_COMPLETE, ANSWER_MALFORMED };

/* Reads from `bytes` up to the end of one reply at most; *used is how much that was. `on_bulk` may
 * be NULL. After ANSWER_COMPLETE the next call begins a new reply. */
enum answer_state answer_read(struct answer_reader *reader, const char *bytes, size_t size,
                              size_t *used, answer_bulk *on_bulk, void *context);

#endif
