/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One segment file: what a sync leaves present for the loop's next stores (rule 5), and the mark
 * that its successor has been begun. */
#include "storage/journal_segment.h"

#include "base/memory.h"
#include "lib/temp_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { BYTES = 1 << 20 };

struct fixture {
    struct journal_file_operations files;
    char *folder, *path;
    struct segment *segment;
    char *populated_from, *populated_to; /* by all calls since the last look */
    bool header_is_populated;
};

static int note_populate(void *context, void *address, size_t size)
{
    struct fixture *fixture = context;
    char *from = address;
    if (from == fixture->segment->map) fixture->header_is_populated = true;
    else if (!fixture->populated_from) fixture->populated_from = from;
    if (from + size > fixture->populated_to) fixture->populated_to = from + size;
    return 0;
}

/* The others do not look at it. */
static void make(struct fixture *fixture, bool is_shared)
{
    fixture->files = journal_files_of_system;
    fixture->files.context = fixture;
    fixture->files.populate = note_populate;
    fixture->folder = temp_folder_create();
    fixture->path = temp_folder_path(fixture->folder, "journal-00000001.seg");
    assert_int_equal(segment_create(&fixture->files, fixture->path, BYTES, &fixture->segment, NULL),
                     STATUS_OK);
    assert_int_equal(segment_map(&fixture->files, fixture->segment, is_shared, NULL), STATUS_OK);
    segment_header_encode(&(struct segment_header){.run = 1, .number = 1}, fixture->segment->map);
}

static void end(struct fixture *fixture)
{
    segment_free(&fixture->files, fixture->segment);
    mem_free(fixture->path);
    temp_folder_remove(fixture->folder);
}

static void a_sync_leaves_the_pages_of_the_next_stores_present(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    make(&fixture, true);
    char *map = fixture.segment->map;
    memset(map + SEGMENT_HEADER_BYTES, 1, 10000);
    size_t offset = SEGMENT_HEADER_BYTES + 10000;
    assert_int_equal(segment_sync(&fixture.files, fixture.segment, offset, NULL), STATUS_OK);
    assert_true(fixture.header_is_populated);
    assert_ptr_equal(fixture.populated_from, map + page_floor(offset));
    assert_true(fixture.populated_to > map + page_floor(offset) + page_bytes());
    end(&fixture);
}

static bool decode(struct fixture *fixture, size_t *offset, bool *is_closed)
{
    char page[SEGMENT_HEADER_BYTES];
    assert_int_equal(
        journal_file_read(&fixture->files, fixture->segment->fd, page, sizeof page, 0), 0);
    return append_offset_decode(get_le64(page + SEGMENT_APPEND_OFFSET), offset, is_closed);
}

static void a_segment_is_closed_once_the_next_ones_header_is_in_its_file(void **state)
{
    (void)state;
    struct fixture one = {0}, two = {0};
    size_t offset;
    bool is_closed;
    make(&one, false);
    make(&two, false);
    assert_int_equal(segment_write(&one.files, one.segment, SEGMENT_HEADER_BYTES + 800, NULL),
                     STATUS_OK);
    assert_true(decode(&one, &offset, &is_closed));
    assert_false(is_closed);
    assert_int_equal(offset, SEGMENT_HEADER_BYTES + 800);

    assert_false(decode(&two, &offset, &is_closed));
    assert_int_equal(segment_write_closed(&one.files, one.segment, two.segment, NULL), STATUS_OK);
    assert_true(decode(&two, &offset, &is_closed));
    assert_false(is_closed);
    assert_true(decode(&one, &offset, &is_closed));
    assert_true(is_closed);
    assert_int_equal(offset, SEGMENT_HEADER_BYTES + 800);
    end(&one);
    end(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sync_leaves_the_pages_of_the_next_stores_present),
        cmocka_unit_test(a_segment_is_closed_once_the_next_ones_header_is_in_its_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
