/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Damage: bytes that changed, files that are missing or cut short. What had been synced is served
 * exactly, or the start is refused with the file and the offset; what is torn is dropped. */
#include "journal_support.h"

#include "journal_disk.h"

#include <fcntl.h>

enum { RECORDS = 8 };

/* A journal with some records, all of them synced and a sync mark behind them. */
static void write_journal(struct fixture *fixture, unsigned records)
{
    fixture_open(fixture);
    fixture_start(fixture, 1);
    for (unsigned i = 0; i < records; i++) append_record(fixture, 1);
    journal_end_turn(fixture->journal);
    journal_request_sync(fixture->journal);
    wait_for_sync(fixture, records);
    wait_until(fixture, fixture->journal->carried_synced == records);
    fixture_close(fixture);
}

/* The folder as another machine, or the same one after a reboot, sees it. */
static struct disk *other_boot(struct fixture *fixture)
{
    struct disk *disk = disk_create(1);
    fixture->files = &disk->operations;
    return disk;
}

static void segment_path(struct fixture *fixture, unsigned number, char *out, size_t size)
{
    snprintf(out, size, "%s/journal-%08u.seg", fixture->folder, number);
}

/* Opens; true when it was refused, with a report of use. Otherwise all records must be there. */
static bool is_refused(struct fixture *fixture, uint64_t last)
{
    struct journal_found found;
    enum status status = fixture_try_open(fixture, &found);
    if (status != STATUS_OK) {
        assert_int_equal(status, STATUS_CORRUPT);
        assert_non_null(strstr(fixture->error.text, ".seg"));
        assert_non_null(strstr(fixture->error.text, "offset"));
        assert_non_null(strstr(fixture->error.text, "nothing was changed"));
        return true;
    }
    assert_int_equal(found.first_sequence, 1);
    assert_int_equal(found.last_sequence, last);
    expect_records(fixture, 1, last);
    fixture_close(fixture);
    return false;
}

static void flip_every_byte(struct fixture *fixture)
{
    char path[400], byte;
    segment_path(fixture, 1, path, sizeof path);
    int fd = open(path, O_RDWR);
    unsigned refused = 0;
    for (off_t at = 0; at < SEGMENT_HEADER_BYTES + 1500; at++) {
        if (at < SEGMENT_HEADER_BYTES && at % SEGMENT_SECOND_COPY == 120)
            at += SEGMENT_SECOND_COPY - 120; /* nothing is there */
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        refused += is_refused(fixture, RECORDS);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    assert_true(refused > RECORDS * RECORD_HEADER_BYTES);
    assert_false(is_refused(fixture, RECORDS));
}

static void a_changed_byte_is_refused_or_harmless(void **state)
{
    struct fixture *fixture = *state;
    write_journal(fixture, RECORDS);
    flip_every_byte(fixture);
}

static void a_changed_byte_is_refused_or_harmless_after_a_reboot(void **state)
{
    struct fixture *fixture = *state;
    write_journal(fixture, RECORDS);
    struct disk *disk = other_boot(fixture);
    flip_every_byte(fixture);
    disk_destroy(disk);
}

/* Records that were never synced, cut at every place from behind. */
static void a_torn_tail_is_dropped_after_a_reboot(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.appendfsync = JOURNAL_NO;
    fixture_open(fixture);
    fixture_start(fixture, 1);
    for (unsigned i = 0; i < RECORDS; i++) append_record(fixture, 1);
    journal_end_turn(fixture->journal);
    char path[400], *bytes = malloc(65536);
    segment_path(fixture, 1, path, sizeof path);
    size_t end = fixture->journal->offset;
    int fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, bytes, 65536, 0), 65536);
    close(fd);
    fixture_close(fixture);

    struct disk *disk = other_boot(fixture);
    uint64_t last = RECORDS;
    snprintf(fixture->folder, sizeof fixture->folder, "%s/copy", fixture->base);
    assert_int_equal(mkdir(fixture->folder, 0700), 0);
    for (size_t cut = end - 16; cut >= SEGMENT_HEADER_BYTES + 16; cut -= 16) {
        memset(bytes + cut, 0, 16);
        disk_write_file(fixture->folder, "journal-00000001.seg", bytes, 65536);
        struct journal_found found = fixture_open(fixture);
        assert_true(found.last_sequence <= last && found.last_sequence < RECORDS);
        assert_false(found.clean_end);
        last = found.last_sequence;
        if (last) expect_records(fixture, 1, last);
        fixture_close(fixture);
        disk_forget(disk);
    }
    assert_int_equal(last, 0);
    free(bytes);
    disk_destroy(disk);
}

static void the_same_tail_is_damage_without_a_reboot(void **state)
{
    struct fixture *fixture = *state;
    write_journal(fixture, RECORDS);
    char path[400], zeroes[64] = {0};
    segment_path(fixture, 1, path, sizeof path);
    struct journal_found found;
    assert_int_equal(fixture_try_open(fixture, &found), STATUS_OK);
    size_t end = atomic_load(&fixture->journal->chain.first->published);
    fixture_close(fixture);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, zeroes, sizeof zeroes, (off_t)(end - sizeof zeroes)),
                     sizeof zeroes);
    close(fd);
    assert_true(is_refused(fixture, RECORDS));
}

