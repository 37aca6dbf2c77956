/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A disk for the journal's tests that can fail any call, and that knows what would be left after a
 * power cut. Real files are its page cache; beside them it keeps, per file, the content as of the
 * last sync and the name as of the last sync of the folder. After a cut each sector is either the
 * synced one or a newer one, in any combination, and so is each name. */
#ifndef KELVIN_TESTS_JOURNAL_DISK_H
#define KELVIN_TESTS_JOURNAL_DISK_H

#include "storage/journal_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DISK_FILES = 512, DISK_MAPS = 512, SECTOR_BYTES = 512, NAME_BYTES = 64 };

struct disk_file {
    ino_t inode;
    char name[NAME_BYTES], synced_name[NAME_BYTES]; /* "": none */
    char *lost;   /* content as of a sync that failed: the kernel has marked it clean, so no later
                     sync writes it, unless it was stored to again */
    size_t lost_size;
    char *synced; /* content as of the last sync */
    size_t synced_size;
    int keep_open; /* so that an unlinked file can still be read, and its inode is not used again */
};

struct disk_map {
    char *address;
    size_t size;
    struct disk_file *file;
};

struct disk {
    pthread_mutex_t lock;
    struct disk_file files[DISK_FILES];
    struct disk_map maps[DISK_MAPS];
    unsigned file_count;
    uint8_t boot_id[16];
    unsigned long calls;      /* that can fail */
    unsigned long fail_at;    /* 0: never */
    unsigned long fail_count; /* how many in a row */
    int fail_errno;
    bool is_short; /* every write is cut in two, but those of one word: a kernel copies them whole */
    bool is_dead;  /* nothing has any effect any more */
    bool is_full;  /* no new space */
    uint64_t free_bytes; /* what is said to be free, unless it is full; 0: plenty */
    uint64_t random;
    struct journal_file_operations operations;
};

static inline uint64_t disk_random(struct disk *disk)
{
    disk->random ^= disk->random << 13;
    disk->random ^= disk->random >> 7;
    disk->random ^= disk->random << 17;
    return disk->random;
}

/* Under the lock: whether this call is to fail. Sets errno. */
static inline bool disk_fails(struct disk *disk)
{
    disk->calls++;
    if (disk->is_dead) {
        errno = EIO;
        return true;
    }
    if (disk->fail_at == 0 || disk->calls < disk->fail_at ||
        disk->calls >= disk->fail_at + disk->fail_count)
        return false;
    errno = disk->fail_errno;
    return true;
}

static inline struct disk_file *disk_file_of(struct disk *disk, int fd)
{
    struct stat info;
    if (fstat(fd, &info) != 0) return NULL;
    for (unsigned i = 0; i < disk->file_count; i++)
        if (disk->files[i].inode == info.st_ino) return &disk->files[i];
    if (disk->file_count == DISK_FILES) abort();
    struct disk_file *file = &disk->files[disk->file_count++];
    memset(file, 0, sizeof *file);
    file->inode = info.st_ino;
    file->keep_open = dup(fd);
    return file;
}

static inline const char *disk_base_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

/* Remembers [from, to) of the file as synced. */
static inline void disk_remember(struct disk_file *file, size_t from, size_t to)
{
    struct stat info;
    if (fstat(file->keep_open, &info) != 0) abort();
    size_t size = (size_t)info.st_size;
    if (size != file->synced_size) {
        file->synced = realloc(file->synced, size + 1);
        if (size > file->synced_size)
            memset(file->synced + file->synced_size, 0, size - file->synced_size);
        file->synced_size = size;
    }
    if (to > size) to = size;
    for (size_t at = from; at < to; at += SECTOR_BYTES) {
        char sector[SECTOR_BYTES];
        size_t part = to - at < SECTOR_BYTES ? to - at : SECTOR_BYTES;
        if (pread(file->keep_open, sector, part, (off_t)at) != (ssize_t)part) abort();
        if (at + part <= file->lost_size && memcmp(sector, file->lost + at, part) == 0) continue;
        memcpy(file->synced + at, sector, part);
    }
}

static inline char *disk_read_now(const struct disk_file *file, size_t *size)
{
    struct stat info;
    if (fstat(file->keep_open, &info) != 0) abort();
    *size = (size_t)info.st_size;
    char *data = malloc(*size + 1);
    if (!data || pread(file->keep_open, data, *size, 0) < 0) abort();
    return data;
}

static inline void disk_lose(struct disk_file *file)
{
    free(file->lost);
    file->lost = disk_read_now(file, &file->lost_size);
    /* What had been synced before is not lost. */
    for (size_t at = 0; at < file->lost_size; at += SECTOR_BYTES)
        if (at + SECTOR_BYTES <= file->lost_size && at + SECTOR_BYTES <= file->synced_size &&
            memcmp(file->lost + at, file->synced + at, SECTOR_BYTES) == 0)
            file->lost[at] = (char)~file->lost[at];
}

#define DISK_ENTER(context)                                                                        \
    struct disk *disk = context;                                                                   \
    pthread_mutex_lock(&disk->lock);
