/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The verdict comes from the journal itself (journal_internal.h), over a table of file functions that
 * cannot write. The walk reads the segments of the last run in the order of their numbers, as
 * journal_recovery.c does, but goes on behind damage: at the next place in the segment where a
 * record of this run with a higher sequence is whole. */
#include "check/journal_view.h"

#include "base/memory.h"
#include "check/files.h"
#include "storage/journal_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* --- segments --- */

struct piece {
    char *path;
    struct segment_header header;
    uint64_t limit; /* sequences from here on are replaced by a later segment */
    size_t append_offset; /* what was appended ends there; 0: not known */
};

struct pieces {
    struct piece *list;
    size_t count;
};

static void add_piece(struct pieces *pieces, char *path)
{
    struct buffer page = {0};
    struct segment_header header;
    bool is_whole = files_read(path, SEGMENT_HEADER_BYTES, &page, NULL) == STATUS_OK &&
                    page.size == SEGMENT_HEADER_BYTES &&
                    segment_header_decode(page.data, &header) == STATUS_OK;
    size_t append_offset = 0;
    bool is_closed;
    if (is_whole && !append_offset_decode(get_le64(page.data + SEGMENT_APPEND_OFFSET),
                                          &append_offset, &is_closed))
        append_offset = 0;
    buffer_free(&page);
    if (!is_whole) {
        mem_free(path);
        return;
    }
    pieces->list = mem_realloc(pieces->list, (pieces->count + 1) * sizeof *pieces->list);
    pieces->list[pieces->count++] = (struct piece){path, header, UINT64_MAX, append_offset};
}

static int compare_numbers(const void *a, const void *b)
{
    const struct piece *left = a, *right = b;
    if (left->header.number != right->header.number)
        return left->header.number < right->header.number ? -1 : 1;
    return 0;
}

/* Those of the last run, in order. */
static enum status find_pieces(const char *folder, struct pieces *pieces, struct error *error)
{
    DIR *directory = opendir(folder);
    if (!directory) return error_set_errno(error, errno, "cannot open %s", folder);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (strncmp(entry->d_name, "journal-", 8) == 0 && size > 4 &&
            strcmp(entry->d_name + size - 4, ".seg") == 0)
            add_piece(pieces, files_path(folder, entry->d_name));
    }
    closedir(directory);
    if (pieces->count == 0) return STATUS_OK;
    qsort(pieces->list, pieces->count, sizeof *pieces->list, compare_numbers);
    uint64_t run = pieces->list[pieces->count - 1].header.run;
    size_t kept = 0;
    for (size_t i = 0; i < pieces->count; i++) {
        if (pieces->list[i].header.run == run) pieces->list[kept++] = pieces->list[i];
        else mem_free(pieces->list[i].path);
    }
    pieces->count = kept;
    for (size_t i = 0; i < kept; i++) {
        uint64_t from = pieces->list[i].header.replaces_from;
        for (size_t j = 0; from != 0 && j < i; j++)
            if (pieces->list[j].limit > from) pieces->list[j].limit = from;
    }
    return STATUS_OK;
}

static void free_pieces(struct pieces *pieces)
{
    for (size_t i = 0; i < pieces->count; i++) mem_free(pieces->list[i].path);
    mem_free(pieces->list);
}

/* --- the verdict --- */

static int open_to_read(void *context, const char *path, int flags)
{
    (void)context;
    (void)flags;
    return open(path, O_RDONLY | O_CLOEXEC);
}

static int no_sync(void *context, int fd)
{
    (void)context;
    (void)fd;
    return 0;
}

static int no_sync_folder(void *context, const char *path)
{
    (void)context;
    (void)path;
    return 0;
}

void journal_view_open(const char *folder, struct journal_view *out)
{
    static const struct journal_options no_options;
    struct journal_file_operations files = journal_files_of_system;
    struct journal *journal;
    files.open = open_to_read;
    files.fdatasync = no_sync;
    files.sync_folder = no_sync_folder;
    files.pwrite = NULL;
    files.fallocate = NULL;
    *out = (struct journal_view){.is_there = files_is_folder(folder)};
    if (!out->is_there) {
        out->verdict = error_set(&out->error, STATUS_CORRUPT, "%s is missing", folder);
        return;
    }
    out->verdict = journal_open_with(&journal, folder, &no_options, NULL, &files, &out->found,
                                     &out->error);
    if (out->verdict == STATUS_OK) {
        out->has_header = !out->found.empty;
        out->store_id = out->found.store_id;
        out->base_sequence = out->found.base_sequence;
        journal_close(journal, NULL);
        return;
    }
    out->error.text[strcspn(out->error.text, ";")] = '\0'; /* advice */
    struct pieces pieces = {0};
    if (find_pieces(folder, &pieces, NULL) == STATUS_OK && pieces.count > 0) {
        out->has_header = true;
        out->store_id = pieces.list[0].header.store_id;
        out->base_sequence = pieces.list[0].header.first_sequence - 1;
    }
    free_pieces(&pieces);
}

