/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ranges: collecting, sorting, cutting into batches, and the walk over one key's operations. */
#include "storage/coalesce.h"
#include "base/memory.h"
#include "lib/memory_engine.h"
#include "storage/range.h"
#include "storage/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MAX_RECORDS = 4096 };

/* A range with the bytes that it borrows. */
struct fixture {
    struct range range;
    char *payloads[MAX_RECORDS];
    unsigned count;
    uint64_t sequence;
};

static int set_up(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    f->sequence = FIRST_SEQUENCE;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    range_free(&f->range);
    for (unsigned i = 0; i < f->count; i++) mem_free(f->payloads[i]);
    mem_free(f);
    return 0;
}

static enum status add(struct fixture *f, const struct operation *operations, uint32_t count,
                       uint64_t after, uint64_t claims_after)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) size += operation_encoded_bytes(&operations[i]);
    char *payload = mem_alloc(size), *end = payload;
    for (uint32_t i = 0; i < count; i++) end = operation_encode(&operations[i], end);
    f->payloads[f->count++] = payload;
    struct journal_record record = {f->sequence, count, slice_make(payload, size)};
    f->sequence += count;
    return range_add(&f->range, &record, after, claims_after, NULL);
}

static struct operation put(uint64_t db_id, struct slice key, struct slice value)
{
    return (struct operation){.kind = OPERATION_PUT,
                              .db_id = db_id,
                              .key = key,
                              .value = value,
                              .expire_at_ms = -1,
                              .old_expire_at_ms = -1};
}

static struct operation element(uint64_t object_id, struct slice key, struct slice value)
{
    return (struct operation){.kind = OPERATION_PUT_ELEMENT,
                              .object_id = object_id,
                              .key = key,
                              .value = value,
                              .expire_at_ms = -1,
                              .old_expire_at_ms = -1};
}

static void add_one(struct fixture *f, struct operation operation)
{
    assert_int_equal(add(f, &operation, 1, 0, 0), STATUS_OK);
}

/* Random keys of bytes few enough that prefixes, zeros and equal keys all come up. */
static void keys_come_out_sorted_and_in_order_of_writing(void **state)
{
    struct fixture *f = *state;
    char key[32], value[16];
    srandom(7);
    for (unsigned i = 0; i < 3000; i++) {
        size_t size = (size_t)random() % 13;
        memcpy(key, "common", 6);
        for (size_t k = 6; k < 6 + size; k++) key[k] = (char)(random() % 3);
        int value_size = snprintf(value, sizeof value, "%u", i);
        add_one(f, put(1 + (uint64_t)random() % 3, slice_make(key, 6 + size),
                       slice_make(value, (size_t)value_size)));
    }
    range_sort(&f->range);
    const struct range_list *list = &f->range.lists[RANGE_KEYS];
    assert_int_equal(list->count, 3000);
    for (size_t i = 1; i < list->count; i++) {
        struct operation a, b;
        range_operation(&f->range, RANGE_KEYS, i - 1, &a);
        range_operation(&f->range, RANGE_KEYS, i, &b);
        if (a.db_id != b.db_id) {
            assert_true(list->order[i - 1].place < list->order[i].place);
            continue;
        }
        int order = slice_compare(a.key, b.key);
        assert_true(order <= 0);
        if (order < 0) continue;
        int64_t first = 0, second = 0;
        assert_true(slice_to_int64(a.value, &first));
        assert_true(slice_to_int64(b.value, &second));
        assert_true(first < second);
    }
}

static void elements_sort_by_object_and_element(void **state)
{
    struct fixture *f = *state;
    char key[4];
    for (unsigned i = 0; i < 500; i++) {
        put_be32(key, (i * 37) % 100);
        add_one(f, element(FIRST_SEQUENCE + i % 5, slice_make(key, 4), SLICE_LITERAL("chunk")));
    }
    range_sort(&f->range);
    for (size_t i = 1; i < 500; i++) {
        struct operation a, b;
        range_operation(&f->range, RANGE_ELEMENTS, i - 1, &a);
        range_operation(&f->range, RANGE_ELEMENTS, i, &b);
        assert_true(a.object_id < b.object_id ||
                    (a.object_id == b.object_id && slice_compare(a.key, b.key) <= 0));
    }
}

