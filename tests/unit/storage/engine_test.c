/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The engine table: what every engine promises is asked of LevelDB and of the one in memory, then
 * what concerns files is asked of LevelDB alone. Faults are in engine_fault_test.c. */
#include "storage/engine_leveldb.h"

#include "base/memory.h"
#include "lib/memory_engine.h"
#include "lib/temp_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { VALUE_BYTES = 1000 };

struct fixture {
    struct memory_store *memory; /* NULL: LevelDB in `folder` */
    char *folder;
    struct leveldb_options options;
    struct leveldb_metrics metrics;
    struct engine *engine;
    struct error error;
};

#define CALL(fixture, function, ...)                                                               \
    (fixture)->engine->operations->function((fixture)->engine __VA_OPT__(, ) __VA_ARGS__)

static void open_engine(struct fixture *f)
{
    enum status status =
        f->memory ? memory_store_open(f->memory, &f->engine, &f->error)
                  : engine_open_leveldb(&f->engine, f->folder, true, &f->options, &f->metrics,
                                        &f->error);
    if (status != STATUS_OK) fail_msg("open: %s", f->error.text);
}

static void close_engine(struct fixture *f)
{
    if (f->engine) engine_unref(f->engine);
    f->engine = NULL;
}

static void reopen_engine(struct fixture *f)
{
    close_engine(f);
    open_engine(f);
}

static int set_up(void **state, bool in_memory)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    f->folder = temp_folder_create();
    if (in_memory) f->memory = memory_store_create();
    option_set_defaults(&leveldb_option_table, &f->options);
    f->options.write_buffer_bytes = 64 << 10;
    f->options.table_bytes = 1 << 20;
    open_engine(f);
    *state = f;
    return 0;
}

static int set_up_leveldb(void **state)
{
    return set_up(state, false);
}

static int set_up_memory(void **state)
{
    return set_up(state, true);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    close_engine(f);
    if (f->memory) memory_store_destroy(f->memory);
    option_free_strings(&leveldb_option_table, &f->options);
    temp_folder_remove(f->folder);
    mem_free(f);
    return 0;
}

static struct slice text(const char *characters)
{
    return slice_from_text(characters);
}

static void put(struct fixture *f, struct slice key, struct slice value)
{
    struct engine_batch batch = {0};
    engine_batch_put(&batch, key, value);
    assert_int_equal(CALL(f, write, &batch, &f->error), STATUS_OK);
    engine_batch_free(&batch);
}

static void delete_key(struct fixture *f, struct slice key)
{
    struct engine_batch batch = {0};
    engine_batch_delete(&batch, key);
    assert_int_equal(CALL(f, write, &batch, &f->error), STATUS_OK);
    engine_batch_free(&batch);
}

static void flush(struct fixture *f)
{
    assert_int_equal(CALL(f, flush, &f->error), STATUS_OK);
}

static bool has(struct fixture *f, struct engine_snapshot *snapshot, struct slice key,
                struct slice expected)
{
    struct buffer out = {0};
    enum status status = CALL(f, get, snapshot, key, &out, &f->error);
    bool is_equal = status == STATUS_OK && slice_equal(buffer_slice(&out), expected);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) fail_msg("get: %s", f->error.text);
    buffer_free(&out);
    return is_equal;
}

static bool is_absent(struct fixture *f, struct slice key)
{
    struct buffer out = {0};
    enum status status = CALL(f, get, NULL, key, &out, &f->error);
    buffer_free(&out);
    return status == STATUS_NOT_FOUND;
}

/* K000001 ... in the order of their numbers. */
static struct slice numbered_key(char *out, int number)
{
    return slice_make(out, (size_t)sprintf(out, "K%06d", number));
}

/* Values that do not compress. */
static void put_numbered(struct fixture *f, int from, int to)
{
    static uint64_t value[VALUE_BYTES / sizeof(uint64_t)];
    static uint64_t random = 88172645463325252u;
    for (int i = from; i < to; i++) {
        char key[16];
        for (size_t word = 0; word < sizeof value / sizeof *value; word++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            value[word] = random;
        }
        put(f, numbered_key(key, i), slice_make(value, sizeof value));
    }
}

