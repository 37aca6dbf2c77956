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
 * replaces it (FLUSHALL, reopening after a failure). Everything here but store_is_current and
 * store_awaits may block: not on the loop. */
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
/* The last engine reference may be held by a job that still runs: it closes it. NULL is allowed. */
void store_close(struct store *store);

const struct store_meta *store_meta(const struct store *store); /* as read at (re)open */

/* Any thread. A reference to the current engine; release with engine_unref. Fails with the reason
 * (STATUS_IO_ERROR, STATUS_NO_SPACE, STATUS_CORRUPT) while the store is closed, STATUS_AGAIN while it
 * is open but has not yet caught up with what readers had seen (rule 13). */
enum status store_acquire(struct store *store, struct engine **out, struct error *error);
/* Any thread. False once the handle was replaced or closed: a long job on it ends soon, since the
 * store cannot be opened again while somebody holds the old handle. */
bool store_is_current(struct store *store, const struct engine *engine);

/* Any thread. True while the store cannot be opened again because somebody holds `engine`. One that
 * FLUSHALL replaced may be held on to. */
bool store_awaits(struct store *store, const struct engine *engine);

/* Any thread; waits for nothing. For a stop that cannot wait: what runs on the store ends soon (engine.h's
 * cancel). What comes after is store_close. */
void store_cancel(struct store *store);

/* One server per data folder: DIR/LOCK. STATUS_BUSY when another process has it, STATUS_IO_ERROR. */
enum status store_lock(const char *dir, int *out_fd, struct error *error);
void store_unlock(int fd);

/* --- the batch writer alone (its thread, or start-up) --- */

/* The handle to write to, borrowed; NULL while the store is closed. */
struct engine *store_writer_engine(const struct store *store);
/* Takes the handle away from everybody. Readers get `status` and `text` from now on. */
void store_close_engine(struct store *store, enum status status, const char *text);
/* Opens what CURRENT names again and reads its meta records. STATUS_AGAIN: a job still holds the old
 * handle. Readers are not let in yet. */
enum status store_reopen(struct store *store, struct error *error);
/* What readers get while they are not let in. */
void store_refuse(struct store *store, enum status status, const char *text);
/* Lets readers in (again): all that they had seen is there. */
void store_publish(struct store *store);
/* FLUSHALL (rule 17): a fresh folder with this map and marker takes the place of the current one,
 * which need not be open, and is unlinked when the last job on it has ended. On failure either of the two is the one that
 * counts: reopen. `db_ids` as in store_meta. */
enum status store_replace(struct store *store, const uint64_t *db_ids, uint64_t marker,
                          struct error *error);
/* Closes and unlinks replaced folders that nobody uses any more; true while some are left. */
bool store_remove_replaced(struct store *store);

#endif
