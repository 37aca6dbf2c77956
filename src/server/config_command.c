/* SPDX-License-Identifier: BSD-3-Clause
 *
 * CONFIG GET, SET, REWRITE, RESETSTAT, HELP. The rows of the option tables say everything about the
 * options; here is what a change has to set in motion. Loop thread; a rewrite is a job. */
#include "base/glob.h"
#include "base/log.h"
#include "base/memory.h"
#include "commands/families.h"
#include "commands/latency.h"
#include "commands/notice.h"
#include "server/parts.h"
#include "server/server.h"

static struct parts *config_parts;

void config_init(struct parts *parts)
{
    config_parts = parts;
}

bool config_is_secret(struct slice name)
{
    void *options;
    const struct option *option = settings_find(&config_parts->settings, name, &options);
    return option && (option->flags & OPTION_SECRET);
}

static bool is(struct slice word, const char *name)
{
    return slice_equal_nocase(word, name);
}

/* As in Redis, CONFIG does not know it: it would tell the names that it hides. */
static bool is_rename(const struct option *option)
{
    return strcmp(option->name, "rename-command") == 0;
}

/* --- GET --- */

/* The first argument that asks for the option says under which name it is shown: a plain name as it was
 * written, a pattern's match by its own name. False: nobody asks. */
static bool is_asked_for(const struct command_run *run, const char *name, struct slice *shown)
{
    const struct slice own = slice_from_text(name);
    for (int i = 2; i < run->argc; i++) {
        struct slice pattern = run->argv[i];
        bool plain = true;
        for (size_t k = 0; k < pattern.size && plain; k++)
            plain = pattern.data[k] != '*' && pattern.data[k] != '?' && pattern.data[k] != '[';
        if (plain ? !slice_equal_nocase(pattern, name) : !glob_match(pattern, own, true)) continue;
        *shown = plain ? pattern : own;
        return true;
    }
    return false;
}

static unsigned reply_if_asked(struct command_run *run, const char *name,
                               const struct option *option, const void *options)
{
    struct slice shown;
    struct buffer text = {0};
    if (!is_asked_for(run, name, &shown)) return 0;
    option_format(option, options, &text);
    reply_bulk(run->reply, shown);
    reply_bulk(run->reply, buffer_slice(&text));
    buffer_free(&text);
    return 1;
}

static void config_get(struct command_run *run)
{
    struct reply_deferred map = reply_defer(run->reply);
    uint64_t pairs = 0;
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part part = settings_part(&config_parts->settings, i);
        for (size_t k = 0; k < part.table->count; k++) {
            const struct option *option = &part.table->rows[k];
            if (is_rename(option)) continue;
            pairs += reply_if_asked(run, option->name, option, part.options);
            if (option->alias) pairs += reply_if_asked(run, option->alias, option, part.options);
        }
    }
    reply_defer_map(run->reply, map, pairs);
}

/* --- SET --- */

struct change {
    const struct option *option;
    void *options;
    struct slice name; /* as the table has it */
    struct buffer before;
};

static void undo(struct change *changes, int count)
{
    for (int i = 0; i < count; i++)
        option_set(changes[i].option, changes[i].options, buffer_slice(&changes[i].before), NULL);
}

static void free_changes(struct change *changes, int count)
{
    for (int i = 0; i < count; i++) buffer_free(&changes[i].before);
    mem_free(changes);
}

