/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The pieces of a sweep are cut by walking over the records: LevelDB has no other way to ask where so
 * many bytes end. On the batch writer's thread. */
#include "storage/sweep.h"

#include "base/clock.h"

enum {
    PIECE_BYTES = 32 << 20,
    REST_LENGTHS = 4, /* between two passes */
    REST_MIN_US = 1000 * 1000
};

void sweep_free(struct sweep *sweep)
{
    buffer_free(&sweep->cursor);
}

void sweep_forget(struct sweep *sweep)
{
    buffer_clear(&sweep->cursor);
    sweep->running = false;
    sweep->sequence = 0;
}

bool sweep_is_due(const struct sweep *sweep, uint64_t sequence, int64_t now_us, bool *later)
{
    *later = false;
    if (sweep->running) return true;
    if (sequence <= sweep->sequence) return false;
    *later = now_us < sweep->again_us;
    return !*later;
}

/* The end of the piece that begins at the cursor; empty: there is no further record. */
static enum status find_end(const struct sweep *sweep, struct engine *engine, struct buffer *end,
                            struct error *error)
{
    const struct engine_operations *operations = engine->operations;
    struct engine_iterator *iterator = operations->iterate(engine, NULL, false);
    uint64_t bytes = 0;
    operations->iterator_seek(iterator, buffer_slice(&sweep->cursor));
    while (operations->iterator_valid(iterator) && bytes < PIECE_BYTES) {
        bytes += operations->iterator_key(iterator).size + operations->iterator_value(iterator).size;
        operations->iterator_next(iterator);
    }
    if (operations->iterator_valid(iterator))
        buffer_append_slice(end, operations->iterator_key(iterator));
    enum status status = operations->iterator_status(iterator, error);
    operations->iterator_destroy(iterator);
    return status;
}

enum status sweep_step(struct sweep *sweep, struct engine *engine, uint64_t sequence,
                       struct error *error)
{
    static const struct engine_batch nothing;
    static const char behind_all[] = "\xff";
    struct buffer end = {0};
    int64_t now_us = clock_monotonic_us();
    if (!sweep->running) {
        sweep->running = true;
        sweep->sequence = sequence;
        sweep->began_us = now_us;
    }
    enum status status = find_end(sweep, engine, &end, error);
    if (status == STATUS_OK) {
        engine->operations->compact(engine, buffer_slice(&sweep->cursor),
                                    end.size > 0 ? buffer_slice(&end) : slice_from_text(behind_all));
        /* Who writes is told what has failed. */
        status = engine->operations->write(engine, &nothing, error);
    }
    buffer_clear(&sweep->cursor);
    buffer_append_slice(&sweep->cursor, buffer_slice(&end));
    if (end.size == 0) {
        int64_t ended_us = clock_monotonic_us();
        int64_t rest_us = REST_LENGTHS * (ended_us - sweep->began_us);
        sweep->running = false;
        sweep->again_us = ended_us + (rest_us < REST_MIN_US ? REST_MIN_US : rest_us);
    }
    buffer_free(&end);
    return status;
}
