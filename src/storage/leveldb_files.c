/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The files of one open LevelDB database (leveldb_files.h says what is special about them). Any
 * thread; `lock` guards the lists, and is held over unlink and open, never over a read, a write or
 * a sync.
 *
 * How we know that a memtable is durable (read from LevelDB 1.23). Each memtable has a log file:
 * MakeRoomForWrite creates the next log right before it makes the full memtable immutable, with
 * LevelDB's mutex held, and has waited before until the previous immutable one was gone. So the
 * n-th log created after the open is the n-th switch. CompactMemTable writes and syncs the table,
 * then LogAndApply appends a record to the MANIFEST that names it and says from which log on logs
 * are needed, and syncs it; only when all of that went well does LevelDB's log number move, and
 * RemoveObsoleteFiles removes exactly the logs below that number (none after a background error).
 * Hence: when LevelDB removes the log of memtable n, the memtables 0..n are in synced tables that a
 * synced MANIFEST names. Our logs are numbers in a list: LevelDB finds them in the folder's
 * listing, and removing one is what tells us. */
#include "storage/leveldb_files.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/memory.h"
#include "storage/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    COMPACTION_NICE = 10,
    /* What tables leave of the disk: a store can be opened, which is when LevelDB removes the tables
     * that a failed compaction left behind. Without it a full disk would stay full. */
    FREE_FOR_OPENING_BYTES = 4 << 20,
    IO_PRIORITY_WHO_PROCESS = 1,
    IO_PRIORITY_LOWEST = (2 << 13) | 7 /* the best-effort class */
};

struct log {
    uint64_t number;   /* of the file */
    uint64_t memtable; /* 0: of the open */
};

struct work {
    void (*function)(void *);
    void *argument;
    struct work *next;
};

struct leveldb_files {
    struct leveldb_metrics *metrics;
    _Atomic uint64_t switches, durable;
    _Atomic bool is_used;
    _Atomic int broken; /* the errno of the first write that failed */
    _Atomic bool is_cancelled;

    pthread_mutex_t lock;
    pthread_cond_t became_durable;
    struct log *logs;
    size_t log_count;
    char **held; /* paths whose deletion waits */
    size_t held_count;
    bool hold, keep_all;

    pthread_t thread;
    pthread_mutex_t work_lock;
    pthread_cond_t work_arrived;
    struct work *first, *last;
    bool is_ending, is_urgent;
    uint64_t held_until; /* this many switches nothing is compacted, */
    uint64_t served;     /* but for these, whose memtables were to be written out when work last began */
};

static _Atomic(leveldb_fault_function *) fault_function;
static _Atomic(void *) fault_context;

static _Thread_local char last_read_path[256];
static _Thread_local uint64_t last_read_offset;

static int fault(enum leveldb_operation operation, const char *path)
{
    leveldb_fault_function *function = atomic_load(&fault_function);
    return function ? function(atomic_load(&fault_context), operation, path) : 0;
}

/* LevelDB takes no write any more once it could not write a table or a MANIFEST; but a compaction
 * that runs goes on to its end, tries to write the full memtable again before each of its records,
 * and adds to the MANIFEST behind a torn record. So from then on nothing is written at all. */
static int write_begin(struct leveldb_files *files, enum leveldb_operation operation,
                       const char *path)
{
    int error_number = fault(operation, path);
    return error_number ? error_number : atomic_load(&files->broken);
}

static int write_end(struct leveldb_files *files, int error_number)
{
    int none = 0;
    if (error_number) atomic_compare_exchange_strong(&files->broken, &none, error_number);
    return error_number;
}

void leveldb_files_cancel(struct leveldb_files *files)
{
    atomic_store(&files->is_cancelled, true);
    write_end(files, ECANCELED);
    leveldb_files_hold(files, 0);
}

/* --- names --- */

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_log(const char *path)
{
    const char *dot = strrchr(name_of(path), '.');
    return dot && strcmp(dot, ".log") == 0;
}

static uint64_t file_number(const char *path)
{
    return strtoull(name_of(path), NULL, 10);
}

static enum leveldb_file_kind file_kind(const char *path)
{
    const char *name = name_of(path), *dot = strrchr(name, '.');
    if (dot && (strcmp(dot, ".ldb") == 0 || strcmp(dot, ".sst") == 0)) return LEVELDB_TABLE;
    return strncmp(name, "MANIFEST-", 9) == 0 ? LEVELDB_MANIFEST : LEVELDB_OTHER;
}

/* --- the compaction thread --- */

/* LevelDB has one piece of work scheduled at a time, and writes a full memtable out before it looks for
 * something to compact. So what is scheduled is held back as long as no memtable waits. */
