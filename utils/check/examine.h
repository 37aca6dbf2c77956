/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The examination of a data folder. It reads everything once, in order, and keeps in memory only what is
 * wrong; what must be compared in another order than it lies in (heads and chunks, keys and expiry
 * records) goes through sorters. One thread; never writes into the data folder.
 *
 * Where the store is damaged and the journal is not, the repair has the server apply the journal from its
 * beginning: what it still has is not lost. (Operations say what is, not what changes, so that may be
 * done as often as one likes; but for SWAPDB.)
 *
 * What a crash leaves on purpose is no finding: operations of the journal beyond the store's marker
 * are applied again at the next start, and part of them may be in LevelDB already, so the objects
 * and databases that they name ("pending") may be in any state. */
#ifndef KELVIN_CHECK_EXAMINE_H
#define KELVIN_CHECK_EXAMINE_H

#include "check/journal_view.h"
#include "check/report.h"
#include "check/sorter.h"
#include "check/table_set.h"
#include "storage/operation.h"
#include "storage/record.h"

/* Numbers in ascending order. */
struct id_list {
    uint64_t *ids;
    size_t count, capacity;
};
void id_list_add(struct id_list *list, uint64_t id); /* at or above all before */
bool id_list_has(const struct id_list *list, uint64_t id);
bool id_list_take(struct id_list *list, uint64_t id); /* takes it out; false: it was not in */
void id_list_free(struct id_list *list);

enum { DATABASE_UNMAPPED = -1 };
#define KEPT_AS_IT_IS UINT64_MAX /* of a pending object: every chunk, and its place on the garbage list */

struct database_view {
    uint64_t db_id;
    int64_t number;      /* that means it, or DATABASE_UNMAPPED */
    bool is_garbage;     /* being deleted in the background */
    bool is_pending;
    bool is_uncounted;   /* its count rows cannot be trusted */
    bool is_told;        /* that it is wrong */
    int64_t counted_keys, counted_expiring;
    int64_t keys, expiring; /* that can be served */
};

struct examination {
    struct report *report;
    char *dir, *journal_folder, *store_folder, *data_folder; /* data_folder NULL: there is none */
    uint32_t number; /* of the data folder */
    bool pointer_is_bad;

    struct journal_view journal;
    bool journal_is_bad; /* the server would refuse it; it is to be written anew */
    uint64_t end;        /* last sequence that the journal can bring, or that the store has */
    bool brings_records; /* some above the marker */
    struct sorter *pending;  /* object id -> length, of operations above the marker */
    struct sorter *replayed; /* the same of operations that the journal still has below it */
    struct id_list journal_keys; /* hashes of the names of keys that it sets or deletes */
    bool can_roll_back;      /* the store's marker may be moved back to where the journal begins */
    bool rolls_back;         /* and is, since the store is damaged: `marker` is that place */

    struct table_set *set;
    bool has_format, has_store_id, has_marker;
    uint64_t format, store_id, marker;
    bool map_is_bad, map_is_read;
    uint64_t highest_id; /* of objects and databases */
    struct database_view *databases;
    size_t database_count, database_capacity;

    struct sorter *heads;    /* object id -> length */
    struct sorter *objects;  /* object id -> end of the last byte that is stored */
    struct sorter *garbage;  /* object ids */
    struct sorter *expiry_of_keys, *expiry_records; /* hashes of names */

    struct id_list bad_objects;    /* what they hold cannot be served */
    struct sorter *kept_objects;   /* object id -> length, or KEPT_AS_IT_IS */
    bool journal_names_bad;        /* pending operations name such objects */
    struct id_list missing_expiry, stray_expiry;  /* hashes of expiry records */
    struct id_list stray_keys, stray_present;     /* of their keys; of those that are there */
    bool store_is_bad; /* findings in the store: it is to be written anew */
};

/* STATUS_OK: examined, findings are in the report. Else nothing could be, `error` says why. */
enum status examine(struct examination *out, const char *dir, struct report *report,
                    struct error *error);
void examination_free(struct examination *examination);

/* Valid until another one is added. */
struct database_view *examination_database(struct examination *examination, uint64_t db_id);
/* Whether its keys are to be kept. */
bool database_is_kept(const struct database_view *database);
/* "database 3" or "database id 1048590"; one text at a time. */
const char *examination_database_text(struct examination *examination, uint64_t db_id);
uint64_t expiry_hash(int64_t expire_at_ms, uint64_t db_id, struct slice key);
uint64_t key_hash(uint64_t db_id, struct slice key);
/* Whether applying the journal will say what the key is, whatever the store says. */
bool examination_journal_has(const struct examination *examination, uint64_t db_id,
                             struct slice key);
static inline uint64_t chunks_of(uint64_t length)
{
    return (length + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

/* examine_journal.c: after the meta records are known; names keys that the journal sets to objects that
 * turned out to be bad. */
enum status examine_journal(struct examination *examination, struct error *error);
enum status examine_journal_losses(struct examination *examination, struct error *error);
/* examine_meta.c */
void examine_meta(struct examination *examination);
void examine_counts(struct examination *examination);
/* examine_records.c */
enum status examine_records(struct examination *examination, struct error *error);
/* examine_objects.c: heads, chunks, garbage against each other; then names what is wrong. */
enum status examine_objects(struct examination *examination, struct error *error);
enum status examine_expiry(struct examination *examination, struct error *error);
enum status examine_names(struct examination *examination, struct error *error);

#endif
