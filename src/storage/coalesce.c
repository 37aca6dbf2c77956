/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Building one LevelDB batch. On workers, several at once over one range; reads the range and the
 * engine, writes its own output. */
#include "storage/coalesce.h"

#include "base/check.h"
#include "base/memory.h"
#include "storage/old_records.h"
#include "storage/record.h"

/* --- one key --- */

struct key_state key_state_noted(const struct operation *operation)
{
    ASSERT(operation->old != OLD_UNKNOWN);
    if (operation->old == OLD_ABSENT) return (struct key_state){.expire_at_ms = -1};
    return (struct key_state){true, operation->old_expire_at_ms, operation->old_object_id};
}

void key_walk_begin(struct key_walk *walk, struct key_state initial)
{
    *walk = (struct key_walk){.initial = initial, .now = initial};
}

uint64_t key_walk_step(struct key_walk *walk, const struct operation *operation)
{
    bool is_put = operation->kind == OPERATION_PUT;
    struct key_state next = {.exists = is_put, .expire_at_ms = -1};
    if (is_put) {
        next.expire_at_ms = operation->expire_at_ms;
        next.object_id = operation->has_object ? operation->object.object_id : 0;
    }
    uint64_t replaced = walk->now.object_id;
    bool moved = !is_put && operation->moves_object;
    if (replaced == next.object_id || moved) replaced = 0;
    if (next.object_id != 0 && next.object_id == walk->initial.object_id)
        walk->initial_is_later = true;
    walk->now = next;
    if (walk->begun) return replaced;
    /* Only the first operation can meet the initial object as such. */
    walk->begun = true;
    walk->initial_replaced = replaced != 0;
    return 0;
}

uint64_t key_walk_end(const struct key_walk *walk)
{
    return walk->initial_replaced && !walk->initial_is_later ? walk->initial.object_id : 0;
}

/* --- a batch --- */

struct work {
    const struct coalesce_input *input;
    struct coalesce_output *output;
    struct old_records old;
    struct buffer name, value;
    struct error *error;
};

void coalesce_begin(const struct coalesce_input *input, struct coalesce_output *output)
{
    const struct range_list *list = &input->range->lists[input->part];
    engine_batch_clear(&output->batch);
    output->garbage_count = 0;
    output->lookups = output->records = 0;
    output->first_place = list->order[input->first].place;
    output->places = (size_t)list->order[input->end - 1].place - output->first_place + 1;
    if (output->places > output->count_capacity) {
        output->count_capacity = output->places;
        output->counts =
            mem_realloc(output->counts, output->count_capacity * sizeof *output->counts);
    }
    memset(output->counts, 0, output->places * sizeof *output->counts);
}

void coalesce_free(struct coalesce_output *output)
{
    engine_batch_free(&output->batch);
    mem_free(output->counts);
    mem_free(output->garbage);
    *output = (struct coalesce_output){0};
}

static void add_garbage(struct coalesce_output *output, uint64_t object_id)
{
    if (object_id == 0) return;
    if (output->garbage_count == output->garbage_capacity) {
        output->garbage_capacity = output->garbage_capacity ? output->garbage_capacity * 2 : 16;
        output->garbage =
            mem_realloc(output->garbage, output->garbage_capacity * sizeof *output->garbage);
    }
    output->garbage[output->garbage_count++] = object_id;
}

static enum status read_state(struct work *work, const struct operation *operation,
                              struct key_state *out)
{
    struct key_record record;
    struct slice value;
    buffer_clear(&work->name);
    record_key_name(&work->name, operation->db_id, operation->key);
    work->output->lookups++;
    enum status status =
        old_records_find(&work->old, buffer_slice(&work->name), &value, work->error);
    *out = (struct key_state){.expire_at_ms = -1};
    if (status == STATUS_NOT_FOUND) return STATUS_OK;
    if (status != STATUS_OK) return status;
    status = key_record_decode(value, &record);
    if (status != STATUS_OK) {
        return error_set(work->error, status, "a key record of database %llu cannot be read: %s",
                         (unsigned long long)operation->db_id, status_text(status));
    }
    *out = (struct key_state){true, record.expire_at_ms,
                              record.has_object ? record.object.object_id : 0};
    return STATUS_OK;
}

