/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The one way in which anything changes: write set, then journal, then cache (rule 6). All that can
 * fail or has to wait comes before the record is reserved; from then on nothing can. Loop thread. */
#include "storage/keyspace_internal.h"

/* --- what the old record was (rule 10) --- */

static void old_from_pending(struct operation *operation, const struct operation *earlier)
{
    if (earlier->kind != OPERATION_PUT) {
        operation->old = OLD_ABSENT;
        return;
    }
    operation->old = OLD_PRESENT;
    operation->old_expire_at_ms = earlier->expire_at_ms;
    operation->old_object_id = earlier->has_object ? earlier->object.object_id : 0;
}

static void old_from_cache(const struct keyspace *keyspace, struct pending *pending)
{
    struct operation *operation = &pending->operation;
    const struct entry *found = pending->found;
    if (!found) {
        operation->old = cache_table_is_complete(keyspace->cache, pending->table) ? OLD_ABSENT
                                                                                  : OLD_UNKNOWN;
    } else if (found->state == ENTRY_ABSENT) {
        operation->old = OLD_ABSENT;
    } else if (found->state == ENTRY_LOADING) {
        operation->old = OLD_UNKNOWN;
    } else {
        operation->old = OLD_PRESENT;
        operation->old_expire_at_ms = entry_expire_at_ms(found);
        operation->old_object_id = found->has_object ? entry_object(found).object_id : 0;
    }
}

static bool is_element(const struct operation *operation)
{
    return operation->kind == OPERATION_PUT_ELEMENT || operation->kind == OPERATION_DELETE_ELEMENT;
}

static void note_old_records(struct keyspace *keyspace, struct write_set *writes)
{
    for (size_t i = 0; i < write_set_count(writes); i++) {
        struct pending *pending = write_set_at(writes, i);
        if (!pending->table) continue;
        if (pending->earlier) {
            const struct pending *earlier = write_set_at(writes, pending->earlier - 1);
            if (!is_element(&pending->operation))
                old_from_pending(&pending->operation, &earlier->operation);
            continue;
        }
        pending->found = cache_find(keyspace->cache, pending->table, pending_cache_key(pending),
                                    pending->hash);
        if (!is_element(&pending->operation)) old_from_cache(keyspace, pending);
    }
}

/* --- waiting --- */

/* Whether writers have to wait now: an EXEC with a scan holds them (rule 8), the journal is full or its
 * sync late, or the batch writer does not keep up; on a full disk deletes do not wait for that. */
static bool must_wait(struct keyspace *keyspace, const struct access *access, bool may_use_reserve)
{
    if (keyspace->large) return true;
    if (keyspace->holder && keyspace->holder != access->waiter) return true;
    if (journal_must_wait(keyspace->parts.journal)) {
        batch_writer_hurry(keyspace->parts.batch_writer);
        return true;
    }
    bool frees_disk = may_use_reserve && journal_disk_is_short(keyspace->parts.journal);
    if (throttle_must_wait(keyspace) && !frees_disk) return true;
    /* First come, first served: who arrives now does not overtake those who wait. */
    return !keyspace->waking && !list_is_empty(&keyspace->space);
}

static enum status wait_for_space(struct access *access)
{
    struct keyspace *keyspace = access->keyspace;
    access->wait |= WAIT_SPACE;
    if (!list_is_linked(&access->waiter->space))
        list_push_back(&keyspace->space, &access->waiter->space);
    counter_add(&keyspace->metrics->parked_space, 1);
    return STATUS_AGAIN;
}

/* --- publishing --- */

static void count_change(struct database *database, const struct operation *operation)
{
    bool put = operation->kind == OPERATION_PUT;
    if (operation->old == OLD_UNKNOWN) {
        database->unknown++;
        return;
    }
    bool existed = operation->old == OLD_PRESENT;
    database->keys += put - existed;
    database->expiring += (put && operation->expire_at_ms >= 0) -
                          (existed && operation->old_expire_at_ms >= 0);
}

static void publish_element(struct keyspace *keyspace, const struct pending *pending,
                            struct entry *found, uint64_t sequence)
{
    const struct operation *operation = &pending->operation;
    struct cache_value value = {.value = operation->value,
                                .expire_at_ms = -1,
                                .type = VALUE_STRING,
                                .state = operation->kind == OPERATION_PUT_ELEMENT ? ENTRY_PRESENT
                                                                                  : ENTRY_ABSENT,
                                .sequence = sequence,
                                .made = pending->made};
    cache_put_found(keyspace->cache, found, keyspace->element_table, pending_cache_key(pending),
                    pending->hash, &value);
}

static void publish_key(struct keyspace *keyspace, const struct pending *pending,
                        struct entry *found, uint64_t sequence)
{
    const struct operation *operation = &pending->operation;
    struct object_head head = operation->object;
    bool put = operation->kind == OPERATION_PUT;
    if (operation->old == OLD_PRESENT && operation->old_object_id && !operation->moves_object &&
        found && found->state == ENTRY_PRESENT && found->has_object &&
        !(put && operation->has_object && head.object_id == operation->old_object_id))
        keyspace_object_died(keyspace, entry_object(found));
    struct cache_value value = {.expire_at_ms = -1, .state = ENTRY_ABSENT, .sequence = sequence};
    if (put) {
        value.value = operation->has_object ? slice_make(&head, sizeof head) : operation->value;
        value.expire_at_ms = operation->expire_at_ms;
        value.type = operation->type & 15;
        value.encoding = operation->encoding & 3;
        value.state = ENTRY_PRESENT;
        value.has_object = operation->has_object;
        value.made = pending->made;
        if (operation->expire_at_ms >= 0)
            expiry_cycle_note(keyspace->expiry, operation->expire_at_ms, sequence);
    }
    cache_put_found(keyspace->cache, found, pending->table, operation->key, pending->hash, &value);
}

