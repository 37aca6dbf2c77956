/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The store's folder and handle. Start-up and the batch writer's thread change it; any worker may
 * take a reference to the handle. The mutex guards the handle's pointer and what readers are told,
 * and is never held over a disk call.
 *
 * CURRENT is the only truth: a data-N that it does not name is a leftover (of a creation or a
 * FLUSHALL that did not get that far, or of one that did and could not unlink the old folder). Its
 * rename is synced before anything relies on it, at each open too, since the process may have died
 * between the rename and its sync. */
#include "storage/store.h"

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/store_files.h"

#include <pthread.h>
#include <stdio.h>

/* A handle that was replaced: waits for the jobs on it. */
struct replaced {
    struct engine *engine; /* NULL: could not be opened */
    uint32_t number;
    struct replaced *next;
};

struct store {
    char *folder;
    store_open_engine *open_engine;
    void *open_context;
    struct store_meta meta;
    uint32_t number;      /* of the folder that CURRENT names */
    uint32_t last_number; /* highest that was ever tried: a number is not used twice */
    struct replaced *replaced;

    pthread_mutex_t lock; /* guards what follows */
    struct engine *engine;
    struct engine *closing; /* taken away, but maybe still held by jobs; only the writer changes it */
    enum status refused; /* what readers get, STATUS_OK: the engine */
    char refused_text[ERROR_TEXT_BYTES];
    bool is_cancelled;
};

static const char format_name[] = "format";
static const char store_id_name[] = "store-id";
static const char marker_name[] = "marker";

/* --- meta records --- */

static void put_meta_number(struct engine_batch *batch, const char *name, uint64_t value,
                            size_t bytes)
{
    struct buffer key = {0};
    char text[8];
    put_le64(text, value);
    record_meta_name(&key, name);
    engine_batch_put(batch, buffer_slice(&key), slice_make(text, bytes));
    buffer_free(&key);
}

static void put_database(struct engine_batch *batch, uint32_t number, uint64_t db_id)
{
    struct buffer key = {0};
    char text[8];
    put_le64(text, db_id);
    record_database_name(&key, number);
    engine_batch_put(batch, buffer_slice(&key), slice_make(text, sizeof text));
    buffer_free(&key);
}

static enum status write_meta(struct engine *engine, const struct store_meta *meta,
                              struct error *error)
{
    struct engine_batch batch = {0};
    put_meta_number(&batch, format_name, RECORD_FORMAT_VERSION, 4);
    put_meta_number(&batch, store_id_name, meta->store_id, 8);
    put_meta_number(&batch, marker_name, meta->marker, 8);
    for (uint32_t i = 0; i < meta->databases; i++) {
        if (meta->db_ids[i] != i + 1) put_database(&batch, i, meta->db_ids[i]);
    }
    enum status status = engine->operations->write(engine, &batch, error);
    engine_batch_free(&batch);
    if (status == STATUS_OK) status = engine->operations->flush(engine, error);
    return status;
}

/* A meta record of `bytes` bytes. */
static enum status read_meta_number(struct engine *engine, const char *name, size_t bytes,
                                    uint64_t *out, struct error *error)
{
    struct buffer key = {0}, value = {0};
    record_meta_name(&key, name);
    enum status status =
        engine->operations->get(engine, NULL, buffer_slice(&key), &value, error);
    if (status == STATUS_OK && value.size != bytes) {
        status = error_set(error, STATUS_CORRUPT, "the store's record \"%s\" has a wrong size",
                           name);
    } else if (status == STATUS_OK) {
        char text[8] = {0};
        memcpy(text, value.data, bytes);
        *out = get_le64(text);
    }
    buffer_free(&key);
    buffer_free(&value);
    return status;
}

static enum status read_format(struct engine *engine, struct error *error)
{
    uint64_t version;
    enum status status = read_meta_number(engine, format_name, 4, &version, error);
    if (status == STATUS_NOT_FOUND) {
        /* Likely the latter, since CURRENT above it is ours: the end of a MANIFEST is gone. */
        return error_set(error, STATUS_CORRUPT, "not a Kelvin store, or a damaged one: the record "
                         "that tells its format is missing");
    }
    if (status == STATUS_OK && version != RECORD_FORMAT_VERSION) {
        return error_set(error, STATUS_UNSUPPORTED,
                         "the store has format version %llu, this server knows version %d",
                         (unsigned long long)version, RECORD_FORMAT_VERSION);
    }
    return status;
}

