/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Start-up of the storage: opens or creates store and journal, checks that they belong together (rule
 * 16), applies what the journal holds beyond the store's marker, begins the journal's new run (rule
 * 4). Everything here may take long and runs while the loop already answers -LOADING. */
#include "server/parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
    SAY_INTERVAL_US = 3 * 1000 * 1000,
    RANGE_SHARE = 4,    /* of maxmemory is for sorting the journal: the cache is still empty */
    MEMTABLE_SHARE = 8, /* and so much for each of two memtables, of which */
    MEMTABLES = 4,      /* so many take the journal: they go to level 0, which holds 12 */
    MEMTABLE_MAX_BYTES = 512 << 20
};

struct opening {
    struct parts *parts;
    struct journal_found found;
    int64_t say_at_us; /* the log shall tell how far we are */
    char store_dir[4096], journal_dir[4096];
};

static enum status open_leveldb(void *context, struct engine **out, const char *folder, bool create,
                                struct error *error)
{
    struct parts *parts = context;
    return engine_open_leveldb(out, folder, create, &parts->store_options,
                               &parts->leveldb_metrics, error);
}

static enum status make_store_id(uint64_t *out, struct error *error)
{
    do {
        if (getrandom(out, sizeof *out, 0) != (ssize_t)sizeof *out)
            return error_set(error, STATUS_IO_ERROR, "no random numbers from the system");
    } while (*out == 0);
    return STATUS_OK;
}

static enum status open_store(struct opening *opening, bool create, uint64_t store_id,
                              struct error *error)
{
    struct parts *parts = opening->parts;
    return store_open(&parts->store, opening->store_dir, create, store_id, FIRST_SEQUENCE - 1,
                      (uint32_t)parts->settings.keyspace.databases, open_leveldb, parts, error);
}

static enum status create_store(struct opening *opening, struct error *error)
{
    uint64_t store_id;
    if (!opening->found.empty)
        return error_set(error, STATUS_CORRUPT,
                         "'%s' holds a journal but '%s' holds no store: was it moved away? Bring the "
                         "folder back, or start with an empty data folder",
                         opening->journal_dir, opening->store_dir);
    enum status status = make_store_id(&store_id, error);
    if (status == STATUS_OK) status = open_store(opening, true, store_id, error);
    return status;
}

/* Store and journal must be of one store, and no record between them may be missing. */
static enum status check_together(const struct opening *opening, struct error *error)
{
    const struct journal_found *found = &opening->found;
    const struct store_meta *meta = store_meta(opening->parts->store);
    if (found->empty) {
        if (meta->marker == FIRST_SEQUENCE - 1) return STATUS_OK; /* died while being created */
        return error_set(error, STATUS_CORRUPT,
                         "'%s' holds a store but '%s' holds no journal: was it moved away? Bring the "
                         "folder back", opening->store_dir, opening->journal_dir);
    }
    if (found->store_id != meta->store_id)
        return error_set(error, STATUS_CORRUPT,
                         "the journal in '%s' (store id %016llx) does not belong to the store in '%s' "
                         "(%016llx)", opening->journal_dir, (unsigned long long)found->store_id,
                         opening->store_dir, (unsigned long long)meta->store_id);
    if (meta->marker < found->base_sequence ||
        (found->first_sequence && meta->marker + 1 < found->first_sequence))
        return error_set(error, STATUS_CORRUPT,
                         "the store in '%s' ends at sequence %llu but the journal in '%s' needs all up "
                         "to %llu in it: what is between them is missing. Is the store an older copy? "
                         "Bring back both folders as they were together", opening->store_dir,
                         (unsigned long long)meta->marker, opening->journal_dir,
                         (unsigned long long)found->base_sequence);
    if (meta->marker >= found->next_sequence)
        return error_set(error, STATUS_CORRUPT,
                         "the store in '%s' ends at sequence %llu, beyond the journal in '%s': is the "
                         "journal an older copy? Bring back both folders as they were together",
                         opening->store_dir, (unsigned long long)meta->marker, opening->journal_dir);
    return STATUS_OK;
}

