/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The meta records: format, store id, marker, map of databases, count rows; and the garbage list's
 * databases, so that what follows knows which keys belong to nobody. */
#include "check/examine.h"

#include "storage/counts.h"

#include "base/memory.h"

#include <stdio.h>

/* What an id below FIRST_SEQUENCE means when no record says otherwise: number + 1. */
static void map_by_default(struct examination *examination, struct database_view *database)
{
    if (database->number != DATABASE_UNMAPPED || database->db_id == 0 ||
        database->db_id >= FIRST_SEQUENCE)
        return;
    for (size_t i = 0; i < examination->database_count; i++)
        if (examination->databases[i].number == (int64_t)database->db_id - 1) return;
    database->number = (int64_t)database->db_id - 1;
}

struct database_view *examination_database(struct examination *examination, uint64_t db_id)
{
    for (size_t i = 0; i < examination->database_count; i++)
        if (examination->databases[i].db_id == db_id) return &examination->databases[i];
    if (examination->database_count == examination->database_capacity) {
        examination->database_capacity = examination->database_capacity
                                             ? 2 * examination->database_capacity : 32;
        examination->databases =
            mem_realloc(examination->databases,
                        examination->database_capacity * sizeof *examination->databases);
    }
    struct database_view *database = &examination->databases[examination->database_count++];
    *database = (struct database_view){.db_id = db_id, .number = DATABASE_UNMAPPED};
    if (examination->map_is_read) map_by_default(examination, database);
    return database;
}

bool database_is_kept(const struct database_view *database)
{
    return database->is_pending || (database->number != DATABASE_UNMAPPED && !database->is_garbage);
}

const char *examination_database_text(struct examination *examination, uint64_t db_id)
{
    static char text[48];
    const struct database_view *database = examination_database(examination, db_id);
    if (database->number != DATABASE_UNMAPPED)
        snprintf(text, sizeof text, "database %lld", (long long)database->number);
    else
        snprintf(text, sizeof text, "database id %llu", (unsigned long long)db_id);
    return text;
}

static void note_id(struct examination *examination, uint64_t id)
{
    if (id > examination->highest_id) examination->highest_id = id;
}

/* --- the records --- */

static bool is_meta(struct slice name, const char *text)
{
    return name.size == 1 + strlen(text) && memcmp(name.data + 1, text, name.size - 1) == 0;
}

/* A number of `bytes` bytes; false with a finding otherwise. */
static bool take_number(struct examination *examination, const struct visible *at, size_t bytes,
                        uint64_t *out)
{
    char text[8] = {0};
    if (at->value.size != bytes) {
        report_finding(examination->report, "%s: %s has %zu bytes instead of %zu",
                       examination->data_folder, report_record(at->name), at->value.size, bytes);
        examination->store_is_bad = true;
        return false;
    }
    memcpy(text, at->value.data, bytes);
    *out = get_le64(text);
    return true;
}

static void take_count(struct examination *examination, const struct visible *at, uint64_t db_id,
                       uint16_t slot)
{
    struct database_view *database = examination_database(examination, db_id);
    if (at->value.size != 16 || slot >= COUNT_SLOTS) {
        report_finding(examination->report, "%s: %s is not a count", examination->data_folder,
                       report_record(at->name));
        examination->store_is_bad = database->is_uncounted = true;
        return;
    }
    if (at->is_hidden) database->is_uncounted = true;
    database->counted_keys += (int64_t)get_le64(at->value.data);
    database->counted_expiring += (int64_t)get_le64(at->value.data + 8);
}

static void take_map(struct examination *examination, const struct visible *at, uint32_t number)
{
    uint64_t db_id;
    /* A hidden one is likely right; it is told that it may not be. */
    if (at->is_hidden) examination->map_is_bad = true;
    if (!take_number(examination, at, 8, &db_id)) {
        examination->map_is_bad = true;
        return;
    }
    struct database_view *database = examination_database(examination, db_id);
    if (database->number != DATABASE_UNMAPPED) {
        report_finding(examination->report,
                       "%s: databases %lld and %u have the same keys (database id %llu)",
                       examination->data_folder, (long long)database->number, number,
                       (unsigned long long)db_id);
        examination->store_is_bad = true;
        return;
    }
    database->number = number;
    note_id(examination, db_id);
}

static void take_meta(struct examination *examination, const struct visible *at)
{
    uint64_t db_id;
    uint32_t number;
    uint16_t slot;
    if (is_meta(at->name, "format")) {
        examination->has_format = take_number(examination, at, 4, &examination->format);
    } else if (is_meta(at->name, "store-id")) {
        examination->has_store_id = take_number(examination, at, 8, &examination->store_id);
    } else if (is_meta(at->name, "marker")) {
        examination->has_marker =
            take_number(examination, at, 8, &examination->marker) && !at->is_hidden;
    } else if (record_parse_database_name(at->name, &number)) {
        take_map(examination, at, number);
    } else if (record_parse_count_name(at->name, &db_id, &slot)) {
        take_count(examination, at, db_id, slot);
    } else {
        report_finding(examination->report, "%s: %s is of no known kind", examination->data_folder,
                       report_record(at->name));
        examination->store_is_bad = true;
    }
}

