/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See slowlog.h. An entry is newest first in the log; between its call and the end of the run it is in
 * `noted`. How long its reply waited for the journal is known when the sequence that it depends on is
 * acknowledged: entries for which that is still open are counted. An entry takes at most some 5 KB. Loop
 * thread. */
#include "commands/slowlog.h"

#include "base/clock.h"
#include "base/memory.h"
#include "commands/argument.h"
#include "commands/options.h"
#include "commands/server.h"

enum { MOST_ARGUMENTS = 32, MOST_BYTES = 128, SHOWN = 10 };

struct slow_entry {
    struct list_node node;
    uint64_t id;
    int64_t at_s, run_us, wait_us, sync_us;
    int64_t ended_ns;
    uint64_t sequence;
    bool awaits_sync; /* sync_us is not known yet */
    char *address, *name;
    struct buffer bytes; /* of the arguments, one behind the other */
    int argc;
    size_t sizes[MOST_ARGUMENTS];
};

static struct {
    struct list entries, noted;
    int64_t length;
    int64_t awaiting; /* entries whose sync is awaited */
    uint64_t next_id;
} state = {.entries = {{&state.entries.head, &state.entries.head}},
           .noted = {{&state.noted.head, &state.noted.head}}};

static void entry_free(struct slow_entry *entry)
{
    list_remove(&entry->node);
    mem_free(entry->address);
    mem_free(entry->name);
    buffer_free(&entry->bytes);
    mem_free(entry);
}

static void keep_at_most(int64_t most)
{
    while (state.length > most) {
        struct slow_entry *last = LIST_ENTRY(state.entries.head.previous, struct slow_entry, node);
        if (last->awaits_sync) state.awaiting--;
        state.length--;
        entry_free(last);
    }
}

/* --- taking down --- */

static void copy_argument(struct slow_entry *entry, struct slice argument)
{
    if (argument.size <= MOST_BYTES) {
        buffer_append_slice(&entry->bytes, argument);
        return;
    }
    buffer_append(&entry->bytes, argument.data, MOST_BYTES);
    buffer_append_format(&entry->bytes, "... (%zu more bytes)", argument.size - MOST_BYTES);
}

static void copy_arguments(struct slow_entry *entry, const struct notice *notice)
{
    bool cut = notice->argc > MOST_ARGUMENTS;
    entry->argc = cut ? MOST_ARGUMENTS : notice->argc;
    for (int i = 0; i < entry->argc; i++) {
        size_t before = entry->bytes.size;
        if (cut && i == MOST_ARGUMENTS - 1)
            buffer_append_format(&entry->bytes, "... (%d more arguments)", notice->argc - i);
        else
            copy_argument(entry, notice_argument(notice, i));
        entry->sizes[i] = entry->bytes.size - before;
    }
}

void slowlog_note(const struct notice *notice)
{
    struct slow_entry *entry = mem_calloc(1, sizeof *entry);
    entry->at_s = dispatch_time_ms() / 1000;
    entry->run_us = notice->run_ns / 1000;
    entry->wait_us = notice->wait_ns / 1000;
    entry->ended_ns = notice->ended_ns;
    entry->address = slice_dup_text(slice_from_text(notice_address(notice->session)));
    entry->name = slice_dup_text(slice_from_text(notice->session->name));
    copy_arguments(entry, notice);
    list_push_back(&state.noted, &entry->node);
}

void slowlog_drop(void)
{
    struct list_node *node;
    while ((node = list_first(&state.noted))) entry_free(LIST_ENTRY(node, struct slow_entry, node));
}

/* --- the wait for the journal --- */

static uint64_t acknowledged_sequence(void)
{
    const struct journal *journal =
        server.keyspace ? keyspace_parts(server.keyspace)->journal : NULL;
    return journal ? journal_acknowledged_sequence(journal) : UINT64_MAX;
}

static int64_t since_us(const struct slow_entry *entry)
{
    return (clock_monotonic_ns() - entry->ended_ns) / 1000;
}

void slowlog_settle(uint64_t sequence)
{
    struct list_node *node;
    if (list_is_empty(&state.noted)) return;
    uint64_t reached = acknowledged_sequence();
    while ((node = list_pop_front(&state.noted))) {
        struct slow_entry *entry = LIST_ENTRY(node, struct slow_entry, node);
        entry->id = state.next_id++;
        entry->sequence = sequence;
        entry->awaits_sync = sequence > reached;
        if (entry->awaits_sync) state.awaiting++;
        counter_add(&dispatch_metrics.slow, 1);
        list_push_front(&state.entries, node);
        state.length++;
    }
    keep_at_most(server.options->slowlog_max_length);
}

void slowlog_acknowledged(void)
{
    if (state.awaiting == 0) return;
    uint64_t reached = acknowledged_sequence();
    int64_t left = state.awaiting;
    LIST_FOR_EACH (node, &state.entries) {
        struct slow_entry *entry = LIST_ENTRY(node, struct slow_entry, node);
        if (left == 0) return;
        if (!entry->awaits_sync) continue;
        left--;
        if (entry->sequence > reached) continue;
        entry->sync_us = since_us(entry);
        entry->awaits_sync = false;
        state.awaiting--;
    }
}

/* --- SLOWLOG --- */

/* What follows Redis's six. */
static void reply_times(struct command_run *run, const struct slow_entry *entry)
{
    reply_map(run->reply, 3);
    reply_bulk_text(run->reply, "wait_usec");
    reply_integer(run->reply, entry->wait_us);
    reply_bulk_text(run->reply, "run_usec");
    reply_integer(run->reply, entry->run_us);
    reply_bulk_text(run->reply, "sync_usec");
    reply_integer(run->reply, entry->awaits_sync ? since_us(entry) : entry->sync_us);
}

static void reply_entry(struct command_run *run, const struct slow_entry *entry)
{
    size_t at = 0;
    reply_array(run->reply, 7);
    reply_integer(run->reply, (int64_t)entry->id);
    reply_integer(run->reply, entry->at_s);
    reply_integer(run->reply, entry->run_us);
    reply_array(run->reply, (uint64_t)entry->argc);
    for (int i = 0; i < entry->argc; i++) {
        reply_bulk(run->reply, slice_make(entry->bytes.data + at, entry->sizes[i]));
        at += entry->sizes[i];
    }
    reply_bulk_text(run->reply, entry->address);
    reply_bulk_text(run->reply, entry->name);
    reply_times(run, entry);
}

/* SLOWLOG GET [count] */
void slowlog_get(struct command_run *run)
{
    int64_t count = SHOWN;
    if (run->argc > 3) {
        argument_unknown(run);
        return;
    }
    if (run->argc == 3 &&
        !run_get_integer_in(run, run->argv[2], -1, INT64_MAX,
                            "count should be greater than or equal to -1", &count))
        return;
    if (count < 0 || count > state.length) count = state.length;
    reply_array(run->reply, (uint64_t)count);
    LIST_FOR_EACH (node, &state.entries) {
        if (count-- == 0) return;
        reply_entry(run, LIST_ENTRY(node, struct slow_entry, node));
    }
}

/* SLOWLOG LEN */
void slowlog_len(struct command_run *run)
{
    reply_integer(run->reply, state.length);
}

/* SLOWLOG RESET */
void slowlog_reset(struct command_run *run)
{
    keep_at_most(0);
    reply_ok(run->reply);
}

/* SLOWLOG HELP */
void slowlog_help(struct command_run *run)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}
