/* SPDX-License-Identifier: BSD-3-Clause
 *
 * CURRENT is one line, the name of a MANIFEST. That is a log: blocks of 32 KiB, in them records of
 * checksum (4 bytes, over type and data), length (2), type (1: whole 1, first 2, middle 3, last 4)
 * and data; a record that the end of the file cuts off was never finished and does not count. The
 * data of one is an edit, a list of (tag, fields) in varints:
 *
 *   1 name of the order   2 log number   3 next file number   4 last sequence   5 level, key
 *   6 level, number: a table goes        7 level, number, bytes, smallest, largest: one comes
 *   9 previous log number
 *
 * Keys are internal ones, with 8 bytes behind the user's key. */
#include "check/manifest.h"

#include "base/memory.h"
#include "check/crc32c.h"
#include "check/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 32768, HEADER_BYTES = 7, TRAILER_BYTES = 8 };
enum { RECORD_ZERO, RECORD_WHOLE, RECORD_FIRST, RECORD_MIDDLE, RECORD_LAST };

struct reading {
    struct manifest *manifest;
    uint64_t *gone; /* numbers of tables that an edit took away */
    size_t gone_count, gone_capacity;
    bool has_next_file, has_log_number, has_last_sequence;
    const char *path;
    struct error *error; /* of the first damage */
    enum status status;
};

static void damaged(struct reading *reading, size_t offset, const char *reason)
{
    if (reading->status != STATUS_OK) return;
    reading->status = error_set(reading->error, STATUS_CORRUPT, "%s is damaged at offset %zu: %s",
                                reading->path, offset, reason);
}

/* --- the list of tables --- */

static struct table_info *find_table(struct manifest *manifest, uint64_t number)
{
    for (size_t i = 0; i < manifest->count; i++)
        if (manifest->tables[i].number == number) return &manifest->tables[i];
    return NULL;
}

static void free_table(struct table_info *table)
{
    buffer_free(&table->smallest);
    buffer_free(&table->largest);
}

static void remove_table(struct reading *reading, uint64_t number)
{
    struct manifest *manifest = reading->manifest;
    struct table_info *table = find_table(manifest, number);
    if (table) {
        free_table(table);
        *table = manifest->tables[--manifest->count];
    }
    if (reading->gone_count == reading->gone_capacity) {
        reading->gone_capacity = reading->gone_capacity ? 2 * reading->gone_capacity : 64;
        reading->gone =
            mem_realloc(reading->gone, reading->gone_capacity * sizeof *reading->gone);
    }
    reading->gone[reading->gone_count++] = number;
}

static struct table_info *add_table(struct manifest *manifest, uint64_t number)
{
    struct table_info *table = find_table(manifest, number);
    if (!table) {
        if (manifest->count == manifest->capacity) {
            manifest->capacity = manifest->capacity ? 2 * manifest->capacity : 64;
            manifest->tables =
                mem_realloc(manifest->tables, manifest->capacity * sizeof *manifest->tables);
        }
        table = &manifest->tables[manifest->count++];
    } else {
        free_table(table);
    }
    *table = (struct table_info){.number = number, .level = -1};
    return table;
}

void manifest_free(struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->count; i++) free_table(&manifest->tables[i]);
    mem_free(manifest->tables);
    buffer_free(&manifest->name);
    *manifest = (struct manifest){0};
}

/* --- edits --- */

