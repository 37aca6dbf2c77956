/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Values. One begins with the hash of its key as 16 hexadecimal digits (cut off where it is
 * shorter); then come bytes from a ring of noise that all share, from where the hash says. */
#include "values.h"

#include "base/memory.h"
#include "prng.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 16, NOISE_BYTES = 1 << 20, NOISE_BLOCK = 64 };

static bool parse_part(const char **text, struct value_part *part)
{
    char *end;
    unsigned long minimum = strtoul(*text, &end, 10), maximum = minimum, weight = 1;
    if (end == *text) return false;
    if (*end == '-') maximum = strtoul(end + 1, &end, 10);
    if (*end == ':') weight = strtoul(end + 1, &end, 10);
    if (*end != ',' && *end != 0) return false;
    *text = *end ? end + 1 : end;
    *part = (struct value_part){(uint32_t)minimum, (uint32_t)maximum, weight};
    return minimum <= maximum && maximum <= VALUE_MAX_BYTES && weight > 0 && weight < 1u << 30;
}

bool value_maker_setup(struct value_maker *maker, const char *sizes, unsigned compressible,
                       uint64_t seed)
{
    struct prng prng = {seed};
    *maker = (struct value_maker){.seed = prng_next(&prng)};
    do {
        if (maker->count == VALUE_MAX_PARTS) return false;
        if (!parse_part(&sizes, &maker->parts[maker->count])) return false;
        maker->weight += maker->parts[maker->count++].weight;
    } while (*sizes);
    maker->noise = mem_alloc(NOISE_BYTES);
    for (size_t i = 0; i < NOISE_BYTES; i++) {
        bool constant = i % NOISE_BLOCK < NOISE_BLOCK * compressible / 100;
        maker->noise[i] = constant ? 'x' : (char)prng_next(&prng);
    }
    return true;
}

void value_maker_free(struct value_maker *maker)
{
    mem_free(maker->noise);
    maker->noise = NULL;
}

bool value_size_is_fixed(const struct value_maker *maker)
{
    return maker->count == 1 && maker->parts[0].minimum == maker->parts[0].maximum;
}

static uint64_t key_hash(const struct value_maker *maker, uint64_t key)
{
    return prng_mix(maker->seed + key * 0x9e3779b97f4a7c15u);
}

size_t value_size(const struct value_maker *maker, uint64_t key)
{
    if (value_size_is_fixed(maker)) return maker->parts[0].minimum;
    struct prng prng = {key_hash(maker, key)};
    uint64_t chosen = prng_below(&prng, maker->weight);
    const struct value_part *part = maker->parts;
    while (chosen >= part->weight) chosen -= part++->weight;
    return part->minimum + prng_below(&prng, part->maximum - part->minimum + 1u);
}

static void write_head(uint64_t hash, char head[HEAD_BYTES])
{
    for (unsigned i = 0; i < HEAD_BYTES; i++) head[i] = "0123456789abcdef"[hash >> (4 * i) & 15];
}

static size_t noise_start(uint64_t hash)
{
    return (hash >> 20) % NOISE_BYTES / NOISE_BLOCK * NOISE_BLOCK;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void value_write(const struct value_maker *maker, uint64_t key, char *out, size_t size)
{
    char head[HEAD_BYTES];
    uint64_t hash = key_hash(maker, key);
    size_t done = smaller(size, HEAD_BYTES), at = noise_start(hash);
    write_head(hash, head);
    memcpy(out, head, done);
    while (done < size) {
        size_t part = smaller(size - done, NOISE_BYTES - at);
        memcpy(out + done, maker->noise + at, part);
        done += part;
        at = 0;
    }
}

bool value_matches(const struct value_maker *maker, uint64_t key, size_t offset, const char *bytes,
                   size_t size)
{
    uint64_t hash = key_hash(maker, key);
    if (offset < HEAD_BYTES) {
        char head[HEAD_BYTES];
        size_t part = smaller(size, HEAD_BYTES - offset);
        write_head(hash, head);
        if (memcmp(head + offset, bytes, part) != 0) return false;
        offset += part;
        bytes += part;
        size -= part;
    }
    while (size) {
        size_t at = (noise_start(hash) + offset - HEAD_BYTES) % NOISE_BYTES;
        size_t part = smaller(size, NOISE_BYTES - at);
        if (memcmp(maker->noise + at, bytes, part) != 0) return false;
        offset += part;
        bytes += part;
        size -= part;
    }
    return true;
}
