/* SPDX-License-Identifier: BSD-3-Clause
 *
 * XXH3 (Collet, https://github.com/Cyan4973/xxHash): the hash of keys and the checksum of
 * records. The only file that sees the library is hash.c. Any thread. */
#ifndef KELVIN_BASE_HASH_H
#define KELVIN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Keys: seeded once per process with random bits, so that nobody can choose colliding keys. */
uint64_t hash_key(const void *data, size_t size);
void hash_key_seed(uint64_t seed); /* before the first hash_key */

/* Checksums: the same for ever for the same bytes and seed. */
uint64_t hash_checksum(const void *data, size_t size, uint64_t seed);

#endif
