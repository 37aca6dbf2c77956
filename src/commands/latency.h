/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How long commands take, as INFO latencystats tells it. Loop thread. */
#ifndef KELVIN_COMMANDS_LATENCY_H
#define KELVIN_COMMANDS_LATENCY_H

#include "base/bytes.h"
#include "base/status.h"
#include "commands/options.h"

/* STATUS_INVALID with Redis's text when the percentiles are no numbers from 0 to 100. */
enum status latency_check_options(const struct command_options *options, struct error *error);
/* Writes the percentiles as CONFIG GET shows them: 50.0 as 50. They must be good. */
void latency_normalize_options(struct command_options *options);
/* A line for each command that has run. */
void latency_append_info(const struct command_options *options, struct buffer *out);

#endif