static struct work *next_work(struct leveldb_files *files)
{
    uint64_t switches = atomic_load(&files->switches);
    if (switches < files->held_until && switches == files->served) return NULL;
    struct work *work = files->first;
    if (!work) return NULL;
    files->first = work->next;
    files->served = switches;
    return work;
}

void leveldb_files_hold(struct leveldb_files *files, uint64_t switches)
{
    pthread_mutex_lock(&files->work_lock);
    files->held_until = switches;
    pthread_cond_signal(&files->work_arrived);
    pthread_mutex_unlock(&files->work_lock);
}

static void *run_compactions(void *context)
{
    struct leveldb_files *files = context;
    pthread_setname_np(pthread_self(), "compaction");
    /* On Linux both are this thread's alone. Best effort: a system may forbid them. */
    if (!files->is_urgent) {
        setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), COMPACTION_NICE);
        syscall(SYS_ioprio_set, IO_PRIORITY_WHO_PROCESS, 0, IO_PRIORITY_LOWEST);
    }

    pthread_mutex_lock(&files->work_lock);
    for (;;) {
        struct work *work;
        while (!(work = next_work(files)) && !files->is_ending) {
            pthread_cond_wait(&files->work_arrived, &files->work_lock);
        }
        if (!work) break;
        pthread_mutex_unlock(&files->work_lock);
        work->function(work->argument);
        mem_free(work);
        pthread_mutex_lock(&files->work_lock);
    }
    pthread_mutex_unlock(&files->work_lock);
    return NULL;
}

void leveldb_files_schedule(struct leveldb_files *files, void (*function)(void *), void *argument)
{
    struct work *work = mem_alloc(sizeof *work);
    *work = (struct work){function, argument, NULL};
    pthread_mutex_lock(&files->work_lock);
    if (files->first) files->last->next = work;
    else files->first = work;
    files->last = work;
    pthread_cond_signal(&files->work_arrived);
    pthread_mutex_unlock(&files->work_lock);
}

int leveldb_files_create(struct leveldb_files **out, struct leveldb_metrics *metrics, bool is_urgent)
{
    struct leveldb_files *files = mem_calloc(1, sizeof *files);
    files->metrics = metrics;
    files->is_urgent = is_urgent;
    files->held_until = is_urgent ? UINT64_MAX : 0;
    pthread_mutex_init(&files->lock, NULL);
    pthread_cond_init(&files->became_durable, NULL);
    pthread_mutex_init(&files->work_lock, NULL);
    pthread_cond_init(&files->work_arrived, NULL);

    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error_number = pthread_create(&files->thread, NULL, run_compactions, files);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error_number) mem_free(files);
    else *out = files;
    return error_number;
}

void leveldb_files_destroy(struct leveldb_files *files)
{
    pthread_mutex_lock(&files->work_lock);
    files->is_ending = true;
    pthread_cond_signal(&files->work_arrived);
    pthread_mutex_unlock(&files->work_lock);
    pthread_join(files->thread, NULL);

    pthread_cond_destroy(&files->work_arrived);
    pthread_mutex_destroy(&files->work_lock);
    pthread_cond_destroy(&files->became_durable);
    pthread_mutex_destroy(&files->lock);
    for (size_t i = 0; i < files->held_count; i++) mem_free(files->held[i]);
    mem_free(files->held);
    mem_free(files->logs);
    mem_free(files);
}

/* --- logs: names without files --- */

static void log_note_new(struct leveldb_files *files, const char *path)
{
    uint64_t memtable = 0;
    bool is_switch = atomic_exchange(&files->is_used, true);
    if (is_switch) memtable = atomic_fetch_add(&files->switches, 1) + 1;
    files->logs = mem_realloc(files->logs, (files->log_count + 1) * sizeof *files->logs);
    files->logs[files->log_count++] = (struct log){file_number(path), memtable};
    pthread_mutex_lock(&files->work_lock); /* held work may be due: LevelDB's mutex makes it wait for us */
    pthread_cond_signal(&files->work_arrived);
    pthread_mutex_unlock(&files->work_lock);
}

static void log_note_removed(struct leveldb_files *files, const char *path)
{
    for (size_t i = 0; i < files->log_count; i++) {
        if (files->logs[i].number != file_number(path)) continue;
        uint64_t durable = files->logs[i].memtable + 1;
        if (durable > atomic_load(&files->durable)) atomic_store(&files->durable, durable);
        pthread_cond_broadcast(&files->became_durable);
        files->logs[i] = files->logs[--files->log_count];
        return;
    }
}

size_t leveldb_files_logs(struct leveldb_files *files, uint64_t *numbers, size_t room)
{
    pthread_mutex_lock(&files->lock);
    size_t count = files->log_count < room ? files->log_count : room;
    for (size_t i = 0; i < count; i++) numbers[i] = files->logs[i].number;
    pthread_mutex_unlock(&files->lock);
    return count;
}

