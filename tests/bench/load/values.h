/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Values: size and bytes follow from the key's number alone, so that what a GET returns can be
 * checked without remembering anything. A value_maker is set up once and then only read, by any
 * thread. */
#ifndef KELVIN_BENCH_VALUES_H
#define KELVIN_BENCH_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VALUE_MAX_PARTS = 16, VALUE_MAX_BYTES = 512 << 20 };

struct value_maker {
    struct value_part {
        uint32_t minimum, maximum; /* bytes, both possible */
        uint64_t weight;
    } parts[VALUE_MAX_PARTS];
    unsigned count;
    uint64_t weight;
    uint64_t seed;
    char *noise;
};

/* `sizes`: "64", "16-1024" (uniform), or several with weights: "64:90,1024:9,16384-65536:1".
 * `compressible`: the part of the bytes, in percent, that a compressor takes away. False: cannot be
 * read. Free with value_maker_free. */
bool value_maker_setup(struct value_maker *maker, const char *sizes, unsigned compressible,
                       uint64_t seed);
void value_maker_free(struct value_maker *maker);

bool value_size_is_fixed(const struct value_maker *maker);
size_t value_size(const struct value_maker *maker, uint64_t key);
/* `out` has room for value_size bytes. */
void value_write(const struct value_maker *maker, uint64_t key, char *out, size_t size);
/* Whether bytes offset .. offset + size of the key's value are these. */
bool value_matches(const struct value_maker *maker, uint64_t key, size_t offset, const char *bytes,
                   size_t size);

#endif
