/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The composition root.
 *
 *   LOADING -> SERVING -> DRAINING -> (torn down)         a failure of start-up: LOADING -> torn down
 *
 * LOADING: the loop runs and answers -LOADING while a thread opens the storage. DRAINING: nothing is
 * accepted or read any more, what was read is answered, then the loop ends. Loop thread, but for the
 * start-up thread, which touches only what startup.c is given. */
#include "server/server.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "commands/notice.h"
#include "commands/transaction.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <string.h>
#include <unistd.h>

enum { CRON_MS = 100, STORE_STOP_MIN_MS = 1000, OWN_DESCRIPTORS = 256 };

static struct {
    struct parts *parts;
    enum { LOADING, SERVING, DRAINING } phase;
    unsigned long startup_thread;
    bool startup_joined;
    struct letter startup_done;
    struct loop_timer *cron;
    struct loop_watch *signals;
    int signal_fd;
    int64_t drain_until_us, stop_until_us; /* clients are answered, and the journal applied, so long */
    bool hurry; /* a second signal, NOSAVE: stop without applying, the next start does it */
    int exit_code;
    enum status startup_status;
    struct error startup_error;
    bool start_empty;
    int64_t last_save_s, marked_sequence; /* when the marker was last seen to move, and to where */
    bool journal_is_ill;
} state;

const char *server_ok_means(int appendfsync)
{
    switch (appendfsync) {
    case JOURNAL_ALWAYS: return "OK means: kept, even if the machine loses power now";
    case JOURNAL_EVERYSEC:
        return "OK means: kept if this process dies now; if the machine does, all but about the last second";
    default: return "OK means: kept if this process dies now; if the machine does, the system decides";
    }
}

bool server_is_stopping(void)
{
    return state.phase == DRAINING;
}

struct metric_part parts_metrics(struct parts *parts, unsigned index)
{
    const struct metric_part all[METRIC_PARTS] = {
        {&dispatch_metric_table, &dispatch_metrics},
        {&net_metric_table, &parts->net_metrics},
        {&http_metric_table, &parts->http_metrics},
        {&keyspace_metric_table, &parts->keyspace_metrics},
        {&cache_metric_table, &parts->cache_metrics},
        {&journal_metric_table, &parts->journal_metrics},
        {&batch_writer_metric_table, &parts->batch_writer_metrics},
        {&job_metric_table, &parts->job_metrics},
        {&leveldb_metric_table, &parts->leveldb_metrics},
    };
    return all[index];
}

/* --- events --- */

static void on_applied(void *context, uint64_t sequence, const struct settlement *settlements,
                       size_t count)
{
    struct parts *parts = context;
    if (parts->keyspace) keyspace_on_applied(parts->keyspace, sequence, settlements, count);
}

static void on_store_health(void *context, enum status status, const char *text)
{
    struct parts *parts = context;
    if (status == parts->store_health && strcmp(text, parts->store_health_text) == 0) return;
    parts->store_health = status;
    if (parts->keyspace) keyspace_on_store_health(parts->keyspace, status, text);
    (void)snprintf(parts->store_health_text, sizeof parts->store_health_text, "%s", text);
}

static void on_acknowledged(void *context)
{
    struct parts *parts = context;
    notice_acknowledged();
    if (parts->net) net_acknowledged(parts->net);
}

static void on_space(void *context)
{
    struct parts *parts = context;
    if (parts->keyspace) keyspace_on_space(parts->keyspace);
}

static void on_journal_health(void *context)
{
    struct parts *parts = context;
    struct error error = {0};
    bool is_ill = journal_health(parts->journal, &error) != STATUS_OK;
    if (is_ill == state.journal_is_ill) return;
    state.journal_is_ill = is_ill;
    if (is_ill)
        log_write(LOG_WARNING, "the journal takes no writes: %s", error.text);
    else
        log_write(LOG_NOTICE, "the journal takes writes again");
}

static void on_synced(void *context)
{
    batch_writer_wake(((struct parts *)context)->batch_writer);
}

static int64_t end_turn(void *context)
{
    struct parts *parts = context;
    return parts->keyspace ? keyspace_end_turn(parts->keyspace) : -1;
}

