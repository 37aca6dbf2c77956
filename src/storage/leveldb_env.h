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

struct leveldb_env_t; /* the C API's */

/* For leveldb_options_set_env. `files` stay the caller's and outlive it. */
struct leveldb_env_t *leveldb_env_wrap(struct leveldb_files *files);
/* The database is closed. */
void leveldb_env_unwrap(struct leveldb_env_t *env);

#ifdef __cplusplus
}
#endif

#endif