/* How many of K000000... are there; fails if one is missing below one that is there. */
static int count_prefix(struct fixture *f, int limit)
{
    int present = 0;
    bool gap = false;
    for (int i = 0; i < limit; i++) {
        char key[16];
        if (is_absent(f, numbered_key(key, i))) {
            gap = true;
        } else {
            assert_false(gap);
            present++;
        }
    }
    return present;
}

/* --- what every engine promises --- */

static void a_batch_gives_back_what_was_put_in(void **state)
{
    (void)state;
    struct engine_batch batch = {0};
    engine_batch_put(&batch, SLICE_LITERAL("a\0b"), SLICE_LITERAL("value"));
    engine_batch_delete(&batch, SLICE_LITERAL("gone"));
    engine_batch_put(&batch, SLICE_LITERAL("empty"), (struct slice){NULL, 0});
    assert_int_equal(batch.count, 3);

    size_t position = 0;
    bool is_delete;
    struct slice key, value;
    assert_true(engine_batch_next(&batch, &position, &is_delete, &key, &value));
    assert_false(is_delete);
    assert_true(slice_equal(key, SLICE_LITERAL("a\0b")));
    assert_true(slice_equal(value, SLICE_LITERAL("value")));
    assert_true(engine_batch_next(&batch, &position, &is_delete, &key, &value));
    assert_true(is_delete);
    assert_true(slice_equal(key, SLICE_LITERAL("gone")));
    assert_true(engine_batch_next(&batch, &position, &is_delete, &key, &value));
    assert_true(slice_equal(key, SLICE_LITERAL("empty")));
    assert_int_equal(value.size, 0);
    assert_false(engine_batch_next(&batch, &position, &is_delete, &key, &value));

    engine_batch_clear(&batch);
    position = 0;
    assert_int_equal(batch.count, 0);
    assert_false(engine_batch_next(&batch, &position, &is_delete, &key, &value));
    engine_batch_free(&batch);
}

static void a_value_written_is_read_back(void **state)
{
    struct fixture *f = *state;
    put(f, SLICE_LITERAL("K\0\xff"), SLICE_LITERAL("v\0\n"));
    put(f, text("Kempty"), (struct slice){"", 0});
    assert_true(has(f, NULL, SLICE_LITERAL("K\0\xff"), SLICE_LITERAL("v\0\n")));
    assert_true(has(f, NULL, text("Kempty"), (struct slice){"", 0}));
    assert_true(is_absent(f, text("K")));
    delete_key(f, SLICE_LITERAL("K\0\xff"));
    assert_true(is_absent(f, SLICE_LITERAL("K\0\xff")));
}

static void a_get_appends_and_leaves_the_buffer_alone_where_there_is_nothing(void **state)
{
    struct fixture *f = *state;
    struct buffer out = {0};
    put(f, text("Ka"), text("b"));
    buffer_append_text(&out, "a");
    assert_int_equal(CALL(f, get, NULL, text("Kz"), &out, NULL), STATUS_NOT_FOUND);
    assert_int_equal(CALL(f, get, NULL, text("Ka"), &out, NULL), STATUS_OK);
    assert_true(slice_equal(buffer_slice(&out), text("ab")));
    buffer_free(&out);
}

static void the_last_operation_of_a_batch_on_a_key_holds(void **state)
{
    struct fixture *f = *state;
    struct engine_batch batch = {0};
    engine_batch_put(&batch, text("Ka"), text("1"));
    engine_batch_put(&batch, text("Kb"), text("1"));
    engine_batch_put(&batch, text("Ka"), text("2"));
    engine_batch_delete(&batch, text("Kb"));
    assert_int_equal(CALL(f, write, &batch, &f->error), STATUS_OK);
    engine_batch_free(&batch);
    assert_true(has(f, NULL, text("Ka"), text("2")));
    assert_true(is_absent(f, text("Kb")));
}

