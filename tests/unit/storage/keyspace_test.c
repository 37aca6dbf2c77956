/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The keyspace's promises, against a model: whatever is evicted, loaded, chunked, flushed or swapped in
 * between, a run sees exactly what the runs before it did. */
#include "keyspace_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static struct slice S(const char *text)
{
    return slice_from_text(text);
}

static void set(struct fixture *f, unsigned db, const char *key, struct slice value)
{
    RUN(f, { keyspace_set_string(&f->access, db, S(key), value, STRING_AUTO, -1); });
}

/* A copy of the whole value; NULL data when there is none. */
static struct buffer get(struct fixture *f, unsigned db, const char *key)
{
    struct buffer out = {0};
    RUN(f, {
        struct key_view view;
        struct slice bytes = {NULL, 0};
        buffer_clear(&out);
        if (keyspace_get(&f->access, db, S(key), &view) == FOUND &&
            string_read(&f->access, &view, 0, string_view_bytes(&view), &bytes) == FOUND) {
            buffer_reserve(&out, bytes.size + 1);
            if (bytes.size) buffer_append_slice(&out, bytes);
        } else {
            buffer_free(&out);
        }
    });
    return out;
}

static bool has(struct fixture *f, unsigned db, const char *key, const char *value)
{
    struct buffer found = get(f, db, key);
    bool same = found.data && slice_equal(buffer_slice(&found), S(value));
    buffer_free(&found);
    return same;
}

static bool is_missing(struct fixture *f, unsigned db, const char *key)
{
    struct buffer found = get(f, db, key);
    bool missing = found.data == NULL;
    buffer_free(&found);
    return missing;
}

static uint64_t count(struct fixture *f, unsigned db)
{
    uint64_t n = 0;
    RUN(f, { keyspace_count(&f->access, db, &n); });
    return n;
}

static void evict_all(struct fixture *f)
{
    fixture_settle(f);
    uint64_t budget = cache_budget_bytes(f->cache);
    cache_set_budget(f->cache, 0);
    for (int i = 0; i < 50; i++) keyspace_end_turn(f->keyspace);
    cache_set_budget(f->cache, budget);
}

/* --- single promises --- */

static void what_was_written_is_read_after_eviction(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    set(f, 0, "a", S("one"));
    set(f, 1, "a", S("two"));
    evict_all(f);
    assert_true(has(f, 0, "a", "one"));
    assert_true(has(f, 1, "a", "two"));
    assert_true(is_missing(f, 2, "a"));
    assert_true(counter_get(&f->metrics.loads) >= 2);
    fixture_destroy(f);
}

static void a_miss_in_a_store_that_started_empty_asks_no_disk(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    set(f, 0, "a", S("one"));
    assert_true(is_missing(f, 0, "b"));
    assert_int_equal(counter_get(&f->metrics.loads), 0);
    fixture_destroy(f);
}

static void a_blind_write_asks_no_disk_and_the_count_is_exact_all_the_same(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    set(f, 0, "a", S("1"));
    set(f, 0, "b", S("2"));
    evict_all(f);
    uint64_t loads = counter_get(&f->metrics.loads);
    set(f, 0, "a", S("3"));
    set(f, 0, "c", S("4"));
    assert_int_equal(counter_get(&f->metrics.loads), loads);
    assert_int_equal(count(f, 0), 3);
    fixture_destroy(f);
}

static void a_write_cancels_the_load_of_its_key(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    set(f, 0, "a", S("old"));
    evict_all(f);
    memory_store_fail(f->disk, 0, 0, 0, STATUS_OK);
    memory_store_block(f->disk, MEMORY_GET);
    struct key_view view;
    run_begin(f);
    assert_int_equal(keyspace_get(&f->access, 0, S("a"), &view), FOUND_WAIT);
    access_abandon(&f->access);
    struct waiter other;
    waiter_init(&other, fixture_woken);
    struct access access;
    access_begin(&access, f->keyspace, f->writes, &other, f->now_ms);
    keyspace_set_string(&access, 0, S("a"), S("new"), STRING_AUTO, -1);
    assert_int_equal(keyspace_commit(&access, false, NULL), STATUS_OK);
    while (!f->woken) fixture_turn(f);
    waiter_release(f->keyspace, &f->waiter);
    assert_true(has(f, 0, "a", "new"));
    memory_store_block(f->disk, 0);
    evict_all(f);
    assert_true(has(f, 0, "a", "new"));
    fixture_destroy(f);
}