static uint64_t acknowledged(void *context)
{
    struct parts *parts = context;
    return parts->keyspace ? journal_acknowledged_sequence(parts->journal) : UINT64_MAX;
}

/* --- stopping --- */

static void begin_drain(void)
{
    if (state.phase == DRAINING) {
        state.hurry = true;
        loop_stop(state.parts->loop);
        return;
    }
    if (state.phase == LOADING) {
        log_write(LOG_NOTICE, "stopping: what the journal holds is left to the next start");
        startup_stop(state.parts);
        loop_stop(state.parts->loop);
        state.phase = DRAINING;
        return;
    }
    state.phase = DRAINING;
    state.drain_until_us =
        clock_monotonic_us() + state.parts->settings.server.shutdown_timeout_s * 1000000;
    state.stop_until_us = state.drain_until_us;
    log_write(LOG_NOTICE, "stopping: answering what was read");
    dispatch_unpause();
    net_drain(state.parts->net);
}

static bool shutdown_from_client(unsigned flags, const char **error)
{
    (void)error;
    begin_drain();
    if (flags & SHUTDOWN_NOW) state.drain_until_us = clock_monotonic_us();
    if (flags & SHUTDOWN_NOSAVE) state.hurry = true;
    return true;
}

static void shutdown_abort(struct command_run *run)
{
    /* A stop cannot be taken back once clients are being sent away. */
    reply_error(run->reply, "ERR No shutdown in progress.");
}

