/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A sweep compacts the whole store, a piece at a time, so that what was deleted or overwritten leaves
 * the disk: LevelDB by itself keeps it until enough new records have come over it, and on a full disk
 * none do (rule 18). The batch writer's thread; it sees to it that no write is in flight (rule 15). */
#ifndef KELVIN_STORAGE_SWEEP_H
#define KELVIN_STORAGE_SWEEP_H

#include "storage/engine.h"

struct sweep {
    struct buffer cursor; /* the next piece begins here; empty: at the first record */
    bool running;
    uint64_t sequence;          /* what was in when the pass began */
    int64_t began_us, again_us; /* this pass; the next one not before */
};

void sweep_free(struct sweep *sweep);
/* The store was opened or replaced. */
void sweep_forget(struct sweep *sweep);
/* Whether there is a piece to do, now or (`*later`) after a while. `sequence`: what is in. Passes are
 * apart by some times their own length, and there is none when nothing has come in since the last. */
bool sweep_is_due(const struct sweep *sweep, uint64_t sequence, int64_t now_us, bool *later);
/* Compacts one piece. On failure the store is to be closed. */
enum status sweep_step(struct sweep *sweep, struct engine *engine, uint64_t sequence,
                       struct error *error);

#endif