/* A run whose commit a job has; `bytes` stay the caller's until the waiter is woken. */
static void begin_large(struct fixture *f, const char *key, struct slice bytes)
{
    run_begin(f);
    f->access.may_end_later = true;
    keyspace_set_string(&f->access, 0, S(key), bytes, STRING_RAW, -1);
    enum status status = keyspace_commit(&f->access, false, NULL);
    while (f->access.wait == WAIT_SPACE) { /* a larger segment is being made */
        run_wait(f);
        run_begin(f);
        f->access.may_end_later = true;
        keyspace_set_string(&f->access, 0, S(key), bytes, STRING_RAW, -1);
        status = keyspace_commit(&f->access, false, NULL);
    }
    assert_int_equal(status, STATUS_AGAIN);
    assert_int_equal(f->access.wait, WAIT_COMMIT);
}

static char *many_bytes(size_t size)
{
    char *bytes = mem_alloc(size);
    for (size_t i = 0; i < size; i++) bytes[i] = (char)(i * 31 >> 8 ^ i);
    return bytes;
}

static void a_commit_of_megabytes_ends_later_and_whole(void **state)
{
    (void)state;
    enum { SIZE = 5 << 20 };
    struct fixture *f = fixture_create(64 << 20);
    char *bytes = many_bytes(SIZE);
    set(f, 0, "a", S("old"));
    begin_large(f, "a", slice_make(bytes, SIZE));
    uint64_t depends_on = f->access.depends_on;
    assert_int_equal(write_set_count(f->writes), 0);
    assert_int_equal(depends_on, journal_next_sequence(f->journal) + SIZE / CHUNK_BYTES + 1);
    while (!f->woken) fixture_turn(f);
    waiter_release(f->keyspace, &f->waiter);
    assert_int_equal(journal_appended_sequence(f->journal), depends_on);
    for (int round = 0; round < 2; round++) {
        struct buffer found = get(f, 0, "a");
        assert_true(slice_equal(buffer_slice(&found), slice_make(bytes, SIZE)));
        buffer_free(&found);
        evict_all(f);
    }
    mem_free(bytes);
    fixture_destroy(f);
}

static void while_a_job_has_a_commit_reads_see_the_old_value_and_writers_wait(void **state)
{
    (void)state;
    enum { SIZE = 5 << 20 };
    struct fixture *f = fixture_create(64 << 20);
    char *bytes = many_bytes(SIZE);
    set(f, 0, "a", S("old"));
    begin_large(f, "a", slice_make(bytes, SIZE));
    struct waiter other;
    struct access access;
    struct key_view view;
    waiter_init(&other, fixture_woken);
    access_begin(&access, f->keyspace, f->writes, &other, f->now_ms);
    assert_int_equal(keyspace_get(&access, 0, S("a"), &view), FOUND);
    assert_true(slice_equal(view.value, S("old")));
    keyspace_set_string(&access, 0, S("b"), S("behind"), STRING_AUTO, -1);
    assert_int_equal(keyspace_commit(&access, false, NULL), STATUS_AGAIN);
    assert_int_equal(access.wait, WAIT_SPACE);
    access_abandon(&access);
    keyspace_finish_commit(f->keyspace);
    waiter_release(f->keyspace, &f->waiter);
    while (!f->woken) fixture_turn(f);
    waiter_release(f->keyspace, &other);
    access_begin(&access, f->keyspace, f->writes, &other, f->now_ms);
    assert_int_equal(keyspace_get(&access, 0, S("a"), &view), FOUND);
    assert_int_equal(string_view_bytes(&view), SIZE);
    keyspace_set_string(&access, 0, S("b"), S("behind"), STRING_AUTO, -1);
    assert_int_equal(keyspace_commit(&access, false, NULL), STATUS_OK);
    waiter_release(f->keyspace, &other);
    assert_true(has(f, 0, "b", "behind"));
    mem_free(bytes);
    fixture_destroy(f);
}

