/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The store: which LevelDB folder is the current one, its handle, and its meta records. It is what
 * the data folder holds beside the journal:
 *
 *   DIR/store/CURRENT      the name of the folder that counts, one line (rule 17)
 *   DIR/store/data-N/      LevelDB
 *   DIR/LOCK               held by the server that runs (fcntl)
 *
 * Workers take the engine with store_acquire for the length of a job. The batch writer alone
 * replaces it (FLUSHALL, reopening after a failure). Everything here may block: not on the loop. */
#ifndef KELVIN_STORAGE_STORE_H
#define KELVIN_STORAGE_STORE_H

#include "storage/engine.h"
#include "storage/record.h"

struct store;

/* What opens an engine, so that tests can put another one in: default engine_open_leveldb. */
typedef enum status store_open_engine(void *context, struct engine **out, const char *folder,
                                      bool create, struct error *error);

struct store_meta {
    uint64_t store_id;
    uint64_t marker;      /* sequence up to which everything is in */
    uint32_t databases;   /* as configured */
    uint64_t *db_ids;     /* [databases], number -> db-id */
};

/* Opens what `folder` (DIR/store) names or, with `create`, makes a new one (under temporary names,
 * format, store id, marker `marker` made durable, CURRENT renamed last). STATUS_NOT_FOUND: there is
 * none and `create` is false. STATUS_UNSUPPORTED: a newer or foreign format, with a clear text.
 * STATUS_CORRUPT, STATUS_BUSY, STATUS_NO_SPACE, STATUS_IO_ERROR. Removes data-* folders that CURRENT
 * does not name. */
enum status store_open(struct store **out, const char *folder, bool create, uint64_t store_id,
                       uint64_t marker, uint32_t databases, store_open_engine *open_engine,
                       void *open_context, struct error *error);
/* The last engine reference may be held by a job that still runs: it closes it. */
void store_close(struct store *store);

const struct store_meta *store_meta(const struct store *store); /* as read at (re)open */

/* Any thread. A reference to the current engine; release with engine_unref. Fails with the reason
 * (STATUS_IO_ERROR, STATUS_NO_SPACE, STATUS_CORRUPT) while the store is closed, STATUS_AGAIN while it
 * is open but has not yet caught up with what readers had seen (rule 13). */
enum status store_acquire(struct store *store, struct engine **out, struct error *error);

#endif
