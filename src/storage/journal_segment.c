/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One segment file. See journal_segment.h for the threads. Syncing is always over a range that
 * ends where the loop had been; metadata do not change after segment_create. */
#include "storage/journal_segment.h"

#include "base/check.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ZERO_CHUNK_BYTES = 1 << 20,
    ZERO_SYNC_BYTES = 8 << 20,  /* small syncs, so that those of the journal wait less */
    REFRESH_BYTES = 64 << 10,   /* populated again after each sync */
    GIVE_BACK_BYTES = 4 << 20   /* unlocked in steps of this size */
};

size_t page_bytes(void)
{
    static _Atomic size_t cached;
    size_t bytes = atomic_load_explicit(&cached, memory_order_relaxed);
    if (bytes == 0) {
        bytes = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&cached, bytes, memory_order_relaxed);
    }
    return bytes;
}

size_t page_floor(size_t offset)
{
    return offset & ~(page_bytes() - 1);
}

size_t page_ceiling(size_t offset)
{
    return page_floor(offset + page_bytes() - 1);
}

struct segment *segment_new(const char *path, int fd, size_t bytes)
{
    struct segment *segment = mem_calloc(1, sizeof *segment);
    segment->path = mem_dup(path, strlen(path) + 1);
    segment->fd = fd;
    segment->bytes = bytes;
    return segment;
}

void segment_free(const struct journal_file_operations *files, struct segment *segment)
{
    if (!segment) return;
    if (segment->view && segment->view != segment->map)
        files->munmap(files->context, (void *)(uintptr_t)segment->view, segment->bytes);
    if (segment->map) files->munmap(files->context, segment->map, segment->bytes);
    if (segment->fd >= 0) files->close(files->context, segment->fd);
    mem_free(segment->path);
    mem_free(segment);
}

static int zero_file(const struct journal_file_operations *files, int fd, size_t bytes)
{
    char *zeroes = mem_calloc(1, ZERO_CHUNK_BYTES);
    int result = 0;
    for (size_t done = 0; result == 0 && done < bytes;) {
        size_t size = bytes - done < ZERO_CHUNK_BYTES ? bytes - done : ZERO_CHUNK_BYTES;
        result = journal_file_write(files, fd, zeroes, size, (off_t)done);
        done += size;
        if (result == 0 && (done % ZERO_SYNC_BYTES == 0 || done == bytes))
            result = files->fdatasync(files->context, fd);
    }
    int saved = errno;
    mem_free(zeroes);
    errno = saved;
    return result;
}

enum status segment_create(const struct journal_file_operations *files, const char *path,
                           size_t bytes, struct segment **out, struct error *error)
{
    int fd = files->open(files->context, path, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0) return error_set_errno(error, errno, "cannot create %s", path);
    int result = files->fallocate(files->context, fd, (off_t)bytes);
    if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) result = 0;
    if (result == 0) result = zero_file(files, fd, bytes);
    if (result == 0) {
        *out = segment_new(path, fd, bytes);
        return STATUS_OK;
    }
    enum status status = error_set_errno(error, errno, "cannot allocate %zu bytes for %s", bytes,
                                         path);
    files->close(files->context, fd);
    files->unlink(files->context, path);
    return status;
}

enum status segment_map(const struct journal_file_operations *files, struct segment *segment,
                        bool is_shared, struct error *error)
{
    segment->is_shared = is_shared;
    if (!segment->map) {
        void *map = files->mmap(files->context, segment->bytes, PROT_READ | PROT_WRITE,
                                is_shared ? segment->fd : -1);
        if (map == MAP_FAILED) return error_set_errno(error, errno, "cannot map %s", segment->path);
        segment->map = map;
        if (is_shared) segment->view = map;
    }
    if (!segment->view) {
        void *view = files->mmap(files->context, segment->bytes, PROT_READ, segment->fd);
        if (view == MAP_FAILED)
            return error_set_errno(error, errno, "cannot map %s", segment->path);
        segment->view = view;
    }
    return STATUS_OK;
}

bool segment_lock(const struct journal_file_operations *files, struct segment *segment)
{
    return files->lock(files->context, segment->map, segment->bytes) == 0;
}

