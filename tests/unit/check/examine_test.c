/* SPDX-License-Identifier: BSD-3-Clause
 *
 * kelvin-check on stores that no server would write: records that contradict each other are put in
 * through the engine. Each is found, and gone after a repair; what is right stays. */
#include "check/examine.h"
#include "check/files.h"
#include "check/salvage.h"

#include "base/memory.h"
#include "lib/temp_folder.h"
#include "storage/counts.h"
#include "storage/engine.h"
#include "storage/store_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { MARKER = FIRST_SEQUENCE + 1000, STORE_ID = 77 };

struct fixture {
    char *folder, *dir, *copy, *store, *data;
    struct engine *engine;
    struct engine_batch batch;
    struct leveldb_metrics metrics;
    struct count_pair counts;
    struct error error;
};

/* --- writing --- */

static void open_store(struct fixture *fixture)
{
    struct leveldb_options options = {0};
    option_set_defaults(&leveldb_option_table, &options);
    options.block_bytes = 1024;
    assert_int_equal(engine_open_leveldb(&fixture->engine, fixture->data, true, &options,
                                         &fixture->metrics, &fixture->error), STATUS_OK);
}

static void put(struct fixture *fixture, struct buffer *name, const void *value, size_t size)
{
    engine_batch_put(&fixture->batch, buffer_slice(name), slice_make(value, size));
    buffer_free(name);
}

static void put_meta(struct fixture *fixture, const char *text, uint64_t value, size_t bytes)
{
    struct buffer name = {0};
    char number[8];
    put_le64(number, value);
    record_meta_name(&name, text);
    put(fixture, &name, number, bytes);
}

static void put_record(struct fixture *fixture, const char *key, const struct key_record *record)
{
    struct buffer name = {0}, value = {0};
    record_key_name(&name, 1, slice_from_text(key));
    key_record_encode(&value, record);
    put(fixture, &name, value.data, value.size);
    buffer_free(&value);
    fixture->counts.keys++;
    if (record->expire_at_ms == -1) return;
    fixture->counts.expiring++;
    record_expiry_name(&name, record->expire_at_ms, 1, slice_from_text(key));
    put(fixture, &name, "", 0);
}

static void put_string(struct fixture *fixture, const char *key, int64_t expire_at_ms)
{
    put_record(fixture, key, &(struct key_record){.expire_at_ms = expire_at_ms,
                                                  .value = slice_from_text("value")});
}

static void put_chunk(struct fixture *fixture, uint64_t object_id, uint32_t index, size_t size)
{
    static const char bytes[CHUNK_BYTES + 1];
    struct buffer name = {0};
    record_chunk_name(&name, object_id, index);
    put(fixture, &name, bytes, size);
}

static void put_garbage(struct fixture *fixture, char kind, uint64_t id)
{
    struct buffer name = {0};
    record_garbage_name(&name, kind, id);
    put(fixture, &name, "", 0);
}

/* A big string of ten chunks. */
static void put_big(struct fixture *fixture, const char *key, uint64_t object_id)
{
    put_record(fixture, key, &(struct key_record){.has_object = true,
                                                  .expire_at_ms = -1,
                                                  .object = {object_id, 10 * CHUNK_BYTES}});
    for (uint32_t i = 0; i < 10; i++) put_chunk(fixture, object_id, i, CHUNK_BYTES);
}

static void write_batch(struct fixture *fixture)
{
    assert_int_equal(fixture->engine->operations->write(fixture->engine, &fixture->batch,
                                                        &fixture->error), STATUS_OK);
    engine_batch_clear(&fixture->batch);
}

static void make_journal(struct fixture *fixture)
{
    struct journal_options options = {0};
    struct journal_found found;
    struct journal *journal;
    char *folder = files_path(fixture->dir, "journal");
    option_set_defaults(&journal_option_table, &options);
    options.journal_io = JOURNAL_IO_WRITE;
    options.journal_segment_bytes = 1 << 16;
    options.disk_reserve_bytes = 0;
    assert_int_equal(journal_open(&journal, folder, &options, NULL, &found, NULL), STATUS_OK);
    assert_int_equal(journal_start_run(journal, STORE_ID, MARKER + 1, NULL), STATUS_OK);
    assert_int_equal(journal_close(journal, NULL), STATUS_OK);
    mem_free(folder);
}

