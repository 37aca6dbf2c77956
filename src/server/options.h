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
/* The field of a row; which member, its kind says. */
union inert_value {
    bool flag;
    int64_t number;
    int choice;
    char *text;
};
struct inert_options {
    union inert_value values[INERT_OPTIONS_MAX];
};
extern const struct option_table inert_option_table;
/* Whether Redis would take the text, as far as the row does not say it. */
enum status inert_option_check(const struct option *option, struct slice text, struct error *error);

#endif
