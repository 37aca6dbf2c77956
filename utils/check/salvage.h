/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The repair: a copy of everything, then store and journal written anew from what the examination found
 * good. One thread beside those of LevelDB and the journal. */
#ifndef KELVIN_CHECK_SALVAGE_H
#define KELVIN_CHECK_SALVAGE_H

#include "check/examine.h"

/* `copy_to` NULL: a folder beside the data folder. Nothing is changed before the copy is complete.
 * Dying in it leaves a folder that is refused or whole, and the copy. Unless `accepts_old`, it does not
 * begin where nothing tells old values from current ones (table_set_is_unknown). */
enum status salvage(struct examination *examination, const char *copy_to, bool accepts_old,
                    struct error *error);

/* --- its parts --- */

/* salvage_store.c: a new data folder in which the journal's records from `marker` + 1 on are missing,
 * durable, but not yet named by the pointer. */
enum status salvage_store(struct examination *examination, uint32_t number, uint64_t store_id,
                          uint64_t marker, struct error *error);
/* The marker of a store that is left as it is. */
enum status salvage_marker(const struct examination *examination, uint64_t marker,
                           struct error *error);
/* salvage_journal.c: a new journal in `folder` that begins at `first_sequence` and holds the records
 * of the old one that can be applied. */
enum status salvage_journal(struct examination *examination, const char *folder, uint64_t store_id,
                            uint64_t first_sequence, struct error *error);

#endif
