/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The batch writer's behaviour, one rule at a time; batch_writer_model_test.c has the rest. */
#include "writer_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int set_up(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    fixture_create(f);
    f->options.batch_writer_delay_ms = 3600 * 1000; /* nothing by itself */
    assert_int_equal(fixture_start(f, NULL), STATUS_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    fixture_destroy(f);
    mem_free(f);
    return 0;
}

static void set(struct fixture *f, const char *key, const char *value)
{
    struct operation operation = {.kind = OPERATION_PUT,
                                  .db_id = 1,
                                  .key = slice_from_text(key),
                                  .value = slice_from_text(value),
                                  .expire_at_ms = -1,
                                  .old_expire_at_ms = -1};
    fixture_append(f, &operation, 1);
}

static void set_object(struct fixture *f, const char *key, uint64_t object_id)
{
    struct operation operations[2] = {{.kind = OPERATION_PUT_ELEMENT,
                                       .object_id = object_id,
                                       .key = SLICE_LITERAL("\0\0\0\0"),
                                       .value = SLICE_LITERAL("chunk"),
                                       .expire_at_ms = -1,
                                       .old_expire_at_ms = -1},
                                      {.kind = OPERATION_PUT,
                                       .db_id = 1,
                                       .key = slice_from_text(key),
                                       .has_object = true,
                                       .object = {object_id, 5},
                                       .expire_at_ms = -1,
                                       .old_expire_at_ms = -1}};
    fixture_append(f, operations, 2);
}

/* As a loading job does; the status of a reader that is not let in otherwise. */
static enum status read_key(struct fixture *f, const char *key, struct buffer *value)
{
    struct engine *engine;
    struct buffer name = {0};
    enum status status = store_acquire(f->store, &engine, NULL);
    if (status != STATUS_OK) return status;
    record_key_name(&name, 1, slice_from_text(key));
    buffer_clear(value);
    status = engine->operations->get(engine, NULL, buffer_slice(&name), value, NULL);
    engine_unref(engine);
    buffer_free(&name);
    return status;
}

static bool has_key(struct fixture *f, const char *key)
{
    struct buffer value = {0};
    enum status status = read_key(f, key, &value);
    buffer_free(&value);
    return status == STATUS_OK;
}

static bool has_record(struct fixture *f, struct slice name)
{
    struct engine *engine;
    struct buffer value = {0};
    assert_int_equal(store_acquire(f->store, &engine, NULL), STATUS_OK);
    enum status status = engine->operations->get(engine, NULL, name, &value, NULL);
    engine_unref(engine);
    buffer_free(&value);
    return status == STATUS_OK;
}

static void wait_for_health(struct fixture *f, enum status status)
{
    while (f->health != status) {
        assert_true(mailbox_wait(f->loop, 20 * 1000000));
        mailbox_deliver(f->loop);
    }
}

static void wait_for_applied(struct fixture *f, uint64_t sequence)
{
    while (f->applied < sequence) {
        assert_true(mailbox_wait(f->loop, 20 * 1000000));
        mailbox_deliver(f->loop);
    }
}

static void a_barrier_syncs_applies_and_answers(void **state)
{
    struct fixture *f = *state;
    set(f, "a", "1");
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_OK);
    assert_true(f->journal->sync_requests > 0);
    assert_true(has_key(f, "a"));
    assert_int_equal(f->applied, FIRST_SEQUENCE);
}

static void a_barrier_with_nothing_to_apply_asks_for_no_sync(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_OK);
    assert_int_equal(f->journal->sync_requests, 0);
}

static void only_synced_records_are_taken(void **state)
{
    struct fixture *f = *state;
    struct asked asked;
    f->journal->syncs_fail = true;
    set(f, "a", "1");
    fake_journal_sync(f->journal, FIRST_SEQUENCE);
    set(f, "b", "1");
    batch_writer_hurry(f->writer);
    wait_for_applied(f, FIRST_SEQUENCE);
    assert_true(has_key(f, "a"));
    assert_false(has_key(f, "b"));
    fixture_ask(f, &asked, BARRIER_VISIBLE);
    assert_false(asked.done);
    fixture_sync(f);
    assert_int_equal(fixture_wait(f, &asked), STATUS_OK);
    assert_true(has_key(f, "b"));
}

static void a_full_range_starts_by_itself(void **state)
{
    struct fixture *f = *state;
    __atomic_store_n(&f->options.batch_writer_range_bytes, 4096, __ATOMIC_RELAXED);
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        set(f, key, "0123456789");
    }
    fixture_sync(f);
    wait_for_applied(f, FIRST_SEQUENCE + 500);
}

static void old_data_is_applied_by_itself(void **state)
{
    struct fixture *f = *state;
    __atomic_store_n(&f->options.batch_writer_delay_ms, 1, __ATOMIC_RELAXED);
    set(f, "a", "1");
    fixture_sync(f);
    wait_for_applied(f, FIRST_SEQUENCE);
}

