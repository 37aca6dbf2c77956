/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Replies as a strict client reads them: what is no valid RESP ends the process. */
#ifndef KELVIN_TESTS_RESP_CHECK_H
#define KELVIN_TESTS_RESP_CHECK_H

#include "base/check.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { RESP_DEPTH = 16 };

/* The length behind the type's byte; -1 for RESP2's nulls. The line is whole. */
static int64_t resp_number(const char *line, size_t size)
{
    char text[24];
    char *end;
    ASSERT(size > 0 && size < sizeof text);
    memcpy(text, line, size);
    text[size] = 0;
    long long number = strtoll(text, &end, 10);
    ASSERT(end == text + size && text[0] != '+' && text[0] != ' ');
    return number;
}

/* The size of the reply at the beginning of the bytes; 0: it is not whole. */
static size_t resp_reply_size(const char *bytes, size_t size, bool resp3, unsigned depth)
{
    if (size == 0) return 0;
    ASSERT(depth < RESP_DEPTH && strchr(resp3 ? "+-:$*_#,(=%~>|!" : "+-:$*", bytes[0]));
    const char *end = memchr(bytes, '\n', size);
    if (!end) return 0;
    size_t line = (size_t)(end - bytes) + 1;
    ASSERT(line >= 3 && bytes[line - 2] == '\r' && !memchr(bytes, '\r', line - 2));
    if (strchr("+-_#,(", bytes[0])) return line;
    int64_t number = resp_number(bytes + 1, line - 3);
    if (bytes[0] == ':') return line;
    ASSERT(number >= 0 || (number == -1 && strchr("$*", bytes[0])));
    if (number < 0) return line;
    if (strchr("$=!", bytes[0])) {
        if (size - line < (size_t)number + 2) return 0;
        ASSERT(memcmp(bytes + line + number, "\r\n", 2) == 0);
        return line + (size_t)number + 2;
    }
    uint64_t items = (uint64_t)number * (strchr("%|", bytes[0]) ? 2 : 1) + (bytes[0] == '|');
    for (; items > 0; items--) {
        size_t item = resp_reply_size(bytes + line, size - line, resp3, depth + 1);
        if (item == 0) return 0;
        line += item;
    }
    return line;
}

#endif
