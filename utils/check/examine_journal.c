/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal by itself and beside the store: what the server would say at start (server/startup.c has the
 * same conditions), what the journal can bring beyond the store's marker, what of it is lost. */
#include "check/examine.h"

#include "base/memory.h"

enum { ITEMS = 1 << 20 }; /* 16 MiB for each sorter */

struct reading {
    struct examination *examination;
    uint64_t marker;
    uint64_t next;       /* after the last record that can be applied */
    struct sorter *keys; /* hash -> 1: above the marker */
    bool has_gap;        /* what comes now cannot be */
    uint64_t last_object, last_length; /* added */
    enum status status;
    struct error *error;
};

/* Rule 16; a text for what is wrong. */
static bool belongs_together(struct examination *examination)
{
    const struct journal_found *found = &examination->journal.found;
    struct report *report = examination->report;
    uint64_t marker = examination->marker;
    if (found->empty) {
        if (examination->has_marker && marker == FIRST_SEQUENCE - 1) return true;
        report_finding(report, "%s holds no journal, but %s a store", examination->journal_folder,
                       examination->store_folder);
        return false;
    }
    if (examination->has_store_id && found->store_id != examination->store_id) {
        report_finding(report,
                       "%s (store id %016llx) does not belong to the store in %s (%016llx)",
                       examination->journal_folder, (unsigned long long)found->store_id,
                       examination->store_folder, (unsigned long long)examination->store_id);
        return false;
    }
    if (!examination->has_marker) return true; /* judged when there is one again */
    if (marker < found->base_sequence || (found->first_sequence && marker + 1 < found->first_sequence)) {
        report_finding(report,
                       "the store ends at sequence %llu, the journal begins with %llu: what is "
                       "between is missing", (unsigned long long)marker,
                       (unsigned long long)found->base_sequence + 1);
        return false;
    }
    if (marker >= found->next_sequence) {
        report_finding(report, "the store ends at sequence %llu, beyond the journal, whose next is "
                       "%llu: the journal is an older copy", (unsigned long long)marker,
                       (unsigned long long)found->next_sequence);
        return false;
    }
    return true;
}

/* --- records --- */

/* `length`: of the string, as the operation makes it; 0 when it says nothing of that. */
static void add_object(struct reading *reading, struct sorter *to, uint64_t object_id,
                       uint64_t length)
{
    bool is_told = object_id == reading->last_object && length <= reading->last_length;
    if (object_id == 0 || is_told || reading->status != STATUS_OK) return;
    reading->last_object = object_id;
    reading->last_length = length;
    reading->status = sorter_add(to, object_id, length, reading->error);
}

static void add_key(struct reading *reading, const struct operation *operation)
{
    if (reading->status != STATUS_OK) return;
    reading->status = sorter_add(reading->keys, key_hash(operation->db_id, operation->key),
                                 operation->sequence > reading->marker, reading->error);
}

static void add_pending_database(struct reading *reading, uint64_t db_id)
{
    if (db_id == 0) return;
    examination_database(reading->examination, db_id)->is_pending = true;
}

static void take_operation(struct reading *reading, const struct operation *operation)
{
    struct examination *examination = reading->examination;
    bool is_pending = operation->sequence > reading->marker;
    struct sorter *to = is_pending ? examination->pending : examination->replayed;
    switch (operation->kind) {
    case OPERATION_PUT:
        if (operation->has_object)
            add_object(reading, to, operation->object.object_id, operation->object.length);
        __attribute__((fallthrough)); /* the old record is as of a delete */
    case OPERATION_DELETE:
        if (operation->old == OLD_PRESENT) add_object(reading, to, operation->old_object_id, 0);
        add_key(reading, operation);
        break;
    case OPERATION_PUT_ELEMENT:
    case OPERATION_DELETE_ELEMENT:
        add_object(reading, to, operation->object_id, 0);
        break;
    case OPERATION_MAP_DATABASE:
        if (!is_pending) break;
        add_pending_database(reading, operation->db_id);
        add_pending_database(reading, operation->dropped_db_id);
        break;
    case OPERATION_SWAP_DATABASES:
        if (!is_pending) examination->can_roll_back = false;
        break;
    default:
        break;
    }
}