static bool note_progress(void *context, double share)
{
    struct opening *opening = context;
    struct parts *parts = opening->parts;
    uint64_t total = atomic_load_explicit(&parts->loading_total_bytes, memory_order_relaxed);
    atomic_store_explicit(&parts->loading_done_bytes, (uint64_t)((double)total * share),
                          memory_order_relaxed);
    int64_t now_us = clock_monotonic_us();
    if (now_us >= opening->say_at_us) {
        opening->say_at_us = now_us + SAY_INTERVAL_US;
        log_write(LOG_NOTICE, "applying the journal: %d%% done", (int)(share * 100));
    }
    return !atomic_load(&parts->loading_stops);
}

/* What the store has not yet: the records are about the same size. */
static uint64_t bytes_to_apply(const struct opening *opening)
{
    const struct journal_found *found = &opening->found;
    uint64_t marker = store_meta(opening->parts->store)->marker;
    if (found->empty || found->last_sequence <= marker) return 0;
    double all = (double)(found->last_sequence - found->first_sequence + 1);
    return (uint64_t)((double)found->bytes * (double)(found->last_sequence - marker) / all);
}

void startup_stop(struct parts *parts)
{
    atomic_store(&parts->loading_stops, true);
    struct store *store = atomic_load(&parts->loading_store);
    if (store) store_cancel(store);
}

static enum status open_all(struct opening *opening, struct error *error)
{
    struct parts *parts = opening->parts;
    struct settings *settings = &parts->settings;
    parts->store_options = settings->leveldb;
    enum status status = journal_open(&parts->journal, opening->journal_dir, &settings->journal,
                                      &parts->journal_metrics, &opening->found, error);
    if (status != STATUS_OK) return status;
    journal_set_store_folder(parts->journal, opening->store_dir);
    status = open_store(opening, false, 0, error);
    if (status == STATUS_NOT_FOUND) status = create_store(opening, error);
    if (status != STATUS_OK) return status;
    atomic_store(&parts->loading_store, parts->store);
    return check_together(opening, error);
}

/* With other options than before, at start-up. */
static enum status reopen_store(struct opening *opening, struct error *error)
{
    struct store *store = opening->parts->store;
    store_close_engine(store, STATUS_AGAIN, "the store is being opened");
    enum status status = store_reopen(store, error);
    if (status == STATUS_OK) store_publish(store);
    return status;
}

/* Much to apply: LevelDB gets memtables of a size that leaves few of them, from memory that the cache does
 * not need yet, writes them out at the priority of everybody else, and compacts later. */
static enum status open_for_recovery(struct opening *opening, uint64_t bytes, struct error *error)
{
    struct parts *parts = opening->parts;
    struct leveldb_options *options = &parts->store_options;
    int64_t most = (int64_t)(memory_budget_maxmemory(parts->budget) / MEMTABLE_SHARE);
    int64_t wanted = (int64_t)(bytes / MEMTABLES);
    if (wanted > most) wanted = most;
    if (wanted <= options->write_buffer_bytes) return STATUS_OK;
    options->write_buffer_bytes = wanted < MEMTABLE_MAX_BYTES ? wanted : MEMTABLE_MAX_BYTES;
    options->is_urgent = true;
    return reopen_store(opening, error);
}

static enum status open_for_service(struct opening *opening, struct error *error)
{
    struct parts *parts = opening->parts;
    if (!parts->store_options.is_urgent) return STATUS_OK;
    parts->store_options = parts->settings.leveldb;
    return reopen_store(opening, error);
}

