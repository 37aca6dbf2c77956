/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LATENCY: which events took long (latency_events.h), and how the times of each command are distributed. Loop
 * thread. */
#include "commands/argument.h"
#include "commands/latency_events.h"
#include "commands/latency_graph.h"
#include "commands/options.h"
#include "commands/server.h"

static const struct latency_event *find_event(struct slice name, size_t *index)
{
    const struct latency_event *event;
    for (*index = 0; (event = latency_event_at(*index)); (*index)++)
        if (slice_equal(name, slice_from_text(event->name))) return event;
    return NULL;
}

static size_t event_count(void)
{
    size_t count = 0;
    while (latency_event_at(count)) count++;
    return count;
}

/* LATENCY LATEST */
void latency_latest(struct command_run *run)
{
    const struct latency_event *event;
    reply_array(run->reply, event_count());
    for (size_t i = 0; (event = latency_event_at(i)); i++) {
        struct latency_sample newest = latency_event_sample(event, 0);
        reply_array(run->reply, 4);
        reply_bulk_text(run->reply, event->name);
        reply_integer(run->reply, newest.at_s);
        reply_integer(run->reply, newest.ms);
        reply_integer(run->reply, event->longest_ms);
    }
}

/* LATENCY HISTORY event */
void latency_history(struct command_run *run)
{
    size_t index;
    const struct latency_event *event = find_event(run->argv[2], &index);
    struct reply_deferred array = reply_defer(run->reply);
    uint64_t count = 0;
    for (unsigned back = LATENCY_SAMPLES; event && back-- > 0;) {
        struct latency_sample sample = latency_event_sample(event, back);
        if (sample.at_s == 0) continue;
        reply_array(run->reply, 2);
        reply_integer(run->reply, sample.at_s);
        reply_integer(run->reply, sample.ms);
        count++;
    }
    reply_defer_array(run->reply, array, count);
}

/* LATENCY RESET [event ...] */
void latency_reset(struct command_run *run)
{
    int64_t count = 0;
    size_t index;
    for (int i = 2; i < run->argc; i++) {
        if (!find_event(run->argv[i], &index)) continue;
        latency_event_remove(index);
        count++;
    }
    for (; run->argc == 2 && latency_event_at(0); count++) latency_event_remove(0);
    reply_integer(run->reply, count);
}

/* LATENCY GRAPH event */
void latency_graph(struct command_run *run)
{
    size_t index;
    struct buffer text = {0};
    const struct latency_event *event = find_event(run->argv[2], &index);
    if (!event) {
        reply_error_format(run->reply, "ERR No samples available for event '%.*s'",
                           (int)run->argv[2].size, run->argv[2].data);
        return;
    }
    latency_graph_append(&text, event, dispatch_time_ms() / 1000);
    reply_verbatim(run->reply, buffer_slice(&text), "txt");
    buffer_free(&text);
}

/* --- DOCTOR --- */

static const struct {
    const char *event, *advice;
} advices[] = {
    {"command", "Single commands hold the loop: SLOWLOG GET names them. Smaller batches (fewer keys, "
                "shorter ranges) let others in between."},
    {"fast-command", "Commands that should take no time do: the machine has too few processors for "
                     "what runs on it, or it swaps."},
    {"loop-turn", "One turn of the event loop does too much: look at long pipelines and at what "
                  "SLOWLOG GET shows. Everybody waits so long."},
    {"load", "Records come slowly from the disk: more maxmemory keeps more of them in memory, "
             "io-job-threads says how many are read at a time."},
    {"journal-sync", "The disk is slow to sync the journal. With appendfsync always every write waits "
                     "for it; put `dir` on a faster disk, or use everysec."},
    {"journal-append", "An append to the journal had to wait for the disk: see journal-io."},
    {"batch", "LevelDB takes batches slowly: it waits for its compactions. When that lasts, the journal "
              "fills up and writers wait."},
};

