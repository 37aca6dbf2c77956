/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reclaim: deletes in the background what G records name, in bounded steps. An object's step deletes
 * its elements; a database's step walks its key records: each loses its expiry record and hands its
 * object on as garbage. The G record goes last, so that a crash only means to begin again.
 *
 * The batch writer's thread owns it and says when a step may run: only G records of ranges that are in,
 * never while anything is applied again. A step runs as a background job; what it deleted is
 * compacted by the writer itself, in bounded pieces, while no write is in flight (rule 15). */
#ifndef KELVIN_STORAGE_RECLAIM_H
#define KELVIN_STORAGE_RECLAIM_H

#include "storage/counts.h"
#include "storage/engine.h"
#include "storage/job_queue.h"

struct reclaim;

/* `on_database_gone`: its count rows are deleted. In the thread that delivers `home`. */
struct reclaim *reclaim_create(struct job_queue *jobs, struct mailbox *home,
                               void (*on_database_gone)(void *context, uint64_t db_id),
                               void *context);
void reclaim_destroy(struct reclaim *reclaim); /* no step runs */

/* A G record that is in now. `kind` as in record.h. */
void reclaim_add(struct reclaim *reclaim, char kind, uint64_t id);
/* The store was opened or replaced: forget all; read the G records before the next step. */
void reclaim_forget(struct reclaim *reclaim);

/* Starts a step unless one runs or nothing is to do. STATUS_BUSY: the job queue is full, later.
 * What finding garbage may fail with. */
enum status reclaim_start_step(struct reclaim *reclaim, struct engine *engine,
                               struct error *error);
bool reclaim_is_running(const struct reclaim *reclaim);
/* A step's failure since the last call (the store then is to be closed). */
enum status reclaim_take_failure(struct reclaim *reclaim, struct error *error);

/* A piece of emptied records that is worth a compaction; compacts one. No step runs, no write is in
 * flight. */
bool reclaim_wants_compaction(const struct reclaim *reclaim);
void reclaim_compact(struct reclaim *reclaim, struct engine *engine);

uint64_t reclaim_objects_left(const struct reclaim *reclaim);
uint64_t reclaim_databases_left(const struct reclaim *reclaim);
uint64_t reclaim_deleted_records(const struct reclaim *reclaim); /* since creation */

#endif
