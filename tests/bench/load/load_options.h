/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command line of kelvin-load. */
#ifndef KELVIN_BENCH_LOAD_OPTIONS_H
#define KELVIN_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { LOAD_MAX_COMMANDS = 16 };

struct load_options {
    const char *host, *socket;
    uint64_t port, connections, threads, pipeline;
    uint64_t requests; /* 0: until the time is over */
    double seconds, warmup_seconds;
    double rate; /* requests a second; 0: closed loop */
    uint64_t patience_seconds;
    const char *order, *values;
    uint64_t keys, compressible, seed;
    struct load_command {
        const char *text;
        uint64_t weight;
    } commands[LOAD_MAX_COMMANDS];
    unsigned command_count;
    bool fill, window, poisson, verify, json, quiet;
};

/* Ends the process with a text on stderr (2), or after --help (0). */
void load_options_parse(struct load_options *options, int argc, char **argv);

#endif
