/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LevelDB behind the engine table: the only file that includes leveldb/c.h. Job workers and
 * start-up; every call may block on the disk. Always true here: checksums are verified on every
 * read, LevelDB works through our environment (leveldb_env.h), and after a failed write or flush it
 * refuses every write until the store is reopened (its background error is sticky). */
#include "storage/engine_leveldb.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"
#include "storage/leveldb_env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The inner layout that leveldb_env.cc relies on is this version's. */
enum { LEVELDB_MAJOR = 1, LEVELDB_MINOR = 23 };

/* From its source, for the space that a compaction needs. */
enum { COMPACTION_TABLES = 25, LEVEL_0_TABLES = 12, LEVEL_1_BYTES = 10 << 20 };

/* LevelDB lets writes wait at 12, and slows them at 8. */
enum { HELD_LEVEL_0_TABLES = 8 };

/* How long a flush trusts that its memtable is being written before it asks for an error. */
enum { FLUSH_ASK_US = 20 * 1000 };

struct leveldb_engine {
    struct engine base;
    char *folder;
    struct leveldb_metrics *metrics;
    struct leveldb_files *files;
    struct leveldb_env_t *env;
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *block_cache;
    leveldb_filterpolicy_t *bloom;
    leveldb_readoptions_t *read_options; /* for a get without a snapshot */
    leveldb_writeoptions_t *write_options;
    bool has_block_cache;
    uint64_t table_bytes, write_buffer_bytes;
};

struct engine_iterator {
    struct leveldb_engine *engine;
    leveldb_iterator_t *iterator;
    leveldb_readoptions_t *read_options;
};

static struct leveldb_engine *leveldb_engine_of(struct engine *engine)
{
    return (struct leveldb_engine *)engine;
}

/* --- options and metrics --- */

#define OPTION(field_, name_, kind_, default_, minimum_, maximum_, unit_, help_)                   \
    {                                                                                              \
        .name = name_, .kind = kind_, .offset = offsetof(struct leveldb_options, field_),          \
        .default_text = default_, .minimum = minimum_, .maximum = maximum_, .unit = unit_,         \
        .help = help_                                                                              \
    }

static const struct option option_rows[] = {
    OPTION(write_buffer_bytes, "leveldb-write-buffer", OPTION_BYTES, "4mb", 64 << 10, 1 << 30,
           "bytes",
           "Memory for records that are not yet in a table (a memtable); twice that while one is\n"
           "being written out. Large makes fewer, larger tables, hence less compaction. Where it is\n"
           "not set it is a thirty-second of maxmemory, from 4 MiB to 32 MiB."),
    OPTION(block_cache_bytes, "leveldb-block-cache", OPTION_BYTES, "32mb", 0, INT64_MAX, "bytes",
           "Memory for blocks read from tables; 0: none. Hot keys are served by our own cache:\n"
           "this one helps scans and keys that come back after they left it. Where it is not set\n"
           "it is a sixteenth of maxmemory, from 1 MiB to 512 MiB."),
    OPTION(block_bytes, "leveldb-block-size", OPTION_BYTES, "4096", 1 << 10, 4 << 20, "bytes",
           "How much is read and checked at once to find a record. Larger compresses better and\n"
           "suits scans, smaller suits single reads."),
    OPTION(table_bytes, "leveldb-table-size", OPTION_BYTES, "32mb", 1 << 20, 1 << 30, "bytes",
           "The size of a table file. Larger means fewer files and longer compactions."),
    OPTION(bloom_bits, "leveldb-bloom-bits", OPTION_INTEGER, "10", 0, 30, "bits per record",
           "A filter in memory that spares the disk for absent keys; 10 bits let 1% through.\n"
           "0: none. A change applies to tables written from then on."),
    OPTION(max_open_files, "leveldb-max-open-files", OPTION_INTEGER, "1000", 74, 50000, "files",
           "How many table files are kept open, each with its index and filter in memory."),
    OPTION(compression, "leveldb-compression", OPTION_BOOL, "yes", 0, 0, NULL,
           "Compress blocks with Snappy. Turn off for values that are compressed already."),
    OPTION(paranoid_checks, "leveldb-paranoid-checks", OPTION_BOOL, "yes", 0, 0, NULL,
           "Stop at damage in LevelDB's own files instead of passing over it. Turn off only to\n"
           "save what can be saved from a damaged store."),
};

