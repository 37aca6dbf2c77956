/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Cutting a damaged journal at the damage, for an operator, with the server stopped. What comes
 * behind is taken away from the end towards the damage, so that dying on the way leaves a journal
 * that is still refused, never one that looks whole and is not. */
#include "storage/journal_internal.h"

#include "base/memory.h"

#include <errno.h>

/* Nothing behind the cut vouches for anything any more. */
static enum status wipe_tail(struct journal *journal, struct segment *segment,
                             struct error *error)
{
    const struct journal_file_operations *files = journal->files;
    size_t from = atomic_load(&segment->published), size = segment->bytes - from;
    uint64_t offset = append_offset_encode(from, false);
    char *zeroes = mem_calloc(1, size + 1);
    int result = journal_file_write(files, segment->fd, zeroes, size, (off_t)from);
    if (result == 0)
        result = journal_file_write(files, segment->fd, &offset, sizeof offset,
                                    SEGMENT_APPEND_OFFSET);
    if (result == 0) result = files->fdatasync(files->context, segment->fd);
    int saved = errno;
    mem_free(zeroes);
    if (result == 0) return STATUS_OK;
    return error_set_errno(error, saved, "cannot cut %s", segment->path);
}

static struct segment *last_number(const struct segment_list *list)
{
    struct segment *last = list->first;
    for (struct segment *at = list->first; at; at = at->next)
        if (at->header.number > last->header.number) last = at;
    return last;
}

static enum status cut(struct journal *journal, struct error *error)
{
    for (struct segment *at; (at = last_number(&journal->retiring)) != NULL;) {
        enum status status = STATUS_OK;
        if (at->bytes >= SEGMENT_HEADER_BYTES)
            status = segment_make_blank(journal->files, at, error);
        if (status != STATUS_OK) return status;
        segment_list_remove(&journal->retiring, at);
        segment_free(journal->files, at);
    }
    return wipe_tail(journal, journal->chain.last, error);
}

enum status journal_repair_with(const char *folder, const struct journal_file_operations *files,
                                struct journal_found *found, struct error *damage,
                                struct error *error)
{
    static const struct journal_options no_options;
    struct journal *journal = journal_new(folder, &no_options, NULL, files);
    enum status status = STATUS_OK;
    *damage = (struct error){0};
    journal->accepts_damage = true;
    if (files->boot_id(files->context, journal->boot_id) != 0)
        status = error_set_errno(error, errno, "cannot read the machine's boot id");
    if (status == STATUS_OK) status = journal_recover(journal, found, damage);
    if (status != STATUS_OK && damage->code != STATUS_OK && error) *error = *damage;
    if (status == STATUS_OK && damage->code != STATUS_OK) status = cut(journal, error);
    journal_free(journal);
    return status;
}

enum status journal_repair(const char *folder, struct journal_found *found, struct error *damage,
                           struct error *error)
{
    return journal_repair_with(folder, &journal_files_of_system, found, damage, error);
}