static void on_signal(void *context)
{
    struct signalfd_siginfo info;
    (void)context;
    while (read(state.signal_fd, &info, sizeof info) == sizeof info) {
        log_write(LOG_NOTICE, "received %s", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
        begin_drain();
    }
}

/* --- serving --- */

static int64_t last_save_s(void);

/* Nothing has come in and nothing was applied since the last look: then once a second is enough. */
static bool is_quiet(const struct parts *parts)
{
    enum { LOOKS = 1000 / CRON_MS };
    static uint64_t before;
    static unsigned looks;
    uint64_t now = counter_get(&parts->net_metrics.received_bytes) +
                   counter_get(&parts->net_metrics.sent_bytes) +
                   counter_get(&parts->net_metrics.connections_accepted) +
                   counter_get(&parts->net_metrics.connections_closed) +
                   (uint64_t)gauge_get(&parts->batch_writer_metrics.applied_sequence);
    looks = now == before && state.phase == SERVING ? looks + 1 : 0;
    before = now;
    return looks % LOOKS != 0;
}

static void cron(void *context)
{
    struct parts *parts = context;
    if (!is_quiet(parts)) {
        memory_budget_cron(parts->budget);
        info_cron();
    }
    latency_watch_cron(parts);
    last_save_s();
    if (parts->keyspace) {
        keyspace_cron(parts->keyspace);
        batch_writer_wake(parts->batch_writer);
    }
    if (state.phase == DRAINING &&
        (net_is_drained(parts->net) || clock_monotonic_us() >= state.drain_until_us))
        loop_stop(parts->loop);
}

static void say_ready(struct parts *parts)
{
    struct buffer listeners = {0};
    net_describe_listeners(parts->net, &listeners);
    buffer_append(&listeners, "", 1);
    /* Tools that start a Redis wait for the first four words. */
    log_write(LOG_NOTICE,
              "Ready to accept connections on %s, data in %s, appendfsync %s (journal-io %s). %s.",
              listeners.data, parts->data_dir,
              parts->settings.journal.appendfsync == JOURNAL_ALWAYS     ? "always"
              : parts->settings.journal.appendfsync == JOURNAL_EVERYSEC ? "everysec"
                                                                        : "no",
              journal_io_name(parts->journal), server_ok_means(parts->settings.journal.appendfsync));
    buffer_free(&listeners);
}

/* The storage is open: the keyspace begins. */
static void start_serving(struct parts *parts)
{
    const struct journal_events journal_events = {parts, on_acknowledged, on_space,
                                                  on_journal_health};
    const struct keyspace_parts keyspace_parts = {
        .cache = parts->cache, .journal = parts->journal, .batch_writer = parts->batch_writer,
        .store = parts->store, .jobs = parts->jobs, .loop = loop_mailbox(parts->loop)};
    parts->keyspace = keyspace_create(&parts->settings.keyspace, &parts->keyspace_metrics,
                                      &keyspace_parts, state.start_empty);
    server.keyspace = parts->keyspace;
    journal_set_events(parts->journal, loop_mailbox(parts->loop), &journal_events);
    journal_set_on_synced(parts->journal, on_synced, parts);
    memory_budget_cron(parts->budget);
    (void)memory_budget_usage(parts->budget); /* so that the first INFO has it */
    parts->startup_bytes = mem_allocated_bytes();
    state.marked_sequence = gauge_get(&parts->journal_metrics.marked_sequence);
    server.loading = false;
    state.phase = SERVING;
    say_ready(parts);
    if (parts->on_ready) parts->on_ready();
}

static void startup_over(struct letter *letter)
{
    (void)letter;
    if (state.startup_joined) return; /* we are stopping: tear_down has waited for it */
    pthread_join((pthread_t)state.startup_thread, NULL);
    state.startup_joined = true;
    if (atomic_load(&state.parts->loading_stops)) return;
    if (state.startup_status != STATUS_OK) {
        log_write(LOG_WARNING, "cannot start: %s", state.startup_error.text);
        if (state.startup_status == STATUS_CORRUPT)
            log_write(LOG_WARNING, "kelvin-check %s tells all that is damaged, and can repair it",
                      state.parts->data_dir);
        state.exit_code = 1;
        loop_stop(state.parts->loop);
        return;
    }
    if (state.phase == LOADING) start_serving(state.parts);
}

static void startup_thread(void *argument)
{
    struct parts *parts = argument;
    const struct batch_writer_events events = {parts, on_applied, on_store_health};
    state.startup_status = startup_run(parts, &events, &state.start_empty, &state.startup_error);
    state.startup_done.deliver = startup_over;
    mailbox_put(loop_mailbox(parts->loop), &state.startup_done);
}

/* --- what commands ask of the server --- */

static const char *password(void)
{
    return state.parts->settings.server.requirepass;
}

/* Looked at by the cron and by whoever asks, so that it is right after a CHECKPOINT. */
static int64_t last_save_s(void)
{
    int64_t marked = gauge_get(&state.parts->journal_metrics.marked_sequence);
    if (marked != state.marked_sequence && state.phase != LOADING) {
        state.last_save_s = clock_wall_ms() / 1000;
        state.marked_sequence = marked;
    }
    return state.last_save_s;
}

static bool is_local(const struct session *session)
{
    struct session_io io;
    session->operations->describe((struct session *)(uintptr_t)session, &io);
    return io.unix_socket || strncmp(io.address, "127.", 4) == 0 ||
           strncmp(io.address, "[::1]", 5) == 0;
}

static enum debug_permission module_permission(void)
{
    void *options;
    const struct option *option = settings_find(
        &state.parts->settings, SLICE_LITERAL("enable-module-command"), &options);
    struct buffer word = {0};
    option_format(option, options, &word);
    enum debug_permission who = DEBUG_NO;
    if (slice_equal_nocase(buffer_slice(&word), "yes")) who = DEBUG_YES;
    if (slice_equal_nocase(buffer_slice(&word), "local")) who = DEBUG_LOCAL;
    buffer_free(&word);
    return who;
}

static bool is_permitted(const struct session *session, bool debug)
{
    int who = debug ? state.parts->settings.server.enable_debug_command : (int)module_permission();
    return who == DEBUG_LOCAL ? is_local(session) : who == DEBUG_YES;
}

static void enable_active_expire(bool on)
{
    state.parts->settings.keyspace.active_expire = on;
}

static void memory_doctor(struct buffer *out)
{
    const struct mem_usage *usage = memory_budget_usage(state.parts->budget);
    uint64_t most = memory_budget_maxmemory(state.parts->budget);
    if (usage->rss_anonymous > most + most / 4)
        buffer_append_format(out, "The process holds %zu bytes where maxmemory allows %llu: look at "
                             "fragmentation in INFO memory, and at clients with large buffers.",
                             usage->rss_anonymous, (unsigned long long)most);
    else
        buffer_append_text(out, "Nothing to complain about: memory is within maxmemory.");
}

static void memory_stats(struct command_run *run)
{
    const struct mem_usage *usage = memory_budget_usage(state.parts->budget);
    reply_map(run->reply, 8);
    reply_bulk_text(run->reply, "peak.allocated");
    reply_integer(run->reply, (int64_t)memory_budget_peak(state.parts->budget));
    reply_bulk_text(run->reply, "total.allocated");
    reply_integer(run->reply, (int64_t)mem_allocated_bytes());
    reply_bulk_text(run->reply, "clients.normal");
    reply_integer(run->reply, (int64_t)net_client_memory_bytes(state.parts->net));
    reply_bulk_text(run->reply, "cache.bytes");
    reply_integer(run->reply, (int64_t)cache_used_bytes(state.parts->cache));
    reply_bulk_text(run->reply, "cache.budget");
    reply_integer(run->reply, (int64_t)cache_budget_bytes(state.parts->cache));
    reply_bulk_text(run->reply, "allocator.active");
    reply_integer(run->reply, (int64_t)usage->active);
    reply_bulk_text(run->reply, "rss.anonymous");
    reply_integer(run->reply, (int64_t)usage->rss_anonymous);
    reply_bulk_text(run->reply, "rss.file");
    reply_integer(run->reply, (int64_t)usage->rss_file);
}

static void fill_server(struct parts *parts)
{
    server.info = info_append;
    server.config = config_run;
    server.shutdown = shutdown_from_client;
    server.shutdown_abort = shutdown_abort;
    server.password = password;
    server.last_save_s = last_save_s;
    server.is_permitted = is_permitted;
    server.enable_active_expire = enable_active_expire;
    server.memory_doctor = memory_doctor;
    server.memory_stats = memory_stats;
    server.loading = true;
    server.options = &parts->settings.commands;
    server.is_secret_option = config_is_secret;
    server.proto_max_bulk_bytes = parts->settings.net.proto_max_bulk_bytes;
    state.last_save_s = clock_wall_ms() / 1000;
    info_init(parts);
    metrics_init(parts);
    config_init(parts);
    notice_refresh();
}

/* --- setting up and tearing down --- */

bool server_raise_descriptors(const struct settings *settings, int64_t *possible_clients)
{
    int64_t others = settings->leveldb.max_open_files + OWN_DESCRIPTORS;
    rlim_t wanted = (rlim_t)(settings->net.maxclients + others);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return true;
    struct rlimit raised = {wanted, limit.rlim_max > wanted ? limit.rlim_max : wanted};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return true;
    raised = (struct rlimit){limit.rlim_max, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &raised);
    *possible_clients = (int64_t)limit.rlim_max > others ? (int64_t)limit.rlim_max - others : 1;
    return false;
}

/* As Redis does: serves the clients that it can. */
static void reserve_descriptors(struct settings *settings)
{
    int64_t possible;
    if (server_raise_descriptors(settings, &possible)) return;
    log_write(LOG_WARNING,
              "the system lets this process open too few files: maxclients is %lld instead of %lld",
              (long long)possible, (long long)settings->net.maxclients);
    settings->net.maxclients = possible;
}

static enum status watch_signals(struct parts *parts, struct error *error)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    state.signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (state.signal_fd < 0) return error_set_errno(error, errno, "cannot watch signals");
    return loop_watch_create(&state.signals, parts->loop, state.signal_fd, on_signal, parts, error);
}

