/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Lines for people and for scripts. */
#include "check/report.h"

#include "storage/record.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXTS = 4 };

static struct buffer texts[TEXTS];
static unsigned next_text;

static struct buffer *new_text(void)
{
    struct buffer *text = &texts[next_text++ % TEXTS];
    buffer_clear(text);
    return text;
}

static const char *end_text(struct buffer *text)
{
    buffer_append(text, "", 1);
    return text->data;
}

static void clear_progress(const struct report *report)
{
    if (report->has_progress) fputs("\r\033[K", stderr);
}

__attribute__((format(printf, 3, 0)))
static void say(const struct report *report, const char *what, const char *format,
                va_list arguments)
{
    if (report->is_quiet) return;
    clear_progress(report);
    fputs(what, stdout);
    vprintf(format, arguments);
    putchar('\n');
}

void report_finding(struct report *report, const char *format, ...)
{
    va_list arguments;
    report->findings++;
    va_start(arguments, format);
    say(report, "damage: ", format, arguments);
    va_end(arguments);
}

void report_lost(struct report *report, const char *format, ...)
{
    va_list arguments;
    report->lost++;
    va_start(arguments, format);
    say(report, "lost: ", format, arguments);
    va_end(arguments);
}

void report_note(struct report *report, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(report, "note: ", format, arguments);
    va_end(arguments);
}

void report_begin(struct report *report, const char *doing, uint64_t total)
{
    report->doing = doing;
    report->total = total;
    report->done = 0;
    report->shown_percent = 101;
}

void report_progress(struct report *report, uint64_t done)
{
    report->done = done;
    if (!report->has_progress || report->is_quiet) return;
    uint64_t percent = report->total ? done * 100 / report->total : 0;
    if (percent > 100) percent = 100;
    if (percent == report->shown_percent) return;
    report->shown_percent = percent;
    fprintf(stderr, "\r\033[K%s: %u%% of %llu MB", report->doing, (unsigned)percent,
            (unsigned long long)(report->total >> 20));
}

void report_end(struct report *report)
{
    clear_progress(report);
    fflush(stdout);
}

const char *report_quoted(struct slice bytes)
{
    struct buffer *text = new_text();
    buffer_append_quoted(text, bytes);
    return end_text(text);
}

const char *report_record(struct slice name)
{
    uint64_t id;
    int64_t at_ms;
    uint32_t number;
    uint16_t slot;
    char kind;
    struct slice rest;
    struct buffer *text = new_text();
    if (record_parse_key_name(name, &id, &rest)) {
        buffer_append_text(text, "key ");
        buffer_append_quoted(text, rest);
        buffer_append_format(text, " of database id %llu", (unsigned long long)id);
    } else if (record_parse_element_name(name, &id, &rest) && rest.size == 4) {
        buffer_append_format(text, "chunk %u of object %llu", get_be32(rest.data),
                             (unsigned long long)id);
    } else if (record_parse_expiry_name(name, &at_ms, &id, &rest)) {
        buffer_append_format(text, "expiry (%lld) of key ", (long long)at_ms);
        buffer_append_quoted(text, rest);
        buffer_append_format(text, " of database id %llu", (unsigned long long)id);
    } else if (record_parse_garbage_name(name, &kind, &id)) {
        buffer_append_format(text, "garbage %s %llu",
                             kind == RECORD_GARBAGE_DATABASE ? "database id" : "object",
                             (unsigned long long)id);
    } else if (record_parse_database_name(name, &number)) {
        buffer_append_format(text, "map of database %u", number);
    } else if (record_parse_count_name(name, &id, &slot)) {
        buffer_append_format(text, "count %u of database id %llu", slot, (unsigned long long)id);
    } else {
        buffer_append_text(text, "record ");
        buffer_append_quoted(text, name);
    }
    return end_text(text);
}
