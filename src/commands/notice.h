/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What looks at a command after it has run: the slow log, LATENCY's events of commands, MONITOR. So that
 * a command costs one comparison, the time from which any of them is interested is one figure, kept
 * by who changes the options or begins to monitor.
 *
 * A run may still be thrown away after commands of it were noted (EXEC that has to wait): hence notes
 * become visible by notice_settle, and notice_drop forgets them. Loop thread. */
#ifndef KELVIN_COMMANDS_NOTICE_H
#define KELVIN_COMMANDS_NOTICE_H

#include "commands/command.h"
#include "commands/session.h"

/* A call that has ended. Everything is borrowed. */
struct notice {
    struct session *session;
    const struct command *command;
    int argc;
    const struct slice *argv;
    int64_t run_ns;   /* on the loop: all its runs together */
    int64_t wait_ns;  /* parked, before the run that counted */
    int64_t ended_ns; /* monotonic: when it had run; what comes after is the journal's */
};

/* Nobody looks at calls that took less; INT64_MAX: at none. */
extern int64_t notice_from_ns;

/* server.options or the number of monitors changed. */
void notice_refresh(void);
void notice_call(const struct notice *notice);
/* What was noted counts; its replies leave when `sequence` is acknowledged. */
void notice_settle(uint64_t sequence);
void notice_drop(void);
/* The sequence that is acknowledged moved. */
void notice_acknowledged(void);

/* The argument as it may be shown: passwords are not. */
struct slice notice_argument(const struct notice *notice, int index);
/* The client's address, as in CLIENT LIST. Valid until the next call. */
const char *notice_address(struct session *session);

#endif
