/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Commits of megabytes. Copying them into the journal, hashing them and making entries of them would
 * hold up the loop, so a worker does it; the loop then completes the record and publishes the entries.
 * From the reservation on nothing can fail, here as in keyspace_commit.c. Meanwhile the journal is
 * held and other writers wait, so what the run has read stays true and its record is the next one.
 *
 * Always true: at most one is under way; the bytes that its operations borrow do not change: they are
 * the request's (whose client is parked), the write set's own, or a pinned entry's (COPY). */
#include "storage/keyspace_internal.h"

#include <time.h>

enum { MADE_MIN_BYTES = 4096 /* smaller entries are made by the loop: no more work than linking them */ };

struct large_commit {
    struct keyspace_job base; /* first */
    struct access access;     /* with a write set of its own */
    struct journal_append append;
    uint64_t checksum;
};

/* --- on a worker --- */

static void make_entry(struct pending *pending)
{
    const struct operation *operation = &pending->operation;
    bool is_value = operation->kind == OPERATION_PUT_ELEMENT ||
                    (operation->kind == OPERATION_PUT && !operation->has_object);
    if (!is_value || !pending->table || operation->value.size < MADE_MIN_BYTES) return;
    int64_t expire_at_ms = operation->kind == OPERATION_PUT ? operation->expire_at_ms : -1;
    pending->made = entry_create(pending_cache_key(pending), operation->value, expire_at_ms);
}

static void large_commit_run(struct job *job)
{
    struct large_commit *commit = (struct large_commit *)(void *)job;
    struct write_set *writes = commit->access.writes;
    char *at = commit->append.payload;
    for (size_t i = 0; i < write_set_count(writes); i++) {
        struct pending *pending = write_set_at(writes, i);
        at = operation_encode(&pending->operation, at);
        make_entry(pending);
    }
    ASSERT(at == commit->append.payload + commit->append.size);
    commit->checksum =
        journal_payload_checksum(commit->base.keyspace->parts.journal,
                                 slice_make(commit->append.payload, commit->append.size));
}

/* --- on the loop --- */

static void large_commit_free(struct large_commit *commit)
{
    write_set_destroy(commit->access.writes);
    mem_free(commit);
}

/* Entries may have come and gone since the run noted which it would replace. */
static void find_again(struct keyspace *keyspace, struct write_set *writes)
{
    for (size_t i = 0; i < write_set_count(writes); i++) {
        struct pending *pending = write_set_at(writes, i);
        if (pending->table && !pending->earlier)
            pending->found = cache_find(keyspace->cache, pending->table, pending_cache_key(pending),
                                        pending->hash);
    }
}

static void large_commit_done(struct job *job)
{
    struct large_commit *commit = (struct large_commit *)(void *)job;
    struct keyspace *keyspace = commit->base.keyspace;
    struct access *access = &commit->access;
    find_again(keyspace, access->writes);
    journal_commit_hashed(keyspace->parts.journal, &commit->append,
                          (uint32_t)write_set_count(access->writes), &commit->checksum);
    commit_publish(access);
    keyspace->large = NULL;
    keyspace_retry_writers(keyspace);
    waiter_ready(keyspace, access->waiter);
    large_commit_free(commit);
}

/* The queue had no room for it before the stop: it has not happened. */
static void large_commit_drop(struct keyspace_job *job)
{
    struct large_commit *commit = (struct large_commit *)(void *)job;
    struct keyspace *keyspace = job->keyspace;
    journal_cancel(keyspace->parts.journal, &commit->append);
    keyspace->large = NULL;
    access_abandon(&commit->access);
    large_commit_free(commit);
}

void large_commit_begin(struct access *access, const struct journal_append *append)
{
    struct keyspace *keyspace = access->keyspace;
    ASSERT(!keyspace->large && !access->wait);
    struct large_commit *commit = mem_calloc(1, sizeof *commit);
    journal_hold(keyspace->parts.journal, append);
    access->wait = WAIT_COMMIT;
    access_depend(access, access->base_sequence + write_set_count(access->writes) - 1);
    commit->access = *access;
    commit->access.writes = write_set_take(access->writes);
    access->map = NULL;
    commit->append = *append;
    commit->base.keyspace = keyspace;
    commit->base.drop = large_commit_drop;
    commit->base.job.run = large_commit_run;
    commit->base.job.done = large_commit_done;
    keyspace->large = commit;
    keyspace_send_job(&commit->base, JOB_READ, JOB_KIND_COPY);
}

void keyspace_finish_commit(struct keyspace *keyspace)
{
    const struct timespec pause = {0, 1000000};
    while (keyspace->large) {
        keyspace_send_unsent(keyspace);
        nanosleep(&pause, NULL);
        mailbox_deliver(keyspace->parts.loop);
    }
}