const struct option_table leveldb_option_table = {
    .title = "LEVELDB",
    .intro = "The store on disk that holds the whole data set. These apply when it is opened.",
    .rows = option_rows,
    .count = sizeof option_rows / sizeof *option_rows,
};

#define METRIC(field_, name_, kind_, unit_, info_, help_)                                          \
    {                                                                                              \
        .name = "kelvin_leveldb_" name_, .kind = kind_,                                            \
        .offset = offsetof(struct leveldb_metrics, field_), .unit = unit_, .info = info_,          \
        .help = help_                                                                              \
    }
#define FILE_METRICS(kind_, name_, text_)                                                          \
    METRIC(read_bytes[kind_], name_ "_read_bytes_total", METRIC_COUNTER, "bytes",                  \
           "leveldb_" name_ "_read_bytes", "Bytes read from " text_ "."),                          \
        METRIC(reads[kind_], name_ "_reads_total", METRIC_COUNTER, "", "leveldb_" name_ "_reads",  \
               "Reads from " text_ "."),                                                           \
        METRIC(written_bytes[kind_], name_ "_written_bytes_total", METRIC_COUNTER, "bytes",        \
               "leveldb_" name_ "_written_bytes", "Bytes written to " text_ "."),                  \
        METRIC(writes[kind_], name_ "_writes_total", METRIC_COUNTER, "",                           \
               "leveldb_" name_ "_writes", "Writes to " text_ "."),                                \
        METRIC(syncs[kind_], name_ "_syncs_total", METRIC_COUNTER, "", "leveldb_" name_ "_syncs",  \
               "Syncs of " text_ "."),                                                             \
        METRIC(sync_us[kind_], name_ "_sync_seconds_total", METRIC_COUNTER, "seconds",              \
               "leveldb_" name_ "_sync_microseconds", "Time spent in syncs of " text_ ".")

static const struct metric metric_rows[] = {
    FILE_METRICS(LEVELDB_TABLE, "table", "table files"),
    FILE_METRICS(LEVELDB_MANIFEST, "manifest", "MANIFEST files"),
    FILE_METRICS(LEVELDB_OTHER, "other", "CURRENT and temporary files"),
    METRIC(log_bytes_dropped, "log_dropped_bytes_total", METRIC_COUNTER, "bytes",
           "leveldb_log_dropped_bytes",
           "Bytes for LevelDB's own log that were not written: the journal has them."),
    METRIC(files_created, "files_created_total", METRIC_COUNTER, "", "leveldb_files_created",
           "Files created."),
    METRIC(files_deleted, "files_deleted_total", METRIC_COUNTER, "", "leveldb_files_deleted",
           "Files deleted."),
    METRIC(get_seconds, "get_seconds", METRIC_HISTOGRAM, "seconds", "leveldb_get",
           "Time of reading one record."),
    METRIC(write_seconds, "write_seconds", METRIC_HISTOGRAM, "seconds", "leveldb_write",
           "Time of writing one batch, waits for room included."),
};

const struct metric_table leveldb_metric_table = {
    .family = "leveldb",
    .rows = metric_rows,
    .count = sizeof metric_rows / sizeof *metric_rows,
};

/* --- errors --- */

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Turns LevelDB's text (freed here) into a status. Our environment puts "[errno N]" at the end of
 * the texts that it makes, since LevelDB hands on nothing else. */
static enum status error_from_leveldb(const struct leveldb_engine *engine, char *text,
                                      struct error *error)
{
    if (!text) return STATUS_OK;
    enum status code = STATUS_IO_ERROR;
    const char *path;
    uint64_t offset;
    char *number = strstr(text, " [errno ");
    if (number) *number = '\0';
    if (begins_with(text, "Corruption: ")) { /* also when what CURRENT names is not there */
        code = STATUS_CORRUPT;
    } else if (number) {
        code = status_from_errno(atoi(number + 8));
    } else if (begins_with(text, "IO error: lock ")) {
        code = STATUS_BUSY;
    } else if (begins_with(text, "Invalid argument: ")) {
        code = STATUS_INVALID;
    }
    const char *folder = engine->folder;
    if (code == STATUS_BUSY) {
        error_set(error, code, "%s: the store is already open in another process", folder);
    } else if (code == STATUS_CORRUPT && leveldb_files_last_read(&path, &offset)) {
        /* One step reads several tables: the damaged one need not be the last of them. */
        error_set(error, code, "%s: %s (last read: %s, offset %llu); kelvin-check names all that is "
                  "damaged", folder, text, path, (unsigned long long)offset);
    } else if (code == STATUS_CORRUPT) {
        error_set(error, code, "%s: %s; kelvin-check names all that is damaged", folder, text);
    } else if (strstr(text, folder)) {
        error_set(error, code, "%s", text);
    } else {
        error_set(error, code, "%s: %s", folder, text);
    }
    leveldb_free(text);
    return code;
}

