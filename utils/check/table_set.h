/* SPDX-License-Identifier: BSD-3-Clause
 *
 * All tables of a LevelDB folder together: the records as LevelDB would show them, and which of them
 * cannot be trusted. One thread; never writes.
 *
 * A block or table that cannot be read may have held a newer version, or the deletion, of a record
 * that an older table still has. LevelDB's levels tell what is older: in level 0 a higher file
 * number is newer, and any level is newer than the ones below it. So a record is "hidden" when damage
 * at its own age or newer lies where its name belongs. A hidden record is never to be served. */
#ifndef KELVIN_CHECK_TABLE_SET_H
#define KELVIN_CHECK_TABLE_SET_H

#include "check/manifest.h"
#include "check/report.h"

struct table_set;
struct table_walk;

/* Reads the list of tables and looks at the end and index of each. What is wrong becomes findings.
 * False when there is nothing to read: no list and no table. */
bool table_set_open(struct table_set **out, const char *folder, struct report *report);
void table_set_close(struct table_set *set);

bool table_set_is_damaged(const struct table_set *set);
/* False when the list of tables was damaged. */
bool table_set_is_certain(const struct table_set *set);
/* A table that cannot be read, of which nobody knows what it held: any record may be an old one. */
bool table_set_is_unknown(const struct table_set *set);
uint64_t table_set_bytes(const struct table_set *set);
/* Whether damage of any age lies where a record of that name, which no table has, would be. */
bool table_set_may_lack(struct table_set *set, struct slice name);
/* Whether damage may lie anywhere from one name to another. */
bool table_set_may_lack_between(struct table_set *set, struct slice from, struct slice to);

struct visible {
    struct slice name, value; /* until the walk moves on */
    bool is_hidden;
};

/* Walks [from, to); an empty `to` means to the end. `says_damage`: bad blocks become findings, each
 * once. */
struct table_walk *table_walk_begin(struct table_set *set, struct slice from, struct slice to,
                                    bool says_damage);
/* The next record whose newest readable version is no deletion. */
bool table_walk_next(struct table_walk *walk, struct visible *out);
void table_walk_end(struct table_walk *walk);

#endif
