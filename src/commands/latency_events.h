/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Events that took latency-monitor-threshold or longer, by name: what LATENCY tells of. Of each second in
 * which an event came the longest one is kept, of the last 160 such seconds. Loop thread. */
#ifndef KELVIN_COMMANDS_LATENCY_EVENTS_H
#define KELVIN_COMMANDS_LATENCY_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LATENCY_SAMPLES = 160 };

struct latency_sample {
    int64_t at_s; /* wall clock; 0: none yet */
    int64_t ms;
};

struct latency_event {
    const char *name; /* NULL: a free place */
    struct latency_sample samples[LATENCY_SAMPLES]; /* a ring */
    unsigned next;    /* where the next second goes */
    int64_t longest_ms;
};

/* `name` is borrowed for ever; more than there is room for are not kept. */
void latency_event_add(const char *name, int64_t ms, int64_t now_s);
/* In the order of their first sample; NULL behind the last one. */
const struct latency_event *latency_event_at(size_t index);
/* The sample `back` seconds with samples before the newest (0); at_s is 0 where there is none. */
struct latency_sample latency_event_sample(const struct latency_event *event, unsigned back);
/* Forgets the event (its number moves the later ones). */
void latency_event_remove(size_t index);

#endif
