/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A mailbox: many threads put letters in, one thread takes them all out. However many letters
 * arrive between two looks, the receiver is woken once (an eventfd becomes readable).
 * A letter is embedded in the sender's own struct: no allocation, no bound of its own (what is
 * sent must be bounded by the sender). Letters come out in the order in which they were put. */
#ifndef KELVIN_BASE_MAILBOX_H
#define KELVIN_BASE_MAILBOX_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct letter {
    struct letter *next;
    /* Called by the receiver's mailbox_deliver; may free the letter. */
    void (*deliver)(struct letter *letter);
};

struct mailbox;

/* STATUS_IO_ERROR when no descriptor can be had. */
enum status mailbox_create(struct mailbox **out, struct error *error);
/* Letters still inside are not delivered; the caller has ended the senders. */
void mailbox_destroy(struct mailbox *mailbox);

/* Any thread. Never blocks. The letter belongs to the receiver until delivered. */
void mailbox_put(struct mailbox *mailbox, struct letter *letter);

/* Receiver only. */
int mailbox_fd(const struct mailbox *mailbox);    /* readable while letters wait */
unsigned mailbox_deliver(struct mailbox *mailbox); /* calls deliver on each; returns how many */
/* Blocks until a letter waits or `timeout_us` is over (< 0: no limit). For threads that are not the
 * loop. Returns whether letters wait. */
bool mailbox_wait(struct mailbox *mailbox, int64_t timeout_us);

#endif