static void say_lost(struct examination *examination, uint64_t sequence,
                     const struct operation *operation)
{
    unsigned long long number = sequence;
    struct report *report = examination->report;
    switch (operation->kind) {
    case OPERATION_PUT:
    case OPERATION_DELETE:
        report_lost(report, "key %s of %s: %s with sequence %llu",
                    report_quoted(operation->key),
                    examination_database_text(examination, operation->db_id),
                    operation->kind == OPERATION_PUT ? "the write" : "the delete", number);
        break;
    case OPERATION_MAP_DATABASE:
        report_lost(report, "the flush of database %u with sequence %llu", operation->number,
                    number);
        break;
    case OPERATION_SWAP_DATABASES:
        report_lost(report, "the swap of databases %u and %u with sequence %llu",
                    operation->number, operation->other_number, number);
        break;
    case OPERATION_FLUSH_ALL:
        report_lost(report, "the flush of all databases with sequence %llu", number);
        break;
    default:
        break; /* an element: the key of its object is in the same record */
    }
}

static bool take_record(void *context, const struct journal_record *record)
{
    struct reading *reading = context;
    struct slice rest = record->payload;
    struct operation operation;
    for (uint32_t i = 0; i < record->operations; i++) {
        uint64_t sequence = record->sequence + i;
        if (operation_decode(&rest, &operation) != STATUS_OK) {
            report_finding(reading->examination->report,
                           "%s: the record with sequence %llu holds no valid operations",
                           reading->examination->journal_folder, (unsigned long long)sequence);
            reading->examination->journal_is_bad = reading->has_gap = true;
            break;
        }
        operation.sequence = sequence;
        if (reading->has_gap && sequence <= reading->marker) continue;
        if (reading->has_gap) say_lost(reading->examination, sequence, &operation);
        else take_operation(reading, &operation);
    }
    if (!reading->has_gap) reading->next = record->sequence + record->operations;
    return reading->status == STATUS_OK;
}

static bool take_gap(void *context, uint64_t from, const char *path, size_t offset, bool is_end)
{
    struct reading *reading = context;
    struct examination *examination = reading->examination;
    if (is_end || !examination->journal_is_bad) return false; /* its end, or a torn one */
    if (!reading->has_gap)
        report_finding(examination->report, "%s: what was written from sequence %llu on is lost; it "
                       "should begin at offset %zu", path, (unsigned long long)from, offset);
    reading->has_gap = true;
    return true;
}

static enum status list_keys(struct reading *reading)
{
    struct examination *examination = reading->examination;
    struct sorter_item item;
    enum status status = sorter_rewind(reading->keys, reading->error);
    while (status == STATUS_OK && sorter_next(reading->keys, &item, &status, reading->error))
        if (item.value == 1 || examination->can_roll_back)
            id_list_add(&examination->journal_keys, item.key);
    return status;
}

enum status examine_journal(struct examination *examination, struct error *error)
{
    struct journal_view *view = &examination->journal;
    if (view->verdict != STATUS_OK) {
        report_finding(examination->report, "%s", view->error.text);
        examination->journal_is_bad = true;
    } else if (!belongs_together(examination)) {
        examination->journal_is_bad = true;
    }
    /* Without a marker of its own the store counts as ending where the journal begins. */
    if (view->has_header && !examination->has_marker && examination->marker < view->base_sequence)
        examination->marker = view->base_sequence;
    examination->pending = sorter_create(ITEMS);
    examination->replayed = sorter_create(ITEMS);
    examination->end = examination->marker;
    bool is_foreign = view->has_header && examination->has_store_id &&
                      view->store_id != examination->store_id;
    if (!view->is_there || is_foreign) return STATUS_OK;
    examination->can_roll_back = !examination->journal_is_bad && view->has_header &&
                                 view->base_sequence < examination->marker;
    uint64_t from = examination->can_roll_back ? view->base_sequence : examination->marker;
    struct reading reading = {.examination = examination,
                              .marker = examination->marker,
                              .next = examination->marker + 1,
                              .keys = sorter_create(ITEMS),
                              .error = error};
    const struct journal_visitor visitor = {&reading, take_record, take_gap};
    enum status status =
        journal_view_walk(examination->journal_folder, from + 1, &visitor, error);
    if (status == STATUS_OK) status = reading.status;
    if (status == STATUS_OK) status = list_keys(&reading);
    sorter_destroy(reading.keys);
    if (reading.next - 1 > examination->marker) examination->end = reading.next - 1;
    examination->brings_records = examination->end > examination->marker;
    return status;
}

