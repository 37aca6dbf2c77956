/* SPDX-License-Identifier: BSD-3-Clause
 *
 * HyperLogLog: registers, their two encodings and the estimate. Pure functions, any thread. In a
 * valid sparse encoding the runs cover each register once; what a client has written may break that
 * and is answered with HYPERLOGLOG_DAMAGED or false. */
#include "commands/hyperloglog.h"

#include "base/check.h"

#include <math.h>

enum {
    ENCODING_OFFSET = 4,
    ENCODING_DENSE = 0,
    ENCODING_SPARSE = 1,
    INDEX_BITS = 14,
    RANK_BITS = 64 - INDEX_BITS, /* bits of the hash in which leading places are counted */
    REGISTER_VALUES = 64,
    ZERO_MAX_RUN = 64,           /* of the one-byte form */
    VALUE_MAX_RUN = 4,
    SPARSE_MAX_VALUE = 32,
    SPLIT_MAX_GROWTH = 3         /* two bytes of zeros become five */
};

/* ---- the hash: MurmurHash64A (Appleby, public domain), in little-endian byte order ---- */

static uint64_t murmur_hash(struct slice element)
{
    const uint64_t factor = 0xc6a4a7935bd1e995u, seed = 0xadc83b19u;
    uint64_t hash = seed ^ (element.size * factor);
    const char *data = element.data, *end = data + element.size / 8 * 8;
    for (; data < end; data += 8) {
        uint64_t block = get_le64(data) * factor;
        block ^= block >> 47;
        hash = (hash ^ block * factor) * factor;
    }
    size_t rest = element.size % 8;
    if (rest > 0) {
        uint64_t block = 0;
        memcpy(&block, data, rest);
        hash = (hash ^ block) * factor;
    }
    hash = (hash ^ hash >> 47) * factor;
    return hash ^ hash >> 47;
}

/* ---- dense registers ---- */

static unsigned dense_get(const unsigned char *registers, unsigned index)
{
    unsigned bit = index * 6, byte = bit / 8, shift = bit % 8;
    unsigned pair = registers[byte];
    if (shift > 2) pair |= (unsigned)registers[byte + 1] << 8;
    return pair >> shift & 63;
}

static void dense_put(unsigned char *registers, unsigned index, unsigned value)
{
    unsigned bit = index * 6, byte = bit / 8, shift = bit % 8;
    registers[byte] = (unsigned char)((registers[byte] & ~(63u << shift)) | value << shift);
    if (shift > 2)
        registers[byte + 1] =
            (unsigned char)((registers[byte + 1] & ~(63u >> (8 - shift))) | value >> (8 - shift));
}

/* ---- sparse runs ---- */

/* A run of registers with the same value, and the bytes that encode it. */
struct run_of_registers {
    unsigned length, value;
    size_t size;
};

/* The run at `bytes`; a missing second byte counts as 0. */
static struct run_of_registers read_run(const unsigned char *bytes, const unsigned char *end)
{
    unsigned first = bytes[0], second = bytes + 1 < end ? bytes[1] : 0;
    if (first & 0x80) return (struct run_of_registers){(first & 3) + 1, (first >> 2 & 31) + 1, 1};
    if (first & 0x40) return (struct run_of_registers){((first & 63) << 8 | second) + 1, 0, 2};
    return (struct run_of_registers){first + 1, 0, 1};
}

/* Writes a run in its shortest form, nothing for an empty one; returns the end. */
static unsigned char *write_run(unsigned char *out, unsigned length, unsigned value)
{
    if (length == 0) return out;
    if (value > 0) {
        *out++ = (unsigned char)(0x80 | (value - 1) << 2 | (length - 1));
    } else if (length <= ZERO_MAX_RUN) {
        *out++ = (unsigned char)(length - 1);
    } else {
        *out++ = (unsigned char)(0x40 | (length - 1) >> 8);
        *out++ = (unsigned char)(length - 1);
    }
    return out;
}

/* Where a register lies: its run, the register at which that begins, and the run in front of it. */
struct place {
    unsigned char *run, *previous; /* previous: NULL for the first run */
    unsigned first;
};

/* A last run that lacks its second byte has the one behind the end, as in Redis, whose strings have a
 * zero byte there. */
static bool find_place(const struct hyperloglog *hll, unsigned index, struct place *place,
                       struct run_of_registers *run)
{
    unsigned char *end = hll->bytes + hll->size;
    *place = (struct place){hll->bytes + HYPERLOGLOG_HEADER_BYTES, NULL, 0};
    while (place->run < end) {
        *run = read_run(place->run, end + 1);
        if (index < place->first + run->length) return true;
        place->previous = place->run;
        place->run += run->size;
        place->first += run->length;
    }
    return false;
}

