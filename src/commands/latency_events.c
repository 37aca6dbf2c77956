/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See latency_events.h. A fixed table, 2.6 KB an event. Loop thread. */
#include "commands/latency_events.h"

#include <string.h>

enum { EVENTS = 16 };

static struct latency_event events[EVENTS];
static size_t event_count;

static struct latency_event *find_or_add(const char *name)
{
    for (size_t i = 0; i < event_count; i++)
        if (strcmp(events[i].name, name) == 0) return &events[i];
    if (event_count == EVENTS) return NULL;
    events[event_count] = (struct latency_event){.name = name};
    return &events[event_count++];
}

void latency_event_add(const char *name, int64_t ms, int64_t now_s)
{
    struct latency_event *event = find_or_add(name);
    if (!event) return;
    if (ms > event->longest_ms) event->longest_ms = ms;
    struct latency_sample *newest =
        &event->samples[(event->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
    if (newest->at_s == now_s) {
        if (ms > newest->ms) newest->ms = ms;
        return;
    }
    event->samples[event->next] = (struct latency_sample){now_s, ms};
    event->next = (event->next + 1) % LATENCY_SAMPLES;
}

const struct latency_event *latency_event_at(size_t index)
{
    return index < event_count ? &events[index] : NULL;
}

struct latency_sample latency_event_sample(const struct latency_event *event, unsigned back)
{
    return event->samples[(event->next + 2 * LATENCY_SAMPLES - 1 - back) % LATENCY_SAMPLES];
}

void latency_event_remove(size_t index)
{
    event_count--;
    memmove(&events[index], &events[index + 1], (event_count - index) * sizeof *events);
}
