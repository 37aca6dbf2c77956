/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading strings: GET, MGET, STRLEN, GETRANGE; and what all string commands share. The hot ones
 * allocate nothing. Loop thread. */
#include "commands/string_commands.h"

bool string_check_size(struct command_run *run, uint64_t size, uint64_t extra)
{
    uint64_t total;
    if (!__builtin_add_overflow(size, extra, &total) &&
        total <= (uint64_t)server.proto_max_bulk_bytes)
        return true;
    reply_error(run->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

char *string_memory(struct command_run *run, size_t size)
{
    char *memory = write_set_memory(run->access.writes, size);
    if (!memory)
        reply_error(run->reply, "OOM command not allowed when used memory > 'maxmemory'.");
    return memory;
}

bool string_make_raw(struct command_run *run, struct slice key, const struct key_view *view)
{
    run->access.unseen = true; /* Redis changes the encoding without telling anybody */
    enum found found = string_write(&run->access, run_database(run), key, view,
                                    string_view_bytes(view), slice_make("", 0), STRING_RAW);
    run->access.unseen = false;
    return run_found(run, found);
}

bool string_copy_range(struct command_run *run, const struct key_view *view, uint64_t offset,
                       size_t size, char *out)
{
    uint64_t length = string_view_bytes(view);
    size_t inside = 0;
    if (offset < length) inside = length - offset < size ? (size_t)(length - offset) : size;
    if (inside > 0) {
        struct slice bytes;
        if (!run_found(run, string_read(&run->access, view, offset, inside, &bytes))) return false;
        memcpy(out, bytes.data, inside);
    }
    memset(out + inside, 0, size - inside);
    return true;
}

/* GET key */
void string_get(struct command_run *run)
{
    struct key_view view;
    bool exists;
    if (!run_get_string(run, run->argv[1], &exists, &view)) return;
    if (exists)
        run_reply_string(run, &view);
    else
        reply_null(run->reply);
}

/* MGET key [key ...] */
void string_mget(struct command_run *run)
{
    reply_array(run->reply, (uint64_t)run->argc - 1);
    for (int i = 1; i < run->argc; i++) {
        struct key_view view;
        bool exists;
        if (!run_get_key(run, run->argv[i], &exists, &view)) return;
        if (!exists || view.type != VALUE_STRING)
            reply_null(run->reply);
        else if (!run_reply_string(run, &view))
            return;
    }
}

/* STRLEN key */
void string_strlen(struct command_run *run)
{
    struct key_view view;
    bool exists;
    if (!run_get_string(run, run->argv[1], &exists, &view)) return;
    reply_integer(run->reply, exists ? (int64_t)string_view_bytes(&view) : 0);
}

/* GETRANGE key start end, and its old name SUBSTR */
void string_getrange(struct command_run *run)
{
    struct key_view view;
    bool exists;
    int64_t start, end;
    if (!run_get_integer(run, run->argv[2], &start) || !run_get_integer(run, run->argv[3], &end) ||
        !run_get_string(run, run->argv[1], &exists, &view))
        return;

    int64_t length = exists ? (int64_t)string_view_bytes(&view) : 0;
    bool backwards = start < 0 && end < 0 && start > end;
    if (start < 0) start += length;
    if (end < 0) end += length;
    if (start < 0) start = 0;
    if (end < 0) end = 0;
    if (end >= length) end = length - 1;
    if (backwards || start > end)
        reply_bulk(run->reply, slice_make("", 0));
    else
        run_reply_string_range(run, &view, (uint64_t)start, (uint64_t)(end - start) + 1);
}
