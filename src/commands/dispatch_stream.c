/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Replies that are made while they are sent: KEYS of a large database. The command has run and its reply
 * has begun; the session stays parked, so that what it asked for next waits, until the last block is
 * written.
 *
 *   block there -> written -> client takes it -> next block asked for -> (a job) -> block there
 *
 * So a client costs a block or two, whatever the reply's size. One that takes nothing for too long is
 * closed by net/ (reply-stream-timeout). Meanwhile nobody else may write to the session's reply. Loop
 * thread. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "commands/dispatch_internal.h"

static void release_block(void *owner)
{
    mem_free(owner);
}

static void write_block(struct session *session, struct buffer *block)
{
    struct shared_bytes shared = {buffer_slice(block), block->data, release_block};
    reply_raw_shared(session->reply, shared);
    session->operations->flush(session);
}

/* The array's count has been sent: half a reply cannot be turned into an error. */
static void give_up(struct session *session, const struct waiter *waiter)
{
    log_write(LOG_WARNING, "client %llu closed in the middle of a reply: %s",
              (unsigned long long)session->id, waiter->error.text);
    session->operations->close(session, false);
}

enum stream_result stream_go_on(struct session *session, struct parking *parking)
{
    struct buffer block;
    bool more;
    session->awaits_drain = false;
    for (;;) {
        enum found found = keyspace_next_keys(&parking->waiter, &block, &more);
        if (found == FOUND_WAIT) return STREAM_WAITS;
        if (found == FOUND_NOTHING) return STREAM_ENDED;
        if (found == FOUND_ERROR) {
            give_up(session, &parking->waiter);
            return STREAM_WAITS;
        }
        write_block(session, &block);
        if (!more) return STREAM_ENDED;
        if (reply_pending_bytes(session->reply) >= SESSION_DRAINED_BYTES) {
            session->awaits_drain = true;
            return STREAM_WAITS;
        }
    }
}

void dispatch_drained(struct session *session)
{
    struct parking *parking = session->parking;
    ASSERT(parking && parking->reason == PARK_STREAM);
    if (stream_go_on(session, parking) == STREAM_ENDED) dispatch_finish_stream(parking);
}
