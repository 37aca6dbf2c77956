/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Single bits: SETBIT and GETBIT. Bit 0 is the highest bit of the first byte. Both touch one byte,
 * however long the string is. Loop thread. */
#include "commands/string_commands.h"

bool bitmap_get_offset(struct command_run *run, struct slice text, unsigned field_bits,
                       uint64_t *offset)
{
    bool counts_fields = field_bits > 0 && text.size > 0 && text.data[0] == '#';
    int64_t value;
    if (counts_fields) {
        text.data++;
        text.size--;
    }
    if (slice_to_int64(text, &value)) {
        /* The product may wrap around: then the offset is what remains, as in Redis. */
        if (counts_fields) value = (int64_t)((uint64_t)value * field_bits);
        if (value >= 0 && value >> 3 < server.proto_max_bulk_bytes) {
            *offset = (uint64_t)value;
            return true;
        }
    }
    reply_error(run->reply, "ERR bit offset is not an integer or out of range");
    return false;
}

/* SETBIT key offset value */
void bitmap_setbit(struct command_run *run)
{
    const char *bit_error = "bit is not an integer or out of range";
    struct slice key = run->argv[1];
    struct key_view view;
    uint64_t offset;
    int64_t bit;
    bool exists;
    unsigned char old = 0;
    if (!bitmap_get_offset(run, run->argv[2], 0, &offset) ||
        !run_get_integer_in(run, run->argv[3], 0, 1, bit_error, &bit) ||
        !run_get_string(run, key, &exists, &view) ||
        (exists && !string_copy_range(run, &view, offset / 8, 1, (char *)&old)))
        return;

    unsigned mask = 128u >> (offset % 8);
    bool grows = !exists || string_view_bytes(&view) <= offset / 8;
    bool was_set = old & mask;
    if (grows || was_set != bit || !string_is_raw(&view)) {
        char *byte = string_memory(run, 1);
        if (!byte) return;
        *byte = (char)(bit ? old | mask : old & ~mask);
        run->access.unseen = !grows && was_set == bit; /* only the encoding becomes raw */
        if (!run_found(run, string_write(&run->access, run_database(run), key,
                                         exists ? &view : NULL, offset / 8, slice_make(byte, 1),
                                         STRING_RAW)))
            return;
        run->access.unseen = false;
    }
    reply_integer(run->reply, was_set);
}

/* GETBIT key offset */
void bitmap_getbit(struct command_run *run)
{
    struct key_view view;
    uint64_t offset;
    bool exists;
    unsigned char byte = 0;
    if (!bitmap_get_offset(run, run->argv[2], 0, &offset) ||
        !run_get_string(run, run->argv[1], &exists, &view) ||
        (exists && !string_copy_range(run, &view, offset / 8, 1, (char *)&byte)))
        return;
    reply_integer(run->reply, byte >> (7 - offset % 8) & 1);
}