static void a_failed_load_is_an_error_and_the_next_one_works(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    set(f, 0, "a", S("one"));
    evict_all(f);
    memory_store_fail(f->disk, MEMORY_GET, 1, 1, STATUS_IO_ERROR);
    struct key_view view;
    run_begin(f);
    assert_int_equal(keyspace_get(&f->access, 0, S("a"), &view), FOUND_WAIT);
    run_wait(f);
    assert_true(f->waiter.failed);
    assert_int_equal(f->waiter.error.code, STATUS_IO_ERROR);
    waiter_release(f->keyspace, &f->waiter);
    assert_true(has(f, 0, "a", "one"));
    fixture_destroy(f);
}

static void a_string_larger_than_the_load_budget_is_read_all_the_same(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct buffer big = {0};
    buffer_reserve(&big, 4 << 20);
    memset(big.data, 'x', 4 << 20);
    big.size = 4 << 20;
    set(f, 0, "big", buffer_slice(&big));
    evict_all(f);
    /* The head is in memory, unlike the chunks, and has to be loaded again after them. */
    RUN(f, {
        struct key_view view;
        keyspace_get(&f->access, 0, S("big"), &view);
    });
    cache_set_budget(f->cache, 0);
    struct buffer found = get(f, 0, "big");
    assert_int_equal(found.size, big.size);
    buffer_free(&found);
    buffer_free(&big);
    fixture_destroy(f);
}

/* A queue of two jobs, whose worker stands still: the rest of what is asked for waits unsent. */
static struct fixture *fixture_with_a_full_queue(void)
{
    struct fixture *f = fixture_create(64 << 20);
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        set(f, 0, key, S("v"));
    }
    fixture_settle(f);
    fixture_stop(f);
    f->job_options.io_job_threads = 1;
    f->job_options.queue_max_jobs = 2;
    fixture_start(f);
    memory_store_block(f->disk, MEMORY_GET);
    return f;
}

static void ask_for_all(struct fixture *f)
{
    static char names[20][16];
    struct slice keys[20];
    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        keys[i] = S(names[i]);
    }
    run_begin(f);
    assert_int_equal(keyspace_load(&f->access, 0, keys, 20), FOUND_WAIT);
    access_abandon(&f->access);
}

static void loads_beyond_the_job_queues_room_come_all_the_same(void **state)
{
    (void)state;
    struct fixture *f = fixture_with_a_full_queue();
    ask_for_all(f);
    memory_store_block(f->disk, 0);
    while (!f->woken) fixture_turn(f);
    assert_false(f->waiter.failed);
    waiter_release(f->keyspace, &f->waiter);
    assert_true(has(f, 0, "k19", "v"));
    fixture_destroy(f);
}

static void a_stop_drops_loads_that_were_never_sent(void **state)
{
    (void)state;
    struct fixture *f = fixture_with_a_full_queue();
    ask_for_all(f);
    memory_store_block(f->disk, 0);
    fixture_destroy(f); /* at once: nothing leaks, nothing is sent to a queue that has ended */
}

static void an_expired_key_is_not_seen_and_its_delete_is_written(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    RUN(f, { keyspace_set_string(&f->access, 0, S("a"), S("1"), STRING_AUTO, f->now_ms + 1000); });
    assert_true(has(f, 0, "a", "1"));
    assert_int_equal(count(f, 0), 1);
    f->now_ms += 1000;
    assert_true(is_missing(f, 0, "a"));
    assert_int_equal(count(f, 0), 0);
    assert_int_equal(counter_get(&f->metrics.expired_on_access), 1);
    fixture_destroy(f);
}

static void the_cycle_deletes_expired_keys_that_nobody_asks_for(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    f->options.expire_cycle_ms = 1;
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        RUN(f, { keyspace_set_string(&f->access, 0, S(key), S("1"), STRING_AUTO, f->now_ms + 1); });
    }
    evict_all(f);
    f->now_ms = clock_wall_ms() + 10;
    while (counter_get(&f->metrics.expired_by_cycle) < 300) fixture_turn(f);
    assert_int_equal(count(f, 0), 0);
    fixture_destroy(f);
}

