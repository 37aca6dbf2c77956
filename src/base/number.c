/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The conversions of base/bytes.h between numbers and text: what they accept and print is part of
 * the protocol. Pure functions, any thread. They assume the "C" numeric locale, which a process
 * has unless it calls setlocale; we never do. */
#include "base/bytes.h"

#include "base/check.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The digits only: no sign, no leading zero but for "0" itself. */
static bool digits_to_uint64(const char *digits, size_t size, uint64_t *out)
{
    if (size == 0 || size > 20) return false;
    if (digits[0] == '0') {
        *out = 0;
        return size == 1;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned)(unsigned char)digits[i] - '0';
        if (digit > 9) return false;
        if (value > UINT64_MAX / 10 || value * 10 > UINT64_MAX - digit) return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool slice_to_uint64(struct slice slice, uint64_t *out)
{
    return digits_to_uint64(slice.data, slice.size, out);
}

bool slice_to_int64(struct slice slice, int64_t *out)
{
    uint64_t magnitude;
    if (slice.size == 0) return false; /* it may have no address to add to */
    bool negative = slice.data[0] == '-';
    size_t sign = negative ? 1 : 0;
    if (!digits_to_uint64(slice.data + sign, slice.size - sign, &magnitude)) return false;
    if (negative) {
        if (magnitude == 0 || magnitude > (uint64_t)INT64_MAX + 1) return false;
        *out = (int64_t)(0 - magnitude);
    } else {
        if (magnitude > INT64_MAX) return false;
        *out = (int64_t)magnitude;
    }
    return true;
}

bool slice_to_long_double(struct slice slice, long double *out)
{
    char text[5 * 1024]; /* Redis reads no longer number than this */
    if (slice.size == 0 || slice.size >= sizeof text) return false;
    memcpy(text, slice.data, slice.size);
    text[slice.size] = '\0';
    if (isspace((unsigned char)text[0])) return false;
    char *end;
    errno = 0;
    long double value = strtold(text, &end);
    if ((size_t)(end - text) != slice.size || isnan(value)) return false;
    /* Redis compares with the infinity of double, which is that of long double too. */
    if (errno == ERANGE && (isinf(value) || value == 0)) return false;
    *out = value;
    return true;
}

bool slice_to_double(struct slice slice, double *out)
{
    char small[128];
    if (slice.size == 0 || isspace((unsigned char)slice.data[0])) return false;
    char *text = slice.size < sizeof small ? small : malloc(slice.size + 1);
    if (!text) return false;
    memcpy(text, slice.data, slice.size);
    text[slice.size] = '\0';
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    bool good = (size_t)(end - text) == slice.size && !isnan(value) &&
                !(errno == ERANGE && (isinf(value) || value == 0));
    if (text != small) free(text);
    if (good) *out = value;
    return good;
}

size_t uint64_format(char *out, uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233"
                                "34353637383940414243444546474849505152535455565758596061626364656667"
                                "6869707172737475767778798081828384858687888990919293949596979899";
    char text[20];
    size_t start = sizeof text;
    while (value >= 100) {
        start -= 2;
        memcpy(text + start, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        start -= 2;
        memcpy(text + start, pairs + value * 2, 2);
    } else {
        text[--start] = (char)('0' + value);
    }
    memcpy(out, text + start, sizeof text - start);
    return sizeof text - start;
}

size_t int64_format(char *out, int64_t value)
{
    if (value >= 0) return uint64_format(out, (uint64_t)value);
    out[0] = '-';
    return 1 + uint64_format(out + 1, 0 - (uint64_t)value);
}

static size_t put_text(char *out, const char *text)
{
    size_t size = strlen(text);
    memcpy(out, text, size);
    return size;
}

size_t long_double_format_human(char *out, long double value)
{
    if (isinf(value)) return put_text(out, value > 0 ? "inf" : "-inf");
    int printed = snprintf(out, DOUBLE_TEXT_BYTES, "%.17Lf", value);
    ASSERT(printed > 0 && printed < DOUBLE_TEXT_BYTES);
    size_t size = (size_t)printed;
    if (memchr(out, '.', size)) {
        while (out[size - 1] == '0') size--;
        if (out[size - 1] == '.') size--;
    }
    if (size == 2 && out[0] == '-' && out[1] == '0') return put_text(out, "0");
    return size;
}

size_t double_format(char *out, double value)
{
    if (isinf(value)) return put_text(out, value > 0 ? "inf" : "-inf");
    if (isnan(value)) return put_text(out, "nan");
    int printed = snprintf(out, 64, "%.17g", value);
    ASSERT(printed > 0 && printed < 64);
    return (size_t)printed;
}
