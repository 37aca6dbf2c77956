/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Scans of any size in bounded memory: the two passes of KEYS, what happens between its blocks, and the
 * bounds of what is collected. */
#include "base/hash.h"
#include "keyspace_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

enum {
    MANY = 26000,          /* keys of KEY_BYTES: more than is collected in one pass */
    KEY_BYTES = 60,
    PER_RUN = 500,
    BLOCK_MAX = 256 * 1024 /* what keyspace_next_keys promises */
};

static struct slice S(const char *text)
{
    return slice_from_text(text);
}

static void key_name(char out[KEY_BYTES + 1], unsigned i)
{
    snprintf(out, KEY_BYTES + 1, "key:%08u:%047d", i, 0);
}

/* Keys first .. first+count-1; every fourth expires at `expire_at_ms`, unless that is -1. */
static void put_keys(struct fixture *f, unsigned first, unsigned count, int64_t expire_at_ms)
{
    static char names[PER_RUN][KEY_BYTES + 1];
    for (unsigned done = 0; done < count; done += PER_RUN) {
        unsigned here = count - done < PER_RUN ? count - done : PER_RUN;
        for (unsigned i = 0; i < here; i++) key_name(names[i], first + done + i);
        RUN(f, {
            for (unsigned i = 0; i < here; i++)
                keyspace_set_string(&f->access, 0, slice_make(names[i], KEY_BYTES), S("v"),
                                    STRING_AUTO, (first + done + i) % 4 ? -1 : expire_at_ms);
        });
    }
}

static void encode(struct buffer *out, struct slice key)
{
    char size[4];
    put_le32(size, (uint32_t)key.size);
    buffer_append(out, size, sizeof size);
    buffer_append_slice(out, key);
}

/* --- KEYS as dispatch asks for it --- */

static struct scan_request keys_request(const char *pattern)
{
    return (struct scan_request){.kind = SCAN_KEYS,
                                 .pattern = S(pattern ? pattern : ""),
                                 .has_pattern = pattern != NULL,
                                 .type = -1,
                                 .encode = encode};
}

static uint64_t begin_keys(struct fixture *f, const char *pattern)
{
    struct scan_request request = keys_request(pattern);
    uint64_t count;
    for (;;) {
        run_begin(f);
        enum found found = keyspace_keys(&f->access, &request, &count);
        if (found == FOUND_WAIT) {
            run_wait(f);
            continue;
        }
        assert_int_equal(found, FOUND);
        access_abandon(&f->access);
        return count;
    }
}

static enum found next_block(struct fixture *f, struct buffer *block, bool *more)
{
    for (;;) {
        f->woken = false;
        enum found found = keyspace_next_keys(&f->waiter, block, more);
        if (found != FOUND_WAIT) return found;
        while (!f->woken) fixture_turn(f);
    }
}

struct taken {
    uint64_t keys, blocks;
    size_t largest;
    uint64_t sum; /* of the keys' hashes: the same set gives the same sum */
};

static void take_block(struct taken *taken, struct buffer *block)
{
    taken->blocks++;
    if (block->size > taken->largest) taken->largest = block->size;
    for (size_t at = 0; at < block->size;) {
        size_t size = get_le32(block->data + at);
        taken->sum += hash_key(block->data + at + 4, size);
        taken->keys++;
        at += 4 + size;
    }
    buffer_free(block);
}

static void take_rest(struct fixture *f, struct taken *taken)
{
    struct buffer block;
    bool more = true;
    enum found found = FOUND;
    while (more && (found = next_block(f, &block, &more)) == FOUND) take_block(taken, &block);
    assert_true(found == FOUND || found == FOUND_NOTHING);
    waiter_release(f->keyspace, &f->waiter);
    assert_int_equal(gauge_get(&f->metrics.streams), 0);
}

