/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the engine alone gives: N threads read keys of a store that a server has filled and left,
 * through the same Env, with the keys in hand. No protocol, no cache above it, nobody writes.
 *
 *   engine_bench FOLDER [OPTION VALUE]...
 *     threads 4, seconds 10, warmup 0, keys 1000000, order uniform (see kelvin-load --help), seed
 * 1, and every leveldb-... option of the server
 *
 * Prints one line of JSON. Keys are named key:%012d, as kelvin-load names them. */
#include "base/clock.h"
#include "base/memory.h"
#include "storage/engine.h"
#include "storage/record.h"
#include "storage/store_files.h"

#include "bench/load/keys.h"
#include "bench/load/latency.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_THREADS = 256 };

static struct settings {
    uint64_t threads, seconds, warmup, keys, seed;
    const char *order;
    struct leveldb_options leveldb;
} settings = {.threads = 4, .seconds = 10, .keys = 1000000, .seed = 1, .order = "uniform"};

static struct leveldb_metrics metrics;
static struct engine *engine;
static uint64_t db_id;
static struct key_space space;
static int64_t begin_ns, end_ns;

static struct reader {
    pthread_t thread;
    struct key_cursor cursor;
    uint64_t found, missing;
    struct latency latency;
} * readers;

_Noreturn static void refuse(const char *what, const char *why)
{
    fprintf(stderr, "engine_bench: %s: %s\n", what, why);
    exit(2);
}

static void set_option(const char *name, const char *text)
{
    static const struct {
        const char *name;
        uint64_t *field;
    } numbers[] = {{"threads", &settings.threads},
                   {"seconds", &settings.seconds},
                   {"warmup", &settings.warmup},
                   {"keys", &settings.keys},
                   {"seed", &settings.seed}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(name, numbers[i].name) != 0) continue;
        if (!slice_to_uint64(slice_from_text(text), numbers[i].field)) refuse(name, text);
        return;
    }
    if (strcmp(name, "order") == 0) {
        settings.order = text;
        return;
    }
    const struct option *option = option_find(&leveldb_option_table, slice_from_text(name));
    struct error error = {0};
    if (!option) refuse(name, "unknown option");
    if (option_set(option, &settings.leveldb, slice_from_text(text), &error) != STATUS_OK) {
        refuse(name, text);
    }
}

/* Database 0: its id is 1, unless a FLUSHDB or SWAPDB has given it another one. */
static void read_db_id(void)
{
    struct buffer name = {0}, value = {0};
    struct error error = {0};
    record_database_name(&name, 0);
    db_id = 1;
    enum status status = engine->operations->get(engine, NULL, buffer_slice(&name), &value, &error);
    if (status == STATUS_OK && value.size == sizeof db_id) db_id = get_le64(value.data);
    buffer_free(&name);
    buffer_free(&value);
}

static void *read_keys(void *context)
{
    struct reader *reader = context;
    struct buffer name = {0}, value = {0};
    struct error error = {0};
    for (int64_t now_ns = clock_monotonic_ns(); now_ns < end_ns;) {
        char key[32];
        int length = snprintf(key, sizeof key, "key:%012llu",
                              (unsigned long long)key_space_next(&space, &reader->cursor));
        buffer_clear(&name);
        buffer_clear(&value);
        record_key_name(&name, db_id, slice_make(key, (size_t)length));
        enum status status =
            engine->operations->get(engine, NULL, buffer_slice(&name), &value, &error);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) refuse("get", key);
        int64_t done_ns = clock_monotonic_ns();
        if (done_ns >= begin_ns) {
            latency_record_ns(&reader->latency, done_ns - now_ns);
            *(status == STATUS_OK ? &reader->found : &reader->missing) += 1;
        }
        now_ns = done_ns;
    }
    buffer_free(&name);
    buffer_free(&value);
    return NULL;
}

static void open_engine(const char *folder)
{
    struct error error = {0};
    struct buffer store = {0};
    uint32_t number;
    buffer_append_format(&store, "%s/store", folder);
    buffer_append(&store, "", 1);
    if (store_read_current(store.data, &number, &error) != STATUS_OK) {
        refuse(folder, "holds no store");
    }
    char *path = store_data_path(store.data, number);
    if (engine_open_leveldb(&engine, path, false, &settings.leveldb, &metrics, &error) !=
        STATUS_OK) {
        refuse(path, "cannot be opened");
    }
    mem_free(path);
    buffer_free(&store);
}

static void print_result(void)
{
    struct latency_snapshot *all = mem_calloc(1, sizeof *all);
    uint64_t found = 0, missing = 0;
    for (uint64_t i = 0; i < settings.threads; i++) {
        latency_add_to(all, &readers[i].latency);
        found += readers[i].found;
        missing += readers[i].missing;
    }
    printf("{\"requests_per_second\":%.1f,\"found\":%llu,\"missing\":%llu,\"latency_us\":{"
           "\"mean\":%.1f,\"p50\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f},\"table_reads\":%llu}\n",
           (double)(found + missing) / (double)settings.seconds, (unsigned long long)found,
           (unsigned long long)missing, latency_mean_ns(all) / 1000,
           (double)latency_quantile_ns(all, 0.5) / 1000,
           (double)latency_quantile_ns(all, 0.99) / 1000,
           (double)latency_quantile_ns(all, 0.999) / 1000,
           (unsigned long long)counter_get(&metrics.reads[LEVELDB_TABLE]));
    mem_free(all);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc % 2 != 0) refuse("usage", "engine_bench FOLDER [OPTION VALUE]...");
    option_set_defaults(&leveldb_option_table, &settings.leveldb);
    for (int i = 2; i < argc; i += 2) set_option(argv[i], argv[i + 1]);
    if (!settings.threads || settings.threads > MAX_THREADS) refuse("threads", "1 to 256");
    if (!settings.seconds || !settings.keys ||
        !key_space_setup(&space, settings.order, settings.keys, settings.seed)) {
        refuse("seconds, keys, order", settings.order);
    }
    open_engine(argv[1]);
    read_db_id();
    readers = mem_calloc(settings.threads, sizeof *readers);
    begin_ns = clock_monotonic_ns() + (int64_t)settings.warmup * 1000000000;
    end_ns = begin_ns + (int64_t)settings.seconds * 1000000000;
    for (uint64_t i = 0; i < settings.threads; i++) {
        readers[i].cursor = (struct key_cursor){
            .prng = {prng_mix(settings.seed * 1000 + i)}, .position = i, .step = settings.threads};
        pthread_create(&readers[i].thread, NULL, read_keys, &readers[i]);
    }
    for (uint64_t i = 0; i < settings.threads; i++) pthread_join(readers[i].thread, NULL);
    print_result();
    engine_unref(engine);
    mem_free(readers);
    option_free_strings(&leveldb_option_table, &settings.leveldb);
    return 0;
}
