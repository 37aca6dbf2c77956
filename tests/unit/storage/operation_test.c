/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The operation codec: what goes in comes out, and nothing else is accepted. */
#include "storage/operation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* A number with a random count of bits, so that every varint length is met. */
static uint64_t random_number(void)
{
    return next_random() >> (next_random() % 64);
}

static char pool[70000];

static struct slice random_slice(void)
{
    size_t size = next_random() % 16 == 0 ? next_random() % sizeof pool : next_random() % 40;
    return slice_make(pool + next_random() % (sizeof pool - size + 1), size);
}

static void fill_key_record(struct operation *operation)
{
    operation->db_id = random_number();
    operation->key = random_slice();
    operation->old = (uint8_t)(next_random() % 3);
    if (operation->old == OLD_PRESENT) {
        if (next_random() % 2) operation->old_expire_at_ms = (int64_t)(random_number() >> 1);
        if (next_random() % 2) operation->old_object_id = random_number() | 1;
    }
    if (operation->kind == OPERATION_DELETE) {
        operation->moves_object = next_random() % 2;
        return;
    }
    operation->type = (uint8_t)(next_random() % (VALUE_STREAM + 1));
    operation->encoding = (uint8_t)(next_random() % (STRING_NOT_INT + 1));
    if (next_random() % 2) operation->expire_at_ms = (int64_t)(random_number() >> 1);
    operation->has_object = next_random() % 4 == 0;
    if (operation->has_object)
        operation->object = (struct object_head){random_number(), random_number()};
    else
        operation->value = random_slice();
}

static struct operation random_operation(void)
{
    struct operation operation = {.kind = (uint8_t)(1 + next_random() % OPERATION_FLUSH_ALL),
                                  .expire_at_ms = -1,
                                  .old_expire_at_ms = -1};
    switch (operation.kind) {
    case OPERATION_PUT:
    case OPERATION_DELETE:
        fill_key_record(&operation);
        break;
    case OPERATION_PUT_ELEMENT:
        operation.value = random_slice();
        operation.key = random_slice();
        operation.object_id = random_number();
        break;
    case OPERATION_DELETE_ELEMENT:
        operation.key = random_slice();
        operation.object_id = random_number();
        break;
    case OPERATION_MAP_DATABASE:
        operation.number = (uint32_t)random_number();
        operation.db_id = random_number();
        operation.dropped_db_id = random_number();
        break;
    case OPERATION_SWAP_DATABASES:
        operation.number = (uint32_t)random_number();
        operation.other_number = (uint32_t)random_number();
        break;
    default:
        break;
    }
    return operation;
}

static void assert_same(const struct operation *a, const struct operation *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->encoding, b->encoding);
    assert_int_equal(a->has_object, b->has_object);
    assert_int_equal(a->moves_object, b->moves_object);
    assert_int_equal(a->old, b->old);
    assert_true(a->old_expire_at_ms == b->old_expire_at_ms);
    assert_true(a->old_object_id == b->old_object_id);
    assert_true(a->db_id == b->db_id);
    assert_true(a->object_id == b->object_id);
    assert_true(slice_equal(a->key, b->key));
    assert_true(slice_equal(a->value, b->value));
    assert_true(a->expire_at_ms == b->expire_at_ms);
    assert_true(a->object.object_id == b->object.object_id);
    assert_true(a->object.length == b->object.length);
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->other_number, b->other_number);
    assert_true(a->dropped_db_id == b->dropped_db_id);
}

static void every_operation_comes_back_as_it_went_in(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct operation in = random_operation(), out;
        size_t size = operation_encoded_bytes(&in);
        char *bytes = malloc(size);
        assert_ptr_equal(operation_encode(&in, bytes), bytes + size);
        struct slice input = slice_make(bytes, size);
        assert_int_equal(operation_decode(&input, &out), STATUS_OK);
        assert_int_equal(input.size, 0);
        assert_same(&in, &out);
        free(bytes);
    }
}

