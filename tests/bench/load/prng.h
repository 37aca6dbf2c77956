/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Random numbers that are the same for the same seed, on any machine. One thread per struct. */
#ifndef KELVIN_BENCH_PRNG_H
#define KELVIN_BENCH_PRNG_H

#include <stdint.h>

/* SplitMix64 (Steele, Lea, Flood 2014): passes BigCrush, eight bytes of state. */
struct prng {
    uint64_t state;
};

/* A bijection of the 64-bit numbers without visible pattern: the generator's output function. */
static inline uint64_t prng_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t prng_next(struct prng *prng)
{
    prng->state += 0x9e3779b97f4a7c15u;
    return prng_mix(prng->state);
}

/* 0 <= result < limit. The bias is limit / 2^64. */
static inline uint64_t prng_below(struct prng *prng, uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)prng_next(prng) * limit) >> 64);
}

/* 0 <= result < 1, 53 random bits. */
static inline double prng_unit(struct prng *prng)
{
    return (double)(prng_next(prng) >> 11) * 0x1p-53;
}

#endif
