/* SPDX-License-Identifier: BSD-3-Clause
 *
 * All settings of the server: the option tables of every module, joined. Read at start from a file,
 * the command line and defaults; CONFIG GET, SET and REWRITE work on them. Loop thread, and start-up
 * before there is a loop. */
#ifndef KELVIN_SERVER_SETTINGS_H
#define KELVIN_SERVER_SETTINGS_H

#include "base/option.h"
#include "commands/options.h"
#include "net/http.h"
#include "net/net.h"
#include "server/options.h"
#include "storage/batch_writer.h"
#include "storage/cache.h"
#include "storage/engine.h"
#include "storage/job_queue.h"
#include "storage/journal.h"
#include "storage/keyspace.h"

struct settings {
    struct server_options server;
    struct net_options net;
    struct http_options http;
    struct keyspace_options keyspace;
    struct cache_options cache;
    struct job_options jobs;
    struct journal_options journal;
    struct batch_writer_options batch_writer;
    struct leveldb_options leveldb;
    struct command_options commands;
    struct inert_options inert;
    char *file; /* absolute path of the configuration file; "" when there is none */
    /* Whether they were set, not left to scale with maxmemory. */
    bool block_cache_given, write_buffer_given;
};

/* A table and the struct that it describes. */
struct settings_part {
    const struct option_table *table;
    void *options;
};
enum { SETTINGS_PARTS = 11 };

void settings_init(struct settings *settings); /* all defaults */
void settings_free(struct settings *settings);
/* The n-th part, in the order of redis.conf.example. */
struct settings_part settings_part(struct settings *settings, unsigned index);

/* Reads `path` (NULL: none; "-": standard input), then the arguments, which win. The error names file
 * and line. `warn` is called for each option that has no meaning here. */
enum status settings_read(struct settings *settings, const char *path, int count,
                          char *const *arguments, void (*warn)(const char *text),
                          struct error *error);
/* What a row of an inert option does not say about its texts: STATUS_INVALID with Redis's error. */
enum status settings_check_value(const struct option *option, struct slice text,
                                 struct error *error);
/* What no single row can check: texts that must be understood, values that exclude each other. */
enum status settings_check(const struct settings *settings, struct error *error);

/* The row of that name or alias, and the struct that it belongs to; NULL when there is none. */
const struct option *settings_find(struct settings *settings, struct slice name, void **options);

/* redis.conf.example: every option with meaning, unit, default and why. */
void settings_write_example(struct buffer *out);
/* CONFIG REWRITE on the calling thread, which may block. */
enum status settings_rewrite(struct settings *settings, const char *path, struct error *error);

#endif