#define DISK_LEAVE(result)                                                                         \
    do {                                                                                           \
        __typeof__(result) result_ = (result);                                                     \
        int errno_ = errno;                                                                        \
        pthread_mutex_unlock(&disk->lock);                                                         \
        errno = errno_;                                                                            \
        return result_;                                                                            \
    } while (0)

static inline int disk_open(void *context, const char *path, int flags)
{
    DISK_ENTER(context)
    if (disk_fails(disk)) DISK_LEAVE(-1);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0) {
        struct disk_file *file = disk_file_of(disk, fd);
        snprintf(file->name, NAME_BYTES, "%s", disk_base_name(path));
    }
    DISK_LEAVE(fd);
}

static inline int disk_close(void *context, int fd)
{
    (void)context;
    return close(fd);
}

static inline ssize_t disk_pread(void *context, int fd, void *data, size_t size, off_t offset)
{
    DISK_ENTER(context)
    if (disk_fails(disk)) DISK_LEAVE((ssize_t)-1);
    DISK_LEAVE(pread(fd, data, size, offset));
}

/* What is written again is dirty again, even with the same bytes. */
static inline void disk_find_again(struct disk_file *file, size_t from, size_t to)
{
    for (size_t at = from & ~(size_t)(SECTOR_BYTES - 1); at < to; at += SECTOR_BYTES) {
        char byte;
        if (at >= file->lost_size || pread(file->keep_open, &byte, 1, (off_t)at) != 1) return;
        file->lost[at] = (char)~byte;
    }
}

static inline ssize_t disk_pwrite(void *context, int fd, const void *data, size_t size,
                                  off_t offset)
{
    DISK_ENTER(context)
    if (disk_fails(disk)) DISK_LEAVE((ssize_t)-1);
    if (disk->is_short && size > sizeof(uint64_t)) size /= 2;
    ssize_t wrote = pwrite(fd, data, size, offset);
    if (wrote > 0)
        disk_find_again(disk_file_of(disk, fd), (size_t)offset, (size_t)(offset + wrote));
    DISK_LEAVE(wrote);
}

static inline int disk_fallocate(void *context, int fd, off_t size)
{
    DISK_ENTER(context)
    if (disk_fails(disk)) DISK_LEAVE(-1);
    if (disk->is_full) {
        errno = ENOSPC;
        DISK_LEAVE(-1);
    }
    DISK_LEAVE(ftruncate(fd, size));
}

static inline int disk_fdatasync(void *context, int fd)
{
    DISK_ENTER(context)
    if (disk_fails(disk)) {
        int saved = errno;
        if (!disk->is_dead) disk_lose(disk_file_of(disk, fd));
        errno = saved;
        DISK_LEAVE(-1);
    }
    disk_remember(disk_file_of(disk, fd), 0, SIZE_MAX);
    DISK_LEAVE(0);
}

static inline int disk_msync(void *context, void *address, size_t size)
{
    DISK_ENTER(context)
    bool fails = disk_fails(disk);
    int saved = errno;
    for (unsigned i = 0; i < DISK_MAPS; i++) {
        struct disk_map *map = &disk->maps[i];
        if (!map->file || (char *)address < map->address ||
            (char *)address >= map->address + map->size)
            continue;
        size_t from = (size_t)((char *)address - map->address);
        if (from % 4096 != 0) abort();
        if (fails) {
            if (!disk->is_dead) disk_lose(map->file);
            errno = saved;
            DISK_LEAVE(-1);
        }
        disk_remember(map->file, from, (from + size + 4095) & ~(size_t)4095);
        DISK_LEAVE(0);
    }
    errno = ENOMEM;
    DISK_LEAVE(-1);
}

static inline void *disk_mmap(void *context, size_t size, int protection, int fd)
{
    DISK_ENTER(context)
    if (disk_fails(disk)) DISK_LEAVE(MAP_FAILED);
    void *address = journal_files_of_system.mmap(NULL, size, protection, fd);
    for (unsigned i = 0; fd >= 0 && address != MAP_FAILED && i < DISK_MAPS; i++) {
        if (disk->maps[i].file) continue;
        disk->maps[i] = (struct disk_map){address, size, disk_file_of(disk, fd)};
        break;
    }
    DISK_LEAVE(address);
}

static inline int disk_munmap(void *context, void *address, size_t size)
{
    DISK_ENTER(context)
    for (unsigned i = 0; i < DISK_MAPS; i++)
        if (disk->maps[i].file && disk->maps[i].address == address) disk->maps[i].file = NULL;
    DISK_LEAVE(munmap(address, size));
}

static inline struct disk_file *disk_find_name(struct disk *disk, const char *name)
{
    for (unsigned i = 0; i < disk->file_count; i++)
        if (strcmp(disk->files[i].name, name) == 0) return &disk->files[i];
    return NULL;
}

