/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Old records by iterator or by get: what is found does not depend on which of the two it was, nor on the
 * order, and no failed read is taken for an absent record. */
#include "storage/old_records.h"

#include "lib/memory_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RECORDS = 4000, VALUE_BYTES = 100 };

struct fixture {
    struct memory_store *store;
    struct engine *engine;
};

static struct slice name_of(unsigned number)
{
    static char texts[2][16];
    static unsigned turn;
    char *text = texts[turn++ % 2];
    snprintf(text, sizeof texts[0], "%08u", number);
    return slice_make(text, 8);
}

static struct slice value_of(unsigned number)
{
    static char value[VALUE_BYTES];
    memset(value, 'v', sizeof value);
    memcpy(value, name_of(number).data, 8);
    return slice_make(value, sizeof value);
}

/* Every third number is there. */
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
    for (unsigned i = 0; i < RECORDS; i++)
        engine_batch_put(&batch, name_of(3 * i), value_of(3 * i));
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
    if (status == STATUS_OK) assert_true(slice_equal(value, value_of(number)));
    return status;
}

static void look_for(struct fixture *f, unsigned first, unsigned apart, unsigned count,
                     bool is_sparse)
{
    struct old_records records;
    old_records_begin(&records, f->engine, name_of(first), name_of(first + (count - 1) * apart),
                      count);
    assert_int_equal(records.is_sparse, is_sparse);
    for (unsigned i = 0; i < count; i++) {
        unsigned number = first + i * apart;
        assert_int_equal(find(&records, number), is_there(number) ? STATUS_OK : STATUS_NOT_FOUND);
    }
    assert_int_equal(old_records_end(&records, NULL), STATUS_OK);
}

static void near_and_far_records_are_found_alike(void **state)
{
    look_for(*state, 0, 1, 3 * RECORDS + 100, false);
    look_for(*state, 0, 9, RECORDS / 3, false);
    look_for(*state, 1, 100, 120, false);
    look_for(*state, 0, 600, 20, true);
    look_for(*state, 3 * RECORDS + 1, 1, 100, false);
}

static void names_may_come_in_any_order(void **state)
{
    struct fixture *f = *state;
    struct old_records records;
    old_records_begin(&records, f->engine, name_of(0), name_of(3 * RECORDS), RECORDS);
    assert_false(records.is_sparse);
    for (unsigned i = 3 * RECORDS; i-- > 0;)
        assert_int_equal(find(&records, i), is_there(i) ? STATUS_OK : STATUS_NOT_FOUND);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned number = (unsigned)rand() % (3 * RECORDS + 10);
        assert_int_equal(find(&records, number), is_there(number) ? STATUS_OK : STATUS_NOT_FOUND);
    }
    assert_int_equal(old_records_end(&records, NULL), STATUS_OK);
}

/* Somebody is told before anything is made of what was found. */
static enum status look_with_failure(struct fixture *f, unsigned long n, int apart, bool is_sparse)
{
    struct old_records records = {.engine = f->engine, .is_sparse = is_sparse};
    enum status status = STATUS_OK;
    memory_store_fail(f->store, MEMORY_GET | MEMORY_ITERATE, n, 1, STATUS_IO_ERROR);
    for (int i = 0; i < 60; i++) {
        status = find(&records, (unsigned)(6000 + i * apart));
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) break;
    }
    enum status end = old_records_end(&records, NULL);
    return status == STATUS_OK || status == STATUS_NOT_FOUND ? end : status;
}

static void no_failed_read_passes_for_absent(void **state)
{
    struct fixture *f = *state;
    static const int distances[] = {3, 90, -3};
    for (int is_sparse = 0; is_sparse < 2; is_sparse++) {
        for (size_t d = 0; d < sizeof distances / sizeof *distances; d++) {
            unsigned long n = 1;
            while (look_with_failure(f, n, distances[d], is_sparse) != STATUS_OK) n++;
            assert_true(n > 50);
            assert_true(memory_store_calls(f->store) < n);
        }
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