static void a_partial_write_to_a_long_string_touches_its_chunk_alone(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct buffer big = {0};
    buffer_reserve(&big, 2 << 20);
    memset(big.data, 'x', 2 << 20);
    big.size = 2 << 20;
    set(f, 0, "big", buffer_slice(&big));
    evict_all(f);
    uint64_t before = counter_get(&f->journal_metrics.appended_bytes);
    uint64_t read = counter_get(&f->metrics.load_bytes);
    RUN(f, {
        struct key_view view;
        if (keyspace_get(&f->access, 0, S("big"), &view) == FOUND)
            string_write(&f->access, 0, S("big"), &view, 1000000, S("hello"), STRING_RAW);
    });
    assert_true(counter_get(&f->journal_metrics.appended_bytes) - before < 64 * 1024);
    assert_true(counter_get(&f->metrics.load_bytes) - read < 64 * 1024);
    evict_all(f);
    memcpy(big.data + 1000000, "hello", 5);
    struct buffer found = get(f, 0, "big");
    assert_true(slice_equal(buffer_slice(&found), buffer_slice(&big)));
    buffer_free(&found);
    buffer_free(&big);
    fixture_destroy(f);
}

static void a_flush_hides_everything_at_once_and_for_good(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    set(f, 0, "a", S("1"));
    set(f, 1, "b", S("2"));
    RUN(f, { keyspace_flush_database(&f->access, 0); });
    assert_true(is_missing(f, 0, "a"));
    assert_true(has(f, 1, "b", "2"));
    evict_all(f);
    assert_true(is_missing(f, 0, "a"));
    RUN(f, { keyspace_flush_all(&f->access); });
    set(f, 1, "c", S("3"));
    evict_all(f);
    assert_true(is_missing(f, 1, "b"));
    assert_true(has(f, 1, "c", "3"));
    fixture_stop(f);
    fixture_start(f);
    assert_true(is_missing(f, 1, "b"));
    assert_true(has(f, 1, "c", "3"));
    fixture_destroy(f);
}

static void a_load_for_a_database_that_was_flushed_meanwhile_brings_nothing_back(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    set(f, 0, "a", S("old"));
    evict_all(f);
    memory_store_block(f->disk, MEMORY_GET);
    struct key_view view;
    run_begin(f);
    assert_int_equal(keyspace_get(&f->access, 0, S("a"), &view), FOUND_WAIT);
    access_abandon(&f->access);
    struct waiter other;
    waiter_init(&other, fixture_woken);
    struct access access;
    access_begin(&access, f->keyspace, f->writes, &other, f->now_ms);
    keyspace_flush_database(&access, 0);
    assert_int_equal(keyspace_commit(&access, false, NULL), STATUS_OK);
    memory_store_block(f->disk, 0);
    while (!f->woken) fixture_turn(f);
    waiter_release(f->keyspace, &f->waiter);
    assert_true(is_missing(f, 0, "a"));
    fixture_destroy(f);
}

static void a_scan_sees_what_was_written_before_it(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "key:%02d", i);
        set(f, 0, key, S("v"));
    }
    RUN(f, { keyspace_delete(&f->access, 0, S("key:07")); });
    struct scan_request all = {.kind = SCAN_KEYS, .pattern = S("key:0?"), .has_pattern = true};
    const struct slice *keys;
    size_t n = 0;
    uint64_t cursor;
    RUN(f, { keyspace_scan(&f->access, &all, &keys, &n, &cursor); });
    assert_int_equal(n, 9);
    size_t seen = 0;
    struct scan_request page = {.kind = SCAN_PAGE, .count = 7, .type = -1};
    do {
        RUN(f, { keyspace_scan(&f->access, &page, &keys, &n, &cursor); });
        seen += n;
        page.cursor = cursor;
    } while (cursor);
    assert_int_equal(seen, 49);
    fixture_destroy(f);
}

static void an_unknown_cursor_is_an_error(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    set(f, 0, "a", S("v"));
    const struct slice *keys;
    size_t n;
    uint64_t cursor;
    struct scan_request page = {.kind = SCAN_PAGE, .count = 7, .type = -1, .cursor = 12345};
    run_begin(f);
    assert_int_equal(keyspace_scan(&f->access, &page, &keys, &n, &cursor), FOUND_ERROR);
    access_abandon(&f->access);
    fixture_destroy(f);
}

/* --- against a model --- */

enum { MODEL_KEYS = 40, MODEL_ROUNDS = 1500 };

struct model_value {
    bool exists;
    struct buffer bytes;
};

struct model {
    struct model_value values[FIXTURE_DATABASES][MODEL_KEYS];
    uint64_t random;
};

static unsigned dice(struct model *model, unsigned sides)
{
    model->random = model->random * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (unsigned)(model->random >> 33) % sides;
}

