/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Intrusive doubly linked list with a sentinel. The caller owns the nodes; no locks. */
#ifndef KELVIN_BASE_LIST_H
#define KELVIN_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *previous, *next;
};

struct list {
    struct list_node head; /* head.next is the first, head.previous the last */
};

#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))
#define LIST_FOR_EACH(node, list) \
    for (struct list_node *node = (list)->head.next; node != &(list)->head; node = node->next)
/* The body may remove `node`. */
#define LIST_FOR_EACH_SAFE(node, after, list)                                   \
    for (struct list_node *node = (list)->head.next, *after = node->next;       \
         node != &(list)->head; node = after, after = node->next)

static inline void list_init(struct list *list)
{
    list->head.previous = list->head.next = &list->head;
}

static inline bool list_is_empty(const struct list *list) { return list->head.next == &list->head; }

static inline void list_insert_before(struct list_node *position, struct list_node *node)
{
    node->previous = position->previous;
    node->next = position;
    position->previous->next = node;
    position->previous = node;
}

static inline void list_push_back(struct list *list, struct list_node *node)
{
    list_insert_before(&list->head, node);
}

static inline void list_push_front(struct list *list, struct list_node *node)
{
    list_insert_before(list->head.next, node);
}

static inline void list_remove(struct list_node *node)
{
    node->previous->next = node->next; /* NOLINT(clang-analyzer-core.NullDereference): linked */
    node->next->previous = node->previous;
    node->previous = node->next = NULL;
}

static inline bool list_is_linked(const struct list_node *node) { return node->next != NULL; }

/* NULL when empty. */
static inline struct list_node *list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

static inline struct list_node *list_pop_front(struct list *list)
{
    struct list_node *node = list_first(list);
    if (node) list_remove(node);
    return node;
}

#endif