/* --- keys whose objects are bad --- */

struct naming {
    struct examination *examination;
    struct sorter *last; /* hash of a key -> sequence, and whether its object is bad */
    struct id_list lost; /* hashes of keys whose last operation sets a bad object */
    enum status status;
    struct error *error;
};

static bool sets_bad_object(const struct naming *naming, const struct operation *operation)
{
    return operation->kind == OPERATION_PUT && operation->has_object &&
           id_list_has(&naming->examination->bad_objects, operation->object.object_id);
}

static bool is_on_key(const struct operation *operation)
{
    return operation->kind == OPERATION_PUT || operation->kind == OPERATION_DELETE;
}

static bool note_last(void *context, const struct journal_record *record)
{
    struct naming *naming = context;
    struct slice rest = record->payload;
    struct operation operation;
    uint64_t sequence = record->sequence;
    if (sequence > naming->examination->end) return false;
    for (; operation_decode(&rest, &operation) == STATUS_OK; sequence++) {
        if (!is_on_key(&operation) || naming->status != STATUS_OK) continue;
        naming->status = sorter_add(naming->last, key_hash(operation.db_id, operation.key),
                                    sequence << 1 | sets_bad_object(naming, &operation),
                                    naming->error);
    }
    return naming->status == STATUS_OK;
}

static enum status find_lost(struct naming *naming)
{
    struct sorter_item item, last = {0};
    bool has_last = false;
    enum status status = sorter_rewind(naming->last, naming->error);
    while (status == STATUS_OK && sorter_next(naming->last, &item, &status, naming->error)) {
        if (has_last && last.key != item.key && (last.value & 1))
            id_list_add(&naming->lost, last.key);
        last = item;
        has_last = true;
    }
    if (has_last && (last.value & 1)) id_list_add(&naming->lost, last.key);
    return status;
}

/* Names each of the lost ones once, at the first operation on it that is met. */
static bool name_lost(void *context, const struct journal_record *record)
{
    struct naming *naming = context;
    struct examination *examination = naming->examination;
    struct slice rest = record->payload;
    struct operation operation;
    if (record->sequence > examination->end) return false;
    while (operation_decode(&rest, &operation) == STATUS_OK) {
        if (!sets_bad_object(naming, &operation)) continue;
        if (!id_list_take(&naming->lost, key_hash(operation.db_id, operation.key))) continue;
        report_lost(examination->report, "key %s of %s: a part of its value cannot be read",
                    report_quoted(operation.key),
                    examination_database_text(examination, operation.db_id));
    }
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

enum status examine_journal_losses(struct examination *examination, struct error *error)
{
    if (!examination->journal_names_bad) return STATUS_OK;
    struct naming naming = {.examination = examination, .last = sorter_create(ITEMS),
                            .error = error};
    struct journal_visitor visitor = {&naming, note_last, end_at_gap};
    enum status status = journal_view_walk(examination->journal_folder, examination->marker + 1,
                                           &visitor, error);
    if (status == STATUS_OK) status = naming.status;
    if (status == STATUS_OK) status = find_lost(&naming);
    visitor.record = name_lost;
    if (status == STATUS_OK)
        status = journal_view_walk(examination->journal_folder, examination->marker + 1, &visitor,
                                   error);
    sorter_destroy(naming.last);
    id_list_free(&naming.lost);
    return status;
}
