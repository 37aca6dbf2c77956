/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Key distributions. Pure functions of their arguments. */
#include "keys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEISTEL_ROUNDS = 4 };

void permutation_setup(struct permutation *permutation, uint64_t count, uint64_t seed)
{
    unsigned bits = 2;
    while (bits < 64 && (UINT64_C(1) << bits) < count) bits += 2;
    *permutation = (struct permutation){.count = count, .seed = seed, .half_bits = bits / 2};
}

uint64_t permutation_at(const struct permutation *permutation, uint64_t position)
{
    uint64_t mask = (UINT64_C(1) << permutation->half_bits) - 1;
    do {
        uint64_t left = position >> permutation->half_bits, right = position & mask;
        for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
            uint64_t mixed = prng_mix(permutation->seed + (round << 56) + right) & mask;
            uint64_t next = left ^ mixed;
            left = right;
            right = next;
        }
        position = left << permutation->half_bits | right;
    } while (position >= permutation->count);
    return position;
}

/* The integral of x^-theta from 1 to x, exact also where theta is close to 1. */
static double zipf_area(double theta, double x)
{
    double power = 1 - theta, scaled = power * log(x);
    return fabs(scaled) > 1e-8 ? expm1(scaled) / power : log(x) * (1 + scaled / 2);
}

/* Where the integral reaches `area`. */
static double zipf_area_inverse(double theta, double area)
{
    double scaled = area * (1 - theta);
    if (scaled <= -1) return HUGE_VAL; /* rounding, at the far end */
    return exp(fabs(scaled) > 1e-8 ? log1p(scaled) / (1 - theta) : area * (1 - scaled / 2));
}

void zipf_setup(struct zipf *zipf, uint64_t count, double theta)
{
    *zipf = (struct zipf){.count = count, .theta = theta};
    zipf->area_first = zipf_area(theta, 1.5) - 1;
    zipf->area_all = zipf_area(theta, (double)count + 0.5);
    zipf->shortcut = 2 - zipf_area_inverse(theta, zipf_area(theta, 2.5) - pow(2, -theta));
}

uint64_t zipf_next(const struct zipf *zipf, struct prng *prng)
{
    for (;;) {
        double area = zipf->area_all + prng_unit(prng) * (zipf->area_first - zipf->area_all);
        double x = zipf_area_inverse(zipf->theta, area);
        double rank = floor(x + 0.5);
        if (rank < 1) rank = 1;
        if (rank > (double)zipf->count) rank = (double)zipf->count;
        if (rank - x <= zipf->shortcut ||
            area >= zipf_area(zipf->theta, rank + 0.5) - pow(rank, -zipf->theta)) {
            return (uint64_t)rank - 1;
        }
    }
}

static bool parse_theta(const char *text, const char *prefix, double *theta)
{
    size_t length = strlen(prefix);
    char *end;
    if (strncmp(text, prefix, length) != 0) return false;
    *theta = strtod(text + length, &end);
    return end != text + length && *end == 0 && *theta > 0 && *theta < 100;
}

bool key_space_setup(struct key_space *space, const char *order, uint64_t count, uint64_t seed)
{
    double theta = 1;
    *space = (struct key_space){.count = count};
    if (strcmp(order, "uniform") == 0) {
        space->order = KEYS_UNIFORM;
    } else if (strcmp(order, "sequential") == 0) {
        space->order = KEYS_SEQUENTIAL;
    } else if (strcmp(order, "shuffled") == 0) {
        space->order = KEYS_SHUFFLED;
    } else if (parse_theta(order, "zipf:", &theta)) {
        space->order = KEYS_ZIPF;
    } else if (parse_theta(order, "zipf-ranks:", &theta)) {
        space->order = KEYS_ZIPF_RANKS;
    } else {
        return false;
    }
    permutation_setup(&space->permutation, count, seed);
    zipf_setup(&space->zipf, count, theta);
    return true;
}

bool key_space_is_walk(const struct key_space *space)
{
    return space->order == KEYS_SEQUENTIAL || space->order == KEYS_SHUFFLED;
}

static uint64_t walk_on(const struct key_space *space, struct key_cursor *cursor)
{
    uint64_t position = cursor->position % space->count;
    cursor->position += cursor->step;
    return position;
}

uint64_t key_space_next(const struct key_space *space, struct key_cursor *cursor)
{
    switch (space->order) {
    case KEYS_UNIFORM:
        return prng_below(&cursor->prng, space->count);
    case KEYS_ZIPF_RANKS:
        return zipf_next(&space->zipf, &cursor->prng);
    case KEYS_ZIPF:
        return permutation_at(&space->permutation, zipf_next(&space->zipf, &cursor->prng));
    case KEYS_SEQUENTIAL:
        return walk_on(space, cursor);
    case KEYS_SHUFFLED:
        return permutation_at(&space->permutation, walk_on(space, cursor));
    }
    return 0;
}
