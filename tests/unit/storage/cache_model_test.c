/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cache against a simple model, with random calls from a fixed seed: what the cache finds is
 * what was put last; what may not leave is always there; the counts are those of the entries. */
#include "storage/cache.h"

#include "base/hash.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TABLES = 3, KEYS = 1500, HOLDS = 40, VALUE_MAX = 300, CHECK_EVERY = 2000 };

struct model_key {
    bool known;     /* was put and not removed since: either in the cache or evicted */
    bool evictable; /* as far as the model knows, at any time since the put */
    uint8_t state;
    uint64_t sequence;
    int64_t expire_at_ms;
    uint64_t seed; /* of the value's bytes */
    size_t size;
    struct entry *held; /* a reference to the current entry, or NULL */
};

struct hold {
    struct entry *entry;
    uint64_t seed;
    size_t size;
    unsigned table, key; /* which it was current for; TABLES: is not any more */
};

struct model {
    struct cache_options options;
    struct cache_metrics metrics;
    struct cache *cache;
    uint16_t tables[TABLES];
    struct model_key keys[TABLES][KEYS];
    bool lost[TABLES]; /* a present entry was found to be gone */
    struct hold holds[HOLDS];
    uint64_t random, sequence, applied;
    uint32_t seconds;
};

static uint64_t next_random(struct model *m)
{
    uint64_t x = m->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    m->random = x;
    return x >> 11;
}

static uint64_t below(struct model *m, uint64_t limit)
{
    return next_random(m) % limit;
}

static void fill(char *out, uint64_t seed, size_t size)
{
    for (size_t i = 0; i < size; i++) out[i] = (char)(seed * 31 + i * 7 + (seed >> (i % 8)));
}

static struct slice key_bytes(unsigned number, char *out)
{
    /* Of different lengths, up to beyond a cache line. */
    int size = snprintf(out, 128, "%u:%0*u", number, (int)(number % 70), number);
    return slice_make(out, (size_t)size);
}

static void check_value(const struct entry *entry, uint64_t seed, size_t size)
{
    char expected[VALUE_MAX];
    fill(expected, seed, size);
    assert_true(slice_equal(entry_value(entry), slice_make(expected, size)));
}

static struct entry *find(struct model *m, unsigned table, unsigned key)
{
    char text[128];
    struct slice k = key_bytes(key, text);
    uint64_t hash = hash_key(k.data, k.size);
    if (below(m, 2)) {
        cache_prefetch_bucket(m->cache, m->tables[table], hash);
        cache_prefetch_entry(m->cache, m->tables[table], hash);
    }
    return cache_find(m->cache, m->tables[table], k, hash);
}

static bool may_have_left(const struct model_key *key)
{
    return key->evictable && key->state != ENTRY_LOADING;
}

/* What the cache says about one key; the model learns that it has left. */
static struct entry *check_key(struct model *m, unsigned table, unsigned number)
{
    struct model_key *key = &m->keys[table][number];
    struct entry *entry = find(m, table, number);
    if (!entry) {
        if (!key->known) return NULL;
        assert_true(may_have_left(key));
        assert_null(key->held);
        if (key->state == ENTRY_PRESENT) m->lost[table] = true;
        *key = (struct model_key){0};
        return NULL;
    }
    assert_true(key->known);
    assert_int_equal(entry->state, key->state);
    assert_int_equal(entry->sequence, key->sequence);
    assert_int_equal(entry_expire_at_ms(entry), key->expire_at_ms);
    assert_int_equal(entry->linked, 1);
    assert_true(entry->state == ENTRY_PRESENT || entry->tier != CACHE_HOT);
    check_value(entry, key->seed, key->size);
    return entry;
}

static void let_hold_go(struct model *m, struct hold *hold)
{
    if (hold->table < TABLES) m->keys[hold->table][hold->key].held = NULL;
    check_value(hold->entry, hold->seed, hold->size);
    entry_unref(hold->entry);
    *hold = (struct hold){0};
}

/* The key's entry is replaced or gone: who holds the old one holds it still. */
static void forget_hold(struct model *m, unsigned table, unsigned number)
{
    for (unsigned i = 0; i < HOLDS; i++)
        if (m->holds[i].entry && m->holds[i].table == table && m->holds[i].key == number)
            m->holds[i].table = TABLES;
    m->keys[table][number].held = NULL;
}

