/* SPDX-License-Identifier: BSD-3-Clause
 *
 * XXH3, compiled into this file: the only one that sees the library. Any thread. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/hash.h"

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
