/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The event loop: one thread, one libevent base. A turn is: sleep until something happens, call
 * everybody to whom it happened, end the turn. All functions are the loop thread's, but for the
 * mailbox, into which any thread puts letters. */
#ifndef KELVIN_NET_LOOP_H
#define KELVIN_NET_LOOP_H

#include "base/mailbox.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct loop;

/* STATUS_IO_ERROR when the kernel gives no descriptors. */
enum status loop_create(struct loop **out, struct error *error);
/* All timers and watches have been destroyed before. */
void loop_destroy(struct loop *loop);

struct loop_turn {
    void *context;
    /* The first thing that happens in a turn. */
    void (*begin)(void *context);
    /* Everything that had happened was handled. Returns the milliseconds that the loop may sleep:
     * 0 not at all, -1 until something happens. */
    int64_t (*end)(void *context);
};
void loop_set_turn(struct loop *loop, const struct loop_turn *turn);

/* Letters put here are delivered on the loop. */
struct mailbox *loop_mailbox(struct loop *loop);

/* Runs turns until loop_stop; the turn in which it is called is ended as any other. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Turns so far; the present one included. */
uint64_t loop_turns(const struct loop *loop);

/* Calls back every `interval_ms` until destroyed. */
struct loop_timer;
struct loop_timer *loop_timer_create(struct loop *loop, int64_t interval_ms,
                                     void (*fire)(void *context), void *context);
void loop_timer_destroy(struct loop_timer *timer); /* NULL is allowed */

/* Calls back in each turn in which `fd` is readable. The fd stays the caller's and is closed after
 * the watch was destroyed; it is of a kind that epoll takes (no file). STATUS_IO_ERROR when
 * libevent has no room for it. */
struct loop_watch;
enum status loop_watch_create(struct loop_watch **out, struct loop *loop, int fd,
                              void (*readable)(void *context), void *context, struct error *error);
void loop_watch_enable(struct loop_watch *watch, bool on);
void loop_watch_destroy(struct loop_watch *watch); /* NULL is allowed */

/* For net/ alone: events of its own. Their callbacks call loop_enter before anything else. */
struct event_base *loop_base(struct loop *loop);
void loop_enter(struct loop *loop);

#endif