static unsigned segments_in_chain(struct fixture *fixture)
{
    fixture_open(fixture);
    unsigned count = fixture->journal->chain.count;
    fixture_close(fixture);
    return count;
}

static void refuse_without_each_later_segment(struct fixture *fixture)
{
    write_journal(fixture, 2000);
    struct disk *disk = fixture->options.appendfsync == JOURNAL_NO ? other_boot(fixture) : NULL;
    unsigned count = segments_in_chain(fixture);
    assert_true(count >= 3);
    /* After a reboot the last one may be a file whose name no sync had covered. */
    for (unsigned i = 2; i < count + (disk ? 0 : 1); i++) {
        char path[400], aside[400];
        segment_path(fixture, i, path, sizeof path);
        snprintf(aside, sizeof aside, "%s/aside", fixture->base);
        assert_int_equal(rename(path, aside), 0);
        assert_true(is_refused(fixture, 2000));
        assert_int_equal(rename(aside, path), 0);
    }
    assert_false(is_refused(fixture, 2000));
    if (disk) disk_destroy(disk);
}

static void a_missing_segment_is_refused(void **state)
{
    refuse_without_each_later_segment(*state);
}

static void a_missing_segment_is_refused_after_a_reboot(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.appendfsync = JOURNAL_NO;
    refuse_without_each_later_segment(fixture);
}

static void a_file_cut_short_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_journal(fixture, 2000);
    char path[400];
    segment_path(fixture, 2, path, sizeof path);
    assert_int_equal(truncate(path, 9000), 0);
    assert_true(is_refused(fixture, 2000));
    assert_int_equal(truncate(path, 100), 0);
    assert_true(is_refused(fixture, 2000));
}

static void a_lone_damaged_header_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_journal(fixture, 5);
    char path[400], byte = 1;
    segment_path(fixture, 1, path, sizeof path);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, &byte, 1, 20), 1);
    assert_false(is_refused(fixture, 5)); /* the second copy */
    assert_int_equal(pwrite(fd, &byte, 1, SEGMENT_SECOND_COPY + 20), 1);
    close(fd);
    assert_true(is_refused(fixture, 5));
}

static void a_newer_format_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_journal(fixture, 5);
    char path[400], header[104];
    segment_path(fixture, 1, path, sizeof path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    put_le32(header + 8, JOURNAL_FORMAT_VERSION + 1);
    put_le64(header + 96, hash_checksum(header, 96, 0));
    assert_int_equal(pwrite(fd, header, sizeof header, 0), sizeof header);
    assert_int_equal(pwrite(fd, header, sizeof header, SEGMENT_SECOND_COPY), sizeof header);
    close(fd);
    struct journal_found found;
    assert_int_equal(fixture_try_open(fixture, &found), STATUS_UNSUPPORTED);
}

static void a_repair_cuts_at_the_damage(void **state)
{
    struct fixture *fixture = *state;
    write_journal(fixture, 2000);
    char path[400], byte;
    segment_path(fixture, 2, path, sizeof path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, 20000), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, 20000), 1);
    close(fd);
    assert_true(is_refused(fixture, 2000));

    struct journal_found found, again;
    struct error damage;
    assert_int_equal(journal_repair(fixture->folder, &found, &damage, &fixture->error), STATUS_OK);
    assert_int_equal(damage.code, STATUS_CORRUPT);
    assert_true(found.last_sequence > 300 && found.last_sequence < 2000);
    again = fixture_open(fixture);
    assert_int_equal(again.last_sequence, found.last_sequence);
    expect_records(fixture, 1, found.last_sequence);
    fixture_start(fixture, found.next_sequence);
    append_record(fixture, 1);
    fixture_close(fixture);
    assert_int_equal(journal_repair(fixture->folder, &found, &damage, &fixture->error), STATUS_OK);
    assert_int_equal(damage.code, STATUS_OK);
}

/* Dying anywhere in a repair leaves the damage in place or the repair done. */
static void a_repair_may_fail_at_any_call(void **state)
{
    struct fixture *fixture = *state;
    write_journal(fixture, 2000);
    char path[400], byte = 1;
    segment_path(fixture, 2, path, sizeof path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, &byte, 1, 20001), 1);
    assert_int_equal(pwrite(fd, &byte, 1, 20002), 1);
    close(fd);
    uint64_t kept = 0;
    for (unsigned long n = 1;; n++) {
        struct disk *disk = disk_create(n);
        struct journal_found found;
        struct error damage;
        fixture->files = &disk->operations;
        disk->fail_at = n;
        disk->fail_count = ~0ul >> 1;
        disk->fail_errno = EIO;
        fixture->journal = NULL;
        enum status status = journal_repair_with(fixture->folder, &disk->operations, &found,
                                                 &damage, &fixture->error);
        bool is_over = status == STATUS_OK && disk->calls < n;
        disk->fail_at = 0;
        if (status != STATUS_OK) status = fixture_try_open(fixture, &found);
        if (status == STATUS_OK) { /* no way back from here */
            assert_true(kept == 0 || kept == found.last_sequence);
            kept = found.last_sequence;
        } else {
            assert_int_equal(status, STATUS_CORRUPT);
            assert_int_equal(kept, 0);
        }
        if (fixture->journal) fixture_close(fixture);
        disk_destroy(disk);
        if (is_over) break;
    }
    assert_true(kept > 0);
    /* On the machine that repaired it: for the one that wrote it a tail cut off would be damage. */
    struct disk *disk = disk_create(0);
    fixture->files = &disk->operations;
    assert_int_equal(fixture_open(fixture).last_sequence, kept);
    fixture_close(fixture);
    disk_destroy(disk);
    fixture->files = &journal_files_of_system;
}

