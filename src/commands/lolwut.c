/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LOLWUT: the version, and with VERSION 5 or 6 a small picture above it, different each time. The
 * arguments and their bounds are Redis's, the pictures are not. Loop thread. */
#include "base/clock.h"
#include "commands/argument.h"
#include "commands/server.h"

enum { COLUMNS_MAX = 1000, SQUARES_MAX = 200, HEIGHT_MAX = 1000 };

static unsigned next_random(uint64_t *seed, unsigned below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33) % below;
}

/* A wall of bricks; the lower, the more of them have fallen. */
static void draw_wall(struct buffer *out, unsigned columns, unsigned per_row, unsigned rows)
{
    static const char fallen[][3] = {"/\\", "\\/", "<>", "__", "  ", "[_"};
    uint64_t seed = (uint64_t)clock_monotonic_ns();
    if (per_row > columns / 2) per_row = columns / 2;
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned i = 0; i < per_row; i++) {
            bool stands = next_random(&seed, rows) >= row;
            unsigned kind = next_random(&seed, sizeof fallen / sizeof *fallen);
            buffer_append_text(out, stands ? "[]" : fallen[kind]);
        }
        buffer_append_text(out, "\n");
    }
    buffer_append_text(out, "\nA wall, less and less so. ");
}

/* Hills: a height for each column that goes up or down by at most one. */
static void draw_hills(struct buffer *out, unsigned columns, unsigned rows)
{
    uint64_t seed = (uint64_t)clock_monotonic_ns();
    unsigned heights[COLUMNS_MAX];
    unsigned height = rows / 2;
    for (unsigned i = 0; i < columns; i++) {
        unsigned step = next_random(&seed, 3);
        if (step == 0 && height > 0) height--;
        if (step == 2 && height < rows) height++;
        heights[i] = height;
    }
    for (unsigned row = rows; row > 0; row--) {
        for (unsigned i = 0; i < columns; i++)
            buffer_append_text(out, heights[i] > row ? "#" : heights[i] == row ? "^" : " ");
        buffer_append_text(out, "\n");
    }
    buffer_append_text(out, "Hills that nobody has walked. ");
}

/* The number at argv[index], within its bounds; `value` stays as it is where there is none. */
static bool get_size(struct command_run *run, int index, int64_t maximum, unsigned *value)
{
    int64_t given;
    if (index >= run->argc) return true;
    if (!run_get_integer(run, run->argv[index], &given)) return false;
    *value = (unsigned)(given < 1 ? 1 : given > maximum ? maximum : given);
    return true;
}

/* LOLWUT [VERSION 5 [columns [squares-per-row [squares-per-column]]] |
 *         VERSION 6 [columns [rows]]] */
void server_lolwut(struct command_run *run)
{
    int64_t version = 0;
    unsigned columns = 66, per_row = 8, rows = 12;
    if (run->argc >= 3 && argument_is(run->argv[1], "version") &&
        !run_get_integer(run, run->argv[2], &version))
        return;
    if (version == 6) {
        columns = 80;
        rows = 20;
    }
    struct buffer text = {0};
    if (version == 5) {
        if (!get_size(run, 3, COLUMNS_MAX, &columns) || !get_size(run, 4, SQUARES_MAX, &per_row) ||
            !get_size(run, 5, SQUARES_MAX, &rows))
            return;
        draw_wall(&text, columns, per_row, rows);
    } else if (version == 6) {
        if (!get_size(run, 3, COLUMNS_MAX, &columns) || !get_size(run, 4, HEIGHT_MAX, &rows))
            return;
        draw_hills(&text, columns, rows);
    }
    buffer_append_text(&text, "Redis ver. 7.0.15\n");
    reply_verbatim(run->reply, buffer_slice(&text), "txt");
    buffer_free(&text);
}