static void say_missing(struct examination *examination, const char *what)
{
    report_finding(examination->report, "%s: the store's %s is missing or cannot be read",
                   examination->data_folder, what);
    examination->store_is_bad = true;
}

/* A number without a record means the id number + 1, unless that record may be what is damaged. */
static void check_map(struct examination *examination)
{
    struct buffer from = {0}, to = {0};
    record_database_name(&from, 0);
    record_database_name(&to, UINT32_MAX);
    if (table_set_may_lack_between(examination->set, buffer_slice(&from), buffer_slice(&to)))
        examination->map_is_bad = true;
    buffer_free(&from);
    buffer_free(&to);
}

static void find_garbage_databases(struct examination *examination)
{
    struct buffer from = {0};
    struct visible at;
    char kind;
    uint64_t id;
    record_garbage_name(&from, RECORD_GARBAGE_DATABASE, 0);
    struct table_walk *walk = table_walk_begin(examination->set, buffer_slice(&from),
                                               SLICE_LITERAL("Ge"), false);
    while (table_walk_next(walk, &at))
        if (!at.is_hidden && record_parse_garbage_name(at.name, &kind, &id))
            examination_database(examination, id)->is_garbage = true;
    table_walk_end(walk);
    buffer_free(&from);
}

void examine_meta(struct examination *examination)
{
    struct visible at;
    struct table_walk *walk = table_walk_begin(examination->set, SLICE_LITERAL("M"),
                                               SLICE_LITERAL("N"), false);
    while (table_walk_next(walk, &at)) take_meta(examination, &at);
    table_walk_end(walk);
    check_map(examination);
    find_garbage_databases(examination);
    examination->map_is_read = true;
    for (size_t i = 0; i < examination->database_count; i++)
        map_by_default(examination, &examination->databases[i]);
    if (!examination->has_format) say_missing(examination, "format version");
    if (!examination->has_store_id) say_missing(examination, "id");
    if (!examination->has_marker) say_missing(examination, "marker");
    if (examination->map_is_bad) say_missing(examination, "map of databases");
}

/* --- counts, when the keys have been counted --- */

static bool rows_may_lack(struct examination *examination, uint64_t from_db_id, uint64_t to_db_id)
{
    struct buffer from = {0}, to = {0};
    record_count_name(&from, from_db_id, 0);
    record_count_name(&to, to_db_id, COUNT_SLOTS);
    bool result =
        table_set_may_lack_between(examination->set, buffer_slice(&from), buffer_slice(&to));
    buffer_free(&from);
    buffer_free(&to);
    return result;
}

void examine_counts(struct examination *examination)
{
    const char *before = examination->brings_records ? ", before what the journal brings" : "";
    for (size_t i = 0; i < examination->database_count; i++) {
        struct database_view *database = &examination->databases[i];
        if (database->is_garbage || database->number == DATABASE_UNMAPPED) continue;
        const char *text = examination_database_text(examination, database->db_id);
        if (database->is_uncounted ||
            rows_may_lack(examination, database->db_id, database->db_id)) {
            if (database->keys == 0 && database->counted_keys == 0) continue;
            report_finding(examination->report,
                           "%s: its count cannot be read, so that it is not known how many keys "
                           "are lost; %lld can be served%s", text, (long long)database->keys, before);
            examination->store_is_bad = true;
        } else if (database->counted_keys != database->keys ||
                   database->counted_expiring != database->expiring) {
            report_finding(examination->report,
                           "%s: %lld keys are counted (%lld of them expire), %lld can be served "
                           "(%lld of them expire)%s", text, (long long)database->counted_keys,
                           (long long)database->counted_expiring, (long long)database->keys,
                           (long long)database->expiring, before);
            examination->store_is_bad = true;
        }
    }
    for (size_t i = 0; examination->map_is_bad && i < examination->database_count; i++) {
        const struct database_view *database = &examination->databases[i];
        if (database->number == DATABASE_UNMAPPED || database->keys == 0) continue;
        report_note(examination->report, "%lld keys are taken for those of database %lld: it may have "
                    "had another number", (long long)database->keys, (long long)database->number);
    }
    if (rows_may_lack(examination, 0, UINT64_MAX))
        report_finding(examination->report, "counts cannot be read: of a database that is not named "
                       "here it is not known how many keys are lost");
}
