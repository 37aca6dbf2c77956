/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A library to preload under a server (LD_PRELOAD) that breaks its files on orders from a test. It stands
 * between the program and the system calls on files, on every thread, and does three things:
 *
 *   faults    rules in a control file that the test maps too: calls of some kinds on paths that
 *             match a pattern fail with an errno, write short, take long, or kill the process
 *             before they are made;
 *   loop      a call on a file from the thread that called itself "kelvin-loop" is written into the
 *             complaints file: that thread must never wait for a disk;
 *   power     a log of what was written and what was synced, from which the test rebuilds the
 *             folder as a power cut would have left it. Of a mapping the log knows what an msync
 *             covered, as it was when the msync began.
 *
 * Environment: FAULTFS_CONTROL, FAULTFS_COMPLAINTS, FAULTFS_ROOT (the folder that is watched), and, if
 * wanted, FAULTFS_POWER (the log) and FAULTFS_BOOT_ID (a file that stands for the kernel's boot id).
 * The layouts are known to faultfs.py too. It makes system calls itself and so needs no symbol of
 * the C library below it. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wnonnull-compare"
#endif

enum { MAX_FD = 65536, MAX_RULES = 16, MAX_MAPS = 1024, PATTERN_BYTES = 96 };

enum kind {
    KIND_OPEN = 1 << 0,
    KIND_CREATE = 1 << 1,
    KIND_READ = 1 << 2,
    KIND_WRITE = 1 << 3,
    KIND_SYNC = 1 << 4,
    KIND_MSYNC = 1 << 5,
    KIND_ALLOCATE = 1 << 6,
    KIND_TRUNCATE = 1 << 7,
    KIND_RENAME = 1 << 8,
    KIND_UNLINK = 1 << 9,
    KIND_MAP = 1 << 10,
    KIND_SYNC_FOLDER = 1 << 11,
    KIND_MKDIR = 1 << 12,
    KIND_LOOK = 1 << 13, /* stat, statfs, list */
    KIND_CLOSE = 1 << 14
};

enum action { ACTION_FAIL = 1, ACTION_SHORT = 2, ACTION_SLOW = 3, ACTION_DIE = 4 /* kill -9 itself */ };

struct rule { /* written by the test, `active` last */
    _Atomic uint32_t active;
    uint32_t kinds;
    int32_t action, error_number;
    uint32_t delay_ms;
    _Atomic int32_t skip;  /* calls that pass before the first one that does not */
    _Atomic int32_t count; /* of calls that it applies to; < 0: all */
    _Atomic uint32_t hits;
    char pattern[PATTERN_BYTES];
};

struct control {
    uint32_t magic, rule_count;
    _Atomic uint64_t calls; /* on watched files */
    struct rule rules[MAX_RULES];
};

struct mapping {
    char *address;
    size_t size;
    off_t offset;
    const char *path;
};

static struct control *control;
static const char *root, *boot_id;
static size_t root_size;
static int complaints_fd = -1, power_fd = -1;
static const char *_Atomic paths[MAX_FD]; /* of descriptors of files and folders; never freed */
static _Atomic uint64_t offsets[MAX_FD];
static struct mapping maps[MAX_MAPS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* maps, power log */
static _Atomic bool is_ready;
static _Thread_local bool is_loop;

/* --- set-up --- */

static int raw_open(const char *path, int flags, int mode)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void *raw_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}

static void note_inherited(int fd)
{
    struct stat info;
    char link[64], path[PATH_MAX];
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return;
    path[size] = '\0';
    paths[fd] = strdup(path);
}

__attribute__((constructor)) static void set_up(void)
{
    const char *name = getenv("FAULTFS_CONTROL");
    if (!name) return;
    int fd = raw_open(name, O_RDWR | O_CLOEXEC, 0);
    control = fd < 0 ? MAP_FAILED
                     : raw_mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED || control->magic != 0x4b465331) {
        fprintf(stderr, "faultfs: no control file %s\n", name);
        _exit(99);
    }
    syscall(SYS_close, fd);
    root = getenv("FAULTFS_ROOT");
    root_size = root ? strlen(root) : 0;
    boot_id = getenv("FAULTFS_BOOT_ID");
    const int append = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    if (getenv("FAULTFS_COMPLAINTS"))
        complaints_fd = raw_open(getenv("FAULTFS_COMPLAINTS"), append, 0600);
    if (getenv("FAULTFS_POWER")) power_fd = raw_open(getenv("FAULTFS_POWER"), append, 0600);
    for (fd = 0; fd < 3; fd++) note_inherited(fd);
    is_ready = true;
}

