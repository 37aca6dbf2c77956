/* SPDX-License-Identifier: BSD-3-Clause
 *
 * INFO latencystats, and which percentiles it has: latency-tracking-info-percentiles stays a text, whose
 * words are read anew each time. Loop thread. */
#include "commands/latency.h"

#include "base/memory.h"
#include "commands/dispatch.h"

static enum status parse(struct slice word, double *out, struct error *error)
{
    long double value;
    if (!slice_to_long_double(word, &value))
        return error_set(error, STATUS_INVALID,
                         "Invalid latency-tracking-info-percentiles parameters");
    if (!(value >= 0 && value <= 100))
        return error_set(error, STATUS_INVALID,
                         "latency-tracking-info-percentiles parameters should sit between "
                         "[0.0,100.0]");
    *out = (double)value;
    return STATUS_OK;
}

/* 99.900000 is 99.9, 50.000000 is 50. */
static void append_percentile(struct buffer *out, double value)
{
    buffer_append_format(out, "%f", value);
    while (out->data[out->size - 1] == '0') out->size--;
    if (out->data[out->size - 1] == '.') out->size--;
}

enum status latency_check_options(const struct command_options *options, struct error *error)
{
    struct words words = {0};
    double value;
    enum status status = STATUS_OK;
    if (!option_split_line(slice_from_text(options->latency_percentiles), &words))
        return parse(slice_from_text(""), &value, error);
    for (size_t i = 0; i < words.count && status == STATUS_OK; i++)
        status = parse(words.items[i], &value, error);
    option_free_words(&words);
    return status;
}

void latency_normalize_options(struct command_options *options)
{
    struct words words = {0};
    struct buffer text = {0};
    double value;
    option_split_line(slice_from_text(options->latency_percentiles), &words);
    for (size_t i = 0; i < words.count; i++) {
        if (parse(words.items[i], &value, NULL) != STATUS_OK) continue;
        if (i > 0) buffer_append_text(&text, " ");
        append_percentile(&text, value);
    }
    mem_free(options->latency_percentiles);
    options->latency_percentiles = slice_dup_text(buffer_slice(&text));
    buffer_free(&text);
    option_free_words(&words);
}

static void append_command(struct buffer *out, const struct command *command,
                           const struct words *words)
{
    const struct histogram *latency_ns = &command_stats(command)->latency_ns;
    if (atomic_load_explicit(&latency_ns->count, memory_order_relaxed) == 0) return;
    buffer_append_format(out, "latency_percentiles_usec_%s:", command_full_name(command));
    for (size_t i = 0; i < words->count; i++) {
        double value;
        if (parse(words->items[i], &value, NULL) != STATUS_OK) continue;
        uint64_t ns = histogram_quantile_us(latency_ns, value / 100);
        buffer_append_text(out, i > 0 ? ",p" : "p");
        append_percentile(out, value);
        buffer_append_format(out, "=%llu.%03llu", (unsigned long long)(ns / 1000),
                             (unsigned long long)(ns % 1000));
    }
    buffer_append_text(out, "\r\n");
}

void latency_append_info(const struct command_options *options, struct buffer *out)
{
    struct words words = {0};
    if (!options->latency_tracking) return;
    option_split_line(slice_from_text(options->latency_percentiles), &words);
    for (int i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);
        append_command(out, command, &words);
        for (int k = 0; k < command->subcommand_count; k++)
            append_command(out, &command->subcommands[k], &words);
    }
    option_free_words(&words);
}
