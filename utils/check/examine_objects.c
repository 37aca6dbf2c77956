/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is compared across kinds of records, from the sorted lists that the walk has made: each object
 * against the keys that point at it, the garbage list and the journal; each key's expiry against the
 * expiry records. What is found wrong is known by number or hash only; a last walk finds its names. */
#include "check/examine.h"

#include "base/memory.h"

/* --- lists --- */

void id_list_add(struct id_list *list, uint64_t id)
{
    if (list->count > 0 && list->ids[list->count - 1] == id) return;
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 64;
        list->ids = mem_realloc(list->ids, list->capacity * sizeof *list->ids);
    }
    list->ids[list->count++] = id;
}

/* The place of the first at or above `id`. */
static size_t find(const struct id_list *list, uint64_t id)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->ids[middle] < id) low = middle + 1;
        else high = middle;
    }
    return low;
}

bool id_list_has(const struct id_list *list, uint64_t id)
{
    size_t at = find(list, id);
    return at < list->count && list->ids[at] == id;
}

bool id_list_take(struct id_list *list, uint64_t id)
{
    size_t at = find(list, id);
    if (at == list->count || list->ids[at] != id) return false;
    memmove(list->ids + at, list->ids + at + 1, (--list->count - at) * sizeof *list->ids);
    return true;
}

void id_list_free(struct id_list *list)
{
    mem_free(list->ids);
    *list = (struct id_list){0};
}

/* --- merging sorted lists --- */

struct stream {
    struct sorter *sorter;
    struct sorter_item item;
    bool is_there;
};

static enum status stream_next(struct stream *stream, struct error *error)
{
    enum status status;
    stream->is_there = sorter_next(stream->sorter, &stream->item, &status, error);
    return status;
}

static enum status stream_begin(struct stream *stream, struct sorter *sorter, struct error *error)
{
    stream->sorter = sorter;
    enum status status = sorter_rewind(sorter, error);
    return status == STATUS_OK ? stream_next(stream, error) : status;
}

/* Passes over all items of that key; their number, and the highest value. */
static enum status stream_take(struct stream *stream, uint64_t key, uint64_t *count,
                               uint64_t *value, struct error *error)
{
    enum status status = STATUS_OK;
    *count = *value = 0;
    while (status == STATUS_OK && stream->is_there && stream->item.key == key) {
        ++*count;
        if (stream->item.value > *value) *value = stream->item.value;
        status = stream_next(stream, error);
    }
    return status;
}

/* --- objects --- */

struct object_view {
    uint64_t id;
    uint64_t keys, length;  /* keys that point at it; the string's length as they say */
    uint64_t stored, end;   /* 1 when it has chunks; where the last one ends */
    uint64_t garbage;       /* entries of the garbage list */
    uint64_t pending;       /* operations of the journal that name it */
};

/* Every chunk that damage may hide must be there, in a table that is newer than the damage. */
static bool may_lack_chunks(struct examination *examination, uint64_t object_id, uint64_t length)
{
    struct buffer from = {0}, to = {0}, name = {0};
    struct visible at;
    bool result = false;
    uint64_t count = chunks_of(length), index = 0;
    record_chunk_name(&from, object_id, 0);
    record_chunk_name(&to, object_id, (uint32_t)count);
    if (count == 0 || !table_set_may_lack_between(examination->set, buffer_slice(&from),
                                                  buffer_slice(&to)))
        goto free_names;
    struct table_walk *walk =
        table_walk_begin(examination->set, buffer_slice(&from), buffer_slice(&to), false);
    while (!result && index < count) {
        bool is_there = table_walk_next(walk, &at);
        uint64_t found = is_there && at.name.size == 13 ? get_be32(at.name.data + 9) : count;
        for (; !result && index < found; index++) {
            buffer_clear(&name);
            record_chunk_name(&name, object_id, (uint32_t)index);
            result = table_set_may_lack(examination->set, buffer_slice(&name));
        }
        if (is_there) result |= at.is_hidden;
        index = found + 1;
    }
    table_walk_end(walk);
free_names:
    buffer_free(&from);
    buffer_free(&to);
    buffer_free(&name);
    return result;
}

static void say(struct examination *examination, uint64_t id, const char *what)
{
    report_finding(examination->report, "%s: object %llu %s", examination->data_folder,
                   (unsigned long long)id, what);
    examination->store_is_bad = true;
}

/* Whether its key can be served. */
static bool judge_object(struct examination *examination, const struct object_view *object)
{
    /* One that the journal makes is made anew from there. */
    bool is_of_store = object->keys + object->pending > 0 && object->id <= examination->marker;
    if (is_of_store && table_set_is_damaged(examination->set) &&
        may_lack_chunks(examination, object->id, object->length))
        return false;
    if (object->pending) return true; /* the journal sets it right */
    if (object->keys == 0 && object->stored > 0 && object->garbage == 0)
        say(examination, object->id, "has chunks, but no key points at it");
    if (object->keys > 1) {
        say(examination, object->id, "belongs to more than one key");
        return false;
    }
    if (object->keys == 1 && object->garbage > 0)
        say(examination, object->id, "belongs to a key, but is on the list of garbage");
    if (object->keys == 1 && object->end > object->length)
        say(examination, object->id, "has chunks beyond the end of its string");
    return true;
}

