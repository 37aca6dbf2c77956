/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which arguments of a request are keys: read off the key specifications of the row. Pure
 * functions. */
#include "commands/key_positions.h"

/* Where the keys of the specification begin; 0: nowhere. */
static int begin_of(const struct key_spec *spec, const struct slice *argv, int argc)
{
    if (!spec->begin_keyword) return spec->begin_index;
    int step = spec->keyword_start > 0 ? 1 : -1;
    int start = spec->keyword_start > 0 ? spec->keyword_start : argc + spec->keyword_start;
    for (int i = start; i > 0 && i < argc; i += step)
        if (slice_equal_nocase(argv[i], spec->begin_keyword)) return i + 1;
    return 0;
}

/* The last key of a range, counted from the front. */
static int last_of_range(const struct key_spec *spec, int begin, int argc)
{
    if (spec->last >= 0) return begin + spec->last;
    if (!spec->limit) return argc + spec->last;
    return begin + (argc - begin) / spec->limit + spec->last;
}

bool key_spec_range(const struct key_spec *spec, const struct slice *argv, int argc,
                    struct key_range *range)
{
    int begin = begin_of(spec, argv, argc);
    range->count = 0;
    if (begin <= 0 || begin >= argc) return spec->begin_keyword != NULL;
    if (spec->step) {
        int last = last_of_range(spec, begin, argc);
        range->first = begin;
        range->step = spec->step;
        if (last < begin || last >= argc) return false;
        range->count = (last - begin) / spec->step + 1;
        return true;
    }
    int64_t keys;
    if (begin + spec->keynum_index >= argc ||
        !slice_to_int64(argv[begin + spec->keynum_index], &keys) || keys < 0 || keys > argc)
        return false;
    range->first = begin + spec->keynum_first;
    range->step = spec->keynum_step;
    range->count = (int)keys;
    return range->first + (range->count - 1) * range->step < argc;
}

/* By far the most have one plain specification or none. */
int command_key_indexes(const struct command *command, const struct slice *argv, int argc,
                        int *indexes, int capacity)
{
    if (command->find_keys) return command->find_keys(argv, argc, indexes, capacity);
    int count = 0;
    for (int i = 0; i < command->key_spec_count; i++) {
        struct key_range range;
        if (!key_spec_range(&command->key_specs[i], argv, argc, &range)) return -1;
        for (int k = 0; k < range.count; k++) {
            if (count == capacity) return -1;
            indexes[count++] = range.first + k * range.step;
        }
    }
    return count;
}