uint64_t leveldb_files_switches(struct leveldb_files *files)
{
    return atomic_load(&files->switches);
}

uint64_t leveldb_files_durable(struct leveldb_files *files)
{
    return atomic_load(&files->durable);
}

bool leveldb_files_wait_durable(struct leveldb_files *files, uint64_t count, int64_t timeout_us)
{
    int64_t until_ns = clock_monotonic_ns() + timeout_us * 1000;
    struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    int error_number = 0;
    pthread_mutex_lock(&files->lock);
    while (atomic_load(&files->durable) < count && error_number == 0) {
        error_number = pthread_cond_clockwait(&files->became_durable, &files->lock,
                                              CLOCK_MONOTONIC, &until);
    }
    pthread_mutex_unlock(&files->lock);
    return atomic_load(&files->durable) >= count;
}

bool leveldb_files_is_used(struct leveldb_files *files)
{
    return atomic_load(&files->is_used);
}

/* --- held deletions --- */

static size_t held_find(const struct leveldb_files *files, const char *path)
{
    size_t i = 0;
    while (i < files->held_count && strcmp(files->held[i], path) != 0) i++;
    return i;
}

static int unlink_counted(struct leveldb_files *files, const char *path)
{
    if (unlink(path) != 0) return errno;
    counter_add_shared(&files->metrics->files_deleted, 1);
    return 0;
}

/* A new file of that name: the old one goes first, whether or not its deletion was held back. Never
 * are old bytes overwritten: a backup may hold a link to them. */
static void held_carry_out(struct leveldb_files *files, const char *path)
{
    size_t i = held_find(files, path);
    if (i < files->held_count) {
        mem_free(files->held[i]);
        files->held[i] = files->held[--files->held_count];
    }
    unlink_counted(files, path);
}

void leveldb_files_hold_deletions(struct leveldb_files *files, bool hold)
{
    pthread_mutex_lock(&files->lock);
    files->hold = hold;
    for (size_t i = 0; !hold && i < files->held_count; i++) {
        unlink_counted(files, files->held[i]);
        mem_free(files->held[i]);
    }
    if (!hold) files->held_count = 0;
    pthread_mutex_unlock(&files->lock);
}

bool leveldb_files_is_hidden(struct leveldb_files *files, const char *path)
{
    if (is_log(path)) return true;
    pthread_mutex_lock(&files->lock);
    bool is_held = held_find(files, path) < files->held_count;
    pthread_mutex_unlock(&files->lock);
    return is_held;
}

static int remove_locked(struct leveldb_files *files, const char *path)
{
    if (is_log(path)) {
        log_note_removed(files, path);
        return 0;
    }
    int error_number = fault(LEVELDB_REMOVE, path);
    if (error_number || files->keep_all) return error_number;
    if (!files->hold) return unlink_counted(files, path);
    if (held_find(files, path) == files->held_count) {
        files->held = mem_realloc(files->held, (files->held_count + 1) * sizeof *files->held);
        files->held[files->held_count++] = mem_dup(path, strlen(path) + 1);
    }
    return 0;
}

int leveldb_files_remove(struct leveldb_files *files, const char *path)
{
    pthread_mutex_lock(&files->lock);
    int error_number = remove_locked(files, path);
    pthread_mutex_unlock(&files->lock);
    return error_number;
}

/* --- files --- */

int leveldb_files_open(struct leveldb_files *files, const char *path, int *fd)
{
    (void)files;
    int error_number = fault(LEVELDB_OPEN, path);
    if (error_number) return error_number;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? errno : 0;
}

static int new_locked(struct leveldb_files *files, const char *path, int *fd)
{
    held_carry_out(files, path);
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (*fd < 0) return errno;
    counter_add_shared(&files->metrics->files_created, 1);
    return 0;
}

int leveldb_files_new(struct leveldb_files *files, const char *path, int *fd)
{
    *fd = LEVELDB_NO_FD;
    int error_number = write_begin(files, LEVELDB_NEW, path);
    if (is_log(path)) { /* LevelDB survives when this fails */
        if (error_number) return error_number;
        pthread_mutex_lock(&files->lock);
        log_note_new(files, path);
        pthread_mutex_unlock(&files->lock);
        return 0;
    }
    if (!error_number) {
        pthread_mutex_lock(&files->lock);
        error_number = new_locked(files, path, fd);
        pthread_mutex_unlock(&files->lock);
    }
    return write_end(files, error_number);
}

