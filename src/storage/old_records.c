/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Iterator or get: an iterator reads each block of its way once, on every level, a get one block or
 * two, wherever the others are. So it depends on how many bytes of the tables there are for each key that is
 * looked for. (What each way costs: tests/bench/old_records_bench.c, figures in src/README.md.) */
#include "storage/old_records.h"

enum {
    NEAR_BYTES = 8192, /* of tables for each lookup: two blocks */
    STEPS = 5,         /* cost as much as a seek */
    TRY_STEPS_AGAIN = 16
};

void old_records_begin(struct old_records *records, struct engine *engine, struct slice first,
                       struct slice last, uint64_t lookups)
{
    *records = (struct old_records){.engine = engine};
    records->is_sparse = lookups == 0 || slice_compare(first, last) >= 0 ||
                         engine->operations->approximate_bytes(engine, first, last) / lookups >
                             NEAR_BYTES;
}

/* A walk ends where it is moved elsewhere, too. */
static enum status seek(struct old_records *records, struct slice name, struct error *error)
{
    const struct engine_operations *operations = records->engine->operations;
    enum status status = STATUS_OK;
    if (records->iterator) status = operations->iterator_status(records->iterator, error);
    else records->iterator = operations->iterate(records->engine, NULL, false);
    if (status == STATUS_OK) operations->iterator_seek(records->iterator, name);
    return status;
}

/* Steps to `name` or to the first record behind it; false when that is too far. */
static bool step_to(struct old_records *records, struct slice name)
{
    const struct engine_operations *operations = records->engine->operations;
    int steps = records->seeks < 2 || records->seeks % TRY_STEPS_AGAIN == 0 ? STEPS : 0;
    while (operations->iterator_valid(records->iterator) &&
           slice_compare(operations->iterator_key(records->iterator), name) < 0) {
        if (steps-- == 0) return false;
        operations->iterator_next(records->iterator);
    }
    return true;
}

static enum status go_to(struct old_records *records, struct slice name, struct error *error)
{
    bool is_ahead = records->iterator && slice_compare(name, buffer_slice(&records->last)) >= 0;
    buffer_clear(&records->last);
    buffer_append_slice(&records->last, name);
    if (is_ahead && step_to(records, name)) {
        records->seeks = 0;
        return STATUS_OK;
    }
    records->seeks++;
    return seek(records, name, error);
}

enum status old_records_find(struct old_records *records, struct slice name, struct slice *value,
                             struct error *error)
{
    const struct engine_operations *operations = records->engine->operations;
    if (records->is_sparse) {
        buffer_clear(&records->value);
        enum status status = operations->get(records->engine, NULL, name, &records->value, error);
        if (status == STATUS_OK) *value = buffer_slice(&records->value);
        return status;
    }
    enum status status = go_to(records, name, error);
    if (status != STATUS_OK) return status;
    if (!operations->iterator_valid(records->iterator) ||
        !slice_equal(operations->iterator_key(records->iterator), name))
        return STATUS_NOT_FOUND;
    *value = operations->iterator_value(records->iterator);
    return STATUS_OK;
}

enum status old_records_end(struct old_records *records, struct error *error)
{
    enum status status = STATUS_OK;
    if (records->iterator) {
        const struct engine_operations *operations = records->engine->operations;
        status = operations->iterator_status(records->iterator, error);
        operations->iterator_destroy(records->iterator);
    }
    buffer_free(&records->last);
    buffer_free(&records->value);
    return status;
}
