/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal's way to the disk: a small table of functions, so that a test can break any call of
 * them, or remember what had been synced and cut the power. Each behaves like the system call of
 * its name (-1 and errno); `context` is the table's own. The rest of the journal makes no call
 * that changes a file in another way, but for stores into mappings made here. Every function may
 * block: sync thread, prepare thread and start-up only. */
#ifndef KELVIN_STORAGE_JOURNAL_FILE_H
#define KELVIN_STORAGE_JOURNAL_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct journal_file_operations {
    void *context;
    int (*open)(void *context, const char *path, int flags);
    int (*close)(void *context, int fd);
    ssize_t (*pread)(void *context, int fd, void *data, size_t size, off_t offset);
    ssize_t (*pwrite)(void *context, int fd, const void *data, size_t size, off_t offset);
    int (*fallocate)(void *context, int fd, off_t size);
    int (*fdatasync)(void *context, int fd);
    int (*msync)(void *context, void *address, size_t size);
    /* Of the file from its beginning, shared; fd -1: anonymous memory, private. */
    void *(*mmap)(void *context, size_t size, int protection, int fd);
    int (*munmap)(void *context, void *address, size_t size);
    int (*rename)(void *context, const char *from, const char *to);
    int (*unlink)(void *context, const char *path);
    int (*sync_folder)(void *context, const char *path);
    /* Locks pages as they are faulted in. */
    int (*lock)(void *context, void *address, size_t size);
    /* Makes the pages present and writable. */
    int (*populate)(void *context, void *address, size_t size);
    /* Free bytes for us on the folder's file system, and whether it may move blocks when a page is
     * written again (copy on write, network), so that a mapping cannot promise anything. */
    int (*free_bytes)(void *context, const char *folder, uint64_t *bytes, int *moves_blocks);
    int (*boot_id)(void *context, uint8_t out[16]);
};

extern const struct journal_file_operations journal_files_of_system;

/* Loops over short writes and EINTR. False leaves errno set. */
int journal_file_write(const struct journal_file_operations *files, int fd, const void *data,
                       size_t size, off_t offset);
/* Reads exactly `size` bytes; a file that ends before is EIO. */
int journal_file_read(const struct journal_file_operations *files, int fd, void *data, size_t size,
                      off_t offset);

#endif
