/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is said: one line for each finding on standard output, progress on a terminal's standard
 * error. One thread. */
#ifndef KELVIN_CHECK_REPORT_H
#define KELVIN_CHECK_REPORT_H

#include "base/bytes.h"

struct report {
    uint64_t findings; /* damage */
    uint64_t lost;     /* keys and writes named as lost */
    bool is_quiet;     /* counts, but says nothing */
    bool has_progress; /* a terminal */
    uint64_t done, total, shown_percent; /* bytes, for the progress */
    const char *doing;
};

/* A line about what is wrong. */
void report_finding(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "lost: ...": what cannot be served any more, or may be an old value. */
void report_lost(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What one should know, but is no damage. */
void report_note(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void report_begin(struct report *report, const char *doing, uint64_t total);
void report_progress(struct report *report, uint64_t done);
void report_end(struct report *report);

/* The bytes between double quotes, escaped as redis-cli does; valid until the fourth next call. */
const char *report_quoted(struct slice bytes);
/* What a record is, by its name in LevelDB: `key "a" of database id 1`; same lifetime. */
const char *report_record(struct slice name);

#endif
