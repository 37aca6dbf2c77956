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

/* A checksum over pieces: the same result as hash_checksum over their concatenation. */
struct hash_stream;
struct hash_stream *hash_stream_create(uint64_t seed);
void hash_stream_reset(struct hash_stream *stream, uint64_t seed);
void hash_stream_update(struct hash_stream *stream, const void *data, size_t size);
uint64_t hash_stream_digest(const struct hash_stream *stream);
void hash_stream_destroy(struct hash_stream *stream);

#endif
