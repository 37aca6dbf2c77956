/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The batch writer against a model: random operations, random ends of ranges, failures of the n-th call
 * and crashes, after all of which the store holds what the model does, no more and no less, and the
 * loop's counts are exact (rules 1, 9 to 13, 17). */
#include "writer_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct run {
    struct fixture f;
    struct source source;
    struct asked asked;
    struct model asked_model;
    uint64_t asked_failures;
    bool is_asked;
};

static void run_create(struct run *run, uint64_t seed)
{
    fixture_create(&run->f);
    memset(&run->source, 0, sizeof run->source);
    model_init(&run->source.model);
    run->source.random = seed * 0x9e3779b97f4a7c15U + 1;
    run->source.sequence = FIRST_SEQUENCE;
    run->source.unknown_percent = 30;
    run->is_asked = false;
    run->f.settles = true;
    run->f.options.batch_writer_range_bytes = 4096;
    run->f.options.batch_writer_batch_bytes = 1024;
    run->f.options.batch_writer_delay_ms = 1;
    run->f.options.batch_writer_concurrency = 1 + (int64_t)(seed % 5);
    assert_int_equal(fixture_start(&run->f, NULL), STATUS_OK);
}

static void append_random(struct run *run)
{
    random_record(&run->source);
    fixture_append(&run->f, run->source.operations, run->source.count);
    mailbox_deliver(run->f.loop);
}

/* The journal after a crash of the machine: all that was synced, some of the rest. */
static void replay_journal(struct run *run)
{
    struct journal *journal = run->f.journal;
    uint64_t last = journal->synced;
    for (size_t i = 0; i < journal->count; i++) {
        const struct fake_record *record = &journal->records[i];
        uint64_t end = record->sequence + record->operations - 1;
        if (end > last && source_random(&run->source, 2)) last = end;
        else if (end > last) break;
    }
    fake_journal_cut(journal, last);
    model_init(&run->source.model);
    for (size_t i = 0; i < journal->count; i++) {
        struct slice rest = slice_make(journal->records[i].payload, journal->records[i].size);
        struct operation operation;
        while (operation_decode(&rest, &operation) == STATUS_OK)
            model_apply(&run->source.model, &operation);
        model_drop_objects(&run->source.model);
    }
    run->source.sequence = last + 1;
}

static uint64_t failures_so_far(struct run *run)
{
    return counter_get(&run->f.metrics.retries) + counter_get(&run->f.metrics.reopens);
}

static void check_snapshot(struct run *run)
{
    struct barrier *barrier = &run->asked.barrier;
    if (!run->is_asked) return;
    run->is_asked = false;
    if (fixture_wait(&run->f, &run->asked) != STATUS_OK) return;
    fixture_stop_failing(&run->f); /* not for our own reads */
    /* After a failure it may be a later one. */
    if (failures_so_far(run) == run->asked_failures)
        assert_true(model_matches(&run->asked_model, barrier->engine, barrier->snapshot, false));
    barrier->engine->operations->snapshot_release(barrier->engine, barrier->snapshot);
    engine_unref(barrier->engine);
}

static void ask_snapshot(struct run *run)
{
    check_snapshot(run);
    run->asked_model = run->source.model;
    run->asked_failures = run->f.health == STATUS_OK ? failures_so_far(run) : UINT64_MAX;
    fixture_ask(&run->f, &run->asked, BARRIER_SNAPSHOT);
    run->is_asked = true;
}

/* What is applied again comes in other ranges than the first time. */
static void change_range_bytes(struct run *run)
{
    int64_t bytes = 64 << source_random(&run->source, 9);
    __atomic_store_n(&run->f.options.batch_writer_range_bytes, bytes, __ATOMIC_RELAXED);
}

static void wait_durable(struct run *run)
{
    check_snapshot(run); /* whoever holds a handle keeps the store from being opened again */
    fixture_barrier(&run->f, BARRIER_DURABLE);
}