static enum status recover(struct opening *opening, const struct batch_writer_events *events,
                           struct error *error)
{
    struct parts *parts = opening->parts;
    const struct journal_found *found = &opening->found;
    uint64_t bytes = bytes_to_apply(opening);
    atomic_store_explicit(&parts->loading_total_bytes, bytes, memory_order_relaxed);
    opening->say_at_us = clock_monotonic_us() + SAY_INTERVAL_US;
    enum status status = open_for_recovery(opening, bytes, error);
    if (status != STATUS_OK) return status;
    status = batch_writer_create(
        &parts->batch_writer, &parts->settings.batch_writer, &parts->batch_writer_metrics,
        parts->store, parts->journal, parts->jobs, loop_mailbox(parts->loop), events, error);
    if (status != STATUS_OK) return status;
    if (bytes > 0)
        log_write(LOG_NOTICE, "applying the journal: sequences %llu to %llu, %llu bytes",
                  (unsigned long long)store_meta(parts->store)->marker + 1,
                  (unsigned long long)found->last_sequence, (unsigned long long)bytes);
    const struct batch_writer_recovery recovery = {
        memory_budget_maxmemory(parts->budget) / RANGE_SHARE, note_progress, opening};
    status = batch_writer_recover(parts->batch_writer, found, &recovery, error);
    if (status == STATUS_OK) status = open_for_service(opening, error);
    if (status != STATUS_OK) return status;
    uint64_t first = batch_writer_applied_sequence(parts->batch_writer) + 1;
    if (found->last_sequence + 1 > first) first = found->last_sequence + 1;
    parts->store_id = store_meta(parts->store)->store_id;
    status = journal_start_run(parts->journal, parts->store_id, first, error);
    if (status != STATUS_OK) return status;
    return batch_writer_start(parts->batch_writer, error);
}

/* No key at all: then a miss in the cache is an answer from the start. */
static bool is_empty(struct parts *parts)
{
    struct engine *engine;
    if (store_acquire(parts->store, &engine, NULL) != STATUS_OK) return false;
    struct engine_iterator *iterator = engine->operations->iterate(engine, NULL, false);
    char element = RECORD_ELEMENT, key = RECORD_KEY;
    bool found = false;
    for (int i = 0; i < 2 && !found; i++) {
        char kind = i ? key : element;
        engine->operations->iterator_seek(iterator, slice_make(&kind, 1));
        found = engine->operations->iterator_valid(iterator) &&
                engine->operations->iterator_key(iterator).data[0] == kind;
    }
    engine->operations->iterator_destroy(iterator);
    engine_unref(engine);
    return !found;
}

/* On a full disk the reserve makes room: all is opened again, since LevelDB takes no write after one
 * that has failed. */
static enum status open_again(struct opening *opening, const struct batch_writer_events *events,
                              struct error *error)
{
    struct parts *parts = opening->parts;
    log_write(LOG_WARNING, "the disk is full, the reserve is given up: %s", error->text);
    atomic_store(&parts->loading_store, NULL);
    batch_writer_destroy(parts->batch_writer);
    store_close(parts->store);
    parts->batch_writer = NULL;
    parts->store = NULL;
    journal_close(parts->journal, NULL);
    parts->journal = NULL;
    enum status status = open_all(opening, error);
    return status == STATUS_OK ? recover(opening, events, error) : status;
}

enum status startup_run(struct parts *parts, const struct batch_writer_events *events,
                        bool *start_empty, struct error *error)
{
    struct opening opening = {.parts = parts};
    (void)snprintf(opening.store_dir, sizeof opening.store_dir, "%s/store", parts->data_dir);
    (void)snprintf(opening.journal_dir, sizeof opening.journal_dir, "%s/journal", parts->data_dir);
    enum status status = open_all(&opening, error);
    if (status == STATUS_OK) status = recover(&opening, events, error);
    if (status == STATUS_NO_SPACE && parts->journal && journal_drop_reserve(parts->journal))
        status = open_again(&opening, events, error);
    if (status == STATUS_NO_SPACE && parts->journal) {
        uint64_t free_bytes = journal_measure_free_bytes(parts->journal);
        error_add_context(error, status, "the disk is too full to start (%llu MB are free, %llu MB of "
                          "journal are to be applied)", (unsigned long long)(free_bytes >> 20),
                          (unsigned long long)(opening.found.bytes >> 20));
    }
    if (status == STATUS_OK) *start_empty = is_empty(parts);
    return status;
}