/* appendfsync no: nobody else syncs. */
static void old_data_that_nobody_syncs_is_synced_first(void **state)
{
    struct fixture *f = *state;
    __atomic_store_n(&f->options.batch_writer_delay_ms, 1, __ATOMIC_RELAXED);
    set(f, "a", "1");
    batch_writer_wake(f->writer);
    wait_for_applied(f, FIRST_SEQUENCE);
    assert_true(f->journal->sync_requests > 0);
}

static void a_snapshot_holds_nothing_later(void **state)
{
    struct fixture *f = *state;
    struct asked asked;
    struct buffer name = {0}, value = {0};
    set(f, "a", "1");
    fixture_ask(f, &asked, BARRIER_SNAPSHOT);
    set(f, "b", "1");
    fixture_sync(f);
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_OK);
    assert_int_equal(fixture_wait(f, &asked), STATUS_OK);
    struct engine *engine = asked.barrier.engine;
    record_key_name(&name, 1, SLICE_LITERAL("b"));
    assert_int_equal(engine->operations->get(engine, asked.barrier.snapshot, buffer_slice(&name),
                                             &value, NULL),
                     STATUS_NOT_FOUND);
    buffer_clear(&name);
    record_key_name(&name, 1, SLICE_LITERAL("a"));
    assert_int_equal(engine->operations->get(engine, asked.barrier.snapshot, buffer_slice(&name),
                                             &value, NULL),
                     STATUS_OK);
    engine->operations->snapshot_release(engine, asked.barrier.snapshot);
    engine_unref(engine);
    buffer_free(&name);
    buffer_free(&value);
}

static void a_durable_barrier_outlives_a_crash(void **state)
{
    struct fixture *f = *state;
    set(f, "a", "1");
    assert_int_equal(fixture_barrier(f, BARRIER_DURABLE), STATUS_OK);
    assert_int_equal(f->journal->marked, FIRST_SEQUENCE);
    fixture_crash(f);
    assert_int_equal(fixture_start(f, NULL), STATUS_OK);
    assert_int_equal(counter_get(&f->metrics.operations_in), 1);
    assert_true(has_key(f, "a"));
}

static void a_marker_counts_only_once_the_memtable_is_a_table(void **state)
{
    struct fixture *f = *state;
    set(f, "a", "1");
    fixture_barrier(f, BARRIER_VISIBLE);
    assert_int_equal(f->journal->marked, FIRST_SEQUENCE - 1);
    memory_store_switch(f->disk);
    fixture_barrier(f, BARRIER_VISIBLE);
    assert_int_equal(f->journal->marked, FIRST_SEQUENCE - 1);
    memory_store_settle(f->disk);
    fixture_barrier(f, BARRIER_VISIBLE);
    fixture_barrier(f, BARRIER_VISIBLE);
    assert_int_equal(f->journal->marked, FIRST_SEQUENCE);
}

static void a_journal_half_full_forces_the_marker(void **state)
{
    struct fixture *f = *state;
    f->journal->fill_percent = 60;
    set(f, "a", "1");
    fixture_barrier(f, BARRIER_VISIBLE);
    assert_int_equal(f->journal->marked, FIRST_SEQUENCE);
}

static void readers_wait_until_all_that_they_had_seen_is_back(void **state)
{
    struct fixture *f = *state;
    struct buffer value = {0};
    set(f, "a", "1");
    fixture_barrier(f, BARRIER_VISIBLE);
    memory_store_fail(f->disk, MEMORY_WRITE, 1, 2, STATUS_IO_ERROR);
    set(f, "b", "1");
    fixture_sync(f);
    batch_writer_hurry(f->writer);
    wait_for_health(f, STATUS_IO_ERROR);
    enum status status;
    while ((status = read_key(f, "a", &value)) == STATUS_AGAIN) usleep(200);
    assert_int_equal(status, STATUS_OK);
    wait_for_health(f, STATUS_OK);
    assert_true(has_key(f, "b"));
    assert_int_equal(loop_count(f, 1)->keys, 2);
    assert_int_equal(f->health_changes, 2);
    buffer_free(&value);
}

static void a_barrier_outlasts_one_failure_but_not_a_broken_store(void **state)
{
    struct fixture *f = *state;
    memory_store_fail(f->disk, MEMORY_WRITE, 1, 1, STATUS_IO_ERROR);
    set(f, "a", "1");
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_OK);
    memory_store_fail(f->disk, MEMORY_WRITE, 1, 0, STATUS_IO_ERROR);
    set(f, "b", "1");
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_IO_ERROR);
    memory_store_fail(f->disk, 0, 0, 0, STATUS_OK);
    wait_for_health(f, STATUS_OK);
    assert_true(has_key(f, "b"));
}

