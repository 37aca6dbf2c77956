/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading the old records of many keys, asked for in ascending order of their names. Where they lie close
 * together one iterator goes from one to the next, and reads each block of a table once; where they do
 * not, each is a get, which the bloom filters help. On a worker; a batch has a reader of its own. */
#ifndef KELVIN_STORAGE_OLD_RECORDS_H
#define KELVIN_STORAGE_OLD_RECORDS_H

#include "storage/engine.h"

struct old_records {
    struct engine *engine;
    struct engine_iterator *iterator; /* NULL: not begun */
    bool is_sparse;                   /* by get */
    unsigned seeks;                   /* in a row: the next name was too far to step there */
    struct buffer last;               /* the name that was asked for before */
    struct buffer value;
};

/* About `lookups` names from `first` to `last` will be asked for; the engine outlives it. */
void old_records_begin(struct old_records *records, struct engine *engine, struct slice first,
                       struct slice last, uint64_t lookups);
/* Any name in any order is right, only ascending ones are quick. STATUS_NOT_FOUND; what a get may
 * fail with. The value is valid until the next call. */
enum status old_records_find(struct old_records *records, struct slice name, struct slice *value,
                             struct error *error);
/* Frees it. What was found counts only if this is STATUS_OK: an iterator passes over a block that it
 * cannot read, and tells it at the end. A struct of zeros is OK. */
enum status old_records_end(struct old_records *records, struct error *error);

#endif