/* Joins neighbours of equal value among the few runs from `at` on. Redis looks at five runs from
 * the one in front of the change: not more, or the bytes would differ from its. */
static void join_runs(struct hyperloglog *hll, unsigned char *at)
{
    for (int looks = 5; looks > 0 && at < hll->bytes + hll->size; looks--) {
        unsigned char *end = hll->bytes + hll->size;
        struct run_of_registers run = read_run(at, end + 1), next = {0};
        if (run.value > 0 && at + 1 < end) next = read_run(at + 1, end);
        if (run.value > 0 && next.value == run.value &&
            run.length + next.length <= VALUE_MAX_RUN) {
            write_run(at + 1, run.length + next.length, run.value);
            memmove(at, at + 1, (size_t)(end - at) - 1);
            hll->size--;
        } else {
            at += run.size;
        }
    }
}

/* ---- raising a register ---- */

static enum hyperloglog_change dense_raise(struct hyperloglog *hll, unsigned index,
                                           unsigned value)
{
    unsigned char *registers = hll->bytes + HYPERLOGLOG_HEADER_BYTES;
    if (dense_get(registers, index) >= value) return HYPERLOGLOG_SAME;
    dense_put(registers, index, value);
    return HYPERLOGLOG_CHANGED;
}

static enum hyperloglog_change promote_and_raise(struct hyperloglog *hll, unsigned index,
                                                 unsigned value)
{
    if (!hyperloglog_make_dense(hll)) return HYPERLOGLOG_DAMAGED;
    return dense_raise(hll, index, value);
}

static enum hyperloglog_change sparse_raise(struct hyperloglog *hll, unsigned index,
                                            unsigned value)
{
    struct place place;
    struct run_of_registers run;
    if (value > SPARSE_MAX_VALUE) return promote_and_raise(hll, index, value);
    if (!find_place(hll, index, &place, &run)) return HYPERLOGLOG_DAMAGED;
    if (run.value >= value) return HYPERLOGLOG_SAME;

    /* The run becomes up to three: what is in front of the register, itself, what is behind it. */
    unsigned char split[5], *end = split;
    unsigned before = index - place.first;
    end = write_run(end, before, run.value);
    end = write_run(end, 1, value);
    end = write_run(end, run.length - before - 1, run.value);
    size_t size = (size_t)(end - split);
    bool grows = size > run.size;
    if (grows && hll->size + size - run.size > hll->sparse_max_bytes)
        return promote_and_raise(hll, index, value);

    ASSERT(hll->size + size - run.size < hll->capacity);
    unsigned char *tail = place.run + run.size, *hll_end = hll->bytes + hll->size;
    if (tail < hll_end) memmove(place.run + size, tail, (size_t)(hll_end - tail));
    memcpy(place.run, split, size);
    hll->size = hll->size + size - run.size;
    join_runs(hll, place.previous ? place.previous : hll->bytes + HYPERLOGLOG_HEADER_BYTES);
    hyperloglog_drop_cached_count(hll);
    return HYPERLOGLOG_CHANGED;
}

enum hyperloglog_change hyperloglog_raise(struct hyperloglog *hll, unsigned index, unsigned value)
{
    if (hll->bytes[ENCODING_OFFSET] == ENCODING_DENSE) return dense_raise(hll, index, value);
    return sparse_raise(hll, index, value);
}

enum hyperloglog_change hyperloglog_add(struct hyperloglog *hll, struct slice element)
{
    uint64_t hash = murmur_hash(element);
    unsigned index = (unsigned)(hash & (HYPERLOGLOG_REGISTERS - 1));
    uint64_t rest = hash >> INDEX_BITS | (uint64_t)1 << RANK_BITS; /* ends the count */
    return hyperloglog_raise(hll, index, (unsigned)__builtin_ctzll(rest) + 1);
}

/* ---- whole values ---- */

bool hyperloglog_is_valid(struct slice bytes)
{
    if (bytes.size < HYPERLOGLOG_HEADER_BYTES || memcmp(bytes.data, "HYLL", 4) != 0) return false;
    unsigned char encoding = (unsigned char)bytes.data[ENCODING_OFFSET];
    return encoding == ENCODING_SPARSE ||
           (encoding == ENCODING_DENSE && bytes.size == HYPERLOGLOG_DENSE_BYTES);
}

bool hyperloglog_is_dense(struct slice bytes)
{
    return bytes.data[ENCODING_OFFSET] == ENCODING_DENSE;
}

