/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Command templates. A template is a list of words, a word a list of pieces. Words whose length is
 * always the same carry their finished RESP header. */
#include "template.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEY_DIGITS = 12, MAX_WORDS = 4096, MAX_PIECES = 8, MAX_WORD_BYTES = 512, MAX_HEADER = 16 };

enum piece_kind { PIECE_TEXT, PIECE_KEY, PIECE_VALUE, PIECE_NUMBER };

struct piece {
    enum piece_kind kind;
    char *text;     /* PIECE_TEXT, owned */
    size_t size;    /* its bytes */
    uint64_t limit; /* PIECE_NUMBER: below it */
    const struct value_maker *values;
};

struct word {
    struct piece pieces[MAX_PIECES];
    unsigned count;
    char header[MAX_HEADER]; /* empty: the length varies */
    size_t header_bytes;
};

struct template
{
    struct word *words; /* those of a group once for each repetition; pieces are shared */
    unsigned count, keys;
    const struct value_maker *values;
    uint64_t values_seed;
    struct value_maker *own_values[MAX_PIECES];
    unsigned own_values_count;
    char *texts[MAX_WORDS]; /* all texts, for template_free */
    unsigned texts_count;
    struct buffer first; /* "*3\r\n" */
};

static char *keep_text(struct template *template, const char *text, size_t size)
{
    if (template->texts_count == MAX_WORDS) return NULL;
    return template->texts[template->texts_count++] = mem_dup(text, size);
}

static const struct value_maker *own_values(struct template *template, const char *sizes)
{
    if (template->own_values_count == MAX_PIECES) return NULL;
    struct value_maker *maker = mem_calloc(1, sizeof *maker);
    template->own_values[template->own_values_count++] = maker;
    return value_maker_setup(maker, sizes, 0, template->values_seed) ? maker : NULL;
}

/* What stands between the braces. */
static const char *parse_placeholder(struct template *template, struct piece *piece,
                                     const char *name)
{
    if (strcmp(name, "key") == 0) {
        *piece = (struct piece){.kind = PIECE_KEY, .size = KEY_DIGITS};
    } else if (strcmp(name, "value") == 0) {
        *piece = (struct piece){.kind = PIECE_VALUE, .values = template->values};
    } else if (strncmp(name, "value:", 6) == 0) {
        *piece = (struct piece){.kind = PIECE_VALUE, .values = own_values(template, name + 6)};
        if (!piece->values) return "the sizes of a {value:SIZES} cannot be read";
    } else if (strncmp(name, "number:", 7) == 0) {
        *piece = (struct piece){.kind = PIECE_NUMBER};
        if (!slice_to_uint64(slice_from_text(name + 7), &piece->limit) || !piece->limit) {
            return "the limit of a {number:MAX} cannot be read";
        }
    } else {
        return "unknown placeholder: there are {key}, {value}, {value:SIZES} and {number:MAX}";
    }
    return NULL;
}

static const char *parse_word(struct template *template, struct word *word, const char *text)
{
    *word = (struct word){0};
    while (*text) {
        if (word->count == MAX_PIECES) return "a word has too many placeholders";
        struct piece *piece = &word->pieces[word->count++];
        if (*text == '{') {
            const char *end = strchr(text, '}');
            if (!end) return "a brace is not closed";
            char name[MAX_WORD_BYTES];
            snprintf(name, sizeof name, "%.*s", (int)(end - text - 1), text + 1);
            const char *problem = parse_placeholder(template, piece, name);
            if (problem) return problem;
            text = end + 1;
        } else {
            size_t size = strcspn(text, "{");
            *piece = (struct piece){.kind = PIECE_TEXT, .size = size};
            piece->text = keep_text(template, text, size);
            if (!piece->text) return "the command is too long";
            text += size;
        }
        if (piece->kind == PIECE_VALUE && (word->count > 1 || *text)) {
            return "{value} must be a word of its own";
        }
    }
    return NULL;
}

/* The bytes of a word, or false where they differ from one rendering to the next. */
static bool fixed_size(const struct word *word, size_t *size)
{
    *size = 0;
    for (unsigned i = 0; i < word->count; i++) {
        const struct piece *piece = &word->pieces[i];
        if (piece->kind == PIECE_NUMBER) return false;
        if (piece->kind == PIECE_VALUE) {
            if (!value_size_is_fixed(piece->values)) return false;
            *size += value_size(piece->values, 0);
        } else {
            *size += piece->size;
        }
    }
    return true;
}

static const char *add_word(struct template *template, const char *text)
{
    if (template->count == MAX_WORDS) return "the command is too long";
    struct word *word = &template->words[template->count];
    const char *problem = parse_word(template, word, text);
    if (problem) return problem;
    template->count++;
    size_t size;
    if (fixed_size(word, &size)) {
        word->header_bytes = (size_t)snprintf(word->header, sizeof word->header, "$%zu\r\n", size);
    }
    return NULL;
}

/* "]*N" has ended a group that began with word `from`. */
static const char *repeat_group(struct template *template, unsigned from, const char *times_text)
{
    uint64_t times;
    unsigned size = template->count - from;
    if (!slice_to_uint64(slice_from_text(times_text), &times) || !times || !size) {
        return "a group looks like this: [words]*N";
    }
    if (times * size > MAX_WORDS - from) return "the command is too long";
    for (uint64_t i = 1; i < times; i++) {
        memcpy(&template->words[template->count], &template->words[from],
               size * sizeof *template->words);
        template->count += size;
    }
    return NULL;
}

