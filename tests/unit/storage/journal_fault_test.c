/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal on a disk whose calls fail: what was reported as synced is kept, errors are told, and
 * writing goes on by itself once the cause is gone. */
#include "journal_support.h"

#include "journal_disk.h"

static void set_fault(struct disk *disk, unsigned long after, unsigned long count, int error_number)
{
    pthread_mutex_lock(&disk->lock);
    disk->fail_at = after ? disk->calls + after : 0;
    disk->fail_count = count;
    disk->fail_errno = error_number;
    pthread_mutex_unlock(&disk->lock);
}

/* A power cut now, and what is found then. */
static void expect_after_cut(struct fixture *fixture, struct disk *disk, uint64_t first,
                             uint64_t synced)
{
    char folder[300], command[400];
    struct journal_found found;
    snprintf(folder, sizeof folder, "%s/after", fixture->base);
    pthread_mutex_lock(&disk->lock);
    disk_copy_cut(disk, folder, 50);
    pthread_mutex_unlock(&disk->lock);
    struct journal *journal = fixture->journal;
    struct disk *after = disk_create(7);
    memcpy(after->boot_id, disk->boot_id, sizeof disk->boot_id);
    if (journal_open_with(&fixture->journal, folder, &fixture->options, NULL, &after->operations,
                          &found, &fixture->error) != STATUS_OK)
        fail_msg("%s", fixture->error.text);
    assert_true(found.next_sequence > synced);
    if (synced >= first) {
        assert_true(found.first_sequence <= first && found.last_sequence >= synced);
        expect_records(fixture, first, found.last_sequence);
    }
    journal_close(fixture->journal, NULL);
    disk_destroy(after);
    fixture->journal = journal;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

/* Opens, starts, writes over several segments, marks, closes. False when open or start failed. */
static bool run_scenario(struct fixture *fixture, struct disk *disk)
{
    struct journal_found found;
    struct journal_events events = {fixture, count_acknowledged, count_space, count_health};
    if (fixture_try_open(fixture, &found) != STATUS_OK) return false;
    assert_true(found.empty || found.next_sequence == 1);
    journal_set_events(fixture->journal, fixture->home, &events);
    if (journal_start_run(fixture->journal, STORE_ID, 1, &fixture->error) != STATUS_OK) {
        journal_close(fixture->journal, NULL);
        return false;
    }
    uint64_t marked = 0;
    for (int turn = 0; turn < 12; turn++) {
        for (int i = 0; i < 80; i++) append_record(fixture, 2);
        journal_end_turn(fixture->journal);
        mailbox_deliver(fixture->home);
        if (turn % 3 == 0) wait_for_sync(fixture, journal_appended_sequence(fixture->journal));
        if (turn % 4 == 3) {
            marked = journal_synced_sequence(fixture->journal) - 50;
            journal_set_marked(fixture->journal, marked);
        }
    }
    uint64_t appended = journal_appended_sequence(fixture->journal);
    wait_for_sync(fixture, appended);
    wait_until(fixture, journal_health(fixture->journal, NULL) == STATUS_OK);
    expect_records(fixture, marked + 1, appended);
    expect_after_cut(fixture, disk, marked + 1, appended);
    journal_close(fixture->journal, NULL); /* may fail: its last sync may be the one */
    return true;
}

static void fail_every_call(struct fixture *fixture, unsigned long in_a_row, int error_number)
{
    fixture->options.appendfsync = JOURNAL_ALWAYS;
    for (unsigned long n = 1;; n++) {
        struct disk *disk = disk_create(n);
        char command[400];
        fixture->files = &disk->operations;
        set_fault(disk, n, in_a_row, error_number);
        bool is_through = run_scenario(fixture, disk);
        fixture->journal = NULL;
        mailbox_deliver(fixture->home);
        bool is_over = disk->calls < n;
        if (!is_through) { /* the next attempt finds nothing in its way */
            set_fault(disk, 0, 0, 0);
            assert_true(run_scenario(fixture, disk));
        }
        disk_destroy(disk);
        snprintf(command, sizeof command, "rm -rf '%s'", fixture->folder);
        assert_int_equal(system(command), 0);
        if (is_over) break;
    }
}

static void any_call_may_fail_once(void **state)
{
    fail_every_call(*state, 1, EIO);
}

static void any_three_calls_in_a_row_may_fail(void **state)
{
    fail_every_call(*state, 3, ENOSPC);
}

static struct disk *start_on_disk(struct fixture *fixture)
{
    struct disk *disk = disk_create(99);
    fixture->files = &disk->operations;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    wait_until(fixture, counter_get(&fixture->metrics.segments_prepared) == 3);
    return disk;
}

static void a_failed_sync_is_made_good_in_another_segment(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.appendfsync = JOURNAL_NO;
    struct disk *disk = start_on_disk(fixture);
    for (int i = 0; i < 100; i++) append_record(fixture, 1);
    journal_end_turn(fixture->journal);
    wait_for_acknowledged(fixture, 100);
    journal_request_sync(fixture->journal);
    wait_for_sync(fixture, 100);
    for (int i = 0; i < 100; i++) append_record(fixture, 1);
    journal_end_turn(fixture->journal);
    wait_for_acknowledged(fixture, 200);

    set_fault(disk, 1, 1000000, EIO);
    journal_request_sync(fixture->journal);
    wait_until(fixture, fixture->healths > 0);
    struct journal_append append;
    assert_int_equal(journal_health(fixture->journal, &fixture->error), STATUS_IO_ERROR);
    assert_int_equal(journal_reserve(fixture->journal, 10, true, &append), STATUS_IO_ERROR);
    wait_for_counter(fixture, &fixture->metrics.sync_failures, 3);
    assert_int_equal(journal_synced_sequence(fixture->journal), 100);
    expect_after_cut(fixture, disk, 1, 100);

    unsigned before = fixture->healths;
    set_fault(disk, 0, 0, 0);
    wait_for_sync(fixture, 200);
    wait_until(fixture, fixture->healths > before);
    assert_int_equal(journal_health(fixture->journal, NULL), STATUS_OK);
    expect_after_cut(fixture, disk, 1, 200);
    append_record(fixture, 1);
    fixture_close(fixture);
    disk_destroy(disk);
}

static void a_full_disk_leaves_room_for_deletes_and_heals(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = start_on_disk(fixture);
    pthread_mutex_lock(&disk->lock);
    disk->is_full = true;
    pthread_mutex_unlock(&disk->lock);
    struct journal_append append;
    enum status status = STATUS_OK;
    wait_until(fixture, (status = journal_reserve(fixture->journal, 1000, false, &append)) ==
                                STATUS_NO_SPACE ||
                            (status == STATUS_OK && (journal_commit(fixture->journal, &append, 1),
                                                     journal_end_turn(fixture->journal), false)));
    assert_int_equal(journal_health(fixture->journal, &fixture->error), STATUS_NO_SPACE);
    unsigned deletes = 0;
    wait_until(fixture, (status = journal_reserve(fixture->journal, 1000, true, &append)) ==
                                STATUS_NO_SPACE ||
                            (status == STATUS_OK &&
                             (journal_commit(fixture->journal, &append, 1), deletes++,
                              journal_end_turn(fixture->journal), false)));
    assert_true(deletes > 50); /* one segment */
    unsigned spaces = fixture->spaces, healths = fixture->healths;
    pthread_mutex_lock(&disk->lock);
    disk->is_full = false;
    pthread_mutex_unlock(&disk->lock);
    wait_until(fixture, fixture->spaces > spaces && fixture->healths > healths);
    assert_int_equal(journal_health(fixture->journal, NULL), STATUS_OK);
    append_record(fixture, 1);
    fixture_close(fixture);
    disk_destroy(disk);
}

static void set_free(struct disk *disk, uint64_t bytes)
{
    pthread_mutex_lock(&disk->lock);
    disk->free_bytes = bytes;
    pthread_mutex_unlock(&disk->lock);
}

static bool try_append(struct fixture *fixture, bool use_reserve, enum status *status)
{
    struct journal_append append;
    *status = journal_reserve(fixture->journal, 1000, use_reserve, &append);
    if (*status != STATUS_OK) return false;
    memset(append.payload, 'x', append.size);
    journal_commit(fixture->journal, &append, 1);
    journal_end_turn(fixture->journal);
    return true;
}

/* Rule 18: what is free has to cover a compaction and what is not yet in the store. */
static void writes_end_while_what_is_free_still_covers_the_journal(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = start_on_disk(fixture);
    const uint64_t store_need = 10 << 20, space = 100000;
    enum status status;
    journal_set_store_need(fixture->journal, store_need);
    set_free(disk, store_need + space);
    /* The look that finds the disk so: what may be appended until then was allowed by the one before. */
    wait_until(fixture, try_append(fixture, false, &status));
    wait_until(fixture, journal_free_disk_bytes(fixture->journal) <= store_need + space);
    wait_until(fixture, !try_append(fixture, false, &status) && status == STATUS_NO_SPACE);
    uint64_t unmarked = journal_unmarked_bytes(fixture->journal);
    assert_true(journal_needed_disk_bytes(fixture->journal) <= store_need + space);
    assert_true(unmarked + unmarked / 4 <= space);
    assert_true(journal_disk_is_short(fixture->journal));
    assert_int_equal(journal_health(fixture->journal, &fixture->error), STATUS_NO_SPACE);
    assert_non_null(strstr(fixture->error.text, "nearly full"));
    assert_false(journal_must_wait(fixture->journal));
    wait_until(fixture, try_append(fixture, true, &status)); /* a delete */

    unsigned spaces = fixture->spaces;
    set_free(disk, 2 * store_need);
    wait_until(fixture, fixture->spaces > spaces && !journal_disk_is_short(fixture->journal));
    wait_until(fixture, try_append(fixture, false, &status));
    fixture_close(fixture);
    disk_destroy(disk);
}

static void a_disk_that_others_fill_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = start_on_disk(fixture);
    enum status status;
    journal_set_store_need(fixture->journal, 1 << 20);
    for (int i = 0; i < 10; i++) wait_until(fixture, try_append(fixture, false, &status));
    set_free(disk, 1000);
    wait_until(fixture, !try_append(fixture, false, &status) && status == STATUS_NO_SPACE);
    wait_until(fixture, try_append(fixture, true, &status));
    fixture_close(fixture);
    disk_destroy(disk);
}

