/* SPDX-License-Identifier: BSD-3-Clause
 *
 * HyperLogLog: an estimate of how many different elements were seen, in 16384 registers of 6 bits
 * (Heule, Nunkesser, Hall: HyperLogLog in Practice, 2013; the estimator is that of Ertl: New
 * cardinality estimation algorithms for HyperLogLog sketches, 2017). The bytes are those that Redis
 * keeps, so that a value may go from one to the other:
 *
 *   "HYLL" encoding:1 unused:3 cached-count:8      little-endian; its top bit: it is out of date
 *   dense (0):  register i in bits 6i .. 6i+5, lowest bit of a byte first; 12288 bytes
 *   sparse (1): 00llllll            l+1 registers that are 0
 *               01llllll llllllll   l+1 registers that are 0, high bits first
 *               1vvvvvll            l+1 registers that are v+1
 *
 * Pure functions on bytes, any thread. Bytes may be damaged: every function notices what it needs. */
#ifndef KELVIN_COMMANDS_HYPERLOGLOG_H
#define KELVIN_COMMANDS_HYPERLOGLOG_H

#include "base/bytes.h"

enum {
    HYPERLOGLOG_REGISTERS = 16384,
    HYPERLOGLOG_HEADER_BYTES = 16,
    HYPERLOGLOG_DENSE_BYTES = HYPERLOGLOG_HEADER_BYTES + HYPERLOGLOG_REGISTERS * 6 / 8,
    HYPERLOGLOG_COUNT_OFFSET = 8,
    HYPERLOGLOG_COUNT_BYTES = 8
};

/* One that may change. The memory is the caller's: as much as hyperloglog_capacity says, with a zero
 * byte behind `size`. */
struct hyperloglog {
    unsigned char *bytes;
    size_t size, capacity;
    size_t sparse_max_bytes; /* what would grow past it becomes dense */
};

enum hyperloglog_change {
    HYPERLOGLOG_DAMAGED = -1,
    HYPERLOGLOG_SAME = 0,
    HYPERLOGLOG_CHANGED = 1
};

/* One byte per register. */
struct hyperloglog_registers {
    uint8_t values[HYPERLOGLOG_REGISTERS];
};

/* True when the header is that of a HyperLogLog and the length fits it. */
bool hyperloglog_is_valid(struct slice bytes);
bool hyperloglog_is_dense(struct slice bytes);
/* The room that a value of that many bytes may need while so many registers are raised. */
size_t hyperloglog_capacity(size_t size, size_t sparse_max_bytes, size_t raises);

/* An empty, sparse one. */
void hyperloglog_init(struct hyperloglog *hll);
enum hyperloglog_change hyperloglog_add(struct hyperloglog *hll, struct slice element);
/* Raises a register to `value` (1..63); a lower one changes nothing. */
enum hyperloglog_change hyperloglog_raise(struct hyperloglog *hll, unsigned index, unsigned value);
/* False: damaged, nothing was changed. */
bool hyperloglog_make_dense(struct hyperloglog *hll);

/* The count that is kept in the header; false when it is out of date. */
bool hyperloglog_cached_count(struct slice bytes, uint64_t *count);
void hyperloglog_drop_cached_count(struct hyperloglog *hll);

/* Raises the registers to those of `bytes`. False: damaged. */
bool hyperloglog_merge(struct hyperloglog_registers *registers, struct slice bytes);
uint64_t hyperloglog_estimate(const struct hyperloglog_registers *registers);

#endif
