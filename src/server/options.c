/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows of the server's own options and of the inert ones. */
#include "server/options.h"

#include <stddef.h>

static const char *const log_levels[] = {"debug", "verbose", "notice", "warning", NULL};
static const char *const debug_permissions[] = {"no", "yes", "local", NULL};

#define STRING(option_name, option_flags, field, fallback, text)                                   \
    {.name = option_name, .kind = OPTION_STRING, .flags = option_flags,                            \
     .offset = offsetof(struct server_options, field), .default_text = fallback, .help = text}

static const struct option server_rows[] = {
    STRING("dir", 0, dir, ".",
           "The data folder: the journal in DIR/journal, LevelDB in DIR/store, and DIR/LOCK, which keeps "
           "a second server out. It is created when it does not exist."),
    STRING("logfile", 0, logfile, "", "Where log lines go; empty: standard output. The file may be renamed "
           "away at any time: the next line opens a new one."),
    {.name = "loglevel", .kind = OPTION_CHOICE, .flags = OPTION_LIVE,
     .offset = offsetof(struct server_options, loglevel), .default_text = "notice",
     .choices = log_levels, .help = "debug, verbose, notice or warning: what is worth a line."},
    STRING("pidfile", 0, pidfile, "", "A file that holds the process id while the server runs; empty: none."),
    {.name = "daemonize", .kind = OPTION_BOOL, .offset = offsetof(struct server_options, daemonize),
     .default_text = "no", .help = "Whether the server goes to the background after it has started. Under "
     "systemd or another supervisor leave it off."},
    STRING("requirepass", OPTION_LIVE | OPTION_SECRET, requirepass, "",
           "The password that clients give with AUTH or HELLO; empty: none is needed. Use a long one: it "
           "can be guessed as fast as the server answers."),
    STRING("rename-command", OPTION_REPEATED | OPTION_MULTI_WORD, rename_command, "",
           "rename-command OLD NEW gives a command another name; NEW \"\" takes it away."),
    {.name = "enable-debug-command", .kind = OPTION_CHOICE,
     .offset = offsetof(struct server_options, enable_debug_command), .default_text = "no",
     .choices = debug_permissions,
     .help = "Who may use DEBUG: no (nobody), yes (everybody), local (connections from this machine)."},
    {.name = "shutdown-timeout", .kind = OPTION_INTEGER, .flags = OPTION_LIVE,
     .offset = offsetof(struct server_options, shutdown_timeout_s), .default_text = "10", .minimum = 0,
     .maximum = 86400, .unit = "seconds",
     .help = "How long a stop may take to answer the clients and to bring the journal into LevelDB. What "
     "is not done by then is done at the next start: the journal keeps it."},
};
const struct option_table server_option_table = {
    "GENERAL", "Where the data is, what is logged, who may connect.", server_rows,
    sizeof server_rows / sizeof *server_rows};

/* --- inert ones: name, Redis's default, reason --- */

#define PERSISTENCE "the journal keeps every write and LevelDB holds the data; see appendfsync"
#define EVICTION "maxmemory bounds memory, never data: nothing is evicted from the data set"
#define ENCODING "the type that it tunes is not there yet, or is kept in another way"
#define REPLICATION "there is no replication yet"
#define CLUSTER "there is no cluster mode yet"
#define THREADS "one thread runs the commands, job workers do the input and output of disks"
#define SCRIPTS "there are no scripts yet"
#define EVENTS "there are no keyspace notifications yet"
#define SLOW "there is no slow log yet"
#define TLS "there is no TLS yet"
#define ACLS "there is only the default user"
#define MEMORY "memory is managed in another way; see maxmemory and the cache options"
#define PROCESS "it has no meaning for this server"

#define INERT(index, inert_name, value, why)                                                       \
    {.name = inert_name, .kind = OPTION_STRING,                                                    \
     .flags = OPTION_INERT | OPTION_LIVE | OPTION_MULTI_WORD | OPTION_HIDDEN,                      \
     .offset = (index) * sizeof(char *), .default_text = value, .help = why}

enum { INERT_BASE = __COUNTER__ + 1 };
#define ROW(name, value, why) INERT(__COUNTER__ - INERT_BASE, name, value, why)