static void model_set(struct model_value *value, struct slice bytes)
{
    buffer_clear(&value->bytes);
    buffer_append_slice(&value->bytes, bytes);
    value->exists = true;
}

static void key_name(char *out, unsigned key)
{
    sprintf(out, "key:%u", key);
}

static void do_set(struct fixture *f, struct model *m, unsigned db, unsigned key)
{
    static char bytes[200000];
    char name[16];
    key_name(name, key);
    size_t size = dice(m, 4) ? dice(m, 200) : dice(m, sizeof bytes);
    memset(bytes, (int)('a' + dice(m, 26)), size);
    set(f, db, name, slice_make(bytes, size));
    model_set(&m->values[db][key], slice_make(bytes, size));
}

static void do_write(struct fixture *f, struct model *m, unsigned db, unsigned key)
{
    struct model_value *value = &m->values[db][key];
    static char bytes[60000];
    char name[16];
    key_name(name, key);
    size_t size = 1 + dice(m, dice(m, 2) ? 100 : sizeof bytes - 1);
    size_t old = value->exists ? value->bytes.size : 0;
    uint64_t offset = dice(m, 2) ? old : dice(m, 150000);
    memset(bytes, (int)('A' + dice(m, 26)), size);
    RUN(f, {
        struct key_view view;
        enum found found = keyspace_get(&f->access, db, S(name), &view);
        if (found != FOUND_WAIT)
            string_write(&f->access, db, S(name), found == FOUND ? &view : NULL, offset,
                         slice_make(bytes, size), STRING_RAW);
    });
    if (!value->exists) buffer_clear(&value->bytes);
    value->exists = true;
    while (value->bytes.size < offset) buffer_append(&value->bytes, "", 1);
    if (value->bytes.size < offset + size) {
        buffer_reserve(&value->bytes, offset + size - value->bytes.size);
        value->bytes.size = offset + size;
    }
    memcpy(value->bytes.data + offset, bytes, size);
}

static void do_delete(struct fixture *f, struct model *m, unsigned db, unsigned key)
{
    char name[16];
    key_name(name, key);
    RUN(f, {
        struct key_view view;
        if (keyspace_get(&f->access, db, S(name), &view) == FOUND)
            keyspace_delete(&f->access, db, S(name));
    });
    m->values[db][key].exists = false;
}

/* Rename, move or copy. */
static void do_move(struct fixture *f, struct model *m, unsigned db, unsigned key, bool copy)
{
    unsigned to_db = dice(m, FIXTURE_DATABASES), to = dice(m, MODEL_KEYS);
    if (to_db == db && to == key) return;
    char name[16], to_name[16];
    key_name(name, key);
    key_name(to_name, to);
    RUN(f, {
        struct key_view view, other;
        enum found found = keyspace_get(&f->access, db, S(name), &view);
        if (found == FOUND && keyspace_peek(&f->access, to_db, S(to_name), &other) != FOUND_WAIT) {
            if (copy)
                keyspace_copy(&f->access, db, S(name), &view, to_db, S(to_name));
            else
                keyspace_move(&f->access, db, S(name), &view, to_db, S(to_name));
        }
    });
    struct model_value *value = &m->values[db][key];
    if (!value->exists) return;
    model_set(&m->values[to_db][to], buffer_slice(&value->bytes));
    if (!copy) value->exists = false;
}

static void do_database(struct fixture *f, struct model *m, unsigned db)
{
    unsigned other = dice(m, FIXTURE_DATABASES), what = dice(m, 8);
    if (what == 0) {
        RUN(f, { keyspace_flush_all(&f->access); });
        for (unsigned i = 0; i < FIXTURE_DATABASES; i++)
            for (unsigned k = 0; k < MODEL_KEYS; k++) m->values[i][k].exists = false;
    } else if (what < 3) {
        RUN(f, { keyspace_flush_database(&f->access, db); });
        for (unsigned k = 0; k < MODEL_KEYS; k++) m->values[db][k].exists = false;
    } else if (other != db) {
        RUN(f, { keyspace_swap_databases(&f->access, db, other); });
        for (unsigned k = 0; k < MODEL_KEYS; k++) {
            struct model_value kept = m->values[db][k];
            m->values[db][k] = m->values[other][k];
            m->values[other][k] = kept;
        }
    }
}