/* Numbers at or above `databases` are kept in the store and not looked at. */
static enum status read_database_map(struct engine *engine, struct store_meta *meta,
                                     struct error *error)
{
    const struct engine_operations *operations = engine->operations;
    struct engine_iterator *iterator = operations->iterate(engine, NULL, true);
    struct buffer from = {0};
    enum status status = STATUS_OK;
    uint32_t number;

    for (uint32_t i = 0; i < meta->databases; i++) meta->db_ids[i] = i + 1;
    record_database_name(&from, 0);
    operations->iterator_seek(iterator, buffer_slice(&from));
    for (; operations->iterator_valid(iterator); operations->iterator_next(iterator)) {
        if (!record_parse_database_name(operations->iterator_key(iterator), &number)) break;
        struct slice value = operations->iterator_value(iterator);
        if (value.size != 8) {
            status = error_set(error, STATUS_CORRUPT,
                               "the store's record of database %u has a wrong size", number);
            break;
        }
        if (number < meta->databases) meta->db_ids[number] = get_le64(value.data);
    }
    if (status == STATUS_OK) status = operations->iterator_status(iterator, error);
    operations->iterator_destroy(iterator);
    buffer_free(&from);
    return status;
}

static enum status read_meta(struct engine *engine, struct store_meta *meta, struct error *error)
{
    enum status status = read_format(engine, error);
    if (status == STATUS_OK)
        status = read_meta_number(engine, store_id_name, 8, &meta->store_id, error);
    if (status == STATUS_OK)
        status = read_meta_number(engine, marker_name, 8, &meta->marker, error);
    if (status == STATUS_NOT_FOUND)
        status = error_set(error, STATUS_CORRUPT, "the store lacks its id or its marker");
    if (status == STATUS_OK) status = read_database_map(engine, meta, error);
    return status;
}

/* --- opening --- */

static enum status open_number(struct store *store, uint32_t number, bool create,
                               struct engine **out, struct error *error)
{
    char *path = store_data_path(store->folder, number);
    enum status status = store->open_engine(store->open_context, out, path, create, error);
    if (status != STATUS_OK) status = error_add_context(error, status, "%s", path);
    mem_free(path);
    return status;
}

static enum status open_current(struct store *store, struct engine **out, struct error *error)
{
    struct engine *engine;
    enum status status = store_sync_folder(store->folder, error);
    if (status == STATUS_OK)
        status = store_read_current(store->folder, &store->number, error);
    if (status != STATUS_OK) return status;
    if (store->number > store->last_number) store->last_number = store->number;
    status = open_number(store, store->number, false, &engine, error);
    if (status != STATUS_OK) return status;
    status = read_meta(engine, &store->meta, error);
    if (status != STATUS_OK) {
        engine_unref(engine);
        return error_add_context(error, status, "%s", store->folder);
    }
    *out = engine;
    return STATUS_OK;
}

/* Makes data-N with the store's meta records, and CURRENT name it. */
static enum status build_folder(struct store *store, uint32_t number,
                                const struct store_meta *meta, struct engine **out,
                                struct error *error)
{
    struct engine *engine = NULL;
    if (number > store->last_number) store->last_number = number;
    enum status status = store_make_data_folder(store->folder, number, error);
    if (status != STATUS_OK) return status;
    status = open_number(store, number, true, &engine, error);
    if (status != STATUS_OK) goto remove_folder;
    status = write_meta(engine, meta, error);
    if (status != STATUS_OK) goto close_engine;
    /* Its parent is synced before CURRENT names it. */
    status = store_sync_folder(store->folder, error);
    if (status != STATUS_OK) goto close_engine;
    status = store_write_current(store->folder, number, error);
    if (status != STATUS_OK) {
        engine_unref(engine); /* CURRENT may name it already: the folder stays */
        return status;
    }
    *out = engine;
    return STATUS_OK;

close_engine:
    engine_unref(engine);
remove_folder:
    store_remove_data_folder(store->folder, number);
    return status;
}

