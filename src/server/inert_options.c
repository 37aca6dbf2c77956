/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Options of Redis that have no meaning here: a row each with Redis's name, kind, bounds, default, and
 * the reason, which the warning tells. What Redis would take is kept and shown as Redis shows
 * it, what it would refuse is refused with its text. */
#include "server/options.h"

#include <ctype.h>

static const char *const policies[] = {"volatile-lru", "volatile-lfu", "volatile-random",
                                       "volatile-ttl", "allkeys-lru", "allkeys-lfu",
                                       "allkeys-random", "noeviction", NULL};
static const char *const dump_checks[] = {"no", "yes", "clients", NULL};
static const char *const supervisors[] = {"upstart", "systemd", "auto", "no", NULL};
static const char *const facilities[] = {"user",   "local0", "local1", "local2", "local3",
                                         "local4", "local5", "local6", "local7", NULL};
static const char *const oom_scores[] = {"no", "yes", "relative", "absolute", NULL};
static const char *const permissions[] = {"no", "yes", "local", NULL};
static const char *const diskless_loads[] = {"disabled", "on-empty-db", "swapdb", NULL};
static const char *const client_checks[] = {"no", "yes", "optional", NULL};
static const char *const channel_defaults[] = {"allchannels", "resetchannels", NULL};
static const char *const endpoint_types[] = {"ip", "hostname", "unknown-endpoint", NULL};
static const char *const on_errors[] = {"ignore", "panic", "panic-on-replicas", NULL};

#define PERSISTENCE "the journal keeps every write and LevelDB holds the data; see appendfsync"
#define EVICTION "maxmemory bounds memory, never data: nothing is evicted from the data set"
#define ENCODING "the type that it tunes is not there yet, or is kept in another way"
#define REPLICATION "there is no replication yet"
#define CLUSTER "there is no cluster mode yet"
#define THREADS "one thread runs the commands, job workers do the input and output of disks"
#define SCRIPTS "there are no scripts yet"
#define EVENTS "there are no keyspace notifications yet"
#define TLS "there is no TLS yet"
#define ACLS "there is only the default user"
#define MEMORY "memory is managed in another way; see maxmemory and the cache options"
#define MODULES "there are no modules: what loads one fails in any case"
#define PROCESS "it has no meaning for this server"

enum { INERT_BASE = __COUNTER__ + 1 };
#define NEXT ((__COUNTER__ - INERT_BASE) * sizeof(union inert_value))

#define LIVE OPTION_LIVE
#define FIXED 0 /* CONFIG SET refuses it */
#define ROW(live, row_name, row_kind, fallback, reason)                                            \
    .name = row_name, .kind = row_kind, .flags = OPTION_INERT | OPTION_HIDDEN | (live),            \
    .offset = NEXT, .default_text = fallback, .help = reason

/* Each may end with `.alias = "..."`. */
#define SWITCH(live, name, fallback, reason, ...)                                                  \
    {ROW(live, name, OPTION_BOOL, fallback, reason), __VA_ARGS__}
#define NUMBER(live, name, fallback, least, most, reason, ...)                                     \
    {ROW(live, name, OPTION_INTEGER, fallback, reason), .minimum = least, .maximum = most,         \
     __VA_ARGS__}
#define BYTES(live, name, fallback, least, most, reason, ...)                                      \
    {ROW(live, name, OPTION_BYTES, fallback, reason), .minimum = least, .maximum = most,           \
     __VA_ARGS__}
#define CHOICE(live, name, fallback, words, reason, ...)                                           \
    {ROW(live, name, OPTION_CHOICE, fallback, reason), .choices = words, __VA_ARGS__}
#define TEXT(live, name, fallback, reason, ...)                                                    \
    {ROW(live, name, OPTION_STRING, fallback, reason), __VA_ARGS__}
#define WORDS(live, name, fallback, reason, ...)                                                   \
    {ROW((live) | OPTION_MULTI_WORD, name, OPTION_STRING, fallback, reason), __VA_ARGS__}

