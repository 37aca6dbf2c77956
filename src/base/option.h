/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Option tables. A module declares its options once, as rows in its own header's table; parsing,
 * CONFIG GET/SET/REWRITE, redis.conf.example and the documentation come from those rows. A row
 * points at a field of the module's options struct. Loop thread (and start-up). */
#ifndef KELVIN_BASE_OPTION_H
#define KELVIN_BASE_OPTION_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_BOOL,    /* bool; yes | no */
    OPTION_INTEGER, /* int64_t; decimal */
    OPTION_BYTES,   /* int64_t; decimal with Redis's units (1k = 1000, 1kb = 1024, ...) */
    OPTION_OCTAL,   /* int64_t; unixsocketperm */
    OPTION_CHOICE,  /* int; the index into `choices` */
    OPTION_STRING   /* char *, owned by the struct (mem_alloc), never NULL; a row of several words
                       (bind, client-output-buffer-limit) keeps them joined by one blank */
};

enum option_flag {
    OPTION_LIVE = 1 << 0,      /* CONFIG SET may change it while running */
    OPTION_HIDDEN = 1 << 1,    /* not in redis.conf.example (diagnosis) */
    OPTION_SECRET = 1 << 2,    /* never logged */
    OPTION_REPEATED = 1 << 3,  /* may stand on several lines; texts are joined by '\n' */
    OPTION_MULTI_WORD = 1 << 4, /* takes all words of its line */
    OPTION_INERT = 1 << 5      /* an option of Redis without meaning here: kept, shown, warned about;
                                  `help` is the reason */
};

struct option {
    const char *name; /* as in redis.conf, lower case */
    const char *alias; /* another accepted name, or NULL */
    enum option_kind kind;
    unsigned flags;
    size_t offset;            /* of the field in the options struct */
    const char *default_text; /* parsed like a line of the file */
    int64_t minimum, maximum; /* for the number kinds */
    const char *const *choices; /* NULL-terminated, for OPTION_CHOICE */
    const char *unit;           /* "bytes", "seconds", "milliseconds", or NULL */
    const char *help;           /* the manual: what, why, when to change; lines of prose */
};

/* One module's table: `title` and `intro` head its section in redis.conf.example. */
struct option_table {
    const char *title;
    const char *intro;
    const struct option *rows;
    size_t count;
};

/* Sets every field to its default. The struct must be zeroed before the first time. */
void option_set_defaults(const struct option_table *table, void *options);
/* Frees the strings. */
void option_free_strings(const struct option_table *table, void *options);

/* The row with that name or alias (case-insensitive), or NULL. */
const struct option *option_find(const struct option_table *table, struct slice name);

/* Parses and checks; on failure the field is unchanged and the error is the part of Redis's text
 * after the " - " of CONFIG SET ("argument must be between 1 and 10 inclusive", "argument must be
 * 'yes' or 'no'", "argument must be a memory value", ...). */
enum status option_set(const struct option *option, void *options, struct slice text,
                       struct error *error);

/* Appends the value as CONFIG GET shows it (bytes as a plain number). */
void option_format(const struct option *option, const void *options, struct buffer *out);
/* Appends the value as a line of a file has it, after the name: bytes with the largest unit that
 * divides them, a string quoted where needed. The words of a row of several words, and the lines of
 * a repeated one, stand as they are. */
void option_format_for_file(const struct option *option, const void *options, struct buffer *out);
/* True when the field equals its default. */
bool option_is_default(const struct option *option, const void *options);

/* Redis's memtoull: "64mb", "1g", "100". */
bool option_parse_bytes(struct slice text, int64_t *out);

/* Splits one line as Redis's sdssplitargs does (quotes, escapes). Appends to `words` (each
 * mem_alloc'ed). False for unbalanced quotes. Free with option_free_words. */
struct words {
    struct slice *items; /* owned, zero-terminated copies */
    size_t count;
};
bool option_split_line(struct slice line, struct words *out);
void option_free_words(struct words *words);

#endif
