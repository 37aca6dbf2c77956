/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Lists in one text, as the rows of the command table keep them. Pure functions. */
#ifndef KELVIN_COMMANDS_WORDS_H
#define KELVIN_COMMANDS_WORDS_H

#include "base/bytes.h"

/* Cuts the next part off `*rest`, where `separator` stands between parts. False: none is left. */
static inline bool words_next(struct slice *rest, char separator, struct slice *word)
{
    if (!rest->size) return false;
    const char *end = memchr(rest->data, separator, rest->size);
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    *word = slice_make(rest->data, size);
    size_t used = end ? size + 1 : size;
    *rest = slice_make(rest->data + used, rest->size - used);
    return true;
}

/* `text` may be NULL: no words. */
static inline struct slice words_begin(const char *text)
{
    return text ? slice_from_text(text) : slice_make(NULL, 0);
}

static inline size_t words_count(const char *text, char separator)
{
    struct slice rest = words_begin(text), word;
    size_t count = 0;
    while (words_next(&rest, separator, &word)) count++;
    return count;
}

#endif
