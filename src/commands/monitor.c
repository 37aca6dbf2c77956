/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See monitor.h. A line is a status reply in both protocols. The lines of a run are collected and sent
 * at its end, so that those of an EXEC that has to run again are not seen, and a monitor's own reply is
 * never cut in two. What monitors do not take counts as their output, within the limits of
 * client-output-buffer-limit. Loop thread. */
#include "commands/monitor.h"

#include "base/clock.h"
#include "commands/server.h"

static struct {
    struct list monitors;
    size_t count;
    struct buffer lines;
} state = {.monitors = {{&state.monitors.head, &state.monitors.head}}};

enum { LINES_KEPT_BYTES = 64 * 1024 };

size_t monitor_count(void)
{
    return state.count;
}

void monitor_leave(struct session *session)
{
    if (!session->monitoring) return;
    session->monitoring = false;
    list_remove(&session->monitor_link);
    if (--state.count == 0) buffer_free(&state.lines);
    notice_refresh();
}

/* "[0 127.0.0.1:5000]", of a unix socket "[0 unix:/path]". */
static void append_client(struct buffer *out, struct session *session)
{
    struct slice address = slice_from_text(notice_address(session));
    bool is_path = address.size > 0 && address.data[0] == '/';
    if (is_path && address.size > 2) address.size -= 2; /* ":0" */
    buffer_append_format(out, " [%d %s%.*s]", session->database, is_path ? "unix:" : "",
                         (int)address.size, address.data);
}

void monitor_note(const struct notice *notice)
{
    if (state.count == 0 || server.loading ||
        (notice->command->flags & (COMMAND_SKIP_MONITOR | COMMAND_ADMIN)))
        return;
    int64_t now_us = clock_wall_us();
    buffer_append_format(&state.lines, "+%lld.%06lld", (long long)(now_us / 1000000),
                         (long long)(now_us % 1000000));
    append_client(&state.lines, notice->session);
    for (int i = 0; i < notice->argc; i++) {
        buffer_append(&state.lines, " ", 1);
        buffer_append_quoted(&state.lines, notice_argument(notice, i));
    }
    buffer_append(&state.lines, "\r\n", 2);
}

void monitor_settle(void)
{
    if (state.lines.size == 0) return;
    LIST_FOR_EACH (node, &state.monitors) {
        struct session *session = LIST_ENTRY(node, struct session, monitor_link);
        if (session->closing) continue;
        reply_raw(session->reply, buffer_slice(&state.lines));
        session->operations->flush(session);
    }
    monitor_drop();
}

void monitor_drop(void)
{
    if (state.lines.capacity > LINES_KEPT_BYTES)
        buffer_free(&state.lines);
    else
        buffer_clear(&state.lines);
}

/* MONITOR. As in Redis, who monitors already gets no answer. */
void server_monitor(struct command_run *run)
{
    struct session *session = run->session;
    if (run->access.in_transaction) {
        reply_error(run->reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (session->monitoring) return;
    session->monitoring = true;
    list_push_back(&state.monitors, &session->monitor_link);
    state.count++;
    notice_refresh();
    reply_ok(run->reply);
}