static void a_snapshot_sees_the_past(void **state)
{
    struct fixture *f = *state;
    put(f, text("Ka"), text("old"));
    put(f, text("Kb"), text("old"));
    struct engine_snapshot *snapshot = CALL(f, snapshot);
    put(f, text("Ka"), text("new"));
    delete_key(f, text("Kb"));
    put(f, text("Kc"), text("new"));
    assert_true(has(f, snapshot, text("Ka"), text("old")));
    assert_true(has(f, snapshot, text("Kb"), text("old")));
    assert_true(has(f, NULL, text("Ka"), text("new")));

    struct engine_iterator *iterator = CALL(f, iterate, snapshot, true);
    f->engine->operations->iterator_seek(iterator, text("Kb"));
    assert_true(f->engine->operations->iterator_valid(iterator));
    f->engine->operations->iterator_next(iterator);
    assert_false(f->engine->operations->iterator_valid(iterator));
    f->engine->operations->iterator_destroy(iterator);
    CALL(f, snapshot_release, snapshot);
}

static void an_iterator_walks_both_ways_over_tables_and_memory(void **state)
{
    struct fixture *f = *state;
    const struct engine_operations *o = f->engine->operations;
    put_numbered(f, 0, 100);
    flush(f);
    put_numbered(f, 100, 200);
    for (int i = 50; i < 150; i++) {
        char key[16];
        delete_key(f, numbered_key(key, i));
    }
    char expected[16];
    struct engine_iterator *iterator = o->iterate(f->engine, NULL, false);
    assert_false(o->iterator_valid(iterator));
    int seen = 0;
    for (o->iterator_seek(iterator, text("K")); o->iterator_valid(iterator);
         o->iterator_next(iterator)) {
        int number = seen < 50 ? seen : seen + 100;
        assert_true(slice_equal(o->iterator_key(iterator), numbered_key(expected, number)));
        assert_int_equal(o->iterator_value(iterator).size, VALUE_BYTES);
        seen++;
    }
    assert_int_equal(seen, 100);
    assert_int_equal(o->iterator_status(iterator, NULL), STATUS_OK);

    o->iterator_seek(iterator, text("K000100")); /* deleted: stands on the next */
    assert_true(slice_equal(o->iterator_key(iterator), text("K000150")));
    for (seen = 0; o->iterator_valid(iterator); o->iterator_previous(iterator)) seen++;
    assert_int_equal(seen, 51);
    o->iterator_seek(iterator, text("L"));
    assert_false(o->iterator_valid(iterator));
    o->iterator_destroy(iterator);
}

static void an_iterator_does_not_see_later_writes(void **state)
{
    struct fixture *f = *state;
    const struct engine_operations *o = f->engine->operations;
    put(f, text("Ka"), text("1"));
    struct engine_iterator *iterator = o->iterate(f->engine, NULL, true);
    put(f, text("Ka"), text("2"));
    put(f, text("Kb"), text("2"));
    o->iterator_seek(iterator, text("K"));
    assert_true(slice_equal(o->iterator_value(iterator), text("1")));
    o->iterator_next(iterator);
    assert_false(o->iterator_valid(iterator));
    o->iterator_destroy(iterator);
}

static void what_was_flushed_outlives_a_close_and_the_rest_does_not(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 0, 10);
    flush(f);
    put_numbered(f, 10, 15);
    delete_key(f, text("K000000"));
    reopen_engine(f);
    assert_int_equal(count_prefix(f, 20), 10);
}

static void a_flush_makes_the_generation_of_every_earlier_write_durable(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 3; round++) {
        put_numbered(f, round * 10, round * 10 + 10);
        uint64_t generation = CALL(f, write_generation);
        assert_true(CALL(f, durable_generation) <= generation);
        flush(f);
        assert_true(CALL(f, durable_generation) > generation);
        assert_true(CALL(f, durable_generation) <= CALL(f, write_generation));
    }
    flush(f); /* with nothing to write */
    flush(f);
    reopen_engine(f);
    assert_int_equal(count_prefix(f, 40), 30);
    flush(f);
}

static void an_engine_lives_until_its_last_reference_is_gone(void **state)
{
    struct fixture *f = *state;
    struct engine *second = engine_ref(f->engine);
    put(f, text("Ka"), text("1"));
    engine_unref(f->engine);
    f->engine = second;
    assert_true(has(f, NULL, text("Ka"), text("1")));
}

static void a_second_handle_is_refused(void **state)
{
    struct fixture *f = *state;
    struct engine *second = NULL;
    enum status status =
        f->memory ? memory_store_open(f->memory, &second, &f->error)
                  : engine_open_leveldb(&second, f->folder, true, &f->options, &f->metrics,
                                        &f->error);
    assert_int_equal(status, STATUS_BUSY);
    put(f, text("Ka"), text("1"));
    assert_true(has(f, NULL, text("Ka"), text("1")));
}

