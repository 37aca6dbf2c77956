/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal's system calls, as they are. */
#include "storage/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static int system_open(void *context, const char *path, int flags)
{
    (void)context;
    return open(path, flags | O_CLOEXEC, 0600);
}

static int system_close(void *context, int fd)
{
    (void)context;
    return close(fd);
}

static ssize_t system_pread(void *context, int fd, void *data, size_t size, off_t offset)
{
    (void)context;
    return pread(fd, data, size, offset);
}

static ssize_t system_pwrite(void *context, int fd, const void *data, size_t size, off_t offset)
{
    (void)context;
    return pwrite(fd, data, size, offset);
}

static int system_fallocate(void *context, int fd, off_t size)
{
    (void)context;
    return fallocate(fd, 0, 0, size);
}

static int system_fdatasync(void *context, int fd)
{
    (void)context;
    return fdatasync(fd);
}

static int system_msync(void *context, void *address, size_t size)
{
    (void)context;
    return msync(address, size, MS_SYNC);
}

static void *system_mmap(void *context, size_t size, int protection, int fd)
{
    (void)context;
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    return mmap(NULL, size, protection, flags, fd, 0);
}

static int system_munmap(void *context, void *address, size_t size)
{
    (void)context;
    return munmap(address, size);
}

static int system_rename(void *context, const char *from, const char *to)
{
    (void)context;
    return rename(from, to);
}

static int system_unlink(void *context, const char *path)
{
    (void)context;
    return unlink(path);
}

static int system_sync_folder(void *context, const char *path)
{
    (void)context;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = fsync(fd), saved = errno;
    close(fd);
    errno = saved;
    return result;
}

static int system_lock(void *context, void *address, size_t size)
{
    (void)context;
    return mlock2(address, size, MLOCK_ONFAULT);
}

static int system_populate(void *context, void *address, size_t size)
{
    (void)context;
    return madvise(address, size, MADV_POPULATE_WRITE);
}

static int system_free_bytes(void *context, const char *folder, uint64_t *bytes, int *moves_blocks)
{
    /* From linux/magic.h and the file systems' own sources. */
    static const uint64_t moving[] = {
        0x9123683e /* btrfs */, 0x2fc12fc1 /* zfs */,  0x794c7630 /* overlay */, 0x6969 /* nfs */,
        0x517b /* smb */,       0xff534d42 /* cifs */, 0xfe534d42 /* smb2 */,    0x65735546 /* fuse */,
        0x01021997 /* 9p */,    0xf2f52010 /* f2fs */, 0x00c36400 /* ceph */,    0xca451a4e /* bcachefs */,
    };
    struct statfs info;
    (void)context;
    if (statfs(folder, &info) != 0) return -1;
    *bytes = (uint64_t)info.f_bavail * (uint64_t)info.f_bsize;
    if (info.f_blocks == 0) *bytes = INT64_MAX; /* a file system that does not tell */
    *moves_blocks = 0;
    for (size_t i = 0; i < sizeof moving / sizeof *moving; i++)
        if (((uint64_t)info.f_type & UINT32_MAX) == moving[i]) *moves_blocks = 1;
    return 0;
}

static int system_boot_id(void *context, uint8_t out[16])
{
    char text[40] = "";
    unsigned byte;
    (void)context;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    size_t at = 0;
    for (unsigned i = 0; i < 16; i++) {
        if (got > 0 && text[at] == '-') at++;
        if (got < 36 || sscanf(text + at, "%2x", &byte) != 1) {
            errno = EIO;
            return -1;
        }
        out[i] = (uint8_t)byte;
        at += 2;
    }
    return 0;
}

const struct journal_file_operations journal_files_of_system = {
    .open = system_open,
    .close = system_close,
    .pread = system_pread,
    .pwrite = system_pwrite,
    .fallocate = system_fallocate,
    .fdatasync = system_fdatasync,
    .msync = system_msync,
    .mmap = system_mmap,
    .munmap = system_munmap,
    .rename = system_rename,
    .unlink = system_unlink,
    .sync_folder = system_sync_folder,
    .lock = system_lock,
    .populate = system_populate,
    .free_bytes = system_free_bytes,
    .boot_id = system_boot_id,
};

int journal_file_write(const struct journal_file_operations *files, int fd, const void *data,
                       size_t size, off_t offset)
{
    const char *from = data;
    while (size > 0) {
        ssize_t wrote = files->pwrite(files->context, fd, from, size, offset);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) {
            if (wrote == 0) errno = ENOSPC;
            return -1;
        }
        from += wrote;
        offset += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

int journal_file_read(const struct journal_file_operations *files, int fd, void *data, size_t size,
                      off_t offset)
{
    char *to = data;
    while (size > 0) {
        ssize_t got = files->pread(files->context, fd, to, size, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            if (got == 0) errno = EIO;
            return -1;
        }
        to += got;
        offset += got;
        size -= (size_t)got;
    }
    return 0;
}
