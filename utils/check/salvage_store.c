/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The store written anew, by one more walk over the old tables: keys that are good with their expiry
 * records, the chunks of the objects that they and the journal name, the map, and counts as they are
 * then. What was garbage is left behind. */
#include "check/salvage.h"

#include "base/memory.h"
#include "storage/counts.h"
#include "storage/engine.h"
#include "storage/store_files.h"

enum { BATCH_BYTES = 1 << 20 };

struct writing {
    struct examination *examination;
    struct engine *engine;
    struct engine_batch batch;
    struct buffer name;
    struct sorter_item kept; /* the next kept object at or behind where the walk is */
    bool has_kept;
    enum status status;
    struct error *error;
};

static struct leveldb_metrics metrics;

static enum status open_engine(const char *path, bool create, struct engine **out,
                               struct error *error)
{
    struct leveldb_options options = {0};
    option_set_defaults(&leveldb_option_table, &options);
    options.write_buffer_bytes = 32 << 20;
    return engine_open_leveldb(out, path, create, &options, &metrics, error);
}

static void write_out(struct writing *writing, size_t at_least)
{
    if (writing->batch.bytes.size < at_least || writing->batch.count == 0) return;
    if (writing->status == STATUS_OK)
        writing->status = writing->engine->operations->write(writing->engine, &writing->batch,
                                                             writing->error);
    engine_batch_clear(&writing->batch);
}

static void put(struct writing *writing, struct slice name, struct slice value)
{
    engine_batch_put(&writing->batch, name, value);
    write_out(writing, BATCH_BYTES);
}

/* --- records --- */

static void next_kept(struct writing *writing)
{
    enum status status;
    writing->has_kept = sorter_next(writing->examination->kept_objects, &writing->kept, &status,
                                    writing->error);
    if (status != STATUS_OK) writing->status = status;
}

static void rewind_kept(struct writing *writing)
{
    enum status status = sorter_rewind(writing->examination->kept_objects, writing->error);
    if (status != STATUS_OK) writing->status = status;
    else next_kept(writing);
}

/* Objects come in the order of their ids. */
static bool is_kept(struct writing *writing, uint64_t object_id)
{
    while (writing->has_kept && writing->kept.key < object_id) next_kept(writing);
    return writing->has_kept && writing->kept.key == object_id;
}

static void take_element(struct writing *writing, const struct visible *at)
{
    uint64_t object_id;
    struct slice element, value = at->value;
    if (at->is_hidden || !record_parse_element_name(at->name, &object_id, &element) ||
        element.size != 4 || value.size > CHUNK_BYTES || !is_kept(writing, object_id))
        return;
    if (writing->kept.value != KEPT_AS_IT_IS) {
        uint64_t begin = (uint64_t)get_be32(element.data) * CHUNK_BYTES;
        if (begin >= writing->kept.value) return;
        if (value.size > writing->kept.value - begin)
            value.size = (size_t)(writing->kept.value - begin);
    }
    put(writing, at->name, value);
}

static void take_garbage(struct writing *writing, const struct visible *at)
{
    char kind;
    uint64_t id;
    if (at->is_hidden || !record_parse_garbage_name(at->name, &kind, &id)) return;
    bool is_pending = kind == RECORD_GARBAGE_DATABASE
                          ? examination_database(writing->examination, id)->is_pending
                          : is_kept(writing, id) && writing->kept.value == KEPT_AS_IT_IS;
    if (is_pending) put(writing, at->name, slice_make("", 0));
}

static void take_key(struct writing *writing, const struct visible *at)
{
    struct examination *examination = writing->examination;
    struct key_record record;
    uint64_t db_id;
    struct slice key;
    if (at->is_hidden || !record_parse_key_name(at->name, &db_id, &key) ||
        key_record_decode(at->value, &record) != STATUS_OK ||
        (record.has_object && id_list_has(&examination->bad_objects, record.object.object_id)))
        return;
    struct database_view *database = examination_database(examination, db_id);
    if (!database_is_kept(database)) return;
    database->keys++;
    put(writing, at->name, at->value);
    if (record.expire_at_ms == -1) return;
    database->expiring++;
    buffer_clear(&writing->name);
    record_expiry_name(&writing->name, record.expire_at_ms, db_id, key);
    put(writing, buffer_slice(&writing->name), slice_make("", 0));
}

