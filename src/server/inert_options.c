/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Options of Redis that have no meaning here: a row each with Redis's name and default and the reason,
 * which the warning tells. Any text that Redis would take is kept and shown. */
#include "server/options.h"

#include <stdio.h>

static const char *const policies[] = {"volatile-lru", "volatile-lfu", "volatile-random",
                                       "volatile-ttl", "allkeys-lru", "allkeys-lfu",
                                       "allkeys-random", "noeviction", NULL};
static const char *const dump_checks[] = {"no", "yes", "clients", NULL};
static const char *const supervisors[] = {"upstart", "systemd", "auto", "no", NULL};
static const char *const oom_scores[] = {"no", "yes", "relative", "absolute", NULL};
static const char *const permissions[] = {"no", "yes", "local", NULL};
static const char *const diskless_loads[] = {"disabled", "on-empty-db", "swapdb", NULL};

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
#define MODULES "there are no modules: what loads one fails in any case"
#define PROCESS "it has no meaning for this server"

#define INERT(index, inert_name, value, live, words, why)                                          \
    {.name = inert_name, .kind = OPTION_STRING,                                                    \
     .flags = OPTION_INERT | OPTION_MULTI_WORD | OPTION_HIDDEN | (live),                           \
     .offset = (index) * sizeof(char *), .default_text = value, .choices = words, .help = why}

enum { INERT_BASE = __COUNTER__ + 1 };
#define NEXT (__COUNTER__ - INERT_BASE)
#define ROW(name, value, why) INERT(NEXT, name, value, OPTION_LIVE, NULL, why)
#define FIXED(name, value, why) INERT(NEXT, name, value, 0, NULL, why) /* CONFIG SET refuses it */
#define WORDS(name, value, words, why) INERT(NEXT, name, value, OPTION_LIVE, words, why)

static const struct option inert_rows[] = {
    ROW("save", "", PERSISTENCE),
    ROW("appendonly", "yes", PERSISTENCE),
    FIXED("appendfilename", "appendonly.aof", PERSISTENCE),
    FIXED("appenddirname", "appendonlydir", PERSISTENCE),
    ROW("no-appendfsync-on-rewrite", "no", PERSISTENCE),
    ROW("auto-aof-rewrite-percentage", "100", PERSISTENCE),
    ROW("auto-aof-rewrite-min-size", "67108864", PERSISTENCE),
    ROW("aof-load-truncated", "yes", PERSISTENCE),
    ROW("aof-use-rdb-preamble", "yes", PERSISTENCE),
    ROW("aof-timestamp-enabled", "no", PERSISTENCE),
    ROW("aof-rewrite-incremental-fsync", "yes", PERSISTENCE),
    ROW("rdb-save-incremental-fsync", "yes", PERSISTENCE),
    FIXED("dbfilename", "dump.rdb", PERSISTENCE),
    ROW("rdbcompression", "yes", PERSISTENCE),
    FIXED("rdbchecksum", "yes", PERSISTENCE),
    ROW("rdb-del-sync-files", "no", PERSISTENCE),
    WORDS("sanitize-dump-payload", "no", dump_checks, PERSISTENCE),
    ROW("stop-writes-on-bgsave-error", "yes", PERSISTENCE),
    WORDS("maxmemory-policy", "noeviction", policies, EVICTION),
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
    FIXED("cluster-enabled", "no", CLUSTER),
    FIXED("cluster-config-file", "nodes.conf", CLUSTER),
    ROW("cluster-node-timeout", "15000", CLUSTER),
    ROW("cluster-require-full-coverage", "yes", CLUSTER),
    ROW("cluster-allow-reads-when-down", "no", CLUSTER),
    FIXED("replicaof", "", REPLICATION),
    FIXED("slaveof", "", REPLICATION),
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
    WORDS("repl-diskless-load", "disabled", diskless_loads, REPLICATION),
    ROW("repl-disable-tcp-nodelay", "no", REPLICATION),
    ROW("repl-backlog-size", "1048576", REPLICATION),
    ROW("repl-backlog-ttl", "3600", REPLICATION),
    ROW("repl-ping-replica-period", "10", REPLICATION),
    ROW("repl-timeout", "60", REPLICATION),
    ROW("min-replicas-to-write", "0", REPLICATION),
    ROW("min-replicas-max-lag", "10", REPLICATION),
    FIXED("io-threads", "1", THREADS),
    FIXED("io-threads-do-reads", "no", THREADS),
    ROW("hz", "10", THREADS),
    ROW("dynamic-hz", "yes", THREADS),
    ROW("tls-port", "0", TLS),
    FIXED("aclfile", "", ACLS),
    ROW("acl-pubsub-default", "resetchannels", ACLS),
    ROW("tracking-table-max-keys", "1000000", "there is no client-side caching yet"),
    INERT(NEXT, "supervised", "no", 0, supervisors, PROCESS),
    FIXED("syslog-enabled", "no", PROCESS),
    FIXED("syslog-ident", "redis", PROCESS),
    FIXED("syslog-facility", "local0", PROCESS),
    FIXED("always-show-logo", "no", PROCESS),
    FIXED("set-proc-title", "yes", PROCESS),
    ROW("proc-title-template", "{title} {listen-addr} {server-mode}", PROCESS),
    ROW("crash-log-enabled", "yes", PROCESS),
    ROW("crash-memcheck-enabled", "yes", PROCESS),
    ROW("use-exit-on-panic", "no", PROCESS),
    FIXED("disable-thp", "yes", PROCESS),
    WORDS("oom-score-adj", "no", oom_scores, PROCESS),
    ROW("oom-score-adj-values", "0 200 800", PROCESS),
    FIXED("server_cpulist", "", PROCESS),
    FIXED("bio_cpulist", "", PROCESS),
    FIXED("aof_rewrite_cpulist", "", PROCESS),
    FIXED("bgsave_cpulist", "", PROCESS),
    ROW("ignore-warnings", "", PROCESS),
    INERT(NEXT, "enable-protected-configs", "no", 0, permissions, PROCESS),
    INERT(NEXT, "enable-module-command", "no", 0, permissions, MODULES),
    FIXED("socket-mark-id", "0", PROCESS),
    ROW("bind-source-addr", "", PROCESS),
    ROW("shutdown-on-sigint", "default", PROCESS),
    ROW("shutdown-on-sigterm", "default", PROCESS),
    ROW("propagation-error-behavior", "ignore", PROCESS),
    ROW("aof-disable-auto-gc", "no", PERSISTENCE),
    ROW("cluster-allow-pubsubshard-when-down", "yes", CLUSTER),
    ROW("cluster-allow-replica-migration", "yes", CLUSTER),
    ROW("cluster-announce-bus-port", "0", CLUSTER),
    ROW("cluster-announce-hostname", "", CLUSTER),
    ROW("cluster-announce-ip", "", CLUSTER),
    ROW("cluster-announce-port", "0", CLUSTER),
    ROW("cluster-announce-tls-port", "0", CLUSTER),
    ROW("cluster-link-sendbuf-limit", "0", CLUSTER),
    ROW("cluster-migration-barrier", "1", CLUSTER),
    FIXED("cluster-port", "0", CLUSTER),
    ROW("cluster-preferred-endpoint-type", "ip", CLUSTER),
    ROW("cluster-replica-no-failover", "no", CLUSTER),
    ROW("cluster-replica-validity-factor", "10", CLUSTER),
    ROW("cluster-slave-no-failover", "no", CLUSTER),
    ROW("cluster-slave-validity-factor", "10", CLUSTER),
    ROW("min-slaves-to-write", "0", REPLICATION),
    ROW("min-slaves-max-lag", "10", REPLICATION),
    ROW("repl-diskless-sync-max-replicas", "0", REPLICATION),
    ROW("repl-ping-slave-period", "10", REPLICATION),
    ROW("replica-announced", "yes", REPLICATION),
    ROW("replica-ignore-disk-write-errors", "no", REPLICATION),
    ROW("slave-announce-ip", "", REPLICATION),
    ROW("slave-announce-port", "0", REPLICATION),
    ROW("slave-ignore-maxmemory", "yes", REPLICATION),
    ROW("slave-lazy-flush", "no", REPLICATION),
    ROW("tls-auth-clients", "yes", TLS),
    ROW("tls-ca-cert-dir", "", TLS),
    ROW("tls-ca-cert-file", "", TLS),
    ROW("tls-cert-file", "", TLS),
    ROW("tls-ciphers", "", TLS),
    ROW("tls-ciphersuites", "", TLS),
    ROW("tls-client-cert-file", "", TLS),
    ROW("tls-client-key-file", "", TLS),
    ROW("tls-client-key-file-pass", "", TLS),
    ROW("tls-cluster", "no", TLS),
    ROW("tls-dh-params-file", "", TLS),
    ROW("tls-key-file", "", TLS),
    ROW("tls-key-file-pass", "", TLS),
    ROW("tls-prefer-server-ciphers", "no", TLS),
    ROW("tls-protocols", "", TLS),
    ROW("tls-replication", "no", TLS),
    ROW("tls-session-cache-size", "20480", TLS),
    ROW("tls-session-cache-timeout", "300", TLS),
    ROW("tls-session-caching", "yes", TLS),
};
_Static_assert(sizeof inert_rows / sizeof *inert_rows <= INERT_OPTIONS_MAX, "room for all");
const struct option_table inert_option_table = {
    "REDIS OPTIONS WITHOUT MEANING HERE", "", inert_rows, sizeof inert_rows / sizeof *inert_rows};

