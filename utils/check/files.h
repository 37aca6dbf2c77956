/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Paths, whole files, folders: what the check needs of plain files. One thread. Paths that are returned
 * are freed with mem_free. */
#ifndef KELVIN_CHECK_FILES_H
#define KELVIN_CHECK_FILES_H

#include "base/bytes.h"
#include "base/status.h"

char *files_path(const char *folder, const char *name); /* FOLDER/NAME */
bool files_is_folder(const char *path);
bool files_exists(const char *path);
/* NNNNNN.ldb or .sst */
bool files_is_table_name(const char *name, uint64_t *number);
/* Appends the file's bytes; at most `limit` of them unless that is 0. What the disk does not give
 * reads as zeros where `unreadable` is not NULL and counts there; else it is an error. */
enum status files_read_through(const char *path, size_t limit, struct buffer *out,
                               uint64_t *unreadable, struct error *error);
static inline enum status files_read(const char *path, size_t limit, struct buffer *out,
                                     struct error *error)
{
    return files_read_through(path, limit, out, NULL, error);
}

/* Bytes of all files below. */
enum status files_tree_bytes(const char *folder, uint64_t *out, struct error *error);
enum status files_free_bytes(const char *folder, uint64_t *out, struct error *error);
/* Copies all files and folders below `from` to the new folder `to`, byte by byte, and syncs them.
 * Bytes that the disk does not give become zeros and are counted. */
enum status files_copy_tree(const char *from, const char *to, uint64_t *unreadable,
                            void (*progress)(void *context, uint64_t bytes), void *context,
                            struct error *error);
enum status files_remove_tree(const char *path, struct error *error);
enum status files_sync_folder(const char *path, struct error *error);

#endif
