/* SPDX-License-Identifier: BSD-3-Clause
 *
 * DBSIZE, and barriers without a scan. The count is known at once while every write knew whether its key
 * existed; a blind write leaves it open until the batch writer has settled it, so a barrier makes it
 * exact. Loop thread. */
#include "storage/keyspace_internal.h"

#include "base/clock.h"

bool keyspace_hold_writers(struct access *access)
{
    struct keyspace *keyspace = access->keyspace;
    if (!access->in_transaction || keyspace->holder == access->waiter) return true;
    if (keyspace->holder) {
        access->wait |= WAIT_SPACE;
        if (!list_is_linked(&access->waiter->space))
            list_push_back(&keyspace->space, &access->waiter->space);
        return false;
    }
    keyspace->holder = access->waiter;
    return true;
}

/* --- barriers without a scan --- */

struct barrier_wait {
    struct barrier barrier;
    struct list waiters;
    struct keyspace *keyspace;
    uint64_t count_db_id; /* 0: nobody wants a count */
};

static void barrier_wait_done(struct barrier *barrier)
{
    struct barrier_wait *wait = (struct barrier_wait *)(void *)barrier;
    if (barrier->status != STATUS_OK)
        waiters_fail(&wait->waiters, barrier->status, barrier->error_text);
    const struct database *database =
        wait->count_db_id ? keyspace_database_by_id(wait->keyspace, wait->count_db_id) : NULL;
    if (database)
        LIST_FOR_EACH(node, &wait->waiters)
            LIST_ENTRY(node, struct wait_link, in_source)->waiter->counted = database->settled_keys;
    waiters_release(wait->keyspace, &wait->waiters);
    mem_free(wait);
}

static struct barrier_wait *barrier_wait_create(struct keyspace *keyspace, struct waiter *waiter,
                                                enum barrier_kind kind)
{
    struct barrier_wait *wait = mem_calloc(1, sizeof *wait);
    list_init(&wait->waiters);
    wait->keyspace = keyspace;
    wait->barrier.kind = kind;
    wait->barrier.done = barrier_wait_done;
    waiter_link(waiter, &wait->waiters);
    return wait;
}

void keyspace_barrier(struct keyspace *keyspace, struct waiter *waiter, enum barrier_kind kind,
                      bool reload)
{
    struct barrier_wait *wait = barrier_wait_create(keyspace, waiter, kind);
    if (reload)
        batch_writer_reload(keyspace->parts.batch_writer, &wait->barrier);
    else
        batch_writer_barrier(keyspace->parts.batch_writer, &wait->barrier);
}

/* --- counting --- */

/* What the run's own writes add, or FOUND_WAIT when one of them does not know its old record. */
static enum found count_own(struct access *access, unsigned number, int64_t *change)
{
    struct keyspace *keyspace = access->keyspace;
    const struct database *database = access_database(access, number);
    enum found result = FOUND;
    for (size_t i = 0; i < write_set_count(access->writes); i++) {
        const struct pending *pending = write_set_at(access->writes, i);
        if (pending->table != database->table) continue;
        bool put = pending->operation.kind == OPERATION_PUT, existed;
        if (pending->earlier) {
            existed = write_set_at(access->writes, pending->earlier - 1)->operation.kind ==
                      OPERATION_PUT;
        } else {
            struct slice key = pending->operation.key;
            const struct entry *entry =
                cache_find(keyspace->cache, database->table, key, pending->hash);
            if (entry && entry->state == ENTRY_LOADING) {
                access->wait |= WAIT_LOADS;
                result = FOUND_WAIT;
                continue;
            }
            if (!entry && !cache_table_is_complete(keyspace->cache, database->table)) {
                keyspace_load_key(access, database, key, pending->hash);
                result = FOUND_WAIT;
                continue;
            }
            existed = entry && entry->state == ENTRY_PRESENT;
        }
        *change += put - existed;
    }
    return result;
}

enum found keyspace_count(struct access *access, unsigned number, uint64_t *count)
{
    struct keyspace *keyspace = access->keyspace;
    const struct database *database = access_database(access, number);
    int64_t keys = database->keys, own = 0;
    access_depend(access, journal_appended_sequence(keyspace->parts.journal));
    if (database->unknown) {
        if (access->in_transaction || access->waiter->counted < 0) {
            if (!keyspace_hold_writers(access)) return FOUND_WAIT;
            access->wait |= WAIT_COUNT;
            counter_add(&keyspace->metrics->parked_scans, 1);
            struct barrier_wait *wait =
                barrier_wait_create(keyspace, access->waiter, BARRIER_VISIBLE);
            wait->count_db_id = database->db_id;
            batch_writer_barrier(keyspace->parts.batch_writer, &wait->barrier);
            return FOUND_WAIT;
        }
        keys = access->waiter->counted;
    }
    if (write_set_count(access->writes) && count_own(access, number, &own) == FOUND_WAIT)
        return FOUND_WAIT;
    *count = (uint64_t)(keys + own > 0 ? keys + own : 0);
    return FOUND;
}

int64_t keyspace_average_ttl_ms(struct keyspace *keyspace, unsigned number, int64_t now_ms)
{
    enum { SAMPLE = 512 };
    struct database *database = &keyspace->databases[number];
    struct entry *sample[SAMPLE];
    if (database->expiring <= 0) return 0;
    size_t found = cache_table_sample(keyspace->cache, database->table,
                                      (uint64_t)clock_monotonic_ns(), sample, SAMPLE);
    double sum_ms = 0;
    size_t count = 0;
    for (size_t i = 0; i < found; i++) {
        if (!sample[i]->has_expiry || entry_expire_at_ms(sample[i]) <= now_ms) continue;
        sum_ms += (double)(entry_expire_at_ms(sample[i]) - now_ms);
        count++;
    }
    if (count > 0) database->mean_expire_at_ms = now_ms + (int64_t)(sum_ms / (double)count);
    return database->mean_expire_at_ms > now_ms ? database->mean_expire_at_ms - now_ms : 0;
}

void keyspace_estimate(struct keyspace *keyspace, unsigned number, int64_t *keys, int64_t *expiring)
{
    *keys = keyspace->databases[number].keys;
    *expiring = keyspace->databases[number].expiring;
}