/* --- the calls --- */

static void do_put(struct model *m, unsigned table, unsigned number)
{
    char text[128], bytes[VALUE_MAX];
    struct model_key *key = &m->keys[table][number];
    struct slice k = key_bytes(number, text);
    uint64_t hash = hash_key(k.data, k.size);
    struct entry *old = check_key(m, table, number);
    unsigned kind = (unsigned)below(m, 10);
    uint64_t sequence = kind < 4 && !(old && old->sequence) ? 0 : m->sequence++;
    struct model_key next = {.known = true, .sequence = sequence, .held = NULL};
    next.state = kind == 0 && !old ? ENTRY_LOADING : kind <= 2 ? ENTRY_ABSENT : ENTRY_PRESENT;
    next.expire_at_ms = below(m, 3) ? -1 : (int64_t)below(m, 1000000);
    next.evictable = sequence <= m->applied;
    struct cache_value value = {
        .expire_at_ms = next.expire_at_ms, .state = next.state, .sequence = sequence};
    if (next.state == ENTRY_PRESENT) {
        next.size = below(m, 4) || !old ? below(m, VALUE_MAX) : key->size;
        next.seed = next_random(m);
        if (old && old->state == ENTRY_PRESENT && below(m, 3) == 0) { /* the same bytes again */
            next.seed = key->seed;
            next.size = key->size;
            value.value = entry_value(old);
        } else {
            fill(bytes, next.seed, next.size);
            value.value = slice_make(bytes, next.size);
        }
    }
    struct entry *entry = cache_put_found(m->cache, old, m->tables[table],
                                          old && below(m, 2) ? entry_key(old) : k, hash, &value);
    forget_hold(m, table, number);
    *key = next;
    check_value(entry, key->seed, key->size);
}

static void do_remove(struct model *m, unsigned table, unsigned number)
{
    struct entry *entry = check_key(m, table, number);
    if (!entry) return;
    cache_remove(m->cache, entry);
    forget_hold(m, table, number);
    m->keys[table][number] = (struct model_key){0};
}

static void do_hold(struct model *m, unsigned table, unsigned number)
{
    struct hold *hold = &m->holds[below(m, HOLDS)];
    if (hold->entry) {
        let_hold_go(m, hold);
        return;
    }
    struct model_key *key = &m->keys[table][number];
    struct entry *entry = check_key(m, table, number);
    if (!entry || key->held) return;
    key->held = entry_ref(entry);
    *hold = (struct hold){entry, key->seed, key->size, table, number};
}

static void do_drop(struct model *m, unsigned table)
{
    for (unsigned number = 0; number < KEYS; number++) {
        forget_hold(m, table, number);
        m->keys[table][number] = (struct model_key){0};
    }
    cache_table_drop(m->cache, m->tables[table]);
    m->tables[table] = cache_table_create(m->cache);
    cache_table_set_complete(m->cache, m->tables[table], true);
    m->lost[table] = false;
}

static void do_apply(struct model *m)
{
    m->applied += below(m, m->sequence - m->applied);
    cache_set_applied(m->cache, m->applied);
    for (unsigned table = 0; table < TABLES; table++)
        for (unsigned number = 0; number < KEYS; number++)
            if (m->keys[table][number].sequence <= m->applied)
                m->keys[table][number].evictable = true;
}

static void do_change_limits(struct model *m)
{
    static const int64_t percents[] = {0, 10, 85, 100};
    m->options.hot_percent = percents[below(m, 4)];
    m->options.hot_max_entries = below(m, 3) ? 0 : (int64_t)below(m, 300);
    m->options.warm_max_entries = below(m, 3) ? 0 : (int64_t)below(m, 1000);
    cache_set_budget(m->cache, below(m, 4) ? below(m, 600000) : below(m, 2) ? 0 : UINT64_MAX);
}