static enum status set_up(struct parts *parts, struct error *error)
{
    struct settings *settings = &parts->settings;
    const struct net_hooks hooks = {parts, end_turn, acknowledged};
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = (uint64_t)clock_wall_us();
    hash_key_seed(seed);
    reserve_descriptors(settings);
    parts->budget = memory_budget_create(parts);
    uint64_t maxmemory = memory_budget_maxmemory(parts->budget);
    if (!settings->block_cache_given)
        settings->leveldb.block_cache_bytes = memory_budget_block_cache(maxmemory);
    if (!settings->write_buffer_given)
        settings->leveldb.write_buffer_bytes = memory_budget_write_buffer(maxmemory);
    disk_sizes_fit(settings, parts->data_dir);
    enum status status = loop_create(&parts->loop, error);
    if (status == STATUS_OK) status = watch_signals(parts, error);
    if (status == STATUS_OK)
        status = job_queue_create(&parts->jobs, &settings->jobs, &parts->job_metrics, error);
    if (status != STATUS_OK) return status;
    parts->cache = cache_create(&settings->cache, &parts->cache_metrics);
    dispatch_init();
    fill_server(parts);
    status = net_create(&parts->net, parts->loop, &settings->net, &parts->net_metrics, &hooks, error);
    if (status == STATUS_OK) status = net_listen(parts->net, error);
    if (status == STATUS_OK)
        status = http_create(&parts->http, parts->loop, &settings->http, &parts->http_metrics, error);
    if (status != STATUS_OK) return status;
    memory_budget_cron(parts->budget);
    state.cron = loop_timer_create(parts->loop, CRON_MS, cron, parts);
    return thread_start(&state.startup_thread, THREAD_UNNAMED, "kelvin-start", startup_thread, parts,
                        error);
}