static void reply_failed(struct command_run *run, struct slice name, const char *why)
{
    reply_error_format(run->reply,
                       "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                       (int)name.size, name.data, why);
}

/* All names must be known, may be changed, and stand once. */
static bool find_changes(struct command_run *run, struct change *changes, int count)
{
    for (int i = 0; i < count; i++) {
        struct slice name = run->argv[2 + 2 * i];
        struct change *change = &changes[i];
        change->option = settings_find(&config_parts->settings, name, &change->options);
        if (!change->option || is_rename(change->option)) {
            reply_error_format(run->reply,
                               "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                               (int)name.size, name.data);
            return false;
        }
        bool by_alias = change->option->alias && is(name, change->option->alias);
        change->name = slice_from_text(by_alias ? change->option->alias : change->option->name);
        if (!(change->option->flags & OPTION_LIVE)) {
            bool guarded = strcmp(change->option->name, "dir") == 0 ||
                           strcmp(change->option->name, "dbfilename") == 0;
            reply_failed(run, name,
                         guarded ? "can't set protected config" : "can't set immutable config");
            return false;
        }
        for (int k = 0; k < i; k++) /* as in Redis an alias is another parameter */
            if (changes[k].name.data == change->name.data) {
                reply_failed(run, name, "duplicate parameter");
                return false;
            }
    }
    return true;
}

/* The first change of that option, or NULL. */
static const struct change *find_change(const struct change *changes, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(changes[i].option->name, name) == 0) return &changes[i];
    return NULL;
}

static enum status apply_maxclients(const struct change *change, struct error *error)
{
    int64_t possible;
    if (!change || server_raise_descriptors(&config_parts->settings, &possible)) return STATUS_OK;
    return error_set(error, STATUS_INVALID,
                     "The operating system is not able to handle the specified number of clients, "
                     "try with %lld",
                     (long long)possible);
}

/* What is wrong with the address is in the log; the client gets Redis's text. */
static enum status bind_failed(struct error *error)
{
    log_write(LOG_WARNING, "CONFIG SET: %s", error->text);
    return error_set(error, STATUS_INVALID, "Failed to bind to specified addresses.");
}

/* Sets all in motion that hangs on live options. `*culprit`: the change that failed. */
static enum status apply(const struct change *changes, int count, const struct change **culprit,
                         struct error *error)
{
    struct parts *parts = config_parts;
    struct settings *settings = &parts->settings;
    *culprit = find_change(changes, count, "maxclients");
    enum status status = apply_maxclients(*culprit, error);
    if (status != STATUS_OK) return status;
    status = net_apply_options(parts->net, error);
    if (status != STATUS_OK) {
        const struct change *bind = find_change(changes, count, "bind");
        const struct change *port = find_change(changes, count, "port");
        *culprit = bind ? bind : port ? port : &changes[count - 1];
        if (bind || !port) return bind ? bind_failed(error) : status;
        log_write(LOG_WARNING, "CONFIG SET: %s", error->text);
        return error_set(error, status, "Unable to listen on this port. Check server logs.");
    }
    log_set_level((enum log_level)settings->server.loglevel);
    server.proto_max_bulk_bytes = settings->net.proto_max_bulk_bytes;
    latency_normalize_options(&settings->commands);
    notice_refresh();
    memory_budget_cron(parts->budget);
    return STATUS_OK;
}

/* Puts the values in; false: the one at `*done` was refused and stays what it was. */
static bool set_values(const struct command_run *run, struct change *changes, int count, int *done,
                       struct error *error)
{
    for (*done = 0; *done < count; (*done)++) {
        struct change *change = &changes[*done];
        struct slice text = run->argv[3 + 2 * *done];
        option_format(change->option, change->options, &change->before);
        if (settings_check_value(change->option, text, error) != STATUS_OK ||
            option_set(change->option, change->options, text, error) != STATUS_OK)
            return false;
        if (settings_check(&config_parts->settings, error) == STATUS_OK) continue;
        if (strcmp(change->option->name, "bind") == 0) bind_failed(error);
        undo(change, 1);
        return false;
    }
    return true;
}

/* All or nothing. */
static void config_set(struct command_run *run)
{
    if (run->argc % 2) {
        run_syntax_error(run);
        return;
    }
    int count = (run->argc - 2) / 2, done = 0;
    struct error error = {0}, ignored;
    struct change *changes = mem_calloc((size_t)count, sizeof *changes);
    const struct change *culprit;
    if (!find_changes(run, changes, count)) {
        free_changes(changes, count);
        return;
    }
    if (!set_values(run, changes, count, &done, &error)) {
        undo(changes, done);
        reply_failed(run, changes[done].name, error.text);
    } else if (apply(changes, count, &culprit, &error) != STATUS_OK) {
        reply_failed(run, culprit->name, error.text);
        undo(changes, count);
        apply(changes, count, &culprit, &ignored);
    } else {
        reply_ok(run->reply);
    }
    free_changes(changes, count);
}

/* --- REWRITE --- */

struct rewrite {
    struct job job;
    struct buffer file;
    enum status status;
    struct error error;
    struct settings copy; /* as they were when it was asked for */
    bool over;
    uint64_t session_id;
};

static struct rewrite *rewriting; /* at most one at a time */

static void rewrite_run(struct job *job)
{
    struct rewrite *rewrite = (struct rewrite *)(void *)job;
    rewrite->status = settings_rewrite(&rewrite->copy, rewrite->copy.file, &rewrite->error);
}

static void rewrite_done(struct job *job)
{
    ((struct rewrite *)(void *)job)->over = true;
}

static void reset_option(struct settings *settings, struct slice name)
{
    void *options;
    const struct option *option = settings_find(settings, name, &options);
    option_set(option, options, slice_from_text(option->default_text), NULL);
}

static void copy_settings(struct settings *to)
{
    settings_init(to);
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part from = settings_part(&config_parts->settings, i);
        struct settings_part target = settings_part(to, i);
        for (size_t k = 0; k < from.table->count; k++) {
            struct buffer text = {0};
            option_format(&from.table->rows[k], from.options, &text);
            option_set(&from.table->rows[k], target.options, buffer_slice(&text), NULL);
            buffer_free(&text);
        }
    }
    /* Set by nobody, these follow maxmemory; as lines of the file they would no longer. */
    if (!config_parts->settings.block_cache_given)
        reset_option(to, SLICE_LITERAL("leveldb-block-cache"));
    if (!config_parts->settings.write_buffer_given)
        reset_option(to, SLICE_LITERAL("leveldb-write-buffer"));
    mem_free(to->file);
    to->file = mem_dup(config_parts->settings.file, strlen(config_parts->settings.file) + 1);
}

