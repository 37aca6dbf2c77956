/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Option tables: parsing, checking and printing one option. Loop thread (and start-up). The error
 * texts are those of Redis 7.0, since CONFIG SET sends them on. */
#include "base/option.h"

#include "base/check.h"
#include "base/config_file.h"
#include "base/memory.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void *field_of(const struct option *option, void *options)
{
    return (char *)options + option->offset;
}

static const void *const_field_of(const struct option *option, const void *options)
{
    return (const char *)options + option->offset;
}

void option_set_defaults(const struct option_table *table, void *options)
{
    for (size_t i = 0; i < table->count; i++) {
        struct error error;
        const struct option *option = &table->rows[i];
        struct slice text = slice_from_text(option->default_text);
        if (option_set(option, options, text, &error) != STATUS_OK)
            panic("default of option %s: %s", option->name, error.text);
    }
}

void option_free_strings(const struct option_table *table, void *options)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].kind != OPTION_STRING) continue;
        char **field = field_of(&table->rows[i], options);
        mem_free(*field);
        *field = NULL;
    }
}

const struct option *option_find(const struct option_table *table, struct slice name)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->rows[i];
        if (slice_equal_nocase(name, option->name)) return option;
        if (option->alias && slice_equal_nocase(name, option->alias)) return option;
    }
    return NULL;
}

bool option_parse_bytes(struct slice text, int64_t *out)
{
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {
        {"", 1},           {"b", 1},           {"k", 1000},           {"kb", 1024},
        {"m", 1000000},    {"mb", 1024 * 1024}, {"g", 1000000000},     {"gb", 1024 * 1024 * 1024},
    };
    size_t digits = 0;
    int64_t value = 0;
    for (; digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9'; digits++) {
        if (__builtin_mul_overflow(value, 10, &value)) return false;
        if (__builtin_add_overflow(value, text.data[digits] - '0', &value)) return false;
    }
    struct slice unit = {text.data + digits, text.size - digits};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!slice_equal_nocase(unit, units[i].name)) continue;
        return !__builtin_mul_overflow(value, units[i].factor, out);
    }
    return false;
}

static bool parse_octal(struct slice text, int64_t *out)
{
    char digits[32], *end;
    if (text.size == 0 || text.size >= sizeof digits) return false;
    memcpy(digits, text.data, text.size);
    digits[text.size] = '\0';
    errno = 0;
    long long value = strtoll(digits, &end, 8);
    if (errno != 0 || end != digits + text.size) return false;
    *out = value;
    return true;
}

static enum status set_number(const struct option *option, int64_t *field, struct slice text,
                              struct error *error)
{
    int64_t value;
    if (option->kind == OPTION_BYTES) {
        if (!option_parse_bytes(text, &value))
            return error_set(error, STATUS_INVALID, "argument must be a memory value");
    } else if (option->kind == OPTION_OCTAL) {
        if (!parse_octal(text, &value))
            return error_set(error, STATUS_INVALID,
                             "argument couldn't be parsed as an octal number");
    } else if (!slice_to_int64(text, &value)) {
        return error_set(error, STATUS_INVALID, "argument couldn't be parsed into an integer");
    }
    if (value < option->minimum || value > option->maximum) {
        if (option->kind == OPTION_OCTAL)
            return error_set(error, STATUS_INVALID,
                             "argument must be between %llo and %llo inclusive",
                             (unsigned long long)option->minimum,
                             (unsigned long long)option->maximum);
        return error_set(error, STATUS_INVALID, "argument must be between %lld and %lld inclusive",
                         (long long)option->minimum, (long long)option->maximum);
    }
    *field = value;
    return STATUS_OK;
}

static enum status set_bool(bool *field, struct slice text, struct error *error)
{
    if (slice_equal_nocase(text, "yes"))
        *field = true;
    else if (slice_equal_nocase(text, "no"))
        *field = false;
    else
        return error_set(error, STATUS_INVALID, "argument must be 'yes' or 'no'");
    return STATUS_OK;
}

static enum status set_choice(const struct option *option, int *field, struct slice text,
                              struct error *error)
{
    for (int i = 0; option->choices[i]; i++) {
        if (!slice_equal_nocase(text, option->choices[i])) continue;
        *field = i;
        return STATUS_OK;
    }
    struct buffer names = {0};
    for (int i = 0; option->choices[i]; i++)
        buffer_append_format(&names, "%s%s", i > 0 ? ", " : "", option->choices[i]);
    error_set(error, STATUS_INVALID, "argument(s) must be one of the following: %.*s",
              (int)names.size, names.data);
    buffer_free(&names);
    return STATUS_INVALID;
}