static void while_writes_fail_reads_of_what_was_in_go_on(void **state)
{
    struct fixture *f = *state;
    set(f, "a", "1");
    fixture_barrier(f, BARRIER_DURABLE);
    memory_store_fail(f->disk, MEMORY_WRITE, 1, 0, STATUS_NO_SPACE);
    set(f, "b", "1");
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_NO_SPACE);
    assert_true(f->journal->reserves_given_up > 0);
    unsigned let_in = 0;
    for (int i = 0; i < 50 && let_in < 3; i++, usleep(1000)) let_in += has_key(f, "a");
    assert_int_equal(let_in, 3);
}

/* As it is on a disk that others have filled: nothing can be written, and nothing is tried. */
static void fill_disk(struct fixture *f)
{
    f->journal->needed_bytes = 1000;
    f->journal->free_bytes = 10;
    memory_store_fail(f->disk, MEMORY_WRITE, 1, 0, STATUS_NO_SPACE);
}

static void until_there_is_space_readers_keep_the_store(void **state)
{
    struct fixture *f = *state;
    struct buffer value = {0};
    set(f, "a", "1");
    fixture_barrier(f, BARRIER_DURABLE);
    fill_disk(f);
    set(f, "b", "1");
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_NO_SPACE);
    uint64_t reopens = counter_get(&f->metrics.reopens);
    for (int i = 0; i < 50; i++, usleep(1000))
        assert_int_equal(read_key(f, "a", &value), STATUS_OK);
    assert_int_equal(counter_get(&f->metrics.reopens), reopens);
    f->journal->free_bytes = 1000;
    memory_store_fail(f->disk, 0, 0, 0, STATUS_OK);
    wait_for_health(f, STATUS_OK);
    assert_true(counter_get(&f->metrics.reopens) > reopens);
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_OK);
    assert_true(has_key(f, "b"));
    buffer_free(&value);
}

static void a_flushall_needs_no_space_for_the_old_store(void **state)
{
    struct fixture *f = *state;
    set(f, "a", "1");
    fill_disk(f);
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_NO_SPACE);
    struct operation flush[4] = {{.kind = OPERATION_FLUSH_ALL}};
    for (uint32_t i = 0; i < 3; i++)
        flush[i + 1] = (struct operation){.kind = OPERATION_MAP_DATABASE,
                                          .number = i,
                                          .db_id = f->journal->appended + 2 + i};
    fixture_append(f, flush, 4);
    fixture_sync(f);
    wait_for_health(f, STATUS_OK);
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_OK);
    assert_false(has_key(f, "a"));
    assert_int_equal(counter_get(&f->metrics.reopens), 0);
}

static void a_full_disk_does_not_keep_a_flushall_from_working(void **state)
{
    struct fixture *f = *state;
    memory_store_fail(f->disk, MEMORY_WRITE, 1, 0, STATUS_NO_SPACE);
    for (int i = 0; i < 100; i++) set(f, "a", "1");
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_NO_SPACE);
    struct operation flush[4] = {{.kind = OPERATION_FLUSH_ALL}};
    for (uint32_t i = 0; i < 3; i++)
        flush[i + 1] = (struct operation){.kind = OPERATION_MAP_DATABASE,
                                          .number = i,
                                          .db_id = f->journal->appended + 2 + i};
    fixture_append(f, flush, 4);
    fixture_sync(f);
    wait_for_health(f, STATUS_OK);
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_OK);
    assert_false(has_key(f, "a"));
}

static void damage_is_not_tried_again_until_a_reload(void **state)
{
    struct fixture *f = *state;
    struct buffer value = {0};
    memory_store_fail(f->disk, MEMORY_WRITE, 1, 1, STATUS_CORRUPT);
    set(f, "a", "1");
    assert_int_equal(fixture_barrier(f, BARRIER_VISIBLE), STATUS_CORRUPT);
    assert_int_equal(read_key(f, "a", &value), STATUS_CORRUPT);
    assert_int_equal(counter_get(&f->metrics.reopens), 0);
    struct asked asked = {.barrier = {.done = asked_done}};
    batch_writer_reload(f->writer, &asked.barrier);
    assert_int_equal(fixture_wait(f, &asked), STATUS_OK);
    wait_for_health(f, STATUS_OK);
    assert_true(has_key(f, "a"));
    buffer_free(&value);
}

static void a_reload_loses_nothing(void **state)
{
    struct fixture *f = *state;
    set(f, "a", "1");
    set(f, "a", "2");
    struct asked asked = {.barrier = {.done = asked_done}};
    batch_writer_reload(f->writer, &asked.barrier);
    assert_int_equal(fixture_wait(f, &asked), STATUS_OK);
    assert_int_equal(counter_get(&f->metrics.reopens), 1);
    assert_true(has_key(f, "a"));
    assert_int_equal(loop_count(f, 1)->keys, 1);
}