/* --- faults and complaints --- */

static bool is_disk_path(const char *path)
{
    return path && strncmp(path, "/proc/", 6) != 0 && strncmp(path, "/sys/", 5) != 0 &&
           strncmp(path, "/dev/", 5) != 0;
}

static bool is_watched(const char *path)
{
    return path && root && strncmp(path, root, root_size) == 0;
}

static void complain(const char *call, const char *path)
{
    char text[PATH_MAX + 64];
    int size = snprintf(text, sizeof text, "%s %s\n", call, path);
    if (complaints_fd >= 0) syscall(SYS_write, complaints_fd, text, (size_t)size);
}

static void pause_ms(uint32_t ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

/* Before a call on `path`: 0, or -1 with errno set. `*size` may be made smaller. */
static int before(unsigned kind, const char *call, const char *path, size_t *size)
{
    if (!is_ready || !is_disk_path(path)) return 0;
    if (is_loop) complain(call, path);
    if (!is_watched(path)) return 0;
    control->calls++;
    for (unsigned i = 0; i < MAX_RULES; i++) {
        struct rule *rule = &control->rules[i];
        if (!rule->active || !(rule->kinds & kind) || fnmatch(rule->pattern, path, 0) != 0)
            continue;
        if (rule->skip > 0 && rule->skip-- > 0) continue;
        if (rule->count == 0) continue;
        if (rule->count > 0 && rule->count-- <= 0) continue;
        rule->hits++;
        if (rule->action == ACTION_SLOW) {
            pause_ms(rule->delay_ms);
        } else if (rule->action == ACTION_SHORT) {
            if (size && *size > 1) *size /= 2;
        } else if (rule->action == ACTION_DIE) {
            syscall(SYS_kill, getpid(), SIGKILL);
        } else {
            errno = rule->error_number;
            return -1;
        }
    }
    return 0;
}

static const char *path_of(int fd)
{
    return fd >= 0 && fd < MAX_FD ? paths[fd] : NULL;
}

/* --- the power log --- */

enum power {
    POWER_OPEN = 1,   /* number: the flags */
    POWER_WRITE,      /* offset, data */
    POWER_ZEROES,     /* offset, number: how many */
    POWER_SIZE,       /* number: the new size; offset 1: it only grows */
    POWER_SYNC_BEGIN, /* number: which sync */
    POWER_SYNC_END,   /* number: which sync; offset: 0 when it worked */
    POWER_RENAME,     /* the path, then the other path as data */
    POWER_UNLINK,
    POWER_FOLDER_BEGIN,
    POWER_FOLDER_END,
    POWER_MSYNC, /* offset, data as it was when the msync that has worked began */
    POWER_MKDIR,
    POWER_RMDIR
};

struct power_record {
    uint32_t type, path_size;
    uint64_t offset, number, data_size;
};

static bool all_zero(const char *data, size_t size)
{
    return size > 0 && data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

static void power(enum power type, const char *path, uint64_t offset, uint64_t number,
                  const void *data, size_t data_size)
{
    if (power_fd < 0 || !is_watched(path)) return;
    int saved = errno;
    if (type == POWER_WRITE && all_zero(data, data_size)) {
        type = POWER_ZEROES;
        number = data_size;
        data_size = 0;
    }
    struct power_record record = {type, (uint32_t)strlen(path), offset, number, data_size};
    struct iovec parts[] = {{&record, sizeof record},
                            {(void *)(uintptr_t)path, record.path_size},
                            {(void *)(uintptr_t)data, data_size}};
    pthread_mutex_lock(&lock);
    syscall(SYS_writev, power_fd, parts, 3);
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static uint64_t new_number(void)
{
    static _Atomic uint64_t last;
    return (uint64_t)getpid() << 32 | ++last;
}

/* --- open and close --- */

static const char *absolute(int folder, const char *path, char *room)
{
    if (path[0] == '/') return path;
    if (folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, room, PATH_MAX / 2) < 0) return path;
    } else {
        snprintf(room, PATH_MAX / 2, "%s", path_of(folder) ? path_of(folder) : "?");
    }
    size_t size = strlen(room);
    snprintf(room + size, PATH_MAX - size, "/%s", path);
    return room;
}

static int do_open(int folder, const char *path, int flags, int mode)
{
    char room[PATH_MAX];
    const char *full = is_ready ? absolute(folder, path, room) : path;
    if (boot_id && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        return raw_open(boot_id, flags, mode);
    if (before((flags & O_CREAT) ? KIND_CREATE | KIND_OPEN : KIND_OPEN, "open", full, NULL) != 0)
        return -1;
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (!is_ready || fd < 0 || fd >= MAX_FD || !is_disk_path(full)) return fd;
    struct stat info;
    bool is_file = fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode));
    paths[fd] = is_file ? strdup(full) : NULL;
    offsets[fd] = 0;
    if (is_file && S_ISREG(info.st_mode))
        power(POWER_OPEN, full, 0, (uint64_t)flags, NULL, 0);
    return fd;
}