static void operations_in_a_row_come_back_in_order(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    struct operation in[COUNT], out;
    size_t size = 0;
    for (int i = 0; i < COUNT; i++) {
        in[i] = random_operation();
        size += operation_encoded_bytes(&in[i]);
    }
    char *bytes = malloc(size), *end = bytes;
    for (int i = 0; i < COUNT; i++) end = operation_encode(&in[i], end);
    struct slice input = slice_make(bytes, size);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(operation_decode(&input, &out), STATUS_OK);
        assert_same(&in[i], &out);
    }
    assert_int_equal(operation_decode(&input, &out), STATUS_NOT_FOUND);
    free(bytes);
}

static void a_cut_operation_is_corrupt_at_every_length(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct operation in = random_operation(), out;
        size_t size = operation_encoded_bytes(&in);
        if (size > 300) continue;
        char *bytes = malloc(size);
        operation_encode(&in, bytes);
        for (size_t cut = 1; cut < size; cut++) {
            char *part = malloc(cut); /* its own allocation, so that a read past it is seen */
            memcpy(part, bytes, cut);
            struct slice input = slice_make(part, cut);
            assert_int_equal(operation_decode(&input, &out), STATUS_CORRUPT);
            assert_int_equal(input.size, cut);
            free(part);
        }
        free(bytes);
    }
}

/* Whatever is accepted must be what the encoder writes for it. */
static void only_canonical_bytes_are_accepted(void **state)
{
    (void)state;
    char bytes[64], again[64];
    for (int round = 0; round < 300000; round++) {
        size_t size = 1 + next_random() % 40;
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)(next_random() % 3 ? next_random() % 12 : next_random());
        struct slice input = slice_make(bytes, size);
        struct operation out;
        if (operation_decode(&input, &out) != STATUS_OK) continue;
        size_t used = size - input.size;
        assert_int_equal(operation_encoded_bytes(&out), used);
        operation_encode(&out, again);
        assert_memory_equal(again, bytes, used);
    }
}

static void assert_refused(const char *bytes, size_t size)
{
    struct slice input = slice_make(bytes, size);
    struct operation out;
    assert_int_equal(operation_decode(&input, &out), STATUS_CORRUPT);
}

#define REFUSED(text) assert_refused(text, sizeof(text) - 1)

static void what_the_encoder_never_writes_is_refused(void **state)
{
    (void)state;
    REFUSED("\x00");                             /* no such kind */
    REFUSED("\x0f");                             /* FLUSH_ALL with a flag */
    REFUSED("\x06\x80\x00\x01");                 /* number longer than needed */
    REFUSED("\x06\xff\xff\xff\xff\x7f\x01");     /* number over 32 bits */
    REFUSED("\x02\x01\x01\x01k");                /* DELETE with a type */
    REFUSED("\x22\x00\x01\x01k");                /* DELETE with an expiry */
    REFUSED("\xc1\x00\x01\x01k\x01v");           /* old record 3 */
    REFUSED("\x01\x40\x01\x01k\x01v");           /* old expiry of an unknown record */
    REFUSED("\x01\x06\x01\x01k\x01v");           /* type 6 */
    REFUSED("\x01\x30\x01\x01k\x01v");           /* encoding 3 */
    REFUSED("\x11\x00\x01\x01k\x01v");           /* PUT that moves an object */
    REFUSED("\x81\x80\x01\x01k\x00\x01v");       /* old object 0 */
    REFUSED("\x21\x00\x01\x01k\xff\xff\xff\xff\xff\xff\xff\xff\x01v"); /* expiry -1 */
    REFUSED("\x01\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01k");  /* key of 2^64-1 bytes */
    REFUSED("\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x01k\x01v"); /* id over 64 bits */
}

int main(void)
{
    for (size_t i = 0; i < sizeof pool; i++) pool[i] = (char)next_random();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_comes_back_as_it_went_in),
        cmocka_unit_test(operations_in_a_row_come_back_in_order),
        cmocka_unit_test(a_cut_operation_is_corrupt_at_every_length),
        cmocka_unit_test(only_canonical_bytes_are_accepted),
        cmocka_unit_test(what_the_encoder_never_writes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
