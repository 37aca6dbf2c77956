/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LCS: the longest common subsequence of two strings, by the textbook table of prefixes. Of the
 * table one row of lengths is kept at a time, and one bit per cell for the way back, which is 1/32
 * of what Redis needs; where it refuses an input for its memory, so do we. Loop thread. */
#include "commands/string_commands.h"

struct lcs_options {
    bool index, length, with_match_length;
    int64_t min_match_length;
};

/* The finished comparison of `a` and `b`. */
struct lcs {
    struct slice a, b;
    uint8_t *up;     /* bit row * b.size + column: the way back goes up (else left); one cell per
                        pair of bytes; of no meaning where the two bytes are the same */
    uint32_t length; /* of the longest common subsequence */
};

/* A run of bytes that both have. */
struct lcs_match {
    size_t a_first, b_first, size;
};

static bool parse_options(struct command_run *run, struct lcs_options *options)
{
    for (int i = 3; i < run->argc; i++) {
        struct slice word = run->argv[i];
        if (argument_is(word, "IDX")) {
            options->index = true;
        } else if (argument_is(word, "LEN")) {
            options->length = true;
        } else if (argument_is(word, "WITHMATCHLEN")) {
            options->with_match_length = true;
        } else if (argument_is(word, "MINMATCHLEN") && i + 1 < run->argc) {
            if (!run_get_integer(run, run->argv[++i], &options->min_match_length)) return false;
        } else {
            run_syntax_error(run);
            return false;
        }
    }
    if (!options->index || !options->length) return true;
    reply_error(run->reply,
                "ERR If you want both the length and indexes, please just use IDX.");
    return false;
}

/* Refuses what Redis refuses: its table has four bytes per cell and may not be longer than the
 * longest string. */
static bool check_size(struct command_run *run, uint64_t a_bytes, uint64_t b_bytes)
{
    if (a_bytes >= UINT32_MAX - 1 || b_bytes >= UINT32_MAX - 1) {
        reply_error(run->reply, "ERR String too long for LCS");
        return false;
    }
    uint64_t cells = (a_bytes + 1) * (b_bytes + 1);
    if (cells > UINT64_MAX / 4) {
        reply_error(run->reply,
                    "ERR Insufficient memory, failed allocating transient memory for LCS");
        return false;
    }
    if (cells * 4 > (uint64_t)server.proto_max_bulk_bytes) {
        reply_error(run->reply,
                    "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return false;
    }
    return true;
}

/* Fills `up` and `length`; `row` has b.size + 1 zeros. */
static void compare(struct lcs *lcs, uint32_t *row)
{
    size_t cell = 0;
    for (size_t i = 0; i < lcs->a.size; i++) {
        uint32_t diagonal = 0; /* row[j] as it was one line above */
        for (size_t j = 0; j < lcs->b.size; j++, cell++) {
            uint32_t above = row[j + 1];
            if (lcs->a.data[i] == lcs->b.data[j]) {
                row[j + 1] = diagonal + 1;
            } else if (above > row[j]) {
                lcs->up[cell / 8] |= (uint8_t)(1u << (cell % 8));
            } else {
                row[j + 1] = row[j];
            }
            diagonal = above;
        }
    }
    lcs->length = row[lcs->b.size];
}

static void reply_match(struct reply *reply, const struct lcs_match *match,
                        const struct lcs_options *options)
{
    reply_array(reply, options->with_match_length ? 3 : 2);
    reply_array(reply, 2);
    reply_integer(reply, (int64_t)match->a_first);
    reply_integer(reply, (int64_t)(match->a_first + match->size - 1));
    reply_array(reply, 2);
    reply_integer(reply, (int64_t)match->b_first);
    reply_integer(reply, (int64_t)(match->b_first + match->size - 1));
    if (options->with_match_length) reply_integer(reply, (int64_t)match->size);
}

/* The next match on the way back from (*i, *j), the last one first; size 0: none is left. */
static struct lcs_match previous_match(const struct lcs *lcs, size_t *i, size_t *j)
{
    struct lcs_match match = {0, 0, 0};
    while (*i > 0 && *j > 0) {
        if (lcs->a.data[*i - 1] == lcs->b.data[*j - 1]) {
            match = (struct lcs_match){--*i, --*j, match.size + 1};
            continue;
        }
        size_t cell = (*i - 1) * lcs->b.size + *j - 1;
        size_t *move = lcs->up[cell / 8] >> (cell % 8) & 1 ? i : j;
        if (match.size > 0) break;
        --*move;
    }
    return match;
}

static void reply_matches(struct reply *reply, const struct lcs *lcs,
                          const struct lcs_options *options)
{
    size_t i = lcs->a.size, j = lcs->b.size;
    uint64_t count = 0;
    reply_map(reply, 2);
    reply_bulk_text(reply, "matches");
    struct reply_deferred matches = reply_defer(reply);
    for (;;) {
        struct lcs_match match = previous_match(lcs, &i, &j);
        if (match.size == 0) break;
        if ((int64_t)match.size < options->min_match_length) continue;
        reply_match(reply, &match, options);
        count++;
    }
    reply_defer_array(reply, matches, count);
    reply_bulk_text(reply, "len");
    reply_integer(reply, lcs->length);
}

static void reply_subsequence(struct command_run *run, const struct lcs *lcs)
{
    char *text = string_memory(run, lcs->length);
    size_t i = lcs->a.size, j = lcs->b.size, end = lcs->length;
    if (!text) return;
    while (end > 0) {
        struct lcs_match match = previous_match(lcs, &i, &j);
        end -= match.size;
        memcpy(text + end, lcs->a.data + match.a_first, match.size);
    }
    reply_bulk(run->reply, slice_make(text, lcs->length));
}

/* The string at `key`, empty when there is none. */
static bool get_side(struct command_run *run, struct slice key, bool *exists,
                     struct key_view *view)
{
    if (!run_get_key(run, key, exists, view)) return false;
    if (!*exists || view->type == VALUE_STRING) return true;
    reply_error(run->reply, "ERR The specified keys must contain string values");
    return false;
}

static bool read_side(struct command_run *run, bool exists, const struct key_view *view,
                      struct slice *out)
{
    *out = slice_make("", 0);
    return !exists ||
           run_found(run, string_read(&run->access, view, 0, string_view_bytes(view), out));
}

/* LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN] */
void string_lcs(struct command_run *run)
{
    struct key_view a, b;
    bool a_exists, b_exists;
    struct lcs_options options = {0};
    struct lcs lcs;
    if (!get_side(run, run->argv[1], &a_exists, &a) ||
        !get_side(run, run->argv[2], &b_exists, &b) || !parse_options(run, &options) ||
        !check_size(run, a_exists ? string_view_bytes(&a) : 0,
                    b_exists ? string_view_bytes(&b) : 0) ||
        !read_side(run, a_exists, &a, &lcs.a) || !read_side(run, b_exists, &b, &lcs.b))
        return;

    size_t map_bytes = lcs.a.size * lcs.b.size / 8 + 1, row_bytes = (lcs.b.size + 1) * 4;
    uint32_t *row = (void *)string_memory(run, row_bytes + map_bytes);
    if (!row) return;
    lcs.up = (uint8_t *)row + row_bytes;
    memset(row, 0, row_bytes);
    memset(lcs.up, 0, map_bytes);
    compare(&lcs, row);

    if (options.index)
        reply_matches(run->reply, &lcs, &options);
    else if (options.length)
        reply_integer(run->reply, lcs.length);
    else
        reply_subsequence(run, &lcs);
}
