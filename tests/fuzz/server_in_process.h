/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A whole server inside a fuzz target: real network, dispatch, keyspace, cache, batch writer, INFO
 * and CONFIG; a journal in a temporary folder whose syncs cost nothing; LevelDB's place is taken by
 * the engine in memory. It plays server/server.c, which would open a store on disk and watch
 * signals. All here runs on the loop's thread. Included once by a target. */
#ifndef KELVIN_TESTS_SERVER_IN_PROCESS_H
#define KELVIN_TESTS_SERVER_IN_PROCESS_H

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "lib/memory_engine.h"
#include "lib/temp_folder.h"
#include "server/parts.h"
#include "storage/journal_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { DISKS = 64, CRON_INTERVAL_MS = 20, STOP_PATIENCE_MS = 10000, FIXED_STORE_ID = 77 };

static struct parts parts;
static struct loop_timer *cron_timer;
static char *main_folder, *store_folder, *journal_folder, *socket_path;
static int64_t (*more_work)(void); /* the target's, at the end of each turn: 0 not to sleep, -1 */

#define MUST(call) ASSERT((call) == STATUS_OK)

/* --- the engine: a FLUSHALL makes a new folder, and removes the old one --- */

static struct {
    char *folder;
    struct memory_store *store;
} disks[DISKS];
static unsigned disk_count;
static pthread_mutex_t disks_lock = PTHREAD_MUTEX_INITIALIZER; /* the batch writer opens, too */

/* Frees the stores whose folder is gone, once nobody reads from them. */
static void disks_prune(void)
{
    for (unsigned i = 0; i < disk_count;) {
        struct engine *engine;
        struct error error;
        if (access(disks[i].folder, F_OK) == 0 ||
            memory_store_open(disks[i].store, &engine, &error) != STATUS_OK) {
            i++;
            continue;
        }
        engine_unref(engine);
        memory_store_destroy(disks[i].store);
        mem_free(disks[i].folder);
        disks[i] = disks[--disk_count];
    }
}

static enum status open_engine(void *context, struct engine **out, const char *folder, bool create,
                               struct error *error)
{
    (void)context;
    (void)create;
    pthread_mutex_lock(&disks_lock);
    unsigned i = 0;
    while (i < disk_count && strcmp(disks[i].folder, folder) != 0) i++;
    if (i == disk_count) {
        disks_prune();
        i = disk_count++;
        ASSERT(i < DISKS); /* or stores are never closed */
        disks[i].folder = mem_dup(folder, strlen(folder) + 1);
        disks[i].store = memory_store_create();
    }
    enum status status = memory_store_open(disks[i].store, out, error);
    pthread_mutex_unlock(&disks_lock);
    return status;
}

/* --- what the parts tell --- */

static void on_applied(void *context, uint64_t sequence, const struct settlement *settlements,
                       size_t count)
{
    (void)context;
    if (parts.keyspace) keyspace_on_applied(parts.keyspace, sequence, settlements, count);
}

static void on_store_health(void *context, enum status status, const char *text)
{
    (void)context;
    if (parts.keyspace) keyspace_on_store_health(parts.keyspace, status, text);
}

static void on_acknowledged(void *context)
{
    (void)context;
    if (parts.net) net_acknowledged(parts.net);
}

static void on_space(void *context)
{
    (void)context;
    if (parts.keyspace) keyspace_on_space(parts.keyspace);
}

static void on_journal_health(void *context)
{
    (void)context;
}
static void on_synced(void *context)
{
    (void)context, batch_writer_wake(parts.batch_writer);
}

static void on_cron(void *context)
{
    (void)context;
    memory_budget_cron(parts.budget);
    info_cron();
    keyspace_cron(parts.keyspace);
    batch_writer_wake(parts.batch_writer);
}

static int64_t on_end_turn(void *context)
{
    (void)context;
    int64_t sleep_ms = keyspace_end_turn(parts.keyspace);
    return more_work && more_work() == 0 ? 0 : sleep_ms;
}

static uint64_t on_ask_acknowledged(void *context)
{
    (void)context;
    return journal_acknowledged_sequence(parts.journal);
}

