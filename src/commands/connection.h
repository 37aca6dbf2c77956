/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The handlers of the connection family. They act on their session at once, outside of any write
 * set, and never wait. Loop thread. */
#ifndef KELVIN_COMMANDS_CONNECTION_H
#define KELVIN_COMMANDS_CONNECTION_H

#include "commands/dispatch.h"

/* Gives the session a name (CLIENT SETNAME, HELLO SETNAME); an empty one takes it away. False: the
 * error has been replied. */
bool connection_set_name(struct command_run *run, struct slice name);

void connection_auth(struct command_run *run);
void connection_echo(struct command_run *run);
void connection_hello(struct command_run *run);
void connection_ping(struct command_run *run);
void connection_quit(struct command_run *run);
void connection_reset(struct command_run *run);
void connection_select(struct command_run *run);

void client_caching(struct command_run *run);
void client_getname(struct command_run *run);
void client_getredir(struct command_run *run);
void client_help(struct command_run *run);
void client_id(struct command_run *run);
void client_info(struct command_run *run);
void client_kill(struct command_run *run);
void client_list(struct command_run *run);
void client_no_evict(struct command_run *run);
void client_no_touch(struct command_run *run);
void client_pause(struct command_run *run);
void client_reply(struct command_run *run);
void client_setinfo(struct command_run *run);
void client_setname(struct command_run *run);
void client_tracking(struct command_run *run);
void client_trackinginfo(struct command_run *run);
void client_unblock(struct command_run *run);
void client_unpause(struct command_run *run);

#endif
