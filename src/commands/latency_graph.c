/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See latency_graph.h. A column is 4 rows high and a row has three heights, so that 12 steps lie between the
 * shortest sample and the longest. Below, from top to bottom, how long ago the sample was. */
#include "commands/latency_graph.h"

#include <stdio.h>

enum { WIDTH = 80, ROWS = 4, HEIGHTS = 3, STEPS = ROWS * HEIGHTS, LABEL_BYTES = 24 };

struct column {
    int64_t ms;
    char label[LABEL_BYTES];
};

struct chart {
    struct column columns[LATENCY_SAMPLES];
    int count;
    int64_t least_ms, most_ms;
};

static void write_age(char out[LABEL_BYTES], int64_t seconds)
{
    static const struct {
        int64_t below, unit;
        char letter;
    } units[] = {{60, 1, 's'}, {3600, 60, 'm'}, {86400, 3600, 'h'}, {INT64_MAX, 86400, 'd'}};
    size_t i = 0;
    while (i < sizeof units / sizeof *units - 1 && seconds >= units[i].below) i++;
    (void)snprintf(out, LABEL_BYTES, "%lld%c", (long long)(seconds / units[i].unit),
                   units[i].letter);
}

static void collect(struct chart *chart, const struct latency_event *event, int64_t now_s)
{
    for (unsigned back = LATENCY_SAMPLES; back-- > 0;) {
        struct latency_sample sample = latency_event_sample(event, back);
        if (sample.at_s == 0) continue;
        if (chart->count == 0 || sample.ms < chart->least_ms) chart->least_ms = sample.ms;
        if (chart->count == 0 || sample.ms > chart->most_ms) chart->most_ms = sample.ms;
        struct column *column = &chart->columns[chart->count++];
        column->ms = sample.ms;
        write_age(column->label, now_s - sample.at_s);
    }
}

/* The character of one column in a row, 0 the highest. */
static char bar(const struct chart *chart, const struct column *column, int row)
{
    int64_t range = chart->most_ms - chart->least_ms;
    int64_t step = (column->ms - chart->least_ms) * STEPS / (range ? range : 1);
    if (step >= STEPS) step = STEPS - 1;
    int64_t height = step - (ROWS - row - 1) * HEIGHTS;
    if (height < 0) return ' ';
    return height < HEIGHTS ? "_o#"[height] : '|';
}

static void append_ages(struct buffer *out, const struct column *columns, int count)
{
    for (size_t at = 0; at < LABEL_BYTES; at++) {
        char line[WIDTH];
        bool any = false;
        for (int i = 0; i < count; i++) {
            bool inside = at < strlen(columns[i].label);
            line[i] = inside ? columns[i].label[at] : ' ';
            any |= inside;
        }
        if (!any) return;
        buffer_append(out, line, (size_t)count);
        buffer_append_text(out, "\n");
    }
}

static void append_part(struct buffer *out, const struct chart *chart, int begin, int count)
{
    char line[WIDTH];
    for (int row = 0; row < ROWS; row++) {
        for (int i = 0; i < count; i++) line[i] = bar(chart, &chart->columns[begin + i], row);
        buffer_append(out, line, (size_t)count);
        buffer_append_text(out, "\n");
    }
    memset(line, ' ', sizeof line);
    buffer_append(out, line, (size_t)count);
    buffer_append_text(out, "\n");
    append_ages(out, &chart->columns[begin], count);
}

void latency_graph_append(struct buffer *out, const struct latency_event *event, int64_t now_s)
{
    struct chart chart = {0};
    char line[WIDTH];
    collect(&chart, event, now_s);
    buffer_append_format(out, "%s - high %lld ms, low %lld ms (all time high %lld ms)\n",
                         event->name, (long long)chart.most_ms, (long long)chart.least_ms,
                         (long long)event->longest_ms);
    memset(line, '-', sizeof line);
    buffer_append(out, line, sizeof line);
    buffer_append_text(out, "\n");
    for (int begin = 0; begin < chart.count; begin += WIDTH) {
        int count = chart.count - begin < WIDTH ? chart.count - begin : WIDTH;
        if (begin > 0) buffer_append_text(out, "\n");
        append_part(out, &chart, begin, count);
    }
}
