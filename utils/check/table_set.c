/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A merge over tables: a heap of those that reach to where the walk is, each opened when it comes to
 * its first key and closed behind its last, so that only about one table a level is open at a time.
 *
 * Why it is enough to ask for hiding when a record comes up: every table that may hold that name has
 * been read up to a name at or behind it by then, so its bad blocks up to there are known. */
#include "check/table_set.h"

#include "base/memory.h"
#include "check/files.h"
#include "check/table_file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { REASON_BYTES = 300 };

struct bad_block {
    uint64_t offset;
    bool is_said;
};

struct table {
    const struct table_info *info;
    char *path;
    bool is_unreadable; /* nothing of it can be read */
    bool is_listed;     /* in set->damaged */
    struct bad_block *bad;
    size_t bad_count;
    struct buffer first; /* where it begins */
    struct table_file *file; /* for asking where names belong; NULL until asked */
};

struct table_set {
    struct report *report;
    struct manifest manifest;
    bool is_certain;
    struct table *tables; /* in order of their first keys */
    size_t count;
    struct table **damaged;
    size_t damaged_count;
    uint64_t bytes;
};

struct cursor {
    struct table *table;
    struct table_file *file;
    struct table_entry entry;
    struct buffer previous; /* name before; empty at first */
    size_t bad_seen;
};

struct table_walk {
    struct table_set *set;
    struct buffer from, to, name;
    bool says_damage, begun;
    size_t next_table; /* not opened yet */
    struct cursor **heap;
    size_t heap_count;
    uint64_t bytes_done, steps;
};

/* `reason` has REASON_BYTES. */
static struct table_file *open_file(const struct table *table, char *reason)
{
    const struct buffer *largest = &table->info->largest;
    return table_file_open(table->path, table->info->has_bounds ? largest->data : NULL,
                           largest->size, reason, REASON_BYTES);
}

/* --- damage --- */

static void list_damaged(struct table_set *set, struct table *table)
{
    if (table->is_listed) return;
    table->is_listed = true;
    set->damaged[set->damaged_count++] = table;
}

static struct bad_block *note_bad(struct table *table, uint64_t offset)
{
    for (size_t i = 0; i < table->bad_count; i++)
        if (table->bad[i].offset == offset) return &table->bad[i];
    table->bad = mem_realloc(table->bad, (table->bad_count + 1) * sizeof *table->bad);
    table->bad[table->bad_count] = (struct bad_block){.offset = offset};
    return &table->bad[table->bad_count++];
}

static void say_block(const struct table_set *set, const struct table *table, uint64_t offset,
                      struct slice before, struct slice after)
{
    struct buffer range = {0};
    if (before.size) buffer_append_format(&range, " after %s", report_record(before));
    else if (table->info->has_bounds)
        buffer_append_format(&range, " from %s on",
                             report_record(buffer_slice(&table->info->smallest)));
    if (after.size) buffer_append_format(&range, " before %s", report_record(after));
    else if (table->info->has_bounds)
        buffer_append_format(&range, " up to %s",
                             report_record(buffer_slice(&table->info->largest)));
    report_finding(set->report, "%s: the block at offset %llu cannot be read: records%.*s",
                   table->path, (unsigned long long)offset, (int)range.size, range.data);
    buffer_free(&range);
}

/* What the cursor's last step passed over. */
static void take_bad_blocks(const struct table_walk *walk, struct cursor *cursor)
{
    size_t count, of_filter;
    const uint64_t *offsets = table_file_bad_blocks(cursor->file, &count, &of_filter);
    for (size_t i = cursor->bad_seen; i < count; i++) {
        if (i < of_filter) continue;
        struct bad_block *bad = note_bad(cursor->table, offsets[i]);
        list_damaged(walk->set, cursor->table);
        if (bad->is_said || !walk->says_damage) continue;
        bad->is_said = true;
        struct slice after = {NULL, 0};
        if (cursor->entry.key) after = slice_make(cursor->entry.key, cursor->entry.key_size);
        say_block(walk->set, cursor->table, offsets[i], buffer_slice(&cursor->previous), after);
    }
    cursor->bad_seen = count;
}

static bool is_as_new(const struct table *table, const struct table *than)
{
    int level = table->info->level, other = than->info->level;
    if (level < 0 || other < 0) return true;
    if (level != other) return level < other;
    return level > 0 || table->info->number >= than->info->number;
}