/* --- reading --- */

static leveldb_readoptions_t *read_options_create(const struct leveldb_engine *engine,
                                                  struct engine_snapshot *snapshot,
                                                  bool keep_cached)
{
    leveldb_readoptions_t *options = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(options, 1);
    leveldb_readoptions_set_fill_cache(options, keep_cached && engine->has_block_cache);
    leveldb_readoptions_set_snapshot(options, (const leveldb_snapshot_t *)snapshot);
    return options;
}

static enum status engine_get(struct engine *base, struct engine_snapshot *snapshot,
                              struct slice key, struct buffer *out, struct error *error)
{
    struct leveldb_engine *engine = leveldb_engine_of(base);
    leveldb_readoptions_t *options =
        snapshot ? read_options_create(engine, snapshot, true) : engine->read_options;
    int64_t start_us = clock_monotonic_us();
    char *text = NULL;
    size_t size = 0;
    leveldb_files_forget_read();
    char *value = leveldb_get(engine->db, options, key.data, key.size, &size, &text);
    if (snapshot) leveldb_readoptions_destroy(options);
    histogram_record_us(&engine->metrics->get_seconds,
                        (uint64_t)(clock_monotonic_us() - start_us));
    if (text) return error_from_leveldb(engine, text, error);
    if (!value) return STATUS_NOT_FOUND;
    buffer_append(out, value, size);
    leveldb_free(value);
    return STATUS_OK;
}

static struct engine_snapshot *engine_snapshot(struct engine *engine)
{
    return (struct engine_snapshot *)leveldb_create_snapshot(leveldb_engine_of(engine)->db);
}

static void engine_snapshot_release(struct engine *engine, struct engine_snapshot *snapshot)
{
    leveldb_release_snapshot(leveldb_engine_of(engine)->db, (const leveldb_snapshot_t *)snapshot);
}

static struct engine_iterator *engine_iterate(struct engine *base,
                                              struct engine_snapshot *snapshot, bool keep_cached)
{
    struct engine_iterator *iterator = mem_alloc(sizeof *iterator);
    iterator->engine = leveldb_engine_of(base);
    iterator->read_options = read_options_create(iterator->engine, snapshot, keep_cached);
    iterator->iterator = leveldb_create_iterator(iterator->engine->db, iterator->read_options);
    return iterator;
}

static void engine_iterator_seek(struct engine_iterator *iterator, struct slice key)
{
    leveldb_files_forget_read();
    leveldb_iter_seek(iterator->iterator, key.data, key.size);
}

static void engine_iterator_next(struct engine_iterator *iterator)
{
    leveldb_files_forget_read();
    leveldb_iter_next(iterator->iterator);
}

static void engine_iterator_previous(struct engine_iterator *iterator)
{
    leveldb_files_forget_read();
    leveldb_iter_prev(iterator->iterator);
}

static bool engine_iterator_valid(const struct engine_iterator *iterator)
{
    return leveldb_iter_valid(iterator->iterator) != 0;
}

static struct slice engine_iterator_key(const struct engine_iterator *iterator)
{
    struct slice key;
    key.data = leveldb_iter_key(iterator->iterator, &key.size);
    return key;
}

static struct slice engine_iterator_value(const struct engine_iterator *iterator)
{
    struct slice value;
    value.data = leveldb_iter_value(iterator->iterator, &value.size);
    return value;
}

static enum status engine_iterator_status(const struct engine_iterator *iterator,
                                          struct error *error)
{
    char *text = NULL;
    leveldb_iter_get_error(iterator->iterator, &text);
    return error_from_leveldb(iterator->engine, text, error);
}

static void engine_iterator_destroy(struct engine_iterator *iterator)
{
    leveldb_iter_destroy(iterator->iterator);
    leveldb_readoptions_destroy(iterator->read_options);
    mem_free(iterator);
}

