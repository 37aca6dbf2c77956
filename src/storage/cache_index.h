/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The hash index of one cache table: from key to entry. For cache.c alone; loop thread only.
 *
 * Linear hashing (Litwin: Linear hashing, a new tool for file and table addressing, 1980): the
 * table grows by splitting one bucket at a time, in order, whenever an insertion takes the average
 * above INDEX_FILL, and shrinks by merging the last bucket back. There is no second table, no
 * moment at which everything moves, and the memory per entry stays the same at every size (13 to
 * 15 bytes).
 *
 * A bucket is one cache line: 8 one-byte tags, 8 pointers of 48 bits, and the next bucket of an
 * overflow chain. A look-up that finds touches that line (4% to 5% of the keys: a second one) and
 * the entry's.
 *
 * Buckets lie in blocks, each as large as all before it together, mapped but not touched before
 * they are needed: neither growing nor shrinking ever copies or clears the index. */
#ifndef KELVIN_STORAGE_CACHE_INDEX_H
#define KELVIN_STORAGE_CACHE_INDEX_H

#include "storage/entry.h"

enum {
    INDEX_SLOTS = 8,
    INDEX_POINTER_BYTES = 6,
    INDEX_FIRST_BUCKETS = 64, /* one page */
    INDEX_BLOCKS = 27         /* 64 * 2^26 buckets: as many as a 32-bit hash can name */
};

struct cache_bucket {
    uint8_t tags[INDEX_SLOTS]; /* 0: the slot is free; otherwise 8 bits of the hash */
    uint8_t slots[INDEX_SLOTS * INDEX_POINTER_BYTES];
    struct cache_bucket *overflow;
};
_Static_assert(sizeof(struct cache_bucket) == 64, "a bucket is a cache line");

struct cache_index {
    uint32_t mask;         /* the least 2^n - 1 that reaches all buckets */
    uint32_t bucket_count; /* beside the overflow buckets */
    size_t entries;
    size_t bytes; /* memory of all buckets */
    /* Where bucket 0 would lie if the block began with it. */
    uintptr_t blocks[INDEX_BLOCKS];
};

void cache_index_init(struct cache_index *index);
/* Gives the buckets back; the entries are the caller's. */
void cache_index_free(struct cache_index *index);

/* The entry is not in it yet; entry->hash is (uint32_t)hash. */
void cache_index_insert(struct cache_index *index, struct entry *entry, uint64_t hash);
/* It is in it. */
void cache_index_remove(struct cache_index *index, const struct entry *entry);
/* Puts `replacement`, of the same key, in the entry's place. */
void cache_index_replace(struct cache_index *index, const struct entry *entry,
                         const struct entry *replacement);
/* Takes an entry out, or gives one empty bucket back and returns NULL; the table does not look
 * anything up any more. Done when bucket_count is 0. */
struct entry *cache_index_drain(struct cache_index *index);
/* Any entry in state PRESENT after a bounded search, or NULL. */
struct entry *cache_index_random(const struct cache_index *index, uint64_t random);
/* Up to `most` present entries, those of the buckets from a random one on: all of them where there are
 * no more. Returns how many. */
size_t cache_index_sample(const struct cache_index *index, uint64_t random, struct entry **out,
                          size_t most);

/* --- looking up, in line since every command does it --- */

static inline uint8_t cache_index_tag(uint64_t hash)
{
    uint8_t tag = (uint8_t)(hash >> 56);
    return (uint8_t)(tag + (tag == 0));
}

static inline uint32_t cache_index_number(const struct cache_index *index, uint32_t hash)
{
    uint32_t number = hash & index->mask;
    /* Not split yet: still in the bucket that it will be split from. */
    return number < index->bucket_count ? number : hash & (index->mask >> 1);
}

static inline struct cache_bucket *cache_index_bucket(const struct cache_index *index,
                                                      uint32_t number)
{
    unsigned block = 26u - (unsigned)__builtin_clz(number | (INDEX_FIRST_BUCKETS / 2));
    return (struct cache_bucket *)(index->blocks[block] +
                                   (uintptr_t)number * sizeof(struct cache_bucket));
}

static inline struct entry *cache_bucket_entry(const struct cache_bucket *bucket, unsigned slot)
{
    /* Reads two bytes beyond the pointer: still inside the bucket. */
    uint64_t word;
    memcpy(&word, (const uint8_t *)bucket + INDEX_SLOTS + slot * INDEX_POINTER_BYTES, sizeof word);
    return (struct entry *)(uintptr_t)(word & 0xffffffffffffu);
}

/* Bit 8n+7 is set where tag n equals `tag`. */
static inline uint64_t cache_bucket_match(const struct cache_bucket *bucket, uint8_t tag)
{
    const uint64_t low7 = 0x7f7f7f7f7f7f7f7fu;
    uint64_t word;
    memcpy(&word, bucket->tags, sizeof word);
    word ^= 0x0101010101010101u * tag;
    return ~(((word & low7) + low7) | word | low7);
}

static inline struct entry *cache_index_find(const struct cache_index *index, struct slice key,
                                             uint64_t hash)
{
    const struct cache_bucket *bucket =
        cache_index_bucket(index, cache_index_number(index, (uint32_t)hash));
    uint8_t tag = cache_index_tag(hash);
    do {
        for (uint64_t match = cache_bucket_match(bucket, tag); match; match &= match - 1) {
            struct entry *entry = cache_bucket_entry(bucket, (unsigned)__builtin_ctzll(match) / 8);
            __builtin_prefetch((const char *)entry + 64);
            if (entry->hash == (uint32_t)hash && slice_equal(entry_key(entry), key)) return entry;
        }
        bucket = bucket->overflow;
    } while (__builtin_expect(bucket != NULL, 0));
    return NULL;
}

#endif
