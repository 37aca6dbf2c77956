/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sorts any number of pairs of numbers in bounded memory: what does not fit goes, sorted, to unlinked
 * temporary files (TMPDIR, else /tmp), which are merged when all is read back. One thread. */
#ifndef KELVIN_CHECK_SORTER_H
#define KELVIN_CHECK_SORTER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sorter_item {
    uint64_t key, value;
};

struct sorter;

/* Holds at most `items` of them in memory. */
struct sorter *sorter_create(size_t items);
void sorter_destroy(struct sorter *sorter); /* NULL is allowed */

enum status sorter_add(struct sorter *sorter, uint64_t key, uint64_t value, struct error *error);
uint64_t sorter_count(const struct sorter *sorter);
/* Begins to give them, in order of key, then value; again from the start each time. Nothing is added
 * any more. */
enum status sorter_rewind(struct sorter *sorter, struct error *error);
/* False at the end; reading the files may fail: *status. */
bool sorter_next(struct sorter *sorter, struct sorter_item *out, enum status *status,
                 struct error *error);

#endif
