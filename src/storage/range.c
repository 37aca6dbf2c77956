/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Collecting and sorting a range. The sort is a radix sort, least significant byte first, over
 * (database, 8 bytes of key): it is stable, so the order of writes within a key needs no compare, and
 * bytes that are the same everywhere cost nothing. Keys that are still equal after 8 bytes are
 * then sorted by comparing, which is rare: the bytes that all keys of a database begin with
 * ("user:", "key:0000") are left out of the 8. */
#include "storage/range.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdlib.h>

enum { KEEP_ITEMS = 512 * 1024 };

/* --- life --- */

static void list_free(struct range_list *list)
{
    mem_free(list->items);
    mem_free(list->order);
    *list = (struct range_list){0};
}

void range_clear(struct range *range)
{
    for (int part = 0; part < RANGE_PARTS; part++) {
        struct range_list *list = &range->lists[part];
        mem_free(list->order);
        list->order = NULL;
        list->count = 0;
        if (list->capacity > KEEP_ITEMS) list_free(list);
    }
    range->database_count = range->map_count = range->flush_map_count = 0;
    range->has_flush = false;
    range->flush_sequence = range->last_sequence = 0;
    range->bytes = range->operations = 0;
    range->last_place = 0;
}

void range_free(struct range *range)
{
    for (int part = 0; part < RANGE_PARTS; part++) list_free(&range->lists[part]);
    mem_free(range->databases);
    mem_free(range->maps);
    mem_free(range->flush_maps);
    *range = (struct range){0};
}

static void *grow(void *array, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity) return array;
    *capacity = *capacity ? *capacity * 2 : 64;
    return mem_realloc(array, *capacity * item_bytes);
}

/* --- collecting --- */

static size_t database_place(struct range *range, uint64_t db_id)
{
    if (range->last_place < range->database_count &&
        range->databases[range->last_place].db_id == db_id)
        return range->last_place;
    size_t place = range->database_count;
    while (place > 0 && range->databases[place - 1].db_id != db_id) place--;
    if (place > 0) return range->last_place = place - 1;

    range->databases = grow(range->databases, range->database_count, &range->database_capacity,
                            sizeof *range->databases);
    range->databases[range->database_count] = (struct range_database){.db_id = db_id};
    return range->last_place = range->database_count++;
}

static void claim(struct range_database *database, const struct operation *operation)
{
    if (operation->old == OLD_UNKNOWN) {
        database->unknown++;
        return;
    }
    bool is_put = operation->kind == OPERATION_PUT;
    bool was = operation->old == OLD_PRESENT;
    database->claimed_keys += (int64_t)is_put - (int64_t)was;
    database->claimed_expiring += (int64_t)(is_put && operation->expire_at_ms != -1) -
                                  (int64_t)(was && operation->old_expire_at_ms != -1);
}

/* Keeps `common_bytes` true. */
static void note_key(struct range_database *database, struct slice key)
{
    if (!database->first_key.data) {
        database->first_key = key;
        database->common_bytes = key.size;
        return;
    }
    size_t limit = key.size < database->common_bytes ? key.size : database->common_bytes;
    if (memcmp(key.data, database->first_key.data, limit) == 0) {
        database->common_bytes = limit;
        return;
    }
    size_t same = 0;
    while (key.data[same] == database->first_key.data[same]) same++;
    database->common_bytes = same;
}

static void add_item(struct range *range, enum range_part part, const struct operation *operation,
                     const char *begin, size_t bytes, size_t place)
{
    struct range_list *list = &range->lists[part];
    list->items = grow(list->items, list->count, &list->capacity, sizeof *list->items);
    list->items[list->count++] =
        (struct range_item){.operation = begin,
                            .object_id = operation->object_id,
                            .operation_bytes = (uint32_t)bytes,
                            .key_bytes = (uint32_t)operation->key.size,
                            .key_offset = (uint16_t)(operation->key.data - begin),
                            .place = (uint16_t)place};
}

static void add_key_operation(struct range *range, const struct operation *operation,
                              const char *begin, size_t bytes, uint64_t claims_after)
{
    size_t place = database_place(range, operation->db_id);
    struct range_database *database = &range->databases[place];
    if (operation->sequence > claims_after) claim(database, operation);
    note_key(database, operation->key);
    add_item(range, RANGE_KEYS, operation, begin, bytes, place);
}

