/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From the sorted operations of a part of a range to one LevelDB batch: per record the last
 * operation counts, and what follows from a key's old and new record is derived (expiry index,
 * garbage, change of the counts; rules 10 and 11). On workers; touches nothing but its output.
 *
 * "Again": LevelDB may hold what these operations, or later ones, already did once. Then the old
 * record is always read, and a head's object is taken off the garbage list: while operations after
 * this range may be in already, an object can look overwritten that a later range brings back. */
#ifndef KELVIN_STORAGE_COALESCE_H
#define KELVIN_STORAGE_COALESCE_H

#include "storage/counts.h"
#include "storage/engine.h"
#include "storage/range.h"

struct coalesce_input {
    const struct range *range;
    enum range_part part;
    size_t first, end;     /* sorted positions: whole groups */
    unsigned slot;         /* whose count rows are written */
    struct engine *engine; /* where old records are read */
    bool again;
};

struct coalesce_output {
    struct engine_batch batch;
    /* For the databases of the places first_place.. : in: the slot's count as stored; out: as the
     * batch stores it. */
    struct count_pair *counts;
    size_t count_capacity;
    size_t first_place, places;
    uint64_t *garbage; /* object ids that the batch gives a G record */
    size_t garbage_count, garbage_capacity;
    uint64_t lookups, records;
};

/* Prepares the output for this input: empties it and sets first_place, places. The caller then
 * fills the counts (all zero now). */
void coalesce_begin(const struct coalesce_input *input, struct coalesce_output *output);
/* STATUS_CORRUPT and what reading old records may fail with. */
enum status coalesce_run(const struct coalesce_input *input, struct coalesce_output *output,
                         struct error *error);
void coalesce_free(struct coalesce_output *output);

/* --- one key, for itself: pure --- */

struct key_state {
    bool exists;
    int64_t expire_at_ms; /* -1 none */
    uint64_t object_id;   /* 0 none */
};

/* Walks the operations on one key from its old record on. */
struct key_walk {
    struct key_state initial, now;
    bool begun;
    bool initial_replaced; /* the initial object was overwritten or deleted */
    bool initial_is_later; /* an operation of the walk puts it: LevelDB was ahead */
};
void key_walk_begin(struct key_walk *walk, struct key_state initial);
/* Returns the id of the object that this operation turned into garbage, or 0; the initial one is told
 * by key_walk_end alone. */
uint64_t key_walk_step(struct key_walk *walk, const struct operation *operation);
uint64_t key_walk_end(const struct key_walk *walk);
/* What the loop noted; the operation's `old` is not OLD_UNKNOWN. */
struct key_state key_state_noted(const struct operation *operation);

#endif