static const struct option inert_rows[] = {
    WORDS(LIVE, "save", "", PERSISTENCE),
    SWITCH(LIVE, "appendonly", "yes", PERSISTENCE),
    TEXT(FIXED, "appendfilename", "appendonly.aof", PERSISTENCE),
    TEXT(FIXED, "appenddirname", "appendonlydir", PERSISTENCE),
    SWITCH(LIVE, "no-appendfsync-on-rewrite", "no", PERSISTENCE),
    NUMBER(LIVE, "auto-aof-rewrite-percentage", "100", 0, INT32_MAX, PERSISTENCE),
    BYTES(LIVE, "auto-aof-rewrite-min-size", "67108864", 0, INT64_MAX, PERSISTENCE),
    SWITCH(LIVE, "aof-load-truncated", "yes", PERSISTENCE),
    SWITCH(LIVE, "aof-use-rdb-preamble", "yes", PERSISTENCE),
    SWITCH(LIVE, "aof-timestamp-enabled", "no", PERSISTENCE),
    SWITCH(LIVE, "aof-rewrite-incremental-fsync", "yes", PERSISTENCE),
    SWITCH(LIVE, "rdb-save-incremental-fsync", "yes", PERSISTENCE),
    TEXT(FIXED, "dbfilename", "dump.rdb", PERSISTENCE),
    SWITCH(LIVE, "rdbcompression", "yes", PERSISTENCE),
    SWITCH(FIXED, "rdbchecksum", "yes", PERSISTENCE),
    SWITCH(LIVE, "rdb-del-sync-files", "no", PERSISTENCE),
    CHOICE(LIVE, "sanitize-dump-payload", "no", dump_checks, PERSISTENCE),
    SWITCH(LIVE, "stop-writes-on-bgsave-error", "yes", PERSISTENCE),
    SWITCH(LIVE, "aof-disable-auto-gc", "no", PERSISTENCE),
    CHOICE(LIVE, "maxmemory-policy", "noeviction", policies, EVICTION),
    NUMBER(LIVE, "maxmemory-samples", "5", 1, INT32_MAX, EVICTION),
    NUMBER(LIVE, "maxmemory-eviction-tenacity", "10", 0, 100, EVICTION),
    NUMBER(LIVE, "lfu-log-factor", "10", 0, INT32_MAX, EVICTION),
    NUMBER(LIVE, "lfu-decay-time", "1", 0, INT32_MAX, EVICTION),
    NUMBER(LIVE, "active-expire-effort", "1", 1, 10,
           "expiry follows an index; see expire-cycle-ms"),
    SWITCH(LIVE, "lazyfree-lazy-eviction", "no", MEMORY),
    SWITCH(LIVE, "lazyfree-lazy-expire", "no", MEMORY),
    SWITCH(LIVE, "lazyfree-lazy-server-del", "no", MEMORY),
    SWITCH(LIVE, "lazyfree-lazy-user-del", "no", MEMORY),
    SWITCH(LIVE, "lazyfree-lazy-user-flush", "no", MEMORY),
    SWITCH(LIVE, "activedefrag", "no", MEMORY),
    BYTES(LIVE, "active-defrag-ignore-bytes", "104857600", 1, INT64_MAX, MEMORY),
    NUMBER(LIVE, "active-defrag-threshold-lower", "10", 0, 1000, MEMORY),
    NUMBER(LIVE, "active-defrag-threshold-upper", "100", 0, 1000, MEMORY),
    NUMBER(LIVE, "active-defrag-cycle-min", "1", 1, 99, MEMORY),
    NUMBER(LIVE, "active-defrag-cycle-max", "25", 1, 99, MEMORY),
    NUMBER(LIVE, "active-defrag-max-scan-fields", "1000", 1, INT64_MAX, MEMORY),
    SWITCH(LIVE, "activerehashing", "yes", MEMORY),
    SWITCH(LIVE, "jemalloc-bg-thread", "yes", MEMORY),
    NUMBER(LIVE, "hash-max-listpack-entries", "512", 0, INT64_MAX, ENCODING,
           .alias = "hash-max-ziplist-entries"),
    BYTES(LIVE, "hash-max-listpack-value", "64", 0, INT64_MAX, ENCODING,
          .alias = "hash-max-ziplist-value"),
    NUMBER(LIVE, "list-max-listpack-size", "-2", INT32_MIN, INT32_MAX, ENCODING,
           .alias = "list-max-ziplist-size"),
    NUMBER(LIVE, "list-compress-depth", "0", 0, INT32_MAX, ENCODING),
    NUMBER(LIVE, "set-max-intset-entries", "512", 0, INT64_MAX, ENCODING),
    NUMBER(LIVE, "zset-max-listpack-entries", "128", 0, INT64_MAX, ENCODING,
           .alias = "zset-max-ziplist-entries"),
    BYTES(LIVE, "zset-max-listpack-value", "64", 0, INT64_MAX, ENCODING,
          .alias = "zset-max-ziplist-value"),
    BYTES(LIVE, "stream-node-max-bytes", "4096", 0, INT64_MAX, ENCODING),
    NUMBER(LIVE, "stream-node-max-entries", "100", 0, INT64_MAX, ENCODING),
    TEXT(LIVE, "notify-keyspace-events", "", EVENTS),
    NUMBER(LIVE, "busy-reply-threshold", "5000", 0, INT64_MAX, SCRIPTS, .alias = "lua-time-limit"),
    SWITCH(FIXED, "cluster-enabled", "no", CLUSTER),
    TEXT(FIXED, "cluster-config-file", "nodes.conf", CLUSTER),
    NUMBER(LIVE, "cluster-node-timeout", "15000", 0, INT64_MAX, CLUSTER),
    SWITCH(LIVE, "cluster-require-full-coverage", "yes", CLUSTER),
    SWITCH(LIVE, "cluster-allow-reads-when-down", "no", CLUSTER),
    SWITCH(LIVE, "cluster-allow-pubsubshard-when-down", "yes", CLUSTER),
    SWITCH(LIVE, "cluster-allow-replica-migration", "yes", CLUSTER),
    NUMBER(LIVE, "cluster-announce-bus-port", "0", 0, 65535, CLUSTER),
    TEXT(LIVE, "cluster-announce-hostname", "", CLUSTER),
    TEXT(LIVE, "cluster-announce-ip", "", CLUSTER),
    NUMBER(LIVE, "cluster-announce-port", "0", 0, 65535, CLUSTER),
    NUMBER(LIVE, "cluster-announce-tls-port", "0", 0, 65535, CLUSTER),
    BYTES(LIVE, "cluster-link-sendbuf-limit", "0", 0, INT64_MAX, CLUSTER),
    NUMBER(LIVE, "cluster-migration-barrier", "1", 0, INT32_MAX, CLUSTER),
    NUMBER(FIXED, "cluster-port", "0", 0, 65535, CLUSTER),
    CHOICE(LIVE, "cluster-preferred-endpoint-type", "ip", endpoint_types, CLUSTER),
    SWITCH(LIVE, "cluster-replica-no-failover", "no", CLUSTER,
           .alias = "cluster-slave-no-failover"),
    NUMBER(LIVE, "cluster-replica-validity-factor", "10", 0, INT32_MAX, CLUSTER,
           .alias = "cluster-slave-validity-factor"),
    WORDS(FIXED, "replicaof", "", REPLICATION, .alias = "slaveof"),
    TEXT(LIVE | OPTION_SECRET, "masterauth", "", REPLICATION),
    TEXT(LIVE | OPTION_SECRET, "masteruser", "", REPLICATION),
    SWITCH(LIVE, "replica-serve-stale-data", "yes", REPLICATION, .alias = "slave-serve-stale-data"),
    SWITCH(LIVE, "replica-read-only", "yes", REPLICATION, .alias = "slave-read-only"),
    NUMBER(LIVE, "replica-priority", "100", 0, INT32_MAX, REPLICATION, .alias = "slave-priority"),
    TEXT(LIVE, "replica-announce-ip", "", REPLICATION, .alias = "slave-announce-ip"),
    NUMBER(LIVE, "replica-announce-port", "0", 0, 65535, REPLICATION,
           .alias = "slave-announce-port"),
    SWITCH(LIVE, "replica-lazy-flush", "no", REPLICATION, .alias = "slave-lazy-flush"),
    SWITCH(LIVE, "replica-ignore-maxmemory", "yes", REPLICATION, .alias = "slave-ignore-maxmemory"),
    SWITCH(LIVE, "repl-diskless-sync", "yes", REPLICATION),
    NUMBER(LIVE, "repl-diskless-sync-delay", "5", 0, INT32_MAX, REPLICATION),
    CHOICE(LIVE, "repl-diskless-load", "disabled", diskless_loads, REPLICATION),
    SWITCH(LIVE, "repl-disable-tcp-nodelay", "no", REPLICATION),
    BYTES(LIVE, "repl-backlog-size", "1048576", 1, INT64_MAX, REPLICATION),
    NUMBER(LIVE, "repl-backlog-ttl", "3600", 0, INT64_MAX, REPLICATION),
    NUMBER(LIVE, "repl-ping-replica-period", "10", 1, INT32_MAX, REPLICATION,
           .alias = "repl-ping-slave-period"),
    NUMBER(LIVE, "repl-timeout", "60", 1, INT32_MAX, REPLICATION),
    NUMBER(LIVE, "min-replicas-to-write", "0", 0, INT32_MAX, REPLICATION,
           .alias = "min-slaves-to-write"),
    NUMBER(LIVE, "min-replicas-max-lag", "10", 0, INT32_MAX, REPLICATION,
           .alias = "min-slaves-max-lag"),
    NUMBER(LIVE, "repl-diskless-sync-max-replicas", "0", 0, INT32_MAX, REPLICATION),
    SWITCH(LIVE, "replica-announced", "yes", REPLICATION),
    SWITCH(LIVE, "replica-ignore-disk-write-errors", "no", REPLICATION),
    NUMBER(FIXED, "io-threads", "1", 1, 128, THREADS),
    SWITCH(FIXED, "io-threads-do-reads", "no", THREADS),
    NUMBER(LIVE, "hz", "10", 0, INT32_MAX, THREADS),
    SWITCH(LIVE, "dynamic-hz", "yes", THREADS),
    NUMBER(LIVE, "tls-port", "0", 0, 65535, TLS),
    CHOICE(LIVE, "tls-auth-clients", "yes", client_checks, TLS),
    TEXT(LIVE, "tls-ca-cert-dir", "", TLS),
    TEXT(LIVE, "tls-ca-cert-file", "", TLS),
    TEXT(LIVE, "tls-cert-file", "", TLS),
    TEXT(LIVE, "tls-ciphers", "", TLS),
    TEXT(LIVE, "tls-ciphersuites", "", TLS),
    TEXT(LIVE, "tls-client-cert-file", "", TLS),
    TEXT(LIVE, "tls-client-key-file", "", TLS),
    TEXT(LIVE | OPTION_SECRET, "tls-client-key-file-pass", "", TLS),
    SWITCH(LIVE, "tls-cluster", "no", TLS),
    TEXT(LIVE, "tls-dh-params-file", "", TLS),
    TEXT(LIVE, "tls-key-file", "", TLS),
    TEXT(LIVE | OPTION_SECRET, "tls-key-file-pass", "", TLS),
    SWITCH(LIVE, "tls-prefer-server-ciphers", "no", TLS),
    TEXT(LIVE, "tls-protocols", "", TLS),
    SWITCH(LIVE, "tls-replication", "no", TLS),
    NUMBER(LIVE, "tls-session-cache-size", "20480", 0, INT32_MAX, TLS),
    NUMBER(LIVE, "tls-session-cache-timeout", "300", 0, INT32_MAX, TLS),
    SWITCH(LIVE, "tls-session-caching", "yes", TLS),
    TEXT(FIXED, "aclfile", "", ACLS),
    CHOICE(LIVE, "acl-pubsub-default", "resetchannels", channel_defaults, ACLS),
    NUMBER(LIVE, "tracking-table-max-keys", "1000000", 0, INT64_MAX,
           "there is no client-side caching yet"),
    CHOICE(FIXED, "supervised", "no", supervisors, PROCESS),
    SWITCH(FIXED, "syslog-enabled", "no", PROCESS),
    TEXT(FIXED, "syslog-ident", "redis", PROCESS),
    CHOICE(FIXED, "syslog-facility", "local0", facilities, PROCESS),
    SWITCH(FIXED, "always-show-logo", "no", PROCESS),
    SWITCH(FIXED, "set-proc-title", "yes", PROCESS),
    TEXT(LIVE, "proc-title-template", "{title} {listen-addr} {server-mode}", PROCESS),
    SWITCH(LIVE, "crash-log-enabled", "yes", PROCESS),
    SWITCH(LIVE, "crash-memcheck-enabled", "yes", PROCESS),
    SWITCH(LIVE, "use-exit-on-panic", "no", PROCESS),
    SWITCH(FIXED, "disable-thp", "yes", PROCESS),
    CHOICE(LIVE, "oom-score-adj", "no", oom_scores, PROCESS),
    WORDS(LIVE, "oom-score-adj-values", "0 200 800", PROCESS),
    TEXT(FIXED, "server_cpulist", "", PROCESS),
    TEXT(FIXED, "bio_cpulist", "", PROCESS),
    TEXT(FIXED, "aof_rewrite_cpulist", "", PROCESS),
    TEXT(FIXED, "bgsave_cpulist", "", PROCESS),
    TEXT(LIVE, "ignore-warnings", "", PROCESS),
    CHOICE(FIXED, "enable-protected-configs", "no", permissions, PROCESS),
    CHOICE(FIXED, "enable-module-command", "no", permissions, PROCESS),
    NUMBER(FIXED, "socket-mark-id", "0", 0, UINT32_MAX, PROCESS),
    TEXT(LIVE, "bind-source-addr", "", PROCESS),
    WORDS(LIVE, "shutdown-on-sigint", "default", PROCESS),
    WORDS(LIVE, "shutdown-on-sigterm", "default", PROCESS),
    CHOICE(LIVE, "propagation-error-behavior", "ignore", on_errors, PROCESS),
};
_Static_assert(sizeof inert_rows / sizeof *inert_rows <= INERT_OPTIONS_MAX, "room for all");
const struct option_table inert_option_table = {
    "REDIS OPTIONS WITHOUT MEANING HERE", "", inert_rows, sizeof inert_rows / sizeof *inert_rows};