static enum status set_string(char **field, struct slice text, struct error *error)
{
    if (text.size > 0 && memchr(text.data, '\0', text.size))
        return error_set(error, STATUS_INVALID, "argument must not hold a zero byte");
    char *copy = slice_dup_text(text); /* before the free: `text` may be the field's own */
    mem_free(*field);
    *field = copy;
    return STATUS_OK;
}

static bool is_plain(struct slice word)
{
    for (size_t i = 0; i < word.size; i++)
        if (isspace((unsigned char)word.data[i]) || strchr("\"'\\", word.data[i])) return false;
    return true;
}

/* The words joined by one blank, as a line of a file, where they stand without quotes, gives them back. */
static enum status set_words(char **field, struct slice text, struct error *error)
{
    struct words words = {0};
    struct buffer joined = {0};
    bool good = option_split_line(text, &words) && (!text.size || !memchr(text.data, '\0', text.size));
    for (size_t i = 0; good && i < words.count; i++) {
        good = is_plain(words.items[i]);
        if (joined.size > 0 && words.items[i].size > 0) buffer_append_text(&joined, " ");
        buffer_append_slice(&joined, words.items[i]);
    }
    enum status status = STATUS_INVALID;
    if (good)
        status = set_string(field, buffer_slice(&joined), error);
    else
        error_set(error, status, "argument must be words without quotes");
    option_free_words(&words);
    buffer_free(&joined);
    return status;
}

enum status option_set(const struct option *option, void *options, struct slice text,
                       struct error *error)
{
    void *field = field_of(option, options);
    switch (option->kind) {
    case OPTION_BOOL:
        return set_bool(field, text, error);
    case OPTION_INTEGER:
    case OPTION_BYTES:
    case OPTION_OCTAL:
        return set_number(option, field, text, error);
    case OPTION_CHOICE:
        return set_choice(option, field, text, error);
    case OPTION_STRING:
        if ((option->flags & OPTION_MULTI_WORD) && !(option->flags & OPTION_REPEATED))
            return set_words(field, text, error);
        return set_string(field, text, error);
    }
    panic("option %s has no kind", option->name);
}

void option_format(const struct option *option, const void *options, struct buffer *out)
{
    const void *field = const_field_of(option, options);
    switch (option->kind) {
    case OPTION_BOOL:
        buffer_append_text(out, *(const bool *)field ? "yes" : "no");
        break;
    case OPTION_INTEGER:
    case OPTION_BYTES:
        buffer_append_format(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case OPTION_OCTAL:
        buffer_append_format(out, "%llo", (unsigned long long)*(const int64_t *)field);
        break;
    case OPTION_CHOICE:
        buffer_append_text(out, option->choices[*(const int *)field]);
        break;
    case OPTION_STRING:
        buffer_append_text(out, *(char *const *)field);
        break;
    }
}

static void format_bytes(int64_t value, struct buffer *out)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {{"gb", 1 << 30}, {"mb", 1 << 20}, {"kb", 1 << 10}, {"", 1}};
    size_t i = 0;
    while (units[i].bytes > 1 && (value == 0 || value % units[i].bytes != 0)) i++;
    buffer_append_format(out, "%lld%s", (long long)(value / units[i].bytes), units[i].name);
}

void option_format_for_file(const struct option *option, const void *options, struct buffer *out)
{
    const void *field = const_field_of(option, options);
    unsigned joined = OPTION_MULTI_WORD | OPTION_REPEATED;
    if (option->kind == OPTION_BYTES)
        format_bytes(*(const int64_t *)field, out);
    else if (option->kind == OPTION_STRING && (option->flags & joined) == 0)
        config_file_append_word(out, slice_from_text(*(char *const *)field));
    else if ((option->flags & OPTION_MULTI_WORD) && (*(char *const *)field)[0] == '\0')
        buffer_append_text(out, "\"\"");
    else
        option_format(option, options, out);
}

bool option_is_default(const struct option *option, const void *options)
{
    /* Parsed into a field of the widest kind, so that "1mb" and "1048576" are the same. */
    union {
        bool flag;
        int64_t number;
        int choice;
        char *text;
    } fallback = {.number = 0};
    const void *field = const_field_of(option, options);
    struct option alone = *option;
    alone.offset = 0;
    if (option->kind == OPTION_STRING)
        return strcmp(*(char *const *)field, option->default_text) == 0;
    if (option_set(&alone, &fallback, slice_from_text(option->default_text), NULL) != STATUS_OK)
        panic("default of option %s is invalid", option->name);
    switch (option->kind) {
    case OPTION_BOOL:
        return *(const bool *)field == fallback.flag;
    case OPTION_CHOICE:
        return *(const int *)field == fallback.choice;
    default:
        return *(const int64_t *)field == fallback.number;
    }
}
