/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command table: all rows of all families, found by name. A name is hashed by its length and
 * its first and last eight bytes (overlapping for most), letters folded to lower case; the slots
 * are half empty at most, so that one compare is the rule. Each row has a slot of its own with its
 * full name and its figures; a row's slot is found by its address. Loop thread, after start-up. */
#include "base/check.h"
#include "base/memory.h"
#include "commands/families.h"
#include "commands/words.h"

#include <strings.h>

enum { NAME_SLOTS = 1024, ROW_SLOTS = 2048 };

struct row_entry {
    const struct command *command;
    const struct command *parent; /* of a subcommand */
    const char *name;             /* under which clients call it; "parent|sub" for a subcommand */
    size_t name_size;
    struct command_stats *stats;
};

static const struct command_family *const families[] = {
    &string_family, &bitmap_family,     &hyperloglog_family, &keys_family,    &transaction_family,
    &acl_family,    &connection_family, &server_family,      &cluster_family, &scripting_family,
    &watching_family,
};

static struct {
    struct row_entry *by_name[NAME_SLOTS];
    struct row_entry *by_row[ROW_SLOTS];
    struct row_entry **commands; /* top level, in the order of the families */
    int count;
} table;

/* Bit 5 makes a letter lower case; it lets other bytes collide, which the compare sorts out. */
static uint64_t fold(uint64_t word)
{
    return word | UINT64_C(0x2020202020202020);
}

static uint64_t load_short(const char *data, size_t size)
{
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++) word = word << 8 | (unsigned char)data[i];
    return word;
}

static uint32_t name_hash(struct slice name)
{
    uint64_t head, tail = 0;
    if (name.size >= 8) {
        memcpy(&head, name.data, 8);
        memcpy(&tail, name.data + name.size - 8, 8);
    } else if (name.size >= 4) {
        uint32_t low, high;
        memcpy(&low, name.data, 4);
        memcpy(&high, name.data + name.size - 4, 4);
        head = (uint64_t)high << 32 | low;
    } else {
        head = load_short(name.data, name.size);
    }
    uint64_t hash = fold(head) * UINT64_C(0x9e3779b97f4a7c15) ^
                    fold(tail) * UINT64_C(0xc2b2ae3d27d4eb4f) ^ name.size;
    hash *= UINT64_C(0x165667b19e3779f9);
    return (uint32_t)(hash >> 54);
}

static uint32_t row_hash(const struct command *command)
{
    return (uint32_t)(((uint64_t)(uintptr_t)command >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 53);
}

static struct row_entry *find_name(struct slice name)
{
    uint32_t i = name_hash(name);
    for (struct row_entry *entry; (entry = table.by_name[i]); i = (i + 1) % NAME_SLOTS) {
        if (entry->name_size == name.size &&
            strncasecmp(entry->name, name.data, name.size) == 0)
            return entry;
    }
    return NULL;
}

static struct row_entry *find_row(const struct command *command)
{
    uint32_t i = row_hash(command);
    while (table.by_row[i]) {
        if (table.by_row[i]->command == command) return table.by_row[i];
        i = (i + 1) % ROW_SLOTS;
    }
    panic("the command %s is not in the table", command->name);
}

static void add_row(struct row_entry *entry)
{
    uint32_t i = row_hash(entry->command);
    while (table.by_row[i]) i = (i + 1) % ROW_SLOTS;
    table.by_row[i] = entry;
}

static void add_name(struct row_entry *entry)
{
    uint32_t i = name_hash(slice_make(entry->name, entry->name_size));
    while (table.by_name[i]) i = (i + 1) % NAME_SLOTS;
    table.by_name[i] = entry;
}

static struct row_entry *entry_create(const struct command *command, const struct row_entry *parent)
{
    struct row_entry *entry = mem_calloc(1, sizeof *entry);
    struct buffer name = {0};
    if (parent) buffer_append_format(&name, "%s|", parent->name);
    buffer_append(&name, command->name, strlen(command->name) + 1);
    entry->command = command;
    entry->parent = parent ? parent->command : NULL;
    entry->name = name.data;
    entry->name_size = name.size - 1;
    entry->stats = mem_calloc(1, sizeof *entry->stats);
    return entry;
}

static void entry_destroy(struct row_entry *entry)
{
    mem_free((char *)(uintptr_t)entry->name);
    mem_free(entry->stats);
    mem_free(entry);
}

static void table_clear(void)
{
    for (int i = 0; i < ROW_SLOTS; i++)
        if (table.by_row[i]) entry_destroy(table.by_row[i]);
    mem_free(table.commands);
    memset(&table, 0, sizeof table);
}

static int total_rows(void)
{
    int total = 0;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) total += families[f]->count;
    ASSERT(total <= NAME_SLOTS / 2);
    return total;
}

/* Renames in the list of commands; names are indexed afterwards. */
static bool rename_entry(const char *from, const char *to)
{
    int found = -1;
    for (int i = 0; i < table.count; i++) {
        const char *name = table.commands[i]->name;
        if (!*name) continue; /* removed before */
        if (strcasecmp(name, from) == 0) found = i;
        else if (strcasecmp(name, to) == 0) return false;
    }
    if (found < 0) return false;
    struct row_entry *entry = table.commands[found];
    mem_free((char *)(uintptr_t)entry->name);
    entry->name = slice_dup_text(slice_from_text(to));
    entry->name_size = strlen(to);
    return true;
}

/* A command renamed to nothing keeps its row (its figures may be asked for), but not its place. */
static void drop_removed(void)
{
    int kept = 0;
    for (int i = 0; i < table.count; i++)
        if (table.commands[i]->name_size) table.commands[kept++] = table.commands[i];
    table.count = kept;
}

static void add_subcommands(const struct row_entry *parent)
{
    const struct command *command = parent->command;
    for (int i = 0; i < command->subcommand_count; i++)
        add_row(entry_create(&command->subcommands[i], parent));
}

bool command_table_init(const char *const (*renames)[2], size_t rename_count, const char **bad)
{
    table_clear();
    table.commands = mem_calloc((size_t)total_rows(), sizeof(struct row_entry *));
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        for (int i = 0; i < families[f]->count; i++) {
            struct row_entry *entry = entry_create(&families[f]->rows[i], NULL);
            table.commands[table.count++] = entry;
            add_row(entry);
        }
    }
    for (size_t i = 0; i < rename_count; i++) {
        if (rename_entry(renames[i][0], renames[i][1])) continue;
        *bad = renames[i][0];
        return false;
    }
    drop_removed();
    for (int i = 0; i < table.count; i++) {
        add_name(table.commands[i]);
        add_subcommands(table.commands[i]);
    }
    return true;
}

const struct command *command_find(struct slice name)
{
    const struct row_entry *entry = find_name(name);
    return entry ? entry->command : NULL;
}

const struct command *command_find_sub(const struct command *command, struct slice name)
{
    for (int i = 0; i < command->subcommand_count; i++)
        if (slice_equal_nocase(name, command->subcommands[i].name))
            return &command->subcommands[i];
    return NULL;
}

int command_count(void)
{
    return table.count;
}

const struct command *command_at(int index)
{
    return table.commands[index]->command;
}

const char *command_full_name(const struct command *command)
{
    return find_row(command)->name;
}

bool command_in_category(const struct command *command, const char *category)
{
    struct slice rest = words_begin(command->categories), word;
    while (words_next(&rest, ' ', &word))
        if (slice_equal(slice_make(word.data + 1, word.size - 1), slice_from_text(category)))
            return true;
    return false;
}

struct command_stats *command_stats(const struct command *command)
{
    return find_row(command)->stats;
}