/* The first block of a stream: the reader is in the middle of its reply from here on. */
static void take_one(struct fixture *f, struct taken *taken)
{
    struct buffer block;
    bool more;
    assert_int_equal(next_block(f, &block, &more), FOUND);
    assert_true(more);
    take_block(taken, &block);
    assert_int_equal(gauge_get(&f->metrics.streams), 1);
}

static uint64_t sum_of(unsigned first, unsigned count)
{
    uint64_t sum = 0;
    char name[KEY_BYTES + 1];
    for (unsigned i = first; i < first + count; i++) {
        key_name(name, i);
        sum += hash_key(name, KEY_BYTES);
    }
    return sum;
}

/* --- the passes --- */

static void few_keys_come_in_one_block_after_one_pass(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct taken taken = {0};
    put_keys(f, 0, 1000, -1);
    assert_int_equal(begin_keys(f, "key:0000000*"), 10);
    take_rest(f, &taken);
    assert_int_equal(taken.keys, 10);
    assert_int_equal(taken.blocks, 1);
    assert_true(taken.sum == sum_of(0, 10));
    assert_int_equal(counter_get(&f->metrics.streamed_scans), 0);
    assert_int_equal(begin_keys(f, "none"), 0);
    struct buffer block;
    bool more;
    assert_int_equal(next_block(f, &block, &more), FOUND_NOTHING);
    fixture_destroy(f);
}

static void many_keys_are_counted_and_then_come_in_blocks(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct taken taken = {0};
    put_keys(f, 0, MANY, -1);
    assert_int_equal(begin_keys(f, NULL), MANY);
    take_rest(f, &taken);
    assert_int_equal(taken.keys, MANY);
    assert_true(taken.sum == sum_of(0, MANY));
    assert_true(taken.blocks > MANY * (KEY_BYTES + 4) / BLOCK_MAX);
    assert_true(taken.largest <= BLOCK_MAX);
    assert_int_equal(counter_get(&f->metrics.streamed_scans), 1);
    fixture_destroy(f);
}

static void a_pattern_of_many_keys_is_streamed_too(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct taken taken = {0};
    put_keys(f, 0, MANY, -1);
    /* Nine tenths of all, and no literal prefix that a walk could seek to. */
    assert_int_equal(begin_keys(f, "*:???????[^7]:*"), MANY - MANY / 10);
    take_rest(f, &taken);
    assert_int_equal(taken.keys, MANY - MANY / 10);
    assert_int_equal(counter_get(&f->metrics.streamed_scans), 1);
    fixture_destroy(f);
}

static void a_key_longer_than_a_block_is_a_block(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct taken taken = {0};
    struct buffer name = {0};
    put_keys(f, 0, 100, -1);
    buffer_append_text(&name, "key:00000050+");
    while (name.size < 5 * BLOCK_MAX) buffer_append_text(&name, "0123456789abcdef");
    RUN(f, {
        keyspace_set_string(&f->access, 0, buffer_slice(&name), S("v"), STRING_AUTO, -1);
    });
    assert_int_equal(begin_keys(f, NULL), 101);
    take_rest(f, &taken);
    assert_int_equal(taken.keys, 101);
    assert_int_equal(taken.blocks, 3);
    assert_true(taken.sum == sum_of(0, 100) + hash_key(name.data, name.size));
    buffer_free(&name);
    fixture_destroy(f);
}

/* --- what happens between the blocks --- */

static void run_other(struct fixture *f, void (*act)(struct access *access))
{
    struct waiter other;
    struct access access;
    waiter_init(&other, fixture_woken);
    for (;;) {
        f->woken = false;
        access_begin(&access, f->keyspace, f->writes, &other, f->now_ms);
        act(&access);
        if (!access.wait && keyspace_commit(&access, true, NULL) == STATUS_OK) break;
        access_abandon(&access);
        while (!f->woken) fixture_turn(f);
    }
    waiter_release(f->keyspace, &other);
    keyspace_end_turn(f->keyspace);
}