static struct table_file *file_to_ask(struct table *table)
{
    char reason[REASON_BYTES];
    if (!table->file) table->file = open_file(table, reason);
    return table->file;
}

static bool holds_name(struct table *table, struct slice name)
{
    const struct table_info *info = table->info;
    if (info->has_bounds && (slice_compare(name, buffer_slice(&info->smallest)) < 0 ||
                             slice_compare(name, buffer_slice(&info->largest)) > 0))
        return false;
    if (table->is_unreadable) return info->has_bounds;
    const struct table_file *file = file_to_ask(table);
    if (!file) return true;
    uint64_t offset = table_file_block_of(file, name.data, name.size);
    for (size_t i = 0; i < table->bad_count; i++)
        if (table->bad[i].offset == offset) return true;
    return false;
}

/* `found` NULL: in no table. */
static bool is_hidden(const struct table_set *set, struct slice name, const struct table *found)
{
    for (size_t i = 0; i < set->damaged_count; i++) {
        if (found && !is_as_new(set->damaged[i], found)) continue;
        if (holds_name(set->damaged[i], name)) return true;
    }
    return false;
}

bool table_set_may_lack(struct table_set *set, struct slice name)
{
    return is_hidden(set, name, NULL);
}

/* Whether a block that cannot be read lies between where the two names belong. */
static bool has_bad_between(struct table *table, struct slice from, struct slice to)
{
    struct table_file *file = file_to_ask(table);
    if (!file) return true;
    uint64_t first = table_file_block_of(file, from.data, from.size);
    uint64_t last = table_file_block_of(file, to.data, to.size);
    for (size_t i = 0; i < table->bad_count; i++)
        if (table->bad[i].offset >= first && table->bad[i].offset <= last) return true;
    return false;
}

bool table_set_may_lack_between(struct table_set *set, struct slice from, struct slice to)
{
    for (size_t i = 0; i < set->damaged_count; i++) {
        struct table *table = set->damaged[i];
        const struct table_info *info = table->info;
        if (info->has_bounds && (slice_compare(to, buffer_slice(&info->smallest)) < 0 ||
                                 slice_compare(from, buffer_slice(&info->largest)) > 0))
            continue;
        if (table->is_unreadable ? info->has_bounds : has_bad_between(table, from, to)) return true;
    }
    return false;
}

bool table_set_is_damaged(const struct table_set *set)
{
    return set->damaged_count > 0;
}

bool table_set_is_certain(const struct table_set *set)
{
    return set->is_certain;
}

bool table_set_is_unknown(const struct table_set *set)
{
    for (size_t i = 0; i < set->damaged_count; i++)
        if (set->damaged[i]->is_unreadable && !set->damaged[i]->info->has_bounds) return true;
    return false;
}

uint64_t table_set_bytes(const struct table_set *set)
{
    return set->bytes;
}

/* --- the set --- */

static int compare_first(const void *a, const void *b)
{
    const struct table *left = a, *right = b;
    return slice_compare(buffer_slice(&left->first), buffer_slice(&right->first));
}

static void say_unreadable(const struct table_set *set, const struct table *table,
                           const char *reason)
{
    const struct table_info *info = table->info;
    if (info->has_bounds) {
        report_finding(set->report, "%s: %s: records from %s up to %s", table->path, reason,
                       report_record(buffer_slice(&info->smallest)),
                       report_record(buffer_slice(&info->largest)));
    } else {
        report_finding(set->report,
                       "%s: %s; whether it was in use and what it held is not known", table->path,
                       reason);
    }
}

static void look_at(struct table_set *set, struct table *table)
{
    char reason[REASON_BYTES];
    struct stat info;
    size_t count, of_filter;
    struct table_entry entry;
    struct table_file *file = open_file(table, reason);
    if (!file) {
        table->is_unreadable = true;
        say_unreadable(set, table, reason);
        return;
    }
    if (*reason)
        report_finding(set->report, "%s: %s; its blocks are read without", table->path, reason);
    if (table->info->has_bounds && stat(table->path, &info) == 0 &&
        (uint64_t)info.st_size != table->info->bytes)
        report_finding(set->report, "%s has %llu bytes, LevelDB's MANIFEST says %llu", table->path,
                       (unsigned long long)info.st_size, (unsigned long long)table->info->bytes);
    const uint64_t *offsets = table_file_bad_blocks(file, &count, &of_filter);
    for (size_t i = 0; i < of_filter; i++)
        report_finding(set->report,
                       "%s: the filter at offset %llu cannot be read; it holds no records",
                       table->path, (unsigned long long)offsets[i]);
    if (!table->info->has_bounds) {
        table_file_seek(file, "", 0);
        if (table_file_entry(file, &entry)) buffer_append(&table->first, entry.key, entry.key_size);
        offsets = table_file_bad_blocks(file, &count, &of_filter);
        for (size_t i = of_filter; i < count; i++) note_bad(table, offsets[i]);
    }
    table_file_close(file);
}

