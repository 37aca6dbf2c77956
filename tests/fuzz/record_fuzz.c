/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target: arbitrary bytes as names and values of records. Whatever the decoders accept must be
 * exactly what the encoders write for it. */
#include "base/check.h"
#include "storage/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buffer again;

static void expect_same(struct slice input)
{
    ASSERT(slice_equal(buffer_slice(&again), input));
    buffer_clear(&again);
}

static void try_names(struct slice input)
{
    uint64_t id;
    int64_t at;
    uint32_t number;
    uint16_t slot;
    char kind;
    struct slice key;
    if (record_parse_key_name(input, &id, &key)) {
        record_key_name(&again, id, key);
        expect_same(input);
    }
    if (record_parse_element_name(input, &id, &key)) {
        record_element_name(&again, id, key);
        expect_same(input);
    }
    if (record_parse_expiry_name(input, &at, &id, &key)) {
        record_expiry_name(&again, at, id, key);
        expect_same(input);
    }
    if (record_parse_garbage_name(input, &kind, &id)) {
        record_garbage_name(&again, kind, id);
        expect_same(input);
    }
    if (record_parse_database_name(input, &number)) {
        record_database_name(&again, number);
        expect_same(input);
    }
    if (record_parse_count_name(input, &id, &slot)) {
        record_count_name(&again, id, slot);
        expect_same(input);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_make(data, size);
    struct key_record record;
    try_names(input);
    if (key_record_decode(input, &record) == STATUS_OK) {
        key_record_encode(&again, &record);
        expect_same(input);
    }
    return 0;
}
