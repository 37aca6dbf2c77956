/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal written anew, by the journal itself: the records above the store's marker up to the first
 * gap, with the same sequences. Operations on an object whose chunks are lost become deletes, so that
 * no string comes back with zeros where its bytes were. */
#include "check/salvage.h"

#include "storage/journal_internal.h"

#include <time.h>

struct copying {
    struct examination *examination;
    struct journal *journal;
    struct buffer payload;
    uint64_t next; /* sequence that comes now */
    enum status status;
    struct error *error;
};

/* Waits for the journal's threads; there is no loop here. */
static enum status reserve(struct copying *copying, size_t bytes, struct journal_append *append)
{
    for (;;) {
        enum status status = journal_reserve(copying->journal, bytes, true, append);
        if (status == STATUS_OK) return status;
        if (status != STATUS_AGAIN) {
            journal_health(copying->journal, copying->error);
            return status;
        }
        journal_end_turn(copying->journal);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static bool is_bad(const struct copying *copying, uint64_t object_id)
{
    return object_id != 0 && id_list_has(&copying->examination->bad_objects, object_id);
}

/* What takes the place of the operation. */
static void replace(struct copying *copying, struct operation *operation)
{
    switch (operation->kind) {
    case OPERATION_PUT:
        if (!operation->has_object || !is_bad(copying, operation->object.object_id)) return;
        break;
    case OPERATION_DELETE:
        if (!is_bad(copying, operation->old_object_id)) return;
        break;
    case OPERATION_PUT_ELEMENT:
        if (is_bad(copying, operation->object_id)) operation->kind = OPERATION_DELETE_ELEMENT;
        return;
    default:
        return;
    }
    *operation = (struct operation){.kind = OPERATION_DELETE,
                                    .db_id = operation->db_id,
                                    .key = operation->key,
                                    .old = OLD_UNKNOWN,
                                    .expire_at_ms = -1,
                                    .old_expire_at_ms = -1};
}

static bool rewrite(struct copying *copying, const struct journal_record *record)
{
    struct slice rest = record->payload;
    struct operation operation;
    buffer_clear(&copying->payload);
    while (operation_decode(&rest, &operation) == STATUS_OK) {
        replace(copying, &operation);
        size_t bytes = operation_encoded_bytes(&operation);
        buffer_reserve(&copying->payload, bytes);
        operation_encode(&operation, copying->payload.data + copying->payload.size);
        copying->payload.size += bytes;
    }
    return rest.size == 0;
}

static bool take_record(void *context, const struct journal_record *record)
{
    struct copying *copying = context;
    struct journal_append append;
    uint64_t last = record->sequence + record->operations - 1;
    if (last > copying->examination->end) return false;
    if (record->sequence != copying->next || !rewrite(copying, record)) {
        copying->status = error_set(copying->error, STATUS_CORRUPT,
                                    "the journal's record with sequence %llu does not follow",
                                    (unsigned long long)record->sequence);
        return false;
    }
    copying->status = reserve(copying, copying->payload.size, &append);
    if (copying->status != STATUS_OK) return false;
    memcpy(append.payload, copying->payload.data, copying->payload.size);
    journal_commit(copying->journal, &append, record->operations);
    journal_end_turn(copying->journal);
    copying->next = last + 1;
    return true;
}

static bool end_at_gap(void *context, uint64_t from, const char *path, size_t offset, bool is_end)
{
    (void)context;
    (void)from;
    (void)path;
    (void)offset;
    (void)is_end;
    return false;
}

enum status salvage_journal(struct examination *examination, const char *folder, uint64_t store_id,
                            uint64_t first_sequence, struct error *error)
{
    struct journal_options options = {0};
    struct journal_found found;
    struct copying copying = {.examination = examination, .next = first_sequence, .error = error};
    option_set_defaults(&journal_option_table, &options);
    options.appendfsync = JOURNAL_NO;
    options.journal_io = JOURNAL_IO_WRITE;
    options.journal_max_bytes = INT64_MAX;
    options.disk_reserve_bytes = 0;
    enum status status = journal_open(&copying.journal, folder, &options, NULL, &found, error);
    if (status != STATUS_OK) return status;
    status = journal_start_run(copying.journal, store_id, first_sequence, error);
    if (status == STATUS_OK && examination->brings_records) {
        const struct journal_visitor visitor = {&copying, take_record, end_at_gap};
        status = journal_view_walk(examination->journal_folder, first_sequence, &visitor, error);
        if (status == STATUS_OK) status = copying.status;
    }
    buffer_free(&copying.payload);
    enum status closed = journal_close(copying.journal, status == STATUS_OK ? error : NULL);
    return status == STATUS_OK ? closed : status;
}