static bool take_number(struct slice *input, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && input->size > 0; shift += 7) {
        uint64_t byte = (unsigned char)*input->data;
        *input = slice_make(input->data + 1, input->size - 1);
        *out |= (byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool take_bytes(struct slice *input, struct slice *out)
{
    uint64_t size;
    if (!take_number(input, &size) || size > input->size) return false;
    *out = slice_make(input->data, (size_t)size);
    *input = slice_make(input->data + size, input->size - (size_t)size);
    return true;
}

/* An internal key; gives the user's. */
static bool take_key(struct slice *input, struct slice *out)
{
    if (!take_bytes(input, out) || out->size < TRAILER_BYTES) return false;
    out->size -= TRAILER_BYTES;
    return true;
}

static bool take_new_table(struct reading *reading, struct slice *input)
{
    uint64_t level, number, bytes;
    struct slice smallest, largest;
    if (!take_number(input, &level) || !take_number(input, &number) ||
        !take_number(input, &bytes) || !take_key(input, &smallest) || !take_key(input, &largest))
        return false;
    for (size_t i = 0; i < reading->gone_count; i++) /* moved to another level */
        if (reading->gone[i] == number) reading->gone[i] = reading->gone[--reading->gone_count];
    struct table_info *table = add_table(reading->manifest, number);
    table->bytes = bytes;
    table->level = (int)level;
    table->has_bounds = true;
    buffer_append_slice(&table->smallest, smallest);
    buffer_append_slice(&table->largest, largest);
    return true;
}

static bool take_field(struct reading *reading, uint64_t tag, struct slice *input, bool additions)
{
    uint64_t number, level;
    struct slice bytes;
    switch (tag) {
    case 1: return take_bytes(input, &bytes);
    case 2: return take_number(input, &number) && (reading->has_log_number = true);
    case 3: return take_number(input, &number) && (reading->has_next_file = true);
    case 4: return take_number(input, &number) && (reading->has_last_sequence = true);
    case 5: return take_number(input, &level) && take_key(input, &bytes);
    case 6:
        if (!take_number(input, &level) || !take_number(input, &number)) return false;
        if (!additions) remove_table(reading, number);
        return true;
    case 7:
        if (additions) return take_new_table(reading, input);
        return take_number(input, &level) && take_number(input, &number) &&
               take_number(input, &number) && take_key(input, &bytes) && take_key(input, &bytes);
    case 9: return take_number(input, &number);
    default: return false;
    }
}

/* Within an edit deletions come first, whatever their order. */
static void apply_edit(struct reading *reading, struct slice edit, size_t offset)
{
    for (int additions = 0; additions < 2; additions++) {
        struct slice rest = edit;
        while (rest.size > 0) {
            uint64_t tag;
            if (take_number(&rest, &tag) && take_field(reading, tag, &rest, additions)) continue;
            damaged(reading, offset, "an edit that cannot be read");
            return;
        }
    }
}

/* --- the log --- */

struct log_record {
    int type; /* -1: damaged */
    struct slice data;
    size_t next; /* offset of what follows */
};

static bool is_whole_record(struct slice file, size_t offset)
{
    if (file.size - offset < HEADER_BYTES) return false;
    const char *at = file.data + offset;
    size_t length = (unsigned char)at[4] | (size_t)(unsigned char)at[5] << 8;
    return length > 0 && length <= file.size - offset - HEADER_BYTES && at[6] >= RECORD_WHOLE &&
           at[6] <= RECORD_LAST &&
           crc32c_mask(crc32c_extend(0, at + 6, length + 1)) == get_le32(at);
}

/* A record says that it is longer than the file. Was its end never written, or is it the length that
 * is damaged? LevelDB takes it for the former. True with where to go on for the latter. */
static bool is_wrong_length(struct slice file, size_t offset, size_t *next)
{
    const char *at = file.data + offset;
    size_t left = file.size - offset - HEADER_BYTES;
    *next = file.size;
    if (crc32c_mask(crc32c_extend(0, at + 6, left + 1)) == get_le32(at)) return true;
    for (*next = offset + 1; *next < file.size; ++*next)
        if (is_whole_record(file, *next)) return true;
    return false;
}

/* False at the end of the file. */
static bool next_record(struct slice file, size_t offset, struct log_record *out)
{
    size_t block_end = (offset / BLOCK_BYTES + 1) * BLOCK_BYTES;
    bool is_last = block_end > file.size;
    if (block_end - offset < HEADER_BYTES) {
        if (is_last || block_end == file.size) return false;
        return next_record(file, block_end, out);
    }
    if (file.size - offset < HEADER_BYTES) return false;
    const char *at = file.data + offset;
    size_t length = (unsigned char)at[4] | (size_t)(unsigned char)at[5] << 8;
    out->type = (unsigned char)at[6];
    if (length > (is_last ? file.size : block_end) - offset - HEADER_BYTES) {
        out->type = -1;
        out->next = block_end;
        return !is_last || is_wrong_length(file, offset, &out->next);
    }
    out->data = slice_make(at + HEADER_BYTES, length);
    out->next = offset + HEADER_BYTES + length;
    if (out->type == RECORD_ZERO && length == 0) {
        out->next = block_end;
        return block_end < file.size;
    }
    if (crc32c_mask(crc32c_extend(0, at + 6, length + 1)) != get_le32(at)) out->type = -1;
    return true;
}

static void read_log(struct reading *reading, struct slice file)
{
    struct buffer edit = {0};
    struct log_record record;
    bool in_parts = false;
    for (size_t offset = 0; offset < file.size && next_record(file, offset, &record);
         offset = record.next) {
        switch (record.type) {
        case RECORD_ZERO: break;
        case RECORD_WHOLE:
            if (in_parts) damaged(reading, offset, "a record begins before the last has ended");
            in_parts = false;
            apply_edit(reading, record.data, offset);
            break;
        case RECORD_FIRST:
            if (in_parts) damaged(reading, offset, "a record begins before the last has ended");
            in_parts = true;
            buffer_clear(&edit);
            buffer_append_slice(&edit, record.data);
            break;
        case RECORD_MIDDLE:
        case RECORD_LAST:
            if (!in_parts) {
                damaged(reading, offset, "a record without its beginning");
                break;
            }
            buffer_append_slice(&edit, record.data);
            if (record.type == RECORD_MIDDLE) break;
            in_parts = false;
            apply_edit(reading, buffer_slice(&edit), offset);
            break;
        default:
            damaged(reading, offset, "a record with a wrong checksum");
            in_parts = false;
        }
    }
    buffer_free(&edit);
    if (!reading->has_next_file || !reading->has_log_number || !reading->has_last_sequence)
        damaged(reading, 0, "it lacks the numbers of files and writes");
}

/* --- the folder --- */

static bool is_manifest_name(struct slice name)
{
    return name.size > 9 && memcmp(name.data, "MANIFEST-", 9) == 0 &&
           strspn(name.data + 9, "0123456789") == name.size - 9;
}

static void find_manifest(const char *folder, struct buffer *name)
{
    unsigned long long highest = 0;
    DIR *directory = opendir(folder);
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct slice found = slice_from_text(entry->d_name);
        if (!is_manifest_name(found)) continue;
        unsigned long long number = strtoull(entry->d_name + 9, NULL, 10);
        if (name->size && number < highest) continue;
        highest = number;
        buffer_clear(name);
        buffer_append_slice(name, found);
    }
    closedir(directory);
}

static enum status read_current(const char *folder, struct buffer *name, struct error *error)
{
    char *path = files_path(folder, "CURRENT");
    struct buffer text = {0};
    enum status status = files_read(path, 256, &text, error);
    if (status == STATUS_OK) {
        bool is_line = text.size > 1 && text.data[text.size - 1] == '\n';
        if (is_line) text.data[--text.size] = '\0';
        if (is_line && is_manifest_name(buffer_slice(&text)))
            buffer_append_slice(name, buffer_slice(&text));
        else
            status = error_set(error, STATUS_CORRUPT,
                               "%s is damaged at offset 0: it does not name a MANIFEST", path);
    }
    buffer_free(&text);
    mem_free(path);
    return status;
}

/* The list may lack tables, or have some that are gone by now. */
static void take_all_tables(struct reading *reading, const char *folder)
{
    struct manifest *manifest = reading->manifest;
    for (size_t i = 0; i < manifest->count; i++) manifest->tables[i].level = -1;
    DIR *directory = opendir(folder);
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        uint64_t number;
        if (!files_is_table_name(entry->d_name, &number) || find_table(manifest, number)) continue;
        size_t i = 0;
        while (i < reading->gone_count && reading->gone[i] != number) i++;
        if (i == reading->gone_count) add_table(manifest, number);
    }
    closedir(directory);
}

enum status manifest_read(const char *folder, struct manifest *out, bool *is_certain,
                          struct error *error)
{
    struct error own, *of_log = &own;
    struct reading reading = {.manifest = out};
    *out = (struct manifest){0};
    enum status status = read_current(folder, &out->name, error);
    if (status != STATUS_OK) find_manifest(folder, &out->name);
    else of_log = error;
    buffer_append(&out->name, "", 1);
    char *path = files_path(folder, out->name.data);
    struct buffer text = {0};
    reading.path = path;
    reading.error = of_log;
    if (out->name.size == 1)
        reading.status = STATUS_CORRUPT;
    else
        reading.status = files_read(path, 0, &text, of_log);
    if (reading.status == STATUS_OK) read_log(&reading, buffer_slice(&text));
    *is_certain = reading.status == STATUS_OK;
    if (!*is_certain) take_all_tables(&reading, folder);
    buffer_free(&text);
    mem_free(reading.gone);
    mem_free(path);
    return status != STATUS_OK ? status : reading.status;
}