static void a_reserve_that_is_given_up_is_made_again(void **state)
{
    struct fixture *fixture = *state;
    char path[400];
    fixture->options.disk_reserve_bytes = 65536;
    struct disk *disk = start_on_disk(fixture);
    snprintf(path, sizeof path, "%s/reserve", fixture->folder);
    wait_until(fixture, access(path, F_OK) == 0);
    set_free(disk, 1000);
    journal_give_up_reserve(fixture->journal);
    assert_int_equal(journal_health(fixture->journal, &fixture->error), STATUS_NO_SPACE);
    wait_until(fixture, access(path, F_OK) != 0);
    set_free(disk, 0);
    wait_until(fixture, access(path, F_OK) == 0 &&
                            journal_health(fixture->journal, NULL) == STATUS_OK);
    fixture_close(fixture);
    disk_destroy(disk);
}

static void a_close_that_cannot_sync_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct disk *disk = start_on_disk(fixture);
    set_fault(disk, 1, 1000000, EIO);
    append_record(fixture, 1);
    assert_int_equal(journal_close(fixture->journal, &fixture->error), STATUS_IO_ERROR);
    mailbox_deliver(fixture->home);
    disk_destroy(disk);
}

#define BOTH(test)                                                                                 \
    {#test " (mmap)", test, fixture_setup_mmap, fixture_teardown, NULL},                           \
    {#test " (write)", test, fixture_setup_write, fixture_teardown, NULL}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_failed_sync_is_made_good_in_another_segment),
        BOTH(a_full_disk_leaves_room_for_deletes_and_heals),
        BOTH(writes_end_while_what_is_free_still_covers_the_journal),
        BOTH(a_disk_that_others_fill_is_noticed),
        BOTH(a_reserve_that_is_given_up_is_made_again),
        BOTH(a_close_that_cannot_sync_says_so),
        BOTH(any_call_may_fail_once),
        BOTH(any_three_calls_in_a_row_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
