/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Headers of requests, and gzip. Pure functions, any thread. */
#include "net/http_internal.h"

#include "base/check.h"
#include "base/digest.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>
#include <zlib.h>

/* --- lists of what a client takes --- */

static struct slice trim(struct slice text)
{
    while (text.size && isspace((unsigned char)text.data[0])) text.data++, text.size--;
    while (text.size && isspace((unsigned char)text.data[text.size - 1])) text.size--;
    return text;
}

/* Cuts off what is in front of `separator`, or all. */
static struct slice take_part(struct slice *rest, char separator)
{
    const char *end = rest->size ? memchr(rest->data, separator, rest->size) : NULL;
    struct slice part = {rest->data, end ? (size_t)(end - rest->data) : rest->size};
    size_t taken = part.size + (end != NULL);
    *rest = slice_make(rest->data + taken, rest->size - taken);
    return trim(part);
}

/* "q=0.5" among the parameters; 1 where it is not. */
static double weight_of(struct slice parameters)
{
    while (parameters.size) {
        struct slice one = take_part(&parameters, ';');
        char text[16];
        if (one.size < 3 || tolower((unsigned char)one.data[0]) != 'q' || one.data[1] != '=') continue;
        size_t size = one.size - 2 < sizeof text - 1 ? one.size - 2 : sizeof text - 1;
        memcpy(text, one.data + 2, size);
        text[size] = 0;
        double weight = strtod(text, NULL);
        return weight >= 0 && weight <= 1 ? weight : 0;
    }
    return 1;
}

double http_item_weight(const char *header, const char *name)
{
    double best = -1;
    if (!header) return best;
    struct slice rest = slice_from_text(header);
    while (rest.size) {
        struct slice item = take_part(&rest, ',');
        if (!slice_equal_nocase(take_part(&item, ';'), name)) continue;
        double weight = weight_of(item);
        if (weight > best) best = weight;
    }
    return best;
}

/* --- who asks --- */

/* What stands behind the scheme; an empty slice where it is another one. */
static struct slice credentials(const char *header, const char *scheme)
{
    size_t size = strlen(scheme);
    if (strncasecmp(header, scheme, size) != 0 || header[size] != ' ') return slice_make("", 0);
    return trim(slice_from_text(header + size + 1));
}

bool http_is_authorized(const char *header, const char *token)
{
    if (!*token) return true;
    if (!header) return false;
    struct slice wanted = slice_from_text(token);
    if (digest_is_equal(credentials(header, "Bearer"), wanted)) return true;
    struct buffer pair = {0};
    bool is_right = false;
    if (digest_decode_base64(credentials(header, "Basic"), &pair) && pair.size) {
        const char *colon = memchr(pair.data, ':', pair.size);
        if (colon)
            is_right = digest_is_equal(
                slice_make(colon + 1, (size_t)(pair.data + pair.size - colon - 1)), wanted);
    }
    buffer_free(&pair);
    return is_right;
}

/* --- gzip --- */

void http_compress(struct slice bytes, struct buffer *out)
{
    /* The lowest level: a page shrinks to a tenth even so, and the loop waits. */
    enum { LEVEL = 1, GZIP = 16, MEMORY = 8 };
    z_stream stream = {0};
    int done = deflateInit2(&stream, LEVEL, Z_DEFLATED, MAX_WBITS + GZIP, MEMORY, Z_DEFAULT_STRATEGY);
    ASSERT(done == Z_OK);
    size_t most = deflateBound(&stream, bytes.size);
    buffer_reserve(out, most);
    stream.next_in = (Bytef *)(uintptr_t)bytes.data;
    stream.avail_in = (uInt)bytes.size;
    stream.next_out = (Bytef *)out->data + out->size;
    stream.avail_out = (uInt)most;
    done = deflate(&stream, Z_FINISH);
    ASSERT(done == Z_STREAM_END);
    out->size += stream.total_out;
    deflateEnd(&stream);
}
