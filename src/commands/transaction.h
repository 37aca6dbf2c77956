/* SPDX-License-Identifier: BSD-3-Clause
 *
 * MULTI, EXEC, DISCARD, WATCH: the queue of a session. An EXEC is one run: one write set, one
 * journal record, and it runs again from its start when something was missing. Loop thread. */
#ifndef KELVIN_COMMANDS_TRANSACTION_H
#define KELVIN_COMMANDS_TRANSACTION_H

#include "commands/dispatch.h"

/* True between MULTI and EXEC/DISCARD. */
bool transaction_is_open(const struct session *session);
/* Puts a copy of the request in the queue, which takes its big arguments, and replies QUEUED. */
void transaction_queue(struct session *session, const struct command *command,
                       struct request *request);
/* A command was refused while queueing: EXEC will answer EXECABORT. */
void transaction_mark_failed(struct session *session);
/* Frees queue and watches. */
void transaction_discard(struct session *session);
/* EXEC is refused before it runs; `error` is the text of the reason with its code ("OOM ...").
 * Replies EXECABORT and drops the transaction. */
void transaction_abort(struct session *session, const char *error);
/* All flags of the queued commands together (COMMAND_WRITE, COMMAND_DENYOOM): what EXEC is. */
unsigned transaction_flags(const struct session *session);
/* A watched key was changed: EXEC will do nothing. */
bool transaction_is_dirty(const struct session *session, int64_t now_ms);
/* For CLIENT LIST: queued commands (-1: not in MULTI) and watched keys, and the memory of the
 * queue. */
int transaction_queued(const struct session *session);
size_t transaction_memory_bytes(const struct session *session);

/* Runs one command of an EXEC inside `run`'s access (dispatch.c): checks nothing but the handler.
 * */
void dispatch_run_queued(struct command_run *run, const struct command *command, int argc,
                         const struct slice *argv);

/* Handlers of the family's rows. */
void command_multi(struct command_run *run);
void command_exec(struct command_run *run);
void command_discard(struct command_run *run);
void command_watch(struct command_run *run);
void command_unwatch(struct command_run *run);

#endif
