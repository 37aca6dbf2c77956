/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LevelDB on a disk that fails. One course of opening, writing, flushing, compacting and closing is
 * run again and again; each time the next operation on a file is the first that fails, once or for
 * ever. Afterwards the store is opened three times: as it lies there, and as a power cut would have
 * left it (names as of the last sync of the folder, each file's bytes as of its last sync), with
 * the files that were deleted since, and without them. It must hold a prefix of the writes, and all
 * that was known to be durable. */
#include "storage/engine_leveldb.h"

#include "base/memory.h"
#include "lib/temp_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Under a sanitizer every tenth point must do. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRIDE 10
#else
#define STRIDE 1
#endif

enum { VALUE_BYTES = 8000, MAX_FILES = 512, MAX_WRITES = 200 };

/* --- the disk --- */

/* What a file held when it was last synced. Every synced file stays linked in `side`. */
struct synced_file {
    ino_t inode;
    off_t bytes;
};

struct name {
    char text[64];
    ino_t inode;
};

struct disk {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int tables_allowed; /* -1: any number */
    bool is_holding;
    int tables_asked;
    char *folder, *side;
    unsigned long calls, fail_at; /* 0: never */
    bool fail_for_ever;
    int fail_with;
    int only_operation; /* -1: any */
    const char *only_name; /* or NULL: any */
    struct synced_file files[MAX_FILES];
    struct name names[MAX_FILES]; /* as of the last sync of the folder */
    size_t file_count, name_count;
};

static void note_synced(struct disk *disk, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) return;
    size_t i = 0;
    while (i < disk->file_count && disk->files[i].inode != info.st_ino) i++;
    assert_true(i < MAX_FILES);
    if (i == disk->file_count) {
        disk->file_count++;
        char name[32];
        snprintf(name, sizeof name, "%lu", (unsigned long)info.st_ino);
        char *link_path = temp_folder_path(disk->side, name);
        assert_int_equal(link(path, link_path), 0);
        mem_free(link_path);
    }
    disk->files[i] = (struct synced_file){info.st_ino, info.st_size};
}

static void note_names(struct disk *disk)
{
    DIR *directory = opendir(disk->folder);
    const struct dirent *entry;
    disk->name_count = 0;
    while ((entry = readdir(directory))) {
        if (entry->d_type != DT_REG) continue;
        assert_true(disk->name_count < MAX_FILES);
        struct name *name = &disk->names[disk->name_count++];
        snprintf(name->text, sizeof name->text, "%.63s", entry->d_name);
        name->inode = entry->d_ino;
    }
    closedir(directory);
}

static int disk_operation(void *context, enum leveldb_operation operation, const char *path)
{
    struct disk *disk = context;
    int error_number = 0;
    pthread_mutex_lock(&disk->lock);
    pthread_cond_broadcast(&disk->changed);
    if ((disk->only_operation < 0 || disk->only_operation == (int)operation) &&
        (!disk->only_name || strstr(path, disk->only_name))) {
        unsigned long n = ++disk->calls;
        if (disk->fail_at && (n == disk->fail_at || (disk->fail_for_ever && n > disk->fail_at))) {
            error_number = disk->fail_with;
        }
    }
    if (operation == LEVELDB_NEW && strstr(path, ".ldb")) {
        while (disk->tables_allowed == 0) {
            disk->is_holding = true;
            pthread_cond_broadcast(&disk->changed);
            pthread_cond_wait(&disk->changed, &disk->lock);
        }
        if (disk->tables_allowed > 0) disk->tables_allowed--;
        disk->tables_asked++;
    }
    if (!error_number && operation == LEVELDB_SYNC) note_synced(disk, path);
    if (!error_number && operation == LEVELDB_SYNC_FOLDER) note_names(disk);
    pthread_mutex_unlock(&disk->lock);
    return error_number;
}

