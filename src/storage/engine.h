/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The engine: an ordered store of byte strings, behind one small table of functions. LevelDB stands
 * behind it (engine_leveldb.c, the only file that includes leveldb/c.h); tests put a faulty one
 * there. Nothing above assumes that a call is local or quick: every call may block for long, so
 * only job workers (and start-up) make them.
 *
 * An engine is shared by reference count: a job holds one while it works, so that a handle that
 * was replaced (reopened, FLUSHALL) is closed when the last job on it ends. */
#ifndef KELVIN_STORAGE_ENGINE_H
#define KELVIN_STORAGE_ENGINE_H

#include "base/bytes.h"
#include "base/metric.h"
#include "base/option.h"
#include "base/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct engine;
struct engine_snapshot;
struct engine_iterator;

/* A batch of puts and deletes, in order, in one buffer: (tag, key length, key[, value length,
 * value])*. Building one needs no engine. */
struct engine_batch {
    struct buffer bytes;
    uint32_t count;
};
void engine_batch_put(struct engine_batch *batch, struct slice key, struct slice value);
void engine_batch_delete(struct engine_batch *batch, struct slice key);
void engine_batch_clear(struct engine_batch *batch);
void engine_batch_free(struct engine_batch *batch);
/* Walks the batch; false at its end. `*position` starts at 0. */
bool engine_batch_next(const struct engine_batch *batch, size_t *position, bool *is_delete,
                       struct slice *key, struct slice *value);

struct engine_operations {
    /* Appends the value to `out`. STATUS_NOT_FOUND leaves it alone. `snapshot` may be NULL. */
    enum status (*get)(struct engine *engine, struct engine_snapshot *snapshot, struct slice key,
                       struct buffer *out, struct error *error);
    /* Atomic; not durable until flushed. */
    enum status (*write)(struct engine *engine, const struct engine_batch *batch,
                         struct error *error);
    struct engine_snapshot *(*snapshot)(struct engine *engine);
    void (*snapshot_release)(struct engine *engine, struct engine_snapshot *snapshot);
    /* Invalid until seeked. `keep_cached` false: a long scan, not to fill the block cache. */
    struct engine_iterator *(*iterate)(struct engine *engine, struct engine_snapshot *snapshot,
                                       bool keep_cached);
    void (*iterator_seek)(struct engine_iterator *iterator, struct slice key); /* first >= key */
    void (*iterator_next)(struct engine_iterator *iterator);
    void (*iterator_previous)(struct engine_iterator *iterator);
    bool (*iterator_valid)(const struct engine_iterator *iterator);
    /* Valid until the iterator moves. */
    struct slice (*iterator_key)(const struct engine_iterator *iterator);
    struct slice (*iterator_value)(const struct engine_iterator *iterator);
    /* Ask whenever a walk ends, wherever it ends: LevelDB passes over what it cannot read and tells
     * it here alone. */
    enum status (*iterator_status)(const struct engine_iterator *iterator, struct error *error);
    void (*iterator_destroy)(struct engine_iterator *iterator);
    /* Everything written so far is made durable: the memtable becomes a table that the manifest
     * names. No write may be in flight (rule 12). On failure nothing is known to be durable. */
    enum status (*flush)(struct engine *engine, struct error *error);
    /* How many memtables were switched and made durable since open: what was written before the
     * write that reported generation g is durable once this returns > g (rule 12). */
    uint64_t (*durable_generation)(struct engine *engine);
    uint64_t (*write_generation)(struct engine *engine);
    /* Drops deleted records of [from, to) from the files. No write may be in flight (rule 15). */
    void (*compact)(struct engine *engine, struct slice from, struct slice to);
    /* Any thread. For a stop that cannot wait: from now on nothing is written and no file is read, calls that
     * would do so fail, those that wait end soon, and so does what runs in the background. What is durable
     * stays so. NULL: calls do not take long. */
    void (*cancel)(struct engine *engine);
    /* A text figure ("leveldb.stats", ...); NULL when unknown; free with mem_free. */
    char *(*property)(struct engine *engine, const char *name);
    uint64_t (*approximate_bytes)(struct engine *engine, struct slice from, struct slice to);
    void (*close)(struct engine *engine); /* the last reference is gone; frees the engine */
    /* Free space on the disk that the engine's own work may need for a time when `bytes` more have
     * been written, beside these. NULL: none. */
    uint64_t (*work_bytes)(struct engine *engine, uint64_t bytes);
};

struct engine {
    const struct engine_operations *operations;
    _Atomic uint32_t references;
};

static inline struct engine *engine_ref(struct engine *engine)
{
    atomic_fetch_add_explicit(&engine->references, 1, memory_order_relaxed);
    return engine;
}
static inline uint64_t engine_work_bytes(struct engine *engine, uint64_t bytes)
{
    return engine->operations->work_bytes ? engine->operations->work_bytes(engine, bytes) : 0;
}
/* Closes it when this was the last one. May block: workers and start-up only. */
void engine_unref(struct engine *engine);

/* --- the LevelDB engine --- */
struct leveldb_options {
    int64_t write_buffer_bytes; /* default 4 MiB: fits the CPU's cache */
    int64_t block_cache_bytes;  /* default 32 MiB; 0: none. The server scales it with maxmemory */
    int64_t block_bytes;        /* 4096 */
    int64_t table_bytes;        /* 32 MiB */
    int64_t bloom_bits;         /* 10; 0: none */
    int64_t max_open_files;     /* 1000 */
    bool compression;           /* snappy */
    bool paranoid_checks;       /* yes */
    bool is_urgent;             /* no option: to apply much while nobody is served. Compactions are put off
                                   as long as writes do not wait for them */
};
extern const struct option_table leveldb_option_table;

/* Figures per kind of file, filled by our Env (any thread, shared). */
enum leveldb_file_kind { LEVELDB_TABLE, LEVELDB_MANIFEST, LEVELDB_OTHER, LEVELDB_FILE_KINDS };
struct leveldb_metrics {
    struct counter read_bytes[LEVELDB_FILE_KINDS], reads[LEVELDB_FILE_KINDS];
    struct counter written_bytes[LEVELDB_FILE_KINDS], writes[LEVELDB_FILE_KINDS];
    struct counter syncs[LEVELDB_FILE_KINDS], sync_us[LEVELDB_FILE_KINDS];
    struct counter log_bytes_dropped, files_created, files_deleted;
    struct histogram get_seconds, write_seconds;
};
extern const struct metric_table leveldb_metric_table;

/* Opens or creates `folder`. STATUS_BUSY: another process has it. STATUS_CORRUPT names the file.
 * STATUS_NO_SPACE, STATUS_IO_ERROR. STATUS_NOT_FOUND: not `create`, and no store there.
 * STATUS_UNSUPPORTED: the LevelDB library is not the version whose inner layout our Env knows, or
 * another program's log lies in the folder. */
enum status engine_open_leveldb(struct engine **out, const char *folder, bool create,
                                const struct leveldb_options *options,
                                struct leveldb_metrics *metrics, struct error *error);
const char *engine_leveldb_version(void); /* "1.23" */

#endif
