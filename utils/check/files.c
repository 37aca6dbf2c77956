/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Plain files and folders. Reads are read(2) and never mappings: a bad block is an error and not a
 * signal. */
#include "check/files.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20, SECTOR_BYTES = 4096 };

char *files_path(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = mem_alloc(size);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

bool files_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool files_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

bool files_is_table_name(const char *name, uint64_t *number)
{
    size_t digits = strspn(name, "0123456789");
    if (digits == 0) return false;
    if (strcmp(name + digits, ".ldb") != 0 && strcmp(name + digits, ".sst") != 0) return false;
    *number = strtoull(name, NULL, 10);
    return true;
}

/* --- reading --- */

/* As pread, but what cannot be read counts as zeros when `unreadable` is there to count it. */
static ssize_t read_piece(int fd, char *out, size_t size, off_t offset, uint64_t *unreadable)
{
    ssize_t got;
    do got = pread(fd, out, size, offset);
    while (got < 0 && errno == EINTR);
    if (got >= 0 || errno != EIO || !unreadable) return got;
    if (size > SECTOR_BYTES) return read_piece(fd, out, SECTOR_BYTES, offset, unreadable);
    memset(out, 0, size);
    *unreadable += size;
    return (ssize_t)size;
}

enum status files_read_through(const char *path, size_t limit, struct buffer *out,
                               uint64_t *unreadable, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0) {
        error_set_errno(error, errno, "cannot open %s", path);
        return errno == ENOENT ? error_set(error, STATUS_CORRUPT, "%s is missing", path)
                               : STATUS_IO_ERROR;
    }
    enum status status = STATUS_OK;
    if (fstat(fd, &info) != 0)
        status = error_set_errno(error, errno, "cannot look at %s", path);
    size_t size = status == STATUS_OK ? (size_t)info.st_size : 0;
    if (limit && size > limit) size = limit;
    buffer_reserve(out, size + 1);
    for (size_t done = 0; status == STATUS_OK && done < size;) {
        size_t piece = size - done < PIECE_BYTES ? size - done : PIECE_BYTES;
        ssize_t got = read_piece(fd, out->data + out->size, piece, (off_t)done, unreadable);
        if (got < 0)
            status = error_set_errno(error, errno, "cannot read %s at offset %zu", path, done);
        if (got <= 0) break;
        out->size += (size_t)got;
        done += (size_t)got;
    }
    close(fd);
    return status;
}

/* --- folders --- */

/* Calls `visit` with the path of each thing in the folder, till it fails. */
static enum status walk(const char *folder,
                        enum status (*visit)(void *context, const char *name, const char *path,
                                             struct error *error),
                        void *context, struct error *error)
{
    DIR *directory = opendir(folder);
    if (!directory) return error_set_errno(error, errno, "cannot open the folder %s", folder);
    enum status status = STATUS_OK;
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char *path = files_path(folder, entry->d_name);
        status = visit(context, entry->d_name, path, error);
        mem_free(path);
    }
    closedir(directory);
    return status;
}

static enum status add_bytes(void *context, const char *name, const char *path,
                             struct error *error)
{
    uint64_t *bytes = context;
    struct stat info;
    (void)name;
    if (lstat(path, &info) != 0) return error_set_errno(error, errno, "cannot look at %s", path);
    if (S_ISDIR(info.st_mode)) return walk(path, add_bytes, context, error);
    if (S_ISREG(info.st_mode)) *bytes += (uint64_t)info.st_size;
    return STATUS_OK;
}

enum status files_tree_bytes(const char *folder, uint64_t *out, struct error *error)
{
    *out = 0;
    return walk(folder, add_bytes, out, error);
}

enum status files_free_bytes(const char *folder, uint64_t *out, struct error *error)
{
    struct statvfs info;
    if (statvfs(folder, &info) != 0)
        return error_set_errno(error, errno, "cannot ask for the free space of %s", folder);
    *out = (uint64_t)info.f_bavail * info.f_frsize;
    return STATUS_OK;
}