static void delete_and_add(struct access *access)
{
    static char names[2][KEY_BYTES + 1];
    key_name(names[0], MANY - 1);
    key_name(names[1], MANY + 1);
    keyspace_set_string(access, 0, slice_make(names[0], KEY_BYTES), S("other"), STRING_AUTO, 1);
    keyspace_set_string(access, 0, slice_make(names[1], KEY_BYTES), S("new"), STRING_AUTO, -1);
}

static void writes_after_the_count_are_not_in_the_blocks(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct taken taken = {0};
    put_keys(f, 0, MANY, -1);
    assert_int_equal(begin_keys(f, NULL), MANY);
    take_one(f, &taken);
    run_other(f, delete_and_add);
    fixture_settle(f);
    take_rest(f, &taken);
    assert_int_equal(taken.keys, MANY);
    assert_true(taken.sum == sum_of(0, MANY));
    fixture_destroy(f);
}

static void a_key_that_expires_while_they_are_sent_is_sent(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct taken taken = {0};
    f->options.active_expire = false;
    put_keys(f, 0, MANY, f->now_ms + 1000);
    assert_int_equal(begin_keys(f, NULL), MANY);
    take_one(f, &taken);
    f->now_ms += 5000;
    take_rest(f, &taken);
    assert_int_equal(taken.keys, MANY);
    assert_int_equal(begin_keys(f, NULL), MANY - MANY / 4);
    fixture_destroy(f);
}

static void flush_all(struct access *access)
{
    keyspace_flush_all(access);
}

static void a_stream_outlives_a_flush_of_everything(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct taken taken = {0};
    put_keys(f, 0, MANY, -1);
    assert_int_equal(begin_keys(f, NULL), MANY);
    take_one(f, &taken);
    run_other(f, flush_all);
    fixture_settle(f);
    assert_true(f->disk_count > 1); /* a fresh store, and the old one is still read */
    take_rest(f, &taken);
    assert_int_equal(taken.keys, MANY);
    assert_int_equal(begin_keys(f, NULL), 0);
    fixture_destroy(f);
}

static void a_flush_between_the_count_and_the_reply_leaves_nothing(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct scan_request request = keys_request(NULL);
    uint64_t count = 1;
    put_keys(f, 0, MANY, -1);
    run_begin(f);
    assert_int_equal(keyspace_keys(&f->access, &request, &count), FOUND_WAIT);
    run_wait(f); /* the first pass is done, the command has not run again */
    run_other(f, flush_all);
    run_begin(f);
    assert_int_equal(keyspace_keys(&f->access, &request, &count), FOUND);
    access_abandon(&f->access);
    assert_int_equal(count, 0);
    struct taken taken = {0};
    take_rest(f, &taken);
    assert_int_equal(taken.keys, 0);
    fixture_destroy(f);
}

static void not_me(struct waiter *waiter)
{
    (void)waiter;
}

static void reload(struct fixture *f)
{
    struct waiter other;
    waiter_init(&other, not_me);
    keyspace_barrier(f->keyspace, &other, BARRIER_VISIBLE, true);
    while (other.pending) fixture_turn(f);
    waiter_release(f->keyspace, &other);
}

static void a_stream_ends_when_the_store_is_opened_again(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct taken taken = {0};
    struct buffer block;
    bool more;
    put_keys(f, 0, MANY, -1);
    assert_int_equal(begin_keys(f, NULL), MANY);
    take_one(f, &taken);
    f->woken = false;
    reload(f); /* waits until the stream has given its handle back */
    assert_true(f->woken);
    assert_int_equal(gauge_get(&f->metrics.streams), 0);
    assert_int_equal(next_block(f, &block, &more), FOUND_ERROR);
    waiter_release(f->keyspace, &f->waiter);
    assert_int_equal(begin_keys(f, NULL), MANY);
    take_rest(f, &taken);
    fixture_destroy(f);
}

