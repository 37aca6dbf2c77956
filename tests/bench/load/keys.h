/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which key comes next: uniform, by Zipf's law, or each key once. Keys are numbers from 0 to
 * count - 1. A key_space is set up once and then only read, by any thread; what changes is in the
 * caller's key_cursor. */
#ifndef KELVIN_BENCH_KEYS_H
#define KELVIN_BENCH_KEYS_H

#include "prng.h"

#include <stdbool.h>

/* A permutation of 0 .. count - 1 that looks random and needs no table: a Feistel network over the
 * next even number of bits; what falls outside is sent through again. */
struct permutation {
    uint64_t count, seed;
    unsigned half_bits;
};

void permutation_setup(struct permutation *permutation, uint64_t count, uint64_t seed);
uint64_t permutation_at(const struct permutation *permutation, uint64_t position);

/* Zipf's law, exact: rank r of 0 .. count - 1 comes with a probability proportional to
 * 1 / (r + 1)^theta, for any theta > 0. Rejection-inversion (Hoermann and Derflinger, "Rejection-
 * inversion to generate variates from monotone discrete distributions", 1996): no table, a little
 * more than one draw a number. */
struct zipf {
    uint64_t count;
    double theta, area_first, area_all, shortcut;
};

void zipf_setup(struct zipf *zipf, uint64_t count, double theta);
uint64_t zipf_next(const struct zipf *zipf, struct prng *prng);

enum key_order {
    KEYS_UNIFORM,
    KEYS_ZIPF,       /* the ranks lie scattered over the key space */
    KEYS_ZIPF_RANKS, /* key 0 is the most frequent one */
    KEYS_SEQUENTIAL, /* each key once, in order */
    KEYS_SHUFFLED    /* each key once, in a random order */
};

struct key_space {
    enum key_order order;
    uint64_t count;
    struct permutation permutation;
    struct zipf zipf;
};

/* "uniform", "zipf:THETA", "zipf-ranks:THETA", "sequential" or "shuffled"; false: not one of these.
 * `count` > 0. The same seed scatters alike, so that all runs agree about which keys are hot. */
bool key_space_setup(struct key_space *space, const char *order, uint64_t count, uint64_t seed);
/* Whether each key comes once. */
bool key_space_is_walk(const struct key_space *space);

/* One thread's place in it. In a walk, cursor i of n takes every n-th position from i on. */
struct key_cursor {
    struct prng prng;
    uint64_t position, step;
};

/* A walk that has come to its end begins again. */
uint64_t key_space_next(const struct key_space *space, struct key_cursor *cursor);

#endif