static int mode_of(int flags, va_list rest)
{
    return (flags & (O_CREAT | __O_TMPFILE)) ? va_arg(rest, int) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = mode_of(flags, rest);
    va_end(rest);
    return do_open(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = mode_of(flags, rest);
    va_end(rest);
    return do_open(folder, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int folder, const char *path, int flags, ...) __attribute__((alias("openat")));

int __open_2(const char *path, int flags)
{
    return do_open(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));

FILE *fopen(const char *path, const char *mode)
{
    FILE *(*next)(const char *, const char *) =
        (FILE * (*)(const char *, const char *))dlsym(RTLD_NEXT, "fopen");
    if (before(KIND_OPEN, "fopen", path, NULL) != 0) return NULL;
    return next(path, mode);
}

int close(int fd)
{
    const char *path = path_of(fd);
    if (path) before(KIND_CLOSE, "close", path, NULL);
    if (path) paths[fd] = NULL;
    return (int)syscall(SYS_close, fd);
}

/* --- reading and writing --- */

ssize_t read(int fd, void *data, size_t size)
{
    const char *path = path_of(fd);
    if (path && before(KIND_READ, "read", path, &size) != 0) return -1;
    return syscall(SYS_read, fd, data, size);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    const char *path = path_of(fd);
    if (path && before(KIND_READ, "pread", path, &size) != 0) return -1;
    return syscall(SYS_pread64, fd, data, size, offset);
}

ssize_t pread64(int fd, void *data, size_t size, off_t offset) __attribute__((alias("pread")));

ssize_t write(int fd, const void *data, size_t size)
{
    const char *path = path_of(fd);
    if (path && before(KIND_WRITE, "write", path, &size) != 0) return -1;
    ssize_t done = syscall(SYS_write, fd, data, size);
    if (path && done > 0) {
        power(POWER_WRITE, path, offsets[fd], 0, data, (size_t)done);
        offsets[fd] += (uint64_t)done;
    }
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    const char *path = path_of(fd);
    if (path && before(KIND_WRITE, "writev", path, NULL) != 0) return -1;
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    const char *path = path_of(fd);
    if (path && before(KIND_WRITE, "pwrite", path, &size) != 0) return -1;
    ssize_t done = syscall(SYS_pwrite64, fd, data, size, offset);
    if (path && done > 0) power(POWER_WRITE, path, (uint64_t)offset, 0, data, (size_t)done);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset)
    __attribute__((alias("pwrite")));

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    const char *path = path_of(fd);
    if (path && before(KIND_ALLOCATE, "fallocate", path, NULL) != 0) return -1;
    int result = (int)syscall(SYS_fallocate, fd, mode, offset, size);
    if (path && result == 0) power(POWER_SIZE, path, 1, (uint64_t)(offset + size), NULL, 0);
    return result;
}

int fallocate64(int fd, int mode, off_t offset, off_t size) __attribute__((alias("fallocate")));

int posix_fallocate(int fd, off_t offset, off_t size)
{
    int saved = errno, result = fallocate(fd, 0, offset, size) == 0 ? 0 : errno;
    errno = saved;
    return result;
}

int posix_fallocate64(int fd, off_t offset, off_t size) __attribute__((alias("posix_fallocate")));

int ftruncate(int fd, off_t size)
{
    const char *path = path_of(fd);
    if (path && before(KIND_TRUNCATE, "ftruncate", path, NULL) != 0) return -1;
    int result = (int)syscall(SYS_ftruncate, fd, size);
    if (path && result == 0) power(POWER_SIZE, path, 0, (uint64_t)size, NULL, 0);
    return result;
}

int ftruncate64(int fd, off_t size) __attribute__((alias("ftruncate")));

/* --- syncing --- */

static int sync_with(long call, const char *name, int fd)
{
    const char *path = path_of(fd);
    if (!path) return (int)syscall(call, fd);
    struct stat info;
    bool is_folder = fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
    uint64_t number = new_number();
    power(is_folder ? POWER_FOLDER_BEGIN : POWER_SYNC_BEGIN, path, 0, number, NULL, 0);
    int result = before(is_folder ? KIND_SYNC_FOLDER : KIND_SYNC, name, path, NULL);
    if (result == 0) result = (int)syscall(call, fd);
    power(is_folder ? POWER_FOLDER_END : POWER_SYNC_END, path, result != 0, number, NULL, 0);
    return result;
}

int fsync(int fd)
{
    return sync_with(SYS_fsync, "fsync", fd);
}

int fdatasync(int fd)
{
    return sync_with(SYS_fdatasync, "fdatasync", fd);
}

int sync_file_range(int fd, off_t offset, off_t size, unsigned flags)
{
    const char *path = path_of(fd);
    if (path && before(KIND_SYNC, "sync_file_range", path, NULL) != 0) return -1;
    return (int)syscall(SYS_sync_file_range, fd, offset, size, flags);
}

static struct mapping find_mapping(const void *address)
{
    struct mapping found = {0};
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < MAX_MAPS; i++) {
        const struct mapping *at = &maps[i];
        if (at->address && (const char *)address >= at->address &&
            (const char *)address < at->address + at->size)
            found = *at;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

int msync(void *address, size_t size, int flags)
{
    struct mapping mapping = find_mapping(address);
    if (!mapping.path) return (int)syscall(SYS_msync, address, size, flags);
    char *copy = NULL;
    /* Whole pages are written. */
    uintptr_t start = (uintptr_t)address & ~(uintptr_t)4095;
    size_t whole = ((uintptr_t)address + size - start + 4095) & ~(size_t)4095;
    if (start + whole > (uintptr_t)mapping.address + mapping.size)
        whole = (uintptr_t)mapping.address + mapping.size - start;
    if (power_fd >= 0 && (copy = malloc(whole)) != NULL)
        memcpy(copy, (const void *)start, whole);
    int result = before(KIND_MSYNC, "msync", mapping.path, NULL);
    if (result == 0) result = (int)syscall(SYS_msync, address, size, flags);
    if (copy && result == 0) {
        uint64_t offset = start - (uintptr_t)mapping.address + (uint64_t)mapping.offset;
        power(POWER_MSYNC, mapping.path, offset, 0, copy, whole);
    }
    int saved = errno;
    free(copy);
    errno = saved;
    return result;
}

/* --- mapping --- */

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    const char *path = is_ready && !(flags & MAP_ANONYMOUS) ? path_of(fd) : NULL;
    if (path && before(KIND_MAP, "mmap", path, NULL) != 0) return MAP_FAILED;
    void *map = raw_mmap(address, size, protection, flags, fd, offset);
    if (map == MAP_FAILED || !path || !(flags & MAP_SHARED) || !(protection & PROT_WRITE))
        return map;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < MAX_MAPS; i++) {
        if (maps[i].address) continue;
        maps[i] = (struct mapping){map, size, offset, path};
        break;
    }
    pthread_mutex_unlock(&lock);
    return map;
}

