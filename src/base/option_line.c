/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Splitting a line of a configuration file (or an inline command) into words. A word may be in
 * double quotes (with \n \r \t \b \a \xHH and backslash before any other byte) or in single quotes
 * (with \' only); a closing quote must end the word; a zero byte ends the line. Pure, any thread. */
#include "base/memory.h"
#include "base/option.h"

#include <ctype.h>

/* The first byte that is not read yet; at the end it reads as zero, like a zero in the line. */
struct reader {
    const char *at, *end;
};

static char peek(const struct reader *reader, size_t ahead)
{
    return (size_t)(reader->end - reader->at) > ahead ? reader->at[ahead] : '\0';
}

static bool is_blank(char c)
{
    return isspace((unsigned char)c) != 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static char unescape(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

static void append_byte(struct buffer *word, char c)
{
    buffer_append(word, &c, 1);
}

/* Behind a closing quote only a blank or the end may stand. */
static bool close_quote(struct reader *reader)
{
    reader->at++;
    return peek(reader, 0) == '\0' || is_blank(peek(reader, 0));
}

static bool read_double_quoted(struct reader *reader, struct buffer *word)
{
    for (;;) {
        char c = peek(reader, 0);
        if (c == '\0') return false;
        if (c == '"') return close_quote(reader);
        int high = hex_digit(peek(reader, 2));
        int low = high >= 0 ? hex_digit(peek(reader, 3)) : -1;
        if (c == '\\' && peek(reader, 1) == 'x' && low >= 0) {
            append_byte(word, (char)(high * 16 + low));
            reader->at += 4;
        } else if (c == '\\' && peek(reader, 1) != '\0') {
            append_byte(word, unescape(peek(reader, 1)));
            reader->at += 2;
        } else {
            append_byte(word, c);
            reader->at++;
        }
    }
}

static bool read_single_quoted(struct reader *reader, struct buffer *word)
{
    for (;;) {
        char c = peek(reader, 0);
        if (c == '\0') return false;
        if (c == '\'') return close_quote(reader);
        if (c == '\\' && peek(reader, 1) == '\'') {
            reader->at++;
            c = '\'';
        }
        append_byte(word, c);
        reader->at++;
    }
}

static bool read_word(struct reader *reader, struct buffer *word)
{
    for (;;) {
        char c = peek(reader, 0);
        switch (c) {
        case '\0':
        case ' ':
        case '\t':
        case '\r':
        case '\n':
            return true;
        case '"':
            reader->at++;
            return read_double_quoted(reader, word);
        case '\'':
            reader->at++;
            return read_single_quoted(reader, word);
        default:
            append_byte(word, c);
            reader->at++;
        }
    }
}

static void append_word(struct words *words, const struct buffer *word)
{
    words->items = mem_realloc(words->items, (words->count + 1) * sizeof *words->items);
    struct slice *item = &words->items[words->count++];
    item->data = slice_dup_text(buffer_slice(word));
    item->size = word->size;
}

static void drop_words(struct words *words, size_t left)
{
    while (words->count > left) mem_free((void *)(uintptr_t)words->items[--words->count].data);
    if (left > 0) return;
    mem_free(words->items);
    words->items = NULL;
}

bool option_split_line(struct slice line, struct words *out)
{
    if (line.size == 0) return true; /* it may have no address to look at */
    struct reader reader = {line.data, line.data + line.size};
    struct buffer word = {0};
    size_t before = out->count;
    bool balanced = true;
    for (;;) {
        while (is_blank(peek(&reader, 0))) reader.at++;
        if (peek(&reader, 0) == '\0') break;
        buffer_clear(&word);
        balanced = read_word(&reader, &word);
        if (!balanced) break;
        append_word(out, &word);
    }
    buffer_free(&word);
    if (!balanced) drop_words(out, before);
    return balanced;
}

void option_free_words(struct words *words)
{
    drop_words(words, 0);
}
