/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The server's own options, and those of Redis that have no meaning here but are accepted, so that a
 * configuration file, redis-benchmark or a library that asks for them goes on working. */
#ifndef KELVIN_SERVER_OPTIONS_H
#define KELVIN_SERVER_OPTIONS_H

#include "base/option.h"

enum debug_permission { DEBUG_NO, DEBUG_YES, DEBUG_LOCAL };

struct server_options {
    char *dir;
    char *logfile;
    int loglevel; /* enum log_level */
    char *pidfile;
    bool daemonize;
    char *requirepass;
    char *rename_command; /* lines "OLD NEW" */
    int enable_debug_command; /* enum debug_permission */
    int64_t shutdown_timeout_s;
};
extern const struct option_table server_option_table;

enum { INERT_OPTIONS_MAX = 200 };
struct inert_options {
    char *texts[INERT_OPTIONS_MAX];
};
extern const struct option_table inert_option_table;
/* Whether Redis would take the text, as far as its kind goes (yes or no, a number, a known word). */
enum status inert_option_check(const struct option *option, struct slice text, struct error *error);

#endif
