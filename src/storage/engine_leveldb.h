/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The LevelDB engine's environment, for a backup (hold deletions) and for tests (faults). */
#ifndef KELVIN_STORAGE_ENGINE_LEVELDB_H
#define KELVIN_STORAGE_ENGINE_LEVELDB_H

#include "storage/engine.h"
#include "storage/leveldb_env.h"

/* `engine` was opened by engine_open_leveldb. Lives as long as the engine: hold a reference. */
struct leveldb_env *engine_leveldb_env(struct engine *engine);

#endif