static char *path_of(const char *folder, uint64_t number)
{
    char name[40];
    snprintf(name, sizeof name, "%06llu.sst", (unsigned long long)number);
    char *old = files_path(folder, name);
    if (files_exists(old)) return old;
    mem_free(old);
    snprintf(name, sizeof name, "%06llu.ldb", (unsigned long long)number);
    return files_path(folder, name);
}

static void note_leftovers(const struct table_set *set, const char *folder)
{
    DIR *directory = opendir(folder);
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        uint64_t number;
        if (!files_is_table_name(entry->d_name, &number)) continue;
        size_t i = 0;
        while (i < set->count && set->manifest.tables[i].number != number) i++;
        if (i == set->count)
            report_note(set->report, "%s/%s is not in use; the next start removes it", folder,
                        entry->d_name);
    }
    closedir(directory);
}

bool table_set_open(struct table_set **out, const char *folder, struct report *report)
{
    struct table_set *set = mem_calloc(1, sizeof *set);
    struct error error = {0};
    set->report = report;
    if (manifest_read(folder, &set->manifest, &set->is_certain, &error) != STATUS_OK)
        report_finding(report, "%s", error.text);
    if (!set->is_certain)
        report_note(report,
                    "%s: the list of tables is lost; every table that is there is taken", folder);
    set->count = set->manifest.count;
    note_leftovers(set, folder);
    set->tables = mem_calloc(set->count + 1, sizeof *set->tables);
    set->damaged = mem_calloc(set->count + 1, sizeof(struct table *));
    for (size_t i = 0; i < set->count; i++) {
        struct table *table = &set->tables[i];
        table->info = &set->manifest.tables[i];
        table->path = path_of(folder, table->info->number);
        if (table->info->has_bounds)
            buffer_append_slice(&table->first, buffer_slice(&table->info->smallest));
    }
    for (size_t i = 0; i < set->count; i++) {
        struct stat info;
        if (stat(set->tables[i].path, &info) == 0) set->bytes += (uint64_t)info.st_size;
        look_at(set, &set->tables[i]);
    }
    /* Only then are the damaged listed, by their addresses. */
    qsort(set->tables, set->count, sizeof *set->tables, compare_first);
    for (size_t i = 0; i < set->count; i++)
        if (set->tables[i].is_unreadable || set->tables[i].bad_count > 0)
            list_damaged(set, &set->tables[i]);
    *out = set;
    return set->is_certain || set->count > 0;
}

void table_set_close(struct table_set *set)
{
    if (!set) return;
    for (size_t i = 0; i < set->count; i++) {
        table_file_close(set->tables[i].file);
        mem_free(set->tables[i].bad);
        mem_free(set->tables[i].path);
        buffer_free(&set->tables[i].first);
    }
    mem_free(set->tables);
    mem_free(set->damaged);
    manifest_free(&set->manifest);
    mem_free(set);
}

/* --- a walk --- */

static struct slice name_of(const struct cursor *cursor)
{
    return slice_make(cursor->entry.key, cursor->entry.key_size);
}

static bool comes_before(const struct cursor *a, const struct cursor *b)
{
    int order = slice_compare(name_of(a), name_of(b));
    return order != 0 ? order < 0 : a->entry.sequence > b->entry.sequence;
}

static void sift_down(const struct table_walk *walk, size_t at)
{
    struct cursor **heap = walk->heap;
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < walk->heap_count; child++)
            if (comes_before(heap[child], heap[least])) least = child;
        if (least == at) return;
        struct cursor *swap = heap[at];
        heap[at] = heap[least];
        heap[least] = swap;
        at = least;
    }
}

static void sift_up(const struct table_walk *walk, size_t at)
{
    struct cursor **heap = walk->heap;
    for (; at > 0 && comes_before(heap[at], heap[(at - 1) / 2]); at = (at - 1) / 2) {
        struct cursor *swap = heap[at];
        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = swap;
    }
}