/* No time before 1970 has an index record; the key is expired all the same. */
static int64_t indexed_time(int64_t expire_at_ms)
{
    return expire_at_ms < 0 ? 0 : expire_at_ms;
}

static void put_key(struct work *work, const struct operation *operation)
{
    struct key_record record = {.type = operation->type,
                                .encoding = operation->encoding,
                                .has_object = operation->has_object,
                                .expire_at_ms = operation->expire_at_ms,
                                .value = operation->value,
                                .object = operation->object};
    if (record.expire_at_ms != -1) record.expire_at_ms = indexed_time(record.expire_at_ms);
    buffer_clear(&work->name);
    buffer_clear(&work->value);
    record_key_name(&work->name, operation->db_id, operation->key);
    key_record_encode(&work->value, &record);
    engine_batch_put(&work->output->batch, buffer_slice(&work->name),
                     buffer_slice(&work->value));
}

static void delete_key(struct work *work, const struct operation *operation)
{
    buffer_clear(&work->name);
    record_key_name(&work->name, operation->db_id, operation->key);
    engine_batch_delete(&work->output->batch, buffer_slice(&work->name));
}

static void update_expiry(struct work *work, const struct operation *operation,
                          const struct key_walk *walk)
{
    int64_t before = walk->initial.expire_at_ms, after = walk->now.expire_at_ms;
    if (before != -1) before = indexed_time(before);
    if (after != -1) after = indexed_time(after);
    if (before == after) return;
    if (before != -1) {
        buffer_clear(&work->name);
        record_expiry_name(&work->name, before, operation->db_id, operation->key);
        engine_batch_delete(&work->output->batch, buffer_slice(&work->name));
    }
    if (after != -1) {
        buffer_clear(&work->name);
        record_expiry_name(&work->name, after, operation->db_id, operation->key);
        engine_batch_put(&work->output->batch, buffer_slice(&work->name), slice_make("", 0));
    }
}

/* The garbage that this key added since `first`, but for the object that it has now. */
static void put_garbage(struct work *work, size_t first, uint64_t kept_object_id)
{
    struct coalesce_output *output = work->output;
    size_t left = first;
    for (size_t i = first; i < output->garbage_count; i++) {
        uint64_t object_id = output->garbage[i];
        if (object_id == kept_object_id) continue;
        output->garbage[left++] = object_id;
        buffer_clear(&work->name);
        record_garbage_name(&work->name, RECORD_GARBAGE_OBJECT, object_id);
        engine_batch_put(&output->batch, buffer_slice(&work->name), slice_make("", 0));
    }
    output->garbage_count = left;
    if (!work->input->again || kept_object_id == 0) return;
    buffer_clear(&work->name);
    record_garbage_name(&work->name, RECORD_GARBAGE_OBJECT, kept_object_id);
    engine_batch_delete(&output->batch, buffer_slice(&work->name));
}

/* How many old records will have to be read, roughly: the range says how many of its operations do not
 * know theirs. */
static uint64_t expected_lookups(const struct coalesce_input *input)
{
    const struct range *range = input->range;
    uint64_t positions = input->end - input->first, unknown = 0;
    if (input->again) return positions;
    for (size_t i = 0; i < range->database_count; i++) unknown += range->databases[i].unknown;
    return positions * unknown / range->lists[RANGE_KEYS].count;
}

