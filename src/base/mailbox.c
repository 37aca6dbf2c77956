/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A mailbox: a lock-free stack that the receiver takes whole and turns over, and an eventfd.
 *
 * The wake-up cannot be lost: whoever puts a letter into an empty box writes to the eventfd
 * afterwards; the receiver clears the eventfd before it empties the box. The other way round
 * costs at most one look into an empty box. */
#include "base/mailbox.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct mailbox {
    _Atomic(struct letter *) newest;
    atomic_uint putting; /* senders inside mailbox_put */
    int fd;
};

enum status mailbox_create(struct mailbox **out, struct error *error)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) return error_set_errno(error, errno, "cannot create an eventfd for a mailbox");
    struct mailbox *mailbox = mem_calloc(1, sizeof *mailbox);
    mailbox->fd = fd;
    *out = mailbox;
    return STATUS_OK;
}

void mailbox_destroy(struct mailbox *mailbox)
{
    if (!mailbox) return;
    /* A sender whose letter has arrived may not have left yet. */
    while (atomic_load_explicit(&mailbox->putting, memory_order_acquire) > 0) sched_yield();
    close(mailbox->fd);
    mem_free(mailbox);
}

static void signal_receiver(struct mailbox *mailbox)
{
    uint64_t one = 1;
    while (write(mailbox->fd, &one, sizeof one) < 0) {
        /* EAGAIN: the counter is at its end, so it is readable, which is all we want. */
        if (errno == EAGAIN) return;
        ASSERT(errno == EINTR);
    }
}

static void clear_signal(struct mailbox *mailbox)
{
    uint64_t count;
    while (read(mailbox->fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

static bool letters_wait(struct mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->newest, memory_order_acquire) != NULL;
}

void mailbox_put(struct mailbox *mailbox, struct letter *letter)
{
    atomic_fetch_add_explicit(&mailbox->putting, 1, memory_order_relaxed);
    struct letter *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
    do {
        letter->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->newest, &newest, letter,
                                                    memory_order_acq_rel, memory_order_relaxed));
    /* From here on the letter may be gone. */
    if (newest == NULL) signal_receiver(mailbox);
    atomic_fetch_sub_explicit(&mailbox->putting, 1, memory_order_release);
}

int mailbox_fd(const struct mailbox *mailbox)
{
    return mailbox->fd;
}

unsigned mailbox_deliver(struct mailbox *mailbox)
{
    clear_signal(mailbox);
    struct letter *newest = atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acq_rel);
    struct letter *oldest = NULL;
    while (newest) {
        struct letter *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    unsigned count = 0;
    while (oldest) {
        struct letter *next = oldest->next;
        oldest->deliver(oldest);
        oldest = next;
        count++;
    }
    return count;
}

bool mailbox_wait(struct mailbox *mailbox, int64_t timeout_us)
{
    int64_t deadline_us = timeout_us < 0 ? 0 : clock_monotonic_us() + timeout_us;
    while (!letters_wait(mailbox)) {
        struct timespec limit = {0};
        if (timeout_us >= 0) {
            int64_t left_us = deadline_us - clock_monotonic_us();
            if (left_us <= 0) return false;
            limit.tv_sec = (time_t)(left_us / 1000000);
            limit.tv_nsec = (long)(left_us % 1000000) * 1000;
        }
        struct pollfd look = {.fd = mailbox->fd, .events = POLLIN};
        if (ppoll(&look, 1, timeout_us >= 0 ? &limit : NULL, NULL) <= 0) continue;
        if (letters_wait(mailbox)) return true;
        /* Readable without a letter: left over from an earlier one. */
        clear_signal(mailbox);
        if (letters_wait(mailbox)) signal_receiver(mailbox); /* we may have eaten its signal */
    }
    return true;
}