enum status segment_make_blank(const struct journal_file_operations *files,
                               struct segment *segment, struct error *error)
{
    char *page = mem_calloc(1, SEGMENT_HEADER_BYTES);
    int result = journal_file_write(files, segment->fd, page, SEGMENT_HEADER_BYTES, 0);
    if (result == 0) result = files->fdatasync(files->context, segment->fd);
    int saved = errno;
    mem_free(page);
    if (result != 0) return error_set_errno(error, saved, "cannot make %s blank", segment->path);

    if (segment->map && !segment->is_shared) /* the memory starts from zeroes again */
        madvise(segment->map, segment->bytes, MADV_DONTNEED);
    if (segment->map && segment->is_shared) munlock(segment->map, segment->bytes);
    memset(&segment->header, 0, sizeof segment->header);
    segment->start_position = segment->last_sequence = 0;
    segment->unlocked = 0;
    segment->is_superseded = false;
    atomic_store(&segment->published, 0);
    atomic_store(&segment->written, 0);
    atomic_store(&segment->synced, 0);
    atomic_store(&segment->populated, 0);
    return STATUS_OK;
}

void segment_populate(const struct journal_file_operations *files, struct segment *segment,
                      size_t to)
{
    size_t have = atomic_load_explicit(&segment->populated, memory_order_relaxed);
    if (!segment->is_shared || to > segment->bytes) to = segment->bytes;
    to = page_floor(to);
    if (to <= have) return;
    /* A failure is no reason to stop: the loop's stores then fault the pages in themselves. */
    if (segment->is_shared)
        files->populate(files->context, segment->map + page_floor(have), to - page_floor(have));
    atomic_store_explicit(&segment->populated, to, memory_order_release);
}

enum status segment_write(const struct journal_file_operations *files, struct segment *segment,
                          size_t end, struct error *error)
{
    size_t from = atomic_load_explicit(&segment->written, memory_order_relaxed);
    if (end <= from) return STATUS_OK;
    uint64_t offset = append_offset_encode(end, false);
    if (journal_file_write(files, segment->fd, segment->map + from, end - from, (off_t)from) != 0 ||
        journal_file_write(files, segment->fd, &offset, sizeof offset, SEGMENT_APPEND_OFFSET) != 0)
        return error_set_errno(error, errno, "cannot write %s", segment->path);
    atomic_store_explicit(&segment->written, end, memory_order_release);
    return STATUS_OK;
}

enum status segment_write_closed(const struct journal_file_operations *files,
                                 struct segment *segment, const struct segment *next,
                                 struct error *error)
{
    uint64_t word = append_offset_encode(atomic_load(&segment->written), true);
    if (journal_file_write(files, next->fd, next->map, SEGMENT_HEADER_BYTES, 0) != 0)
        return error_set_errno(error, errno, "cannot write %s", next->path);
    if (journal_file_write(files, segment->fd, &word, sizeof word, SEGMENT_APPEND_OFFSET) != 0)
        return error_set_errno(error, errno, "cannot write %s", segment->path);
    return STATUS_OK;
}

/* What is durable need not stay in memory. The header page is written to until the end. */
static void give_back(struct segment *segment, size_t end)
{
    size_t from = segment->unlocked < page_bytes() ? page_bytes() : segment->unlocked;
    size_t to = page_floor(end);
    if (to < from + GIVE_BACK_BYTES) return;
    if (segment->is_shared)
        munlock(segment->map + from, to - from);
    else
        madvise(segment->map + from, to - from, MADV_DONTNEED);
    segment->unlocked = to;
}

enum status segment_sync(const struct journal_file_operations *files, struct segment *segment,
                         size_t end, struct error *error)
{
    size_t from = atomic_load_explicit(&segment->synced, memory_order_relaxed);
    if (end <= from) return STATUS_OK;
    int result;
    if (segment->is_shared) {
        from = page_floor(from);
        result = files->msync(files->context, segment->map + from, end - from);
    } else {
        result = files->fdatasync(files->context, segment->fd);
    }
    if (result != 0) return error_set_errno(error, errno, "cannot sync %s", segment->path);
    atomic_store_explicit(&segment->synced, end, memory_order_release);

    if (segment->is_shared) { /* the sync has write-protected what it wrote */
        size_t page = page_floor(end);
        size_t size = segment->bytes - page < REFRESH_BYTES ? segment->bytes - page : REFRESH_BYTES;
        if (size > 0) files->populate(files->context, segment->map + page, size);
        files->populate(files->context, segment->map, page_bytes());
    }
    give_back(segment, end);
    return STATUS_OK;
}
