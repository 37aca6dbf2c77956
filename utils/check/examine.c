/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The order of the examination: folders and pointer, journal, meta records, records, then what goes across. */
#include "check/examine.h"

#include "base/memory.h"
#include "check/files.h"
#include "storage/store_files.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

/* --- the folders --- */

struct folder_list {
    struct id_list numbers; /* of data-N with something in them */
};

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void list_data_folders(const char *store_folder, struct id_list *numbers)
{
    DIR *directory = opendir(store_folder);
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char *end;
        if (strncmp(entry->d_name, "data-", 5) != 0) continue;
        unsigned long number = strtoul(entry->d_name + 5, &end, 10);
        if (end == entry->d_name + 5 || *end || number == 0 || number > UINT32_MAX) continue;
        id_list_add(numbers, number);
    }
    closedir(directory);
    if (numbers->count > 1) qsort(numbers->ids, numbers->count, sizeof *numbers->ids, compare_ids);
}

/* Without a pointer: the newest data folder that has tables. */
static uint32_t guess_folder(const char *store_folder, const struct id_list *numbers)
{
    for (size_t i = numbers->count; i-- > 0;) {
        char *path = store_data_path(store_folder, (uint32_t)numbers->ids[i]);
        DIR *directory = opendir(path);
        bool has_tables = false;
        uint64_t number;
        for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;)
            has_tables |= files_is_table_name(entry->d_name, &number);
        if (directory) closedir(directory);
        mem_free(path);
        if (has_tables) return (uint32_t)numbers->ids[i];
    }
    return 0;
}

static void find_data_folder(struct examination *examination)
{
    struct report *report = examination->report;
    struct error error = {0};
    struct id_list numbers = {0};
    uint32_t number = 0;
    list_data_folders(examination->store_folder, &numbers);
    enum status status = store_read_current(examination->store_folder, &number, &error);
    if (status != STATUS_OK) {
        report_finding(report, "%s", error.text);
        examination->pointer_is_bad = true;
        number = status == STATUS_UNSUPPORTED ? 0
                                              : guess_folder(examination->store_folder, &numbers);
        if (number) report_note(report, "data-%u is taken for the folder that counts", number);
    }
    for (size_t i = 0; i < numbers.count; i++)
        if (number && numbers.ids[i] != number)
            report_note(report, "%s/data-%llu is a leftover, which the next start removes",
                        examination->store_folder, (unsigned long long)numbers.ids[i]);
    id_list_free(&numbers);
    examination->number = number;
    if (number) examination->data_folder = store_data_path(examination->store_folder, number);
}

/* What another program's LevelDB has left would be passed over in silence. */
static void look_for_logs(struct examination *examination)
{
    DIR *directory = opendir(examination->data_folder);
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');
        struct stat info;
        if (!dot || strcmp(dot, ".log") != 0 ||
            fstatat(dirfd(directory), entry->d_name, &info, 0) != 0 || info.st_size == 0)
            continue;
        report_finding(examination->report, "%s/%s: another program has written to this store",
                       examination->data_folder, entry->d_name);
        examination->store_is_bad = true;
    }
    closedir(directory);
}

/* --- all --- */

static enum status check_format(const struct examination *examination, struct error *error)
{
    if (!examination->has_format || examination->format == RECORD_FORMAT_VERSION) return STATUS_OK;
    return error_set(error, STATUS_UNSUPPORTED,
                     "%s has format version %llu, this program knows version %d",
                     examination->data_folder, (unsigned long long)examination->format,
                     RECORD_FORMAT_VERSION);
}

static enum status examine_store(struct examination *examination, struct error *error)
{
    uint64_t before = examination->report->findings;
    look_for_logs(examination);
    if (!table_set_open(&examination->set, examination->data_folder, examination->report))
        return error_set(error, STATUS_CORRUPT, "%s holds no tables: there is nothing to read",
                         examination->data_folder);
    if (examination->report->findings > before) examination->store_is_bad = true;
    examine_meta(examination);
    enum status status = check_format(examination, error);
    if (status == STATUS_OK) status = examine_journal(examination, error);
    if (status == STATUS_OK) status = examine_records(examination, error);
    if (status == STATUS_OK) status = examine_objects(examination, error);
    if (status == STATUS_OK) status = examine_journal_losses(examination, error);
    if (status == STATUS_OK) status = examine_expiry(examination, error);
    if (status == STATUS_OK) status = examine_names(examination, error);
    if (status != STATUS_OK) return status;
    examine_counts(examination);
    if (examination->rolls_back || (examination->brings_records && examination->store_is_bad))
        report_note(examination->report, "the journal still has what was written from sequence %llu "
                    "on; that is not lost", (unsigned long long)examination->marker + 1);
    if (table_set_is_damaged(examination->set)) examination->store_is_bad = true;
    return STATUS_OK;
}

enum status examine(struct examination *out, const char *dir, struct report *report,
                    struct error *error)
{
    *out = (struct examination){.report = report};
    out->dir = mem_dup(dir, strlen(dir) + 1);
    out->journal_folder = files_path(dir, "journal");
    out->store_folder = files_path(dir, "store");
    if (!files_is_folder(out->store_folder)) {
        if (!files_is_folder(out->journal_folder))
            return error_set(error, STATUS_NOT_FOUND,
                             "%s holds neither a store nor a journal: not a data folder", dir);
        return error_set(error, STATUS_CORRUPT, "%s is missing: bring back a copy",
                         out->store_folder);
    }
    find_data_folder(out);
    if (!out->data_folder)
        return error_set(error, STATUS_CORRUPT, "%s has no data folder that can be read",
                         out->store_folder);
    journal_view_open(out->journal_folder, &out->journal);
    if (out->journal.verdict == STATUS_UNSUPPORTED) {
        *error = out->journal.error;
        return STATUS_UNSUPPORTED;
    }
    return examine_store(out, error);
}

void examination_free(struct examination *examination)
{
    mem_free(examination->dir);
    mem_free(examination->journal_folder);
    mem_free(examination->store_folder);
    mem_free(examination->data_folder);
    table_set_close(examination->set);
    mem_free(examination->databases);
    sorter_destroy(examination->pending);
    sorter_destroy(examination->replayed);
    id_list_free(&examination->journal_keys);
    sorter_destroy(examination->heads);
    sorter_destroy(examination->objects);
    sorter_destroy(examination->garbage);
    sorter_destroy(examination->expiry_of_keys);
    sorter_destroy(examination->expiry_records);
    sorter_destroy(examination->kept_objects);
    id_list_free(&examination->bad_objects);
    id_list_free(&examination->missing_expiry);
    id_list_free(&examination->stray_expiry);
    id_list_free(&examination->stray_keys);
    id_list_free(&examination->stray_present);
    *examination = (struct examination){0};
}