int leveldb_files_read(struct leveldb_files *files, const char *path, int fd, uint64_t offset,
                       char *out, size_t size, size_t *done)
{
    snprintf(last_read_path, sizeof last_read_path, "%s", path);
    last_read_offset = offset;
    *done = 0;
    int error_number = fault(LEVELDB_READ, path);
    if (atomic_load_explicit(&files->is_cancelled, memory_order_relaxed)) error_number = ECANCELED;
    if (error_number) return error_number;
    size_t filled = 0;
    while (filled < size) {
        ssize_t got = pread(fd, out + filled, size - filled, (off_t)(offset + filled));
        if (got == 0) break;
        if (got > 0) filled += (size_t)got;
        else if (errno != EINTR) return errno;
    }
    enum leveldb_file_kind kind = file_kind(path);
    counter_add_shared(&files->metrics->reads[kind], 1);
    counter_add_shared(&files->metrics->read_bytes[kind], filled);
    *done = filled;
    return 0;
}

void leveldb_files_forget_read(void)
{
    last_read_path[0] = '\0';
}

bool leveldb_files_last_read(const char **path, uint64_t *offset)
{
    *path = last_read_path;
    *offset = last_read_offset;
    return last_read_path[0] != '\0';
}

static int write_all(int fd, const char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t put = write(fd, data + done, size - done);
        if (put >= 0) done += (size_t)put;
        else if (errno != EINTR) return errno;
    }
    return 0;
}

/* On a small file system a sixteenth of it. */
static uint64_t kept_free(const struct statvfs *info)
{
    uint64_t share = (uint64_t)info->f_blocks * info->f_frsize / 16;
    return share < FREE_FOR_OPENING_BYTES ? share : FREE_FOR_OPENING_BYTES;
}

uint64_t leveldb_files_kept_free(const char *folder)
{
    struct statvfs info;
    return statvfs(folder, &info) == 0 ? kept_free(&info) : 0;
}

static int leave_space_for_opening(int fd, size_t size)
{
    struct statvfs info;
    if (fstatvfs(fd, &info) != 0 || info.f_blocks == 0) return 0;
    return (uint64_t)info.f_bavail * info.f_frsize < size + kept_free(&info) ? ENOSPC : 0;
}

static int sync_folder_of(const char *path)
{
    char *folder = slice_dup_text(slice_make(path, (size_t)(name_of(path) - path)));
    int error_number = fault(LEVELDB_SYNC_FOLDER, folder);
    int fd = error_number ? -1 : open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!error_number && (fd < 0 || fsync(fd) != 0)) error_number = errno;
    if (fd >= 0) close(fd);
    mem_free(folder);
    return error_number;
}

int leveldb_files_append(struct leveldb_files *files, const char *path, int fd, const char *data,
                         size_t size)
{
    if (fd == LEVELDB_NO_FD) {
        counter_add_shared(&files->metrics->log_bytes_dropped, size);
        return 0;
    }
    enum leveldb_file_kind kind = file_kind(path);
    int error_number = write_begin(files, LEVELDB_APPEND, path);
    if (!error_number && kind == LEVELDB_TABLE) error_number = leave_space_for_opening(fd, size);
    /* What a MANIFEST names must be found in the folder after a power cut, and the kernel may write
     * out what is appended here long before it is synced. */
    if (!error_number && kind == LEVELDB_MANIFEST) error_number = sync_folder_of(path);
    if (!error_number) error_number = write_all(fd, data, size);
    if (error_number) return write_end(files, error_number);
    counter_add_shared(&files->metrics->writes[kind], 1);
    counter_add_shared(&files->metrics->written_bytes[kind], size);
    return 0;
}

int leveldb_files_sync(struct leveldb_files *files, const char *path, int fd)
{
    if (fd == LEVELDB_NO_FD) return 0;
    enum leveldb_file_kind kind = file_kind(path);
    int error_number = write_begin(files, LEVELDB_SYNC, path);
    int64_t start_us = clock_monotonic_us();
    if (!error_number && fdatasync(fd) != 0) error_number = errno;
    if (error_number) return write_end(files, error_number);
    counter_add_shared(&files->metrics->syncs[kind], 1);
    counter_add_shared(&files->metrics->sync_us[kind],
                       (uint64_t)(clock_monotonic_us() - start_us));
    return 0;
}

int leveldb_files_rename(struct leveldb_files *files, const char *from, const char *to)
{
    if (strcmp(name_of(from), "LOG") == 0) return 0; /* LevelDB's own log, which we have not */
    int error_number = fault(LEVELDB_RENAME, to);
    if (error_number) return error_number;
    if (rename(from, to) != 0) return errno;
    error_number = sync_folder_of(to);
    if (error_number) {
        /* LevelDB would now remove the MANIFEST that CURRENT names. */
        pthread_mutex_lock(&files->lock);
        files->keep_all = true;
        pthread_mutex_unlock(&files->lock);
    }
    return error_number;
}

void leveldb_files_set_fault(leveldb_fault_function *function, void *context)
{
    atomic_store(&fault_function, NULL);
    atomic_store(&fault_context, context);
    atomic_store(&fault_function, function);
}