/* --- writing --- */

static enum status engine_write(struct engine *base, const struct engine_batch *batch,
                                struct error *error)
{
    struct leveldb_engine *engine = leveldb_engine_of(base);
    leveldb_writebatch_t *writes = leveldb_writebatch_create();
    size_t position = 0;
    bool is_delete;
    struct slice key, value;
    while (engine_batch_next(batch, &position, &is_delete, &key, &value)) {
        if (is_delete) leveldb_writebatch_delete(writes, key.data, key.size);
        else leveldb_writebatch_put(writes, key.data, key.size, value.data, value.size);
    }
    int64_t start_us = clock_monotonic_us();
    char *text = NULL;
    leveldb_files_forget_read();
    leveldb_write(engine->db, engine->write_options, writes, &text);
    histogram_record_us(&engine->metrics->write_seconds,
                        (uint64_t)(clock_monotonic_us() - start_us));
    leveldb_writebatch_destroy(writes);
    return error_from_leveldb(engine, text, error);
}

/* Nobody else writes (the caller sees to it), so the one switch that may happen here is ours. The
 * memtable is durable when LevelDB removes its log (leveldb_files.c says why). That never comes
 * after a background error, which LevelDB tells only to who writes: an empty batch, that is.
 * (compact_range over a range without files does the same, but then waits for the compaction that
 * runs at the moment to end, for many seconds under load.) */
