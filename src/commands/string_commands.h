/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The string-like commands: strings, bitmaps and HyperLogLogs, which all live in string values. Their
 * handlers, as the rows name them, and the few helpers that they share. Loop thread. A handler may be
 * run again from its start, so it keeps nothing outside of the run. */
#ifndef KELVIN_COMMANDS_STRING_COMMANDS_H
#define KELVIN_COMMANDS_STRING_COMMANDS_H

#include "commands/argument.h"
#include "commands/dispatch.h"

enum { STRING_EMBEDDED_MAX_BYTES = 44 }; /* longer ones are "raw" in any case */

/* True when OBJECT ENCODING already says "raw": a change that Redis makes in place leaves it raw, even
 * one that changes no byte. */
static inline bool string_is_raw(const struct key_view *view)
{
    return view->encoding == STRING_RAW || string_view_bytes(view) > STRING_EMBEDDED_MAX_BYTES;
}

/* Replies with the error and gives false when `size` + `extra` bytes are more than a string may have. */
bool string_check_size(struct command_run *run, uint64_t size, uint64_t extra);
/* Memory that lives as long as the run's write set; on failure replies -OOM and gives NULL. */
char *string_memory(struct command_run *run, size_t size);
/* Makes the existing string "raw" without changing its bytes. False: return from the handler. */
bool string_make_raw(struct command_run *run, struct slice key, const struct key_view *view);
/* Copies the string's bytes [offset, offset + size) to `out`, zeros where it has ended. */
bool string_copy_range(struct command_run *run, const struct key_view *view, uint64_t offset,
                       size_t size, char *out);

/* Strings: string_read.c, string_set.c, string_number.c, string_edit.c, string_lcs.c. */
void string_append(struct command_run *run);
void string_decr(struct command_run *run);
void string_decrby(struct command_run *run);
void string_get(struct command_run *run);
void string_getdel(struct command_run *run);
void string_getex(struct command_run *run);
void string_getrange(struct command_run *run);
void string_getset(struct command_run *run);
void string_incr(struct command_run *run);
void string_incrby(struct command_run *run);
void string_incrbyfloat(struct command_run *run);
void string_lcs(struct command_run *run);
void string_mget(struct command_run *run);
void string_mset(struct command_run *run);
void string_msetnx(struct command_run *run);
void string_psetex(struct command_run *run);
void string_set(struct command_run *run);
void string_setex(struct command_run *run);
void string_setnx(struct command_run *run);
void string_setrange(struct command_run *run);
void string_strlen(struct command_run *run);

/* Bitmaps: bitmap_bits.c, bitmap_range.c, bitmap_operation.c, bitmap_field.c. */
void bitmap_bitcount(struct command_run *run);
void bitmap_bitfield(struct command_run *run);
void bitmap_bitfield_ro(struct command_run *run);
void bitmap_bitop(struct command_run *run);
void bitmap_bitpos(struct command_run *run);
void bitmap_getbit(struct command_run *run);
void bitmap_setbit(struct command_run *run);
/* A bit offset as SETBIT and BITFIELD take it: with `field_bits` not 0 also "#N", N fields of that many
 * bits. Replies with the error and gives false when it is none. */
bool bitmap_get_offset(struct command_run *run, struct slice text, unsigned field_bits,
                       uint64_t *offset);

/* HyperLogLogs: hyperloglog_commands.c. */
void hyperloglog_pfadd(struct command_run *run);
void hyperloglog_pfcount(struct command_run *run);
void hyperloglog_pfmerge(struct command_run *run);

#endif
