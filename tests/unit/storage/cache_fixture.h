/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A cache with one table for a test, and short names for what tests do with it. */
#ifndef KELVIN_TESTS_CACHE_FIXTURE_H
#define KELVIN_TESTS_CACHE_FIXTURE_H

#include "base/hash.h"
#include "base/memory.h"
#include "storage/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct cache_options options;
    struct cache_metrics metrics;
    struct cache *cache;
    uint16_t table;
};

static inline int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    option_set_defaults(&cache_option_table, &f->options);
    f->cache = cache_create(&f->options, &f->metrics);
    f->table = cache_table_create(f->cache);
    cache_set_time(f->cache, 1000);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    cache_destroy(f->cache);
    option_free_strings(&cache_option_table, &f->options);
    mem_free(f);
    return 0;
}

/* --- shorthand --- */

static inline struct entry *find(struct fixture *f, const char *key)
{
    struct slice k = slice_from_text(key);
    return cache_find(f->cache, f->table, k, hash_key(k.data, k.size));
}

static inline struct entry *put_state(struct fixture *f, const char *key, const char *value,
                                      uint64_t sequence, enum entry_state entry_state)
{
    struct slice k = slice_from_text(key);
    struct cache_value v = {.value = slice_from_text(value),
                            .expire_at_ms = -1,
                            .sequence = sequence,
                            .state = (uint8_t)entry_state};
    return cache_put(f->cache, f->table, k, hash_key(k.data, k.size), &v);
}

static inline struct entry *put(struct fixture *f, const char *key, const char *value,
                                uint64_t sequence)
{
    return put_state(f, key, value, sequence, ENTRY_PRESENT);
}

static inline void put_many(struct fixture *f, const char *prefix, unsigned count,
                            uint64_t sequence)
{
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s%u", prefix, i);
        put(f, key, "0123456789abcdef", sequence);
    }
}

static inline unsigned count_found(struct fixture *f, const char *prefix, unsigned count)
{
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s%u", prefix, i);
        if (find(f, key)) found++;
    }
    return found;
}

static inline void maintain(struct fixture *f)
{
    for (unsigned call = 0; cache_maintain(f->cache, 100); call++) assert_true(call < 100000);
}

static inline uint64_t count_of(const struct counter *counter)
{
    return counter_get(counter);
}

#define assert_value(entry, text) \
    assert_true(slice_equal(entry_value(entry), slice_from_text(text)))

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