/* --- LevelDB alone --- */

static void full_memtables_become_durable_by_themselves(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 0, 500); /* several times the write buffer */
    uint64_t generation = CALL(f, write_generation);
    assert_true(generation >= 4);
    /* A switch waits until the memtable before the last one is in its table. */
    assert_true(CALL(f, durable_generation) + 1 >= generation);
    int durable_at_least = 0;
    if (CALL(f, durable_generation) == generation) durable_at_least = 400;
    reopen_engine(f);
    assert_true(count_prefix(f, 500) >= durable_at_least);
}

static void a_process_that_dies_leaves_a_prefix_of_its_writes(void **state)
{
    struct fixture *f = *state;
    close_engine(f);
    for (int round = 1; round <= 4; round++) {
        pid_t child = fork();
        if (child == 0) {
            open_engine(f);
            put_numbered(f, 0, round * 97);
            flush(f);
            put_numbered(f, round * 97, round * 97 + 250);
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
        open_engine(f);
        int present = count_prefix(f, 1000);
        assert_in_range(present, round * 97, round * 97 + 250);
        close_engine(f);
        char *old = f->folder;
        f->folder = temp_folder_create();
        temp_folder_remove(old);
    }
    open_engine(f);
}

static void a_copy_taken_while_deletions_are_held_back_is_a_whole_store(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 0, 300);
    flush(f);
    leveldb_files_hold_deletions(engine_leveldb_files(f->engine), true);
    put_numbered(f, 300, 310);
    struct fixture copy = {.folder = temp_folder_path(f->folder, "copy"), .options = f->options};
    temp_folder_copy(f->folder, copy.folder);
    leveldb_files_hold_deletions(engine_leveldb_files(f->engine), false);
    open_engine(&copy);
    assert_int_equal(count_prefix(&copy, 400), 300);
    close_engine(&copy);
    mem_free(copy.folder);
}

static size_t count_tables(const struct fixture *f)
{
    char command[512], line[32] = "";
    snprintf(command, sizeof command, "ls '%s' | grep -c ldb", f->folder);
    FILE *output = popen(command, "r");
    if (!fgets(line, sizeof line, output)) line[0] = '0';
    pclose(output);
    return (size_t)atol(line);
}

static void held_back_deletions_are_carried_out_when_let_go(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 0, 200);
    flush(f);
    CALL(f, compact, text("K"), text("L"));
    size_t tables = count_tables(f);
    leveldb_files_hold_deletions(engine_leveldb_files(f->engine), true);
    put_numbered(f, 0, 200);
    flush(f);
    CALL(f, compact, text("K"), text("L"));
    assert_true(count_tables(f) > tables);
    leveldb_files_hold_deletions(engine_leveldb_files(f->engine), false);
    assert_true(count_tables(f) <= tables + 1);
    assert_int_equal(count_prefix(f, 200), 200);
}

static void a_new_file_does_not_inherit_a_held_back_deletion(void **state)
{
    struct fixture *f = *state;
    struct leveldb_files *files = engine_leveldb_files(f->engine);
    char *path = temp_folder_path(f->folder, "999999.ldb"), *link_path =
        temp_folder_path(f->folder, "backup");
    int fd;
    size_t done;
    char bytes[4];
    leveldb_files_hold_deletions(files, true);
    assert_int_equal(leveldb_files_new(files, path, &fd), 0);
    assert_int_equal(leveldb_files_append(files, path, fd, "old", 3), 0);
    close(fd);
    assert_int_equal(link(path, link_path), 0);
    assert_int_equal(leveldb_files_remove(files, path), 0);
    assert_true(leveldb_files_is_hidden(files, path));
    assert_int_equal(access(path, F_OK), 0);

    assert_int_equal(leveldb_files_new(files, path, &fd), 0);
    assert_int_equal(leveldb_files_append(files, path, fd, "new", 3), 0);
    close(fd);
    assert_false(leveldb_files_is_hidden(files, path));
    leveldb_files_hold_deletions(files, false);
    assert_int_equal(access(path, F_OK), 0);

    assert_int_equal(leveldb_files_open(files, link_path, &fd), 0);
    assert_int_equal(leveldb_files_read(files, link_path, fd, 0, bytes, 4, &done), 0);
    assert_int_equal(done, 3);
    assert_memory_equal(bytes, "old", 3);
    close(fd);
    mem_free(path);
    mem_free(link_path);
}