static void crash(struct run *run)
{
    struct error error;
    fixture_crash(&run->f);
    if (run->is_asked) {
        struct barrier *barrier = &run->asked.barrier;
        assert_true(run->asked.done);
        if (barrier->status == STATUS_OK) {
            barrier->engine->operations->snapshot_release(barrier->engine, barrier->snapshot);
            engine_unref(barrier->engine);
        }
        run->is_asked = false;
    }
    replay_journal(run);
    change_range_bytes(run);
    /* Dying in the middle of recovery, any number of times, changes nothing. */
    for (unsigned i = 0; i < 4 && source_random(&run->source, 2); i++) {
        run->f.fail_calls = MEMORY_WRITE | MEMORY_FLUSH;
        enum status status = fixture_start(&run->f, &error);
        run->f.fail_calls = 0;
        if (status == STATUS_OK) fixture_crash(&run->f);
        for (unsigned k = 0; k < run->f.disk_count; k++) memory_store_crash(run->f.disks[k].store);
    }
    fixture_stop_failing(&run->f);
    assert_int_equal(fixture_start(&run->f, &error), STATUS_OK);
}

static void disturb(struct run *run, bool failures, bool crashes)
{
    struct fixture *f = &run->f;
    if (source_random(&run->source, 4) == 0) change_range_bytes(run);
    uint64_t what = source_random(&run->source, 100);
    if (what < 20) fixture_sync(f);
    else if (what < 25) batch_writer_hurry(f->writer);
    else if (what < 30) memory_store_switch(fixture_disk(f));
    else if (what < 35) memory_store_settle(fixture_disk(f));
    else if (what < 45) ask_snapshot(run);
    else if (what < 48) wait_durable(run);
    else if (what < 49) f->journal->fill_percent = (unsigned)source_random(&run->source, 100);
    else if (failures && what < 55)
        memory_store_fail(fixture_disk(f),
                          1U << source_random(&run->source, 5),
                          1 + (unsigned long)source_random(&run->source, 8),
                          1 + (unsigned long)source_random(&run->source, 2), STATUS_IO_ERROR);
    else if (crashes && what < 57) crash(run);
}

static void check_end(struct run *run)
{
    struct fixture *f = &run->f;
    check_snapshot(run);
    fixture_stop_failing(f);
    while (fixture_barrier(f, BARRIER_DURABLE) != STATUS_OK) {
    }
    fixture_wait_reclaimed(f);
    struct engine *engine;
    assert_int_equal(store_acquire(f->store, &engine, NULL), STATUS_OK);
    assert_true(model_matches(&run->source.model, engine, NULL, true));
    engine_unref(engine);
    assert_true(counts_match(f, &run->source.model));
    assert_int_equal(f->health, STATUS_OK);
}

static void run_randomly(uint64_t seed, unsigned steps, bool failures, bool crashes)
{
    static struct run run;
    run_create(&run, seed);
    for (unsigned i = 0; i < steps; i++) {
        uint64_t records = source_random(&run.source, 8);
        while (records-- > 0) append_random(&run);
        disturb(&run, failures, crashes);
        if (i % 100 == 99) check_end(&run);
    }
    check_end(&run);
    assert_int_equal(fixture_stop(&run.f, 10000), STATUS_OK);
    assert_int_equal(fixture_start(&run.f, NULL), STATUS_OK);
    check_end(&run);
    fixture_destroy(&run.f);
}

static uint64_t first_seed(void)
{
    const char *text = getenv("SEED");
    return text ? strtoull(text, NULL, 10) : 1;
}

static unsigned rounds(unsigned usual)
{
    const char *text = getenv("ROUNDS");
    return text ? (unsigned)atoi(text) : usual;
}

static void the_store_becomes_what_the_operations_say(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < rounds(6); i++) run_randomly(first_seed() + i, 300, false, false);
}

static void failed_calls_lose_and_double_nothing(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < rounds(8); i++)
        run_randomly(first_seed() + 100 + i, 300, true, false);
}

static void crashes_lose_and_double_nothing(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < rounds(8); i++)
        run_randomly(first_seed() + 200 + i, 300, false, true);
}

static void crashes_and_failures_together_lose_and_double_nothing(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < rounds(8); i++)
        run_randomly(first_seed() + 300 + i, 300, true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_store_becomes_what_the_operations_say),
        cmocka_unit_test(failed_calls_lose_and_double_nothing),
        cmocka_unit_test(crashes_lose_and_double_nothing),
        cmocka_unit_test(crashes_and_failures_together_lose_and_double_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
