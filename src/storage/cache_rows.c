/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cache's options and metrics, as tables. */
#include "storage/cache.h"

#define OPTION(option_name, field, default_value, max, unit_name, text)                            \
    {                                                                                              \
        .name = option_name, .kind = OPTION_INTEGER, .flags = OPTION_LIVE,                         \
        .offset = offsetof(struct cache_options, field), .default_text = default_value,            \
        .minimum = 0, .maximum = max, .unit = unit_name, .help = text                              \
    }

static const struct option option_rows[] = {
    OPTION("cache-percent", percent, "100", 100, NULL,
           "How much of the memory that maxmemory leaves for the cache it uses, in percent. 0 turns the\n"
           "cache off: nothing stays in memory longer than it must, every read goes to LevelDB. For\n"
           "diagnosis, or where other programs need the memory now and then."),
    OPTION("cache-hot-percent", hot_percent, "85", 100, NULL,
           "The share of the cache's memory that the hot tier may take, in percent. A key that is\n"
           "read or written for the first time enters the warm tier; a second access makes it hot;\n"
           "what overflows hot falls back to warm, and what overflows warm leaves memory. So a scan\n"
           "of everything passes through warm alone and leaves the hot keys where they are. Warm may\n"
           "use what hot does not need.\n"
           "Lower it when your hot set shifts quickly and a key's second access comes late; raise it\n"
           "when the hot set is stable. 0: no hot tier, one plain LRU. 100: a key stays only if its\n"
           "second access comes while hot has room."),
    OPTION("cache-hot-max-entries", hot_max_entries, "0", INT64_MAX, NULL,
           "The most entries that the hot tier may hold, beside its limit in bytes; what is too much\n"
           "falls back to warm. 0: bytes alone count. Together with cache-warm-max-entries it makes a\n"
           "cache of a fixed number of entries, for instance 5000 and 50000."),
    OPTION("cache-warm-max-entries", warm_max_entries, "0", INT64_MAX, NULL,
           "The most entries that the warm tier may hold, beside the limit in bytes; what is too much\n"
           "leaves memory, the one that came first before the others. Entries that may not leave yet\n"
           "(their last write is still on its way to LevelDB, or a reply is being sent from them) do\n"
           "not leave and count all the same. 0: bytes alone count."),
    OPTION("cache-hot-idle-seconds", hot_idle_seconds, "300", INT32_MAX, "seconds",
           "A hot entry that nobody has accessed for so long goes back to warm, so that yesterday's\n"
           "hot keys do not keep today's out. 0: only overflow moves it."),
    OPTION("cache-warm-idle-seconds", warm_idle_seconds, "3600", INT32_MAX, "seconds",
           "A warm entry that nobody has accessed for so long leaves memory, also when there is room:\n"
           "the process shrinks when it is not used. Its key stays on disk; the next access reads it\n"
           "from there. 0: only overflow moves it; choose that to keep a data set that fits in memory\n"
           "there."),
};
const struct option_table cache_option_table = {
    .title = "CACHE",
    .intro = "Keys in memory lie in two tiers, hot and warm; together they take what maxmemory leaves\n"
             "after clients' buffers, LevelDB's and the queues'. All of this can be changed while the\n"
             "server runs.",
    .rows = option_rows,
    .count = sizeof option_rows / sizeof option_rows[0],
};

#define COUNTER(field, row_name, info_name, text)                                                  \
    {                                                                                              \
        .name = "kelvin_cache_" row_name "_total", .kind = METRIC_COUNTER,                         \
        .offset = offsetof(struct cache_metrics, field), .unit = "", .info = "cache_" info_name,   \
        .help = text                                                                               \
    }
#define GAUGE(field, row_unit, text)                                                               \
    {                                                                                              \
        .name = "kelvin_cache_" #field, .kind = METRIC_GAUGE,                                      \
        .offset = offsetof(struct cache_metrics, field), .unit = row_unit,                         \
        .info = "cache_" #field, .help = text                                                      \
    }

static const struct metric metric_rows[] = {
    COUNTER(hits_hot, "hot_hits", "hits_hot", "Accesses to entries of the hot tier"),
    COUNTER(hits_warm, "warm_hits", "hits_warm", "Accesses to entries of the warm tier"),
    COUNTER(hits_absent, "absent_hits", "hits_absent",
            "Accesses to keys that the cache knows not to exist"),
    COUNTER(misses, "misses", "misses",
            "Keys that the cache did not know and that had to be asked for on disk"),
    COUNTER(promotions, "promotions", "promotions", "Entries that went from warm to hot"),
    COUNTER(demotions, "demotions", "demotions",
            "Entries that went from hot back to warm, by overflow or by idle time"),
    COUNTER(evictions, "evictions", "evictions",
            "Entries that left memory because their tier was full"),
    COUNTER(expirations_idle, "idle_evictions", "evictions_idle",
            "Entries that left memory because nobody had accessed them for long"),
    COUNTER(in_place, "in_place_writes", "writes_in_place",
            "Writes that changed an entry without a new allocation"),
    COUNTER(insertions, "insertions", "insertions", "Entries made for keys that had none"),
    GAUGE(hot_entries, "", "Entries in the hot tier"),
    GAUGE(warm_entries, "", "Entries in the warm tier, those of absent keys included"),
    GAUGE(hot_bytes, "bytes", "Memory of the entries in the hot tier"),
    GAUGE(warm_bytes, "bytes", "Memory of the entries in the warm tier"),
    GAUGE(index_bytes, "bytes", "Memory of the hash tables"),
    GAUGE(used_bytes, "bytes", "Memory of all entries and hash tables"),
    GAUGE(budget_bytes, "bytes", "Memory that entries and hash tables together may take"),
    GAUGE(pinned_bytes, "bytes",
          "Memory of entries that cannot leave yet: their last write is not in LevelDB"),
    GAUGE(tombstones, "", "Entries that say that a key does not exist"),
    GAUGE(referenced_bytes, "bytes",
          "Memory of entries that have been replaced or removed while a reply or a command still "
          "holds them"),
};
const struct metric_table cache_metric_table = {
    .family = "cache",
    .rows = metric_rows,
    .count = sizeof metric_rows / sizeof metric_rows[0],
};
