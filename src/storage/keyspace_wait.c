/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Who waits for what: waiters and their links, the round that wakes them at the end of a turn, and the
 * jobs that the queue had no room for. Loop thread. */
#include "storage/keyspace_internal.h"

/* --- waiters --- */

void waiter_init(struct waiter *waiter, void (*wake)(struct waiter *waiter))
{
    memset(waiter, 0, sizeof *waiter);
    list_init(&waiter->links);
    waiter->wake = wake;
    waiter->counted = -1;
}

void waiter_ready(struct keyspace *keyspace, struct waiter *waiter)
{
    if (!list_is_linked(&waiter->ready)) list_push_back(&keyspace->ready, &waiter->ready);
}

void waiter_link(struct waiter *waiter, struct list *source)
{
    /* One link is enough however many records of a load the run misses; nobody else links in between. */
    if (!list_is_empty(source) &&
        LIST_ENTRY(source->head.previous, struct wait_link, in_source)->waiter == waiter)
        return;
    struct wait_link *link = mem_alloc(sizeof *link);
    link->waiter = waiter;
    list_push_back(source, &link->in_source);
    list_push_back(&waiter->links, &link->in_waiter);
    waiter->pending++;
}

void waiter_pin(struct waiter *waiter, struct entry *entry)
{
    if (waiter->pin_count == waiter->pin_capacity) {
        waiter->pin_capacity = waiter->pin_capacity ? waiter->pin_capacity * 2 : 4;
        waiter->pins = mem_realloc(waiter->pins, waiter->pin_capacity * sizeof *waiter->pins);
    }
    waiter->pins[waiter->pin_count++] = entry_ref(entry);
}

static void wait_link_free(struct wait_link *link)
{
    list_remove(&link->in_source);
    list_remove(&link->in_waiter);
    mem_free(link);
}

void waiters_release(struct keyspace *keyspace, struct list *source)
{
    LIST_FOR_EACH_SAFE(node, after, source)
    {
        struct wait_link *link = LIST_ENTRY(node, struct wait_link, in_source);
        struct waiter *waiter = link->waiter;
        wait_link_free(link);
        if (--waiter->pending == 0) waiter_ready(keyspace, waiter);
    }
}

void waiters_fail(struct list *source, enum status status, const char *text)
{
    LIST_FOR_EACH(node, source)
    {
        struct waiter *waiter = LIST_ENTRY(node, struct wait_link, in_source)->waiter;
        waiter->failed = true;
        error_set(&waiter->error, status, "%s", text);
    }
}

static bool is_untouched(const struct keyspace *keyspace, const struct waiter *waiter)
{
    return !waiter->pending && !waiter->pins && !waiter->scans && !waiter->failed &&
           waiter->counted < 0 && keyspace->holder != waiter && !list_is_linked(&waiter->ready) &&
           !list_is_linked(&waiter->space);
}

/* Loads that had to wait for memory may be asked for again, in the order in which they came. */
static void retry_admission(struct keyspace *keyspace)
{
    struct list_node *node;
    while ((node = list_pop_front(&keyspace->admission)))
        waiter_ready(keyspace, LIST_ENTRY(node, struct waiter, space));
}

void waiter_release(struct keyspace *keyspace, struct waiter *waiter)
{
    if (is_untouched(keyspace, waiter)) return; /* the usual: the command found all it needed */
    LIST_FOR_EACH_SAFE(node, after, &waiter->links)
        wait_link_free(LIST_ENTRY(node, struct wait_link, in_waiter));
    waiter->pending = 0;
    if (list_is_linked(&waiter->ready)) list_remove(&waiter->ready);
    if (list_is_linked(&waiter->space)) list_remove(&waiter->space);
    for (size_t i = 0; i < waiter->pin_count; i++) entry_unref(waiter->pins[i]);
    mem_free(waiter->pins);
    waiter->pins = NULL;
    waiter->pin_count = waiter->pin_capacity = 0;
    keyspace->pinned_load_bytes -= waiter->pinned_bytes;
    if (waiter->pinned_bytes) retry_admission(keyspace);
    waiter->pinned_bytes = waiter->pinned_key_bytes = 0;
    waiter->failed = false;
    waiter->counted = -1;
    scan_results_release(waiter);
    if (keyspace->holder == waiter) {
        keyspace->holder = NULL;
        keyspace_retry_writers(keyspace);
    }
}

void keyspace_retry_writers(struct keyspace *keyspace)
{
    struct list_node *node;
    while ((node = list_pop_front(&keyspace->space)))
        waiter_ready(keyspace, LIST_ENTRY(node, struct waiter, space));
}

void waiters_wake(struct keyspace *keyspace)
{
    if (list_is_empty(&keyspace->ready)) return;
    /* Those that become ready meanwhile have their turn in the next round: the loop stays fair. */
    struct list round;
    list_init(&round);
    struct list_node *node;
    while ((node = list_pop_front(&keyspace->ready))) list_push_back(&round, node);
    keyspace->waking = true;
    while ((node = list_pop_front(&round))) {
        struct waiter *waiter = LIST_ENTRY(node, struct waiter, ready);
        waiter->wake(waiter);
    }
    keyspace->waking = false;
}

/* --- jobs --- */

void keyspace_send_later(struct keyspace_job *job)
{
    if (job->keyspace->stopped) {
        job->drop(job);
        return;
    }
    list_push_back(&job->keyspace->unsent, &job->unsent);
}

void keyspace_send_job(struct keyspace_job *job, enum job_lane lane, enum job_kind kind)
{
    job->job.lane = lane;
    job->job.kind = kind;
    job->job.home = job->keyspace->parts.loop;
    if (job->keyspace->stopped ||
        job_queue_submit(job->keyspace->parts.jobs, &job->job) != STATUS_OK)
        keyspace_send_later(job);
}

void keyspace_send_unsent(struct keyspace *keyspace)
{
    if (list_is_empty(&keyspace->unsent)) return;
    struct list round;
    list_init(&round);
    struct list_node *node;
    while ((node = list_pop_front(&keyspace->unsent))) list_push_back(&round, node);
    while ((node = list_pop_front(&round))) {
        struct keyspace_job *job = LIST_ENTRY(node, struct keyspace_job, unsent);
        keyspace_send_job(job, job->job.lane, job->job.kind);
    }
}

void keyspace_stop(struct keyspace *keyspace)
{
    keyspace->stopped = true;
    keyspace_send_unsent(keyspace);
}
