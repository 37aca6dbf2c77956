/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reads configuration files and command lines into lines of words. Start-up, or a thread that may
 * wait for a disk. */
#include "base/config_file.h"

#include "base/memory.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *keep_name(struct config_file *config, const char *name)
{
    config->file_names =
        mem_realloc(config->file_names, (config->file_count + 1) * sizeof *config->file_names);
    char *copy = slice_dup_text(slice_from_text(name));
    config->file_names[config->file_count++] = copy;
    return copy;
}

static enum status read_stream(FILE *file, const char *path, struct buffer *out,
                               struct error *error)
{
    enum { CHUNK = 16 * 1024 };
    size_t got;
    do {
        buffer_reserve(out, CHUNK);
        got = fread(out->data + out->size, 1, CHUNK, file);
        out->size += got;
    } while (got > 0);
    if (ferror(file)) return error_set_errno(error, errno, "cannot read %s", path);
    return STATUS_OK;
}

static enum status read_whole_file(const char *path, struct buffer *out, struct error *error)
{
    if (strcmp(path, "-") == 0) return read_stream(stdin, "standard input", out, error);
    FILE *file = fopen(path, "re");
    if (!file) return error_set_errno(error, errno, "cannot open %s", path);
    enum status status = read_stream(file, path, out, error);
    fclose(file);
    return status;
}

static enum status read_file(struct config_file *config, const char *path, unsigned depth,
                             struct error *error);

static enum status include(struct config_file *config, const struct config_line *line,
                           unsigned depth, struct error *error)
{
    if (line->words.count != 2)
        return error_set(error, STATUS_INVALID, "%s:%u: include takes one path", line->file,
                         line->number);
    if (depth >= CONFIG_INCLUDE_DEPTH)
        return error_set(error, STATUS_INVALID, "%s:%u: includes are nested too deeply", line->file,
                         line->number);
    const char *pattern = line->words.items[1].data;
    enum status status = STATUS_OK;
    if (!strpbrk(pattern, "*?[")) {
        status = read_file(config, pattern, depth + 1, error);
    } else {
        glob_t found = {0};
        int failure = glob(pattern, 0, NULL, &found);
        if (failure != 0 && failure != GLOB_NOMATCH)
            status = error_set(error, STATUS_IO_ERROR, "cannot list %s", pattern);
        for (size_t i = 0; status == STATUS_OK && i < found.gl_pathc; i++)
            status = read_file(config, found.gl_pathv[i], depth + 1, error);
        globfree(&found);
    }
    if (status == STATUS_OK || !error) return status;
    /* An error inside the included file names its own place already. */
    return error_add_context(error, status, "%s:%u", line->file, line->number);
}

static struct slice trim(struct slice line)
{
    while (line.size > 0 && isspace((unsigned char)line.data[0])) {
        line.data++;
        line.size--;
    }
    while (line.size > 0 && isspace((unsigned char)line.data[line.size - 1])) line.size--;
    return line;
}

static void keep_line(struct config_file *config, const struct config_line *line)
{
    config->lines = mem_realloc(config->lines, (config->count + 1) * sizeof *config->lines);
    config->lines[config->count++] = *line;
}

static enum status read_line(struct config_file *config, struct slice text, const char *file,
                             unsigned number, unsigned depth, struct error *error)
{
    text = trim(text);
    if (text.size == 0 || text.data[0] == '#') return STATUS_OK;
    struct config_line line = {.file = file, .number = number};
    if (!option_split_line(text, &line.words))
        return error_set(error, STATUS_INVALID, "%s:%u: unbalanced quotes", file, number);
    if (line.words.count == 0) { /* a zero byte first */
        option_free_words(&line.words);
        return STATUS_OK;
    }
    char *name = (char *)(uintptr_t)line.words.items[0].data;
    for (char *c = name; *c; c++) *c = (char)tolower((unsigned char)*c);
    if (strcmp(name, "include") != 0) {
        keep_line(config, &line);
        return STATUS_OK;
    }
    enum status status = include(config, &line, depth, error);
    option_free_words(&line.words);
    return status;
}

static enum status read_lines(struct config_file *config, struct slice text, const char *name,
                              unsigned depth, struct error *error)
{
    const char *file = keep_name(config, name);
    unsigned number = 0;
    while (text.size > 0) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        enum status status =
            read_line(config, slice_make(text.data, size), file, ++number, depth, error);
        if (status != STATUS_OK) return status;
        size_t used = end ? size + 1 : size;
        text.data += used;
        text.size -= used;
    }
    return STATUS_OK;
}

static enum status read_file(struct config_file *config, const char *path, unsigned depth,
                             struct error *error)
{
    struct buffer text = {0};
    enum status status = read_whole_file(path, &text, error);
    if (status == STATUS_OK) status = read_lines(config, buffer_slice(&text), path, depth, error);
    buffer_free(&text);
    return status;
}

enum status config_file_read(struct config_file *config, const char *path, struct error *error)
{
    return read_file(config, path, 0, error);
}

enum status config_file_read_text(struct config_file *config, struct slice text, const char *file,
                                  struct error *error)
{
    return read_lines(config, text, file, 0, error);
}

void config_file_free(struct config_file *config)
{
    for (size_t i = 0; i < config->count; i++) option_free_words(&config->lines[i].words);
    for (size_t i = 0; i < config->file_count; i++) mem_free(config->file_names[i]);
    mem_free(config->lines);
    mem_free(config->file_names);
    *config = (struct config_file){0};
}

static bool is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] == '-';
}

/* "--port 6380" in one argument brings its value along. */
static bool has_value_inside(const char *argument)
{
    return argument[strcspn(argument, " \t")] != '\0';
}

enum status config_file_arguments(struct buffer *out, int count, char *const *arguments,
                                  struct error *error)
{
    bool value_expected = false;
    for (int i = 0; i < count; i++) {
        const char *argument = arguments[i];
        if (!value_expected && is_option(argument)) {
            bool last = i + 1 == count;
            if (i > 0) buffer_append_text(out, "\n");
            buffer_append_text(out, argument + 2);
            value_expected = !has_value_inside(argument);
            if (strcasecmp(argument, "--save") == 0 && (last || is_option(arguments[i + 1]))) {
                buffer_append_text(out, " \"\"");
                value_expected = false;
            }
            continue;
        }
        if (i == 0)
            return error_set(error, STATUS_INVALID, "'%s' is no option: options begin with --",
                             argument);
        buffer_append_text(out, " ");
        buffer_append_quoted(out, slice_from_text(argument));
        value_expected = false;
    }
    if (count > 0) buffer_append_text(out, "\n");
    return STATUS_OK;
}

void config_file_append_word(struct buffer *out, struct slice word)
{
    bool plain = word.size > 0 && word.data[0] != '#';
    for (size_t i = 0; plain && i < word.size; i++) {
        char c = word.data[i];
        plain = c > ' ' && c <= '~' && c != '"' && c != '\'' && c != '\\';
    }
    if (plain)
        buffer_append_slice(out, word);
    else
        buffer_append_quoted(out, word);
}