/* Without CURRENT, a data-N with keys in it is not ours to remove. */
static bool holds_keys(void *context, uint32_t number)
{
    struct store *store = context;
    struct engine *engine;
    if (!store_data_folder_is_begun(store->folder, number)) return false;
    if (open_number(store, number, false, &engine, NULL) != STATUS_OK) return true;
    const struct engine_operations *operations = engine->operations;
    struct engine_iterator *iterator = operations->iterate(engine, NULL, false);
    bool found = false;
    operations->iterator_seek(iterator, slice_make("", 0));
    while (!found && operations->iterator_valid(iterator)) {
        struct slice key = operations->iterator_key(iterator);
        found = key.size == 0 || key.data[0] != RECORD_META;
        operations->iterator_next(iterator);
    }
    found = found || operations->iterator_status(iterator, NULL) != STATUS_OK;
    operations->iterator_destroy(iterator);
    engine_unref(engine);
    return found;
}

static enum status create_store(struct store *store, struct engine **out, struct error *error)
{
    uint32_t number = 0;
    enum status status = store_make_folder(store->folder, error);
    if (status == STATUS_OK)
        status = store_find_data_folder(store->folder, holds_keys, store, &number, error);
    if (status != STATUS_OK) return status;
    if (number != 0) {
        return error_set(error, STATUS_CORRUPT,
                         "%s/CURRENT is missing, but data-%u holds data: if it is the right one, "
                         "write the line \"data-%u\" to CURRENT",
                         store->folder, number, number);
    }
    status = store_remove_leftovers(store->folder, 0, error);
    if (status != STATUS_OK) return status;
    store->number = 1;
    return build_folder(store, 1, &store->meta, out, error);
}

static void cancel_engine(struct engine *engine)
{
    if (engine && engine->operations->cancel) engine->operations->cancel(engine);
}

static void free_store(struct store *store)
{
    pthread_mutex_destroy(&store->lock);
    mem_free(store->meta.db_ids);
    mem_free(store->folder);
    mem_free(store);
}

enum status store_open(struct store **out, const char *folder, bool create, uint64_t store_id,
                       uint64_t marker, uint32_t databases, store_open_engine *open_engine,
                       void *open_context, struct error *error)
{
    struct store *store = mem_calloc(1, sizeof *store);
    store->folder = mem_dup(folder, strlen(folder) + 1);
    store->open_engine = open_engine;
    store->open_context = open_context;
    store->meta.store_id = store_id;
    store->meta.marker = marker;
    store->meta.databases = databases;
    store->meta.db_ids = mem_calloc(databases, sizeof *store->meta.db_ids);
    for (uint32_t i = 0; i < databases; i++) store->meta.db_ids[i] = i + 1;
    pthread_mutex_init(&store->lock, NULL);

    enum status status = store_has_current(folder, error);
    if (status == STATUS_OK) {
        status = open_current(store, &store->engine, error);
        /* Not before it could be opened: were CURRENT wrong, the others would be what is left. */
        if (status == STATUS_OK) {
            status = store_remove_leftovers(folder, store->number, error);
            if (status != STATUS_OK) engine_unref(store->engine);
        }
    } else if (status == STATUS_NOT_FOUND && create) {
        status = create_store(store, &store->engine, error);
    }
    if (status != STATUS_OK) {
        free_store(store);
        return status;
    }
    *out = store;
    return STATUS_OK;
}

static void cancel_all(struct store *store)
{
    cancel_engine(store->engine);
    cancel_engine(store->closing);
    for (struct replaced *at = store->replaced; at; at = at->next) cancel_engine(at->engine);
}

void store_close(struct store *store)
{
    if (!store) return;
    cancel_all(store); /* what had to be durable is */
    store_remove_replaced(store);
    while (store->replaced) {
        struct replaced *replaced = store->replaced;
        store->replaced = replaced->next;
        if (replaced->engine) engine_unref(replaced->engine); /* the next start unlinks the folder */
        mem_free(replaced);
    }
    if (store->closing) engine_unref(store->closing);
    if (store->engine) engine_unref(store->engine);
    free_store(store);
}

void store_cancel(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    store->is_cancelled = true;
    cancel_engine(store->engine);
    pthread_mutex_unlock(&store->lock);
}

const struct store_meta *store_meta(const struct store *store)
{
    return &store->meta;
}

/* --- readers --- */

