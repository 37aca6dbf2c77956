/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of the options that single commands ask for. Constants, any thread. */
#include "commands/options.h"

static const struct option rows[] = {
    {.name = "hll-sparse-max-bytes", .kind = OPTION_BYTES, .flags = OPTION_LIVE,
     .offset = offsetof(struct command_options, hll_sparse_max_bytes), .default_text = "3000",
     .minimum = 0, .maximum = INT64_MAX, .unit = "bytes",
     .help = "A HyperLogLog whose sparse form would grow past this becomes dense (12304 bytes). The "
     "sparse form takes less memory and more time; above 16000 it is never the shorter one."},
    {.name = "acllog-max-len", .kind = OPTION_INTEGER, .flags = OPTION_LIVE,
     .offset = offsetof(struct command_options, acllog_max_length), .default_text = "128",
     .minimum = 0, .maximum = 1000000, .unit = "entries",
     .help = "How many refused logins ACL LOG remembers; the oldest ones go first."},
    {.name = "slowlog-log-slower-than", .kind = OPTION_INTEGER, .flags = OPTION_LIVE,
     .offset = offsetof(struct command_options, slowlog_slower_than_us), .default_text = "10000",
     .minimum = -1, .maximum = INT64_MAX, .unit = "microseconds",
     .help = "Commands that hold the loop for this long are remembered by SLOWLOG. What a command waits "
     "for (records from the disk, a sync) does not hold the loop and does not count; SLOWLOG GET tells it "
     "beside. 0 remembers every command, -1 none."},
    {.name = "slowlog-max-len", .kind = OPTION_INTEGER, .flags = OPTION_LIVE,
     .offset = offsetof(struct command_options, slowlog_max_length), .default_text = "128",
     .minimum = 0, .maximum = INT64_MAX, .unit = "entries",
     .help = "How many commands SLOWLOG remembers; the oldest ones go first. One takes up to 5 KB."},
    {.name = "latency-monitor-threshold", .kind = OPTION_INTEGER, .flags = OPTION_LIVE,
     .offset = offsetof(struct command_options, latency_threshold_ms), .default_text = "0",
     .minimum = 0, .maximum = INT64_MAX, .unit = "milliseconds",
     .help = "LATENCY tells of events that took this long: command, fast-command, loop-turn, load, "
     "journal-append, journal-sync, batch. 0 watches nothing."},
    {.name = "latency-tracking", .kind = OPTION_BOOL, .flags = OPTION_LIVE,
     .offset = offsetof(struct command_options, latency_tracking), .default_text = "yes",
     .help = "Whether INFO latencystats tells how long each command took."},
    {.name = "latency-tracking-info-percentiles", .kind = OPTION_STRING,
     .flags = OPTION_LIVE | OPTION_MULTI_WORD,
     .offset = offsetof(struct command_options, latency_percentiles), .default_text = "50 99 99.9",
     .help = "Which percentiles INFO latencystats has: numbers from 0 to 100."},
};
const struct option_table command_option_table = {
    "COMMANDS", "What single commands ask for.", rows, sizeof rows / sizeof *rows};
