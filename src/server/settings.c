/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Settings: the tables of all modules, joined; reading them from a file and the command line, and
 * writing them back. */
#include "server/settings.h"

#include "base/config_file.h"
#include "base/memory.h"
#include "commands/latency.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Their defaults follow maxmemory, so that no number can say them. */
static bool follows_maxmemory(const struct option *option)
{
    return strcmp(option->name, "leveldb-block-cache") == 0 ||
           strcmp(option->name, "leveldb-write-buffer") == 0;
}

struct settings_part settings_part(struct settings *settings, unsigned index)
{
    const struct settings_part parts[SETTINGS_PARTS] = {
        {&server_option_table, &settings->server},
        {&net_option_table, &settings->net},
        {&http_option_table, &settings->http},
        {&keyspace_option_table, &settings->keyspace},
        {&journal_option_table, &settings->journal},
        {&cache_option_table, &settings->cache},
        {&job_option_table, &settings->jobs},
        {&batch_writer_option_table, &settings->batch_writer},
        {&leveldb_option_table, &settings->leveldb},
        {&command_option_table, &settings->commands},
        {&inert_option_table, &settings->inert},
    };
    return parts[index];
}

void settings_init(struct settings *settings)
{
    memset(settings, 0, sizeof *settings);
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part part = settings_part(settings, i);
        option_set_defaults(part.table, part.options);
    }
    settings->file = mem_dup("", 1);
}

void settings_free(struct settings *settings)
{
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part part = settings_part(settings, i);
        option_free_strings(part.table, part.options);
    }
    mem_free(settings->file);
}

const struct option *settings_find(struct settings *settings, struct slice name, void **options)
{
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part part = settings_part(settings, i);
        const struct option *option = option_find(part.table, name);
        if (!option) continue;
        *options = part.options;
        return option;
    }
    return NULL;
}

/* --- reading --- */

/* The words after the name as one text: quoted where an option takes several. */
static void join_words(const struct option *option, const struct words *words, struct buffer *out)
{
    if (!(option->flags & OPTION_MULTI_WORD)) {
        buffer_append_slice(out, words->items[1]);
        return;
    }
    for (size_t i = 1; i < words->count; i++) {
        if (i > 1) buffer_append_text(out, " ");
        if (option->flags & OPTION_REPEATED)
            config_file_append_word(out, words->items[i]);
        else
            buffer_append_slice(out, words->items[i]);
    }
}

struct reading {
    struct settings *settings;
    void (*warn)(const char *text);
    const struct option *repeated[8]; /* repeated options that have been set already */
    unsigned repeated_count;
};

static bool is_further_line(struct reading *reading, const struct option *option)
{
    for (unsigned i = 0; i < reading->repeated_count; i++)
        if (reading->repeated[i] == option) return true;
    if (reading->repeated_count < sizeof reading->repeated / sizeof *reading->repeated)
        reading->repeated[reading->repeated_count++] = option;
    return false;
}

static void warn_inert(struct reading *reading, const struct option *option)
{
    char text[256];
    (void)snprintf(text, sizeof text, "%s has no effect here: %s", option->name, option->help);
    if (reading->warn) reading->warn(text);
}

