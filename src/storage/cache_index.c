/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The hash index of one cache table (see the header for the shape). Loop thread only.
 *
 * Always true: the used slots of a bucket and its overflow chain come first, without a hole; no
 * overflow bucket is empty; buckets at and beyond bucket_count are zero. Splitting needs a further
 * hash bit of each entry in the bucket, hence a look at each of them: they are fetched ahead, while
 * the bucket before is split. */
#include "storage/cache_index.h"

#include "base/check.h"
#include "base/memory.h"

#include <sys/mman.h>

enum {
    /* Entries per bucket above which one is split, below which one is merged: in quarters. */
    SPLIT_QUARTERS = 19, /* 4.75 */
    MERGE_QUARTERS = 6,  /* 1.5 */
    /* A shrinking table gives memory back in pieces of this many buckets (1 MiB): unmapping a large
     * block at once would take milliseconds. */
    RELEASE_BUCKETS = 16384
};

/* What an index without memory of its own looks into: find needs no special case. */
static const struct cache_bucket no_bucket;

static bool has_memory(const struct cache_index *index)
{
    return index->bytes > 0;
}

void cache_index_init(struct cache_index *index)
{
    memset(index, 0, sizeof *index);
    index->bucket_count = 1;
    index->blocks[0] = (uintptr_t)&no_bucket;
}

/* --- blocks --- */

static uint32_t block_first(unsigned block)
{
    return block == 0 ? 0 : (uint32_t)INDEX_FIRST_BUCKETS << (block - 1);
}

static size_t block_bytes(unsigned block)
{
    return (block == 0 ? INDEX_FIRST_BUCKETS : (size_t)block_first(block)) *
           sizeof(struct cache_bucket);
}

static bool map_block(struct cache_index *index, unsigned block)
{
    size_t bytes = block_bytes(block);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    index->blocks[block] =
        (uintptr_t)memory - (uintptr_t)block_first(block) * sizeof(struct cache_bucket);
    return true;
}

static void unmap_block(struct cache_index *index, unsigned block)
{
    munmap(cache_index_bucket(index, block_first(block)), block_bytes(block));
    index->blocks[block] = 0;
}

/* Bucket `number` was the last one and is empty. */
static void release_bucket(struct cache_index *index, uint32_t number)
{
    unsigned block = 26u - (unsigned)__builtin_clz(number | (INDEX_FIRST_BUCKETS / 2));
    index->bytes -= sizeof(struct cache_bucket);
    index->bucket_count--;
    if (number == block_first(block)) {
        unmap_block(index, block);
    } else if (number % RELEASE_BUCKETS == 0) {
        madvise(cache_index_bucket(index, number), RELEASE_BUCKETS * sizeof(struct cache_bucket),
                MADV_DONTNEED);
    }
}

void cache_index_free(struct cache_index *index)
{
    for (uint32_t number = 0; has_memory(index) && number < index->bucket_count; number++) {
        struct cache_bucket *bucket = cache_index_bucket(index, number)->overflow;
        while (bucket) {
            struct cache_bucket *next = bucket->overflow;
            mem_free(bucket);
            bucket = next;
        }
    }
    for (unsigned block = 0; has_memory(index) && block < INDEX_BLOCKS; block++)
        if (index->blocks[block]) unmap_block(index, block);
    cache_index_init(index);
}

/* --- slots --- */

/* A place in a bucket's chain. */
struct cursor {
    struct cache_bucket *bucket;
    unsigned slot;
};

static void write_slot(struct cache_bucket *bucket, unsigned slot, const struct entry *entry,
                       uint8_t tag)
{
    uint64_t word = (uintptr_t)entry;
    ASSERT(word >> 48 == 0);
    memcpy((uint8_t *)bucket + INDEX_SLOTS + slot * INDEX_POINTER_BYTES, &word,
           INDEX_POINTER_BYTES);
    bucket->tags[slot] = tag;
}

/* Writes at the cursor and moves it on, with a new overflow bucket where the chain ends. */
static void append(struct cache_index *index, struct cursor *at, const struct entry *entry,
                   uint8_t tag)
{
    if (at->slot == INDEX_SLOTS) {
        if (!at->bucket->overflow) {
            at->bucket->overflow = mem_calloc(1, sizeof(struct cache_bucket));
            index->bytes += sizeof(struct cache_bucket);
        }
        *at = (struct cursor){at->bucket->overflow, 0};
    }
    write_slot(at->bucket, at->slot++, entry, tag);
}

/* The end of the used slots. */
static struct cursor chain_end(struct cache_bucket *bucket)
{
    while (bucket->overflow) bucket = bucket->overflow;
    unsigned slot = 0;
    while (slot < INDEX_SLOTS && bucket->tags[slot]) slot++;
    return (struct cursor){bucket, slot};
}