static void another_process_is_told_that_the_store_is_in_use(void **state)
{
    struct fixture *f = *state;
    close_engine(f); /* no thread at the fork */
    int opened[2];
    assert_int_equal(pipe(opened), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        struct engine *second;
        if (read(opened[0], &byte, 1) != 1) _exit(2);
        enum status status = engine_open_leveldb(&second, f->folder, true, &f->options,
                                                 &f->metrics, &f->error);
        _exit(status == STATUS_BUSY && strstr(f->error.text, "another process") ? 0 : 1);
    }
    open_engine(f);
    assert_int_equal(write(opened[1], "", 1), 1);
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    close(opened[0]);
    close(opened[1]);
}

/* Changes a byte of every table, well inside the first block. */
static void damage_tables(const struct fixture *f)
{
    char command[1024];
    snprintf(command, sizeof command,
             "for t in '%s'/*.ldb; do printf '\\125' | dd of=$t bs=1 seek=300 conv=notrunc "
             "status=none; done", f->folder);
    assert_int_equal(system(command), 0);
}

static void a_damaged_table_is_named_by_a_get_and_by_a_walk(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 0, 40);
    flush(f);
    close_engine(f);
    damage_tables(f);
    open_engine(f);
    struct buffer out = {0};
    assert_int_equal(CALL(f, get, NULL, text("K000000"), &out, &f->error), STATUS_CORRUPT);
    assert_non_null(strstr(f->error.text, f->folder));
    assert_non_null(strstr(f->error.text, ".ldb, offset 0"));
    assert_int_equal(out.size, 0);

    const struct engine_operations *o = f->engine->operations;
    struct engine_iterator *iterator = o->iterate(f->engine, NULL, true);
    o->iterator_seek(iterator, text("K"));
    assert_int_equal(o->iterator_status(iterator, &f->error), STATUS_CORRUPT);
    o->iterator_destroy(iterator);
    buffer_free(&out);
}

static void a_table_that_vanishes_is_damage_and_not_an_absent_key(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 0, 40);
    flush(f);
    reopen_engine(f); /* no table is open now */
    char command[512];
    snprintf(command, sizeof command, "rm '%s'/*.ldb", f->folder);
    assert_int_equal(system(command), 0);
    struct buffer out = {0};
    assert_int_equal(CALL(f, get, NULL, text("K000000"), &out, &f->error), STATUS_CORRUPT);
    buffer_free(&out);
    close_engine(f);
    struct engine *engine;
    assert_int_equal(engine_open_leveldb(&engine, f->folder, true, &f->options, &f->metrics,
                                         &f->error), STATUS_CORRUPT);
    assert_non_null(strstr(f->error.text, ".ldb"));
}

static void a_damaged_manifest_is_refused(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 0, 40);
    flush(f);
    close_engine(f);
    char command[512];
    snprintf(command, sizeof command,
             "for t in '%s'/MANIFEST-*; do printf '\\125' | dd of=$t bs=1 seek=20 conv=notrunc "
             "status=none; done", f->folder);
    assert_int_equal(system(command), 0);
    struct engine *engine;
    assert_int_equal(engine_open_leveldb(&engine, f->folder, true, &f->options, &f->metrics,
                                         &f->error), STATUS_CORRUPT);
    assert_non_null(strstr(f->error.text, "MANIFEST-"));
}

static void a_folder_without_a_store_is_not_filled_unless_asked(void **state)
{
    struct fixture *f = *state;
    char *folder = temp_folder_path(f->folder, "none");
    struct engine *engine;
    assert_int_equal(engine_open_leveldb(&engine, folder, false, &f->options, &f->metrics,
                                         &f->error), STATUS_NOT_FOUND);
    assert_int_not_equal(access(folder, F_OK), 0);
    mem_free(folder);
}

