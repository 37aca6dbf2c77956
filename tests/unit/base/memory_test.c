/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Allocation and the figures about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"

static void allocations_are_usable_and_zeroed_where_promised(void **state)
{
    (void)state;
    char *bytes = mem_calloc(10, 10);
    for (int i = 0; i < 100; i++) assert_int_equal(bytes[i], 0);
    bytes = mem_realloc(bytes, 1000);
    assert_int_equal(bytes[99], 0);
    assert_true(mem_usable_size(bytes) >= 1000);
    mem_free(bytes);
    mem_free(NULL);
}

static void an_allocation_of_nothing_is_not_null(void **state)
{
    (void)state;
    void *a = mem_alloc(0), *b = mem_calloc(0, 8), *c = mem_try_alloc(0), *d = mem_dup(NULL, 0);
    assert_true(a && b && c && d);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(d);
    a = mem_realloc(mem_alloc(8), 0);
    assert_non_null(a);
    mem_free(a);
}

static void the_good_size_is_what_an_allocation_gets(void **state)
{
    (void)state;
    for (size_t size = 1; size < 100000; size = size * 3 / 2 + 1) {
        void *bytes = mem_alloc(size);
        assert_true(mem_good_size(size) >= size);
        assert_int_equal(mem_usable_size(bytes), mem_good_size(size));
        mem_free(bytes);
    }
    assert_true(mem_good_size(SIZE_MAX) >= SIZE_MAX);
}

static void a_try_of_an_impossible_size_gives_null(void **state)
{
    (void)state;
    assert_null(mem_try_alloc(SIZE_MAX));
}

static void exactly_the_nth_try_fails(void **state)
{
    (void)state;
    mem_fail_after(2);
    void *first = mem_try_alloc(1);
    assert_non_null(first);
    assert_null(mem_try_alloc(1));
    void *third = mem_try_alloc(1);
    assert_non_null(third);
    mem_free(first);
    mem_free(third);
    mem_fail_after(0);
}

static void usage_follows_what_is_allocated(void **state)
{
    (void)state;
    enum { SIZE = 32 << 20 };
    struct mem_usage before, during;
    mem_usage_read(&before);
    assert_true(before.threads >= 1 && before.descriptors >= 3 && before.descriptors < 100);
    char *bytes = mem_alloc(SIZE);
    /* Page by page, so that no compiler finds the writes useless. */
    for (size_t i = 0; i < SIZE; i += 4096) *(volatile char *)(bytes + i) = 1;
    mem_usage_read(&during);
    assert_true(during.allocated >= before.allocated + SIZE);
    assert_true(during.rss >= before.rss + SIZE * 9 / 10);
    assert_true(during.rss_anonymous >= before.rss_anonymous + SIZE * 9 / 10);
    assert_true(during.peak_rss >= during.rss);
    assert_true(mem_allocated_bytes() >= SIZE);
    mem_free(bytes);
    mem_release_free_pages();
    assert_true(mem_allocated_bytes() < during.allocated);
    mem_start_background();
    assert_non_null(mem_allocator_name());
}

static void write_file(const char *root, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void remove_tree(const char *root)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

static void the_smallest_cgroup_limit_on_the_way_up_counts(void **state)
{
    (void)state;
    char root[] = "/tmp/kelvin-memory-XXXXXX";
    assert_non_null(mkdtemp(root));
    assert_true(mem_machine_bytes_under(root) == mem_machine_bytes_under("/nowhere"));

    write_file(root, "proc/self/cgroup", "0::/a/b\n");
    write_file(root, "sys/fs/cgroup/a/b/memory.max", "max\n");
    write_file(root, "sys/fs/cgroup/a/memory.max", "104857600\n");
    assert_int_equal(mem_machine_bytes_under(root), 104857600);
    write_file(root, "sys/fs/cgroup/a/b/memory.max", "52428800\n");
    assert_int_equal(mem_machine_bytes_under(root), 52428800);

    write_file(root, "proc/self/cgroup", "3:cpu:/\n2:memory,hugetlb:/c\n1:name=systemd:/a\n");
    write_file(root, "sys/fs/cgroup/memory/c/memory.limit_in_bytes", "9223372036854771712\n");
    assert_true(mem_machine_bytes_under(root) == mem_machine_bytes_under("/nowhere"));
    write_file(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n");
    assert_int_equal(mem_machine_bytes_under(root), 1048576);
    remove_tree(root);
    assert_true(mem_machine_bytes() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_usable_and_zeroed_where_promised),
        cmocka_unit_test(an_allocation_of_nothing_is_not_null),
        cmocka_unit_test(the_good_size_is_what_an_allocation_gets),
        cmocka_unit_test(a_try_of_an_impossible_size_gives_null),
        cmocka_unit_test(exactly_the_nth_try_fails),
        cmocka_unit_test(usage_follows_what_is_allocated),
        cmocka_unit_test(the_smallest_cgroup_limit_on_the_way_up_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