/* --- what commands ask of the server --- */

static bool refuse_shutdown(unsigned flags, const char **error)
{
    (void)flags;
    *error = "ERR Errors trying to SHUTDOWN. Check logs.";
    return false;
}

static void refuse_abort(struct command_run *run)
{
    reply_error(run->reply, "ERR No shutdown in progress.");
}

static const char *ask_password(void)
{
    return parts.settings.server.requirepass;
}
static int64_t ask_last_save(void)
{
    return 1;
}
static bool permit_all(const struct session *who, bool debug)
{
    return (void)who, (void)debug, true;
}
static void set_active_expire(bool on)
{
    parts.settings.keyspace.active_expire = on;
}
static void say_nothing(struct buffer *out)
{
    buffer_append_text(out, "nothing");
}
static void no_stats(struct command_run *run)
{
    reply_map(run->reply, 0);
}

static void fill_server(void)
{
    server = (struct server){.info = info_append,
                             .config = config_run,
                             .shutdown = refuse_shutdown,
                             .shutdown_abort = refuse_abort,
                             .password = ask_password,
                             .last_save_s = ask_last_save,
                             .is_permitted = permit_all,
                             .enable_active_expire = set_active_expire,
                             .memory_doctor = say_nothing,
                             .memory_stats = no_stats,
                             .options = &parts.settings.commands,
                             .keyspace = parts.keyspace,
                             .proto_max_bulk_bytes = parts.settings.net.proto_max_bulk_bytes};
}

/* --- settings --- */

static void set_option(const char *name, const char *text)
{
    void *options;
    const struct option *option = settings_find(&parts.settings, slice_from_text(name), &options);
    ASSERT(option);
    MUST(option_set(option, options, slice_from_text(text), NULL));
}

/* Small, so that an input cannot make the process large, and evictions and full journals come
 * early. */
static void set_own_options(void)
{
    set_option("port", "0"); /* nobody else may connect */
    set_option("maxmemory", "64mb");
    set_option("proto-max-bulk-len", "1mb");
    set_option("journal-max-size", "16mb");
    set_option("batch-writer-delay", "1");
}

/* As they were before CONFIG SET. */
static void server_reset_options(void)
{
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part part = settings_part(&parts.settings, i);
        for (size_t k = 0; k < part.table->count; k++) {
            const struct option *row = &part.table->rows[k];
            if (row->flags & OPTION_LIVE)
                option_set(row, part.options, slice_from_text(row->default_text), NULL);
        }
    }
    set_own_options();
    MUST(net_apply_options(parts.net, NULL));
    log_set_level(LOG_WARNING + 1);
    memory_budget_cron(parts.budget);
}

/* --- start and stop --- */

static int no_sync(void *context, int fd)
{
    return (void)context, (void)fd, 0;
}
static int no_folder_sync(void *context, const char *name)
{
    return (void)context, (void)name, 0;
}

static void open_storage(void)
{
    static struct journal_file_operations files;
    const struct batch_writer_events events = {NULL, on_applied, on_store_health};
    const struct journal_events journal_events = {NULL, on_acknowledged, on_space,
                                                  on_journal_health};
    struct settings *settings = &parts.settings;
    struct mailbox *home = loop_mailbox(parts.loop);
    struct journal_found found;
    files = journal_files_of_system;
    files.fdatasync = no_sync;
    files.sync_folder = no_folder_sync;
    MUST(journal_open_with(&parts.journal, journal_folder, &settings->journal,
                           &parts.journal_metrics, &files, &found, NULL));
    MUST(store_open(&parts.store, store_folder, true, FIXED_STORE_ID, FIRST_SEQUENCE - 1,
                    (uint32_t)settings->keyspace.databases, open_engine, NULL, NULL));
    MUST(batch_writer_create(&parts.batch_writer, &settings->batch_writer,
                             &parts.batch_writer_metrics, parts.store, parts.journal, parts.jobs,
                             home, &events, NULL));
    MUST(
        batch_writer_recover(parts.batch_writer, &found, &(struct batch_writer_recovery){0}, NULL));
    uint64_t first = batch_writer_applied_sequence(parts.batch_writer) + 1;
    MUST(journal_start_run(parts.journal, FIXED_STORE_ID, first, NULL));
    MUST(batch_writer_start(parts.batch_writer, NULL));
    const struct keyspace_parts keyspace_parts = {parts.cache, parts.journal, parts.batch_writer,
                                                  parts.store, parts.jobs,    home};
    parts.keyspace =
        keyspace_create(&settings->keyspace, &parts.keyspace_metrics, &keyspace_parts, found.empty);
    journal_set_events(parts.journal, home, &journal_events);
    journal_set_on_synced(parts.journal, on_synced, NULL);
}

