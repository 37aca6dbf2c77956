/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See loop.h. libevent handles one turn per call of event_base_loop; what happens between two calls
 * is the end of the turn. libevent has no hook between its sleep and the first callback, so each
 * callback calls loop_enter, and the first one of a turn begins it. */
#include "net/loop.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>

struct loop {
    struct event_base *base;
    struct mailbox *mailbox;
    struct event mailbox_event, alarm;
    struct loop_turn turn;
    int64_t alarm_at_us; /* 0: not set */
    uint64_t turns;
    bool begun; /* the present turn */
    bool stop;
};

struct loop_timer {
    struct event event;
    struct loop *loop;
    void (*fire)(void *context);
    void *context;
};

struct loop_watch {
    struct event event;
    struct loop *loop;
    void (*readable)(void *context);
    void *context;
    bool on;
};

static struct timeval timeval_from_us(int64_t us)
{
    return (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
}

void loop_enter(struct loop *loop)
{
    if (loop->begun) return;
    loop->begun = true;
    loop->turns++;
    if (loop->turn.begin) loop->turn.begin(loop->turn.context);
}

static void on_mailbox(evutil_socket_t fd, short what, void *argument)
{
    struct loop *loop = argument;
    (void)fd;
    (void)what;
    loop_enter(loop);
    mailbox_deliver(loop->mailbox);
}

static void on_alarm(evutil_socket_t fd, short what, void *argument)
{
    struct loop *loop = argument;
    (void)fd;
    (void)what;
    loop->alarm_at_us = 0;
    loop_enter(loop);
}

enum status loop_create(struct loop **out, struct error *error)
{
    struct loop *loop = mem_calloc(1, sizeof *loop);
    enum status status;
    struct event_config *config = event_config_new();
    if (config) {
        /* One thread only: no locks. */
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
                                          EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
        loop->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (!loop->base) {
        status = error_set_errno(error, errno, "cannot create the event loop");
        goto free_loop;
    }
    status = mailbox_create(&loop->mailbox, error);
    if (status != STATUS_OK) goto free_base;
    event_assign(&loop->mailbox_event, loop->base, mailbox_fd(loop->mailbox),
                 EV_READ | EV_PERSIST, on_mailbox, loop);
    if (event_add(&loop->mailbox_event, NULL) != 0) {
        status = error_set_errno(error, errno, "cannot watch the mailbox");
        goto free_mailbox;
    }
    evtimer_assign(&loop->alarm, loop->base, on_alarm, loop);
    *out = loop;
    return STATUS_OK;
free_mailbox:
    mailbox_destroy(loop->mailbox);
free_base:
    event_base_free(loop->base);
free_loop:
    mem_free(loop);
    return status;
}

void loop_destroy(struct loop *loop)
{
    if (!loop) return;
    event_del(&loop->mailbox_event);
    event_del(&loop->alarm);
    mailbox_destroy(loop->mailbox);
    event_base_free(loop->base);
    mem_free(loop);
}

void loop_set_turn(struct loop *loop, const struct loop_turn *turn)
{
    loop->turn = *turn;
}

struct mailbox *loop_mailbox(struct loop *loop)
{
    return loop->mailbox;
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

uint64_t loop_turns(const struct loop *loop)
{
    return loop->turns;
}

void loop_stop(struct loop *loop)
{
    loop->stop = true;
}

/* An alarm that is set for earlier stays: waking once too often is cheaper than moving it. */
static void set_alarm(struct loop *loop, int64_t sleep_ms)
{
    int64_t at_us = clock_monotonic_us() + sleep_ms * 1000;
    if (loop->alarm_at_us != 0 && loop->alarm_at_us <= at_us) return;
    struct timeval delay = timeval_from_us(sleep_ms * 1000);
    loop->alarm_at_us = at_us;
    evtimer_add(&loop->alarm, &delay);
}

static int64_t end_turn(struct loop *loop)
{
    loop_enter(loop); /* so that every end has a beginning */
    int64_t sleep_ms = loop->turn.end ? loop->turn.end(loop->turn.context) : -1;
    loop->begun = false;
    return sleep_ms;
}

void loop_run(struct loop *loop)
{
    ASSERT_THREAD(THREAD_LOOP);
    loop->stop = false;
    for (;;) {
        int64_t sleep_ms = end_turn(loop);
        if (loop->stop) return;
        if (sleep_ms > 0) set_alarm(loop, sleep_ms);
        event_base_loop(loop->base, EVLOOP_ONCE | (sleep_ms == 0 ? EVLOOP_NONBLOCK : 0));
    }
}

/* --- timers --- */

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct loop_timer *timer = argument;
    (void)fd;
    (void)what;
    loop_enter(timer->loop);
    timer->fire(timer->context);
}

struct loop_timer *loop_timer_create(struct loop *loop, int64_t interval_ms,
                                     void (*fire)(void *context), void *context)
{
    struct loop_timer *timer = mem_calloc(1, sizeof *timer);
    struct timeval interval = timeval_from_us(interval_ms * 1000);
    timer->loop = loop;
    timer->fire = fire;
    timer->context = context;
    event_assign(&timer->event, loop->base, -1, EV_PERSIST, on_timer, timer);
    event_add(&timer->event, &interval);
    return timer;
}

void loop_timer_destroy(struct loop_timer *timer)
{
    if (!timer) return;
    event_del(&timer->event);
    mem_free(timer);
}

/* --- watches --- */

static void on_watch(evutil_socket_t fd, short what, void *argument)
{
    struct loop_watch *watch = argument;
    (void)fd;
    (void)what;
    loop_enter(watch->loop);
    watch->readable(watch->context);
}

enum status loop_watch_create(struct loop_watch **out, struct loop *loop, int fd,
                              void (*readable)(void *context), void *context, struct error *error)
{
    struct loop_watch *watch = mem_calloc(1, sizeof *watch);
    watch->loop = loop;
    watch->readable = readable;
    watch->context = context;
    event_assign(&watch->event, loop->base, fd, EV_READ | EV_PERSIST, on_watch, watch);
    if (event_add(&watch->event, NULL) != 0) {
        mem_free(watch);
        return error_set_errno(error, errno, "cannot watch descriptor %d", fd);
    }
    watch->on = true;
    *out = watch;
    return STATUS_OK;
}

void loop_watch_enable(struct loop_watch *watch, bool on)
{
    if (watch->on == on) return;
    watch->on = on;
    if (on) event_add(&watch->event, NULL);
    else event_del(&watch->event);
}

void loop_watch_destroy(struct loop_watch *watch)
{
    if (!watch) return;
    event_del(&watch->event);
    mem_free(watch);
}
