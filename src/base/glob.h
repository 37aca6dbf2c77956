/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Glob patterns as Redis matches them: * ? [a-z] [^a] and backslash; any byte. Bounded work: a
 * pattern with many stars costs O(pattern x text), never more. Any thread. */
#ifndef KELVIN_BASE_GLOB_H
#define KELVIN_BASE_GLOB_H

#include "base/bytes.h"

#include <stdbool.h>

bool glob_match(struct slice pattern, struct slice text, bool ignore_case);
/* The literal bytes that every match begins with, written to `out` (as long as the pattern);
 * returns their number. */
size_t glob_literal_prefix(struct slice pattern, char *out);

#endif
