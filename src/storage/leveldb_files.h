/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The files of one open LevelDB database: what our environment does in its place. leveldb_env.cc
 * passes LevelDB's calls on to here; the engine, a backup and fault tests use the second half. This
 * header is read by C and C++ both.
 *
 * What is different from LevelDB's own environment (the numbers are rules of the design):
 *   - tables are read with pread, never mapped: a bad block is an error, not a SIGBUS;
 *   - `*.log` files do not exist: creating one is a noted memtable switch, what is appended to it
 *     is counted and dropped, none is listed from disk or read (rule 12);
 *   - compactions run on a thread of the database's own, at low priority;
 *   - after one write that failed (new file, append, sync) every later one fails, so that no
 *     MANIFEST has a torn record in its middle (rule 14);
 *   - the folder is synced before a MANIFEST names new tables and after CURRENT is renamed; if that
 *     last sync fails nothing is removed any more, since CURRENT may be the old or the new one;
 *   - a new file never overwrites an old one's bytes; deletions can be held back while a backup
 *     links files.
 *
 * Functions that return int return 0 or an errno. Any thread. */
#ifndef KELVIN_STORAGE_LEVELDB_FILES_H
#define KELVIN_STORAGE_LEVELDB_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leveldb_files;
struct leveldb_metrics;

/* Starts the compaction thread; an errno when there is none to be had. `metrics` outlives it. It runs at
 * low priority, or `is_urgent`: at that of everybody else, but until leveldb_files_hold says so it
 * only writes memtables out and compacts nothing. */
int leveldb_files_create(struct leveldb_files **out, struct leveldb_metrics *metrics, bool is_urgent);
/* The database is closed. Deletions still held back are not carried out: the next open removes what
 * is not needed. */
void leveldb_files_destroy(struct leveldb_files *files);

/* --- for the environment --- */

enum { LEVELDB_NO_FD = -1 }; /* of a log: nothing is written */

int leveldb_files_open(struct leveldb_files *files, const char *path, int *fd);
/* `*fd` is LEVELDB_NO_FD for a log. */
int leveldb_files_new(struct leveldb_files *files, const char *path, int *fd);
/* Reads until `size` or the end of the file. */
int leveldb_files_read(struct leveldb_files *files, const char *path, int fd, uint64_t offset,
                       char *out, size_t size, size_t *done);
int leveldb_files_append(struct leveldb_files *files, const char *path, int fd, const char *data,
                         size_t size);
int leveldb_files_sync(struct leveldb_files *files, const char *path, int fd);
int leveldb_files_remove(struct leveldb_files *files, const char *path);
int leveldb_files_rename(struct leveldb_files *files, const char *from, const char *to);
/* Whether LevelDB shall not see what the folder has under that path. */
bool leveldb_files_is_hidden(struct leveldb_files *files, const char *path);
/* The file numbers of the logs that LevelDB believes to exist; writes at most `room`. */
size_t leveldb_files_logs(struct leveldb_files *files, uint64_t *numbers, size_t room);
/* Runs `function` on the compaction thread, after what was scheduled before. */
void leveldb_files_schedule(struct leveldb_files *files, void (*function)(void *), void *argument);

/* --- for the engine --- */

/* How much of the folder's file system tables leave free (a store can be opened on what is left). */
uint64_t leveldb_files_kept_free(const char *folder);

/* How many memtable switches were seen: 0 is the memtable of the open itself. */
uint64_t leveldb_files_switches(struct leveldb_files *files);
/* Memtables numbered below it are in synced tables that a synced MANIFEST names. */
uint64_t leveldb_files_durable(struct leveldb_files *files);
/* Waits until that is `count` or more, but no longer than `timeout_us`; returns whether it is. */
bool leveldb_files_wait_durable(struct leveldb_files *files, uint64_t count, int64_t timeout_us);
/* Of an urgent one: nothing is compacted before the memtable has been switched so many times. 0: let go,
 * which must be before the database is closed. */
void leveldb_files_hold(struct leveldb_files *files, uint64_t switches);
/* From now on every read and write fails with ECANCELED, as it would after a write that failed. LevelDB's
 * compaction meets that at its next block, and then tells whoever waits for it. */
void leveldb_files_cancel(struct leveldb_files *files);
/* Whether LevelDB works through here at all: a log was created. */
bool leveldb_files_is_used(struct leveldb_files *files);
/* Where this thread last read, since it forgot: LevelDB's own texts name no file when a checksum
 * does not fit. False when it has read nothing. */
void leveldb_files_forget_read(void);
bool leveldb_files_last_read(const char **path, uint64_t *offset);

/* --- for a backup --- */

/* While `hold`, files that LevelDB deletes stay; `false` deletes them now. Does not nest. */
void leveldb_files_hold_deletions(struct leveldb_files *files, bool hold);

/* --- for tests --- */

enum leveldb_operation {
    LEVELDB_OPEN,        /* for reading */
    LEVELDB_NEW,         /* for writing; of a log: a memtable switch */
    LEVELDB_READ,
    LEVELDB_APPEND,
    LEVELDB_SYNC,
    LEVELDB_SYNC_FOLDER, /* the path is the folder's */
    LEVELDB_RENAME,      /* the path is the target's */
    LEVELDB_REMOVE
};
/* Called before each operation on whatever thread does it: 0, or an errno to fail with. */
typedef int leveldb_fault_function(void *context, enum leveldb_operation operation,
                                   const char *path);
/* For every database in the process, from now on, until set to NULL. */
void leveldb_files_set_fault(leveldb_fault_function *fault, void *context);

#ifdef __cplusplus
}
#endif

#endif