/* --- checking --- */

static bool is_number(struct slice text)
{
    int64_t value;
    return slice_to_int64(text, &value) || option_parse_bytes(text, &value);
}

/* Pairs of seconds and changes, or nothing. */
static enum status check_save(struct slice text, struct error *error)
{
    struct words words = {0};
    bool good = option_split_line(text, &words) && words.count % 2 == 0;
    if (words.count == 1 && words.items[0].size == 0) good = true;
    for (size_t i = 0; good && i < words.count; i++) {
        int64_t value;
        good = slice_to_int64(words.items[i], &value) && value >= (i % 2 == 0);
    }
    option_free_words(&words);
    return good ? STATUS_OK : error_set(error, STATUS_INVALID, "Invalid save parameters");
}

static enum status check_word(const struct option *option, struct slice text, struct error *error)
{
    char names[256] = "";
    size_t used = 0;
    for (unsigned i = 0; option->choices[i]; i++) {
        if (slice_equal_nocase(text, option->choices[i])) return STATUS_OK;
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 option->choices[i]);
    }
    return error_set(error, STATUS_INVALID, "argument(s) must be one of the following: %s", names);
}

enum status inert_option_check(const struct option *option, struct slice text, struct error *error)
{
    const char *fallback = option->default_text;
    if (strcmp(option->name, "save") == 0) return check_save(text, error);
    if (option->choices) return check_word(option, text, error);
    if (strcmp(fallback, "yes") == 0 || strcmp(fallback, "no") == 0) {
        if (slice_equal_nocase(text, "yes") || slice_equal_nocase(text, "no")) return STATUS_OK;
        return error_set(error, STATUS_INVALID, "argument must be 'yes' or 'no'");
    }
    if (is_number(slice_from_text(fallback)) && !is_number(text))
        return error_set(error, STATUS_INVALID, "argument couldn't be parsed into an integer");
    return STATUS_OK;
}
