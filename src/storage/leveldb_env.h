/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Our environment for LevelDB: the C face of leveldb_env.cc, the one C++ file. One environment
 * serves one open database. Readable by C and C++ both, hence no metric.h here: what happened is
 * told through a callback.
 *
 * What it does differently from LevelDB's own (the numbers are rules of the design):
 *   - tables are read with pread, never mapped: a bad block is an error, not a SIGBUS;
 *   - `*.log` files do not exist: creating one is a noted memtable switch, what is appended to it is
 *     counted and dropped, none is ever listed from disk or read (rule 12);
 *   - compactions run on a thread of the environment's own, at low priority;
 *   - after one failed append to or sync of a MANIFEST every later one fails (rule 14);
 *   - the folder is synced before a MANIFEST names new tables and after CURRENT is renamed; if that
 *     last sync fails, no file is removed any more, since CURRENT may be the old or the new one;
 *   - deletions can be held back while a backup links files.
 * LevelDB's info log goes to our log at debug level. */
#ifndef KELVIN_STORAGE_LEVELDB_ENV_H
#define KELVIN_STORAGE_LEVELDB_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum leveldb_operation {
    LEVELDB_OPEN,        /* for reading */
    LEVELDB_CREATE,      /* for writing; of a log: a memtable switch */
    LEVELDB_READ,
    LEVELDB_APPEND,      /* of a log: dropped */
    LEVELDB_SYNC,
    LEVELDB_SYNC_FOLDER, /* the path is the folder's */
    LEVELDB_RENAME,      /* the path is the target's */
    LEVELDB_REMOVE,
    LEVELDB_OPERATIONS
};

/* Called before each operation, on whatever thread does it: 0, or an errno to fail with. */
typedef int leveldb_fault_function(void *context, enum leveldb_operation operation,
                                   const char *path);
/* Called after each operation that succeeded. `bytes` of a read, an append; `us` of a sync. */
typedef void leveldb_count_function(void *context, enum leveldb_operation operation,
                                    const char *path, uint64_t bytes, uint64_t us);

struct leveldb_env;
struct leveldb_env_t; /* the C API's */

/* Starts the compaction thread. NULL with errno set when there is none to be had. `count` may be
 * NULL; its context outlives the environment. */
struct leveldb_env *leveldb_env_start(leveldb_count_function *count, void *context);
/* The database is closed. Deletions still held back are not carried out: the next open finds what
 * is not needed. */
void leveldb_env_stop(struct leveldb_env *env);
/* For leveldb_options_set_env; belongs to the environment. */
struct leveldb_env_t *leveldb_env_handle(struct leveldb_env *env);

/* How many memtable switches were seen: 0 is the memtable of the open itself. */
uint64_t leveldb_env_switches(struct leveldb_env *env);
/* How many memtables are known to be in tables that a synced MANIFEST names: those numbered below
 * it. */
uint64_t leveldb_env_durable(struct leveldb_env *env);
/* Says that memtables below `count` are durable, where the caller knows it first. */
void leveldb_env_note_durable(struct leveldb_env *env, uint64_t count);
/* Whether LevelDB uses this environment at all: a log was created through it. */
bool leveldb_env_is_used(struct leveldb_env *env);

/* While `hold`, files that LevelDB deletes stay; `false` deletes them. A new file of such a name
 * replaces it by another inode. Any thread; holds do not nest. */
void leveldb_env_hold_deletions(struct leveldb_env *env, bool hold);

/* For tests. NULL as `env`: for every environment created from now on. NULL as `fault`: none. */
void leveldb_env_set_fault(struct leveldb_env *env, leveldb_fault_function *fault, void *context);

/* Where this thread last read from a file of LevelDB, since it forgot: LevelDB's own texts name no
 * file when a checksum does not fit. False when it has read nothing. */
void leveldb_env_forget_read(void);
bool leveldb_env_last_read(const char **path, uint64_t *offset);

#ifdef __cplusplus
}
#endif

#endif