static void rewrite_free(void)
{
    settings_free(&rewriting->copy);
    mem_free(rewriting);
    rewriting = NULL;
}

/* Looks again every few milliseconds: the loop does not wait for the disk. */
static void config_rewrite(struct command_run *run)
{
    enum { LOOK_MS = 5 };
    if (!*config_parts->settings.file) {
        reply_error(run->reply, "ERR The server is running without a config file");
        return;
    }
    if (rewriting && rewriting->over && rewriting->session_id != run->session->id) rewrite_free();
    if (!rewriting) {
        rewriting = mem_calloc(1, sizeof *rewriting);
        rewriting->session_id = run->session->id;
        copy_settings(&rewriting->copy);
        rewriting->job = (struct job){.lane = JOB_BACKGROUND,
                                      .kind = JOB_KIND_FILE,
                                      .run = rewrite_run,
                                      .done = rewrite_done,
                                      .home = loop_mailbox(config_parts->loop)};
        if (job_queue_submit(config_parts->jobs, &rewriting->job) != STATUS_OK) {
            rewrite_free();
            reply_error(run->reply, "ERR Rewriting config file: too much is waiting for the disk");
            return;
        }
    }
    if (!rewriting->over || rewriting->session_id != run->session->id) {
        run_wait_time_again(run, LOOK_MS);
        return;
    }
    if (rewriting->status == STATUS_OK)
        reply_ok(run->reply);
    else
        reply_error_format(run->reply, "ERR Rewriting config file: %s", rewriting->error.text);
    rewrite_free();
}

/* --- the others --- */

static void config_resetstat(struct command_run *run)
{
    metrics_reset_all();
    reply_ok(run->reply);
}

static void config_help(struct command_run *run)
{
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}

void config_run(struct command_run *run)
{
    struct slice what = run->argv[1];
    if (is(what, "get"))
        config_get(run);
    else if (is(what, "set"))
        config_set(run);
    else if (is(what, "rewrite"))
        config_rewrite(run);
    else if (is(what, "resetstat"))
        config_resetstat(run);
    else
        config_help(run);
}