static enum status engine_flush(struct engine *base, struct error *error)
{
    struct leveldb_engine *engine = leveldb_engine_of(base);
    static const struct engine_batch nothing;
    leveldb_files_forget_read();
    uint64_t before = leveldb_files_switches(engine->files);
    char *text = leveldb_env_switch_memtable(engine->db);
    if (text) return error_from_leveldb(engine, text, error);
    uint64_t after = leveldb_files_switches(engine->files);
    if (after == before) {
        return error_set(error, STATUS_IO_ERROR, "%s: LevelDB did not switch its memtable",
                         engine->folder);
    }
    while (!leveldb_files_wait_durable(engine->files, after, FLUSH_ASK_US)) {
        enum status status = engine_write(base, &nothing, error);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

static uint64_t engine_durable_generation(struct engine *engine)
{
    return leveldb_files_durable(leveldb_engine_of(engine)->files);
}

static uint64_t engine_write_generation(struct engine *engine)
{
    return leveldb_files_switches(leveldb_engine_of(engine)->files);
}

static void engine_compact(struct engine *engine, struct slice from, struct slice to)
{
    leveldb_compact_range(leveldb_engine_of(engine)->db, from.data, from.size, to.data, to.size);
}

static void engine_cancel(struct engine *engine)
{
    leveldb_files_cancel(leveldb_engine_of(engine)->files);
}

static char *engine_property(struct engine *engine, const char *name)
{
    char *value = leveldb_property_value(leveldb_engine_of(engine)->db, name);
    if (!value) return NULL;
    char *copy = mem_dup(value, strlen(value) + 1);
    leveldb_free(value);
    return copy;
}

static uint64_t engine_approximate_bytes(struct engine *engine, struct slice from,
                                         struct slice to)
{
    uint64_t bytes = 0;
    leveldb_approximate_sizes(leveldb_engine_of(engine)->db, 1, &from.data, &from.size, &to.data,
                              &to.size, &bytes);
    return bytes;
}

/* One compaction: what it writes is there beside what it reads until it has ended. It reads up to 25
 * tables (LevelDB's limit when it adds to the one that it has chosen), or at level 0 up to 12 memtables
 * and all of level 1, which holds 10 MB and may be past that for a time; never more than there is. */
static uint64_t engine_work(struct engine *base, uint64_t bytes)
{
    struct leveldb_engine *engine = leveldb_engine_of(base);
    static const char last[] = "\xff\xff\xff\xff\xff\xff\xff\xff";
    /* From before the first key to behind the last one: no table is opened for that. */
    uint64_t there = engine_approximate_bytes(base, slice_make("", 0), slice_from_text(last));
    uint64_t all = there + bytes + 2 * engine->write_buffer_bytes;
    uint64_t most = COMPACTION_TABLES * engine->table_bytes;
    uint64_t level_0 = LEVEL_0_TABLES * engine->write_buffer_bytes + 3 * LEVEL_1_BYTES;
    if (most < level_0) most = level_0;
    return (all < most ? all : most) + leveldb_files_kept_free(engine->folder);
}

/* --- open and close --- */

/* Also what unwinds a failed open: everything is NULL that was not made. */
static void engine_close(struct engine *base)
{
    struct leveldb_engine *engine = leveldb_engine_of(base);
    if (engine->files) leveldb_files_hold(engine->files, 0);
    if (engine->db) leveldb_close(engine->db);
    if (engine->read_options) leveldb_readoptions_destroy(engine->read_options);
    if (engine->write_options) leveldb_writeoptions_destroy(engine->write_options);
    if (engine->options) leveldb_options_destroy(engine->options);
    if (engine->bloom) leveldb_filterpolicy_destroy(engine->bloom);
    if (engine->block_cache) leveldb_cache_destroy(engine->block_cache);
    if (engine->env) leveldb_env_unwrap(engine->env);
    if (engine->files) leveldb_files_destroy(engine->files);
    mem_free(engine->folder);
    mem_free(engine);
}

static const struct engine_operations leveldb_operations = {
    .get = engine_get,
    .write = engine_write,
    .snapshot = engine_snapshot,
    .snapshot_release = engine_snapshot_release,
    .iterate = engine_iterate,
    .iterator_seek = engine_iterator_seek,
    .iterator_next = engine_iterator_next,
    .iterator_previous = engine_iterator_previous,
    .iterator_valid = engine_iterator_valid,
    .iterator_key = engine_iterator_key,
    .iterator_value = engine_iterator_value,
    .iterator_status = engine_iterator_status,
    .iterator_destroy = engine_iterator_destroy,
    .flush = engine_flush,
    .durable_generation = engine_durable_generation,
    .write_generation = engine_write_generation,
    .compact = engine_compact,
    .cancel = engine_cancel,
    .property = engine_property,
    .approximate_bytes = engine_approximate_bytes,
    .close = engine_close,
    .work_bytes = engine_work,
};

static enum status check_version(struct error *error)
{
    int major = leveldb_major_version(), minor = leveldb_minor_version();
    if (major == LEVELDB_MAJOR && minor == LEVELDB_MINOR) return STATUS_OK;
    return error_set(error, STATUS_UNSUPPORTED,
                     "the LevelDB library is version %d.%d, but this server relies on the inner "
                     "layout of version %d.%d",
                     major, minor, LEVELDB_MAJOR, LEVELDB_MINOR);
}

static enum status sync_parent(const char *folder, struct error *error)
{
    struct buffer path = {0};
    buffer_append_format(&path, "%s/..", folder);
    buffer_append(&path, "", 1);
    int fd = open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum status status = STATUS_OK;
    if (fd < 0 || fsync(fd) != 0) status = error_set_errno(error, errno, "syncing %s", path.data);
    if (fd >= 0) close(fd);
    buffer_free(&path);
    return status;
}

/* LevelDB would create the folder of a store that shall not be created, and syncs no parent. */
static enum status prepare_folder(const char *folder, bool create, struct error *error)
{
    if (create) {
        if (mkdir(folder, 0755) == 0) return sync_parent(folder, error);
        if (errno != EEXIST) return error_set_errno(error, errno, "creating %s", folder);
        return STATUS_OK;
    }
    struct buffer current = {0};
    buffer_append_format(&current, "%s/CURRENT", folder);
    buffer_append(&current, "", 1);
    enum status status = STATUS_OK;
    if (access(current.data, F_OK) != 0) {
        status = errno == ENOENT || errno == ENOTDIR
                     ? error_set(error, STATUS_NOT_FOUND, "%s: holds no store", folder)
                     : error_set_errno(error, errno, "%s", current.data);
    }
    buffer_free(&current);
    return status;
}

/* A log with something in it was not left by us, and we would pass over it in silence. */
static enum status check_foreign_logs(const char *folder, struct error *error)
{
    DIR *directory = opendir(folder);
    if (!directory) return error_set_errno(error, errno, "%s", folder);
    enum status status = STATUS_OK;
    const struct dirent *entry;
    while (status == STATUS_OK && (entry = readdir(directory))) {
        const char *dot = strrchr(entry->d_name, '.');
        struct stat info;
        if (!dot || strcmp(dot, ".log") != 0) continue;
        if (fstatat(dirfd(directory), entry->d_name, &info, 0) != 0 || info.st_size == 0) continue;
        status = error_set(error, STATUS_UNSUPPORTED,
                           "%s/%s: another program has written to this store, and this log holds "
                           "writes that are not in its tables", folder, entry->d_name);
    }
    closedir(directory);
    return status;
}

static void set_options(struct leveldb_engine *engine, bool create,
                        const struct leveldb_options *options)
{
    leveldb_options_t *o = engine->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(o, create);
    leveldb_options_set_paranoid_checks(o, options->paranoid_checks);
    leveldb_options_set_env(o, engine->env);
    leveldb_options_set_write_buffer_size(o, (size_t)options->write_buffer_bytes);
    leveldb_options_set_max_open_files(o, (int)options->max_open_files);
    leveldb_options_set_block_size(o, (size_t)options->block_bytes);
    leveldb_options_set_max_file_size(o, (size_t)options->table_bytes);
    /* LevelDB's own limits. */
    engine->table_bytes = (uint64_t)(options->table_bytes > 1 << 20 ? options->table_bytes : 1 << 20);
    engine->write_buffer_bytes = (uint64_t)options->write_buffer_bytes;
    leveldb_options_set_compression(o, options->compression ? leveldb_snappy_compression
                                                            : leveldb_no_compression);
    /* Without a cache of ours LevelDB makes one of 8 MB; one of size 0 keeps nothing. */
    engine->has_block_cache = options->block_cache_bytes > 0;
    engine->block_cache = leveldb_cache_create_lru((size_t)options->block_cache_bytes);
    leveldb_options_set_cache(o, engine->block_cache);
    if (options->bloom_bits > 0) {
        engine->bloom = leveldb_filterpolicy_create_bloom((int)options->bloom_bits);
        leveldb_options_set_filter_policy(o, engine->bloom);
    }
    engine->read_options = read_options_create(engine, NULL, true);
    engine->write_options = leveldb_writeoptions_create();
}

/* Until level 0 has so many tables that writes would soon wait for a compaction. */
static void hold_compactions(struct leveldb_engine *engine)
{
    char *text = engine_property(&engine->base, "leveldb.num-files-at-level0");
    uint64_t tables = text ? strtoull(text, NULL, 10) : HELD_LEVEL_0_TABLES;
    mem_free(text);
    leveldb_files_hold(engine->files,
                       tables < HELD_LEVEL_0_TABLES ? HELD_LEVEL_0_TABLES - tables : 0);
}

enum status engine_open_leveldb(struct engine **out, const char *folder, bool create,
                                const struct leveldb_options *options,
                                struct leveldb_metrics *metrics, struct error *error)
{
    enum status status = check_version(error);
    if (status == STATUS_OK) status = prepare_folder(folder, create, error);
    if (status == STATUS_OK) status = check_foreign_logs(folder, error);
    if (status != STATUS_OK) return status;

    struct leveldb_engine *engine = mem_calloc(1, sizeof *engine);
    engine->base.operations = &leveldb_operations;
    atomic_init(&engine->base.references, 1);
    engine->folder = mem_dup(folder, strlen(folder) + 1);
    engine->metrics = metrics;
    int error_number = leveldb_files_create(&engine->files, metrics, options->is_urgent);
    if (error_number) {
        status = error_set_errno(error, error_number, "starting the compaction thread");
        goto close_engine;
    }
    engine->env = leveldb_env_wrap(engine->files);
    set_options(engine, create, options);
    char *text = NULL;
    leveldb_files_forget_read();
    engine->db = leveldb_open(engine->options, folder, &text);
    status = error_from_leveldb(engine, text, error);
    if (status != STATUS_OK) goto close_engine;
    if (!leveldb_files_is_used(engine->files)) {
        status = error_set(error, STATUS_UNSUPPORTED,
                           "the LevelDB library does not use our environment");
        goto close_engine;
    }
    if (options->is_urgent) hold_compactions(engine);
    *out = &engine->base;
    return STATUS_OK;

close_engine:
    engine_close(&engine->base);
    return status;
}

const char *engine_leveldb_version(void)
{
    static char text[24];
    snprintf(text, sizeof text, "%d.%d", leveldb_major_version(), leveldb_minor_version());
    return text;
}

struct leveldb_files *engine_leveldb_files(struct engine *engine)
{
    ASSERT(engine->operations == &leveldb_operations);
    return leveldb_engine_of(engine)->files;
}
