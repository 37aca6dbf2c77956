/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The store's folder: CURRENT, leftovers, formats, the lock, FLUSHALL's fresh folder (rules 16, 17). Engines
 * are in memory, the folder is real. */
#include "base/memory.h"
#include "lib/memory_engine.h"
#include "storage/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { DISKS = 16 };

struct fixture {
    char dir[64], folder[96];
    struct {
        char *path;
        struct memory_store *store;
    } disks[DISKS];
    unsigned disk_count;
    unsigned fail_calls; /* of engines that are opened */
};

static enum status open_engine(void *context, struct engine **out, const char *path, bool create,
                               struct error *error)
{
    struct fixture *f = context;
    unsigned i = 0;
    (void)create;
    while (i < f->disk_count && strcmp(f->disks[i].path, path) != 0) i++;
    if (i == f->disk_count) {
        assert_true(i < DISKS);
        f->disks[i].path = mem_dup(path, strlen(path) + 1);
        f->disks[i].store = memory_store_create();
        f->disk_count++;
    }
    memory_store_fail(f->disks[i].store, f->fail_calls, f->fail_calls ? 1 : 0, 0, STATUS_NO_SPACE);
    return memory_store_open(f->disks[i].store, out, error);
}

static int set_up(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    const char *base = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%s/kelvin-store-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->folder, sizeof f->folder, "%s/store", f->dir);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[128];
    for (unsigned i = 0; i < f->disk_count; i++) {
        memory_store_destroy(f->disks[i].store);
        mem_free(f->disks[i].path);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
    mem_free(f);
    return 0;
}

static enum status open_store(struct fixture *f, struct store **out, bool create,
                              struct error *error)
{
    return store_open(out, f->folder, create, 42, 1000, 3, open_engine, f, error);
}

static struct store *opened(struct fixture *f, bool create)
{
    struct store *store;
    assert_int_equal(open_store(f, &store, create, NULL), STATUS_OK);
    return store;
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static bool exists(struct fixture *f, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    return access(path, F_OK) == 0;
}

static void make_folder(struct fixture *f, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    mkdir(f->folder, 0755);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void put(struct store *store, const char *key, struct slice value)
{
    struct engine *engine = store_writer_engine(store);
    struct engine_batch batch = {0};
    engine_batch_put(&batch, slice_from_text(key), value);
    assert_int_equal(engine->operations->write(engine, &batch, NULL), STATUS_OK);
    assert_int_equal(engine->operations->flush(engine, NULL), STATUS_OK);
    engine_batch_free(&batch);
}

static void a_missing_store_is_not_found_or_created(void **state)
{
    struct store *store;
    assert_int_equal(open_store(*state, &store, false, NULL), STATUS_NOT_FOUND);
    store = opened(*state, true);
    assert_int_equal(store_meta(store)->store_id, 42);
    assert_int_equal(store_meta(store)->marker, 1000);
    assert_int_equal(store_meta(store)->db_ids[2], 3);
    store_close(store);
}

static void a_created_store_is_durable_at_once(void **state)
{
    struct fixture *f = *state;
    store_close(opened(f, true));
    memory_store_crash(f->disks[0].store);
    struct store *store = opened(f, false);
    assert_int_equal(store_meta(store)->store_id, 42);
    store_close(store);
}

static void a_creation_that_failed_is_begun_again(void **state)
{
    struct fixture *f = *state;
    struct store *store;
    f->fail_calls = MEMORY_FLUSH;
    assert_int_equal(open_store(f, &store, true, NULL), STATUS_NO_SPACE);
    f->fail_calls = 0;
    assert_int_equal(open_store(f, &store, false, NULL), STATUS_NOT_FOUND);
    store_close(opened(f, true));
}

static void a_damaged_pointer_file_is_refused(void **state)
{
    struct fixture *f = *state;
    const char *const damaged[] = {"", "data-1", "data-x\n", "data-0\n", "data-01\n", "../data-1\n"};
    struct store *store;
    store_close(opened(f, true));
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        struct error error;
        write_file(f, "CURRENT", damaged[i]);
        assert_int_equal(open_store(f, &store, true, &error), STATUS_CORRUPT);
        assert_non_null(strstr(error.text, "CURRENT"));
    }
    assert_true(exists(f, "data-1"));
}

static void a_pointer_to_a_missing_folder_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store *store;
    struct error error;
    store_close(opened(f, true));
    write_file(f, "CURRENT", "data-7\n");
    assert_int_equal(open_store(f, &store, true, &error), STATUS_CORRUPT);
    assert_non_null(strstr(error.text, "data-7"));
    assert_true(exists(f, "data-1"));
}

