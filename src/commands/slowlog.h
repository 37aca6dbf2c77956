/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The slow log: the last slowlog-max-len commands that held the loop for slowlog-log-slower-than or
 * longer, and where their time went. Loop thread. */
#ifndef KELVIN_COMMANDS_SLOWLOG_H
#define KELVIN_COMMANDS_SLOWLOG_H

#include "commands/notice.h"

/* Copies what is to be remembered of the call; it is in the log once it is settled. */
void slowlog_note(const struct notice *notice);
/* `sequence`: what the replies of the calls noted since wait for. */
void slowlog_settle(uint64_t sequence);
void slowlog_drop(void);
/* Some may have waited for it. */
void slowlog_acknowledged(void);

#endif