/* --- what a kind does not say --- */

static enum status refuse(struct error *error, const char *why)
{
    return error_set(error, STATUS_INVALID, "%s", why);
}

/* Pairs of seconds and changes, or nothing. */
static enum status check_save(const struct words *words, struct error *error)
{
    bool good = words->count % 2 == 0;
    for (size_t i = 0; good && i < words->count; i++) {
        int64_t value;
        good = slice_to_int64(words->items[i], &value) && value >= (i % 2 == 0);
    }
    return good ? STATUS_OK : refuse(error, "Invalid save parameters");
}

static enum status check_oom_scores(const struct words *words, struct error *error)
{
    if (words->count != 3) return refuse(error, "wrong number of arguments");
    for (size_t i = 0; i < words->count; i++) {
        int64_t value;
        if (!slice_to_int64(words->items[i], &value) || value < -2000 || value > 2000)
            return refuse(error, "Invalid oom-score-adj-values, elements must be between -2000 and "
                                 "2000.");
    }
    return STATUS_OK;
}

static enum status check_stops(const struct words *words, struct error *error)
{
    static const char *const known[] = {"default", "save", "nosave", "now", "force"};
    enum { KNOWN = sizeof known / sizeof *known };
    bool given[KNOWN] = {false};
    for (size_t i = 0; i < words->count; i++) {
        unsigned k = 0;
        while (k < KNOWN && !slice_equal_nocase(words->items[i], known[k])) k++;
        if (k == KNOWN) break;
        given[k] = true;
        if (i + 1 < words->count) continue;
        if (!given[1] || !given[2]) return STATUS_OK;
        return refuse(error, "shutdown options SAVE and NOSAVE can't be used simultaneously");
    }
    return refuse(error, "argument(s) must be one of the following: default, save, nosave, now, "
                         "force");
}