static void copy_start(const char *from, const char *to, off_t bytes)
{
    FILE *in = from ? fopen(from, "r") : NULL, *out = fopen(to, "w");
    assert_non_null(out);
    char *content = mem_calloc(1, (size_t)bytes + 1);
    if (in && bytes > 0) assert_int_equal(fread(content, (size_t)bytes, 1, in), 1);
    fwrite(content, (size_t)bytes, 1, out);
    mem_free(content);
    if (in) fclose(in);
    fclose(out);
}

static bool is_deleted(const struct disk *disk, const struct name *name)
{
    char *path = temp_folder_path(disk->folder, name->text);
    bool exists = access(path, F_OK) == 0;
    mem_free(path);
    return !exists;
}

/* The folder that a power cut at this moment leaves at worst. */
static void build_cut_folder(const struct disk *disk, const char *target, bool with_deleted)
{
    mkdir(target, 0755);
    for (size_t i = 0; i < disk->name_count; i++) {
        const struct name *name = &disk->names[i];
        if (!with_deleted && is_deleted(disk, name)) continue;
        size_t f = 0;
        while (f < disk->file_count && disk->files[f].inode != name->inode) f++;
        char inode[32];
        snprintf(inode, sizeof inode, "%lu", (unsigned long)name->inode);
        char *to = temp_folder_path(target, name->text);
        char *from = temp_folder_path(disk->side, inode);
        if (f < disk->file_count) copy_start(from, to, disk->files[f].bytes);
        else copy_start(NULL, to, 0);
        mem_free(from);
        mem_free(to);
    }
}

/* --- the course --- */

struct course {
    struct disk disk;
    struct leveldb_options options;
    struct leveldb_metrics metrics;
    struct error error;
    int accepted, durable; /* counts of writes */
    uint64_t generations[MAX_WRITES];
    enum status first_failure;
};

static void note_status(struct course *c, enum status status)
{
    if (status == STATUS_OK || c->first_failure != STATUS_OK) return;
    c->first_failure = status;
    enum status expected = status_from_errno(c->disk.fail_with);
    /* A failed read of CURRENT or a MANIFEST is damage to LevelDB's eyes. */
    if (status != expected && status != STATUS_CORRUPT) {
        fail_msg("operation %lu, errno %d: %s: %s", c->disk.fail_at, c->disk.fail_with,
                 status_text(status), c->error.text);
    }
    assert_non_null(strstr(c->error.text, c->disk.folder));
}

static bool write_numbered(struct course *c, struct engine *engine)
{
    static char value[VALUE_BYTES];
    static unsigned random = 1;
    for (size_t i = 0; i < sizeof value; i++) {
        random = random * 69069 + 1;
        value[i] = (char)(random >> 24);
    }
    char key[16];
    struct engine_batch batch = {0};
    int n = sprintf(key, "K%04d", c->accepted);
    engine_batch_put(&batch, slice_make(key, (size_t)n), slice_make(value, sizeof value));
    engine_batch_put(&batch, SLICE_LITERAL("Mlast"), slice_make(&c->accepted, sizeof(int)));
    enum status status = engine->operations->write(engine, &batch, &c->error);
    note_status(c, status);
    engine_batch_free(&batch);
    if (status != STATUS_OK) return false;
    assert_true(c->accepted < MAX_WRITES);
    c->generations[c->accepted++] = engine->operations->write_generation(engine);
    return true;
}

static void flush(struct course *c, struct engine *engine)
{
    enum status status = engine->operations->flush(engine, &c->error);
    note_status(c, status);
    if (status == STATUS_OK) c->durable = c->accepted;
}

