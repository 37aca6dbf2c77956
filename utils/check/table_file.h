/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One table file of LevelDB, read for itself through LevelDB's own reader: every version of every
 * record in it, in order, and where it cannot be read. One thread; never writes. C and C++ read this.
 *
 * A block whose checksum is wrong, or which the disk does not give, is passed over and noted with its
 * offset: a walk goes on behind it. */
#ifndef KELVIN_CHECK_TABLE_FILE_H
#define KELVIN_CHECK_TABLE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct table_file;

struct table_entry {
    const char *key; /* the user's key; all borrowed until the walk moves on */
    size_t key_size;
    const char *value;
    size_t value_size;
    uint64_t sequence; /* LevelDB's own */
    bool is_delete;
};

/* `largest`: the user's key with which the table ends; NULL when that is not known. NULL with a text in
 * `reason` (of `size` bytes): the file is missing, or its end or index cannot be read, so that nothing
 * of it can. With `largest` the blocks are then found by their checksums from the file's beginning, as
 * far as they follow each other; `reason` has a text then, too, otherwise it is empty. */
struct table_file *table_file_open(const char *path, const char *largest, size_t largest_size,
                                   char *reason, size_t size);
void table_file_close(struct table_file *table);

/* To the first version of the first key at or after this one. */
void table_file_seek(struct table_file *table, const char *key, size_t size);
void table_file_next(struct table_file *table);
/* False at the end. */
bool table_file_entry(const struct table_file *table, struct table_entry *out);

/* The offsets of the bad blocks met so far; the first `*of_filter` of them hold no records. */
const uint64_t *table_file_bad_blocks(const struct table_file *table, size_t *count,
                                      size_t *of_filter);
/* Where the block begins that would hold the newest version of the key. */
uint64_t table_file_block_of(const struct table_file *table, const char *key, size_t size);
/* Read from the file so far. */
uint64_t table_file_bytes_read(const struct table_file *table);

#ifdef __cplusplus
}
#endif

#endif
