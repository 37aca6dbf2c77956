/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The files of the store's folder, and the lock of the data folder. Plain system calls, any thread
 * that may block. */
#include "storage/store_files.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char data_prefix[] = "data-";

/* FOLDER/NAME */
static char *path_in(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = mem_alloc(size);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

char *store_data_path(const char *folder, uint32_t number)
{
    char name[32];
    snprintf(name, sizeof name, "%s%u", data_prefix, number);
    return path_in(folder, name);
}

/* 0 when `name` is not "data-N" just as we write it. */
static uint32_t data_number(struct slice name)
{
    uint64_t number;
    size_t prefix = sizeof data_prefix - 1;
    if (name.size <= prefix || memcmp(name.data, data_prefix, prefix) != 0) return 0;
    if (!slice_to_uint64(slice_make(name.data + prefix, name.size - prefix), &number)) return 0;
    return number <= UINT32_MAX ? (uint32_t)number : 0;
}

/* --- CURRENT --- */

enum status store_has_current(const char *folder, struct error *error)
{
    char *path = path_in(folder, "CURRENT");
    enum status status = STATUS_OK;
    if (access(path, F_OK) != 0) {
        if (errno == ENOENT) status = error_set(error, STATUS_NOT_FOUND, "there is no %s", path);
        else status = error_set_errno(error, errno, "cannot look at %s", path);
    }
    mem_free(path);
    return status;
}

static enum status read_small_file(const char *path, char *out, size_t capacity, size_t *size,
                                   struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_set_errno(error, errno, "cannot open %s", path);
    ssize_t got = read(fd, out, capacity);
    int failure = errno;
    close(fd);
    if (got < 0) return error_set_errno(error, failure, "cannot read %s", path);
    *size = (size_t)got;
    return STATUS_OK;
}

static enum status parse_current(const char *folder, const char *path, struct slice text,
                                 uint32_t *number, struct error *error)
{
    if (text.size > 9 && memcmp(text.data, "MANIFEST-", 9) == 0) {
        return error_set(error, STATUS_UNSUPPORTED,
                         "%s is not a Kelvin store: it is a LevelDB folder of another program",
                         folder);
    }
    uint32_t named = text.size > 0 && text.data[text.size - 1] == '\n'
                         ? data_number(slice_make(text.data, text.size - 1))
                         : 0;
    if (named == 0) {
        return error_set(error, STATUS_CORRUPT,
                         "%s is damaged: it does not hold the name of a data folder", path);
    }
    char *data = store_data_path(folder, named);
    struct stat info;
    bool there = stat(data, &info) == 0 && S_ISDIR(info.st_mode);
    mem_free(data);
    if (!there) {
        return error_set(error, STATUS_CORRUPT, "%s names the folder data-%u, which is missing",
                         path, named);
    }
    *number = named;
    return STATUS_OK;
}

enum status store_read_current(const char *folder, uint32_t *number, struct error *error)
{
    char *path = path_in(folder, "CURRENT");
    char text[64];
    size_t size = 0;
    enum status status = read_small_file(path, text, sizeof text, &size, error);
    if (status == STATUS_OK)
        status = parse_current(folder, path, slice_make(text, size), number, error);
    mem_free(path);
    return status;
}

static enum status write_synced_file(const char *path, struct slice text, struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return error_set_errno(error, errno, "cannot create %s", path);
    enum status status = STATUS_OK;
    errno = 0;
    ssize_t written = write(fd, text.data, text.size);
    if (written < 0 || (size_t)written != text.size)
        status = error_set_errno(error, errno ? errno : ENOSPC, "cannot write %s", path);
    else if (fsync(fd) != 0)
        status = error_set_errno(error, errno, "cannot sync %s", path);
    close(fd);
    return status;
}

enum status store_write_current(const char *folder, uint32_t number, struct error *error)
{
    char *path = path_in(folder, "CURRENT"), *beside = path_in(folder, "CURRENT.tmp");
    char text[32];
    int size = snprintf(text, sizeof text, "%s%u\n", data_prefix, number);
    enum status status = write_synced_file(beside, slice_make(text, (size_t)size), error);
    if (status == STATUS_OK && rename(beside, path) != 0)
        status = error_set_errno(error, errno, "cannot rename %s", beside);
    if (status == STATUS_OK) status = store_sync_folder(folder, error);
    mem_free(path);
    mem_free(beside);
    return status;
}

/* --- folders --- */

enum status store_sync_folder(const char *folder, struct error *error)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return error_set_errno(error, errno, "cannot open %s", folder);
    enum status status = STATUS_OK;
    if (fsync(fd) != 0) status = error_set_errno(error, errno, "cannot sync %s", folder);
    close(fd);
    return status;
}