/* What the generations say; then every call is made once more, on an engine that may be broken. */
static void finish(struct course *c, struct engine *engine)
{
    uint64_t durable = engine->operations->durable_generation(engine);
    for (int i = c->durable; i < c->accepted; i++) {
        if (c->generations[i] < durable) c->durable = i + 1;
    }
    struct buffer out = {0};
    enum status status =
        engine->operations->get(engine, NULL, SLICE_LITERAL("K0000"), &out, &c->error);
    if (c->accepted > 0) assert_int_not_equal(status, STATUS_NOT_FOUND);
    buffer_free(&out);
    struct engine_iterator *iterator = engine->operations->iterate(engine, NULL, false);
    int seen = 0;
    for (engine->operations->iterator_seek(iterator, SLICE_LITERAL("K"));
         engine->operations->iterator_valid(iterator);
         engine->operations->iterator_next(iterator)) {
        seen++;
    }
    if (engine->operations->iterator_status(iterator, &c->error) == STATUS_OK) {
        assert_int_equal(seen, c->accepted + (c->accepted > 0));
    }
    engine->operations->iterator_destroy(iterator);
}

/* The number of the last write that the store holds, or -1. */
static int read_last(struct engine *engine)
{
    struct buffer out = {0};
    int last = -1;
    if (engine->operations->get(engine, NULL, SLICE_LITERAL("Mlast"), &out, NULL) == STATUS_OK) {
        memcpy(&last, out.data, sizeof last);
    }
    buffer_free(&out);
    return last;
}

/* Two openings, many memtables, flushes and compactions. Goes on after errors, as far as it
 * can. */
static void run_course(struct course *c)
{
    for (int round = 0; round < 2; round++) {
        struct engine *engine;
        enum status status = engine_open_leveldb(&engine, c->disk.folder, true, &c->options,
                                                 &c->metrics, &c->error);
        note_status(c, status);
        if (status != STATUS_OK) continue;
        int last = read_last(engine);
        if (last + 1 > c->durable) c->durable = last + 1; /* it came from tables */
        c->accepted = c->durable;
        for (int i = 0; i < 20; i++) write_numbered(c, engine);
        flush(c, engine);
        for (int i = 0; i < 6; i++) write_numbered(c, engine);
        if (round > 0) {
            engine->operations->compact(engine, SLICE_LITERAL("K"), SLICE_LITERAL("N"));
        }
        flush(c, engine);
        write_numbered(c, engine);
        finish(c, engine);
        engine_unref(engine);
    }
}

/* Opens the folder on a good disk: a prefix, with all that was durable; usable again. */
static void check_store(struct course *c, const char *folder)
{
    struct engine *engine;
    struct error error;
    if (engine_open_leveldb(&engine, folder, true, &c->options, &c->metrics, &error) !=
        STATUS_OK) {
        fail_msg("operation %lu, errno %d: reopening %s: %s", c->disk.fail_at, c->disk.fail_with,
                 folder, error.text);
    }
    struct buffer out = {0};
    int last = read_last(engine);
    if (last + 1 < c->durable) {
        fail_msg("operation %lu, errno %d: %s holds %d writes, durable were %d", c->disk.fail_at,
                 c->disk.fail_with, folder, last + 1, c->durable);
    }
    for (int i = 0; i < MAX_WRITES; i++) {
        char key[16];
        int n = sprintf(key, "K%04d", i);
        enum status status = engine->operations->get(engine, NULL, slice_make(key, (size_t)n), &out,
                                                     &error);
        assert_int_equal(status, i <= last ? STATUS_OK : STATUS_NOT_FOUND);
        buffer_clear(&out);
    }
    buffer_free(&out);
    struct engine_batch batch = {0};
    engine_batch_put(&batch, SLICE_LITERAL("Kz"), SLICE_LITERAL("again"));
    assert_int_equal(engine->operations->write(engine, &batch, NULL), STATUS_OK);
    assert_int_equal(engine->operations->flush(engine, NULL), STATUS_OK);
    engine_batch_free(&batch);
    engine_unref(engine);
}

/* As it lies there, and after a power cut. The disk is good again. */
static void check_futures(struct course *c)
{
    leveldb_files_set_fault(NULL, NULL);
    char *cut = temp_folder_path(c->disk.side, "cut");
    char *bare = temp_folder_path(c->disk.side, "bare");
    build_cut_folder(&c->disk, cut, true);
    build_cut_folder(&c->disk, bare, false);
    check_store(c, c->disk.folder);
    check_store(c, cut);
    check_store(c, bare);
    mem_free(cut);
    mem_free(bare);
}