/* At exit: that a stop works is part of the test, and the folder shall not stay. */
static void server_stop(void)
{
    loop_timer_destroy(cron_timer);
    keyspace_finish_commit(parts.keyspace);
    net_destroy(parts.net);
    parts.net = NULL;
    thread_set_role(THREAD_UNNAMED, "stop");
    keyspace_stop(parts.keyspace);
    MUST(batch_writer_stop(parts.batch_writer, STOP_PATIENCE_MS, NULL));
    job_queue_destroy(parts.jobs);
    mailbox_deliver(loop_mailbox(parts.loop));
    MUST(journal_close(parts.journal, NULL));
    mailbox_deliver(loop_mailbox(parts.loop));
    keyspace_destroy(parts.keyspace);
    info_finish();
    memory_budget_destroy(parts.budget);
    batch_writer_destroy(parts.batch_writer);
    store_close(parts.store);
    cache_destroy(parts.cache);
    dispatch_destroy();
    loop_destroy(parts.loop);
    for (unsigned i = 0; i < disk_count; i++) {
        memory_store_destroy(disks[i].store);
        mem_free(disks[i].folder);
    }
    settings_free(&parts.settings);
    mem_free(socket_path);
    mem_free(store_folder);
    mem_free(journal_folder);
    temp_folder_remove(main_folder);
}

static void server_start(void)
{
    const struct net_hooks hooks = {NULL, on_end_turn, on_ask_acknowledged};
    const char *bad;
    hash_key_seed(1);
    log_set_level(LOG_WARNING + 1);
    main_folder = temp_folder_create();
    store_folder = temp_folder_path(main_folder, "store");
    journal_folder = temp_folder_path(main_folder, "journal");
    socket_path = temp_folder_path(main_folder, "socket");
    ASSERT(command_table_init(NULL, 0, &bad));
    settings_init(&parts.settings);
    mem_free(parts.settings.file);
    parts.settings.file = temp_folder_path(main_folder, "k.conf"); /* for CONFIG REWRITE */
    set_own_options();
    set_option("journal-io", "write");
    set_option("journal-segment-size", "1mb");
    set_option("disk-reserve", "0");
    set_option("enable-debug-command", "yes");
    set_option("unixsocket", socket_path);
    parts.settings.leveldb.write_buffer_bytes = parts.settings.leveldb.block_cache_bytes = 1 << 20;
    parts.executable = parts.data_dir = main_folder;
    parts.started_ms = clock_wall_ms();
    parts.started_us = clock_monotonic_us();
    parts.budget = memory_budget_create(&parts);
    thread_set_role(THREAD_LOOP, "loop");
    MUST(loop_create(&parts.loop, NULL));
    MUST(job_queue_create(&parts.jobs, &parts.settings.jobs, &parts.job_metrics, NULL));
    parts.cache = cache_create(&parts.settings.cache, &parts.cache_metrics);
    dispatch_init();
    open_storage();
    fill_server();
    info_init(&parts);
    metrics_init(&parts);
    config_init(&parts);
    MUST(net_create(&parts.net, parts.loop, &parts.settings.net, &parts.net_metrics, &hooks, NULL));
    MUST(net_listen(parts.net, NULL));
    memory_budget_cron(parts.budget);
    cron_timer = loop_timer_create(parts.loop, CRON_INTERVAL_MS, on_cron, NULL);
    atexit(server_stop);
}

#endif
