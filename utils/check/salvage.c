/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The order of the repair. The new store becomes the one that counts before the new journal does: in
 * between the old journal is still refused, or fits. */
#include "check/salvage.h"

#include "base/memory.h"
#include "check/files.h"
#include "storage/store_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { SPARE_BYTES = 256 << 20 }; /* the journal's first files */

struct plan {
    bool writes_store, writes_journal;
    uint32_t number;         /* of the data folder afterwards */
    uint64_t store_id, marker, first_sequence;
};

/* --- the copy --- */

static char *without_slash(const char *path)
{
    char *copy = mem_dup(path, strlen(path) + 1);
    for (size_t size = strlen(copy); size > 1 && copy[size - 1] == '/';) copy[--size] = '\0';
    return copy;
}

static char *choose_copy(const char *dir, const char *copy_to)
{
    if (copy_to) return without_slash(copy_to);
    char *resolved = realpath(dir, NULL);
    char *base = without_slash(resolved ? resolved : dir);
    free(resolved);
    size_t size = strlen(base) + sizeof ".before-repair-4294967295";
    char *path = mem_alloc(size);
    unsigned number = 0;
    do snprintf(path, size, "%s.before-repair-%u", base, ++number);
    while (files_exists(path));
    mem_free(base);
    return path;
}

static char *parent_of(const char *path)
{
    char *parent = mem_dup(path, strlen(path) + 1);
    char *slash = strrchr(parent, '/');
    if (!slash) strcpy(parent, ".");
    else if (slash == parent) slash[1] = '\0';
    else *slash = '\0';
    return parent;
}

static enum status check_one(const char *folder, uint64_t needed, const char *what,
                             struct error *error)
{
    uint64_t available;
    enum status status = files_free_bytes(folder, &available, error);
    if (status != STATUS_OK || available >= needed) return status;
    return error_set(error, STATUS_NO_SPACE,
                     "nothing was changed: %s needs %llu MB of free space in %s, there are %llu MB",
                     what, (unsigned long long)(needed >> 20) + 1, folder,
                     (unsigned long long)(available >> 20));
}

/* Says what is needed, and whether it is there. */
static enum status check_space(const struct examination *examination, const struct plan *plan,
                               const char *copy, uint64_t copy_bytes, struct error *error)
{
    uint64_t bytes = table_set_bytes(examination->set);
    uint64_t store_bytes = plan->writes_store ? bytes + bytes / 4 : 0;
    uint64_t own_bytes = store_bytes + SPARE_BYTES;
    struct stat here, there;
    char *parent = parent_of(copy);
    printf("the repair needs %llu MB for a copy in %s and %llu MB in %s\n",
           (unsigned long long)(copy_bytes >> 20) + 1, copy,
           (unsigned long long)(own_bytes >> 20) + 1, examination->dir);
    fflush(stdout);
    enum status status = STATUS_OK;
    if (stat(parent, &there) != 0)
        status = error_set_errno(error, errno, "cannot look at %s", parent);
    else if (stat(examination->dir, &here) != 0)
        status = error_set_errno(error, errno, "cannot look at %s", examination->dir);
    else if (here.st_dev == there.st_dev)
        status = check_one(parent, copy_bytes + own_bytes, "the repair", error);
    else {
        status = check_one(parent, copy_bytes, "the copy", error);
        if (status == STATUS_OK)
            status = check_one(examination->dir, own_bytes, "the repair", error);
    }
    mem_free(parent);
    return status;
}

struct copying {
    struct report *report;
    uint64_t done;
};

static void note_copied(void *context, uint64_t bytes)
{
    struct copying *copying = context;
    copying->done += bytes;
    report_progress(copying->report, copying->done);
}

static enum status make_copy(const struct examination *examination, const struct plan *plan,
                             const char *copy_to, struct error *error)
{
    uint64_t bytes = 0, copied = 0, unreadable = 0;
    struct copying copying = {examination->report, 0};
    char *copy = choose_copy(examination->dir, copy_to);
    enum status status = files_tree_bytes(examination->dir, &bytes, error);
    if (status == STATUS_OK && files_exists(copy))
        status = error_set(error, STATUS_INVALID, "%s exists: name a folder that does not", copy);
    if (status == STATUS_OK) status = check_space(examination, plan, copy, bytes, error);
    if (status == STATUS_OK) {
        report_begin(examination->report, "copying", bytes);
        status = files_copy_tree(examination->dir, copy, &unreadable, note_copied, &copying, error);
        report_end(examination->report);
    }
    if (status == STATUS_OK) status = files_tree_bytes(copy, &copied, error);
    if (status == STATUS_OK && copied != bytes)
        status = error_set(error, STATUS_IO_ERROR, "the copy in %s has %llu bytes instead of %llu",
                           copy, (unsigned long long)copied, (unsigned long long)bytes);
    if (status == STATUS_OK) printf("copied to %s\n", copy);
    if (unreadable > 0)
        printf("note: the disk did not give %llu bytes; the copy has zeros there\n",
               (unsigned long long)unreadable);
    mem_free(copy);
    return status;
}

/* --- the plan --- */