static void publish(struct keyspace *keyspace, const struct pending *pending, uint64_t sequence)
{
    struct entry *found = pending->found;
    if (pending->earlier) /* what the earlier one put there */
        found = cache_find(keyspace->cache, pending->table, pending_cache_key(pending),
                           pending->hash);
    if (found && found->state == ENTRY_LOADING) keyspace_cancel_load(keyspace, found);
    if (is_element(&pending->operation)) {
        publish_element(keyspace, pending, found, sequence);
        return;
    }
    publish_key(keyspace, pending, found, sequence);
}

/* A key of a database that the same run flushed afterwards is not published: its table is gone. */
static struct database *database_of(struct keyspace *keyspace, const struct pending *pending)
{
    struct database *database = keyspace_database_by_id(keyspace, pending->operation.db_id);
    return database && database->table == pending->table ? database : NULL;
}

static void publish_all(struct keyspace *keyspace, struct write_set *writes, uint64_t first)
{
    for (size_t i = 0; i < write_set_count(writes); i++) {
        struct pending *pending = write_set_at(writes, i);
        if (!pending->table) continue;
        if (is_element(&pending->operation)) {
            if (pending->table == keyspace->element_table) publish(keyspace, pending, first + i);
            continue;
        }
        struct database *database = database_of(keyspace, pending);
        if (!database) continue;
        count_change(database, &pending->operation);
        if (pending->expires) counter_add(&keyspace->metrics->expired_on_access, 1);
        publish(keyspace, pending, first + i);
        watch_note_key(keyspace, database, pending);
    }
}

/* The run's mapping becomes the keyspace's. What was the keyspace's is returned: its tables are still
 * needed while bytes of their entries may be borrowed. */
static struct database_map *adopt_map(struct access *access)
{
    struct keyspace *keyspace = access->keyspace;
    struct database_map *map = access->map;
    for (size_t i = 0; i < write_set_count(access->writes); i++) {
        const struct operation *operation = &write_set_at(access->writes, i)->operation;
        if (operation->kind == OPERATION_MAP_DATABASE)
            watch_note_flush(keyspace, operation->number);
        else if (operation->kind == OPERATION_SWAP_DATABASES)
            watch_note_swap(keyspace, operation->number, operation->other_number);
    }
    struct database *databases = keyspace->databases;
    keyspace->databases = map->databases;
    map->databases = databases;
    if (map->element_table) {
        uint16_t table = keyspace->element_table;
        keyspace->element_table = map->element_table;
        map->element_table = table;
        keyspace->epoch++;
    }
    access->map = NULL;
    return map;
}

void commit_publish(struct access *access)
{
    struct keyspace *keyspace = access->keyspace;
    struct database_map *old_map = access->map ? adopt_map(access) : NULL;
    publish_all(keyspace, access->writes, access->base_sequence);
    if (old_map) database_map_destroy(keyspace, old_map);
    write_set_clear(access->writes);
}

enum status keyspace_commit(struct access *access, bool may_use_reserve, struct error *error)
{
    struct keyspace *keyspace = access->keyspace;
    struct write_set *writes = access->writes;
    struct journal *journal = keyspace->parts.journal;
    size_t count = write_set_count(writes);
    if (count == 0) return STATUS_OK;
    ASSERT(access->base_sequence == journal_next_sequence(journal));
    if (must_wait(keyspace, access, may_use_reserve)) {
        if (keyspace->store_error.code == STATUS_OK || keyspace->holder || keyspace->large)
            return wait_for_space(access);
        return error_set(error, keyspace->store_error.code,
                         "the store is closed for writing and the journal has no more room: %s",
                         keyspace->store_error.text);
    }
    note_old_records(keyspace, writes);
    struct journal_append append;
    enum status status =
        journal_reserve(journal, write_set_encoded_bytes(writes), may_use_reserve, &append);
    if (status == STATUS_AGAIN) return wait_for_space(access);
    if (status != STATUS_OK) {
        journal_health(journal, error);
        return status;
    }
    throttle_spend(keyspace, append.size + count * sizeof(struct entry));
    counter_add(&keyspace->metrics->commits, 1);
    if (append.size >= LARGE_COMMIT_BYTES && access->may_end_later) {
        large_commit_begin(access, &append);
        return STATUS_AGAIN;
    }
    char *at = append.payload;
    for (size_t i = 0; i < count; i++)
        at = operation_encode(&write_set_at(writes, i)->operation, at);
    ASSERT(at == append.payload + append.size);
    access_depend(access, journal_commit(journal, &append, (uint32_t)count));
    commit_publish(access);
    access->base_sequence = journal_next_sequence(journal);
    return STATUS_OK;
}
