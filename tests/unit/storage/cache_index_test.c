/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The index: every entry is where a look-up goes, whatever was inserted and removed, also when
 * many hashes are alike. */
#include "storage/cache_index.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ENTRIES = 6000 };

struct fixture {
    struct cache_index index;
    struct entry *entries[ENTRIES];
    uint64_t hashes[ENTRIES];
    bool inside[ENTRIES];
    uint64_t random;
};

static uint64_t next_random(struct fixture *f)
{
    uint64_t x = f->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void make_entries(struct fixture *f, uint64_t hash_mask)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        f->hashes[i] = next_random(f) & hash_mask;
        f->entries[i] = entry_create(slice_make(&i, sizeof i), SLICE_LITERAL("v"), -1);
        f->entries[i]->hash = (uint32_t)f->hashes[i];
    }
}

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    f->random = 11;
    cache_index_init(&f->index);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cache_index_free(&f->index);
    for (unsigned i = 0; i < ENTRIES; i++)
        if (f->entries[i]) entry_detach(f->entries[i]);
    mem_free(f);
    return 0;
}

static struct entry *find(struct fixture *f, unsigned i)
{
    return cache_index_find(&f->index, slice_make(&i, sizeof i), f->hashes[i]);
}

static void flip(struct fixture *f, unsigned i)
{
    if (f->inside[i])
        cache_index_remove(&f->index, f->entries[i]);
    else
        cache_index_insert(&f->index, f->entries[i], f->hashes[i]);
    f->inside[i] = !f->inside[i];
}

static void check_all(struct fixture *f)
{
    size_t inside = 0;
    for (unsigned i = 0; i < ENTRIES; i++) {
        assert_ptr_equal(find(f, i), f->inside[i] ? f->entries[i] : NULL);
        inside += f->inside[i];
    }
    assert_int_equal(f->index.entries, inside);
}

/* No hole among the used slots, no empty overflow bucket, everything in its bucket. */
static void check_shape(const struct cache_index *index)
{
    size_t entries = 0, buckets = 0;
    for (uint32_t number = 0; index->bytes > 0 && number < index->bucket_count; number++) {
        const struct cache_bucket *bucket = cache_index_bucket(index, number);
        for (bool first = true; bucket; bucket = bucket->overflow, first = false) {
            unsigned used = 0;
            for (unsigned slot = 0; slot < INDEX_SLOTS; slot++) {
                if (!bucket->tags[slot]) continue;
                assert_int_equal(slot, used++);
                struct entry *entry = cache_bucket_entry(bucket, slot);
                assert_int_equal(cache_index_number(index, entry->hash), number);
            }
            assert_true(first || used > 0);
            assert_true(!bucket->overflow || used == INDEX_SLOTS);
            entries += used;
            buckets++;
        }
    }
    assert_int_equal(index->entries, entries);
    assert_int_equal(index->bytes, buckets * sizeof(struct cache_bucket));
}

static void an_index_without_entries_has_no_memory_and_finds_nothing(void **state)
{
    struct fixture *f = *state;
    make_entries(f, UINT64_MAX);
    check_all(f);
    assert_int_equal(f->index.bytes, 0);
    assert_null(cache_index_random(&f->index, 1));
    assert_null(cache_index_drain(&f->index));
    assert_int_equal(f->index.bucket_count, 0);
    cache_index_init(&f->index);
}

static void entries_are_found_while_the_index_grows_and_shrinks(void **state)
{
    struct fixture *f = *state;
    make_entries(f, UINT64_MAX);
    for (unsigned i = 0; i < ENTRIES; i++) {
        flip(f, i);
        if (i % 500 == 0) check_all(f), check_shape(&f->index);
    }
    check_all(f);
    check_shape(&f->index);
    assert_in_range(f->index.bytes / ENTRIES, 12, 16);
    for (unsigned i = 0; i < ENTRIES; i++) {
        flip(f, i);
        if (i % 500 == 0) check_all(f), check_shape(&f->index);
    }
    check_shape(&f->index);
    assert_int_equal(f->index.bucket_count, INDEX_FIRST_BUCKETS);
}