/* FLUSH_ALL: what came before it will not be applied. */
static void begin_anew(struct range *range, uint64_t sequence)
{
    for (int part = 0; part < RANGE_PARTS; part++) range->lists[part].count = 0;
    range->database_count = range->map_count = range->flush_map_count = 0;
    range->has_flush = true;
    range->flush_sequence = sequence;
}

static void add_map(struct range *range, const struct operation *operation)
{
    bool of_flush = range->has_flush && operation->kind == OPERATION_MAP_DATABASE &&
                    range->flush_sequence + 1 == operation->sequence;
    if (of_flush) {
        range->flush_sequence = operation->sequence;
        range->flush_maps = grow(range->flush_maps, range->flush_map_count,
                                 &range->flush_map_capacity, sizeof *range->flush_maps);
        range->flush_maps[range->flush_map_count++] = *operation;
        return;
    }
    range->maps = grow(range->maps, range->map_count, &range->map_capacity, sizeof *range->maps);
    range->maps[range->map_count++] = *operation;
}

static void add_operation(struct range *range, const struct operation *operation,
                          const char *begin, size_t bytes, uint64_t claims_after)
{
    switch (operation->kind) {
    case OPERATION_PUT:
    case OPERATION_DELETE:
        add_key_operation(range, operation, begin, bytes, claims_after);
        break;
    case OPERATION_PUT_ELEMENT:
    case OPERATION_DELETE_ELEMENT:
        add_item(range, RANGE_ELEMENTS, operation, begin, bytes, 0);
        break;
    case OPERATION_FLUSH_ALL:
        begin_anew(range, operation->sequence);
        break;
    default:
        add_map(range, operation);
    }
}

enum status range_add(struct range *range, const struct journal_record *record, uint64_t after,
                      uint64_t claims_after, struct error *error)
{
    struct slice rest = record->payload;
    struct operation operation;
    for (uint32_t i = 0; i < record->operations; i++) {
        const char *begin = rest.data;
        if (operation_decode(&rest, &operation) != STATUS_OK || rest.data - begin > UINT32_MAX) {
            return error_set(error, STATUS_CORRUPT,
                             "the journal record at sequence %llu holds no valid operations",
                             (unsigned long long)record->sequence);
        }
        operation.sequence = record->sequence + i;
        if (operation.sequence <= after) continue;
        add_operation(range, &operation, begin, (size_t)(rest.data - begin), claims_after);
        range->operations++;
    }
    if (rest.size > 0) {
        return error_set(error, STATUS_CORRUPT,
                         "the journal record at sequence %llu holds more than its operations",
                         (unsigned long long)record->sequence);
    }
    range->last_sequence = record->sequence + record->operations - 1;
    range->bytes += record->payload.size;
    return STATUS_OK;
}

bool range_is_full(const struct range *range, uint64_t limit_bytes, uint64_t limit_item_bytes)
{
    uint64_t items = range->lists[RANGE_KEYS].count + range->lists[RANGE_ELEMENTS].count;
    return range->bytes >= limit_bytes || items * RANGE_ITEM_BYTES >= limit_item_bytes ||
           range->database_count >= RANGE_MAX_DATABASES || range->map_count >= RANGE_MAX_MAPS;
}

/* --- sorting --- */

static inline struct slice item_key(const struct range_item *item)
{
    return slice_make(item->operation + item->key_offset, item->key_bytes);
}

/* Up to 8 bytes after the first `skip`, filled with zeros: byte order is number order. */
static uint64_t key_prefix(struct slice key, size_t skip)
{
    char bytes[8] = {0};
    size_t left = key.size - skip;
    if (left >= 8) return get_be64(key.data + skip);
    if (left > 0) memcpy(bytes, key.data + skip, left);
    return get_be64(bytes);
}

static void fill_order(const struct range *range, enum range_part part)
{
    const struct range_list *list = &range->lists[part];
    for (size_t i = 0; i < list->count; i++) {
        const struct range_item *item = &list->items[i];
        uint32_t units = (item->operation_bytes + 15) / 16;
        struct range_order *order = &list->order[i];
        order->prefix =
            part == RANGE_KEYS
                ? key_prefix(item_key(item), range->databases[item->place].common_bytes)
                : item->object_id;
        order->index = (uint32_t)i;
        order->place = item->place;
        order->units = (uint16_t)(units < UINT16_MAX ? units : UINT16_MAX);
    }
}

enum { DIGITS = 10, DIGIT_VALUES = 256 }; /* 8 bytes of prefix, 2 of place */

static inline unsigned digit_of(const struct range_order *order, int digit)
{
    if (digit < 8) return (unsigned)(order->prefix >> (8 * digit)) & 0xff;
    return (unsigned)(order->place >> (8 * (digit - 8))) & 0xff;
}

