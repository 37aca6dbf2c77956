/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The C face of leveldb_env.cc, the one C++ file: an environment for LevelDB whose files are
 * leveldb_files.h. One for each open database. Any thread. */
#ifndef KELVIN_STORAGE_LEVELDB_ENV_H
#define KELVIN_STORAGE_LEVELDB_ENV_H

#include "storage/leveldb_files.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The C API's. */
struct leveldb_env_t;
struct leveldb_t;

/* For leveldb_options_set_env. `files` stay the caller's and outlive it. */
struct leveldb_env_t *leveldb_env_wrap(struct leveldb_files *files);
/* The database is closed. */
void leveldb_env_unwrap(struct leveldb_env_t *env);

/* Makes the memtable immutable, empty or not, and has it written to a table by the compaction
 * thread, before whatever that does now. This is compact_range's first step; the C API has no way
 * to ask for it alone. NULL, or LevelDB's error text (free it). */
char *leveldb_env_switch_memtable(struct leveldb_t *db);

#ifdef __cplusplus
}
#endif

#endif
