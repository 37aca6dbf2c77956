/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Glob patterns with Redis's meaning, quirks included: classes may be left open, ranges may be
 * written backwards and compare bytes as signed numbers, an escape in a class heeds case.
 * Only the last star seen is ever retried, which bounds the work: a later star can match
 * whatever an earlier one could have left to it. Any thread. */
#include "base/glob.h"

#include <ctype.h>

static char fold(char c, bool ignore_case)
{
    return ignore_case ? (char)tolower((unsigned char)c) : c;
}

static bool range_holds(char first, char last, char c, bool ignore_case)
{
    if (first > last) {
        char swap = first;
        first = last;
        last = swap;
    }
    c = fold(c, ignore_case);
    return c >= fold(first, ignore_case) && c <= fold(last, ignore_case);
}

/* `*at` stands on the byte after '['; afterwards on the byte after ']', or on the end. */
static bool class_holds(struct slice pattern, size_t *at, char c, bool ignore_case)
{
    const char *p = pattern.data;
    size_t i = *at;
    bool negated = i < pattern.size && p[i] == '^';
    bool held = false;
    if (negated) i++;
    for (; i < pattern.size && p[i] != ']'; i++) {
        size_t left = pattern.size - i;
        if (p[i] == '\\' && left >= 2) {
            i++;
            if (p[i] == c) held = true;
        } else if (left >= 3 && p[i + 1] == '-') {
            if (range_holds(p[i], p[i + 2], c, ignore_case)) held = true;
            i += 2;
        } else if (fold(p[i], ignore_case) == fold(c, ignore_case)) {
            held = true;
        }
    }
    *at = i < pattern.size ? i + 1 : i;
    return held != negated;
}

/* Matches one element that is not a star against one byte; moves `*at` past the element. */
static bool element_matches(struct slice pattern, size_t *at, char c, bool ignore_case)
{
    char element = pattern.data[(*at)++];
    switch (element) {
    case '?':
        return true;
    case '[':
        return class_holds(pattern, at, c, ignore_case);
    case '\\':
        if (*at < pattern.size) element = pattern.data[(*at)++];
        break;
    default:
        break;
    }
    return fold(element, ignore_case) == fold(c, ignore_case);
}

bool glob_match(struct slice pattern, struct slice text, bool ignore_case)
{
    enum { NO_STAR = -1 };
    size_t p = 0, t = 0;
    size_t star_text = 0;        /* where the last star's match ends at present */
    ptrdiff_t after_star = NO_STAR; /* the element after the last star */

    if (pattern.size == 1 && pattern.data[0] == '*') return true;
    /* In Redis an empty text matches nothing but the empty pattern; its commands take "*" alone
     * as "everything" before they ask. */
    if (text.size == 0) return pattern.size == 0;

    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            while (p < pattern.size && pattern.data[p] == '*') p++;
            if (p == pattern.size) return true;
            after_star = (ptrdiff_t)p;
            star_text = t;
        } else if (p < pattern.size && element_matches(pattern, &p, text.data[t], ignore_case)) {
            t++;
        } else if (after_star != NO_STAR) {
            p = (size_t)after_star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*') p++;
    return p == pattern.size;
}

size_t glob_literal_prefix(struct slice pattern, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < pattern.size; i++) {
        char c = pattern.data[i];
        if (c == '*' || c == '?' || c == '[') break;
        if (c == '\\' && i + 1 < pattern.size) c = pattern.data[++i];
        out[size++] = c;
    }
    return size;
}
