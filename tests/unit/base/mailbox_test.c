/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The mailbox: order, one wake-up, many senders. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mailbox.h"
#include "base/memory.h"

struct note {
    struct letter letter;
    int sender, number;
};

static int last_number[8];
static int delivered;

static void deliver(struct letter *letter)
{
    struct note *note = (struct note *)letter;
    assert_int_equal(note->number, last_number[note->sender] + 1);
    last_number[note->sender] = note->number;
    delivered++;
    mem_free(note);
}

static void put(struct mailbox *mailbox, int sender, int number)
{
    struct note *note = mem_calloc(1, sizeof *note);
    note->letter.deliver = deliver;
    note->sender = sender;
    note->number = number;
    mailbox_put(mailbox, &note->letter);
}

static bool is_readable(const struct mailbox *mailbox)
{
    struct pollfd look = {.fd = mailbox_fd(mailbox), .events = POLLIN};
    return poll(&look, 1, 0) == 1;
}

static struct mailbox *new_mailbox(void)
{
    struct mailbox *mailbox;
    assert_int_equal(mailbox_create(&mailbox, NULL), STATUS_OK);
    for (int i = 0; i < 8; i++) last_number[i] = 0;
    delivered = 0;
    return mailbox;
}

static void letters_come_out_in_the_order_they_went_in(void **state)
{
    (void)state;
    struct mailbox *mailbox = new_mailbox();
    assert_false(is_readable(mailbox));
    assert_int_equal(mailbox_deliver(mailbox), 0);
    for (int i = 1; i <= 100; i++) put(mailbox, 0, i);
    assert_true(is_readable(mailbox));
    assert_int_equal(mailbox_deliver(mailbox), 100);
    assert_int_equal(last_number[0], 100);
    assert_false(is_readable(mailbox));
    mailbox_destroy(mailbox);
}

static void many_letters_are_one_wake_up(void **state)
{
    (void)state;
    struct mailbox *mailbox = new_mailbox();
    for (int i = 1; i <= 100; i++) put(mailbox, 0, i);
    uint64_t signals = 0;
    assert_int_equal(read(mailbox_fd(mailbox), &signals, sizeof signals), sizeof signals);
    assert_int_equal(signals, 1);
    mailbox_deliver(mailbox);
    mailbox_destroy(mailbox);
}

static struct mailbox *answers;

static void answer(struct letter *letter)
{
    mem_free(letter);
    put(answers, 0, last_number[0] + 1);
}

static void a_letter_may_send_another_one(void **state)
{
    (void)state;
    answers = new_mailbox();
    struct letter *letter = mem_calloc(1, sizeof *letter);
    letter->deliver = answer;
    mailbox_put(answers, letter);
    assert_int_equal(mailbox_deliver(answers), 1);
    assert_true(is_readable(answers));
    assert_int_equal(mailbox_deliver(answers), 1);
    assert_int_equal(last_number[0], 1);
    mailbox_destroy(answers);
}

static void a_wait_ends_with_its_time_or_with_a_letter(void **state)
{
    (void)state;
    struct mailbox *mailbox = new_mailbox();
    int64_t start_us = clock_monotonic_us();
    assert_false(mailbox_wait(mailbox, 0));
    assert_false(mailbox_wait(mailbox, 2000));
    assert_true(clock_monotonic_us() - start_us >= 2000);
    put(mailbox, 0, 1);
    assert_true(mailbox_wait(mailbox, -1));
    assert_true(is_readable(mailbox));
    assert_int_equal(mailbox_deliver(mailbox), 1);
    mailbox_destroy(mailbox);
}

static void a_signal_without_a_letter_does_not_end_a_wait(void **state)
{
    (void)state;
    struct mailbox *mailbox = new_mailbox();
    uint64_t one = 1;
    assert_int_equal(write(mailbox_fd(mailbox), &one, sizeof one), sizeof one);
    assert_false(mailbox_wait(mailbox, 1000));
    assert_false(is_readable(mailbox));
    mailbox_destroy(mailbox);
}

enum { SENDERS = 4, LETTERS = 5000 };

struct sender {
    struct mailbox *mailbox;
    int index;
};

static void send_letters(void *argument)
{
    struct sender *sender = argument;
    for (int i = 1; i <= LETTERS; i++) put(sender->mailbox, sender->index, i);
}

static void no_letter_of_many_senders_is_lost_or_overtaken(void **state)
{
    (void)state;
    struct mailbox *mailbox = new_mailbox();
    struct sender senders[SENDERS];
    unsigned long threads[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){mailbox, i};
        assert_int_equal(thread_start(&threads[i], THREAD_WORKER, "sender", send_letters,
                                      &senders[i], NULL),
                         STATUS_OK);
    }
    while (delivered < SENDERS * LETTERS) {
        assert_true(mailbox_wait(mailbox, 10000000));
        mailbox_deliver(mailbox);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(last_number[i], LETTERS);
    }
    mailbox_destroy(mailbox);
}

static void no_descriptor_left_is_an_error(void **state)
{
    (void)state;
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct mailbox *mailbox = NULL;
    struct error error;
    enum status status = mailbox_create(&mailbox, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(status, STATUS_IO_ERROR);
    assert_null(mailbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_come_out_in_the_order_they_went_in),
        cmocka_unit_test(many_letters_are_one_wake_up),
        cmocka_unit_test(a_letter_may_send_another_one),
        cmocka_unit_test(a_wait_ends_with_its_time_or_with_a_letter),
        cmocka_unit_test(a_signal_without_a_letter_does_not_end_a_wait),
        cmocka_unit_test(no_letter_of_many_senders_is_lost_or_overtaken),
        cmocka_unit_test(no_descriptor_left_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
