/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The batch writer on LevelDB itself: the model again. A reload closes it without a flush, and as LevelDB
 * keeps no log, all that was in its memtable is lost each time: a crash in small. */
#include "writer_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct leveldb_options options;
static struct leveldb_metrics metrics;

static enum status open_leveldb(void *context, struct engine **out, const char *folder, bool create,
                                struct error *error)
{
    (void)context;
    return engine_open_leveldb(out, folder, create, &options, &metrics, error);
}

static void check(struct fixture *f, struct source *source)
{
    struct engine *engine;
    assert_int_equal(fixture_barrier(f, BARRIER_DURABLE), STATUS_OK);
    fixture_wait_reclaimed(f);
    assert_int_equal(store_acquire(f->store, &engine, NULL), STATUS_OK);
    assert_true(model_matches(&source->model, engine, NULL, true));
    engine_unref(engine);
    assert_true(counts_match(f, &source->model));
    assert_int_equal(f->health, STATUS_OK);
}

static void disturb(struct fixture *f, struct source *source, unsigned step)
{
    struct asked asked = {.barrier = {.done = asked_done}};
    if (step % 5 == 0) fixture_sync(f);
    if (step % 41 == 40) {
        batch_writer_reload(f->writer, &asked.barrier);
        assert_int_equal(fixture_wait(f, &asked), STATUS_OK);
    }
    if (step % 97 == 96) check(f, source);
    if (step % 151 == 150) {
        assert_int_equal(fixture_stop(f, 20000), STATUS_OK);
        assert_int_equal(fixture_start(f, NULL), STATUS_OK);
    }
}

static void leveldb_becomes_what_the_operations_say(void **state)
{
    static struct fixture f;
    static struct source source;
    (void)state;
    fixture_create(&f);
    option_set_defaults(&leveldb_option_table, &options);
    options.write_buffer_bytes = 64 * 1024; /* flushes by itself often */
    f.open_engine = open_leveldb;
    f.options.batch_writer_range_bytes = 4096;
    f.options.batch_writer_batch_bytes = 1024;
    f.options.batch_writer_delay_ms = 1;
    model_init(&source.model);
    source.random = 4711;
    source.sequence = FIRST_SEQUENCE;
    source.unknown_percent = 30;
    assert_int_equal(fixture_start(&f, NULL), STATUS_OK);
    for (unsigned step = 0; step < 600; step++) {
        for (unsigned i = 0; i < 10; i++) {
            random_record(&source);
            fixture_append(&f, source.operations, source.count);
        }
        mailbox_deliver(f.loop);
        disturb(&f, &source, step);
    }
    check(&f, &source);
    assert_true(counter_get(&f.metrics.reopens) > 10);
    fixture_destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(leveldb_becomes_what_the_operations_say)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