static uint32_t new_number(const struct examination *examination)
{
    uint32_t highest = examination->number;
    DIR *directory = opendir(examination->store_folder);
    if (!directory) return highest + 1;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strncmp(entry->d_name, "data-", 5) != 0) continue;
        unsigned long number = strtoul(entry->d_name + 5, NULL, 10);
        if (number > highest && number < UINT32_MAX) highest = (uint32_t)number;
    }
    closedir(directory);
    return highest + 1;
}

static enum status make_plan(const struct examination *examination, struct plan *out,
                             struct error *error)
{
    const struct journal_view *view = &examination->journal;
    *out = (struct plan){.writes_store = examination->store_is_bad,
                         .writes_journal =
                             examination->journal_is_bad || examination->journal_names_bad,
                         .number = examination->number,
                         .store_id = examination->store_id,
                         .marker = examination->marker};
    if (out->writes_store) out->number = new_number(examination);
    if (!examination->has_store_id) {
        out->store_id = view->store_id;
        while (out->store_id == 0)
            if (getrandom(&out->store_id, sizeof out->store_id, 0) != sizeof out->store_id)
                return error_set(error, STATUS_IO_ERROR, "no random numbers from the system");
        if (!view->has_header) out->writes_journal = true;
    }
    if (out->writes_journal && !examination->brings_records) {
        /* Nothing is to be applied: begin above everything that there ever was. */
        if (examination->highest_id > out->marker) out->marker = examination->highest_id;
        if (out->marker < FIRST_SEQUENCE - 1) out->marker = FIRST_SEQUENCE - 1;
    }
    out->first_sequence = out->marker + 1;
    return STATUS_OK;
}

/* --- putting in place --- */

/* Where the file system cannot exchange two names at once, dying in between leaves no journal: the copy
 * has it, and journal.old. */
static enum status put_in_place(const char *fresh, const char *place, const char *old,
                                struct error *error)
{
    if (!files_exists(place)) {
        if (rename(fresh, place) == 0) return STATUS_OK;
    } else if (renameat2(AT_FDCWD, fresh, AT_FDCWD, place, RENAME_EXCHANGE) == 0) {
        if (rename(fresh, old) == 0) return STATUS_OK;
    } else if (errno == EINVAL || errno == ENOSYS) {
        if (rename(place, old) == 0 && rename(fresh, place) == 0) return STATUS_OK;
    }
    return error_set_errno(error, errno, "cannot put %s in the place of %s", fresh, place);
}

static enum status exchange_journal(const struct examination *examination, const char *fresh,
                                    struct error *error)
{
    char *old = files_path(examination->dir, "journal.old");
    enum status status = files_remove_tree(old, error);
    if (status == STATUS_OK)
        status = put_in_place(fresh, examination->journal_folder, old, error);
    if (status == STATUS_OK) status = files_sync_folder(examination->dir, error);
    if (status == STATUS_OK) status = files_remove_tree(old, error);
    mem_free(old);
    return status;
}

static enum status write_store(struct examination *examination, const struct plan *plan,
                               struct error *error)
{
    enum status status = STATUS_OK;
    if (plan->writes_store)
        status = salvage_store(examination, plan->number, plan->store_id, plan->marker, error);
    else if (plan->marker != examination->marker)
        status = salvage_marker(examination, plan->marker, error);
    if (status == STATUS_OK && (plan->writes_store || examination->pointer_is_bad))
        status = store_write_current(examination->store_folder, plan->number, error);
    return status;
}

static enum status write_journal(struct examination *examination, const struct plan *plan,
                                 struct error *error)
{
    char *fresh = files_path(examination->dir, "journal.new");
    enum status status = files_remove_tree(fresh, error);
    if (status == STATUS_OK)
        status = salvage_journal(examination, fresh, plan->store_id, plan->first_sequence, error);
    if (status == STATUS_OK) status = exchange_journal(examination, fresh, error);
    mem_free(fresh);
    return status;
}

enum status salvage(struct examination *examination, const char *copy_to, bool accepts_old,
                    struct error *error)
{
    struct plan plan;
    if (table_set_is_unknown(examination->set) && !accepts_old)
        return error_set(error, STATUS_CORRUPT,
                         "nothing was changed: the list of tables is lost, and there is one that cannot "
                         "be read, so that old values cannot be told from current ones. Bring back a "
                         "copy of the folder, or add --accept-old-values");
    enum status status = make_plan(examination, &plan, error);
    if (status == STATUS_OK) status = make_copy(examination, &plan, copy_to, error);
    if (status == STATUS_OK) status = write_store(examination, &plan, error);
    if (status == STATUS_OK && plan.writes_journal)
        status = write_journal(examination, &plan, error);
    if (status == STATUS_OK)
        status = store_remove_leftovers(examination->store_folder, plan.number, error);
    if (status != STATUS_OK) return status;
    printf("repaired: %s%s%s\n", plan.writes_store ? "the store was written anew" : "",
           plan.writes_store && plan.writes_journal ? ", " : "",
           plan.writes_journal ? "the journal was written anew"
                               : plan.writes_store ? "" : "the pointer was written anew");
    fflush(stdout);
    return STATUS_OK;
}
