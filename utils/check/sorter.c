/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Runs of sorted pairs. The last run stays in memory; every other one is a part of one unlinked file and is
 * read back through a small buffer of its own. With 2^20 pairs a run (16 MiB), 64 GiB of pairs make
 * 4096 runs, over which a heap merges. */
#include "check/sorter.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_ITEMS = 512 };

struct run {
    off_t next, end; /* in the file */
    struct sorter_item *buffer; /* READ_ITEMS of them; of the last run: its items themselves */
    size_t at, have;
    bool is_memory;
};

struct sorter {
    struct sorter_item *items;
    size_t used, room;
    uint64_t count;
    int fd; /* -1: none yet */
    off_t file_end;
    off_t *starts; /* of the runs in the file */
    size_t run_count, run_capacity;
    struct run *runs; /* while being read, run_count + 1 */
    struct run **heap;
    size_t heap_count;
    bool is_sorted;
};

struct sorter *sorter_create(size_t items)
{
    struct sorter *sorter = mem_calloc(1, sizeof *sorter);
    sorter->room = items;
    sorter->fd = -1;
    return sorter;
}

static void free_runs(struct sorter *sorter)
{
    for (size_t i = 0; sorter->runs && i < sorter->run_count; i++)
        mem_free(sorter->runs[i].buffer);
    mem_free(sorter->runs);
    mem_free(sorter->heap);
    sorter->runs = NULL;
    sorter->heap = NULL;
}

void sorter_destroy(struct sorter *sorter)
{
    if (!sorter) return;
    free_runs(sorter);
    if (sorter->fd >= 0) close(sorter->fd);
    mem_free(sorter->starts);
    mem_free(sorter->items);
    mem_free(sorter);
}

static int compare(const void *a, const void *b)
{
    const struct sorter_item *left = a, *right = b;
    if (left->key != right->key) return left->key < right->key ? -1 : 1;
    return left->value < right->value ? -1 : left->value > right->value;
}

static int open_temporary(void)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder) folder = "/tmp";
    size_t size = strlen(folder) + sizeof "/kelvin-check-XXXXXX";
    char *path = mem_alloc(size);
    memcpy(path, folder, strlen(folder));
    memcpy(path + strlen(folder), "/kelvin-check-XXXXXX", sizeof "/kelvin-check-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) unlink(path);
    mem_free(path);
    return fd;
}

static enum status write_run(struct sorter *sorter, struct error *error)
{
    if (sorter->fd < 0) sorter->fd = open_temporary();
    if (sorter->fd < 0) return error_set_errno(error, errno, "cannot make a temporary file");
    if (sorter->run_count == sorter->run_capacity) {
        sorter->run_capacity = sorter->run_capacity ? 2 * sorter->run_capacity : 16;
        sorter->starts =
            mem_realloc(sorter->starts, sorter->run_capacity * sizeof *sorter->starts);
    }
    sorter->starts[sorter->run_count++] = sorter->file_end;
    qsort(sorter->items, sorter->used, sizeof *sorter->items, compare);
    const char *from = (const char *)sorter->items;
    for (size_t left = sorter->used * sizeof *sorter->items; left > 0;) {
        ssize_t put = pwrite(sorter->fd, from, left, sorter->file_end);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0)
            return error_set_errno(error, put ? errno : ENOSPC, "cannot write a temporary file");
        from += put;
        left -= (size_t)put;
        sorter->file_end += put;
    }
    sorter->used = 0;
    return STATUS_OK;
}

enum status sorter_add(struct sorter *sorter, uint64_t key, uint64_t value, struct error *error)
{
    if (sorter->used == sorter->room) {
        enum status status = write_run(sorter, error);
        if (status != STATUS_OK) return status;
    }
    if (!sorter->items) sorter->items = mem_alloc(sorter->room * sizeof *sorter->items);
    sorter->items[sorter->used++] = (struct sorter_item){key, value};
    sorter->count++;
    return STATUS_OK;
}

uint64_t sorter_count(const struct sorter *sorter)
{
    return sorter->count;
}

/* --- reading back --- */

static const struct sorter_item *head_of(const struct run *run)
{
    return &run->buffer[run->at];
}

static void sift_down(struct sorter *sorter, size_t at)
{
    struct run **heap = sorter->heap;
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < sorter->heap_count; child++)
            if (compare(head_of(heap[child]), head_of(heap[least])) < 0) least = child;
        if (least == at) return;
        struct run *swap = heap[at];
        heap[at] = heap[least];
        heap[least] = swap;
        at = least;
    }
}

/* False when the run has ended. */
static bool fill(const struct sorter *sorter, struct run *run, enum status *status,
                 struct error *error)
{
    if (run->at < run->have) return true;
    if (run->is_memory || run->next == run->end) return false;
    size_t bytes = READ_ITEMS * sizeof *run->buffer;
    if ((off_t)bytes > run->end - run->next) bytes = (size_t)(run->end - run->next);
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(sorter->fd, (char *)run->buffer + done, bytes - done,
                            run->next + (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            *status = error_set_errno(error, got ? errno : EIO, "cannot read a temporary file");
            return false;
        }
        done += (size_t)got;
    }
    run->next += (off_t)bytes;
    run->at = 0;
    run->have = bytes / sizeof *run->buffer;
    return true;
}

enum status sorter_rewind(struct sorter *sorter, struct error *error)
{
    enum status status = STATUS_OK;
    if (!sorter->is_sorted && sorter->used > 0)
        qsort(sorter->items, sorter->used, sizeof *sorter->items, compare);
    sorter->is_sorted = true;
    free_runs(sorter);
    size_t count = sorter->run_count;
    sorter->runs = mem_calloc(count + 1, sizeof *sorter->runs);
    sorter->heap = mem_calloc(count + 1, sizeof(struct run *));
    sorter->heap_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct run *run = &sorter->runs[i];
        run->next = sorter->starts[i];
        run->end = i + 1 < count ? sorter->starts[i + 1] : sorter->file_end;
        run->buffer = mem_alloc(READ_ITEMS * sizeof *run->buffer);
    }
    sorter->runs[count] =
        (struct run){.buffer = sorter->items, .have = sorter->used, .is_memory = true};
    for (size_t i = 0; i <= count; i++)
        if (fill(sorter, &sorter->runs[i], &status, error))
            sorter->heap[sorter->heap_count++] = &sorter->runs[i];
    for (size_t i = sorter->heap_count; i-- > 0;) sift_down(sorter, i);
    return status;
}

bool sorter_next(struct sorter *sorter, struct sorter_item *out, enum status *status,
                 struct error *error)
{
    *status = STATUS_OK;
    if (sorter->heap_count == 0) return false;
    struct run *run = sorter->heap[0];
    *out = run->buffer[run->at++];
    if (!fill(sorter, run, status, error)) sorter->heap[0] = sorter->heap[--sorter->heap_count];
    sift_down(sorter, 0);
    return *status == STATUS_OK;
}