static enum status read_line(struct reading *reading, const struct config_line *line,
                             struct error *error)
{
    void *options;
    const struct option *option = settings_find(reading->settings, line->words.items[0], &options);
    if (!option)
        return error_set(error, STATUS_INVALID, "%s:%u: unknown option '%.*s'", line->file,
                         line->number, (int)line->words.items[0].size, line->words.items[0].data);
    /* As in Redis `save` alone is `save ""`; nothing else that we know makes sense without a word. */
    bool any_number = (option->flags & OPTION_MULTI_WORD) &&
                      (line->words.count > 1 || (option->flags & OPTION_INERT));
    if (line->words.count != 2 && !any_number)
        return error_set(error, STATUS_INVALID, "%s:%u: '%s': wrong number of arguments",
                         line->file, line->number, option->name);
    struct buffer text = {0};
    if ((option->flags & OPTION_REPEATED) && is_further_line(reading, option)) {
        option_format(option, options, &text);
        buffer_append_text(&text, "\n");
    }
    join_words(option, &line->words, &text);
    enum status status = settings_check_value(option, buffer_slice(&text), error);
    if (status == STATUS_OK) status = option_set(option, options, buffer_slice(&text), error);
    buffer_free(&text);
    if (status != STATUS_OK)
        return error_add_context(error, status, "%s:%u: '%s'", line->file, line->number,
                                 option->name);
    if (option->flags & OPTION_INERT) warn_inert(reading, option);
    if (follows_maxmemory(option)) {
        bool is_cache = option->offset == offsetof(struct leveldb_options, block_cache_bytes);
        reading->settings->block_cache_given |= is_cache;
        reading->settings->write_buffer_given |= !is_cache;
    }
    return STATUS_OK;
}

static enum status remember_file(struct settings *settings, const char *path, struct error *error)
{
    if (!path || strcmp(path, "-") == 0) return STATUS_OK;
    char absolute[PATH_MAX];
    if (!realpath(path, absolute))
        return error_set(error, STATUS_IO_ERROR, "cannot find the configuration file '%s'", path);
    mem_free(settings->file);
    settings->file = mem_dup(absolute, strlen(absolute) + 1);
    return STATUS_OK;
}

static enum status check_reachable(const struct settings *settings, struct error *error)
{
    if (settings->net.port == 0 && !*settings->net.unixsocket)
        return error_set(error, STATUS_INVALID,
                         "port is 0 and there is no unixsocket: nobody could connect");
    return STATUS_OK;
}

enum status settings_read(struct settings *settings, const char *path, int count,
                          char *const *arguments, void (*warn)(const char *text),
                          struct error *error)
{
    struct config_file config = {0};
    struct buffer text = {0};
    struct reading reading = {.settings = settings, .warn = warn};
    enum status status = remember_file(settings, path, error);
    if (status == STATUS_OK && path) status = config_file_read(&config, path, error);
    if (status == STATUS_OK && count) status = config_file_arguments(&text, count, arguments, error);
    if (status == STATUS_OK && count)
        status = config_file_read_text(&config, buffer_slice(&text), "command line", error);
    for (size_t i = 0; status == STATUS_OK && i < config.count; i++)
        status = read_line(&reading, &config.lines[i], error);
    if (status == STATUS_OK) status = settings_check(settings, error);
    if (status == STATUS_OK) status = check_reachable(settings, error);
    config_file_free(&config);
    buffer_free(&text);
    return status;
}

enum status settings_check_value(const struct option *option, struct slice text,
                                 struct error *error)
{
    return option->flags & OPTION_INERT ? inert_option_check(option, text, error) : STATUS_OK;
}

enum status settings_check(const struct settings *settings, struct error *error)
{
    enum status status = net_check_options(&settings->net, error);
    return status == STATUS_OK ? latency_check_options(&settings->commands, error) : status;
}

/* --- writing --- */

static void write_comment(struct buffer *out, const char *text)
{
    enum { WIDTH = 98 };
    while (*text) {
        while (*text == ' ') text++;
        size_t length = strcspn(text, "\n"), take = length;
        if (take > WIDTH) {
            take = WIDTH;
            while (take > 1 && text[take] != ' ') take--;
        }
        buffer_append_text(out, take ? "# " : "#");
        buffer_append(out, text, take);
        buffer_append_text(out, "\n");
        text += take;
        if (*text == '\n') text++;
    }
}