static struct course *course_create(void)
{
    struct course *c = mem_calloc(1, sizeof *c);
    pthread_mutex_init(&c->disk.lock, NULL);
    pthread_cond_init(&c->disk.changed, NULL);
    c->disk.folder = temp_folder_create();
    c->disk.side = temp_folder_create();
    c->disk.only_operation = -1;
    c->disk.tables_allowed = -1;
    option_set_defaults(&leveldb_option_table, &c->options);
    c->options.write_buffer_bytes = 64 << 10;
    c->options.table_bytes = 1 << 20;
    leveldb_files_set_fault(disk_operation, &c->disk);
    return c;
}

static void course_destroy(struct course *c)
{
    leveldb_files_set_fault(NULL, NULL);
    temp_folder_remove(c->disk.folder);
    temp_folder_remove(c->disk.side);
    option_free_strings(&leveldb_option_table, &c->options);
    pthread_cond_destroy(&c->disk.changed);
    pthread_mutex_destroy(&c->disk.lock);
    mem_free(c);
}

/* Runs the course with one fault and checks its futures. Returns how many operations it had. */
static unsigned long run_with_fault(unsigned long fail_at, bool for_ever, int fail_with,
                                    int operation, const char *name)
{
    struct course *c = course_create();
    c->disk.fail_at = fail_at;
    c->disk.fail_for_ever = for_ever;
    c->disk.fail_with = fail_with;
    c->disk.only_operation = operation;
    c->disk.only_name = name;
    run_course(c);
    if (fail_at == 0) {
        assert_int_equal(c->first_failure, STATUS_OK);
        assert_int_equal(c->durable, 52);
    }
    unsigned long calls = c->disk.calls;
    check_futures(c);
    course_destroy(c);
    return calls;
}

static void sweep(bool for_ever, int fail_with)
{
    unsigned long total = run_with_fault(0, false, fail_with, -1, NULL);
    assert_true(total > 100);
    for (unsigned long n = 1; n <= total; n += STRIDE) {
        run_with_fault(n, for_ever, fail_with, -1, NULL);
    }
}

static void any_operation_may_fail_once(void **state)
{
    (void)state;
    sweep(false, EIO);
}

static void from_any_operation_on_everything_may_fail(void **state)
{
    (void)state;
    sweep(true, EIO);
}

static void the_disk_may_be_full_from_any_append_on(void **state)
{
    (void)state;
    unsigned long total = run_with_fault(0, false, ENOSPC, LEVELDB_APPEND, NULL);
    for (unsigned long n = 1; n <= total; n += STRIDE) {
        run_with_fault(n, true, ENOSPC, LEVELDB_APPEND, NULL);
        run_with_fault(n, false, ENOSPC, LEVELDB_APPEND, NULL);
    }
}

/* --- single faults --- */

static struct engine *open_good(struct course *c)
{
    struct engine *engine;
    enum status status = engine_open_leveldb(&engine, c->disk.folder, true, &c->options,
                                             &c->metrics, &c->error);
    if (status != STATUS_OK) fail_msg("open: %s", c->error.text);
    return engine;
}

static void fail_next(struct course *c, int operation, const char *name, int fail_with)
{
    pthread_mutex_lock(&c->disk.lock);
    c->disk.only_operation = operation;
    c->disk.only_name = name;
    c->disk.fail_at = c->disk.calls + 1;
    c->disk.fail_with = fail_with;
    pthread_mutex_unlock(&c->disk.lock);
}