static void the_log_of_another_program_is_refused(void **state)
{
    struct fixture *f = *state;
    close_engine(f);
    char *path = temp_folder_path(f->folder, "000123.log");
    FILE *file = fopen(path, "w");
    fclose(file);
    open_engine(f); /* an empty one says nothing */
    close_engine(f);
    file = fopen(path, "w");
    fputs("writes", file);
    fclose(file);
    struct engine *engine;
    assert_int_equal(engine_open_leveldb(&engine, f->folder, true, &f->options, &f->metrics,
                                         &f->error), STATUS_UNSUPPORTED);
    assert_non_null(strstr(f->error.text, "000123.log"));
    mem_free(path);
}

static void it_leaves_no_log_on_disk_and_counts_what_it_does(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 0, 500);
    flush(f);
    reopen_engine(f);
    assert_int_equal(count_prefix(f, 500), 500);
    char command[512];
    snprintf(command, sizeof command, "ls '%s' | grep -qiE '[.]log|^LOG'", f->folder);
    assert_int_not_equal(system(command), 0);
    struct leveldb_metrics *m = &f->metrics;
    assert_true(counter_get(&m->log_bytes_dropped) > 500 * VALUE_BYTES);
    assert_true(counter_get(&m->written_bytes[LEVELDB_TABLE]) > 500 * VALUE_BYTES);
    assert_true(counter_get(&m->writes[LEVELDB_TABLE]) < 500);
    assert_true(counter_get(&m->read_bytes[LEVELDB_TABLE]) > 500 * VALUE_BYTES);
    assert_true(counter_get(&m->syncs[LEVELDB_TABLE]) >= 8);
    assert_true(counter_get(&m->syncs[LEVELDB_MANIFEST]) >= 8);
    assert_true(counter_get(&m->reads[LEVELDB_OTHER]) > 0);
    assert_true(counter_get(&m->files_created) >= counter_get(&m->files_deleted));
    assert_int_equal(atomic_load(&m->get_seconds.count), 500);
}

static void it_works_with_every_layer_turned_off(void **state)
{
    struct fixture *f = *state;
    close_engine(f);
    f->options.block_cache_bytes = 0;
    f->options.bloom_bits = 0;
    f->options.compression = false;
    f->options.paranoid_checks = false;
    open_engine(f);
    put_numbered(f, 0, 200);
    flush(f);
    reopen_engine(f);
    assert_int_equal(count_prefix(f, 200), 200);
    assert_int_equal(count_prefix(f, 200), 200);
    /* Nothing was kept: both passes read every block. */
    assert_true(counter_get(&f->metrics.reads[LEVELDB_TABLE]) >= 400);
    char *usage = CALL(f, property, "leveldb.approximate-memory-usage");
    assert_true(atol(usage) < 100000);
    mem_free(usage);
}

static void properties_and_sizes_are_told(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 0, 300);
    flush(f);
    char *stats = CALL(f, property, "leveldb.stats");
    assert_non_null(strstr(stats, "Level"));
    mem_free(stats);
    assert_null(CALL(f, property, "leveldb.nonsense"));
    uint64_t all = CALL(f, approximate_bytes, text("K"), text("L"));
    assert_in_range(all, 200 * VALUE_BYTES, 400 * VALUE_BYTES);
    assert_int_equal(CALL(f, approximate_bytes, text("L"), text("M")), 0);
    assert_string_equal(engine_leveldb_version(), "1.23");
}

static unsigned long tables_at(struct fixture *f, int level)
{
    char name[40];
    snprintf(name, sizeof name, "leveldb.num-files-at-level%d", level);
    char *text = CALL(f, property, name);
    unsigned long count = strtoul(text, NULL, 10);
    mem_free(text);
    return count;
}

/* Each of them overlaps the others, so that none can go to a lower level by itself. */
static void put_tables(struct fixture *f, int count)
{
    for (int i = 0; i < count; i++) {
        put(f, text("a"), text("first"));
        put_numbered(f, i, i + 1);
        put(f, text("z"), text("last"));
        flush(f);
    }
}

static void an_urgent_store_compacts_only_when_writes_would_wait(void **state)
{
    struct fixture *f = *state;
    close_engine(f);
    f->options.is_urgent = true;
    open_engine(f);
    put_tables(f, 7);
    unsigned long above = tables_at(f, 0);
    assert_true(above >= 5); /* the first one or two found nothing to overlap */
    put_tables(f, 30);
    assert_true(tables_at(f, 0) < 13);
    f->options.is_urgent = false;
    reopen_engine(f);
    assert_int_equal(count_prefix(f, 31), 30);
}

