/* SPDX-License-Identifier: BSD-3-Clause
 *
 * MEMORY: where the memory goes. Loop thread; giving pages back to the system is a job. */
#include "base/memory.h"
#include "commands/argument.h"
#include "commands/keys.h"
#include "commands/server.h"
#include "storage/job_queue.h"

static void reply_text(struct command_run *run, struct buffer *text)
{
    reply_verbatim(run->reply, buffer_slice(text), "txt");
    buffer_free(text);
}

/* MEMORY DOCTOR */
void memory_doctor(struct command_run *run)
{
    struct buffer text = {0};
    server.memory_doctor(&text);
    reply_text(run, &text);
}

/* MEMORY STATS */
void memory_stats(struct command_run *run)
{
    server.memory_stats(run);
}

/* MEMORY MALLOC-STATS */
void memory_malloc_stats(struct command_run *run)
{
    struct mem_usage usage = {0};
    struct buffer text = {0};
    mem_allocator_read(&usage);
    buffer_append_format(&text, "allocator: %s\nallocated: %zu\nactive: %zu\nresident: %zu\n",
                         mem_allocator_name(), usage.allocated, usage.active, usage.resident);
    reply_text(run, &text);
}

static void purge_run(struct job *job)
{
    (void)job;
    mem_release_free_pages();
}

static void purge_done(struct job *job)
{
    mem_free(job);
}

/* MEMORY PURGE. It happens soon: the loop does not wait for it. */
void memory_purge(struct command_run *run)
{
    const struct keyspace_parts *parts = keyspace_parts(run->access.keyspace);
    struct job *job = mem_calloc(1, sizeof *job);
    *job = (struct job){.lane = JOB_BACKGROUND,
                        .kind = JOB_KIND_OTHER,
                        .run = purge_run,
                        .done = purge_done,
                        .home = parts->loop};
    if (job_queue_submit(parts->jobs, job) != STATUS_OK) mem_free(job);
    reply_ok(run->reply);
}

static bool parse_samples(struct command_run *run)
{
    for (int i = 3; i < run->argc; i += 2) {
        int64_t samples;
        if (!argument_is(run->argv[i], "samples") || i + 1 == run->argc) {
            run_syntax_error(run);
            return false;
        }
        if (!run_get_integer(run, run->argv[i + 1], &samples)) return false;
        if (samples < 0) {
            run_syntax_error(run);
            return false;
        }
    }
    return true;
}

/* MEMORY USAGE key [SAMPLES count]: what the key takes when all of it is in memory. */
void memory_usage(struct command_run *run)
{
    struct key_view view;
    if (!parse_samples(run)) return;
    /* Redis does not count it as a lookup. */
    enum found found = keyspace_peek(&run->access, run_database(run), run->argv[2], &view);
    if (!run_found(run, found)) return;
    if (found == FOUND_NOTHING) {
        reply_null(run->reply);
        return;
    }
    size_t bytes = view.entry ? entry_memory_bytes(view.entry)
                              : mem_good_size(sizeof(struct entry) + run->argv[2].size +
                                              view.value.size);
    if (view.has_object) bytes += view.object.length;
    reply_integer(run->reply, (int64_t)bytes);
}

/* MEMORY HELP */
void memory_help(struct command_run *run)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}