static void check_all(struct model *m)
{
    size_t present[TABLES] = {0}, entries[TABLES] = {0};
    uint64_t pinned = 0, bytes = 0;
    for (unsigned table = 0; table < TABLES; table++) {
        for (unsigned number = 0; number < KEYS; number++) {
            struct entry *entry = check_key(m, table, number);
            if (!entry) continue;
            entries[table]++;
            bytes += entry_memory_bytes(entry);
            present[table] += entry->state == ENTRY_PRESENT;
            if (entry->sequence > m->applied) pinned += entry_memory_bytes(entry);
        }
        assert_int_equal(cache_table_present(m->cache, m->tables[table]), present[table]);
        assert_int_equal(cache_table_entries(m->cache, m->tables[table]), entries[table]);
        if (m->lost[table]) assert_false(cache_table_is_complete(m->cache, m->tables[table]));
    }
    assert_true(cache_pinned_bytes(m->cache) >= pinned);
    assert_true(cache_used_bytes(m->cache) >= bytes); /* those of dropped tables may be left */
}

static void do_one(struct model *m)
{
    unsigned table = (unsigned)below(m, TABLES), number = (unsigned)below(m, KEYS);
    if (below(m, 2)) number /= 10; /* some keys more often */
    struct entry *entry;
    switch (below(m, 20)) {
    case 0:
        do_remove(m, table, number);
        break;
    case 1:
        do_hold(m, table, number);
        break;
    case 2:
        cache_maintain(m->cache, (unsigned)below(m, 50));
        break;
    case 3:
        entry = cache_table_random(m->cache, m->tables[table], next_random(m));
        assert_true(!entry || entry->state == ENTRY_PRESENT);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        entry = check_key(m, table, number);
        if (entry) cache_touch(m->cache, entry);
        break;
    case 9:
        if (below(m, 50) == 0) do_apply(m);
        if (below(m, 500) == 0) do_drop(m, table);
        if (below(m, 300) == 0) do_change_limits(m);
        if (below(m, 10) == 0) cache_set_time(m->cache, m->seconds += (uint32_t)below(m, 60));
        if (below(m, 20) == 0) cache_age(m->cache, 100);
        break;
    default:
        do_put(m, table, number);
        break;
    }
}

static void finish(struct model *m)
{
    for (unsigned i = 0; i < HOLDS; i++)
        if (m->holds[i].entry) let_hold_go(m, &m->holds[i]);
    /* With everything applied and nothing held all that is not being loaded can leave. */
    m->applied = m->sequence;
    cache_set_applied(m->cache, m->applied);
    assert_int_equal(cache_pinned_bytes(m->cache), 0);
    cache_set_budget(m->cache, 0);
    for (unsigned call = 0; call < 2000; call++) cache_maintain(m->cache, 100);
    for (unsigned table = 0; table < TABLES; table++) {
        for (unsigned number = 0; number < KEYS; number++) {
            struct entry *entry = find(m, table, number);
            if (!entry) continue;
            assert_int_equal(entry->state, ENTRY_LOADING);
            cache_remove(m->cache, entry);
        }
        assert_int_equal(cache_table_entries(m->cache, m->tables[table]), 0);
    }
    cache_maintain(m->cache, 1);
    assert_int_equal(cache_used_bytes(m->cache), gauge_get(&m->metrics.index_bytes));
    cache_destroy(m->cache);
    assert_int_equal(entry_detached_bytes(), 0);
}

static void run_model(uint64_t seed, unsigned calls)
{
    struct model *m = mem_calloc(1, sizeof *m);
    m->random = seed;
    m->sequence = m->seconds = 1;
    option_set_defaults(&cache_option_table, &m->options);
    m->cache = cache_create(&m->options, &m->metrics);
    for (unsigned table = 0; table < TABLES; table++) {
        m->tables[table] = cache_table_create(m->cache);
        cache_table_set_complete(m->cache, m->tables[table], true);
    }
    cache_set_budget(m->cache, 300000);
    for (unsigned call = 1; call <= calls; call++) {
        do_one(m);
        if (call % CHECK_EVERY == 0) check_all(m);
    }
    finish(m);
    option_free_strings(&cache_option_table, &m->options);
    mem_free(m);
}

static void the_cache_keeps_what_it_was_given_whatever_the_order_of_calls(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) run_model(seed * 0x9e3779b97f4a7c15u, 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cache_keeps_what_it_was_given_whatever_the_order_of_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