/* A store with 40 keys, 20 of them with an expiry, and 3 big strings. */
static int set_up(void **state)
{
    struct fixture *fixture = mem_calloc(1, sizeof *fixture);
    fixture->folder = temp_folder_create();
    fixture->dir = files_path(fixture->folder, "data");
    fixture->copy = files_path(fixture->folder, "copy");
    fixture->store = files_path(fixture->dir, "store");
    fixture->data = store_data_path(fixture->store, 1);
    assert_int_equal(store_make_folder(fixture->dir, NULL), STATUS_OK);
    assert_int_equal(store_make_folder(fixture->store, NULL), STATUS_OK);
    make_journal(fixture);
    open_store(fixture);
    put_meta(fixture, "format", RECORD_FORMAT_VERSION, 4);
    put_meta(fixture, "store-id", STORE_ID, 8);
    put_meta(fixture, "marker", MARKER, 8);
    for (int i = 0; i < 40; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%02d", i);
        put_string(fixture, key, i % 2 ? 1000000 + i : -1);
    }
    for (uint64_t i = 0; i < 3; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "big%d", (int)i);
        put_big(fixture, key, FIRST_SEQUENCE + i);
    }
    write_batch(fixture);
    *state = fixture;
    return 0;
}

/* Puts the counts in and closes the store. */
static void finish_store(struct fixture *fixture)
{
    struct buffer name = {0};
    counts_put_row(&fixture->batch, &name, 1, 5, fixture->counts);
    buffer_free(&name);
    write_batch(fixture);
    assert_int_equal(fixture->engine->operations->flush(fixture->engine, &fixture->error),
                     STATUS_OK);
    engine_unref(fixture->engine);
    assert_int_equal(store_write_current(fixture->store, 1, NULL), STATUS_OK);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    engine_batch_free(&fixture->batch);
    temp_folder_remove(fixture->folder);
    mem_free(fixture->dir);
    mem_free(fixture->copy);
    mem_free(fixture->store);
    mem_free(fixture->data);
    mem_free(fixture);
    return 0;
}

/* --- checking --- */

static void expect_findings(struct fixture *fixture, uint64_t findings, uint64_t lost)
{
    struct report report = {.is_quiet = true};
    struct examination examination;
    assert_int_equal(examine(&examination, fixture->dir, &report, &fixture->error), STATUS_OK);
    examination_free(&examination);
    assert_int_equal(report.findings, findings);
    assert_int_equal(report.lost, lost);
}

static int64_t keys_after_repair(struct fixture *fixture)
{
    struct report report = {.is_quiet = true}, again = {.is_quiet = true};
    struct examination examination;
    assert_int_equal(examine(&examination, fixture->dir, &report, &fixture->error), STATUS_OK);
    assert_int_equal(salvage(&examination, fixture->copy, false, &fixture->error), STATUS_OK);
    examination_free(&examination);
    assert_int_equal(examine(&examination, fixture->dir, &again, &fixture->error), STATUS_OK);
    assert_int_equal(again.findings + again.lost, 0);
    int64_t keys = examination_database(&examination, 1)->keys;
    examination_free(&examination);
    return keys;
}

static void expect_repaired(struct fixture *fixture, uint64_t findings, uint64_t lost, int64_t keys)
{
    finish_store(fixture);
    expect_findings(fixture, findings, lost);
    assert_int_equal(keys_after_repair(fixture), keys);
}

/* --- tests --- */

static void a_right_store_is_clean(void **state)
{
    struct fixture *fixture = *state;
    put_garbage(fixture, RECORD_GARBAGE_OBJECT, 5000000); /* being removed */
    put_chunk(fixture, 5000000, 3, 100);
    finish_store(fixture);
    expect_findings(fixture, 0, 0);
}

static void a_wrong_count_is_found(void **state)
{
    struct fixture *fixture = *state;
    fixture->counts.keys += 3;
    expect_repaired(fixture, 1, 0, 43);
}

static void an_expiry_record_without_its_key_is_found(void **state)
{
    struct fixture *fixture = *state;
    struct buffer name = {0};
    record_expiry_name(&name, 123456, 1, SLICE_LITERAL("nobody"));
    put(fixture, &name, "", 0);
    expect_repaired(fixture, 1, 0, 43);
}