static void close_cursor(struct table_walk *walk, struct cursor *cursor)
{
    walk->bytes_done += table_file_bytes_read(cursor->file);
    table_file_close(cursor->file);
    buffer_free(&cursor->previous);
    mem_free(cursor);
}

/* After a seek or a step. False: at its end, and closed. */
static bool settle(struct table_walk *walk, struct cursor *cursor)
{
    bool is_there = table_file_entry(cursor->file, &cursor->entry);
    if (!is_there) cursor->entry = (struct table_entry){0};
    take_bad_blocks(walk, cursor);
    if (is_there && (walk->to.size == 0 ||
                     slice_compare(name_of(cursor), buffer_slice(&walk->to)) < 0))
        return true;
    close_cursor(walk, cursor);
    return false;
}

static void open_cursor(struct table_walk *walk, struct table *table)
{
    char reason[REASON_BYTES];
    if (table->is_unreadable) return;
    if (table->info->has_bounds && walk->from.size > 0 &&
        slice_compare(buffer_slice(&table->info->largest), buffer_slice(&walk->from)) < 0)
        return;
    struct table_file *file = open_file(table, reason);
    if (!file) return;
    struct cursor *cursor = mem_calloc(1, sizeof *cursor);
    cursor->table = table;
    cursor->file = file;
    table_file_seek(file, walk->from.size ? walk->from.data : "", walk->from.size);
    if (!settle(walk, cursor)) return;
    walk->heap[walk->heap_count++] = cursor;
    sift_up(walk, walk->heap_count - 1);
}

static void open_tables(struct table_walk *walk)
{
    const struct table_set *set = walk->set;
    while (walk->next_table < set->count) {
        struct table *table = &set->tables[walk->next_table];
        struct slice first = buffer_slice(&table->first);
        if (walk->to.size && slice_compare(first, buffer_slice(&walk->to)) >= 0) return;
        if (walk->heap_count > 0 && slice_compare(first, name_of(walk->heap[0])) > 0) return;
        walk->next_table++;
        open_cursor(walk, table);
    }
}

struct table_walk *table_walk_begin(struct table_set *set, struct slice from, struct slice to,
                                    bool says_damage)
{
    struct table_walk *walk = mem_calloc(1, sizeof *walk);
    walk->set = set;
    walk->says_damage = says_damage;
    buffer_append_slice(&walk->from, from);
    buffer_append_slice(&walk->to, to);
    walk->heap = mem_calloc(set->count + 1, sizeof(struct cursor *));
    return walk;
}

void table_walk_end(struct table_walk *walk)
{
    if (!walk) return;
    for (size_t i = 0; i < walk->heap_count; i++) close_cursor(walk, walk->heap[i]);
    mem_free(walk->heap);
    buffer_free(&walk->from);
    buffer_free(&walk->to);
    buffer_free(&walk->name);
    mem_free(walk);
}

static void step_top(struct table_walk *walk)
{
    struct cursor *top = walk->heap[0];
    buffer_clear(&top->previous);
    buffer_append_slice(&top->previous, name_of(top));
    table_file_next(top->file);
    if (!settle(walk, top)) walk->heap[0] = walk->heap[--walk->heap_count];
    sift_down(walk, 0);
}

static void show_progress(struct table_walk *walk)
{
    enum { EVERY = 4096 };
    if (++walk->steps % EVERY != 0) return;
    uint64_t bytes = walk->bytes_done;
    for (size_t i = 0; i < walk->heap_count; i++)
        bytes += table_file_bytes_read(walk->heap[i]->file);
    report_progress(walk->set->report, bytes);
}

bool table_walk_next(struct table_walk *walk, struct visible *out)
{
    for (;;) {
        while (walk->begun && walk->heap_count > 0 &&
               slice_equal(name_of(walk->heap[0]), buffer_slice(&walk->name)))
            step_top(walk);
        open_tables(walk);
        if (walk->heap_count == 0) return false;
        walk->begun = true;
        const struct cursor *top = walk->heap[0];
        buffer_clear(&walk->name);
        buffer_append_slice(&walk->name, name_of(top));
        show_progress(walk);
        if (top->entry.is_delete) continue;
        out->name = buffer_slice(&walk->name);
        out->value = slice_make(top->entry.value, top->entry.value_size);
        out->is_hidden =
            walk->set->damaged_count > 0 && is_hidden(walk->set, out->name, top->table);
        return true;
    }
}
