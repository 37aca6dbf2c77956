/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Looking at many bits: BITCOUNT and BITPOS. They walk the string piece by piece, without copying.
 * Loop thread. */
#include "commands/string_commands.h"

/* A range of bits, [first, end); empty: first == end. */
struct bit_range {
    uint64_t first, end;
};

/* "BYTE" or "BIT": how many bits one position counts. */
static bool parse_unit(struct command_run *run, struct slice word, unsigned *unit_bits)
{
    if (argument_is(word, "BIT")) {
        *unit_bits = 1;
    } else if (argument_is(word, "BYTE")) {
        *unit_bits = 8;
    } else {
        run_syntax_error(run);
        return false;
    }
    return true;
}

/* From positions that may be negative (counted from the end) or outside of the string. */
static struct bit_range make_range(int64_t start, int64_t end, unsigned unit_bits, uint64_t length)
{
    int64_t total = (int64_t)(length * 8 / unit_bits);
    if (start < 0) start += total;
    if (end < 0) end += total;
    if (start < 0) start = 0;
    if (end < 0) end = 0;
    if (end >= total) end = total - 1;
    if (start > end) return (struct bit_range){0, 0};
    return (struct bit_range){(uint64_t)start * unit_bits, (uint64_t)(end + 1) * unit_bits};
}

static uint64_t count_bits(const unsigned char *bytes, size_t size)
{
    uint64_t count = 0;
    for (; size >= 8; bytes += 8, size -= 8)
        count += (unsigned)__builtin_popcountll(get_be64(bytes));
    for (; size > 0; bytes++, size--) count += (unsigned)__builtin_popcount(*bytes);
    return count;
}

/* Index of the first bit that is `bit`, counted from the highest of bytes[0]; size * 8: none is. */
static uint64_t find_bit(const unsigned char *bytes, size_t size, bool bit)
{
    unsigned char skip = bit ? 0 : 0xff;
    uint64_t skip_word = bit ? 0 : UINT64_MAX;
    size_t i = 0;
    while (size - i >= 8 && get_be64(bytes + i) == skip_word) i += 8;
    while (i < size && bytes[i] == skip) i++;
    if (i == size) return (uint64_t)size * 8;
    unsigned candidates = bit ? bytes[i] : (unsigned char)~bytes[i];
    return (uint64_t)i * 8 + (unsigned)__builtin_clz(candidates << 24);
}

/* The piece of the string that begins with the byte of bit `position`, up to the end of the range.
 * False: it waits, or the error has been replied. */
static bool get_piece(struct command_run *run, const struct key_view *view, uint64_t position,
                      const struct bit_range *range, struct slice *piece)
{
    return run_found(run, string_piece(&run->access, view, position / 8, (range->end + 7) / 8,
                                       piece, NULL));
}

static bool count_range(struct command_run *run, const struct key_view *view,
                        const struct bit_range *range, uint64_t *count)
{
    uint64_t position = range->first, skipped = range->first % 8;
    *count = 0;
    while (position < range->end) {
        struct slice piece;
        if (!get_piece(run, view, position, range, &piece)) return false;
        const unsigned char *bytes = (const unsigned char *)piece.data;
        *count += count_bits(bytes, piece.size);
        if (skipped) *count -= (unsigned)__builtin_popcount(bytes[0] & ~(0xffu >> skipped));
        position += piece.size * 8 - skipped;
        skipped = 0;
        if (position > range->end)
            *count -= (unsigned)__builtin_popcount(bytes[piece.size - 1] &
                                                   (0xffu >> (range->end % 8)));
    }
    return true;
}

/* `*found` is range->end when no bit of the range is `bit`. */
static bool find_in_range(struct command_run *run, const struct key_view *view,
                          const struct bit_range *range, bool bit, uint64_t *found)
{
    uint64_t position = range->first, skipped = range->first % 8;
    *found = range->end;
    while (position < range->end) {
        struct slice piece;
        if (!get_piece(run, view, position, range, &piece)) return false;
        const unsigned char *bytes = (const unsigned char *)piece.data;
        uint64_t base = position - skipped, at;
        if (skipped) { /* the bits in front of the range become such as are not looked for */
            unsigned char before = (unsigned char)~(0xffu >> skipped);
            unsigned char first = (unsigned char)(bit ? bytes[0] & ~before : bytes[0] | before);
            at = find_bit(&first, 1, bit);
            if (at == 8) at += find_bit(bytes + 1, piece.size - 1, bit);
        } else {
            at = find_bit(bytes, piece.size, bit);
        }
        if (at < piece.size * 8) {
            if (base + at < range->end) *found = base + at;
            return true;
        }
        position = base + piece.size * 8;
        skipped = 0;
    }
    return true;
}

/* BITCOUNT key [start end [BYTE | BIT]] */
void bitmap_bitcount(struct command_run *run)
{
    struct key_view view;
    struct bit_range range;
    int64_t start = 0, end = -1;
    unsigned unit_bits = 8;
    uint64_t count = 0;
    bool exists;
    if (!run_get_string(run, run->argv[1], &exists, &view)) return;
    if (exists) {
        if (run->argc == 3 || run->argc > 5) {
            run_syntax_error(run);
            return;
        }
        if (run->argc > 3 && (!run_get_integer(run, run->argv[2], &start) ||
                              !run_get_integer(run, run->argv[3], &end)))
            return;
        if (start >= 0 || end >= 0 || start <= end) {
            if (run->argc > 4 && !parse_unit(run, run->argv[4], &unit_bits)) return;
            range = make_range(start, end, unit_bits, string_view_bytes(&view));
            if (!count_range(run, &view, &range, &count)) return;
        }
    }
    reply_integer(run->reply, (int64_t)count);
}

/* Reads BITPOS's "[start [end [BYTE | BIT]]]". */
static bool parse_bitpos_range(struct command_run *run, uint64_t length, struct bit_range *range)
{
    int64_t start = 0, end = -1;
    unsigned unit_bits = 8;
    if (run->argc > 6) {
        run_syntax_error(run);
        return false;
    }
    if ((run->argc > 3 && !run_get_integer(run, run->argv[3], &start)) ||
        (run->argc > 5 && !parse_unit(run, run->argv[5], &unit_bits)) ||
        (run->argc > 4 && !run_get_integer(run, run->argv[4], &end)))
        return false;
    *range = make_range(start, end, unit_bits, length);
    return true;
}

/* BITPOS key bit [start [end [BYTE | BIT]]] */
void bitmap_bitpos(struct command_run *run)
{
    struct key_view view;
    struct bit_range range;
    int64_t bit;
    uint64_t found;
    bool exists;
    if (!run_get_integer(run, run->argv[2], &bit)) return;
    if (bit != 0 && bit != 1) {
        reply_error(run->reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (!run_get_string(run, run->argv[1], &exists, &view)) return;
    if (!exists) {
        reply_integer(run->reply, bit ? -1 : 0);
        return;
    }
    if (!parse_bitpos_range(run, string_view_bytes(&view), &range) ||
        !find_in_range(run, &view, &range, bit, &found))
        return;
    /* Behind a string there are zeros without end, unless the client has named an end. */
    bool is_inside = found < range.end;
    bool is_behind = range.first < range.end && !bit && run->argc < 5;
    reply_integer(run->reply, is_inside || is_behind ? (int64_t)found : -1);
}