static void an_expiry_record_for_another_time_is_found(void **state)
{
    struct fixture *fixture = *state;
    struct buffer name = {0};
    record_expiry_name(&name, 123456, 1, SLICE_LITERAL("key01"));
    put(fixture, &name, "", 0);
    expect_repaired(fixture, 1, 0, 43);
}

static void a_key_without_its_expiry_record_is_found(void **state)
{
    struct fixture *fixture = *state;
    struct buffer name = {0};
    record_expiry_name(&name, 1000000 + 7, 1, SLICE_LITERAL("key07"));
    engine_batch_delete(&fixture->batch, buffer_slice(&name));
    buffer_free(&name);
    expect_repaired(fixture, 1, 0, 43);
}

static void a_record_that_cannot_be_read_is_lost_by_name(void **state)
{
    struct fixture *fixture = *state;
    struct buffer name = {0};
    record_key_name(&name, 1, SLICE_LITERAL("key04"));
    put(fixture, &name, "\x01\x00\xff", 3);
    expect_repaired(fixture, 2, 1, 42); /* the record, and the count */
}

static void chunks_without_a_key_are_found(void **state)
{
    struct fixture *fixture = *state;
    put_chunk(fixture, 5000000, 0, 100);
    expect_repaired(fixture, 1, 0, 43);
}

static void a_chunk_beyond_the_end_is_found(void **state)
{
    struct fixture *fixture = *state;
    put_chunk(fixture, FIRST_SEQUENCE, 10, 1);
    expect_repaired(fixture, 1, 0, 43);
}

static void a_used_object_on_the_garbage_list_is_found_and_kept(void **state)
{
    struct fixture *fixture = *state;
    put_garbage(fixture, RECORD_GARBAGE_OBJECT, FIRST_SEQUENCE + 1);
    expect_repaired(fixture, 1, 0, 43);
}

static void two_keys_with_one_object_are_lost(void **state)
{
    struct fixture *fixture = *state;
    put_record(fixture, "again", &(struct key_record){.has_object = true,
                                                      .expire_at_ms = -1,
                                                      .object = {FIRST_SEQUENCE, 70000}});
    expect_repaired(fixture, 2, 2, 42); /* and the count */
}

static void records_of_no_known_kind_are_found(void **state)
{
    struct fixture *fixture = *state;
    engine_batch_put(&fixture->batch, SLICE_LITERAL("Zebra"), SLICE_LITERAL("x"));
    engine_batch_put(&fixture->batch, SLICE_LITERAL("Mystery"), SLICE_LITERAL("x"));
    expect_repaired(fixture, 2, 0, 43);
}

static void keys_of_a_database_without_a_number_are_found(void **state)
{
    struct fixture *fixture = *state;
    struct buffer name = {0}, value = {0};
    const struct key_record record = {.expire_at_ms = -1, .value = slice_from_text("v")};
    record_key_name(&name, FIRST_SEQUENCE + 5, SLICE_LITERAL("stray"));
    key_record_encode(&value, &record);
    put(fixture, &name, value.data, value.size);
    buffer_free(&value);
    expect_repaired(fixture, 1, 0, 43);
}

static void a_store_without_marker_starts_where_the_journal_begins(void **state)
{
    struct fixture *fixture = *state;
    struct buffer name = {0};
    record_meta_name(&name, "marker");
    engine_batch_delete(&fixture->batch, buffer_slice(&name));
    buffer_free(&name);
    expect_repaired(fixture, 1, 0, 43);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_right_store_is_clean),
        TEST(a_wrong_count_is_found),
        TEST(an_expiry_record_without_its_key_is_found),
        TEST(an_expiry_record_for_another_time_is_found),
        TEST(a_key_without_its_expiry_record_is_found),
        TEST(a_record_that_cannot_be_read_is_lost_by_name),
        TEST(chunks_without_a_key_are_found),
        TEST(a_chunk_beyond_the_end_is_found),
        TEST(a_used_object_on_the_garbage_list_is_found_and_kept),
        TEST(two_keys_with_one_object_are_lost),
        TEST(records_of_no_known_kind_are_found),
        TEST(keys_of_a_database_without_a_number_are_found),
        TEST(a_store_without_marker_starts_where_the_journal_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
