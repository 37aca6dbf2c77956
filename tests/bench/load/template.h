/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Command templates: "SET key:{key} {value}" is compiled once; each rendering fills in a new key.
 *
 *   words are separated by blanks (a word cannot hold one)
 *   {key}               the next key, 12 digits, as redis-benchmark names them
 *   {value}             the value of the last {key} before it; a word of its own
 *   {value:SIZES}       another size than --value says
 *   {number:MAX}        0 .. MAX - 1 at random
 *   [words]*N           the words N times: "MSET [key:{key} {value}]*10"
 *
 * A template is only read after it was parsed, by any thread. */
#ifndef KELVIN_BENCH_TEMPLATE_H
#define KELVIN_BENCH_TEMPLATE_H

#include "base/bytes.h"
#include "keys.h"
#include "values.h"

struct template;

/* NULL: cannot be read, and `problem` says why. `values` is what {value} takes, and outlives it. */
struct template *template_parse(const char *text, const struct value_maker *values,
                                uint64_t values_seed, const char **problem);
void template_free(struct template *template);

unsigned template_keys(const struct template *template); /* {key}s in one command */

/* Appends one command as RESP. `keys`: NULL, or room for template_keys numbers. */
void template_render(const struct template *template, const struct key_space *space,
                     struct key_cursor *cursor, struct buffer *out, uint64_t *keys);

#endif