static enum status keep_object(struct examination *examination, const struct object_view *object,
                               struct error *error)
{
    bool is_beyond = object->keys > 0 && object->id > examination->end &&
                     examination->journal_is_bad;
    bool is_good = judge_object(examination, object) && !is_beyond;
    if (object->keys + object->pending == 0) return STATUS_OK;
    if (!is_good) {
        id_list_add(&examination->bad_objects, object->id);
        if (object->pending) examination->journal_names_bad = true;
        return STATUS_OK;
    }
    uint64_t length = object->pending ? KEPT_AS_IT_IS : object->length;
    return sorter_add(examination->kept_objects, object->id, length, error);
}

static uint64_t least_key(const struct stream *streams, size_t count)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (streams[i].is_there && streams[i].item.key < least) least = streams[i].item.key;
    return least;
}

enum status examine_objects(struct examination *examination, struct error *error)
{
    enum { HEADS, OBJECTS, GARBAGE, PENDING, REPLAYED, STREAMS };
    struct sorter *sorters[STREAMS] = {examination->heads, examination->objects,
                                       examination->garbage, examination->pending,
                                       examination->replayed};
    struct stream streams[STREAMS] = {0};
    enum status status = STATUS_OK;
    examination->kept_objects = sorter_create(1 << 20);
    if (table_set_is_damaged(examination->set) && examination->can_roll_back) {
        examination->rolls_back = true;
        examination->marker = examination->journal.base_sequence;
        examination->brings_records = examination->end > examination->marker;
    }
    for (int i = 0; status == STATUS_OK && i < STREAMS; i++)
        status = stream_begin(&streams[i], sorters[i], error);
    while (status == STATUS_OK) {
        struct object_view object = {.id = least_key(streams, STREAMS)};
        uint64_t value, counts[STREAMS], values[STREAMS];
        if (object.id == UINT64_MAX) break;
        for (int i = 0; status == STATUS_OK && i < STREAMS; i++) {
            status = stream_take(&streams[i], object.id, &counts[i], &value, error);
            values[i] = value;
        }
        if (status != STATUS_OK) break;
        object.keys = counts[HEADS];
        object.length = values[HEADS];
        if (values[PENDING] > object.length) object.length = values[PENDING];
        if (values[REPLAYED] > object.length) object.length = values[REPLAYED];
        object.stored = counts[OBJECTS];
        object.end = values[OBJECTS];
        object.garbage = counts[GARBAGE];
        object.pending = counts[PENDING];
        if (examination->rolls_back) object.pending += counts[REPLAYED];
        status = keep_object(examination, &object, error);
    }
    return status;
}

/* --- expiry --- */

enum status examine_expiry(struct examination *examination, struct error *error)
{
    struct stream keys = {0}, records = {0};
    enum status status = stream_begin(&keys, examination->expiry_of_keys, error);
    if (status == STATUS_OK) status = stream_begin(&records, examination->expiry_records, error);
    while (status == STATUS_OK && (keys.is_there || records.is_there)) {
        uint64_t key = keys.is_there ? keys.item.key : UINT64_MAX;
        uint64_t record = records.is_there ? records.item.key : UINT64_MAX;
        if (!records.is_there || (keys.is_there && key < record))
            id_list_add(&examination->missing_expiry, key);
        else if (!keys.is_there || record < key)
            id_list_add(&examination->stray_expiry, record);
        if (keys.is_there && key <= record) status = stream_next(&keys, error);
        if (status == STATUS_OK && records.is_there && record <= key)
            status = stream_next(&records, error);
    }
    return status;
}

/* --- names --- */

/* Not where damage hides it: that has been told. */
static bool lacks_expiry(struct examination *examination, const struct key_record *record,
                         uint64_t db_id, struct slice key)
{
    if (!id_list_has(&examination->missing_expiry, expiry_hash(record->expire_at_ms, db_id, key)))
        return false;
    struct buffer name = {0};
    record_expiry_name(&name, record->expire_at_ms, db_id, key);
    bool is_hidden = table_set_may_lack(examination->set, buffer_slice(&name));
    buffer_free(&name);
    return !is_hidden;
}