enum status store_acquire(struct store *store, struct engine **out, struct error *error)
{
    pthread_mutex_lock(&store->lock);
    enum status status = store->refused;
    if (status == STATUS_OK) *out = engine_ref(store->engine);
    else error_set(error, status, "%s", store->refused_text);
    pthread_mutex_unlock(&store->lock);
    return status;
}

bool store_is_current(struct store *store, const struct engine *engine)
{
    pthread_mutex_lock(&store->lock);
    bool current = store->engine == engine;
    pthread_mutex_unlock(&store->lock);
    return current;
}

bool store_awaits(struct store *store, const struct engine *engine)
{
    pthread_mutex_lock(&store->lock);
    bool awaits = store->closing == engine;
    pthread_mutex_unlock(&store->lock);
    return awaits;
}

void store_refuse(struct store *store, enum status status, const char *text)
{
    ASSERT(status != STATUS_OK);
    pthread_mutex_lock(&store->lock);
    store->refused = status;
    snprintf(store->refused_text, sizeof store->refused_text, "%s", text);
    pthread_mutex_unlock(&store->lock);
}

void store_publish(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    ASSERT(store->engine);
    store->refused = STATUS_OK;
    pthread_mutex_unlock(&store->lock);
}

/* --- the batch writer --- */

struct engine *store_writer_engine(const struct store *store)
{
    return store->engine; /* only the writer changes it */
}

static struct engine *exchange_engine(struct store *store, struct engine *engine)
{
    pthread_mutex_lock(&store->lock);
    struct engine *before = store->engine;
    store->engine = engine;
    if (store->is_cancelled) cancel_engine(engine);
    pthread_mutex_unlock(&store->lock);
    return before;
}

static void set_closing(struct store *store, struct engine *engine)
{
    pthread_mutex_lock(&store->lock);
    store->closing = engine;
    pthread_mutex_unlock(&store->lock);
}

void store_close_engine(struct store *store, enum status status, const char *text)
{
    store_refuse(store, status, text);
    struct engine *engine = exchange_engine(store, NULL);
    if (!engine) return;
    ASSERT(!store->closing);
    set_closing(store, engine);
}

static bool is_last_reference(const struct engine *engine)
{
    /* Nobody can take another: store_acquire does not give it out any more. */
    return atomic_load_explicit(&engine->references, memory_order_acquire) == 1;
}

enum status store_reopen(struct store *store, struct error *error)
{
    struct engine *engine;
    ASSERT(!store->engine);
    if (store->closing) {
        if (!is_last_reference(store->closing))
            return error_set(error, STATUS_AGAIN, "a job still uses the store's old handle");
        engine_unref(store->closing);
        set_closing(store, NULL);
    }
    enum status status = open_current(store, &engine, error);
    if (status == STATUS_OK) exchange_engine(store, engine);
    return status;
}

enum status store_replace(struct store *store, const uint64_t *db_ids, uint64_t marker,
                          struct error *error)
{
    struct engine *engine;
    struct store_meta meta = store->meta;
    uint32_t number = store->last_number + 1;
    meta.marker = marker;
    meta.db_ids = mem_dup(db_ids, meta.databases * sizeof *db_ids);
    enum status status = build_folder(store, number, &meta, &engine, error);
    if (status != STATUS_OK) {
        mem_free(meta.db_ids);
        return error_add_context(error, status, "cannot make a fresh store");
    }
    struct engine *before = exchange_engine(store, engine);
    if (!before) { /* was closed; jobs may still hold it */
        before = store->closing;
        store->closing = NULL;
    }
    struct replaced *replaced = mem_alloc(sizeof *replaced);
    *replaced = (struct replaced){before, store->number, store->replaced};
    store->replaced = replaced;
    store->number = number;
    mem_free(store->meta.db_ids);
    store->meta = meta;
    return STATUS_OK;
}

bool store_remove_replaced(struct store *store)
{
    struct replaced **link = &store->replaced;
    while (*link) {
        struct replaced *replaced = *link;
        if (replaced->engine && !is_last_reference(replaced->engine)) {
            link = &replaced->next;
            continue;
        }
        if (replaced->engine) engine_unref(replaced->engine);
        store_remove_data_folder(store->folder, replaced->number);
        *link = replaced->next;
        mem_free(replaced);
    }
    return store->replaced != NULL;
}
