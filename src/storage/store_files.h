/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The files of the store's folder: CURRENT and the data-N folders. Knows names and syncs, nothing of
 * what the folders hold. Everything here may block: start-up and the batch writer's thread. Paths
 * that are returned are freed with mem_free. */
#ifndef KELVIN_STORAGE_STORE_FILES_H
#define KELVIN_STORAGE_STORE_FILES_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

char *store_data_path(const char *folder, uint32_t number); /* FOLDER/data-N */

/* STATUS_OK, STATUS_NOT_FOUND when there is no CURRENT, STATUS_IO_ERROR. */
enum status store_has_current(const char *folder, struct error *error);
/* The number of the folder that CURRENT names. STATUS_CORRUPT: it is not a line "data-N", or that
 * folder is missing. STATUS_UNSUPPORTED: it is LevelDB's own file of that name. */
enum status store_read_current(const char *folder, uint32_t *number, struct error *error);
/* Makes CURRENT name data-NUMBER: written beside, synced, renamed, the folder synced. When it fails,
 * CURRENT names either the old or the new one. */
enum status store_write_current(const char *folder, uint32_t number, struct error *error);

/* Makes the store's folder and syncs its parent; one that is there is fine. */
enum status store_make_folder(const char *folder, struct error *error);
enum status store_sync_folder(const char *folder, struct error *error);
/* A fresh, empty data-NUMBER (what was there under that name is removed). */
enum status store_make_data_folder(const char *folder, uint32_t number, struct error *error);
/* Unlinks data-NUMBER; what cannot be unlinked is left to the next start, with a line in the log. */
void store_remove_data_folder(const char *folder, uint32_t number);
/* True when LevelDB got as far as to write its CURRENT. */
bool store_data_folder_is_begun(const char *folder, uint32_t number);
/* The first data-N for which `wanted` is true; 0 when there is none. */
enum status store_find_data_folder(const char *folder,
                                   bool (*wanted)(void *context, uint32_t number), void *context,
                                   uint32_t *number, struct error *error);
/* Removes every data-N but data-KEEP, and CURRENT.tmp. */
enum status store_remove_leftovers(const char *folder, uint32_t keep, struct error *error);

#endif