static void check_key(struct fixture *f, struct model *m, unsigned db, unsigned key)
{
    char name[16];
    key_name(name, key);
    struct buffer found = get(f, db, name);
    assert_int_equal(found.data != NULL, m->values[db][key].exists);
    if (found.data) {
        assert_int_equal(found.size, m->values[db][key].bytes.size);
        assert_memory_equal(found.data, m->values[db][key].bytes.data, found.size);
    }
    buffer_free(&found);
}

static void check_all(struct fixture *f, struct model *m)
{
    for (unsigned db = 0; db < FIXTURE_DATABASES; db++) {
        uint64_t exist = 0;
        for (unsigned k = 0; k < MODEL_KEYS; k++) exist += m->values[db][k].exists;
        assert_int_equal(count(f, db), exist);
        for (unsigned k = 0; k < MODEL_KEYS; k++) check_key(f, m, db, k);
    }
}

static void run_model(uint64_t budget, uint64_t seed)
{
    struct fixture *f = fixture_create(budget);
    struct model *m = mem_calloc(1, sizeof *m);
    m->random = seed;
    for (unsigned round = 0; round < MODEL_ROUNDS; round++) {
        unsigned db = dice(m, FIXTURE_DATABASES), key = dice(m, MODEL_KEYS), what = dice(m, 100);
        if (what < 25)
            do_set(f, m, db, key);
        else if (what < 45)
            do_write(f, m, db, key);
        else if (what < 60)
            do_delete(f, m, db, key);
        else if (what < 75)
            do_move(f, m, db, key, dice(m, 2));
        else if (what < 77)
            do_database(f, m, db);
        else if (what == 77 && dice(m, 4) == 0)
            evict_all(f);
        else if (what == 78 && dice(m, 20) == 0) {
            fixture_stop(f);
            fixture_start(f);
        } else
            check_key(f, m, db, key);
        if (round % 500 == 499) check_all(f, m);
    }
    check_all(f, m);
    for (unsigned db = 0; db < FIXTURE_DATABASES; db++)
        for (unsigned k = 0; k < MODEL_KEYS; k++) buffer_free(&m->values[db][k].bytes);
    mem_free(m);
    fixture_destroy(f);
}

static void random_runs_agree_with_a_model_when_all_fits_in_memory(void **state)
{
    (void)state;
    run_model(256 << 20, 1);
}

static void random_runs_agree_with_a_model_when_nothing_stays_in_memory(void **state)
{
    (void)state;
    run_model(0, 2);
}

static void random_runs_agree_with_a_model_under_constant_eviction(void **state)
{
    (void)state;
    run_model(300 << 10, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_after_eviction),
        cmocka_unit_test(a_miss_in_a_store_that_started_empty_asks_no_disk),
        cmocka_unit_test(a_blind_write_asks_no_disk_and_the_count_is_exact_all_the_same),
        cmocka_unit_test(a_write_cancels_the_load_of_its_key),
        cmocka_unit_test(a_commit_of_megabytes_ends_later_and_whole),
        cmocka_unit_test(while_a_job_has_a_commit_reads_see_the_old_value_and_writers_wait),
        cmocka_unit_test(a_failed_load_is_an_error_and_the_next_one_works),
        cmocka_unit_test(a_string_larger_than_the_load_budget_is_read_all_the_same),
        cmocka_unit_test(loads_beyond_the_job_queues_room_come_all_the_same),
        cmocka_unit_test(a_stop_drops_loads_that_were_never_sent),
        cmocka_unit_test(an_expired_key_is_not_seen_and_its_delete_is_written),
        cmocka_unit_test(the_cycle_deletes_expired_keys_that_nobody_asks_for),
        cmocka_unit_test(a_partial_write_to_a_long_string_touches_its_chunk_alone),
        cmocka_unit_test(a_flush_hides_everything_at_once_and_for_good),
        cmocka_unit_test(a_load_for_a_database_that_was_flushed_meanwhile_brings_nothing_back),
        cmocka_unit_test(a_scan_sees_what_was_written_before_it),
        cmocka_unit_test(an_unknown_cursor_is_an_error),
        cmocka_unit_test(random_runs_agree_with_a_model_when_all_fits_in_memory),
        cmocka_unit_test(random_runs_agree_with_a_model_when_nothing_stays_in_memory),
        cmocka_unit_test(random_runs_agree_with_a_model_under_constant_eviction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