static void a_lost_pointer_to_data_is_not_taken_for_an_empty_store(void **state)
{
    struct fixture *f = *state;
    struct error error;
    char path[160];
    struct store *store = opened(f, true);
    put(store, "K12345678key", SLICE_LITERAL("value"));
    store_close(store);
    write_file(f, "data-1/CURRENT", "MANIFEST-000002\n"); /* as LevelDB writes it */
    snprintf(path, sizeof path, "%s/CURRENT", f->folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_store(f, &store, true, &error), STATUS_CORRUPT);
    assert_non_null(strstr(error.text, "data-1"));
    write_file(f, "CURRENT", "data-1\n");
    store_close(opened(f, false));
}

static void leftovers_are_removed_but_never_the_named_folder(void **state)
{
    struct fixture *f = *state;
    store_close(opened(f, true));
    make_folder(f, "data-2");
    make_folder(f, "data-kept-by-hand");
    write_file(f, "data-2/000005.ldb", "old");
    write_file(f, "CURRENT.tmp", "data-2\n");
    store_close(opened(f, false));
    assert_true(exists(f, "data-1"));
    assert_true(exists(f, "data-kept-by-hand"));
    assert_false(exists(f, "data-2"));
    assert_false(exists(f, "CURRENT.tmp"));
}

static void a_newer_format_is_refused_with_both_versions(void **state)
{
    struct fixture *f = *state;
    struct error error;
    struct store *store = opened(f, true);
    put(store, "Mformat", SLICE_LITERAL("\x09\0\0\0"));
    store_close(store);
    assert_int_equal(open_store(f, &store, true, &error), STATUS_UNSUPPORTED);
    assert_non_null(strstr(error.text, "version 9"));
    assert_non_null(strstr(error.text, "version 1"));
}

static void a_foreign_leveldb_folder_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store *store;
    struct error error;
    make_folder(f, "data-1");
    write_file(f, "CURRENT", "MANIFEST-000004\n");
    assert_int_equal(open_store(f, &store, true, &error), STATUS_UNSUPPORTED);
    assert_non_null(strstr(error.text, "not a Kelvin store"));
    write_file(f, "CURRENT", "data-1\n");
    assert_int_equal(open_store(f, &store, true, &error), STATUS_CORRUPT);
    assert_non_null(strstr(error.text, "not a Kelvin store, or a damaged one"));
}

static void a_second_server_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error error;
    int first, second;
    assert_int_equal(store_lock(f->dir, &first, &error), STATUS_OK);
    assert_int_equal(store_lock(f->dir, &second, &error), STATUS_BUSY);
    assert_non_null(strstr(error.text, "another server is using"));
    store_unlock(first);
    assert_int_equal(store_lock(f->dir, &second, &error), STATUS_OK);
    store_unlock(second);
}

static void a_closed_store_tells_readers_why(void **state)
{
    struct store *store = opened(*state, true);
    struct engine *engine;
    struct error error;
    store_close_engine(store, STATUS_NO_SPACE, "the disk is full");
    assert_int_equal(store_acquire(store, &engine, &error), STATUS_NO_SPACE);
    assert_string_equal(error.text, "the disk is full");
    assert_int_equal(store_reopen(store, NULL), STATUS_OK);
    assert_int_equal(store_acquire(store, &engine, &error), STATUS_NO_SPACE);
    store_publish(store);
    assert_int_equal(store_acquire(store, &engine, &error), STATUS_OK);
    engine_unref(engine);
    store_close(store);
}

static void it_is_not_opened_again_while_a_job_holds_the_old_handle(void **state)
{
    struct store *store = opened(*state, true);
    struct engine *engine;
    assert_int_equal(store_acquire(store, &engine, NULL), STATUS_OK);
    assert_true(store_is_current(store, engine));
    store_close_engine(store, STATUS_AGAIN, "soon");
    assert_false(store_is_current(store, engine));
    assert_int_equal(store_reopen(store, NULL), STATUS_AGAIN);
    engine_unref(engine);
    assert_int_equal(store_reopen(store, NULL), STATUS_OK);
    store_close(store);
}

