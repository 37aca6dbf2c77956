/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The log. Any thread writes a line; a thread of its own puts it in the file, so that no caller
 * waits for a disk. The queue between them is bounded: what does not fit is counted and a line
 * says how many were dropped. Before log_start and after log_stop lines go to standard output
 * directly. Lines never hold values or passwords. */
#ifndef KELVIN_BASE_LOG_H
#define KELVIN_BASE_LOG_H

#include "base/status.h"

enum log_level { LOG_DEBUG, LOG_VERBOSE, LOG_NOTICE, LOG_WARNING };

/* `path` "" means standard output. The file is opened for append by the log thread for each
 * batch, so that log rotation by rename works. */
enum status log_start(const char *path, enum log_level level, struct error *error);
void log_set_level(enum log_level level);
/* Writes what is queued and ends the thread. */
void log_stop(void);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For a dying process: writes straight to the descriptor, async-signal-safe. */
void log_emergency(const char *text);

#endif