static void a_batch_never_splits_a_key(void **state)
{
    struct fixture *f = *state;
    char key[16];
    for (unsigned i = 0; i < 1000; i++) {
        int size = snprintf(key, sizeof key, "k%u", i % 17);
        add_one(f, put(1, slice_make(key, (size_t)size), SLICE_LITERAL("0123456789abcdef")));
    }
    range_sort(&f->range);
    size_t batches = 0;
    for (size_t first = 0, end; first < 1000; first = end, batches++) {
        struct operation last, next;
        end = range_batch_end(&f->range, RANGE_KEYS, first, 256);
        assert_true(end > first && end <= 1000);
        assert_true(range_group_end(&f->range, RANGE_KEYS, first) <= end);
        if (end == 1000) continue;
        range_operation(&f->range, RANGE_KEYS, end - 1, &last);
        range_operation(&f->range, RANGE_KEYS, end, &next);
        assert_false(slice_equal(last.key, next.key));
    }
    assert_int_equal(batches, 17);
}

static void claims_count_known_operations_and_the_rest_is_unknown(void **state)
{
    struct fixture *f = *state;
    struct operation operations[4];
    for (int i = 0; i < 4; i++) operations[i] = put(5, SLICE_LITERAL("key"), SLICE_LITERAL("v"));
    operations[1].old = OLD_ABSENT;
    operations[1].expire_at_ms = 100;
    operations[2].old = OLD_PRESENT;
    operations[2].old_expire_at_ms = 100;
    operations[3].kind = OPERATION_DELETE;
    operations[3].value = slice_make(NULL, 0);
    operations[3].old = OLD_PRESENT;
    assert_int_equal(add(f, operations, 4, 0, 0), STATUS_OK);
    const struct range_database *database = &f->range.databases[0];
    assert_int_equal(database->unknown, 1);
    assert_int_equal(database->claimed_keys, 0);
    assert_int_equal(database->claimed_expiring, 0);
    range_clear(&f->range);
    f->sequence = FIRST_SEQUENCE;
    assert_int_equal(add(f, operations, 4, 0, FIRST_SEQUENCE + 1), STATUS_OK);
    assert_int_equal(f->range.databases[0].unknown, 0);
    assert_int_equal(f->range.databases[0].claimed_keys, -1);
    assert_int_equal(f->range.databases[0].claimed_expiring, -1);
}

static void operations_that_are_in_already_are_passed_over(void **state)
{
    struct fixture *f = *state;
    struct operation operations[3];
    for (int i = 0; i < 3; i++) operations[i] = put(5, SLICE_LITERAL("key"), SLICE_LITERAL("v"));
    assert_int_equal(add(f, operations, 3, FIRST_SEQUENCE + 1, 0), STATUS_OK);
    assert_int_equal(f->range.lists[RANGE_KEYS].count, 1);
    assert_int_equal(f->range.last_sequence, FIRST_SEQUENCE + 2);
}

static void a_flush_drops_what_came_before_it_and_takes_its_map(void **state)
{
    struct fixture *f = *state;
    struct operation map = {.kind = OPERATION_MAP_DATABASE,
                            .db_id = 99,
                            .expire_at_ms = -1,
                            .old_expire_at_ms = -1};
    struct operation operations[5] = {put(1, SLICE_LITERAL("a"), SLICE_LITERAL("1")),
                                      {.kind = OPERATION_FLUSH_ALL,
                                       .expire_at_ms = -1,
                                       .old_expire_at_ms = -1},
                                      map, put(99, SLICE_LITERAL("b"), SLICE_LITERAL("2")), map};
    add_one(f, put(1, SLICE_LITERAL("z"), SLICE_LITERAL("0")));
    assert_int_equal(add(f, operations, 5, 0, 0), STATUS_OK);
    assert_true(f->range.has_flush);
    assert_int_equal(f->range.flush_sequence, FIRST_SEQUENCE + 3);
    assert_int_equal(f->range.flush_map_count, 1);
    assert_int_equal(f->range.map_count, 1);
    range_sort(&f->range);
    struct operation left;
    assert_int_equal(f->range.lists[RANGE_KEYS].count, 1);
    range_operation(&f->range, RANGE_KEYS, 0, &left);
    assert_true(slice_equal(left.key, SLICE_LITERAL("b")));
}

static void damaged_records_are_refused(void **state)
{
    struct fixture *f = *state;
    char payload[64];
    struct operation operation = put(1, SLICE_LITERAL("a"), SLICE_LITERAL("1"));
    size_t size = operation_encoded_bytes(&operation);
    operation_encode(&operation, payload);
    struct journal_record record = {FIRST_SEQUENCE, 2, slice_make(payload, size)};
    assert_int_equal(range_add(&f->range, &record, 0, 0, NULL), STATUS_CORRUPT);
    record = (struct journal_record){FIRST_SEQUENCE, 1, slice_make(payload, size - 1)};
    assert_int_equal(range_add(&f->range, &record, 0, 0, NULL), STATUS_CORRUPT);
    payload[size] = 0;
    record = (struct journal_record){FIRST_SEQUENCE, 1, slice_make(payload, size + 1)};
    assert_int_equal(range_add(&f->range, &record, 0, 0, NULL), STATUS_CORRUPT);
}