/* Frees what of the chain lies behind the cursor. */
static void cut_chain(struct cache_index *index, struct cursor end)
{
    memset(end.bucket->tags + end.slot, 0, INDEX_SLOTS - end.slot);
    struct cache_bucket *bucket = end.bucket->overflow;
    end.bucket->overflow = NULL;
    while (bucket) {
        struct cache_bucket *next = bucket->overflow;
        mem_free(bucket);
        index->bytes -= sizeof(struct cache_bucket);
        bucket = next;
    }
}

static struct cursor find_slot(struct cache_index *index, const struct entry *entry)
{
    struct cache_bucket *bucket = cache_index_bucket(index, cache_index_number(index, entry->hash));
    for (; bucket; bucket = bucket->overflow) {
        for (unsigned slot = 0; slot < INDEX_SLOTS && bucket->tags[slot]; slot++)
            if (cache_bucket_entry(bucket, slot) == entry) return (struct cursor){bucket, slot};
    }
    panic("an entry is not in the index of its table");
}

/* --- growing and shrinking --- */

/* Split after next: its bucket; split next: its entries. */
static void prefetch_next_split(const struct cache_index *index)
{
    uint32_t half = (index->mask >> 1) + 1, next = index->bucket_count - half;
    if (next + 1 >= half) return;
    __builtin_prefetch(cache_index_bucket(index, next + 1));
    const struct cache_bucket *bucket = cache_index_bucket(index, next);
    for (unsigned slot = 0; slot < INDEX_SLOTS && bucket->tags[slot]; slot++)
        __builtin_prefetch(cache_bucket_entry(bucket, slot));
}

static void split_one(struct cache_index *index)
{
    uint32_t number = index->bucket_count;
    if (number == UINT32_MAX) return;
    unsigned block = 26u - (unsigned)__builtin_clz(number | (INDEX_FIRST_BUCKETS / 2));
    /* Without memory the chains get longer: slower, but right. */
    if (number == block_first(block) && !map_block(index, block)) return;
    if (number > index->mask) index->mask = index->mask * 2 + 1;
    uint32_t bit = (index->mask >> 1) + 1;
    struct cache_bucket *from = cache_index_bucket(index, number - bit);
    index->bucket_count++;
    index->bytes += sizeof(struct cache_bucket);

    struct cursor stay = {from, 0}, go = {cache_index_bucket(index, number), 0};
    struct cache_bucket *bucket = from;
    do {
        for (unsigned slot = 0; slot < INDEX_SLOTS && bucket->tags[slot]; slot++) {
            const struct entry *entry = cache_bucket_entry(bucket, slot);
            append(index, entry->hash & bit ? &go : &stay, entry, bucket->tags[slot]);
        }
        bucket = bucket->overflow;
    } while (bucket);
    cut_chain(index, stay);
    prefetch_next_split(index);
}

static void merge_one(struct cache_index *index)
{
    uint32_t number = index->bucket_count - 1, half = (index->mask >> 1) + 1;
    struct cache_bucket *last = cache_index_bucket(index, number), *bucket = last;
    struct cursor to = chain_end(cache_index_bucket(index, number - half));
    do {
        for (unsigned slot = 0; slot < INDEX_SLOTS && bucket->tags[slot]; slot++)
            append(index, &to, cache_bucket_entry(bucket, slot), bucket->tags[slot]);
        bucket = bucket->overflow;
    } while (bucket);
    cut_chain(index, (struct cursor){last, 0});
    release_bucket(index, number);
    if (index->bucket_count == half) index->mask >>= 1;
}

void cache_index_insert(struct cache_index *index, struct entry *entry, uint64_t hash)
{
    if (!has_memory(index)) {
        if (!map_block(index, 0)) panic("out of memory: no page for a cache table");
        index->bucket_count = INDEX_FIRST_BUCKETS;
        index->mask = INDEX_FIRST_BUCKETS - 1;
        index->bytes = INDEX_FIRST_BUCKETS * sizeof(struct cache_bucket);
    }
    struct cursor end =
        chain_end(cache_index_bucket(index, cache_index_number(index, entry->hash)));
    append(index, &end, entry, cache_index_tag(hash));
    index->entries++;
    if (index->entries * 4 > (size_t)index->bucket_count * SPLIT_QUARTERS) split_one(index);
}