static const char *parse_words(struct template *template, char *text)
{
    unsigned group = 0;
    bool in_group = false;
    char *rest;
    for (char *word = strtok_r(text, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
        if (*word == '[' && word[1] && !in_group) {
            in_group = true;
            group = template->count;
            word++;
        }
        char *end = in_group ? strstr(word, "]*") : NULL;
        if (end) *end = 0;
        const char *problem = *word ? add_word(template, word) : NULL;
        if (!problem && end) {
            problem = repeat_group(template, group, end + 2);
            in_group = false;
        }
        if (problem) return problem;
    }
    if (in_group) return "a group looks like this: [words]*N";
    return template->count ? NULL : "the command is empty";
}

struct template *template_parse(const char *text, const struct value_maker *values,
                                uint64_t values_seed, const char **problem)
{
    struct template *template = mem_calloc(1, sizeof *template);
    char *copy = slice_dup_text(slice_from_text(text));
    template->words = mem_calloc(MAX_WORDS, sizeof *template->words);
    template->values = values;
    template->values_seed = values_seed;
    *problem = parse_words(template, copy);
    mem_free(copy);
    for (unsigned i = 0; i < template->count; i++) {
        for (unsigned j = 0; j < template->words[i].count; j++) {
            enum piece_kind kind = template->words[i].pieces[j].kind;
            template->keys += kind == PIECE_KEY;
            if (kind != PIECE_VALUE) continue;
            if (!template->keys && !*problem) *problem = "{value} needs a {key} before it";
        }
    }
    buffer_append_format(&template->first, "*%u\r\n", template->count);
    if (!*problem) return template;
    template_free(template);
    return NULL;
}

void template_free(struct template *template)
{
    for (unsigned i = 0; i < template->texts_count; i++) mem_free(template->texts[i]);
    for (unsigned i = 0; i < template->own_values_count; i++) {
        value_maker_free(template->own_values[i]);
        mem_free(template->own_values[i]);
    }
    buffer_free(&template->first);
    mem_free(template->words);
    mem_free(template);
}

unsigned template_keys(const struct template *template)
{
    return template->keys;
}

static void append_header(struct buffer *out, size_t size)
{
    char text[INT64_TEXT_BYTES + 4];
    text[0] = '$';
    size_t length = 1 + uint64_format(text + 1, size);
    memcpy(text + length, "\r\n", 2);
    buffer_append(out, text, length + 2);
}

static void append_key(struct buffer *out, uint64_t key)
{
    char digits[KEY_DIGITS];
    for (unsigned i = KEY_DIGITS; i-- > 0; key /= 10) digits[i] = (char)('0' + key % 10);
    buffer_append(out, digits, sizeof digits);
}

static void append_value(struct buffer *out, const struct value_maker *values, uint64_t key,
                         bool header)
{
    size_t size = value_size(values, key);
    if (header) append_header(out, size);
    buffer_reserve(out, size);
    value_write(values, key, out->data + out->size, size);
    out->size += size;
}

/* A word with {number}s: their digits decide about its length. */
static void append_numbers(struct buffer *out, const struct word *word, struct key_cursor *cursor,
                           uint64_t key)
{
    char digits[MAX_PIECES][INT64_TEXT_BYTES];
    size_t sizes[MAX_PIECES], total = 0;
    for (unsigned i = 0; i < word->count; i++) {
        const struct piece *piece = &word->pieces[i];
        sizes[i] = piece->kind == PIECE_NUMBER
                       ? uint64_format(digits[i], prng_below(&cursor->prng, piece->limit))
                       : piece->size;
        total += sizes[i];
    }
    append_header(out, total);
    for (unsigned i = 0; i < word->count; i++) {
        if (word->pieces[i].kind == PIECE_KEY) {
            append_key(out, key);
        } else {
            buffer_append(out,
                          word->pieces[i].kind == PIECE_NUMBER ? digits[i] : word->pieces[i].text,
                          sizes[i]);
        }
    }
}

void template_render(const struct template *template, const struct key_space *space,
                     struct key_cursor *cursor, struct buffer *out, uint64_t *keys)
{
    uint64_t key = 0;
    unsigned drawn = 0;
    buffer_append_slice(out, buffer_slice(&template->first));
    for (const struct word *word = template->words; word < template->words + template->count;
         word++) {
        for (unsigned i = 0; i < word->count; i++) {
            if (word->pieces[i].kind != PIECE_KEY) continue;
            key = key_space_next(space, cursor);
            if (keys) keys[drawn++] = key;
        }
        buffer_append(out, word->header, word->header_bytes);
        if (word->pieces[0].kind == PIECE_VALUE) {
            append_value(out, word->pieces[0].values, key, word->header_bytes == 0);
        } else if (!word->header_bytes) {
            append_numbers(out, word, cursor, key);
        } else {
            for (unsigned i = 0; i < word->count; i++) {
                const struct piece *piece = &word->pieces[i];
                if (piece->kind == PIECE_KEY)
                    append_key(out, key);
                else
                    buffer_append(out, piece->text, piece->size);
            }
        }
        buffer_append(out, "\r\n", 2);
    }
}