/* --- the walk --- */

struct walk {
    const struct journal_visitor *visitor;
    uint64_t expected; /* the next sequence */
    bool has_ended;
    char *bad_path; /* the place where `expected` should have been; NULL: none yet */
    size_t bad_offset;
    bool is_end; /* and there the journal may just end */
};

static void note_bad_place(struct walk *walk, const char *path, size_t offset, bool is_end)
{
    if (walk->bad_path) return;
    walk->bad_path = mem_dup(path, strlen(path) + 1);
    walk->bad_offset = offset;
    walk->is_end = is_end;
}

static void forget_bad_place(struct walk *walk)
{
    mem_free(walk->bad_path);
    walk->bad_path = NULL;
}

static void tell_gap(struct walk *walk, bool at_end)
{
    if (walk->has_ended || !walk->bad_path) return;
    walk->has_ended = !walk->visitor->gap(walk->visitor->context, walk->expected, walk->bad_path,
                                          walk->bad_offset, at_end && walk->is_end);
    forget_bad_place(walk);
}

static void take_record(struct walk *walk, const struct record *record)
{
    struct journal_record out = {record->sequence, record->operations, record->payload};
    if (record->sequence > walk->expected) tell_gap(walk, false);
    forget_bad_place(walk);
    walk->expected = record_next_sequence(record);
    if (!walk->has_ended)
        walk->has_ended = !walk->visitor->record(walk->visitor->context, &out);
}

/* The next place at or behind `from` with a whole record of a sequence at or above `least`. */
static size_t resume(const struct buffer *file, size_t from, uint64_t run, uint64_t least,
                     struct record *record)
{
    for (size_t at = from; at + RECORD_HEADER_BYTES <= file->size; at += RECORD_ALIGNMENT)
        if (record_parse(file->data + at, file->size - at, run, record) == STATUS_OK &&
            record->sequence >= least)
            return at;
    return file->size;
}

/* `after`: the segment that comes behind it, or NULL. */
static void walk_piece(struct walk *walk, const struct piece *piece, const struct piece *after,
                       const struct buffer *file)
{
    uint64_t run = piece->header.run, next = piece->header.first_sequence;
    size_t offset = SEGMENT_HEADER_BYTES;
    struct record record;
    while (!walk->has_ended && next < piece->limit) {
        bool is_good = offset < file->size &&
                       record_parse(file->data + offset, file->size - offset, run, &record) ==
                           STATUS_OK && record.sequence == next;
        if (!is_good) {
            if (after && after->header.first_sequence == next) return;
            if (next >= walk->expected)
                note_bad_place(walk, piece->path, offset,
                               !after && piece->append_offset && offset >= piece->append_offset);
            offset = resume(file, offset + RECORD_ALIGNMENT, run, next, &record);
            if (offset >= file->size) return;
        }
        offset += record.size;
        next = record_next_sequence(&record);
        if (record_is_mark(&record) || next <= walk->expected || next > piece->limit) continue;
        take_record(walk, &record);
    }
}

/* Behind it comes a segment that begins at or before `from`, and nothing is replaced. */
static bool is_passed(const struct pieces *pieces, size_t index, uint64_t from)
{
    return index + 1 < pieces->count && pieces->list[index].limit == UINT64_MAX &&
           pieces->list[index + 1].header.first_sequence <= from;
}

enum status journal_view_walk(const char *folder, uint64_t from,
                              const struct journal_visitor *visitor, struct error *error)
{
    struct pieces pieces = {0};
    struct walk walk = {.visitor = visitor, .expected = from};
    enum status status = find_pieces(folder, &pieces, error);
    for (size_t i = 0; i < pieces.count; i++) {
        const struct piece *piece = &pieces.list[i];
        struct buffer file = {0};
        uint64_t unreadable = 0;
        if (status == STATUS_OK && !walk.has_ended && !is_passed(&pieces, i, from)) {
            if (piece->header.first_sequence > walk.expected)
                note_bad_place(&walk, piece->path, SEGMENT_HEADER_BYTES, false);
            status = files_read_through(piece->path, 0, &file, &unreadable, error);
            if (status == STATUS_OK)
                walk_piece(&walk, piece, i + 1 < pieces.count ? piece + 1 : NULL, &file);
        }
        buffer_free(&file);
    }
    if (status == STATUS_OK) tell_gap(&walk, true);
    forget_bad_place(&walk);
    free_pieces(&pieces);
    return status;
}
