/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The intrusive list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int number;
    struct list_node node;
};

static int number_of(const struct list_node *node)
{
    return LIST_ENTRY(node, const struct item, node)->number;
}

static void nodes_come_out_in_the_order_of_both_ends(void **state)
{
    (void)state;
    struct list list;
    struct item a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
    list_init(&list);
    assert_true(list_is_empty(&list));
    assert_null(list_first(&list));
    list_push_back(&list, &b.node);
    list_push_back(&list, &c.node);
    list_push_front(&list, &a.node);
    int expected = 1;
    LIST_FOR_EACH(node, &list) assert_int_equal(number_of(node), expected++);
    assert_int_equal(expected, 4);
    assert_int_equal(number_of(list_pop_front(&list)), 1);
    assert_int_equal(number_of(list_pop_front(&list)), 2);
    assert_int_equal(number_of(list_pop_front(&list)), 3);
    assert_null(list_pop_front(&list));
}

static void a_walk_may_remove_the_node_it_stands_on(void **state)
{
    (void)state;
    struct list list;
    struct item items[5] = {0};
    list_init(&list);
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        list_push_back(&list, &items[i].node);
    }
    LIST_FOR_EACH_SAFE(node, after, &list)
    {
        if (number_of(node) % 2 == 0) list_remove(node);
    }
    assert_false(list_is_linked(&items[0].node));
    assert_true(list_is_linked(&items[1].node));
    assert_int_equal(number_of(list_first(&list)), 1);
    list_insert_before(&items[1].node, &items[4].node);
    assert_int_equal(number_of(list_first(&list)), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_come_out_in_the_order_of_both_ends),
        cmocka_unit_test(a_walk_may_remove_the_node_it_stands_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