static void an_overwritten_object_is_deleted_in_the_background(void **state)
{
    struct fixture *f = *state;
    struct buffer name = {0};
    record_chunk_name(&name, 5000, 0);
    set_object(f, "a", 5000);
    fixture_barrier(f, BARRIER_VISIBLE);
    assert_true(has_record(f, buffer_slice(&name)));
    set(f, "a", "small");
    fixture_barrier(f, BARRIER_VISIBLE);
    fixture_wait_reclaimed(f);
    assert_false(has_record(f, buffer_slice(&name)));
    assert_int_equal(counter_get(&f->metrics.reclaimed_records), 1);
    buffer_free(&name);
}

static void garbage_of_a_run_before_is_found_at_start(void **state)
{
    struct fixture *f = *state;
    struct buffer name = {0};
    record_chunk_name(&name, 5000, 0);
    set_object(f, "a", 5000);
    set(f, "a", "small");
    fixture_sync(f);
    fixture_crash(f);
    assert_int_equal(fixture_start(f, NULL), STATUS_OK);
    fixture_barrier(f, BARRIER_VISIBLE);
    fixture_wait_reclaimed(f);
    while (has_record(f, buffer_slice(&name))) fixture_barrier(f, BARRIER_VISIBLE);
    buffer_free(&name);
}

static void a_stop_makes_everything_durable(void **state)
{
    struct fixture *f = *state;
    set(f, "a", "1");
    assert_int_equal(fixture_stop(f, 10000), STATUS_OK);
    assert_int_equal(f->journal->marked, FIRST_SEQUENCE);
    memory_store_crash(f->disk);
    assert_int_equal(fixture_start(f, NULL), STATUS_OK);
    assert_true(has_key(f, "a"));
    assert_int_equal(loop_count(f, 1)->keys, 1);
}

static void a_stop_gives_up_on_a_broken_store(void **state)
{
    struct fixture *f = *state;
    memory_store_fail(f->disk, MEMORY_WRITE, 1, 0, STATUS_NO_SPACE);
    set(f, "a", "1");
    assert_int_not_equal(fixture_stop(f, 20), STATUS_OK);
    memory_store_fail(f->disk, 0, 0, 0, STATUS_OK);
    assert_int_equal(fixture_start(f, NULL), STATUS_OK);
    assert_true(has_key(f, "a"));
}

static void an_idle_writer_is_not_woken(void **state)
{
    struct fixture *f = *state;
    set(f, "a", "1");
    fixture_barrier(f, BARRIER_VISIBLE);
    fixture_barrier(f, BARRIER_VISIBLE);
    for (int i = 0; i < 100; i++) batch_writer_wake(f->writer);
    assert_false(atomic_load(&f->writer->wake_sent));
}

static void coalesced_writes_reach_the_store_once(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 1000; i++) set(f, "a", "1");
    fixture_barrier(f, BARRIER_VISIBLE);
    assert_int_equal(counter_get(&f->metrics.operations_in), 1000);
    assert_int_equal(counter_get(&f->metrics.operations_out), 1);
    assert_int_equal(loop_count(f, 1)->keys, 1);
    assert_int_equal(loop_count(f, 1)->unknown, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_barrier_syncs_applies_and_answers),
        TEST(a_barrier_with_nothing_to_apply_asks_for_no_sync),
        TEST(only_synced_records_are_taken),
        TEST(a_full_range_starts_by_itself),
        TEST(old_data_is_applied_by_itself),
        TEST(old_data_that_nobody_syncs_is_synced_first),
        TEST(a_snapshot_holds_nothing_later),
        TEST(a_durable_barrier_outlives_a_crash),
        TEST(a_marker_counts_only_once_the_memtable_is_a_table),
        TEST(a_journal_half_full_forces_the_marker),
        TEST(readers_wait_until_all_that_they_had_seen_is_back),
        TEST(a_barrier_outlasts_one_failure_but_not_a_broken_store),
        TEST(while_writes_fail_reads_of_what_was_in_go_on),
        TEST(until_there_is_space_readers_keep_the_store),
        TEST(a_flushall_needs_no_space_for_the_old_store),
        TEST(a_full_disk_does_not_keep_a_flushall_from_working),
        TEST(damage_is_not_tried_again_until_a_reload),
        TEST(a_reload_loses_nothing),
        TEST(an_overwritten_object_is_deleted_in_the_background),
        TEST(garbage_of_a_run_before_is_found_at_start),
        TEST(a_stop_makes_everything_durable),
        TEST(a_stop_gives_up_on_a_broken_store),
        TEST(an_idle_writer_is_not_woken),
        TEST(coalesced_writes_reach_the_store_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