static void a_count_begins_again_when_the_store_is_opened_again(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct scan_request request = keys_request(NULL);
    struct taken taken = {0};
    uint64_t count;
    put_keys(f, 0, MANY, -1);
    fixture_settle(f);
    memory_store_block(f->disk, MEMORY_ITERATE);
    run_begin(f);
    assert_int_equal(keyspace_keys(&f->access, &request, &count), FOUND_WAIT);
    access_abandon(&f->access);
    while (memory_store_blocked(f->disk) == 0) fixture_turn(f);
    struct waiter other;
    waiter_init(&other, fixture_woken);
    keyspace_barrier(f->keyspace, &other, BARRIER_VISIBLE, true);
    struct error error;
    struct engine *engine;
    while (store_acquire(f->store, &engine, &error) == STATUS_OK) {
        engine_unref(engine);
        fixture_turn(f);
    }
    memory_store_block(f->disk, 0);
    while (other.pending) fixture_turn(f);
    waiter_release(f->keyspace, &other);
    assert_int_equal(begin_keys(f, NULL), MANY);
    take_rest(f, &taken);
    assert_int_equal(taken.keys, MANY);
    assert_true(counter_get(&f->writer_metrics.reopens) == 1);
    fixture_destroy(f);
}

/* --- readers that leave, disks that fail --- */

static void a_reader_may_leave_at_any_block(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    put_keys(f, 0, MANY, -1);
    for (unsigned blocks = 0; blocks < 4; blocks++) {
        for (unsigned asked = 0; asked < 2; asked++) {
            struct taken taken = {0};
            struct buffer block;
            bool more;
            assert_int_equal(begin_keys(f, NULL), MANY);
            for (unsigned i = 0; i < blocks; i++) take_one(f, &taken);
            if (asked) assert_int_equal(keyspace_next_keys(&f->waiter, &block, &more), FOUND_WAIT);
            waiter_release(f->keyspace, &f->waiter);
            while (gauge_get(&f->metrics.streams)) fixture_turn(f);
        }
    }
    reload(f); /* would wait for ever for a handle that was not given back */
    fixture_destroy(f);
}

static void a_reader_may_leave_as_the_server_stops(void **state)
{
    (void)state;
    for (unsigned asked = 0; asked < 2; asked++) {
        struct fixture *f = fixture_create(64 << 20);
        struct taken taken = {0};
        struct buffer block;
        bool more;
        put_keys(f, 0, MANY, -1);
        assert_int_equal(begin_keys(f, NULL), MANY);
        take_one(f, &taken);
        if (asked) assert_int_equal(keyspace_next_keys(&f->waiter, &block, &more), FOUND_WAIT);
        fixture_destroy(f);
    }
}

static void a_disk_that_fails_in_the_middle_is_an_error(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct taken taken = {0};
    struct buffer block;
    bool more = true;
    put_keys(f, 0, MANY, -1);
    assert_int_equal(begin_keys(f, NULL), MANY);
    take_one(f, &taken);
    memory_store_fail(f->disk, MEMORY_ITERATE, 6000, 1, STATUS_IO_ERROR);
    enum found found;
    while ((found = next_block(f, &block, &more)) == FOUND) take_block(&taken, &block);
    assert_int_equal(found, FOUND_ERROR);
    assert_int_equal(f->waiter.error.code, STATUS_IO_ERROR);
    assert_int_equal(gauge_get(&f->metrics.streams), 0);
    waiter_release(f->keyspace, &f->waiter);
    assert_int_equal(begin_keys(f, NULL), MANY);
    fixture_destroy(f);
}

/* --- what is collected is bounded --- */

