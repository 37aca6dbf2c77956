/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Old records by walk or by get: what is found does not depend on which of the two it was, nor on the
 * order, and no failed read is taken for an absent record. */
#include "storage/old_records.h"

#include "lib/memory_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { RECORDS = 4000 };

struct fixture {
    struct memory_store *store;
    struct engine *engine;
};

static struct slice name_of(unsigned number)
{
    static char text[16];
    snprintf(text, sizeof text, "%08u", number);
    return slice_make(text, 8);
}

/* Every third number is there; its value is its name. */
static bool is_there(unsigned number)
{
    return number % 3 == 0 && number < 3 * RECORDS;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct engine_batch batch = {0};
    f->store = memory_store_create();
    assert_int_equal(memory_store_open(f->store, &f->engine, NULL), STATUS_OK);
    for (unsigned i = 0; i < RECORDS; i++) engine_batch_put(&batch, name_of(3 * i), name_of(3 * i));
    assert_int_equal(f->engine->operations->write(f->engine, &batch, NULL), STATUS_OK);
    engine_batch_free(&batch);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    engine_unref(f->engine);
    memory_store_destroy(f->store);
    free(f);
    return 0;
}

static enum status find(struct old_records *records, unsigned number)
{
    struct slice value = {NULL, 0};
    enum status status = old_records_find(records, name_of(number), &value, NULL);
    if (status == STATUS_OK) assert_true(slice_equal(value, name_of(number)));
    return status;
}

static void look_for(struct fixture *f, unsigned first, int step, unsigned count, bool is_sparse)
{
    struct old_records records = {.engine = f->engine};
    for (unsigned i = 0; i < count; i++) {
        unsigned number = first + i * (unsigned)step;
        assert_int_equal(find(&records, number), is_there(number) ? STATUS_OK : STATUS_NOT_FOUND);
    }
    assert_int_equal(records.is_sparse, is_sparse);
    assert_int_equal(old_records_end(&records, NULL), STATUS_OK);
}

static void near_and_far_records_are_found_alike(void **state)
{
    look_for(*state, 0, 1, 3 * RECORDS + 100, false);
    look_for(*state, 0, 9, RECORDS / 3, false);
    look_for(*state, 0, 150, 70, true);
    look_for(*state, 3 * RECORDS + 1, 1, 100, false);
}

static void names_may_come_in_any_order(void **state)
{
    look_for(*state, 3 * RECORDS, -1, 3 * RECORDS, false);
    struct fixture *f = *state;
    struct old_records records = {.engine = f->engine};
    for (unsigned i = 0; i < 2000; i++) {
        unsigned number = (unsigned)rand() % (3 * RECORDS + 10);
        assert_int_equal(find(&records, number), is_there(number) ? STATUS_OK : STATUS_NOT_FOUND);
    }
    assert_int_equal(old_records_end(&records, NULL), STATUS_OK);
}

/* The n-th call fails, for every n: somebody is told before anything is made of what was found. */
static enum status look_with_failure(struct fixture *f, unsigned long n, int step)
{
    struct old_records records = {.engine = f->engine};
    enum status status = STATUS_OK;
    memory_store_fail(f->store, MEMORY_GET | MEMORY_ITERATE, n, 1, STATUS_IO_ERROR);
    for (unsigned i = 0; i < 60; i++) {
        status = find(&records, (300 + i * (unsigned)step) % (3 * RECORDS));
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) break;
    }
    enum status end = old_records_end(&records, NULL);
    return status == STATUS_OK || status == STATUS_NOT_FOUND ? end : status;
}

static void no_failed_read_passes_for_absent(void **state)
{
    struct fixture *f = *state;
    static const int steps[] = {3, 90, -3};
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        unsigned long n = 1;
        while (look_with_failure(f, n, steps[s]) != STATUS_OK) n++;
        assert_true(n > 30);
        assert_true(memory_store_calls(f->store) < n);
    }
    memory_store_fail(f->store, 0, 0, 0, STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(near_and_far_records_are_found_alike, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_may_come_in_any_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_failed_read_passes_for_absent, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