void cache_index_remove(struct cache_index *index, const struct entry *entry)
{
    struct cursor hole = find_slot(index, entry);
    /* The last of the chain fills the hole; a chain's last bucket may become empty. */
    struct cache_bucket *before = NULL;
    struct cache_bucket *last = cache_index_bucket(index, cache_index_number(index, entry->hash));
    while (last->overflow) {
        before = last;
        last = last->overflow;
    }
    unsigned slot = INDEX_SLOTS - 1;
    while (!last->tags[slot]) slot--;
    write_slot(hole.bucket, hole.slot, cache_bucket_entry(last, slot), last->tags[slot]);
    last->tags[slot] = 0;
    if (slot == 0 && before) cut_chain(index, (struct cursor){before, INDEX_SLOTS});
    index->entries--;
    /* Below half of its mask a table is being drained: nothing is looked up, nothing merged. */
    if (index->bucket_count > INDEX_FIRST_BUCKETS && index->bucket_count > (index->mask >> 1) + 1 &&
        index->entries * 4 < (size_t)index->bucket_count * MERGE_QUARTERS)
        merge_one(index);
}

void cache_index_replace(struct cache_index *index, const struct entry *entry,
                         const struct entry *replacement)
{
    struct cursor at = find_slot(index, entry);
    write_slot(at.bucket, at.slot, replacement, at.bucket->tags[at.slot]);
}

struct entry *cache_index_drain(struct cache_index *index)
{
    if (!has_memory(index)) {
        index->bucket_count = 0;
        return NULL;
    }
    uint32_t number = index->bucket_count - 1;
    struct cache_bucket *bucket = cache_index_bucket(index, number), *before = NULL;
    while (bucket->overflow) {
        before = bucket;
        bucket = bucket->overflow;
    }
    unsigned slot = INDEX_SLOTS;
    while (slot > 0 && !bucket->tags[slot - 1]) slot--;
    if (slot == 0) {
        release_bucket(index, number);
        return NULL;
    }
    struct entry *entry = cache_bucket_entry(bucket, slot - 1);
    bucket->tags[slot - 1] = 0;
    if (slot == 1 && before) cut_chain(index, (struct cursor){before, INDEX_SLOTS});
    index->entries--;
    return entry;
}

/* --- a random entry --- */

static uint64_t mix(uint64_t x) /* splitmix64's finalizer */
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static struct entry *present_at(const struct cache_bucket *bucket, unsigned slot)
{
    struct entry *entry = bucket->tags[slot] ? cache_bucket_entry(bucket, slot) : NULL;
    return entry && entry->state == ENTRY_PRESENT ? entry : NULL;
}

struct entry *cache_index_random(const struct cache_index *index, uint64_t random)
{
    enum { TRIES = 64 };
    /* A random slot of a random bucket, so that full buckets are not at a disadvantage. */
    for (unsigned try = 0; try < TRIES; try++) {
        random = mix(random + 0x9e3779b97f4a7c15u);
        uint32_t number = (uint32_t)((random >> 32) * index->bucket_count >> 32);
        const struct cache_bucket *bucket = cache_index_bucket(index, number);
        if (bucket->overflow && (random & INDEX_SLOTS)) bucket = bucket->overflow;
        struct entry *entry = present_at(bucket, random & (INDEX_SLOTS - 1));
        if (entry) return entry;
    }
    /* Few entries, or many that are absent: all of a page of buckets, from a random one on. */
    uint32_t number = (uint32_t)((mix(random) >> 32) * index->bucket_count >> 32);
    for (unsigned look = 0; look < INDEX_FIRST_BUCKETS; look++) {
        const struct cache_bucket *bucket = cache_index_bucket(index, number);
        for (; bucket; bucket = bucket->overflow) {
            for (unsigned slot = 0; slot < INDEX_SLOTS; slot++) {
                struct entry *entry = present_at(bucket, slot);
                if (entry) return entry;
            }
        }
        number = number + 1 < index->bucket_count ? number + 1 : 0;
    }
    return NULL;
}

size_t cache_index_sample(const struct cache_index *index, uint64_t random, struct entry **out,
                          size_t most)
{
    size_t count = 0;
    uint32_t buckets = index->bucket_count;
    uint32_t number = (uint32_t)((mix(random) >> 32) * buckets >> 32);
    if (buckets > most * 2) buckets = (uint32_t)most * 2;
    for (; buckets > 0; buckets--) {
        const struct cache_bucket *bucket = cache_index_bucket(index, number);
        for (; bucket; bucket = bucket->overflow) {
            for (unsigned slot = 0; slot < INDEX_SLOTS; slot++) {
                struct entry *entry = present_at(bucket, slot);
                if (entry && count == most) return count;
                if (entry) out[count++] = entry;
            }
        }
        number = number + 1 < index->bucket_count ? number + 1 : 0;
    }
    return count;
}