enum { TORN_BYTES = 4 << 20, RUN = 77, FIRST = 1000, LAST = FIRST + TORN_BYTES };

/* What is left of a large value is searched for records of which any place could be one; each that has
 * to be hashed costs as much as the value is long. */
static void the_search_in_a_torn_value_ends_soon(void **state)
{
    (void)state;
    char *bytes = test_malloc(TORN_BYTES);
    uint64_t random = 88172645463325252u;
    for (size_t i = 0; i < TORN_BYTES; i += 8) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        put_le64(bytes + i, random);
    }
    assert_int_equal(record_find_voucher(bytes, 0, TORN_BYTES, RUN, FIRST, LAST), 0);
    record_seal(bytes + TORN_BYTES - 64, 8, 1, FIRST + 2, FIRST, RUN, NULL);
    assert_int_equal(record_find_voucher(bytes, 0, TORN_BYTES, RUN, FIRST, LAST), TORN_BYTES - 64);
    test_free(bytes);
}

/* A place that a length beyond the end rules out is not hashed, and does not count as if it were. */
static void places_with_impossible_lengths_vouch_for_nothing(void **state)
{
    (void)state;
    char *bytes = test_calloc(1, TORN_BYTES);
    for (size_t i = 0; i < TORN_BYTES; i += RECORD_HEADER_BYTES) {
        put_le32(bytes + i + 8, UINT32_MAX - (uint32_t)i);
        put_le64(bytes + i + 16, FIRST + 2);
        put_le64(bytes + i + 24, FIRST);
    }
    assert_int_equal(record_find_voucher(bytes, 64, TORN_BYTES, RUN, FIRST, LAST), 0);
    test_free(bytes);
}

static void numbers_that_no_record_could_have_cost_the_search_nothing(void **state)
{
    (void)state;
    char *bytes = test_malloc(TORN_BYTES);
    for (size_t i = 0; i < TORN_BYTES; i += RECORD_HEADER_BYTES) {
        bool is_mark = i % (2 * RECORD_HEADER_BYTES) == 0; /* with a payload: none is */
        put_le64(bytes + i, 1);
        put_le32(bytes + i + 8, is_mark ? TORN_BYTES / 2 : TORN_BYTES * 64u);
        put_le32(bytes + i + 12, is_mark ? 0 : 1);
        put_le64(bytes + i + 16, FIRST + 2);
        put_le64(bytes + i + 24, FIRST);
    }
    assert_int_equal(record_find_voucher(bytes, 64, TORN_BYTES, RUN, FIRST, LAST), 0);
    test_free(bytes);
}

static void the_search_in_a_value_made_of_false_records_ends_soon_and_asks_somebody(void **state)
{
    (void)state;
    char *bytes = test_malloc(TORN_BYTES);
    for (size_t i = 0; i < TORN_BYTES; i += RECORD_HEADER_BYTES) {
        put_le64(bytes + i, 1);
        put_le32(bytes + i + 8, (uint32_t)(TORN_BYTES - i));
        put_le32(bytes + i + 12, 1);
        put_le64(bytes + i + 16, FIRST + 2);
        put_le64(bytes + i + 24, FIRST);
    }
    assert_int_not_equal(record_find_voucher(bytes, 64, TORN_BYTES, RUN, FIRST, LAST), 0);
    test_free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_mmap, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_changed_byte_is_refused_or_harmless),
        TEST(a_changed_byte_is_refused_or_harmless_after_a_reboot),
        TEST(a_torn_tail_is_dropped_after_a_reboot),
        TEST(the_same_tail_is_damage_without_a_reboot),
        TEST(a_missing_segment_is_refused),
        TEST(a_missing_segment_is_refused_after_a_reboot),
        TEST(a_file_cut_short_is_refused),
        TEST(a_lone_damaged_header_is_refused),
        TEST(a_newer_format_is_refused),
        cmocka_unit_test(the_search_in_a_torn_value_ends_soon),
        cmocka_unit_test(places_with_impossible_lengths_vouch_for_nothing),
        cmocka_unit_test(numbers_that_no_record_could_have_cost_the_search_nothing),
        cmocka_unit_test(the_search_in_a_value_made_of_false_records_ends_soon_and_asks_somebody),
        TEST(a_repair_cuts_at_the_damage),
        TEST(a_repair_may_fail_at_any_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
