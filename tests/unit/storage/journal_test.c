/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The journal as its users see it: append, sync by each policy, read back, free, find again. */
#include "journal_support.h"

static void a_new_journal_is_empty_and_takes_records(void **state)
{
    struct fixture *fixture = *state;
    assert_true(fixture_open(fixture).empty);
    fixture_start(fixture, 1000);
    assert_int_equal(append_record(fixture, 1), 1000);
    assert_int_equal(append_record(fixture, 3), 1003);
    assert_int_equal(journal_next_sequence(fixture->journal), 1004);
    journal_end_turn(fixture->journal);
    journal_request_sync(fixture->journal);
    wait_for_sync(fixture, 1003);
    expect_records(fixture, 1000, 1003);
    fixture_close(fixture);
}

static void what_was_closed_is_found_whole(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture);
    fixture_start(fixture, 500);
    for (int i = 0; i < 300; i++) append_record(fixture, 1 + (unsigned)i % 3);
    uint64_t last = journal_appended_sequence(fixture->journal);
    fixture_close(fixture);

    struct journal_found found = fixture_open(fixture);
    assert_false(found.empty);
    assert_true(found.clean_end);
    assert_int_equal(found.first_sequence, 500);
    assert_int_equal(found.last_sequence, last);
    assert_int_equal(found.next_sequence, last + 1);
    assert_int_equal(found.base_sequence, 499);
    assert_int_equal(found.store_id, STORE_ID);
    expect_records(fixture, 500, last);
    fixture_start(fixture, last + 1);
    append_record(fixture, 1);
    fixture_close(fixture);

    found = fixture_open(fixture);
    assert_int_equal(found.first_sequence, last + 1);
    assert_int_equal(found.last_sequence, last + 1);
    fixture_close(fixture);
}

static void a_run_without_records_remembers_where_it_began(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture);
    fixture_start(fixture, 77);
    fixture_close(fixture);
    struct journal_found found = fixture_open(fixture);
    assert_false(found.empty);
    assert_int_equal(found.first_sequence, 0);
    assert_int_equal(found.last_sequence, 0);
    assert_int_equal(found.base_sequence, 76);
    assert_int_equal(found.next_sequence, 77);
    fixture_close(fixture);
}

static void many_segments_are_written_marked_and_used_again(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    for (int i = 0; i < 20000; i++) {
        append_record(fixture, 1);
        if (i % 500 != 499) continue;
        journal_end_turn(fixture->journal);
        journal_request_sync(fixture->journal);
        uint64_t appended = journal_appended_sequence(fixture->journal);
        wait_for_sync(fixture, appended);
        expect_records(fixture, appended - 100, appended);
        journal_set_marked(fixture->journal, appended - 200);
    }
    assert_true(counter_get(&fixture->metrics.segments_reused) > 5);
    assert_true(counter_get(&fixture->metrics.segments_prepared) < 12);
    uint64_t last = journal_appended_sequence(fixture->journal);
    fixture_close(fixture);
    struct journal_found found = fixture_open(fixture);
    assert_true(found.first_sequence > 1 && found.first_sequence <= last - 200 + 1);
    assert_int_equal(found.last_sequence, last);
    expect_records(fixture, found.first_sequence, last);
    fixture_close(fixture);
}

static void a_record_larger_than_a_segment_gets_its_own(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    append_record(fixture, 1);
    append_record_of(fixture, 2, 3000000);
    append_record(fixture, 1);
    fixture_close(fixture);
    fixture_open(fixture);
    expect_records(fixture, 1, 4);
    fixture_close(fixture);
}

static void always_acknowledges_only_what_is_synced(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.appendfsync = JOURNAL_ALWAYS;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    for (uint64_t i = 1; i <= 50; i++) {
        append_record(fixture, 1);
        assert_true(journal_acknowledged_sequence(fixture->journal) < i);
        journal_end_turn(fixture->journal);
        wait_for_acknowledged(fixture, i);
        assert_true(journal_synced_sequence(fixture->journal) >= i);
    }
    fixture_close(fixture);
}

static void everysec_syncs_by_itself(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    append_record(fixture, 1);
    journal_end_turn(fixture->journal);
    wait_for_sync(fixture, 1);
    append_record(fixture, 1);
    journal_end_turn(fixture->journal);
    wait_for_acknowledged(fixture, 2);
    wait_for_sync(fixture, 2);
    assert_false(journal_must_wait(fixture->journal));
    fixture_close(fixture);
}

