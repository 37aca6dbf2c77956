/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Options that single commands ask for. Loop thread. */
#ifndef KELVIN_COMMANDS_OPTIONS_H
#define KELVIN_COMMANDS_OPTIONS_H

#include "base/option.h"

struct command_options {
    int64_t hll_sparse_max_bytes;
    int64_t acllog_max_length;
    bool latency_tracking;
    char *latency_percentiles; /* numbers, between blanks */
};
extern const struct option_table command_option_table;

#endif
