/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The count rows. A small table searched from its end: databases that are counted now are few, and
 * the newest are asked for most. */
#include "storage/counts.h"

#include "base/memory.h"
#include "storage/record.h"

enum { ROW_BYTES = 16 };

static size_t place_of(const struct counts *counts, uint64_t db_id)
{
    size_t place = counts->count;
    while (place > 0 && counts->databases[place - 1].db_id != db_id) place--;
    return place; /* plus one; 0: not there */
}

struct count_database *counts_of(struct counts *counts, uint64_t db_id)
{
    size_t place = place_of(counts, db_id);
    if (place) return &counts->databases[place - 1];
    if (counts->count == counts->capacity) {
        counts->capacity = counts->capacity ? counts->capacity * 2 : 16;
        counts->databases =
            mem_realloc(counts->databases, counts->capacity * sizeof *counts->databases);
    }
    counts->databases[counts->count] = (struct count_database){.db_id = db_id};
    return &counts->databases[counts->count++];
}

struct count_pair counts_sum(const struct count_database *database)
{
    struct count_pair sum = {0};
    for (unsigned slot = 0; slot < COUNT_SLOTS; slot++) {
        sum.keys += database->slots[slot].keys;
        sum.expiring += database->slots[slot].expiring;
    }
    return sum;
}

void counts_report_all(struct counts *counts)
{
    for (size_t i = 0; i < counts->count; i++)
        counts->databases[i].reported = counts_sum(&counts->databases[i]);
}

void counts_forget(struct counts *counts, uint64_t db_id)
{
    size_t place = place_of(counts, db_id);
    if (place) counts->databases[place - 1] = counts->databases[--counts->count];
}

void counts_forget_all(struct counts *counts)
{
    counts->count = 0;
}

void counts_free(struct counts *counts)
{
    mem_free(counts->databases);
    *counts = (struct counts){0};
}

static enum status take_row(struct counts *counts, uint64_t db_id, unsigned slot,
                            struct slice value, struct error *error)
{
    if (slot >= COUNT_SLOTS || value.size != ROW_BYTES) {
        return error_set(error, STATUS_CORRUPT, "the store's count of database %llu is damaged",
                         (unsigned long long)db_id);
    }
    struct count_pair *pair = &counts_of(counts, db_id)->slots[slot];
    pair->keys = (int64_t)get_le64(value.data);
    pair->expiring = (int64_t)get_le64(value.data + 8);
    return STATUS_OK;
}

enum status counts_load(struct counts *counts, struct engine *engine, struct error *error)
{
    const struct engine_operations *operations = engine->operations;
    struct engine_iterator *iterator = operations->iterate(engine, NULL, true);
    struct buffer from = {0};
    enum status status = STATUS_OK;
    uint64_t db_id;
    uint16_t slot;

    for (size_t i = 0; i < counts->count; i++)
        memset(counts->databases[i].slots, 0, sizeof counts->databases[i].slots);
    record_count_name(&from, 0, 0);
    operations->iterator_seek(iterator, buffer_slice(&from));
    while (status == STATUS_OK && operations->iterator_valid(iterator) &&
           record_parse_count_name(operations->iterator_key(iterator), &db_id, &slot)) {
        status = take_row(counts, db_id, slot, operations->iterator_value(iterator), error);
        operations->iterator_next(iterator);
    }
    if (status == STATUS_OK) status = operations->iterator_status(iterator, error);
    operations->iterator_destroy(iterator);
    buffer_free(&from);
    return status;
}

void counts_put_row(struct engine_batch *batch, struct buffer *name, uint64_t db_id, unsigned slot,
                    struct count_pair value)
{
    char row[ROW_BYTES];
    put_le64(row, (uint64_t)value.keys);
    put_le64(row + 8, (uint64_t)value.expiring);
    buffer_clear(name);
    record_count_name(name, db_id, (uint16_t)slot);
    engine_batch_put(batch, buffer_slice(name), slice_make(row, sizeof row));
}

void counts_delete_rows(struct engine_batch *batch, uint64_t db_id)
{
    struct buffer name = {0};
    for (unsigned slot = 0; slot < COUNT_SLOTS; slot++) {
        buffer_clear(&name);
        record_count_name(&name, db_id, (uint16_t)slot);
        engine_batch_delete(batch, buffer_slice(&name));
    }
    buffer_free(&name);
}