static void a_cancelled_store_takes_nothing_and_keeps_what_was_durable(void **state)
{
    struct fixture *f = *state;
    struct engine_batch batch = {0};
    put(f, text("kept"), text("value"));
    flush(f);
    put(f, text("not flushed"), text("value"));
    CALL(f, cancel);
    assert_int_not_equal(CALL(f, flush, &f->error), STATUS_OK);
    for (int i = 0; i < 1000; i++) engine_batch_put(&batch, text("more"), text("and more, and more"));
    enum status status = STATUS_OK;
    for (int i = 0; i < 100 && status == STATUS_OK; i++) status = CALL(f, write, &batch, &f->error);
    assert_int_not_equal(status, STATUS_OK);
    engine_batch_free(&batch);
    reopen_engine(f);
    assert_true(has(f, NULL, text("kept"), text("value")));
    assert_true(is_absent(f, text("not flushed")));
}

static void a_compaction_takes_deleted_records_out_of_the_files(void **state)
{
    struct fixture *f = *state;
    put_numbered(f, 0, 300);
    flush(f);
    for (int i = 0; i < 300; i++) {
        char key[16];
        delete_key(f, numbered_key(key, i));
    }
    flush(f);
    CALL(f, compact, text("K"), text("L"));
    assert_true(CALL(f, approximate_bytes, text("K"), text("L")) < 20 * VALUE_BYTES);
}

#define ON_BOTH(test)                                                                              \
    cmocka_unit_test_setup_teardown(test, set_up_leveldb, tear_down),                              \
        { #test "_in_memory", test, set_up_memory, tear_down, NULL }
#define ON_LEVELDB(test) cmocka_unit_test_setup_teardown(test, set_up_leveldb, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_gives_back_what_was_put_in),
        ON_BOTH(a_value_written_is_read_back),
        ON_BOTH(a_get_appends_and_leaves_the_buffer_alone_where_there_is_nothing),
        ON_BOTH(the_last_operation_of_a_batch_on_a_key_holds),
        ON_BOTH(a_snapshot_sees_the_past),
        ON_BOTH(an_iterator_walks_both_ways_over_tables_and_memory),
        ON_BOTH(an_iterator_does_not_see_later_writes),
        ON_BOTH(what_was_flushed_outlives_a_close_and_the_rest_does_not),
        ON_BOTH(a_flush_makes_the_generation_of_every_earlier_write_durable),
        ON_BOTH(an_engine_lives_until_its_last_reference_is_gone),
        ON_BOTH(a_second_handle_is_refused),
        ON_LEVELDB(full_memtables_become_durable_by_themselves),
        ON_LEVELDB(a_process_that_dies_leaves_a_prefix_of_its_writes),
        ON_LEVELDB(a_copy_taken_while_deletions_are_held_back_is_a_whole_store),
        ON_LEVELDB(held_back_deletions_are_carried_out_when_let_go),
        ON_LEVELDB(a_new_file_does_not_inherit_a_held_back_deletion),
        ON_LEVELDB(another_process_is_told_that_the_store_is_in_use),
        ON_LEVELDB(a_damaged_table_is_named_by_a_get_and_by_a_walk),
        ON_LEVELDB(a_table_that_vanishes_is_damage_and_not_an_absent_key),
        ON_LEVELDB(a_damaged_manifest_is_refused),
        ON_LEVELDB(a_folder_without_a_store_is_not_filled_unless_asked),
        ON_LEVELDB(the_log_of_another_program_is_refused),
        ON_LEVELDB(it_leaves_no_log_on_disk_and_counts_what_it_does),
        ON_LEVELDB(it_works_with_every_layer_turned_off),
        ON_LEVELDB(properties_and_sizes_are_told),
        ON_LEVELDB(a_compaction_takes_deleted_records_out_of_the_files),
        ON_LEVELDB(an_urgent_store_compacts_only_when_writes_would_wait),
        ON_LEVELDB(a_cancelled_store_takes_nothing_and_keeps_what_was_durable),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