static void copy_records(struct writing *writing)
{
    static const struct {
        const char *from, *to;
        void (*take)(struct writing *writing, const struct visible *at);
    } parts[] = {{"E", "F", take_element}, {"G", "H", take_garbage}, {"K", "L", take_key}};
    struct examination *examination = writing->examination;
    struct visible at;
    for (size_t i = 0; i < examination->database_count; i++)
        examination->databases[i].keys = examination->databases[i].expiring = 0;
    report_begin(examination->report, "writing the store", table_set_bytes(examination->set));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct table_walk *walk =
            table_walk_begin(examination->set, slice_from_text(parts[i].from),
                             slice_from_text(parts[i].to), false);
        rewind_kept(writing);
        while (writing->status == STATUS_OK && table_walk_next(walk, &at))
            parts[i].take(writing, &at);
        table_walk_end(walk);
    }
    report_end(examination->report);
}

/* --- the map --- */

static bool number_is_used(const struct examination *examination, int64_t number)
{
    for (size_t i = 0; i < examination->database_count; i++) {
        const struct database_view *database = &examination->databases[i];
        bool is_by_record = database->db_id != (uint64_t)database->number + 1;
        if (database->number == number && (database->keys > 0 || is_by_record)) return true;
    }
    return false;
}

/* Databases whose numbers are lost get those that are free, in the order in which they were made. */
static void map_lost_databases(struct examination *examination)
{
    if (!examination->map_is_bad) return;
    for (;;) {
        struct database_view *lost = NULL;
        for (size_t i = 0; i < examination->database_count; i++) {
            struct database_view *at = &examination->databases[i];
            if (at->number != DATABASE_UNMAPPED || at->is_garbage || at->keys == 0) continue;
            if (!lost || at->db_id < lost->db_id) lost = at;
        }
        if (!lost) return;
        int64_t number = 0;
        while (number_is_used(examination, number)) number++;
        for (size_t i = 0; i < examination->database_count; i++)
            if (examination->databases[i].number == number)
                examination->databases[i].number = DATABASE_UNMAPPED;
        lost->number = number;
        report_note(examination->report,
                    "the number of a database with %lld keys is lost: it is database %lld now",
                    (long long)lost->keys, (long long)number);
    }
}

/* --- meta records --- */

static void put_number(struct writing *writing, const char *name, uint64_t value, size_t bytes)
{
    char text[8];
    put_le64(text, value);
    buffer_clear(&writing->name);
    record_meta_name(&writing->name, name);
    put(writing, buffer_slice(&writing->name), slice_make(text, bytes));
}

static void put_database(struct writing *writing, const struct database_view *database)
{
    char text[8];
    if (database->number != DATABASE_UNMAPPED && database->db_id != (uint64_t)database->number + 1) {
        put_le64(text, database->db_id);
        buffer_clear(&writing->name);
        record_database_name(&writing->name, (uint32_t)database->number);
        put(writing, buffer_slice(&writing->name), slice_make(text, sizeof text));
    }
    if (database->keys == 0) return;
    struct count_pair count = {database->keys, database->expiring};
    counts_put_row(&writing->batch, &writing->name, database->db_id, 0, count);
}

static void put_meta(struct writing *writing, uint64_t store_id, uint64_t marker)
{
    const struct examination *examination = writing->examination;
    put_number(writing, "format", RECORD_FORMAT_VERSION, 4);
    put_number(writing, "store-id", store_id, 8);
    put_number(writing, "marker", marker, 8);
    for (size_t i = 0; i < examination->database_count; i++)
        put_database(writing, &examination->databases[i]);
    write_out(writing, 0);
}

static void finish(struct writing *writing)
{
    if (writing->status == STATUS_OK)
        writing->status = writing->engine->operations->flush(writing->engine, writing->error);
    engine_unref(writing->engine);
    engine_batch_free(&writing->batch);
    buffer_free(&writing->name);
}

enum status salvage_store(struct examination *examination, uint32_t number, uint64_t store_id,
                          uint64_t marker, struct error *error)
{
    struct writing writing = {.examination = examination, .error = error};
    enum status status = store_make_data_folder(examination->store_folder, number, error);
    if (status != STATUS_OK) return status;
    map_lost_databases(examination);
    char *path = store_data_path(examination->store_folder, number);
    status = open_engine(path, true, &writing.engine, error);
    mem_free(path);
    if (status != STATUS_OK) return status;
    copy_records(&writing);
    put_meta(&writing, store_id, marker);
    finish(&writing);
    if (writing.status == STATUS_OK)
        writing.status = store_sync_folder(examination->store_folder, error);
    return writing.status;
}

enum status salvage_marker(const struct examination *examination, uint64_t marker,
                           struct error *error)
{
    struct writing writing = {.error = error};
    enum status status = open_engine(examination->data_folder, false, &writing.engine, error);
    if (status != STATUS_OK) return status;
    put_number(&writing, "marker", marker, 8);
    write_out(&writing, 0);
    finish(&writing);
    return writing.status;
}