static void random_insertions_and_removals(struct fixture *f)
{
    for (unsigned round = 0; round < 20; round++) {
        /* Towards full and towards empty in turn. */
        for (unsigned call = 0; call < 4000; call++) {
            unsigned i = (unsigned)(next_random(f) % ENTRIES);
            if (f->inside[i] == (round % 4 >= 2) || next_random(f) % 8 == 0) flip(f, i);
        }
        check_all(f);
        check_shape(&f->index);
    }
}

static void any_order_of_insertions_and_removals_is_right(void **state)
{
    struct fixture *f = *state;
    make_entries(f, UINT64_MAX);
    random_insertions_and_removals(f);
}

static void hashes_that_are_alike_make_long_chains_and_nothing_wrong(void **state)
{
    struct fixture *f = *state;
    make_entries(f, 0xff000000000000f3u); /* 64 buckets at most */
    random_insertions_and_removals(f);
}

static void a_tag_of_zero_is_told_from_a_free_slot(void **state)
{
    struct fixture *f = *state;
    make_entries(f, 0x00ffffffffffffffu);
    random_insertions_and_removals(f);
}

static void a_replacement_is_found_in_the_place_of_what_it_replaces(void **state)
{
    struct fixture *f = *state;
    make_entries(f, UINT64_MAX);
    for (unsigned i = 0; i < ENTRIES; i++) flip(f, i);
    for (unsigned i = 0; i < ENTRIES; i += 3) {
        struct entry *other = entry_create(slice_make(&i, sizeof i), SLICE_LITERAL("w"), -1);
        other->hash = f->entries[i]->hash;
        cache_index_replace(&f->index, f->entries[i], other);
        entry_detach(f->entries[i]);
        f->entries[i] = other;
    }
    check_all(f);
    check_shape(&f->index);
}

static void draining_gives_every_entry_once_and_removal_works_meanwhile(void **state)
{
    struct fixture *f = *state;
    make_entries(f, UINT64_MAX);
    for (unsigned i = 0; i < ENTRIES; i++) flip(f, i);
    unsigned drained = 0, removed = 0;
    while (f->index.bucket_count > 0) {
        struct entry *entry = cache_index_drain(&f->index);
        if (entry) {
            unsigned i;
            memcpy(&i, entry_key(entry).data, sizeof i);
            assert_true(f->inside[i]);
            f->inside[i] = false;
            drained++;
        }
        unsigned other = (unsigned)(next_random(f) % ENTRIES);
        if (f->inside[other] && next_random(f) % 4 == 0) {
            flip(f, other);
            removed++;
        }
    }
    assert_int_equal(drained + removed, ENTRIES);
    assert_true(removed > 100);
    assert_int_equal(f->index.entries, 0);
    assert_int_equal(f->index.bytes, 0);
}

static void a_look_for_a_random_entry_ends_when_all_are_absent(void **state)
{
    struct fixture *f = *state;
    make_entries(f, UINT64_MAX);
    for (unsigned i = 0; i < ENTRIES; i++) {
        f->entries[i]->state = ENTRY_ABSENT;
        flip(f, i);
    }
    for (uint64_t random = 0; random < 100; random++)
        assert_null(cache_index_random(&f->index, random));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_index_without_entries_has_no_memory_and_finds_nothing),
        TEST(entries_are_found_while_the_index_grows_and_shrinks),
        TEST(any_order_of_insertions_and_removals_is_right),
        TEST(hashes_that_are_alike_make_long_chains_and_nothing_wrong),
        TEST(a_tag_of_zero_is_told_from_a_free_slot),
        TEST(a_replacement_is_found_in_the_place_of_what_it_replaces),
        TEST(draining_gives_every_entry_once_and_removal_works_meanwhile),
        TEST(a_look_for_a_random_entry_ends_when_all_are_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
