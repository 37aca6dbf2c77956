/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the journal's tests share: a journal in a folder of its own, the test as its loop, records
 * whose bytes follow from their sequence. Included by one test file each. */
#ifndef KELVIN_TESTS_JOURNAL_SUPPORT_H
#define KELVIN_TESTS_JOURNAL_SUPPORT_H

#include "base/clock.h"
#include "storage/journal_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { STORE_ID = 4711, WAIT_LIMIT_US = 20000000 };

struct fixture {
    char folder[300], base[256];
    struct journal_options options;
    struct journal_metrics metrics;
    const struct journal_file_operations *files;
    struct mailbox *home;
    struct journal *journal;
    struct error error;
    unsigned acknowledgements, spaces, healths;
};

/* Waits, as the loop would, for letters or a change that another thread makes. */
#define wait_until(fixture, condition)                                                             \
    do {                                                                                           \
        int64_t limit_us = clock_monotonic_us() + WAIT_LIMIT_US;                                   \
        while (!(condition)) {                                                                     \
            if (mailbox_wait((fixture)->home, 1000)) mailbox_deliver((fixture)->home);             \
            if (clock_monotonic_us() > limit_us) fail_msg("waited in vain: %s", #condition);       \
        }                                                                                          \
    } while (0)

static inline void count_acknowledged(void *context)
{
    ((struct fixture *)context)->acknowledgements++;
}
static inline void count_space(void *context) { ((struct fixture *)context)->spaces++; }
static inline void count_health(void *context) { ((struct fixture *)context)->healths++; }

static inline int fixture_setup(void **state, int journal_io)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const char *temporary = getenv("TMPDIR");
    snprintf(fixture->base, sizeof fixture->base, "%s/kelvin-journal-XXXXXX",
             temporary ? temporary : "/tmp");
    assert_non_null(mkdtemp(fixture->base));
    snprintf(fixture->folder, sizeof fixture->folder, "%s/journal", fixture->base);
    fixture->options = (struct journal_options){.appendfsync = JOURNAL_EVERYSEC,
                                                .journal_io = journal_io,
                                                .journal_segment_bytes = 65536,
                                                .journal_prepared_segments = 2};
    fixture->files = &journal_files_of_system;
    assert_int_equal(mailbox_create(&fixture->home, NULL), STATUS_OK);
    *state = fixture;
    return 0;
}

static inline int fixture_setup_mmap(void **state) { return fixture_setup(state, JOURNAL_IO_MMAP); }
static inline int fixture_setup_write(void **state) { return fixture_setup(state, JOURNAL_IO_WRITE); }

static inline int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[700];
    mailbox_destroy(fixture->home);
    snprintf(command, sizeof command, "rm -rf '%s'", fixture->base);
    int result = system(command);
    free(fixture);
    return result;
}

static inline enum status fixture_try_open(struct fixture *fixture, struct journal_found *found)
{
    enum status status =
        journal_open_with(&fixture->journal, fixture->folder, &fixture->options, &fixture->metrics,
                          fixture->files, found, &fixture->error);
    if (status == STATUS_OK) fixture->journal->retry_us = fixture->journal->first_pause_us = 2000;
    return status;
}

static inline struct journal_found fixture_open(struct fixture *fixture)
{
    struct journal_found found;
    if (fixture_try_open(fixture, &found) != STATUS_OK) fail_msg("%s", fixture->error.text);
    return found;
}

static inline void fixture_start(struct fixture *fixture, uint64_t first_sequence)
{
    struct journal_events events = {fixture, count_acknowledged, count_space, count_health};
    journal_set_events(fixture->journal, fixture->home, &events);
    if (journal_start_run(fixture->journal, STORE_ID, first_sequence, &fixture->error) != STATUS_OK)
        fail_msg("%s", fixture->error.text);
}

static inline void fixture_close(struct fixture *fixture)
{
    if (journal_close(fixture->journal, &fixture->error) != STATUS_OK)
        fail_msg("%s", fixture->error.text);
    fixture->journal = NULL;
    mailbox_deliver(fixture->home);
}

/* The bytes of a record: its size and content follow from its first sequence. */
static inline size_t expected_size(uint64_t sequence) { return 1 + sequence * 7919 % 160; }
static inline char expected_byte(uint64_t sequence, size_t at)
{
    return (char)(sequence * 31 + at * 7 + 1);
}

static inline void fill_payload(char *payload, size_t size, uint64_t sequence)
{
    for (size_t i = 0; i < size; i++) payload[i] = expected_byte(sequence, i);
}

/* Tries until it is taken, also while the journal takes no records. */
static inline uint64_t append_record_of(struct fixture *fixture, unsigned operations, size_t size)
{
    struct journal_append append;
    enum status status;
    wait_until(fixture,
               (status = journal_reserve(fixture->journal, size, false, &append)) == STATUS_OK ||
                   (journal_end_turn(fixture->journal), false));
    fill_payload(append.payload, size, journal_next_sequence(fixture->journal));
    return journal_commit(fixture->journal, &append, operations);
}

static inline uint64_t append_record(struct fixture *fixture, unsigned operations)
{
    return append_record_of(fixture, operations,
                            expected_size(journal_next_sequence(fixture->journal)));
}

static inline void wait_for_sync(struct fixture *fixture, uint64_t sequence)
{
    wait_until(fixture, journal_synced_sequence(fixture->journal) >= sequence);
}

static inline void wait_for_acknowledged(struct fixture *fixture, uint64_t sequence)
{
    wait_until(fixture, journal_acknowledged_sequence(fixture->journal) >= sequence);
}

static inline void wait_for_counter(struct fixture *fixture, const struct counter *counter,
                                    uint64_t value)
{
    wait_until(fixture, counter_get(counter) >= value);
}

/* Runs the loop for a time, for what must not happen in it. */
static inline void fixture_deliver_for(struct fixture *fixture, int64_t milliseconds)
{
    int64_t end_us = clock_monotonic_us() + milliseconds * 1000;
    for (int64_t left_us; (left_us = end_us - clock_monotonic_us()) > 0;)
        if (mailbox_wait(fixture->home, left_us)) mailbox_deliver(fixture->home);
}

/* Reads from the record of sequence `first` to the one that ends with `last`, which must be there
 * in order and whole. */
static inline void expect_records(struct fixture *fixture, uint64_t first, uint64_t last)
{
    struct journal_reader *reader = journal_reader_create(fixture->journal, first);
    struct journal_record record;
    uint64_t next = 0;
    while (next <= last) {
        enum status status = journal_reader_next(reader, UINT64_MAX, &record, &fixture->error);
        if (status != STATUS_OK)
            fail_msg("no record %llu: %s", (unsigned long long)next, fixture->error.text);
        if (next == 0) assert_true(record.sequence <= first);
        if (next > 0) assert_int_equal(record.sequence, next);
        for (size_t i = 0; i < record.payload.size; i++)
            if (record.payload.data[i] != expected_byte(record.sequence, i))
                fail_msg("record %llu differs", (unsigned long long)record.sequence);
        next = record.sequence + record.operations;
    }
    journal_reader_destroy(reader);
}

#endif