static inline int disk_rename(void *context, const char *from, const char *to)
{
    DISK_ENTER(context)
    if (disk_fails(disk)) DISK_LEAVE(-1);
    struct disk_file *file = disk_find_name(disk, disk_base_name(from));
    if (rename(from, to) != 0) DISK_LEAVE(-1);
    struct disk_file *before = disk_find_name(disk, disk_base_name(to));
    if (before) before->name[0] = '\0';
    if (file) snprintf(file->name, NAME_BYTES, "%s", disk_base_name(to));
    DISK_LEAVE(0);
}

static inline int disk_unlink(void *context, const char *path)
{
    DISK_ENTER(context)
    if (disk_fails(disk)) DISK_LEAVE(-1);
    struct disk_file *file = disk_find_name(disk, disk_base_name(path));
    if (unlink(path) != 0) DISK_LEAVE(-1);
    if (file) file->name[0] = '\0';
    DISK_LEAVE(0);
}

static inline int disk_sync_folder(void *context, const char *path)
{
    DISK_ENTER(context)
    (void)path;
    if (disk_fails(disk)) DISK_LEAVE(-1);
    for (unsigned i = 0; i < disk->file_count; i++)
        memcpy(disk->files[i].synced_name, disk->files[i].name, NAME_BYTES);
    DISK_LEAVE(0);
}

static inline int disk_lock_pages(void *context, void *address, size_t size)
{
    DISK_ENTER(context)
    (void)address;
    (void)size;
    if (disk_fails(disk)) DISK_LEAVE(-1);
    DISK_LEAVE(0);
}

static inline int disk_populate(void *context, void *address, size_t size)
{
    DISK_ENTER(context)
    (void)address;
    (void)size;
    if (disk_fails(disk)) DISK_LEAVE(-1);
    DISK_LEAVE(0);
}

static inline int disk_free_bytes(void *context, const char *folder, uint64_t *bytes,
                                  int *moves_blocks)
{
    DISK_ENTER(context)
    (void)folder;
    *bytes = disk->is_full ? 0 : disk->free_bytes ? disk->free_bytes : (uint64_t)1 << 40;
    *moves_blocks = 0;
    DISK_LEAVE(0);
}

static inline int disk_boot_id(void *context, uint8_t out[16])
{
    memcpy(out, ((struct disk *)context)->boot_id, 16);
    return 0;
}

static inline struct disk *disk_create(uint64_t seed)
{
    struct disk *disk = calloc(1, sizeof *disk);
    pthread_mutex_init(&disk->lock, NULL);
    disk->random = seed * 0x9e3779b97f4a7c15u + 1;
    disk->boot_id[0] = 1;
    disk->operations = (struct journal_file_operations){
        disk,        disk_open,    disk_close,      disk_pread,      disk_pwrite,
        disk_fallocate, disk_fdatasync, disk_msync, disk_mmap,       disk_munmap,
        disk_rename, disk_unlink,  disk_sync_folder, disk_lock_pages, disk_populate,
        disk_free_bytes, disk_boot_id};
    return disk;
}

static inline void disk_forget(struct disk *disk)
{
    for (unsigned i = 0; i < disk->file_count; i++) {
        close(disk->files[i].keep_open);
        free(disk->files[i].synced);
        free(disk->files[i].lost);
    }
    disk->file_count = 0;
    memset(disk->maps, 0, sizeof disk->maps);
}

static inline void disk_destroy(struct disk *disk)
{
    disk_forget(disk);
    pthread_mutex_destroy(&disk->lock);
    free(disk);
}

static inline void disk_write_file(const char *folder, const char *name, const char *data,
                                   size_t size)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    close(fd);
}

/* The process is killed: what it had written is there, all of it. */
static inline void disk_copy_killed(struct disk *disk, const char *to)
{
    mkdir(to, 0700);
    for (unsigned i = 0; i < disk->file_count; i++) {
        struct disk_file *file = &disk->files[i];
        if (!file->name[0]) continue;
        size_t size;
        char *data = disk_read_now(file, &size);
        disk_write_file(to, file->name, data, size);
        free(data);
    }
}

/* The power fails. `percent` of what was not synced has reached the disk all the same. */
static inline void disk_copy_cut(struct disk *disk, const char *to, unsigned percent)
{
    mkdir(to, 0700);
    disk->boot_id[0]++;
    for (unsigned i = 0; i < disk->file_count; i++) {
        struct disk_file *file = &disk->files[i];
        const char *name = disk_random(disk) % 2 ? file->name : file->synced_name;
        if (!name[0]) continue;
        size_t size;
        char *data = disk_read_now(file, &size);
        /* A length that was never synced may be there or not. */
        if (file->synced_size < size && disk_random(disk) % 2) size = file->synced_size;
        for (size_t at = 0; at < size; at += SECTOR_BYTES) {
            size_t part = size - at < SECTOR_BYTES ? size - at : SECTOR_BYTES;
            if (disk_random(disk) % 100 < percent) continue;
            if (at + part <= file->synced_size)
                memcpy(data + at, file->synced + at, part);
            else
                memset(data + at, 0, part);
        }
        disk_write_file(to, name, data, size);
        free(data);
    }
}

#endif