static void keys_inside_a_transaction_have_a_bound(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(1 << 20); /* then the bound is its least: 1 MiB */
    struct scan_request all = {.kind = SCAN_KEYS, .type = -1};
    struct scan_request few = {
        .kind = SCAN_KEYS, .type = -1, .pattern = S("key:000000*"), .has_pattern = true};
    const struct slice *keys;
    size_t count;
    uint64_t cursor;
    put_keys(f, 0, MANY, -1);
    RUN(f, {
        f->access.in_transaction = true;
        keyspace_scan(&f->access, &few, &keys, &count, &cursor);
    });
    assert_int_equal(count, 100);
    enum found found;
    for (;;) {
        run_begin(f);
        f->access.in_transaction = true;
        found = keyspace_scan(&f->access, &all, &keys, &count, &cursor);
        if (found != FOUND_WAIT) break;
        run_wait(f);
    }
    access_abandon(&f->access);
    assert_int_equal(found, FOUND_ERROR);
    assert_int_equal(f->waiter.error.code, STATUS_NO_MEMORY);
    waiter_release(f->keyspace, &f->waiter);
    reload(f);
    fixture_destroy(f);
}

static void a_page_ends_before_it_is_large_and_none_is_missed(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    struct scan_request page = {.kind = SCAN_PAGE, .type = -1, .count = 10 * MANY};
    const struct slice *keys;
    size_t count;
    uint64_t cursor, sum = 0, seen = 0, pages = 0;
    put_keys(f, 0, MANY, -1);
    do {
        RUN(f, {
            keyspace_scan(&f->access, &page, &keys, &count, &cursor);
            for (size_t i = 0; !f->access.wait && i < count; i++)
                sum += hash_key(keys[i].data, keys[i].size);
        });
        assert_true(count * KEY_BYTES < 1 << 20);
        seen += count;
        pages++;
        page.cursor = cursor;
    } while (cursor);
    assert_int_equal(seen, MANY);
    assert_int_equal(pages, 2);
    assert_true(sum == sum_of(0, MANY));
    fixture_destroy(f);
}

static void a_random_key_is_found_among_expired_ones(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(64 << 20);
    f->options.active_expire = false;
    char name[KEY_BYTES + 1];
    for (unsigned first = 0; first < 4000; first += 4) {
        key_name(name, first);
        RUN(f, {
            keyspace_set_string(&f->access, 0, slice_make(name, KEY_BYTES), S("v"), STRING_AUTO,
                                f->now_ms + 1000);
        });
    }
    RUN(f, { keyspace_set_string(&f->access, 0, S("zzz"), S("v"), STRING_AUTO, -1); });
    f->now_ms += 5000;
    struct scan_request random = {.kind = SCAN_RANDOM, .type = -1};
    const struct slice *keys;
    size_t count;
    uint64_t cursor;
    RUN(f, {
        keyspace_scan(&f->access, &random, &keys, &count, &cursor);
        if (!f->access.wait) assert_true(count >= 1 && slice_equal(keys[0], S("zzz")));
    });
    fixture_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_keys_come_in_one_block_after_one_pass),
        cmocka_unit_test(many_keys_are_counted_and_then_come_in_blocks),
        cmocka_unit_test(a_pattern_of_many_keys_is_streamed_too),
        cmocka_unit_test(a_key_longer_than_a_block_is_a_block),
        cmocka_unit_test(writes_after_the_count_are_not_in_the_blocks),
        cmocka_unit_test(a_key_that_expires_while_they_are_sent_is_sent),
        cmocka_unit_test(a_stream_outlives_a_flush_of_everything),
        cmocka_unit_test(a_flush_between_the_count_and_the_reply_leaves_nothing),
        cmocka_unit_test(a_stream_ends_when_the_store_is_opened_again),
        cmocka_unit_test(a_count_begins_again_when_the_store_is_opened_again),
        cmocka_unit_test(a_reader_may_leave_at_any_block),
        cmocka_unit_test(a_reader_may_leave_as_the_server_stops),
        cmocka_unit_test(a_disk_that_fails_in_the_middle_is_an_error),
        cmocka_unit_test(keys_inside_a_transaction_have_a_bound),
        cmocka_unit_test(a_page_ends_before_it_is_large_and_none_is_missed),
        cmocka_unit_test(a_random_key_is_found_among_expired_ones),
    };
    return cmocka_run_group_tests_name("storage/keyspace_scan", tests, NULL, NULL);
}