enum status files_sync_folder(const char *path, struct error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum status status = STATUS_OK;
    if (fd < 0 || fsync(fd) != 0)
        status = error_set_errno(error, errno, "cannot sync the folder %s", path);
    if (fd >= 0) close(fd);
    return status;
}

static enum status remove_one(void *context, const char *name, const char *path,
                              struct error *error)
{
    (void)context;
    (void)name;
    return files_remove_tree(path, error);
}

enum status files_remove_tree(const char *path, struct error *error)
{
    struct stat info;
    if (lstat(path, &info) != 0) return STATUS_OK;
    if (S_ISDIR(info.st_mode)) {
        enum status status = walk(path, remove_one, NULL, error);
        if (status != STATUS_OK) return status;
        if (rmdir(path) == 0) return STATUS_OK;
    } else if (unlink(path) == 0) {
        return STATUS_OK;
    }
    return error_set_errno(error, errno, "cannot remove %s", path);
}

/* --- copying --- */

struct copying {
    const char *to;
    uint64_t *unreadable;
    void (*progress)(void *context, uint64_t bytes);
    void *context;
};

static enum status write_piece(int fd, const char *data, size_t size, const char *path,
                               struct error *error)
{
    for (size_t done = 0; done < size;) {
        ssize_t put = write(fd, data + done, size - done);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return error_set_errno(error, put ? errno : ENOSPC, "cannot write %s", path);
        done += (size_t)put;
    }
    return STATUS_OK;
}

static enum status copy_bytes(const struct copying *copying, int from, const char *from_path,
                              int to, const char *to_path, struct error *error)
{
    char *piece = mem_alloc(PIECE_BYTES);
    enum status status = STATUS_OK;
    for (off_t done = 0; status == STATUS_OK;) {
        ssize_t got = read_piece(from, piece, PIECE_BYTES, done, copying->unreadable);
        if (got < 0) status = error_set_errno(error, errno, "cannot read %s", from_path);
        if (got <= 0) break;
        status = write_piece(to, piece, (size_t)got, to_path, error);
        done += got;
        if (copying->progress) copying->progress(copying->context, (uint64_t)got);
    }
    if (status == STATUS_OK && fsync(to) != 0)
        status = error_set_errno(error, errno, "cannot sync %s", to_path);
    mem_free(piece);
    return status;
}

static enum status copy_file(const struct copying *copying, const char *from_path,
                             const char *to_path, mode_t mode, struct error *error)
{
    int from = open(from_path, O_RDONLY | O_CLOEXEC);
    if (from < 0) return error_set_errno(error, errno, "cannot open %s", from_path);
    enum status status;
    int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0777);
    if (to < 0) {
        status = error_set_errno(error, errno, "cannot create %s", to_path);
    } else {
        status = copy_bytes(copying, from, from_path, to, to_path, error);
        close(to);
    }
    close(from);
    return status;
}

static enum status copy_one(void *context, const char *name, const char *path,
                            struct error *error)
{
    const struct copying *copying = context;
    struct stat info;
    if (lstat(path, &info) != 0) return error_set_errno(error, errno, "cannot look at %s", path);
    char *to = files_path(copying->to, name);
    enum status status = STATUS_OK;
    if (S_ISDIR(info.st_mode)) {
        status = files_copy_tree(path, to, copying->unreadable, copying->progress,
                                 copying->context, error);
    } else if (S_ISREG(info.st_mode)) {
        status = copy_file(copying, path, to, info.st_mode, error);
    } /* sockets and the like are no data */
    mem_free(to);
    return status;
}

enum status files_copy_tree(const char *from, const char *to, uint64_t *unreadable,
                            void (*progress)(void *context, uint64_t bytes), void *context,
                            struct error *error)
{
    struct copying copying = {to, unreadable, progress, context};
    if (mkdir(to, 0700) != 0)
        return error_set_errno(error, errno, "cannot make the folder %s", to);
    enum status status = walk(from, copy_one, &copying, error);
    if (status == STATUS_OK) status = files_sync_folder(to, error);
    return status;
}
