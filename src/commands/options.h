/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Options that single commands ask for. Loop thread. */
#ifndef KELVIN_COMMANDS_OPTIONS_H
#define KELVIN_COMMANDS_OPTIONS_H

#include "base/option.h"

struct command_options {
    int64_t hll_sparse_max_bytes;
    int64_t acllog_max_length;
    int64_t slowlog_slower_than_us; /* -1: off */
    int64_t slowlog_max_length;
    int64_t latency_threshold_ms; /* 0: off */
    bool latency_tracking;
    char *latency_percentiles; /* numbers, between blanks */
};
extern const struct option_table command_option_table;

#endif