static void policy_no_syncs_on_request_and_at_close(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.appendfsync = JOURNAL_NO;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    append_record(fixture, 1);
    journal_end_turn(fixture->journal);
    wait_for_acknowledged(fixture, 1);
    assert_int_equal(journal_synced_sequence(fixture->journal), 0);
    journal_request_sync(fixture->journal);
    wait_for_sync(fixture, 1);
    append_record(fixture, 1);
    fixture_close(fixture);
    assert_int_equal(fixture_open(fixture).last_sequence, 2);
    fixture_close(fixture);
}

static void an_idle_journal_stops_syncing(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    append_record(fixture, 1);
    journal_end_turn(fixture->journal);
    wait_for_sync(fixture, 1);
    fixture_deliver_for(fixture, 100); /* the sync mark is appended */
    wait_for_counter(fixture, &fixture->metrics.syncs, 2);
    fixture_deliver_for(fixture, 2500);
    assert_int_equal(counter_get(&fixture->metrics.syncs), 2);
    fixture_close(fixture);
}

static void a_full_journal_asks_writers_to_wait_until_it_is_marked(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.journal_max_bytes = 100000;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    while (!journal_must_wait(fixture->journal)) {
        append_record(fixture, 1);
        journal_end_turn(fixture->journal);
    }
    assert_int_equal(journal_fill_percent(fixture->journal), 100);
    uint64_t last = journal_appended_sequence(fixture->journal);
    journal_request_sync(fixture->journal);
    wait_for_sync(fixture, last);
    fixture_deliver_for(fixture, 20);
    unsigned before = fixture->spaces;
    journal_must_wait(fixture->journal);
    journal_set_marked(fixture->journal, last);
    wait_until(fixture, fixture->spaces > before);
    assert_false(journal_must_wait(fixture->journal));
    assert_int_equal(journal_fill_percent(fixture->journal), 0);
    fixture_close(fixture);
}

static void a_held_reservation_keeps_others_waiting(void **state)
{
    struct fixture *fixture = *state;
    struct journal_append append, other;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    assert_int_equal(journal_reserve(fixture->journal, 40, false, &append), STATUS_OK);
    journal_hold(fixture->journal, &append);
    assert_int_equal(journal_reserve(fixture->journal, 40, false, &other), STATUS_AGAIN);
    journal_cancel(fixture->journal, &append);
    wait_until(fixture, fixture->spaces > 0);
    append_record(fixture, 1);
    fixture_close(fixture);
}

static void a_reader_passes_over_what_is_below_its_start(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    for (int i = 0; i < 5000; i++) append_record(fixture, 2);
    journal_end_turn(fixture->journal);
    journal_request_sync(fixture->journal);
    wait_for_sync(fixture, 10000);
    struct journal_record record;
    struct journal_reader *reader = journal_reader_create(fixture->journal, 7002);
    assert_int_equal(journal_reader_next(reader, 10000, &record, NULL), STATUS_OK);
    assert_int_equal(record.sequence, 7001); /* its last is 7002 */
    assert_int_equal(journal_reader_next(reader, 7003, &record, NULL), STATUS_NOT_FOUND);
    assert_int_equal(journal_reader_next(reader, 7004, &record, NULL), STATUS_OK);
    assert_int_equal(record.sequence, 7003);
    journal_reader_destroy(reader);
    fixture_close(fixture);
}

static void the_reserve_file_is_made_given_up_and_made_again(void **state)
{
    struct fixture *fixture = *state;
    char path[400];
    snprintf(path, sizeof path, "%s/reserve", fixture->folder);
    fixture->options.disk_reserve_bytes = 1 << 20;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    struct stat before, after;
    wait_until(fixture, stat(path, &before) == 0 && before.st_size == 1 << 20);
    journal_give_up_reserve(fixture->journal);
    wait_until(fixture, access(path, F_OK) != 0);
    wait_until(fixture, stat(path, &after) == 0 && after.st_size == 1 << 20);
    fixture_close(fixture);
}

#define BOTH(test)                                                                                 \
    {#test " (mmap)", test, fixture_setup_mmap, fixture_teardown, NULL},                           \
    {#test " (write)", test, fixture_setup_write, fixture_teardown, NULL}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_new_journal_is_empty_and_takes_records),
        BOTH(what_was_closed_is_found_whole),
        BOTH(a_run_without_records_remembers_where_it_began),
        BOTH(many_segments_are_written_marked_and_used_again),
        BOTH(a_record_larger_than_a_segment_gets_its_own),
        BOTH(always_acknowledges_only_what_is_synced),
        BOTH(everysec_syncs_by_itself),
        BOTH(policy_no_syncs_on_request_and_at_close),
        BOTH(an_idle_journal_stops_syncing),
        BOTH(a_full_journal_asks_writers_to_wait_until_it_is_marked),
        BOTH(a_held_reservation_keeps_others_waiting),
        BOTH(a_reader_passes_over_what_is_below_its_start),
        BOTH(the_reserve_file_is_made_given_up_and_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