static enum status check_words(const char *name, const struct words *words, struct error *error)
{
    if (strcmp(name, "save") == 0) return check_save(words, error);
    if (strcmp(name, "oom-score-adj-values") == 0) return check_oom_scores(words, error);
    if (strncmp(name, "shutdown-on-", 12) == 0) return check_stops(words, error);
    return STATUS_OK; /* replicaof */
}

static enum status check_text(const char *name, struct slice text, struct error *error)
{
    bool is_events = strcmp(name, "notify-keyspace-events") == 0;
    bool is_host = strcmp(name, "cluster-announce-hostname") == 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (is_events && !memchr("Ag$lshzxeKEtmdn", c, 15))
            return refuse(error, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        if (is_host && !isalnum((unsigned char)c) && c != '-' && c != '.')
            return refuse(error, "Hostnames may only contain alphanumeric characters, hyphens or "
                                 "dots");
    }
    return STATUS_OK;
}

enum status inert_option_check(const struct option *option, struct slice text, struct error *error)
{
    if (option->kind != OPTION_STRING) return STATUS_OK;
    if (!(option->flags & OPTION_MULTI_WORD)) return check_text(option->name, text, error);
    struct words words = {0}, none = {0};
    if (!option_split_line(text, &words)) return refuse(error, "wrong number of arguments");
    bool is_empty = words.count == 1 && words.items[0].size == 0;
    enum status status = check_words(option->name, is_empty ? &none : &words, error);
    option_free_words(&words);
    return status;
}
