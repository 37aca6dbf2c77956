/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What it costs the batch writer to find the old records of sorted keys, by how far apart they lie: by a get
 * each, by one walk of an iterator, by a seek each, and by old_records.c, which chooses. In microseconds of
 * CPU per key that is looked for. The store is filled in order, then written at random in sorted ranges, as
 * much again: it has tables on several levels. `again`: the folder has it already.
 *
 *   old_records_bench [FOLDER [RECORDS [BLOCK_CACHE_MIB [again]]]] */
#include "base/bytes.h"
#include "base/memory.h"
#include "storage/old_records.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 5000, RANGE = 160000, VALUE_BYTES = 64, LOOKUPS = 200000, WAYS = 4 };

static struct engine *engine;
static struct leveldb_options options;
static struct leveldb_metrics metrics;
static uint64_t records = 2000000, found;

static struct slice name_of(uint64_t number)
{
    static char name[40];
    int size = snprintf(name, sizeof name, "K00000001key:%012llu", (unsigned long long)number);
    return slice_make(name, (size_t)size);
}

static int compare(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

static void put_range(const uint64_t *numbers, size_t count)
{
    struct engine_batch batch = {0};
    char value[VALUE_BYTES];
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < sizeof value; at++) value[at] = (char)rand();
        engine_batch_put(&batch, name_of(numbers[i]), slice_make(value, sizeof value));
        if (batch.count < BATCH && i + 1 < count) continue;
        if (engine->operations->write(engine, &batch, NULL) != STATUS_OK) exit(1);
        engine_batch_clear(&batch);
    }
    engine_batch_free(&batch);
}

static void fill(void)
{
    uint64_t *numbers = mem_alloc(RANGE * sizeof *numbers);
    for (uint64_t first = 0; first < records; first += RANGE) {
        size_t count = 0;
        for (; count < RANGE && first + count < records; count++) numbers[count] = first + count;
        put_range(numbers, count);
    }
    for (uint64_t done = 0; done < records; done += RANGE) {
        for (size_t i = 0; i < RANGE; i++) numbers[i] = (uint64_t)lrand48() % records;
        qsort(numbers, RANGE, sizeof *numbers, compare);
        put_range(numbers, RANGE);
    }
    mem_free(numbers);
}

/* --- the ways --- */

static void by_get(uint64_t first, uint64_t apart)
{
    struct buffer value = {0};
    for (uint64_t i = 0; i < BATCH; i++) {
        buffer_clear(&value);
        found += engine->operations->get(engine, NULL, name_of(first + i * apart), &value, NULL) ==
                 STATUS_OK;
    }
    buffer_free(&value);
}

static void by_iterator(uint64_t first, uint64_t apart, bool seeks)
{
    const struct engine_operations *operations = engine->operations;
    struct engine_iterator *iterator = operations->iterate(engine, NULL, false);
    for (uint64_t i = 0; i < BATCH; i++) {
        struct slice name = name_of(first + i * apart);
        if (i == 0 || seeks) operations->iterator_seek(iterator, name);
        while (slice_compare(operations->iterator_key(iterator), name) < 0)
            operations->iterator_next(iterator);
        found += slice_equal(operations->iterator_key(iterator), name);
    }
    operations->iterator_destroy(iterator);
}

static void by_old_records(uint64_t first, uint64_t apart)
{
    struct old_records old;
    struct slice value;
    struct buffer last = {0};
    buffer_append_slice(&last, name_of(first + BATCH * apart));
    old_records_begin(&old, engine, name_of(first), buffer_slice(&last), BATCH);
    buffer_free(&last);
    for (uint64_t i = 0; i < BATCH; i++)
        found += old_records_find(&old, name_of(first + i * apart), &value, NULL) == STATUS_OK;
    if (old_records_end(&old, NULL) != STATUS_OK) exit(1);
}

static double cost_us(int way, uint64_t apart)
{
    uint64_t span = BATCH * apart, lookups = 0, first = 0;
    clock_t begin = clock();
    found = 0;
    for (; lookups < LOOKUPS; lookups += BATCH) {
        if (first + span > records) first = lookups % apart;
        if (way == 0) by_get(first, apart);
        else if (way < 3) by_iterator(first, apart, way == 2);
        else by_old_records(first, apart);
        first += span;
    }
    if (found != lookups) exit(1);
    return (double)(clock() - begin) * 1e6 / CLOCKS_PER_SEC / (double)lookups;
}

int main(int argc, char **argv)
{
    static char made[] = "/tmp/old_records_bench.XXXXXX";
    const char *folder = argc > 1 ? argv[1] : mkdtemp(made);
    struct error error = {0};
    if (argc > 2) records = strtoull(argv[2], NULL, 10);
    option_set_defaults(&leveldb_option_table, &options);
    options.write_buffer_bytes = 32 << 20;
    if (argc > 3) options.block_cache_bytes = (int64_t)strtoull(argv[3], NULL, 10) << 20;
    if (engine_open_leveldb(&engine, folder, true, &options, &metrics, &error) != STATUS_OK) {
        printf("%s\n", error.text);
        return 1;
    }
    if (argc <= 4) fill();
    sleep(3); /* compactions */
    char *stats = engine->operations->property(engine, "leveldb.stats");
    printf("%s\napart     get    walk    seek  old_records   (us of CPU per key)\n", stats);
    mem_free(stats);
    for (uint64_t apart = 1; apart * BATCH <= records; apart += apart / 2 ? apart / 2 : 1) {
        printf("%5llu", (unsigned long long)apart);
        for (int way = 0; way < WAYS; way++) printf("  %6.2f", cost_us(way, apart));
        printf("\n");
        fflush(stdout);
    }
    engine_unref(engine);
    printf("the store is left in %s\n", folder);
    return 0;
}
