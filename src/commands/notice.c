/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See notice.h. Loop thread. */
#include "commands/notice.h"

#include "commands/connection.h"
#include "commands/latency_events.h"
#include "commands/monitor.h"
#include "commands/options.h"
#include "commands/server.h"
#include "commands/slowlog.h"

#include <stdio.h>

int64_t notice_from_ns = INT64_MAX;

static int64_t nanoseconds(int64_t value, int64_t unit_ns)
{
    return value > INT64_MAX / unit_ns ? INT64_MAX : value * unit_ns;
}

void notice_refresh(void)
{
    const struct command_options *options = server.options;
    int64_t from_ns = INT64_MAX;
    if (options && options->slowlog_slower_than_us >= 0)
        from_ns = nanoseconds(options->slowlog_slower_than_us, 1000);
    if (options && options->latency_threshold_ms > 0) {
        int64_t latency_ns = nanoseconds(options->latency_threshold_ms, 1000000);
        if (latency_ns < from_ns) from_ns = latency_ns;
    }
    notice_from_ns = monitor_count() > 0 ? 0 : from_ns;
}

void notice_call(const struct notice *notice)
{
    const struct command_options *options = server.options;
    monitor_note(notice);
    if (!options || (notice->command->flags & COMMAND_SKIP_SLOWLOG)) return;
    int64_t run_us = notice->run_ns / 1000;
    if (options->slowlog_slower_than_us >= 0 && run_us >= options->slowlog_slower_than_us)
        slowlog_note(notice);
    if (options->latency_threshold_ms > 0 && run_us / 1000 >= options->latency_threshold_ms)
        latency_event_add(notice->command->flags & COMMAND_FAST ? "fast-command" : "command",
                          run_us / 1000, dispatch_time_ms() / 1000);
}

void notice_settle(uint64_t sequence)
{
    monitor_settle();
    slowlog_settle(sequence);
}

void notice_drop(void)
{
    monitor_drop();
    slowlog_drop();
}

void notice_acknowledged(void)
{
    slowlog_acknowledged();
}

/* AUTH's arguments, what follows AUTH in HELLO, secret values of CONFIG SET. */
static bool is_secret(const struct notice *notice, int index)
{
    const struct command *command = notice->command;
    const struct slice *argv = notice->argv;
    if (index == 0) return false;
    if (command->handler == connection_auth) return true;
    if (command->handler == connection_hello)
        return index > 2 && (slice_equal_nocase(argv[index - 1], "auth") ||
                             (index > 3 && slice_equal_nocase(argv[index - 2], "auth")));
    if (command->handler == server_config && strcmp(command->name, "set") == 0)
        return index >= 3 && index % 2 == 1 && server.is_secret_option &&
               server.is_secret_option(argv[index - 1]);
    return false;
}

struct slice notice_argument(const struct notice *notice, int index)
{
    return is_secret(notice, index) ? SLICE_LITERAL("(redacted)") : notice->argv[index];
}

/* Asking the connection costs a system call; a session's number is never used twice. */
const char *notice_address(struct session *session)
{
    enum { KEPT = 64 };
    static struct {
        uint64_t id;
        char text[sizeof(((struct session_io *)0)->address)];
    } kept[KEPT];
    unsigned place = session->id % KEPT;
    if (kept[place].id != session->id) {
        struct session_io io = {0};
        session->operations->describe(session, &io);
        kept[place].id = session->id;
        (void)snprintf(kept[place].text, sizeof kept[place].text, "%s", io.address);
    }
    return kept[place].text;
}
