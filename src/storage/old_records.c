/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Walking or getting: each lookup earns the walk some steps, each record that it passes over costs
 * one, and a walk that runs out of them is given up for the rest of the batch. (The figures are in
 * src/README.md.) */
#include "storage/old_records.h"

enum { FIRST_CREDIT = 64, EARNED_STEPS = 6, MOST_CREDIT = 256 };

/* A walk ends where it is moved elsewhere, too. */
static enum status seek(struct old_records *records, struct slice name, struct error *error)
{
    const struct engine_operations *operations = records->engine->operations;
    enum status status = STATUS_OK;
    if (records->iterator) {
        status = operations->iterator_status(records->iterator, error);
    } else {
        records->iterator = operations->iterate(records->engine, NULL, false);
        records->credit = FIRST_CREDIT;
    }
    if (status == STATUS_OK) operations->iterator_seek(records->iterator, name);
    return status;
}

/* Puts the iterator at `name` or at the first record behind it. STATUS_BUSY: the way is too long. */
static enum status walk_to(struct old_records *records, struct slice name, struct error *error)
{
    const struct engine_operations *operations = records->engine->operations;
    if (!records->iterator || slice_compare(name, buffer_slice(&records->last)) < 0)
        return seek(records, name, error);
    records->credit += EARNED_STEPS;
    if (records->credit > MOST_CREDIT) records->credit = MOST_CREDIT;
    while (operations->iterator_valid(records->iterator) &&
           slice_compare(operations->iterator_key(records->iterator), name) < 0) {
        if (records->credit-- <= 0) return STATUS_BUSY;
        operations->iterator_next(records->iterator);
    }
    return STATUS_OK;
}

static enum status take(const struct old_records *records, struct slice name, struct slice *value)
{
    const struct engine_operations *operations = records->engine->operations;
    if (!operations->iterator_valid(records->iterator) ||
        !slice_equal(operations->iterator_key(records->iterator), name))
        return STATUS_NOT_FOUND;
    *value = operations->iterator_value(records->iterator);
    return STATUS_OK;
}

static enum status end_walk(struct old_records *records, struct error *error)
{
    const struct engine_operations *operations = records->engine->operations;
    if (!records->iterator) return STATUS_OK;
    enum status status = operations->iterator_status(records->iterator, error);
    operations->iterator_destroy(records->iterator);
    records->iterator = NULL;
    return status;
}

static enum status get(struct old_records *records, struct slice name, struct slice *value,
                       struct error *error)
{
    struct engine *engine = records->engine;
    buffer_clear(&records->value);
    enum status status = engine->operations->get(engine, NULL, name, &records->value, error);
    if (status == STATUS_OK) *value = buffer_slice(&records->value);
    return status;
}

enum status old_records_find(struct old_records *records, struct slice name, struct slice *value,
                             struct error *error)
{
    if (records->is_sparse) return get(records, name, value, error);
    enum status status = walk_to(records, name, error);
    if (status == STATUS_BUSY) {
        status = end_walk(records, error);
        records->is_sparse = true;
        return status == STATUS_OK ? get(records, name, value, error) : status;
    }
    buffer_clear(&records->last);
    buffer_append_slice(&records->last, name);
    return status == STATUS_OK ? take(records, name, value) : status;
}

enum status old_records_end(struct old_records *records, struct error *error)
{
    enum status status = end_walk(records, error);
    buffer_free(&records->last);
    buffer_free(&records->value);
    return status;
}
