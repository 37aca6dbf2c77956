/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One walk over all records in their order: elements, garbage, keys, meta, expiry. Each must be one that
 * this version writes; what is to be compared with others goes to the sorters. */
#include "check/examine.h"

#include "base/hash.h"

struct walking {
    struct examination *examination;
    uint64_t object_id, object_end; /* whose chunks come now; 0: none */
    enum status status;
    struct error *error;
};

uint64_t expiry_hash(int64_t expire_at_ms, uint64_t db_id, struct slice key)
{
    struct buffer name = {0};
    record_expiry_name(&name, expire_at_ms, db_id, key);
    uint64_t hash = hash_checksum(name.data, name.size, 0);
    buffer_free(&name);
    return hash;
}

uint64_t key_hash(uint64_t db_id, struct slice key)
{
    struct buffer name = {0};
    record_key_name(&name, db_id, key);
    uint64_t hash = hash_checksum(name.data, name.size, 0);
    buffer_free(&name);
    return hash;
}

bool examination_journal_has(const struct examination *examination, uint64_t db_id,
                             struct slice key)
{
    return examination->journal_keys.count > 0 &&
           id_list_has(&examination->journal_keys, key_hash(db_id, key));
}

static void say(struct walking *walking, struct slice name, const char *what)
{
    report_finding(walking->examination->report, "%s: %s %s", walking->examination->data_folder,
                   report_record(name), what);
    walking->examination->store_is_bad = true;
}

static void add(struct walking *walking, struct sorter *sorter, uint64_t key, uint64_t value)
{
    if (walking->status == STATUS_OK)
        walking->status = sorter_add(sorter, key, value, walking->error);
}

static void note_id(struct walking *walking, uint64_t id)
{
    if (id > walking->examination->highest_id) walking->examination->highest_id = id;
}

static void end_object(struct walking *walking)
{
    if (walking->object_id == 0) return;
    note_id(walking, walking->object_id);
    add(walking, walking->examination->objects, walking->object_id, walking->object_end);
    walking->object_id = walking->object_end = 0;
}

static void take_element(struct walking *walking, const struct visible *at)
{
    uint64_t object_id;
    struct slice element;
    if (!record_parse_element_name(at->name, &object_id, &element) || element.size != 4 ||
        object_id == 0) {
        say(walking, at->name, "is no chunk of a string");
        return;
    }
    if (at->value.size > CHUNK_BYTES) say(walking, at->name, "is longer than a chunk can be");
    if (object_id != walking->object_id) end_object(walking);
    walking->object_id = object_id;
    uint64_t end = (uint64_t)get_be32(element.data) * CHUNK_BYTES + at->value.size;
    if (end > walking->object_end) walking->object_end = end;
}

static void take_garbage(struct walking *walking, const struct visible *at)
{
    char kind;
    uint64_t id;
    if (!record_parse_garbage_name(at->name, &kind, &id)) {
        say(walking, at->name, "names no garbage");
        return;
    }
    note_id(walking, id);
    if (kind == RECORD_GARBAGE_OBJECT && !at->is_hidden)
        add(walking, walking->examination->garbage, id, 0);
}

/* Keys of a flushed database wait for their removal; where the map is damaged, one without a number
 * may be one whose number is lost. */
static bool is_wanted(struct examination *examination, struct database_view *database)
{
    if (database_is_kept(database)) return true;
    if (database->is_garbage) return false;
    if (examination->map_is_bad) return true;
    if (!database->is_told)
        report_finding(examination->report,
                       "%s: there are keys of database id %llu, which has no number and is not "
                       "garbage", examination->data_folder, (unsigned long long)database->db_id);
    examination->store_is_bad = database->is_told = true;
    return false;
}

static void take_key(struct walking *walking, const struct visible *at)
{
    struct examination *examination = walking->examination;
    struct key_record record;
    uint64_t db_id;
    struct slice key;
    if (!record_parse_key_name(at->name, &db_id, &key)) {
        say(walking, at->name, "is no key's name");
        return;
    }
    note_id(walking, db_id);
    struct database_view *database = examination_database(examination, db_id);
    if (!is_wanted(examination, database)) {
        if (key_record_decode(at->value, &record) == STATUS_OK && record.has_object)
            add(walking, examination->garbage, record.object.object_id, 0);
        return;
    }
    if (at->is_hidden && examination_journal_has(examination, db_id, key)) return;
    if (at->is_hidden) {
        report_lost(examination->report,
                    "key %s of %s: what is left may be an old value: a newer one, or its deletion, "
                    "cannot be read", report_quoted(key),
                    examination_database_text(examination, db_id));
        return;
    }
    enum status status = key_record_decode(at->value, &record);
    if (status != STATUS_OK) {
        say(walking, at->name, status == STATUS_UNSUPPORTED ? "is of a newer version"
                                                            : "holds no valid value");
        if (!examination_journal_has(examination, db_id, key))
            report_lost(examination->report, "key %s of %s: its record is not valid",
                        report_quoted(key), examination_database_text(examination, db_id));
        return;
    }
    database->keys++;
    if (record.expire_at_ms != -1) {
        database->expiring++;
        add(walking, examination->expiry_of_keys, expiry_hash(record.expire_at_ms, db_id, key), 0);
    }
    if (record.has_object) {
        note_id(walking, record.object.object_id);
        add(walking, examination->heads, record.object.object_id, record.object.length);
    }
}

static void take_expiry(struct walking *walking, const struct visible *at)
{
    struct examination *examination = walking->examination;
    int64_t expire_at_ms;
    uint64_t db_id;
    struct slice key;
    if (!record_parse_expiry_name(at->name, &expire_at_ms, &db_id, &key)) {
        say(walking, at->name, "is no expiry's name");
        return;
    }
    if (at->value.size > 0) say(walking, at->name, "has a value");
    if (!at->is_hidden && is_wanted(examination, examination_database(examination, db_id)))
        add(walking, examination->expiry_records, expiry_hash(expire_at_ms, db_id, key), 0);
}

static void take_record(struct walking *walking, const struct visible *at)
{
    char kind = at->name.size ? at->name.data[0] : '\0';
    if (kind != RECORD_ELEMENT) end_object(walking);
    switch (kind) {
    case RECORD_ELEMENT: take_element(walking, at); break;
    case RECORD_GARBAGE: take_garbage(walking, at); break;
    case RECORD_KEY: take_key(walking, at); break;
    case RECORD_META: break; /* examine_meta has looked at them */
    case RECORD_EXPIRY: take_expiry(walking, at); break;
    default: say(walking, at->name, "is of no known kind");
    }
}

enum status examine_records(struct examination *examination, struct error *error)
{
    enum { ITEMS = 1 << 20 }; /* 16 MiB each, at the most */
    struct walking walking = {.examination = examination, .error = error};
    struct visible at;
    examination->heads = sorter_create(ITEMS);
    examination->objects = sorter_create(ITEMS);
    examination->garbage = sorter_create(ITEMS);
    examination->expiry_of_keys = sorter_create(ITEMS);
    examination->expiry_records = sorter_create(ITEMS);
    report_begin(examination->report, "examining the store", table_set_bytes(examination->set));
    struct table_walk *walk = table_walk_begin(examination->set, SLICE_LITERAL(""),
                                               SLICE_LITERAL(""), true);
    while (walking.status == STATUS_OK && table_walk_next(walk, &at)) take_record(&walking, &at);
    end_object(&walking);
    table_walk_end(walk);
    report_end(examination->report);
    return walking.status;
}
