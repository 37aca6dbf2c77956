/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal of a stopped server, looked at without changing it: what the server would say of it at
 * start, and its records one by one, also behind damage. One thread. */
#ifndef KELVIN_CHECK_JOURNAL_VIEW_H
#define KELVIN_CHECK_JOURNAL_VIEW_H

#include "storage/journal.h"

struct journal_view {
    bool is_there;             /* the folder is */
    enum status verdict;       /* what journal_open says */
    struct error error;        /* its text, but for the advice at the end */
    struct journal_found found; /* with STATUS_OK */
    bool has_header;           /* a whole one was found: what follows is known */
    uint64_t store_id, base_sequence;
};
void journal_view_open(const char *folder, struct journal_view *out);

struct journal_visitor {
    void *context;
    /* Records in order of their sequences; returns false to end the walk. */
    bool (*record)(void *context, const struct journal_record *record);
    /* The records from sequence `from` on, up to that of the next call of `record` (or to the end),
     * are not there; the first of them should have been at that place. `is_end`: nothing says that
     * there are any: just the end. */
    bool (*gap)(void *context, uint64_t from, const char *path, size_t offset, bool is_end);
};
/* Walks the records of the last run whose sequences are at or above `from`. What comes behind the last
 * one is told as a gap, too. */
enum status journal_view_walk(const char *folder, uint64_t from,
                              const struct journal_visitor *visitor, struct error *error);

#endif