static void append_event(struct buffer *out, const struct latency_event *event)
{
    int64_t count = 0, sum = 0;
    struct latency_sample newest = latency_event_sample(event, 0);
    for (unsigned back = 0; back < LATENCY_SAMPLES; back++) {
        struct latency_sample sample = latency_event_sample(event, back);
        count += sample.at_s != 0;
        sum += sample.ms;
    }
    buffer_append_format(out,
                         "%s: in %lld seconds, on average %lld ms, at most %lld ms, last %lld ms, "
                         "%lld s ago.\n",
                         event->name, (long long)count, (long long)(sum / (count ? count : 1)),
                         (long long)event->longest_ms, (long long)newest.ms,
                         (long long)(dispatch_time_ms() / 1000 - newest.at_s));
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (strcmp(advices[i].event, event->name) == 0)
            buffer_append_format(out, "  %s\n", advices[i].advice);
}

/* LATENCY DOCTOR */
void latency_doctor(struct command_run *run)
{
    struct buffer text = {0};
    const struct latency_event *event;
    int64_t threshold_ms = server.options ? server.options->latency_threshold_ms : 0;
    if (threshold_ms == 0)
        buffer_append_text(&text, "Nothing is watched now. CONFIG SET latency-monitor-threshold "
                                  "<milliseconds> begins to note what takes that long.\n");
    else if (!latency_event_at(0))
        buffer_append_format(&text, "Nothing has taken %lld ms or longer.\n",
                             (long long)threshold_ms);
    for (size_t i = 0; (event = latency_event_at(i)); i++) append_event(&text, event);
    reply_verbatim(run->reply, buffer_slice(&text), "txt");
    buffer_free(&text);
}

/* --- HISTOGRAM --- */

/* In Redis a bucket ends 8 parts in 1024 behind a power of two of nanoseconds, and tells its end in whole
 * microseconds; our histogram has limits at the powers, which is within its error. */
static uint64_t shown_us(unsigned power)
{
    return ((UINT64_C(1032) << power) - 1) / 1000;
}

static void reply_distribution(struct command_run *run, const struct histogram *latency_ns)
{
    uint64_t below = 0, pairs = 0;
    unsigned bucket = 0;
    reply_map(run->reply, 2);
    reply_bulk_text(run->reply, "calls");
    reply_integer(run->reply, (int64_t)atomic_load_explicit(&latency_ns->count,
                                                            memory_order_relaxed));
    reply_bulk_text(run->reply, "histogram_usec");
    struct reply_deferred map = reply_defer(run->reply);
    for (unsigned power = 0; bucket < HISTOGRAM_BUCKETS; power++) {
        uint64_t before = below;
        for (; bucket < HISTOGRAM_BUCKETS &&
               histogram_bucket_limit_us(bucket) <= UINT64_C(1024) << power;
             bucket++)
            below += atomic_load_explicit(&latency_ns->buckets[bucket], memory_order_relaxed);
        if (below == before) continue;
        reply_integer(run->reply, (int64_t)shown_us(power));
        reply_integer(run->reply, (int64_t)below);
        pairs++;
    }
    reply_defer_map(run->reply, map, pairs);
}

/* The command, and its subcommands, as far as they have run. */
static uint64_t reply_command(struct command_run *run, const struct command *command)
{
    uint64_t pairs = 0;
    const struct histogram *latency_ns = &command_stats(command)->latency_ns;
    if (atomic_load_explicit(&latency_ns->count, memory_order_relaxed) > 0) {
        reply_bulk_text(run->reply, command_full_name(command));
        reply_distribution(run, latency_ns);
        pairs++;
    }
    for (int i = 0; i < command->subcommand_count; i++)
        pairs += reply_command(run, &command->subcommands[i]);
    return pairs;
}

/* LATENCY HISTOGRAM [command ...] */
void latency_histogram(struct command_run *run)
{
    struct reply_deferred map = reply_defer(run->reply);
    uint64_t pairs = 0;
    for (int i = 0; run->argc == 2 && i < command_count(); i++)
        pairs += reply_command(run, command_at(i));
    for (int i = 2; i < run->argc; i++) {
        const struct command *command = command_find_full(run->argv[i]);
        if (command) pairs += reply_command(run, command);
    }
    reply_defer_map(run->reply, map, pairs);
}

/* LATENCY HELP */
void latency_help(struct command_run *run)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        ("    Return a cumulative distribution of latencies in the format of a histogram for the "
         "specified command names."),
        "    If no commands are specified then all histograms are replied.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}
