/* SPDX-License-Identifier: BSD-3-Clause
 *
 * XXH3, compiled into this file: the only one that sees the library. Any thread; a stream belongs
 * to one thread at a time. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"

#include <stdalign.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

static uint64_t key_seed;

/* A process that never calls hash_key_seed is seeded too: before main, so that no call has to ask
 * whether it is the first one. */
__attribute__((constructor)) static void seed_keys_at_start(void)
{
    if (getrandom(&key_seed, sizeof key_seed, GRND_NONBLOCK) != sizeof key_seed)
        key_seed = (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
}

void hash_key_seed(uint64_t seed)
{
    key_seed = seed;
}

uint64_t hash_key(const void *data, size_t size)
{
    return XXH3_64bits_withSeed(data, size, key_seed);
}

uint64_t hash_checksum(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

struct hash_stream {
    XXH3_state_t state; /* its type asks for 64-byte alignment */
};

struct hash_stream *hash_stream_create(uint64_t seed)
{
    struct hash_stream *stream = aligned_alloc(alignof(struct hash_stream), sizeof *stream);
    if (!stream) panic("out of memory: no state for a checksum");
    XXH3_INITSTATE(&stream->state);
    hash_stream_reset(stream, seed);
    return stream;
}

void hash_stream_reset(struct hash_stream *stream, uint64_t seed)
{
    XXH3_64bits_reset_withSeed(&stream->state, seed);
}

void hash_stream_update(struct hash_stream *stream, const void *data, size_t size)
{
    if (size > 0) XXH3_64bits_update(&stream->state, data, size);
}

uint64_t hash_stream_digest(const struct hash_stream *stream)
{
    return XXH3_64bits_digest(&stream->state);
}

void hash_stream_destroy(struct hash_stream *stream)
{
    free(stream);
}
