/* SPDX-License-Identifier: BSD-3-Clause
 *
 * KEYS outside of EXEC: the keys come in blocks that are ready for the reply. When they fit in one they are
 * collected in one pass; else the first pass counts, since the count stands in front of the reply, and the
 * second walks the same snapshot with the same clock and stops at each full block, until the next is
 * asked for. So memory is bounded by a block, and the snapshot lives as long as the reader takes.
 *
 *   keyspace_keys: first pass -> (count) -> keyspace_next_keys: block, block, ... -> the end
 *
 * A stream that has no job under way holds the store's handle all the same: when that is wanted back
 * (rule 13) the stream fails, and its client loses the connection. Loop thread. */
#include "storage/keyspace_scan_internal.h"

static void count_streams(struct keyspace *keyspace, int64_t change)
{
    struct gauge *streams = &keyspace->metrics->streams;
    gauge_set(streams, gauge_get(streams) + change);
}

static void stream_begin(struct scan_result *scan)
{
    struct keyspace *keyspace = scan->base.keyspace;
    scan->pass = PASS_STREAM;
    scan->end = WALK_FULL;
    scan->has_position = false;
    list_push_back(&keyspace->streams, &scan->stream);
    counter_add(&keyspace->metrics->streamed_scans, 1);
    count_streams(keyspace, 1);
}

void scan_stream_end(struct scan_result *scan)
{
    if (!list_is_linked(&scan->stream)) return;
    list_remove(&scan->stream);
    count_streams(scan->base.keyspace, -1);
}

enum found keyspace_keys(struct access *access, const struct scan_request *request, uint64_t *count)
{
    ASSERT(request->kind == SCAN_KEYS && request->encode && !access->in_transaction);
    struct scan_result *scan = scan_of_run(access);
    if (!scan) {
        scan_begin(access, request, slice_make("", 0), false);
        return FOUND_WAIT;
    }
    enum found found = scan_look(access, scan);
    if (found != FOUND) return found;
    if (scan->db_id != access_database(access, request->number)->db_id) {
        /* Flushed or swapped since the snapshot: then nothing of it counts (rule 7). */
        scan->found = 0;
        buffer_free(&scan->bytes);
        scan->end = WALK_ENDED;
        scan_give_back(scan);
    } else if (scan->pass == PASS_COUNT) {
        stream_begin(scan);
    }
    *count = scan->found;
    access_depend(access, journal_appended_sequence(access->keyspace->parts.journal));
    return FOUND;
}

enum found keyspace_next_keys(struct waiter *waiter, struct buffer *block, bool *more)
{
    struct scan_result *scan = waiter->scans;
    ASSERT(scan && scan->pass != PASS_LIST);
    if (scan->state == SCAN_UNDER_WAY) return FOUND_WAIT;
    if (scan->state == SCAN_FAILED) {
        waiter->error = scan->error;
        return FOUND_ERROR;
    }
    *more = scan->end != WALK_ENDED;
    if (scan->bytes.size) {
        *block = scan->bytes;
        scan->bytes = (struct buffer){0};
        return FOUND;
    }
    if (!*more) return FOUND_NOTHING;
    scan->state = SCAN_UNDER_WAY;
    waiter_link(waiter, &scan->waiters);
    scan_send(scan);
    return FOUND_WAIT;
}

void keyspace_check_streams(struct keyspace *keyspace)
{
    LIST_FOR_EACH_SAFE(node, after, &keyspace->streams)
    {
        struct scan_result *scan = LIST_ENTRY(node, struct scan_result, stream);
        if (scan->state == SCAN_UNDER_WAY || !scan->engine ||
            !store_awaits(keyspace->parts.store, scan->engine))
            continue;
        scan_fail(scan, STATUS_AGAIN, "the store is opened again");
        waiter_ready(keyspace, scan->waiter);
    }
}
