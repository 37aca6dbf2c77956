/* SPDX-License-Identifier: BSD-3-Clause
 *
 * PFADD, PFCOUNT, PFMERGE: HyperLogLogs in string values. Loop thread. */
#include "commands/hyperloglog.h"
#include "commands/options.h"
#include "commands/string_commands.h"

static void reply_damaged(struct command_run *run)
{
    reply_error(run->reply, "INVALIDOBJ Corrupted HLL object detected");
}

/* The bytes of the HyperLogLog at `key`. False: return from the handler. */
static bool get_bytes(struct command_run *run, struct slice key, bool *exists,
                      struct key_view *view, struct slice *bytes)
{
    if (!run_get_string(run, key, exists, view)) return false;
    if (!*exists) return true;
    if (!run_found(run, string_read(&run->access, view, 0, string_view_bytes(view), bytes)))
        return false;
    if (hyperloglog_is_valid(*bytes)) return true;
    reply_error(run->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
    return false;
}

/* The HyperLogLog at `key` in memory of its own, an empty one where there is none. So many registers
 * may be raised in it. */
static bool get_copy(struct command_run *run, struct slice key, size_t raises, bool *exists,
                     struct key_view *view, struct hyperloglog *hll)
{
    struct slice bytes = {"", 0};
    if (!get_bytes(run, key, exists, view, &bytes)) return false;
    hll->sparse_max_bytes = (size_t)server.options->hll_sparse_max_bytes;
    hll->capacity = hyperloglog_capacity(bytes.size, hll->sparse_max_bytes, raises);
    hll->bytes = (unsigned char *)string_memory(run, hll->capacity);
    if (!hll->bytes) return false;
    hll->size = bytes.size;
    if (*exists) {
        memcpy(hll->bytes, bytes.data, bytes.size);
        hll->bytes[bytes.size] = 0;
    } else {
        hyperloglog_init(hll);
    }
    return true;
}

static void put(struct command_run *run, struct slice key, bool exists,
                const struct key_view *view, const struct hyperloglog *hll)
{
    keyspace_set_string(&run->access, run_database(run), key, slice_make(hll->bytes, hll->size),
                        STRING_RAW, exists ? view->expire_at_ms : -1);
}

/* PFADD key [element ...] */
void hyperloglog_pfadd(struct command_run *run)
{
    struct key_view view;
    struct hyperloglog hll;
    bool exists;
    if (!get_copy(run, run->argv[1], (size_t)run->argc - 2, &exists, &view, &hll)) return;
    bool changed = !exists;
    for (int i = 2; i < run->argc; i++) {
        enum hyperloglog_change change = hyperloglog_add(&hll, run->argv[i]);
        if (change == HYPERLOGLOG_DAMAGED) {
            reply_damaged(run);
            return;
        }
        if (change == HYPERLOGLOG_CHANGED) changed = true;
    }
    if (changed) hyperloglog_drop_cached_count(&hll);
    if (changed || !string_is_raw(&view)) put(run, run->argv[1], exists, &view, &hll);
    reply_integer(run->reply, changed);
}

/* Counts the HyperLogLog at argv[1] and keeps the count in its header. */
static void count_one(struct command_run *run)
{
    struct key_view view;
    struct slice bytes;
    struct hyperloglog_registers registers = {{0}};
    uint64_t count = 0;
    bool exists;
    if (!get_bytes(run, run->argv[1], &exists, &view, &bytes)) return;
    if (exists && hyperloglog_cached_count(bytes, &count)) {
        if (!string_is_raw(&view) && !string_make_raw(run, run->argv[1], &view)) return;
    } else if (exists) {
        if (!hyperloglog_merge(&registers, bytes)) {
            reply_damaged(run);
            return;
        }
        count = hyperloglog_estimate(&registers);
        char *kept = string_memory(run, HYPERLOGLOG_COUNT_BYTES);
        if (!kept) return;
        put_le64(kept, count);
        if (!run_found(run, string_write(&run->access, run_database(run), run->argv[1], &view,
                                         HYPERLOGLOG_COUNT_OFFSET,
                                         slice_make(kept, HYPERLOGLOG_COUNT_BYTES), STRING_RAW)))
            return;
    }
    reply_integer(run->reply, (int64_t)count);
}

/* Joins the HyperLogLogs at argv[1..]. `*dense`: one of them is dense. */
static bool merge_all(struct command_run *run, struct hyperloglog_registers *registers,
                      bool *dense)
{
    *dense = false;
    for (int i = 1; i < run->argc; i++) {
        struct key_view view;
        struct slice bytes;
        bool exists;
        if (!get_bytes(run, run->argv[i], &exists, &view, &bytes)) return false;
        if (run->command->flags & COMMAND_WRITE) run_count_lookup(run, exists);
        if (!exists) continue;
        if (hyperloglog_is_dense(bytes)) *dense = true;
        if (!hyperloglog_merge(registers, bytes)) {
            reply_damaged(run);
            return false;
        }
    }
    return true;
}

/* PFCOUNT key [key ...] */
void hyperloglog_pfcount(struct command_run *run)
{
    struct hyperloglog_registers registers = {{0}};
    bool dense;
    if (run->argc == 2)
        count_one(run);
    else if (merge_all(run, &registers, &dense))
        reply_integer(run->reply, (int64_t)hyperloglog_estimate(&registers));
}

/* PFMERGE destkey [sourcekey ...] */
void hyperloglog_pfmerge(struct command_run *run)
{
    struct hyperloglog_registers registers = {{0}};
    struct hyperloglog hll;
    struct key_view view;
    bool dense, exists, damaged = false;
    if (!merge_all(run, &registers, &dense) ||
        !get_copy(run, run->argv[1], HYPERLOGLOG_REGISTERS, &exists, &view, &hll))
        return;
    if (dense) damaged = !hyperloglog_make_dense(&hll);
    for (unsigned i = 0; i < HYPERLOGLOG_REGISTERS && !damaged; i++)
        if (registers.values[i])
            damaged = hyperloglog_raise(&hll, i, registers.values[i]) == HYPERLOGLOG_DAMAGED;
    if (damaged) {
        reply_damaged(run);
        return;
    }
    hyperloglog_drop_cached_count(&hll);
    put(run, run->argv[1], exists, &view, &hll);
    reply_ok(run->reply);
}
