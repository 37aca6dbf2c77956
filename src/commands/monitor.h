/* SPDX-License-Identifier: BSD-3-Clause
 *
 * MONITOR: sessions that are sent every command that runs. Loop thread. */
#ifndef KELVIN_COMMANDS_MONITOR_H
#define KELVIN_COMMANDS_MONITOR_H

#include "commands/notice.h"

size_t monitor_count(void);
/* The session monitors no more (RESET, or it ends); nothing when it did not. */
void monitor_leave(struct session *session);
/* Writes the command's line; nothing when nobody monitors. */
void monitor_note(const struct notice *notice);
/* The lines written since go to all monitors, or to none. */
void monitor_settle(void);
void monitor_drop(void);

#endif
