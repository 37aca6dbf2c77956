/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of INFO share: how a line is written, and the sections that have a file of their own.
 * Loop thread. */
#ifndef KELVIN_SERVER_INFO_INTERNAL_H
#define KELVIN_SERVER_INFO_INTERNAL_H

#include "server/parts.h"

#define LINE(...) buffer_append_format(out, __VA_ARGS__), buffer_append_text(out, "\r\n")

static inline unsigned long long number(uint64_t value)
{
    return (unsigned long long)value;
}

/* --- info_memory.c --- */
void info_memory(struct parts *parts, struct buffer *out);

/* --- info_leveldb.c --- */
void info_leveldb(struct parts *parts, struct buffer *out);
/* Asks for LevelDB's own figures while somebody reads them. */
void info_leveldb_cron(struct parts *parts);
void info_leveldb_finish(void);

#endif
