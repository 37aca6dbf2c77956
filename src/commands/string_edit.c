/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Partial writes: APPEND and SETRANGE. Both cost what they touch, however long the string is.
 * Loop thread. */
#include "commands/string_commands.h"

/* APPEND key value */
void string_append(struct command_run *run)
{
    struct slice key = run->argv[1], value = run->argv[2];
    struct key_view view;
    bool exists;
    if (!run_get_string(run, key, &exists, &view)) return;
    if (!exists) {
        keyspace_set_string(&run->access, run_database(run), key, value, STRING_AUTO, -1);
        reply_integer(run->reply, (int64_t)value.size);
        return;
    }

    uint64_t length = string_view_bytes(&view);
    if (!string_check_size(run, length, value.size)) return;
    if (!run_found(run, string_write(&run->access, run_database(run), key, &view, length, value,
                                     STRING_RAW)))
        return;
    reply_integer(run->reply, (int64_t)(length + value.size));
}

/* SETRANGE key offset value */
void string_setrange(struct command_run *run)
{
    struct slice key = run->argv[1], value = run->argv[3];
    struct key_view view;
    bool exists;
    int64_t offset;
    if (!run_get_integer(run, run->argv[2], &offset)) return;
    if (offset < 0) {
        reply_error(run->reply, "ERR offset is out of range");
        return;
    }
    if (!run_get_string(run, key, &exists, &view)) return;

    uint64_t length = exists ? string_view_bytes(&view) : 0, end = (uint64_t)offset + value.size;
    if (value.size == 0) {
        reply_integer(run->reply, (int64_t)length);
        return;
    }
    if (!string_check_size(run, (uint64_t)offset, value.size)) return;
    if (!run_found(run, string_write(&run->access, run_database(run), key, exists ? &view : NULL,
                                     (uint64_t)offset, value, STRING_RAW)))
        return;
    reply_integer(run->reply, (int64_t)(end > length ? end : length));
}