static void write_option(struct buffer *out, const struct option *option)
{
    write_comment(out, option->help);
    buffer_append_text(out, "#\n# ");
    if (option->flags & OPTION_LIVE) buffer_append_text(out, "CONFIG SET: yes. ");
    if (option->unit) buffer_append_format(out, "Unit: %s. ", option->unit);
    if (option->kind == OPTION_CHOICE) {
        buffer_append_text(out, "One of:");
        for (unsigned i = 0; option->choices[i]; i++)
            buffer_append_format(out, " %s", option->choices[i]);
        buffer_append_text(out, ". ");
    } else if (option->kind == OPTION_INTEGER && option->maximum < INT32_MAX) {
        buffer_append_format(out, "From %lld to %lld. ", (long long)option->minimum,
                             (long long)option->maximum);
    }
    buffer_append_text(out, "Default:\n");
    const char *text = option->default_text;
    bool several = option->flags & OPTION_MULTI_WORD;
    if ((!*text && several) || follows_maxmemory(option))
        buffer_append_format(out, "# %s\n\n", option->name);
    else if (!*text || (!several && strchr(text, ' ')))
        buffer_append_format(out, "%s \"%s\"\n\n", option->name, text);
    else
        buffer_append_format(out, "%s %s\n\n", option->name, text);
}

void settings_write_example(struct buffer *out)
{
    buffer_append_text(
        out,
        "# Kelvin's configuration: every option with its default. Generated from the option tables by\n"
        "# `kelvin-server --print-config`.\n"
        "#\n"
        "# One option a line. Quotes and escapes as in redis.conf; `include FILE` reads another file.\n"
        "# Sizes: 1k is 1000 bytes, 1kb 1024, likewise m, mb, g, gb. Options of Redis that have no\n"
        "# meaning here are accepted with a warning.\n\n");
    struct settings settings;
    settings_init(&settings);
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part part = settings_part(&settings, i);
        if (part.table == &inert_option_table) continue;
        buffer_append_format(out, "################ %s ################\n\n", part.table->title);
        if (part.table->intro && *part.table->intro) {
            write_comment(out, part.table->intro);
            buffer_append_text(out, "\n");
        }
        for (size_t k = 0; k < part.table->count; k++)
            if (!(part.table->rows[k].flags & OPTION_HIDDEN))
                write_option(out, &part.table->rows[k]);
    }
    settings_free(&settings);
}

/* The texts that a rewritten file has for one option. */
static void add_value(const struct option *option, const void *options,
                      struct config_value *value, struct buffer *text, struct slice *lines)
{
    *value = (struct config_value){.name = option->name, .alias = option->alias, .texts = lines};
    value->keep_out = option_is_default(option, options);
    if (option->flags & OPTION_REPEATED)
        option_format(option, options, text);
    else
        option_format_for_file(option, options, text);
    if (!(option->flags & OPTION_REPEATED)) {
        lines[0] = buffer_slice(text);
        if (text->size == 0) lines[0] = SLICE_LITERAL("\"\"");
        value->text_count = 1;
        return;
    }
    for (size_t at = 0; at < text->size && value->text_count < 64;) {
        const char *end = memchr(text->data + at, '\n', text->size - at);
        size_t size = end ? (size_t)(end - text->data) - at : text->size - at;
        lines[value->text_count++] = slice_make(text->data + at, size);
        at += size + 1;
    }
}

enum status settings_rewrite(struct settings *settings, const char *path, struct error *error)
{
    size_t total = 0, n = 0;
    for (unsigned i = 0; i < SETTINGS_PARTS; i++)
        total += settings_part(settings, i).table->count;
    struct config_value *values = mem_calloc(total, sizeof *values);
    struct buffer *texts = mem_calloc(total, sizeof *texts);
    struct slice *lines = mem_calloc(total * 64, sizeof *lines);
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part part = settings_part(settings, i);
        for (size_t k = 0; k < part.table->count; k++, n++)
            add_value(&part.table->rows[k], part.options, &values[n], &texts[n], &lines[n * 64]);
    }
    enum status status = config_file_rewrite(path, values, n, error);
    for (size_t i = 0; i < n; i++) buffer_free(&texts[i]);
    mem_free(texts);
    mem_free(values);
    mem_free(lines);
    return status;
}