void *mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
    __attribute__((alias("mmap")));

int munmap(void *address, size_t size)
{
    if (is_ready) {
        struct mapping mapping = find_mapping(address);
        if (mapping.path) {
            before(KIND_MAP, "munmap", mapping.path, NULL);
            pthread_mutex_lock(&lock);
            for (unsigned i = 0; i < MAX_MAPS; i++)
                if (maps[i].address == mapping.address) maps[i].address = NULL;
            pthread_mutex_unlock(&lock);
        }
    }
    return (int)syscall(SYS_munmap, address, size);
}

/* --- names --- */

static void moved(const char *from, const char *to)
{
    const char *name = strdup(to);
    for (int fd = 0; fd < MAX_FD; fd++)
        if (paths[fd] && strcmp(paths[fd], from) == 0) paths[fd] = name;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < MAX_MAPS; i++)
        if (maps[i].address && strcmp(maps[i].path, from) == 0) maps[i].path = name;
    pthread_mutex_unlock(&lock);
}

int rename(const char *from, const char *to)
{
    char room[PATH_MAX], other[PATH_MAX];
    from = absolute(AT_FDCWD, from, room);
    to = absolute(AT_FDCWD, to, other);
    if (before(KIND_RENAME, "rename", to, NULL) != 0) return -1;
    int result = (int)syscall(SYS_rename, from, to);
    if (result == 0) {
        power(POWER_RENAME, from, 0, 0, to, strlen(to));
        moved(from, to);
    }
    return result;
}