/* --- one key --- */

static struct operation head(uint64_t object_id)
{
    struct operation operation = put(1, SLICE_LITERAL("k"), slice_make(NULL, 0));
    operation.has_object = object_id != 0;
    operation.object.object_id = object_id;
    return operation;
}

static struct operation gone(bool moves)
{
    struct operation operation = head(0);
    operation.kind = OPERATION_DELETE;
    operation.moves_object = moves;
    return operation;
}

/* The garbage of a walk, as a sum of distinct ids. */
static uint64_t walk(uint64_t initial, const struct operation *operations, size_t count)
{
    struct key_walk state;
    uint64_t sum = 0;
    key_walk_begin(&state, (struct key_state){initial != 0, -1, initial});
    for (size_t i = 0; i < count; i++) sum += key_walk_step(&state, &operations[i]);
    return sum + key_walk_end(&state);
}

static void an_overwritten_object_is_garbage_and_a_kept_one_is_not(void **state)
{
    (void)state;
    const struct operation overwrite[] = {head(100), head(20), head(0)};
    assert_int_equal(walk(3, overwrite, 3), 123);
    const struct operation touch[] = {head(3), head(3)};
    assert_int_equal(walk(3, touch, 2), 0);
    const struct operation delete[] = {gone(false)};
    assert_int_equal(walk(3, delete, 1), 3);
    const struct operation touch_then_delete[] = {head(3), gone(false)};
    assert_int_equal(walk(3, touch_then_delete, 2), 3);
}

static void a_moved_object_is_no_garbage(void **state)
{
    (void)state;
    const struct operation move[] = {gone(true), head(50)};
    assert_int_equal(walk(3, move, 2), 0);
    const struct operation away_and_back[] = {gone(true), head(3), head(50)};
    assert_int_equal(walk(3, away_and_back, 3), 3);
}

static void an_old_record_from_the_middle_of_the_walk_is_not_garbage_twice(void **state)
{
    (void)state;
    /* LevelDB had got as far as the second operation when the process died. */
    const struct operation operations[] = {head(100), head(20), gone(true), head(3)};
    assert_int_equal(walk(20, operations, 4), 100);
    assert_int_equal(walk(3, operations, 4), 100);
}

/* --- a batch --- */

static bool batch_has(const struct engine_batch *batch, struct slice wanted, bool wanted_delete)
{
    size_t position = 0;
    bool is_delete;
    struct slice key, value;
    while (engine_batch_next(batch, &position, &is_delete, &key, &value)) {
        if (is_delete == wanted_delete && slice_equal(key, wanted)) return true;
    }
    return false;
}

/* What a smaller range than the first time took for garbage by mistake (rule 11). */
static void applied_again_a_head_takes_its_object_off_the_garbage(void **state)
{
    struct fixture *f = *state;
    struct memory_store *disk = memory_store_create();
    struct coalesce_output output = {0};
    struct buffer name = {0};
    struct coalesce_input input = {.range = &f->range, .part = RANGE_KEYS, .end = 1, .slot = 3};
    record_garbage_name(&name, RECORD_GARBAGE_OBJECT, 77);
    add_one(f, head(77));
    range_sort(&f->range);
    assert_int_equal(memory_store_open(disk, &input.engine, NULL), STATUS_OK);
    for (int again = 0; again <= 1; again++) {
        input.again = again;
        coalesce_begin(&input, &output);
        assert_int_equal(coalesce_run(&input, &output, NULL), STATUS_OK);
        assert_int_equal(batch_has(&output.batch, buffer_slice(&name), true), again);
        assert_int_equal(output.counts[0].keys, 1);
    }
    engine_unref(input.engine);
    coalesce_free(&output);
    buffer_free(&name);
    memory_store_destroy(disk);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(keys_come_out_sorted_and_in_order_of_writing),
        TEST(elements_sort_by_object_and_element),
        TEST(a_batch_never_splits_a_key),
        TEST(claims_count_known_operations_and_the_rest_is_unknown),
        TEST(operations_that_are_in_already_are_passed_over),
        TEST(a_flush_drops_what_came_before_it_and_takes_its_map),
        TEST(damaged_records_are_refused),
        TEST(applied_again_a_head_takes_its_object_off_the_garbage),
        cmocka_unit_test(an_overwritten_object_is_garbage_and_a_kept_one_is_not),
        cmocka_unit_test(a_moved_object_is_no_garbage),
        cmocka_unit_test(an_old_record_from_the_middle_of_the_walk_is_not_garbage_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