static const struct option inert_rows[] = {
    ROW("save", "", PERSISTENCE),
    ROW("appendonly", "yes", PERSISTENCE),
    ROW("appendfilename", "appendonly.aof", PERSISTENCE),
    ROW("appenddirname", "appendonlydir", PERSISTENCE),
    ROW("no-appendfsync-on-rewrite", "no", PERSISTENCE),
    ROW("auto-aof-rewrite-percentage", "100", PERSISTENCE),
    ROW("auto-aof-rewrite-min-size", "67108864", PERSISTENCE),
    ROW("aof-load-truncated", "yes", PERSISTENCE),
    ROW("aof-use-rdb-preamble", "yes", PERSISTENCE),
    ROW("aof-timestamp-enabled", "no", PERSISTENCE),
    ROW("aof-rewrite-incremental-fsync", "yes", PERSISTENCE),
    ROW("rdb-save-incremental-fsync", "yes", PERSISTENCE),
    ROW("dbfilename", "dump.rdb", PERSISTENCE),
    ROW("rdbcompression", "yes", PERSISTENCE),
    ROW("rdbchecksum", "yes", PERSISTENCE),
    ROW("rdb-del-sync-files", "no", PERSISTENCE),
    ROW("sanitize-dump-payload", "no", PERSISTENCE),
    ROW("stop-writes-on-bgsave-error", "yes", PERSISTENCE),
    ROW("key-load-delay", "0", PERSISTENCE),
    ROW("maxmemory-policy", "noeviction", EVICTION),
    ROW("maxmemory-samples", "5", EVICTION),
    ROW("maxmemory-eviction-tenacity", "10", EVICTION),
    ROW("lfu-log-factor", "10", EVICTION),
    ROW("lfu-decay-time", "1", EVICTION),
    ROW("active-expire-effort", "1", "expiry follows an index; see expire-cycle-ms"),
    ROW("lazyfree-lazy-eviction", "no", MEMORY),
    ROW("lazyfree-lazy-expire", "no", MEMORY),
    ROW("lazyfree-lazy-server-del", "no", MEMORY),
    ROW("lazyfree-lazy-user-del", "no", MEMORY),
    ROW("lazyfree-lazy-user-flush", "no", MEMORY),
    ROW("activedefrag", "no", MEMORY),
    ROW("active-defrag-ignore-bytes", "104857600", MEMORY),
    ROW("active-defrag-threshold-lower", "10", MEMORY),
    ROW("active-defrag-threshold-upper", "100", MEMORY),
    ROW("active-defrag-cycle-min", "1", MEMORY),
    ROW("active-defrag-cycle-max", "25", MEMORY),
    ROW("active-defrag-max-scan-fields", "1000", MEMORY),
    ROW("activerehashing", "yes", MEMORY),
    ROW("jemalloc-bg-thread", "yes", MEMORY),
    ROW("hash-max-listpack-entries", "512", ENCODING),
    ROW("hash-max-ziplist-entries", "512", ENCODING),
    ROW("hash-max-listpack-value", "64", ENCODING),
    ROW("hash-max-ziplist-value", "64", ENCODING),
    ROW("list-max-listpack-size", "-2", ENCODING),
    ROW("list-max-ziplist-size", "-2", ENCODING),
    ROW("list-compress-depth", "0", ENCODING),
    ROW("set-max-intset-entries", "512", ENCODING),
    ROW("zset-max-listpack-entries", "128", ENCODING),
    ROW("zset-max-ziplist-entries", "128", ENCODING),
    ROW("zset-max-listpack-value", "64", ENCODING),
    ROW("zset-max-ziplist-value", "64", ENCODING),
    ROW("hll-sparse-max-bytes", "3000", "it is fixed at Redis's default"),
    ROW("stream-node-max-bytes", "4096", ENCODING),
    ROW("stream-node-max-entries", "100", ENCODING),
    ROW("slowlog-log-slower-than", "10000", SLOW),
    ROW("slowlog-max-len", "128", SLOW),
    ROW("latency-monitor-threshold", "0", SLOW),
    ROW("latency-tracking", "yes", SLOW),
    ROW("latency-tracking-info-percentiles", "50 99 99.9", SLOW),
    ROW("notify-keyspace-events", "", EVENTS),
    ROW("lua-time-limit", "5000", SCRIPTS),
    ROW("busy-reply-threshold", "5000", SCRIPTS),
    ROW("cluster-enabled", "no", CLUSTER),
    ROW("cluster-config-file", "nodes.conf", CLUSTER),
    ROW("cluster-node-timeout", "15000", CLUSTER),
    ROW("cluster-require-full-coverage", "yes", CLUSTER),
    ROW("cluster-allow-reads-when-down", "no", CLUSTER),
    ROW("replicaof", "", REPLICATION),
    ROW("slaveof", "", REPLICATION),
    ROW("masterauth", "", REPLICATION),
    ROW("masteruser", "", REPLICATION),
    ROW("replica-serve-stale-data", "yes", REPLICATION),
    ROW("slave-serve-stale-data", "yes", REPLICATION),
    ROW("replica-read-only", "yes", REPLICATION),
    ROW("slave-read-only", "yes", REPLICATION),
    ROW("replica-priority", "100", REPLICATION),
    ROW("slave-priority", "100", REPLICATION),
    ROW("replica-announce-ip", "", REPLICATION),
    ROW("replica-announce-port", "0", REPLICATION),
    ROW("replica-lazy-flush", "no", REPLICATION),
    ROW("replica-ignore-maxmemory", "yes", REPLICATION),
    ROW("repl-diskless-sync", "yes", REPLICATION),
    ROW("repl-diskless-sync-delay", "5", REPLICATION),
    ROW("repl-diskless-load", "disabled", REPLICATION),
    ROW("repl-disable-tcp-nodelay", "no", REPLICATION),
    ROW("repl-backlog-size", "1048576", REPLICATION),
    ROW("repl-backlog-ttl", "3600", REPLICATION),
    ROW("repl-ping-replica-period", "10", REPLICATION),
    ROW("repl-timeout", "60", REPLICATION),
    ROW("min-replicas-to-write", "0", REPLICATION),
    ROW("min-replicas-max-lag", "10", REPLICATION),
    ROW("io-threads", "1", THREADS),
    ROW("io-threads-do-reads", "no", THREADS),
    ROW("hz", "10", THREADS),
    ROW("dynamic-hz", "yes", THREADS),
    ROW("tls-port", "0", TLS),
    ROW("aclfile", "", ACLS),
    ROW("acllog-max-len", "128", ACLS),
    ROW("acl-pubsub-default", "resetchannels", ACLS),
    ROW("tracking-table-max-keys", "1000000", "there is no client-side caching yet"),
    ROW("supervised", "no", PROCESS),
    ROW("syslog-enabled", "no", PROCESS),
    ROW("syslog-ident", "redis", PROCESS),
    ROW("syslog-facility", "local0", PROCESS),
    ROW("always-show-logo", "no", PROCESS),
    ROW("set-proc-title", "yes", PROCESS),
    ROW("proc-title-template", "{title} {listen-addr} {server-mode}", PROCESS),
    ROW("crash-log-enabled", "yes", PROCESS),
    ROW("crash-memcheck-enabled", "yes", PROCESS),
    ROW("use-exit-on-panic", "no", PROCESS),
    ROW("disable-thp", "yes", PROCESS),
    ROW("oom-score-adj", "no", PROCESS),
    ROW("oom-score-adj-values", "0 200 800", PROCESS),
    ROW("server_cpulist", "", PROCESS),
    ROW("bio_cpulist", "", PROCESS),
    ROW("aof_rewrite_cpulist", "", PROCESS),
    ROW("bgsave_cpulist", "", PROCESS),
    ROW("ignore-warnings", "", PROCESS),
    ROW("enable-protected-configs", "no", PROCESS),
    ROW("enable-module-command", "no", PROCESS),
    ROW("socket-mark-id", "0", PROCESS),
    ROW("bind-source-addr", "", PROCESS),
    ROW("shutdown-on-sigint", "default", PROCESS),
    ROW("shutdown-on-sigterm", "default", PROCESS),
    ROW("propagation-error-behavior", "ignore", PROCESS),
    ROW("locale-collate", "", PROCESS),
};
_Static_assert(sizeof inert_rows / sizeof *inert_rows <= INERT_OPTIONS_MAX, "room for all");
const struct option_table inert_option_table = {
    "REDIS OPTIONS WITHOUT MEANING HERE", "", inert_rows, sizeof inert_rows / sizeof *inert_rows};