int unlink(const char *path)
{
    char room[PATH_MAX];
    path = absolute(AT_FDCWD, path, room);
    if (before(KIND_UNLINK, "unlink", path, NULL) != 0) return -1;
    int result = (int)syscall(SYS_unlink, path);
    if (result == 0) power(POWER_UNLINK, path, 0, 0, NULL, 0);
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    char room[PATH_MAX];
    path = absolute(AT_FDCWD, path, room);
    if (before(KIND_MKDIR, "mkdir", path, NULL) != 0) return -1;
    int result = (int)syscall(SYS_mkdir, path, mode);
    if (result == 0) power(POWER_MKDIR, path, 0, 0, NULL, 0);
    return result;
}

int rmdir(const char *path)
{
    char room[PATH_MAX];
    path = absolute(AT_FDCWD, path, room);
    if (before(KIND_UNLINK, "rmdir", path, NULL) != 0) return -1;
    int result = (int)syscall(SYS_rmdir, path);
    if (result == 0) power(POWER_RMDIR, path, 0, 0, NULL, 0);
    return result;
}

int stat(const char *path, struct stat *info)
{
    if (before(KIND_LOOK, "stat", path, NULL) != 0) return -1;
    return (int)syscall(SYS_newfstatat, AT_FDCWD, path, info, 0);
}

int access(const char *path, int mode)
{
    if (before(KIND_LOOK, "access", path, NULL) != 0) return -1;
    return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
}

int statfs(const char *path, struct statfs *info)
{
    if (before(KIND_LOOK, "statfs", path, NULL) != 0) return -1;
    return (int)syscall(SYS_statfs, path, info);
}

DIR *opendir(const char *path)
{
    DIR *(*next)(const char *) = (DIR * (*)(const char *))dlsym(RTLD_NEXT, "opendir");
    if (before(KIND_LOOK, "opendir", path, NULL) != 0) return NULL;
    return next(path);
}

/* --- the loop's thread --- */

int pthread_setname_np(pthread_t thread, const char *name)
{
    if (!pthread_equal(thread, pthread_self())) return ENOSYS;
    is_loop = strcmp(name, "kelvin-loop") == 0;
    return prctl(PR_SET_NAME, name) == 0 ? 0 : errno;
}