static void a_full_disk_at_the_manifest_refuses_writes_until_reopened(void **state)
{
    (void)state;
    struct course *c = course_create();
    struct engine *engine = open_good(c);
    assert_true(write_numbered(c, engine));
    flush(c, engine);
    assert_true(write_numbered(c, engine));
    uint64_t durable = engine->operations->durable_generation(engine);
    fail_next(c, LEVELDB_APPEND, "MANIFEST", ENOSPC);
    assert_int_equal(engine->operations->flush(engine, &c->error), STATUS_NO_SPACE);
    assert_non_null(strstr(c->error.text, "MANIFEST"));
    for (int i = 0; i < 3; i++) {
        struct engine_batch batch = {0};
        engine_batch_put(&batch, SLICE_LITERAL("Ka"), SLICE_LITERAL("b"));
        assert_int_equal(engine->operations->write(engine, &batch, &c->error), STATUS_NO_SPACE);
        assert_int_equal(engine->operations->flush(engine, &c->error), STATUS_NO_SPACE);
        engine_batch_free(&batch);
    }
    assert_int_equal(engine->operations->durable_generation(engine), durable);
    struct buffer out = {0}; /* reads go on, of what is in memory too */
    assert_int_equal(engine->operations->get(engine, NULL, SLICE_LITERAL("K0001"), &out, NULL),
                     STATUS_OK);
    buffer_free(&out);
    engine_unref(engine);
    c->accepted = c->durable;
    check_store(c, c->disk.folder);
    course_destroy(c);
}

static void a_failed_flush_refuses_a_compaction_and_another_flush(void **state)
{
    (void)state;
    struct course *c = course_create();
    struct engine *engine = open_good(c);
    assert_true(write_numbered(c, engine));
    fail_next(c, LEVELDB_SYNC, "MANIFEST", EIO);
    assert_int_equal(engine->operations->flush(engine, &c->error), STATUS_IO_ERROR);
    uint64_t written = counter_get(&c->metrics.written_bytes[LEVELDB_MANIFEST]);
    engine->operations->compact(engine, SLICE_LITERAL("K"), SLICE_LITERAL("L"));
    assert_int_equal(engine->operations->flush(engine, &c->error), STATUS_IO_ERROR);
    assert_int_equal(counter_get(&c->metrics.written_bytes[LEVELDB_MANIFEST]), written);
    engine_unref(engine);
    check_store(c, c->disk.folder);
    course_destroy(c);
}

static bool needs_compaction(struct engine *engine)
{
    char *files = engine->operations->property(engine, "leveldb.num-files-at-level0");
    bool needs = atoi(files) >= 4;
    mem_free(files);
    return needs;
}

/* Lets so many tables be created, and holds whoever wants more; -1: any number. */
static void allow_tables(struct course *c, int count)
{
    pthread_mutex_lock(&c->disk.lock);
    c->disk.tables_allowed = count;
    pthread_cond_broadcast(&c->disk.changed);
    pthread_mutex_unlock(&c->disk.lock);
}

/* A compaction flushes a memtable that becomes full meanwhile. When that fails, LevelDB goes on,
 * tries it again before each record, and would add to the MANIFEST behind the torn record. */
static void a_manifest_that_failed_once_takes_nothing_from_a_compaction_either(void **state)
{
    (void)state;
    struct course *c = course_create();
    struct engine *engine = open_good(c);
    do {
        for (int i = 0; i < 3; i++) assert_true(write_numbered(c, engine));
        allow_tables(c, 1); /* the flush's; the compaction that comes one day is held */
        flush(c, engine);
    } while (!needs_compaction(engine));
    pthread_mutex_lock(&c->disk.lock);
    while (!c->disk.is_holding) pthread_cond_wait(&c->disk.changed, &c->disk.lock);
    pthread_mutex_unlock(&c->disk.lock);

    uint64_t generation = engine->operations->write_generation(engine);
    while (engine->operations->write_generation(engine) == generation) {
        assert_true(write_numbered(c, engine));
    }
    uint64_t written = counter_get(&c->metrics.written_bytes[LEVELDB_MANIFEST]);
    int asked = c->disk.tables_asked;
    fail_next(c, LEVELDB_APPEND, "MANIFEST", EIO);
    allow_tables(c, -1);
    assert_int_equal(engine->operations->flush(engine, &c->error), STATUS_IO_ERROR);
    /* The compaction's own, the memtable's, and two times the memtable's again. */
    pthread_mutex_lock(&c->disk.lock);
    while (c->disk.tables_asked < asked + 4 &&
           counter_get(&c->metrics.written_bytes[LEVELDB_MANIFEST]) == written) {
        pthread_cond_wait(&c->disk.changed, &c->disk.lock);
    }
    pthread_mutex_unlock(&c->disk.lock);
    engine_unref(engine);
    assert_int_equal(counter_get(&c->metrics.written_bytes[LEVELDB_MANIFEST]), written);
    check_futures(c);
    course_destroy(c);
}