static void radix_sort(struct range_order **order, size_t count)
{
    static const size_t table_bytes = DIGITS * DIGIT_VALUES * sizeof(uint32_t);
    uint32_t (*counts)[DIGIT_VALUES] = mem_alloc(table_bytes);
    struct range_order *from = *order, *to = mem_alloc(count * sizeof *to);
    memset(counts, 0, table_bytes);
    for (size_t i = 0; i < count; i++) {
        for (int digit = 0; digit < DIGITS; digit++) counts[digit][digit_of(&from[i], digit)]++;
    }
    for (int digit = 0; digit < DIGITS; digit++) {
        uint32_t *starts = counts[digit], start = 0;
        if (starts[digit_of(&from[0], digit)] == count) continue; /* all the same */
        for (int value = 0; value < DIGIT_VALUES; value++) {
            uint32_t here = starts[value];
            starts[value] = start;
            start += here;
        }
        for (size_t i = 0; i < count; i++) to[starts[digit_of(&from[i], digit)]++] = from[i];
        struct range_order *swap = from;
        from = to;
        to = swap;
    }
    mem_free(to);
    mem_free(counts);
    *order = from;
}

static int compare_whole(const void *left, const void *right, void *context)
{
    const struct range_list *list = context;
    const struct range_order *a = left, *b = right;
    int difference = slice_compare(item_key(&list->items[a->index]),
                                   item_key(&list->items[b->index]));
    if (difference != 0) return difference;
    return a->index < b->index ? -1 : a->index > b->index;
}

static bool same_digits(const struct range_order *a, const struct range_order *b)
{
    return a->prefix == b->prefix && a->place == b->place;
}

/* Runs of equal digits are in order of sequence: that is right for a run of one key. */
static void sort_ties(struct range_list *list)
{
    for (size_t first = 0, end; first < list->count; first = end) {
        bool sorted = true;
        for (end = first + 1;
             end < list->count && same_digits(&list->order[first], &list->order[end]); end++) {
            if (sorted && compare_whole(&list->order[end - 1], &list->order[end], list) > 0)
                sorted = false;
        }
        if (!sorted)
            qsort_r(list->order + first, end - first, sizeof *list->order, compare_whole, list);
    }
}

void range_sort(struct range *range)
{
    for (int part = 0; part < RANGE_PARTS; part++) {
        struct range_list *list = &range->lists[part];
        ASSERT(list->count <= UINT32_MAX);
        if (list->count == 0) continue;
        mem_free(list->order);
        list->order = mem_alloc(list->count * sizeof *list->order);
        fill_order(range, (enum range_part)part);
        radix_sort(&list->order, list->count);
        sort_ties(list);
    }
}

/* --- reading --- */

static bool same_record(const struct range_list *list, size_t a, size_t b)
{
    const struct range_order *left = &list->order[a], *right = &list->order[b];
    return same_digits(left, right) && slice_equal(item_key(&list->items[left->index]),
                                                   item_key(&list->items[right->index]));
}

size_t range_group_end(const struct range *range, enum range_part part, size_t first)
{
    const struct range_list *list = &range->lists[part];
    size_t end = first + 1;
    while (end < list->count && same_record(list, first, end)) end++;
    return end;
}

size_t range_batch_end(const struct range *range, enum range_part part, size_t first,
                       uint64_t bytes)
{
    const struct range_list *list = &range->lists[part];
    uint64_t units = 0, limit = bytes / 16 + 1;
    size_t end = first;
    while (end < list->count && units < limit) units += list->order[end++].units;
    while (end < list->count && same_record(list, end - 1, end)) end++;
    return end;
}

void range_operation(const struct range *range, enum range_part part, size_t position,
                     struct operation *out)
{
    const struct range_list *list = &range->lists[part];
    const struct range_item *item = &list->items[list->order[position].index];
    struct slice input = slice_make(item->operation, item->operation_bytes);
    enum status status = operation_decode(&input, out);
    ASSERT(status == STATUS_OK);
}

void range_prefetch(const struct range *range, enum range_part part, size_t position)
{
    const struct range_list *list = &range->lists[part];
    if (position + 8 < list->count)
        __builtin_prefetch(&list->items[list->order[position + 8].index]);
    if (position + 4 < list->count) {
        const char *operation = list->items[list->order[position + 4].index].operation;
        __builtin_prefetch(operation);
        __builtin_prefetch(operation + 64);
    }
}
