/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The handlers of the keys family. Loop thread. */
#ifndef KELVIN_COMMANDS_KEYS_H
#define KELVIN_COMMANDS_KEYS_H

#include "commands/dispatch.h"

/* As run_get_key, without a touch and without counting. */
bool keys_peek(struct command_run *run, unsigned number, struct slice key, bool *exists,
               struct key_view *view);
/* "string", ...: what TYPE answers. */
const char *keys_type_name(uint8_t type);
/* "int", "embstr", "raw": what OBJECT ENCODING answers. */
const char *keys_encoding_name(const struct key_view *view);
/* What OBJECT REFCOUNT answers: 1, or the largest number for a small integer, which Redis shares between
 * all keys; a copy is one of its own. */
int keys_reference_count(const struct key_view *view);
/* An argument that is a C int, with Redis's two errors; `error` NULL, or one text for both. */
bool keys_get_int(struct command_run *run, struct slice text, const char *error, int *out);

void keys_del(struct command_run *run);
void keys_unlink(struct command_run *run);
void keys_exists(struct command_run *run);
void keys_touch(struct command_run *run);
void keys_type(struct command_run *run);
void keys_rename(struct command_run *run);
void keys_renamenx(struct command_run *run);
void keys_move(struct command_run *run);
void keys_copy(struct command_run *run);

void keys_expire(struct command_run *run);
void keys_pexpire(struct command_run *run);
void keys_expireat(struct command_run *run);
void keys_pexpireat(struct command_run *run);
void keys_expiretime(struct command_run *run);
void keys_pexpiretime(struct command_run *run);
void keys_ttl(struct command_run *run);
void keys_pttl(struct command_run *run);
void keys_persist(struct command_run *run);

void keys_keys(struct command_run *run);
void keys_scan(struct command_run *run);
void keys_randomkey(struct command_run *run);
void keys_dbsize(struct command_run *run);
void keys_flushdb(struct command_run *run);
void keys_flushall(struct command_run *run);
void keys_swapdb(struct command_run *run);

void object_encoding(struct command_run *run);
void object_freq(struct command_run *run);
void object_idletime(struct command_run *run);
void object_refcount(struct command_run *run);
void object_help(struct command_run *run);

#endif
