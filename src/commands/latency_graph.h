/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The chart of LATENCY GRAPH: columns of characters with the age of each sample under them. Pure
 * functions. */
#ifndef KELVIN_COMMANDS_LATENCY_GRAPH_H
#define KELVIN_COMMANDS_LATENCY_GRAPH_H

#include "base/bytes.h"
#include "commands/latency_events.h"

/* Appends the chart of all samples, oldest first, as Redis draws it. */
void latency_graph_append(struct buffer *out, const struct latency_event *event, int64_t now_s);

#endif