static void begin_old_records(struct work *work)
{
    const struct coalesce_input *input = work->input;
    struct operation first, last;
    if (input->part != RANGE_KEYS) return;
    range_operation(input->range, RANGE_KEYS, input->first, &first);
    range_operation(input->range, RANGE_KEYS, input->end - 1, &last);
    buffer_clear(&work->name);
    buffer_clear(&work->value);
    record_key_name(&work->name, first.db_id, first.key);
    record_key_name(&work->value, last.db_id, last.key);
    old_records_begin(&work->old, input->engine, buffer_slice(&work->name),
                      buffer_slice(&work->value), expected_lookups(input));
}

static enum status add_key_group(struct work *work, size_t first, size_t end)
{
    const struct coalesce_input *input = work->input;
    struct coalesce_output *output = work->output;
    struct operation operation;
    struct key_state initial;
    struct key_walk walk;
    size_t garbage_before = output->garbage_count;

    range_operation(input->range, RANGE_KEYS, first, &operation);
    if (input->again || operation.old == OLD_UNKNOWN) {
        enum status status = read_state(work, &operation, &initial);
        if (status != STATUS_OK) return status;
    } else {
        initial = key_state_noted(&operation);
    }
    key_walk_begin(&walk, initial);
    add_garbage(output, key_walk_step(&walk, &operation));
    for (size_t i = first + 1; i < end; i++) {
        range_operation(input->range, RANGE_KEYS, i, &operation);
        add_garbage(output, key_walk_step(&walk, &operation));
    }
    add_garbage(output, key_walk_end(&walk));

    if (walk.now.exists) put_key(work, &operation);
    else if (initial.exists) delete_key(work, &operation);
    update_expiry(work, &operation, &walk);
    put_garbage(work, garbage_before, walk.now.object_id);

    size_t place = input->range->lists[RANGE_KEYS].order[first].place;
    struct count_pair *pair = &output->counts[place - output->first_place];
    pair->keys += (int64_t)walk.now.exists - (int64_t)initial.exists;
    pair->expiring +=
        (int64_t)(walk.now.expire_at_ms != -1) - (int64_t)(initial.expire_at_ms != -1);
    return STATUS_OK;
}

static void add_element(struct work *work, size_t last)
{
    struct operation operation;
    range_operation(work->input->range, RANGE_ELEMENTS, last, &operation);
    buffer_clear(&work->name);
    record_element_name(&work->name, operation.object_id, operation.key);
    if (operation.kind == OPERATION_PUT_ELEMENT)
        engine_batch_put(&work->output->batch, buffer_slice(&work->name), operation.value);
    else
        engine_batch_delete(&work->output->batch, buffer_slice(&work->name));
}

static void put_changed_counts(struct work *work, const struct count_pair *before)
{
    const struct coalesce_output *output = work->output;
    for (size_t i = 0; i < output->places; i++) {
        struct count_pair now = output->counts[i];
        if (now.keys == before[i].keys && now.expiring == before[i].expiring) continue;
        uint64_t db_id = work->input->range->databases[output->first_place + i].db_id;
        counts_put_row(&work->output->batch, &work->name, db_id, work->input->slot, now);
    }
}

enum status coalesce_run(const struct coalesce_input *input, struct coalesce_output *output,
                         struct error *error)
{
    struct work work = {.input = input, .output = output, .error = error};
    struct count_pair *before = mem_dup(output->counts, output->places * sizeof *before);
    enum status status = STATUS_OK;

    begin_old_records(&work);
    for (size_t first = input->first, end; status == STATUS_OK && first < input->end;
         first = end) {
        range_prefetch(input->range, input->part, first);
        end = range_group_end(input->range, input->part, first);
        if (input->part == RANGE_KEYS) status = add_key_group(&work, first, end);
        else add_element(&work, end - 1);
    }
    enum status read_status = old_records_end(&work.old, status == STATUS_OK ? error : NULL);
    if (status == STATUS_OK) status = read_status;
    if (status == STATUS_OK) {
        output->records = output->batch.count;
        put_changed_counts(&work, before);
    }
    mem_free(before);
    buffer_free(&work.name);
    buffer_free(&work.value);
    return status;
}
