/* SPDX-License-Identifier: BSD-3-Clause
 *
 * SCAN's cursors: a bounded ring of bookmarks. No number is given out twice while the process lives, and
 * it begins anywhere, so that one from before a restart is unknown. Loop thread.
 *
 * Always true: the bookmarks oldest .. next-1 are in the ring, and `bytes` is what their keys hold. */
#include "storage/keyspace_scan_internal.h"

#include <sys/random.h>

enum { BOOKMARKS = 1 << 16, BOOKMARK_BYTES_MAX = 16 << 20 };

/* A ring: cursor c is at c % BOOKMARKS until that place is needed again. */
struct bookmarks {
    struct bookmark ring[BOOKMARKS];
    uint64_t next, oldest;
    size_t bytes;
};

struct bookmarks *bookmarks_create(void)
{
    struct bookmarks *bookmarks = mem_calloc(1, sizeof *bookmarks);
    /* A random start: a cursor from before a restart is unknown, not somebody else's. */
    uint64_t start = 0;
    if (getrandom(&start, sizeof start, 0) != sizeof start) start = (uint64_t)(uintptr_t)bookmarks;
    bookmarks->next = bookmarks->oldest = (start & ((UINT64_C(1) << 44) - 1)) + 1;
    return bookmarks;
}

static void bookmark_clear(struct bookmarks *bookmarks, uint64_t cursor)
{
    struct bookmark *bookmark = &bookmarks->ring[cursor % BOOKMARKS];
    bookmarks->bytes -= bookmark->key.size;
    mem_free((void *)(uintptr_t)bookmark->key.data);
    *bookmark = (struct bookmark){0};
}

void bookmarks_destroy(struct bookmarks *bookmarks)
{
    while (bookmarks->oldest < bookmarks->next) bookmark_clear(bookmarks, bookmarks->oldest++);
    mem_free(bookmarks);
}

uint64_t bookmark_add(struct bookmarks *bookmarks, uint64_t db_id, struct slice key)
{
    uint64_t cursor = bookmarks->next++;
    while (bookmarks->oldest < cursor && (cursor - bookmarks->oldest >= BOOKMARKS ||
                                          bookmarks->bytes + key.size > BOOKMARK_BYTES_MAX))
        bookmark_clear(bookmarks, bookmarks->oldest++);
    bookmarks->ring[cursor % BOOKMARKS] =
        (struct bookmark){cursor, db_id, {mem_dup(key.data, key.size), key.size}};
    bookmarks->bytes += key.size;
    return cursor;
}

const struct bookmark *bookmark_find(const struct bookmarks *bookmarks, uint64_t cursor)
{
    const struct bookmark *bookmark = &bookmarks->ring[cursor % BOOKMARKS];
    return cursor && bookmark->cursor == cursor ? bookmark : NULL;
}
