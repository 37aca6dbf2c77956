/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which tables make up a LevelDB folder: its CURRENT and MANIFEST, read as LevelDB 1.23 reads them at
 * open, but without writing anything and without giving up at damage. One thread. */
#ifndef KELVIN_CHECK_MANIFEST_H
#define KELVIN_CHECK_MANIFEST_H

#include "base/bytes.h"
#include "base/status.h"

struct table_info {
    uint64_t number, bytes;
    int level;           /* -1: not known */
    bool has_bounds;
    struct buffer smallest, largest; /* user's keys, both in it */
};

struct manifest {
    struct table_info *tables;
    size_t count, capacity;
    struct buffer name; /* of the MANIFEST that was read, with a final zero; empty: there is none */
};

/* Reads what CURRENT names or, where that cannot be read, the MANIFEST with the highest number.
 * STATUS_OK, or STATUS_CORRUPT or STATUS_IO_ERROR: LevelDB would not open this, `error` says why.
 * Where the list of tables itself may be wrong (`*is_certain` false) it is every table of the folder
 * that is not known to be an old one, with level -1. */
enum status manifest_read(const char *folder, struct manifest *out, bool *is_certain,
                          struct error *error);
void manifest_free(struct manifest *manifest);

#endif