enum status store_make_folder(const char *folder, struct error *error)
{
    if (mkdir(folder, 0755) != 0) {
        if (errno == EEXIST) return STATUS_OK;
        return error_set_errno(error, errno, "cannot make the folder %s", folder);
    }
    char *parent = path_in(folder, "..");
    enum status status = store_sync_folder(parent, error);
    mem_free(parent);
    return status;
}

/* Calls `visit` with each name but "." and ".."; it returns false to end the walk. */
static enum status walk_folder(const char *folder,
                               bool (*visit)(void *context, const char *name), void *context,
                               struct error *error)
{
    DIR *directory = opendir(folder);
    if (!directory) return error_set_errno(error, errno, "cannot read the folder %s", folder);
    struct dirent *item;
    errno = 0;
    while ((item = readdir(directory)) != NULL) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0 &&
            !visit(context, item->d_name))
            break;
        errno = 0;
    }
    int failure = item ? 0 : errno;
    closedir(directory);
    return failure ? error_set_errno(error, failure, "cannot read the folder %s", folder)
                   : STATUS_OK;
}

static bool remove_tree(const char *path);

static bool remove_inside(void *context, const char *name)
{
    char *path = path_in(context, name);
    remove_tree(path);
    mem_free(path);
    return true;
}

/* Links are unlinked, not followed. */
static bool remove_tree(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0) return errno == ENOENT;
    if (!S_ISDIR(info.st_mode)) return unlink(path) == 0;
    char *copy = mem_dup(path, strlen(path) + 1);
    walk_folder(path, remove_inside, copy, NULL);
    mem_free(copy);
    return rmdir(path) == 0;
}

void store_remove_data_folder(const char *folder, uint32_t number)
{
    char *path = store_data_path(folder, number);
    if (!remove_tree(path))
        log_write(LOG_WARNING, "cannot remove %s, left for the next start", path);
    mem_free(path);
}

enum status store_make_data_folder(const char *folder, uint32_t number, struct error *error)
{
    char *path = store_data_path(folder, number);
    enum status status = STATUS_OK;
    remove_tree(path);
    if (mkdir(path, 0755) != 0)
        status = error_set_errno(error, errno, "cannot make the folder %s", path);
    mem_free(path);
    return status;
}

bool store_data_folder_is_begun(const char *folder, uint32_t number)
{
    char *path = store_data_path(folder, number);
    bool begun = store_has_current(path, NULL) == STATUS_OK;
    mem_free(path);
    return begun;
}

struct find {
    bool (*wanted)(void *context, uint32_t number);
    void *context;
    uint32_t found;
};

static bool find_visit(void *context, const char *name)
{
    struct find *find = context;
    uint32_t number = data_number(slice_from_text(name));
    if (number == 0 || !find->wanted(find->context, number)) return true;
    find->found = number;
    return false;
}

enum status store_find_data_folder(const char *folder,
                                   bool (*wanted)(void *context, uint32_t number), void *context,
                                   uint32_t *number, struct error *error)
{
    struct find find = {.wanted = wanted, .context = context};
    enum status status = walk_folder(folder, find_visit, &find, error);
    if (status == STATUS_OK) *number = find.found;
    return status;
}

struct leftovers {
    const char *folder;
    uint32_t keep;
};

static bool leftover_visit(void *context, const char *name)
{
    const struct leftovers *leftovers = context;
    uint32_t number = data_number(slice_from_text(name));
    if (number != 0 && number != leftovers->keep) {
        log_write(LOG_NOTICE, "removing %s/%s, which CURRENT does not name", leftovers->folder,
                  name);
        store_remove_data_folder(leftovers->folder, number);
    } else if (strcmp(name, "CURRENT.tmp") == 0) {
        remove_inside((void *)(uintptr_t)leftovers->folder, name);
    }
    return true;
}

enum status store_remove_leftovers(const char *folder, uint32_t keep, struct error *error)
{
    struct leftovers leftovers = {folder, keep};
    return walk_folder(folder, leftover_visit, &leftovers, error);
}

/* --- the lock --- */

enum status store_lock(const char *dir, int *out_fd, struct error *error)
{
    char *path = path_in(dir, "LOCK");
    enum status status = STATUS_OK;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        status = error_set_errno(error, errno, "cannot open %s", path);
        goto free_path;
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            status = error_set(error, STATUS_BUSY, "another server is using the data folder %s",
                               dir);
        else status = error_set_errno(error, errno, "cannot lock %s", path);
        close(fd);
        goto free_path;
    }
    *out_fd = fd;
free_path:
    mem_free(path);
    return status;
}

void store_unlock(int fd)
{
    if (fd >= 0) close(fd);
}
