/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the LevelDB engine has beyond the table: its files, for a backup (hold deletions). */
#ifndef KELVIN_STORAGE_ENGINE_LEVELDB_H
#define KELVIN_STORAGE_ENGINE_LEVELDB_H

#include "storage/engine.h"
#include "storage/leveldb_files.h"

/* `engine` was opened by engine_open_leveldb. They live as long as the engine: hold a reference. */
struct leveldb_files *engine_leveldb_files(struct engine *engine);

#endif