static void a_failed_sync_after_current_is_renamed_removes_no_manifest(void **state)
{
    (void)state;
    struct course *c = course_create();
    struct engine *engine = open_good(c);
    assert_true(write_numbered(c, engine));
    flush(c, engine);
    engine_unref(engine);
    /* The open syncs the folder for its new MANIFEST, then for CURRENT: that one fails. */
    fail_next(c, LEVELDB_SYNC_FOLDER, NULL, EIO);
    c->disk.fail_at++;
    assert_int_equal(engine_open_leveldb(&engine, c->disk.folder, true, &c->options, &c->metrics,
                                         &c->error), STATUS_IO_ERROR);
    check_futures(c);
    course_destroy(c);
}

static void a_memtable_that_cannot_be_switched_fails_the_flush_and_not_the_store(void **state)
{
    (void)state;
    struct course *c = course_create();
    struct engine *engine = open_good(c);
    assert_true(write_numbered(c, engine));
    fail_next(c, LEVELDB_NEW, ".log", ENOSPC);
    assert_int_equal(engine->operations->flush(engine, &c->error), STATUS_NO_SPACE);
    assert_int_equal(engine->operations->durable_generation(engine), 0);
    flush(c, engine);
    assert_int_equal(c->durable, 1);
    engine_unref(engine);
    check_store(c, c->disk.folder);
    course_destroy(c);
}

static void a_read_that_fails_is_told_and_the_next_one_works(void **state)
{
    (void)state;
    struct course *c = course_create();
    c->options.block_cache_bytes = 0;
    struct engine *engine = open_good(c);
    assert_true(write_numbered(c, engine));
    flush(c, engine);
    struct buffer out = {0};
    fail_next(c, LEVELDB_READ, ".ldb", EIO);
    assert_int_equal(engine->operations->get(engine, NULL, SLICE_LITERAL("K0000"), &out,
                                             &c->error), STATUS_IO_ERROR);
    assert_non_null(strstr(c->error.text, ".ldb"));
    assert_int_equal(out.size, 0);
    assert_int_equal(engine->operations->get(engine, NULL, SLICE_LITERAL("K0000"), &out, NULL),
                     STATUS_OK);
    assert_int_equal(out.size, VALUE_BYTES);
    buffer_free(&out);
    engine_unref(engine);
    course_destroy(c);
}

int main(void)
{
    /* This disk is ours in all that matters: no need to wait for a real one. */
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_at_the_manifest_refuses_writes_until_reopened),
        cmocka_unit_test(a_failed_flush_refuses_a_compaction_and_another_flush),
        cmocka_unit_test(a_manifest_that_failed_once_takes_nothing_from_a_compaction_either),
        cmocka_unit_test(a_failed_sync_after_current_is_renamed_removes_no_manifest),
        cmocka_unit_test(a_memtable_that_cannot_be_switched_fails_the_flush_and_not_the_store),
        cmocka_unit_test(a_read_that_fails_is_told_and_the_next_one_works),
        cmocka_unit_test(any_operation_may_fail_once),
        cmocka_unit_test(from_any_operation_on_everything_may_fail),
        cmocka_unit_test(the_disk_may_be_full_from_any_append_on),
    };
    return cmocka_run_group_tests_name("engine faults", tests, NULL, NULL);
}
