/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One segment file of the journal: made, zeroed, mapped, locked, populated, synced, made blank for
 * use again. Every function here may block on the disk: sync, prepare and (for `write`) write
 * thread, and start-up.
 *
 * In mode mmap `map` is the shared mapping of the file, and `view` the same. In mode write `map` is
 * anonymous memory of the same layout, whose pages are given back once synced, and `view` a mapping
 * of the file for reading. So appending and reading look alike in both modes. */
#ifndef KELVIN_STORAGE_JOURNAL_SEGMENT_H
#define KELVIN_STORAGE_JOURNAL_SEGMENT_H

#include "storage/journal_file.h"
#include "storage/journal_format.h"

#include <stdatomic.h>

struct segment {
    struct segment *next; /* in the one list that holds it; guarded by the journal's lock */
    struct segment_header header; /* whole from when it is put in the chain on */
    char *path;
    int fd;
    size_t bytes;
    char *map;
    const char *view;
    bool is_shared;          /* mode mmap */
    bool is_superseded;      /* guarded by the journal's lock: no longer in the chain, */
    bool is_suspect;         /* and: writing it has failed, it is not used again */
    bool is_unlinked;        /* prepare thread */
    unsigned readers;        /* guarded by the journal's lock */
    uint64_t start_position; /* bytes of the run before it */
    uint64_t last_sequence;  /* guarded by the journal's lock; once it has a successor */
    _Atomic size_t published; /* end of what the loop has handed over */
    _Atomic size_t written;   /* end of what is in the file (mmap: unused) */
    _Atomic size_t synced;    /* end of what is durable; 0: not even the header */
    _Atomic size_t populated; /* the loop may append up to here */
    size_t unlocked;          /* pages below have been given back */
};

size_t page_bytes(void);
size_t page_floor(size_t offset);
size_t page_ceiling(size_t offset);

/* An open segment without mappings; takes the descriptor. */
struct segment *segment_new(const char *path, int fd, size_t bytes);
/* Unmaps, closes, frees. */
void segment_free(const struct journal_file_operations *files, struct segment *segment);

/* A new file of `bytes` zeroes under `path`, allocated and synced; under its final name only when
 * the caller renames it. On failure nothing is left behind. */
enum status segment_create(const struct journal_file_operations *files, const char *path,
                           size_t bytes, struct segment **out, struct error *error);
/* Maps it for appending. */
enum status segment_map(const struct journal_file_operations *files, struct segment *segment,
                        bool is_shared, struct error *error);
/* Mode mmap: its pages stay in memory once they are there. False when that is not allowed. */
bool segment_lock(const struct journal_file_operations *files, struct segment *segment);
/* Back to the state of a fresh one: blank header page, synced. */
enum status segment_make_blank(const struct journal_file_operations *files,
                               struct segment *segment, struct error *error);
/* Raises `populated` to at least `to`, in mode mmap by touching the pages. */
void segment_populate(const struct journal_file_operations *files, struct segment *segment,
                      size_t to);
/* Mode write: writes what lies between `written` and `end`, then the append offset. */
enum status segment_write(const struct journal_file_operations *files, struct segment *segment,
                          size_t end, struct error *error);
/* Makes durable what lies below `end`, and gives the memory back where it is much. */
enum status segment_sync(const struct journal_file_operations *files, struct segment *segment,
                         size_t end, struct error *error);

/* Mode write: the header of `next`, whole; then that `segment`, all of which is in its file, is
 * closed. Before `next` counts as begun. */
enum status segment_write_closed(const struct journal_file_operations *files,
                                 struct segment *segment, const struct segment *next,
                                 struct error *error);

static inline void segment_store_append_offset(struct segment *segment, size_t offset,
                                               bool is_closed)
{
    /* Aligned; release: the record before it must not be moved behind it. */
    __atomic_store_n((uint64_t *)(void *)(segment->map + SEGMENT_APPEND_OFFSET),
                     append_offset_encode(offset, is_closed), __ATOMIC_RELEASE);
}

#endif