static void name_key(struct examination *examination, const struct visible *at)
{
    struct key_record record;
    uint64_t db_id;
    struct slice key;
    if (at->is_hidden || !record_parse_key_name(at->name, &db_id, &key) ||
        key_record_decode(at->value, &record) != STATUS_OK)
        return;
    struct database_view *database = examination_database(examination, db_id);
    if (!database_is_kept(database) && !(examination->map_is_bad && !database->is_garbage)) return;
    const char *text = examination_database_text(examination, db_id);
    if (record.expire_at_ms != -1 && lacks_expiry(examination, &record, db_id, key)) {
        report_finding(examination->report, "key %s of %s expires, but has no expiry record",
                       report_quoted(key), text);
        examination->store_is_bad = true;
    }
    if (record.has_object && id_list_has(&examination->bad_objects, record.object.object_id)) {
        if (!examination_journal_has(examination, db_id, key))
            report_lost(examination->report, "key %s of %s: a part of its value cannot be read",
                        report_quoted(key), text);
        examination->store_is_bad = true;
        database->keys--;
        if (record.expire_at_ms != -1) database->expiring--;
    }
}

static void name_expiry(struct examination *examination, const struct visible *at)
{
    int64_t expire_at_ms;
    uint64_t db_id;
    struct slice key;
    struct buffer name = {0};
    if (at->is_hidden || !record_parse_expiry_name(at->name, &expire_at_ms, &db_id, &key) ||
        !id_list_has(&examination->stray_expiry, expiry_hash(expire_at_ms, db_id, key)))
        return;
    record_key_name(&name, db_id, key);
    const char *text = examination_database_text(examination, db_id);
    examination->store_is_bad = true;
    if (id_list_has(&examination->stray_present, key_hash(db_id, key)))
        report_finding(examination->report, "key %s of %s has an expiry record for %lld, which is "
                       "not when it expires", report_quoted(key), text, (long long)expire_at_ms);
    else if (examination_journal_has(examination, db_id, key))
        ; /* comes back */
    else if (table_set_may_lack(examination->set, buffer_slice(&name)))
        report_lost(examination->report, "key %s of %s: only its expiry record is left",
                    report_quoted(key), text);
    else
        report_finding(examination->report, "key %s of %s is not there, but has an expiry record",
                       report_quoted(key), text);
    buffer_free(&name);
}

/* Into the list, each once. */
static enum status list_sorted(struct sorter *sorter, struct id_list *list, struct error *error)
{
    struct sorter_item item;
    enum status status = sorter_rewind(sorter, error);
    while (status == STATUS_OK && sorter_next(sorter, &item, &status, error))
        id_list_add(list, item.key);
    return status;
}

/* The keys of stray expiry records, by their hashes. */
static enum status find_stray_keys(struct examination *examination, struct error *error)
{
    struct visible at;
    int64_t expire_at_ms;
    uint64_t db_id;
    struct slice key;
    enum status status = STATUS_OK;
    struct sorter *keys = sorter_create(1 << 20);
    struct table_walk *walk =
        table_walk_begin(examination->set, SLICE_LITERAL("X"), SLICE_LITERAL("Y"), false);
    while (status == STATUS_OK && table_walk_next(walk, &at))
        if (record_parse_expiry_name(at.name, &expire_at_ms, &db_id, &key) &&
            id_list_has(&examination->stray_expiry, expiry_hash(expire_at_ms, db_id, key)))
            status = sorter_add(keys, key_hash(db_id, key), 0, error);
    table_walk_end(walk);
    if (status == STATUS_OK) status = list_sorted(keys, &examination->stray_keys, error);
    sorter_destroy(keys);
    return status;
}

/* Names what is wrong with keys, and finds those that have a stray expiry record but are there. */
static enum status walk_keys(struct examination *examination, struct error *error)
{
    struct visible at;
    uint64_t db_id;
    struct slice key;
    enum status status = STATUS_OK;
    struct sorter *present = sorter_create(1 << 20);
    struct table_walk *walk =
        table_walk_begin(examination->set, SLICE_LITERAL("K"), SLICE_LITERAL("L"), false);
    while (status == STATUS_OK && table_walk_next(walk, &at)) {
        name_key(examination, &at);
        if (examination->stray_keys.count == 0 || !record_parse_key_name(at.name, &db_id, &key))
            continue;
        uint64_t hash = key_hash(db_id, key);
        if (id_list_has(&examination->stray_keys, hash))
            status = sorter_add(present, hash, 0, error);
    }
    table_walk_end(walk);
    if (status == STATUS_OK) status = list_sorted(present, &examination->stray_present, error);
    sorter_destroy(present);
    return status;
}

enum status examine_names(struct examination *examination, struct error *error)
{
    struct visible at;
    enum status status = STATUS_OK;
    bool has_strays = examination->stray_expiry.count > 0;
    report_begin(examination->report, "finding names", table_set_bytes(examination->set));
    if (has_strays) status = find_stray_keys(examination, error);
    if (status == STATUS_OK && (has_strays || examination->missing_expiry.count > 0 ||
                                examination->bad_objects.count > 0))
        status = walk_keys(examination, error);
    if (status == STATUS_OK && has_strays) {
        struct table_walk *walk = table_walk_begin(examination->set, SLICE_LITERAL("X"),
                                                   SLICE_LITERAL("Y"), false);
        while (table_walk_next(walk, &at)) name_expiry(examination, &at);
        table_walk_end(walk);
    }
    report_end(examination->report);
    return status;
}