static void end_at_once(int number)
{
    (void)number;
    /* NOLINTNEXTLINE(bugprone-signal-handler): it calls write(2) and nothing else */
    log_emergency("stopped at once by a second signal: the next start applies the journal");
    _exit(1);
}

/* The loop is over and reads no signals any more; what follows may wait for a disk. */
static void let_signals_hurry(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGTERM, end_at_once);
    signal(SIGINT, end_at_once);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int64_t patience_ms(void)
{
    int64_t left_ms = (state.stop_until_us - clock_monotonic_us()) / 1000;
    if (state.hurry) return 0;
    return left_ms > STORE_STOP_MIN_MS ? left_ms : STORE_STOP_MIN_MS;
}

/* Once the journal is applied, or the time for that over, nothing that the store does matters any more: it
 * is cancelled, which lets jobs and compactions end soon. The journal's last sync is waited for. */
static void stop_storage(struct parts *parts)
{
    struct error error = {0};
    if (parts->keyspace) keyspace_stop(parts->keyspace);
    if (parts->batch_writer &&
        batch_writer_stop(parts->batch_writer, patience_ms(), &error) != STATUS_OK)
        log_write(LOG_NOTICE, "the next start goes on with the journal: %s", error.text);
    if (parts->store) store_cancel(parts->store);
    job_queue_destroy(parts->jobs);
    if (parts->loop) mailbox_deliver(loop_mailbox(parts->loop));
    if (parts->journal && journal_close(parts->journal, &error) != STATUS_OK) {
        log_write(LOG_WARNING, "the journal could not be closed cleanly: %s", error.text);
        state.exit_code = 1;
    }
    if (parts->loop) mailbox_deliver(loop_mailbox(parts->loop));
}

static void tear_down(struct parts *parts)
{
    if (state.startup_thread && !state.startup_joined) {
        pthread_join((pthread_t)state.startup_thread, NULL);
        state.startup_joined = true;
        if (state.startup_status != STATUS_OK && !atomic_load(&parts->loading_stops)) state.exit_code = 1;
    }
    loop_timer_destroy(state.cron);
    if (parts->keyspace) keyspace_finish_commit(parts->keyspace);
    http_destroy(parts->http);
    net_destroy(parts->net);
    parts->net = NULL;
    let_signals_hurry();
    stop_storage(parts);
    keyspace_destroy(parts->keyspace);
    server.keyspace = NULL;
    info_finish();
    memory_budget_destroy(parts->budget);
    batch_writer_destroy(parts->batch_writer);
    store_close(parts->store);
    if (parts->cache) cache_destroy(parts->cache);
    dispatch_destroy();
    loop_watch_destroy(state.signals);
    if (state.signal_fd >= 0) close(state.signal_fd);
    if (parts->loop) loop_destroy(parts->loop);
}

int server_serve(struct parts *parts)
{
    struct error error = {0};
    state.parts = parts;
    state.signal_fd = -1;
    parts->started_ms = clock_wall_ms();
    parts->started_us = clock_monotonic_us();
    enum status status = set_up(parts, &error);
    if (status == STATUS_OK) {
        thread_set_role(THREAD_LOOP, "kelvin-loop");
        loop_run(parts->loop);
        thread_set_role(THREAD_UNNAMED, "kelvin-stop");
    } else {
        log_write(LOG_WARNING, "cannot start: %s", error.text);
        state.exit_code = 1;
    }
    tear_down(parts);
    if (state.exit_code == 0) log_write(LOG_NOTICE, "stopped");
    return state.exit_code;
}