/* A raised register splits one run in three, and only its first time in all. */
size_t hyperloglog_capacity(size_t size, size_t sparse_max_bytes, size_t raises)
{
    if (raises > HYPERLOGLOG_REGISTERS) raises = HYPERLOGLOG_REGISTERS;
    size_t grown = size + SPLIT_MAX_GROWTH * raises;
    if (grown > sparse_max_bytes) grown = sparse_max_bytes;
    if (grown < size) grown = size;
    if (grown < HYPERLOGLOG_DENSE_BYTES) grown = HYPERLOGLOG_DENSE_BYTES;
    return grown + 1;
}

void hyperloglog_init(struct hyperloglog *hll)
{
    memset(hll->bytes, 0, HYPERLOGLOG_HEADER_BYTES);
    memcpy(hll->bytes, "HYLL", 4);
    hll->bytes[ENCODING_OFFSET] = ENCODING_SPARSE;
    unsigned char *end = write_run(hll->bytes + HYPERLOGLOG_HEADER_BYTES, HYPERLOGLOG_REGISTERS, 0);
    hll->size = (size_t)(end - hll->bytes);
    *end = 0;
}

bool hyperloglog_make_dense(struct hyperloglog *hll)
{
    struct slice bytes = slice_make(hll->bytes, hll->size);
    if (hyperloglog_is_dense(bytes)) return true;
    struct hyperloglog_registers registers = {{0}};
    if (!hyperloglog_merge(&registers, bytes)) return false;
    unsigned char *dense = hll->bytes + HYPERLOGLOG_HEADER_BYTES;
    memset(dense, 0, HYPERLOGLOG_DENSE_BYTES - HYPERLOGLOG_HEADER_BYTES);
    for (unsigned i = 0; i < HYPERLOGLOG_REGISTERS; i++)
        if (registers.values[i]) dense_put(dense, i, registers.values[i]);
    hll->bytes[ENCODING_OFFSET] = ENCODING_DENSE;
    hll->size = HYPERLOGLOG_DENSE_BYTES;
    return true;
}

bool hyperloglog_cached_count(struct slice bytes, uint64_t *count)
{
    uint64_t cached = get_le64(bytes.data + HYPERLOGLOG_COUNT_OFFSET);
    if (cached >> 63) return false;
    *count = cached;
    return true;
}

void hyperloglog_drop_cached_count(struct hyperloglog *hll)
{
    hll->bytes[HYPERLOGLOG_COUNT_OFFSET + HYPERLOGLOG_COUNT_BYTES - 1] |= 0x80;
}

static void raise_values(struct hyperloglog_registers *registers, unsigned index, unsigned length,
                         unsigned value)
{
    for (unsigned i = index; i < index + length; i++)
        if (registers->values[i] < value) registers->values[i] = (uint8_t)value;
}

bool hyperloglog_merge(struct hyperloglog_registers *registers, struct slice bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.data + HYPERLOGLOG_HEADER_BYTES;
    const unsigned char *end = (const unsigned char *)bytes.data + bytes.size;
    if (hyperloglog_is_dense(bytes)) {
        for (unsigned i = 0; i < HYPERLOGLOG_REGISTERS; i++)
            raise_values(registers, i, 1, dense_get(at, i));
        return true;
    }
    unsigned index = 0;
    while (at < end) {
        struct run_of_registers run = read_run(at, end);
        if (run.length > HYPERLOGLOG_REGISTERS - index) return false;
        raise_values(registers, index, run.length, run.value);
        index += run.length;
        at += run.size;
    }
    return index == HYPERLOGLOG_REGISTERS;
}

/* ---- the estimate: Ertl's algorithm 6, with the names of the paper ---- */

static double sigma(double x)
{
    if (x == 1) return INFINITY;
    double y = 1, z = x, before;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z != before);
    return z;
}

static double tau(double x)
{
    if (x == 0 || x == 1) return 0;
    double y = 1, z = 1 - x, before;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= pow(1 - x, 2) * y;
    } while (z != before);
    return z / 3;
}

uint64_t hyperloglog_estimate(const struct hyperloglog_registers *registers)
{
    const double m = HYPERLOGLOG_REGISTERS, alpha = 0.721347520444481703680; /* 1 / (2 ln 2) */
    int histogram[REGISTER_VALUES] = {0};
    for (int i = 0; i < HYPERLOGLOG_REGISTERS; i++) histogram[registers->values[i] & 63]++;
    double z = m * tau((m - histogram[RANK_BITS + 1]) / m);
    for (int k = RANK_BITS; k >= 1; k--) {
        z += histogram[k];
        z *= 0.5;
    }
    z += m * sigma(histogram[0] / m);
    return (uint64_t)llroundl(alpha * m * m / z);
}
