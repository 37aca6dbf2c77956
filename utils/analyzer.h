/* SPDX-License-Identifier: BSD-3-Clause
 *
 * For clang-tidy alone (utils/lint.sh includes it before each file): what the analyzer cannot see
 * across files is that these functions return the failure that they were given. */
#ifndef KELVIN_UTILS_ANALYZER_H
#define KELVIN_UTILS_ANALYZER_H
#ifndef __cplusplus

#include "base/status.h"

#define error_set(error, code, ...) (error_set(error, code, __VA_ARGS__), (code))
#define error_set_errno(error, number, ...) (error_set_errno(error, number, __VA_ARGS__), STATUS_IO_ERROR)
#define error_add_context(error, code, ...) (error_add_context(error, code, __VA_ARGS__), (code))

#endif
#endif
