/* SPDX-License-Identifier: BSD-3-Clause
 *
 * BITOP: joins strings bit by bit into a new one. The sources are walked piece by piece; the result
 * is built in one allocation. Loop thread. */
#include "commands/string_commands.h"

enum bit_operation { BIT_AND, BIT_OR, BIT_XOR, BIT_NOT, BIT_NONE };

static enum bit_operation parse_operation(struct slice word)
{
    static const char *const words[] = {"AND", "OR", "XOR", "NOT"};
    int i = BIT_AND;
    while (i < BIT_NONE && !argument_is(word, words[i])) i++;
    return (enum bit_operation)i;
}

/* target = target OP source, byte by byte; the compiler turns the loops into vectors. */
static void apply(enum bit_operation operation, unsigned char *restrict target,
                  const unsigned char *restrict source, size_t size)
{
    switch (operation) {
    case BIT_AND:
        for (size_t i = 0; i < size; i++) target[i] &= source[i];
        break;
    case BIT_OR:
        for (size_t i = 0; i < size; i++) target[i] |= source[i];
        break;
    case BIT_XOR:
        for (size_t i = 0; i < size; i++) target[i] ^= source[i];
        break;
    case BIT_NOT:
    case BIT_NONE:
        for (size_t i = 0; i < size; i++) target[i] = (unsigned char)~source[i];
        break;
    }
}

/* Joins the source at `key` into target[0..size), which is the first one's copy when `is_first`.
 * A shorter source goes on with zeros. False: return from the handler. */
static bool join_source(struct command_run *run, enum bit_operation operation, struct slice key,
                        bool is_first, unsigned char *target, uint64_t size)
{
    struct key_view view;
    enum found found = keyspace_peek(&run->access, run_database(run), key, &view);
    if (!run_found(run, found)) return false;
    uint64_t length = found == FOUND ? string_view_bytes(&view) : 0, position = 0;
    while (position < length) {
        struct slice piece;
        if (!run_found(run, string_piece(&run->access, &view, position, length, &piece, NULL)))
            return false;
        if (is_first && operation != BIT_NOT)
            memcpy(target + position, piece.data, piece.size);
        else
            apply(operation, target + position, (const unsigned char *)piece.data, piece.size);
        position += piece.size;
    }
    if (is_first || operation == BIT_AND) memset(target + length, 0, size - length);
    return true;
}

/* The longest of the sources. Reads no byte of them. */
static bool get_longest(struct command_run *run, uint64_t *longest)
{
    *longest = 0;
    for (int i = 3; i < run->argc; i++) {
        struct key_view view;
        bool exists;
        if (!run_get_string(run, run->argv[i], &exists, &view)) return false;
        run_count_lookup(run, exists);
        if (exists && string_view_bytes(&view) > *longest) *longest = string_view_bytes(&view);
    }
    return true;
}

static bool delete_target(struct command_run *run)
{
    struct key_view view;
    enum found found = keyspace_peek(&run->access, run_database(run), run->argv[2], &view);
    if (!run_found(run, found)) return false;
    if (found == FOUND) keyspace_delete(&run->access, run_database(run), run->argv[2]);
    return true;
}

/* BITOP AND | OR | XOR | NOT destkey key [key ...] */
void bitmap_bitop(struct command_run *run)
{
    enum bit_operation operation = parse_operation(run->argv[1]);
    uint64_t size;
    if (operation == BIT_NONE) {
        run_syntax_error(run);
        return;
    }
    if (operation == BIT_NOT && run->argc != 4) {
        reply_error(run->reply, "ERR BITOP NOT must be called with a single source key.");
        return;
    }
    if (!get_longest(run, &size)) return;
    if (size > 0) {
        unsigned char *target = (unsigned char *)string_memory(run, size);
        if (!target) return;
        for (int i = 3; i < run->argc; i++)
            if (!join_source(run, operation, run->argv[i], i == 3, target, size)) return;
        keyspace_set_string(&run->access, run_database(run), run->argv[2],
                            slice_make(target, size), STRING_RAW, -1);
    } else if (!delete_target(run)) {
        return;
    }
    reply_integer(run->reply, (int64_t)size);
}
