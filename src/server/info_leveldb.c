/* SPDX-License-Identifier: BSD-3-Clause
 *
 * INFO leveldb beyond the metric table: LevelDB's own account of its levels. LevelDB takes its lock to
 * tell it, so a job asks, every few seconds and only while somebody reads the section. Loop thread, but
 * for the job. */
#include "base/clock.h"
#include "base/memory.h"
#include "server/info_internal.h"

#include <stdio.h>

enum { LEVELS = 7, FRESH_MS = 5000, WANTED_MS = 60000 };

struct level {
    bool used;
    unsigned files;
    double size_mb, time_s, read_mb, written_mb; /* time_s: spent on compactions into this level */
};

struct question {
    struct job job;
    struct store *store;
    struct level levels[LEVELS];
    unsigned long long memory_bytes;
};

static struct {
    struct level levels[LEVELS];
    unsigned long long memory_bytes;
    struct question *question; /* under way */
    int64_t read_ms, answered_ms;
} state;

/* The table that LevelDB prints: level, files, and four figures. */
static void parse_levels(const char *text, struct level *levels)
{
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        unsigned number_of_level;
        struct level level = {.used = true};
        if (*line == '\n') line++;
        if (sscanf(line, "%u %u %lf %lf %lf %lf", &number_of_level, &level.files, &level.size_mb,
                   &level.time_s, &level.read_mb, &level.written_mb) == 6 &&
            number_of_level < LEVELS)
            levels[number_of_level] = level;
        if (*line == 0) break;
    }
}

static void question_run(struct job *job)
{
    struct question *question = (struct question *)(void *)job;
    struct engine *engine;
    if (store_acquire(question->store, &engine, NULL) != STATUS_OK) return;
    char *stats = engine->operations->property(engine, "leveldb.stats");
    char *memory = engine->operations->property(engine, "leveldb.approximate-memory-usage");
    if (stats) parse_levels(stats, question->levels);
    if (memory) (void)sscanf(memory, "%llu", &question->memory_bytes);
    mem_free(stats);
    mem_free(memory);
    engine_unref(engine);
}

static void question_done(struct job *job)
{
    struct question *question = (struct question *)(void *)job;
    memcpy(state.levels, question->levels, sizeof state.levels);
    state.memory_bytes = question->memory_bytes;
    state.answered_ms = clock_wall_ms();
    state.question = NULL;
    mem_free(question);
}

static void ask(struct parts *parts)
{
    struct question *question = mem_calloc(1, sizeof *question);
    question->store = parts->store;
    question->job = (struct job){.lane = JOB_BACKGROUND,
                                 .kind = JOB_KIND_OTHER,
                                 .run = question_run,
                                 .done = question_done,
                                 .home = loop_mailbox(parts->loop)};
    if (job_queue_submit(parts->jobs, &question->job) == STATUS_OK)
        state.question = question;
    else
        mem_free(question);
}

void info_leveldb_cron(struct parts *parts)
{
    if (state.read_ms == 0 || !parts->keyspace || state.question) return;
    int64_t now_ms = clock_wall_ms();
    if (now_ms - state.read_ms < WANTED_MS && now_ms - state.answered_ms >= FRESH_MS) ask(parts);
}

void info_leveldb(struct parts *parts, struct buffer *out)
{
    state.read_ms = clock_wall_ms();
    info_leveldb_cron(parts);
    LINE("leveldb_version:%s", engine_leveldb_version());
    if (state.answered_ms == 0) return;
    LINE("leveldb_figures_age_sec:%lld", (long long)((state.read_ms - state.answered_ms) / 1000));
    LINE("leveldb_memory_bytes:%llu", state.memory_bytes);
    for (unsigned i = 0; i < LEVELS; i++) {
        const struct level *level = &state.levels[i];
        if (level->used)
            LINE("leveldb_level%u:files=%u,size_mb=%.0f,compaction_sec=%.0f,read_mb=%.0f,write_mb=%.0f",
                 i, level->files, level->size_mb, level->time_s, level->read_mb, level->written_mb);
    }
}

void info_leveldb_finish(void)
{
    memset(&state, 0, sizeof state);
}
