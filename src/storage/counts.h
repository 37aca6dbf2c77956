/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How many keys each database has, as the count rows in LevelDB say (rule 10): one row per database and
 * batch slot, written in the batch that changes it, so that their sum is always the number of key
 * records that are there. Also what the loop was last told. The batch writer's thread. */
#ifndef KELVIN_STORAGE_COUNTS_H
#define KELVIN_STORAGE_COUNTS_H

#include "storage/engine.h"

enum { COUNT_SLOTS = 64 };

struct count_pair {
    int64_t keys, expiring;
};

struct count_database {
    uint64_t db_id;
    struct count_pair slots[COUNT_SLOTS];
    struct count_pair reported; /* the sum that the loop knows */
};

struct counts {
    struct count_database *databases;
    size_t count, capacity;
};

/* Reads all rows again; what was reported stays. */
enum status counts_load(struct counts *counts, struct engine *engine, struct error *error);
void counts_free(struct counts *counts);

/* Valid until another database is added or forgotten. */
struct count_database *counts_of(struct counts *counts, uint64_t db_id);
struct count_pair counts_sum(const struct count_database *database);

/* The loop starts with the sums as they are now. */
void counts_report_all(struct counts *counts);
void counts_forget(struct counts *counts, uint64_t db_id);
void counts_forget_all(struct counts *counts);

/* Adds the row with that value to a batch; `name` is scratch memory. */
void counts_put_row(struct engine_batch *batch, struct buffer *name, uint64_t db_id, unsigned slot,
                    struct count_pair value);
/* Adds the removal of all rows of a database. */
void counts_delete_rows(struct engine_batch *batch, uint64_t db_id);

#endif