static void a_replaced_store_is_fresh_and_the_old_one_goes_with_its_last_job(void **state)
{
    struct fixture *f = *state;
    static const uint64_t db_ids[] = {2001, 2002, 2003};
    struct store *store = opened(f, true);
    struct engine *old, *now;
    assert_int_equal(store_acquire(store, &old, NULL), STATUS_OK);
    put(store, "Kold", SLICE_LITERAL("value"));
    assert_int_equal(store_replace(store, db_ids, 3000, NULL), STATUS_OK);
    assert_int_equal(store_acquire(store, &now, NULL), STATUS_OK);
    struct buffer value = {0};
    assert_int_equal(now->operations->get(now, NULL, SLICE_LITERAL("Kold"), &value, NULL),
                     STATUS_NOT_FOUND);
    assert_int_equal(old->operations->get(old, NULL, SLICE_LITERAL("Kold"), &value, NULL),
                     STATUS_OK);
    buffer_free(&value);
    assert_true(store_remove_replaced(store));
    assert_true(exists(f, "data-1"));
    engine_unref(old);
    assert_false(store_remove_replaced(store));
    assert_false(exists(f, "data-1"));
    engine_unref(now);
    store_close(store);

    memory_store_crash(f->disks[1].store);
    store = opened(f, false);
    assert_int_equal(store_meta(store)->marker, 3000);
    assert_int_equal(store_meta(store)->store_id, 42);
    assert_int_equal(store_meta(store)->db_ids[1], 2002);
    store_close(store);
}

static void a_store_that_is_closed_can_be_replaced(void **state)
{
    struct fixture *f = *state;
    static const uint64_t db_ids[] = {2001, 2002, 2003};
    struct store *store = opened(f, true);
    struct engine *old;
    assert_int_equal(store_acquire(store, &old, NULL), STATUS_OK);
    store_close_engine(store, STATUS_NO_SPACE, "full");
    assert_int_equal(store_replace(store, db_ids, 3000, NULL), STATUS_OK);
    assert_non_null(store_writer_engine(store));
    assert_true(store_remove_replaced(store)); /* a job has it */
    assert_true(exists(f, "data-1"));
    engine_unref(old);
    assert_false(store_remove_replaced(store));
    assert_false(exists(f, "data-1"));
    store_publish(store);
    assert_int_equal(store_acquire(store, &old, NULL), STATUS_OK);
    engine_unref(old);
    store_close(store);
}

static void a_replacement_that_fails_leaves_the_old_store(void **state)
{
    struct fixture *f = *state;
    static const uint64_t db_ids[] = {2001, 2002, 2003};
    struct store *store = opened(f, true);
    put(store, "Kold", SLICE_LITERAL("value"));
    const unsigned calls[] = {MEMORY_OPEN, MEMORY_WRITE, MEMORY_FLUSH};
    for (int i = 0; i < 3; i++) {
        f->fail_calls = calls[i];
        assert_int_equal(store_replace(store, db_ids, 3000, NULL), STATUS_NO_SPACE);
    }
    f->fail_calls = 0;
    store_close(store);
    store = opened(f, false);
    assert_int_equal(store_meta(store)->marker, 1000);
    assert_false(exists(f, "data-2"));
    store_close(store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_missing_store_is_not_found_or_created),
        TEST(a_created_store_is_durable_at_once),
        TEST(a_creation_that_failed_is_begun_again),
        TEST(a_damaged_pointer_file_is_refused),
        TEST(a_pointer_to_a_missing_folder_is_refused),
        TEST(a_lost_pointer_to_data_is_not_taken_for_an_empty_store),
        TEST(leftovers_are_removed_but_never_the_named_folder),
        TEST(a_newer_format_is_refused_with_both_versions),
        TEST(a_foreign_leveldb_folder_is_refused),
        TEST(a_second_server_is_refused),
        TEST(a_closed_store_tells_readers_why),
        TEST(it_is_not_opened_again_while_a_job_holds_the_old_handle),
        TEST(a_replaced_store_is_fresh_and_the_old_one_goes_with_its_last_job),
        TEST(a_store_that_is_closed_can_be_replaced),
        TEST(a_replacement_that_fails_leaves_the_old_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
