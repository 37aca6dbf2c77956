/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal is cut at the damage. The store may hold more than what is left then; all of it was in
 * the journal before, so nothing that is left needs to be applied: the journal begins anew behind the
 * store. Nothing of the store is changed. */
#include "server/repair.h"

#include "base/log.h"
#include "storage/journal.h"
#include "storage/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum status open_leveldb(void *context, struct engine **out, const char *folder, bool create,
                                struct error *error)
{
    static struct leveldb_metrics metrics;
    return engine_open_leveldb(out, folder, create, context, &metrics, error);
}

/* Marker and id of the store. STATUS_NOT_FOUND: there is none. */
static enum status read_store(const char *dir, uint64_t *marker, uint64_t *store_id,
                              struct error *error)
{
    struct leveldb_options options = {0};
    struct store *store;
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s/store", dir);
    option_set_defaults(&leveldb_option_table, &options);
    enum status status = store_open(&store, folder, false, 0, 0, 1, open_leveldb, &options, error);
    if (status != STATUS_OK) return status;
    *marker = store_meta(store)->marker;
    *store_id = store_meta(store)->store_id;
    store_close(store);
    return STATUS_OK;
}

/* An empty run, which needs all up to `marker` in the store. */
static enum status begin_behind(const char *folder, uint64_t store_id, uint64_t marker,
                                struct error *error)
{
    struct journal_options options = {0};
    struct journal_found found;
    struct journal *journal;
    option_set_defaults(&journal_option_table, &options);
    options.journal_io = JOURNAL_IO_WRITE;
    options.journal_segment_bytes = 1 << 20; /* the server's own are made when it starts */
    options.disk_reserve_bytes = 0;
    enum status status = journal_open(&journal, folder, &options, NULL, &found, error);
    if (status != STATUS_OK) return status;
    status = journal_start_run(journal, store_id, marker + 1, error);
    enum status closed = journal_close(journal, status == STATUS_OK ? error : NULL);
    return status != STATUS_OK ? status : closed;
}

/* `marker` is 0 unless the journal had to begin behind the store. */
static enum status repair(const char *dir, const char *folder, struct journal_found *found,
                          struct error *damage, uint64_t *marker, struct error *error)
{
    uint64_t store_id, ends;
    enum status status = journal_repair(folder, found, damage, error);
    if (status != STATUS_OK) return status;
    status = read_store(dir, &ends, &store_id, error);
    if (status == STATUS_NOT_FOUND) return STATUS_OK;
    if (status != STATUS_OK || found->empty || ends < found->next_sequence) return status;
    if (store_id != found->store_id)
        return error_set(error, STATUS_CORRUPT, "the journal in '%s' does not belong to the store beside it",
                         folder);
    *marker = ends;
    return begin_behind(folder, store_id, ends, error);
}

int repair_main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("kelvin-server: --repair-journal needs the data folder\n", stderr);
        return 1;
    }
    char folder[PATH_MAX];
    struct journal_found found;
    struct error damage = {0}, error = {0};
    uint64_t marker = 0;
    int lock_fd = -1;
    snprintf(folder, sizeof folder, "%s/journal", argv[2]);
    enum status status = STATUS_OK;
    if (access(folder, R_OK | W_OK | X_OK) != 0)
        status = error_set_errno(&error, errno, "cannot open '%s'", folder);
    if (status == STATUS_OK) status = store_lock(argv[2], &lock_fd, &error);
    if (status == STATUS_OK) status = repair(argv[2], folder, &found, &damage, &marker, &error);
    if (lock_fd >= 0) store_unlock(lock_fd);
    if (damage.code != STATUS_OK)
        printf("%.*s\n", (int)strcspn(damage.text, ";"), damage.text);
    if (status != STATUS_OK) {
        fprintf(stderr, "kelvin-server: %s\n", error.text);
        return 1;
    }
    if (damage.code != STATUS_OK)
        printf("the journal was cut there; its last record ends at sequence %llu\n",
               (unsigned long long)found.last_sequence);
    if (marker != 0)
        printf("the store holds all up to sequence %llu: the journal begins anew behind that\n",
               (unsigned long long)marker);
    if (damage.code == STATUS_OK && marker == 0)
        printf("%s: no damage found, nothing was changed\n", folder);
    return 0;
}
