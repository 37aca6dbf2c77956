/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command line of kelvin-load. */
#include "load_options.h"

#include "base/bytes.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "kelvin-load: load and latencies for a server that speaks Redis's protocol\n"
    "\n"
    "  kelvin-load [OPTION...] [COMMAND [--weight N]]...\n"
    "\n"
    "A command is a template; several are mixed by weight. Default: 'GET key:{key}'.\n"
    "  {key}           the next key's number, 12 digits, as redis-benchmark names them\n"
    "  {value}         the value that belongs to the {key} before it\n"
    "  {value:SIZES}   with another size than --value\n"
    "  {number:MAX}    0 .. MAX - 1 at random\n"
    "  [words]*N       the words N times: 'MSET [key:{key} {value}]*10'\n"
    "\n"
    "Where\n"
    "  -h, --host HOST         (127.0.0.1)\n"
    "  -p, --port PORT         (6379)\n"
    "  -s, --socket PATH       a unix socket instead\n"
    "  -c, --connections N     in all (50)\n"
    "  -t, --threads N         of this program; connections are spread over them (1)\n"
    "\n"
    "How much\n"
    "  -n, --requests N        ends after so many\n"
    "  -S, --seconds S         ends after so long (10, unless -n or --fill is given)\n"
    "      --warmup S          seconds before that that do not count (0)\n"
    "  -P, --pipeline N        requests in flight on a connection (1; 64 with --fill)\n"
    "      --window            sends the next request with each reply, instead of the next N\n"
    "                          when all N replies are there (as redis-benchmark does)\n"
    "  -r, --rate R            open loop: R requests a second in all, whatever the server does.\n"
    "                          A latency counts from when its request should have left, so one\n"
    "                          that waits here behind a slow one is as slow as it is to its user.\n"
    "                          -P N: at most N in flight on a connection; the others wait here\n"
    "      --poisson           open loop: random intervals instead of even ones\n"
    "\n"
    "Which keys and values\n"
    "  -k, --keys N            key space (1000000)\n"
    "  -o, --order ORDER       uniform (default), zipf:THETA (exact, hot keys scattered),\n"
    "                          zipf-ranks:THETA (key 0 is the hottest), sequential, shuffled\n"
    "                          (each key once, then again)\n"
    "  -d, --value SIZES       bytes: 64 (default), 16-1024 (uniform), or several with weights:\n"
    "                          64:90,1024:9,16384-65536:1. A key's value is always the same\n"
    "      --compressible P    percent of a value that a compressor takes away (0)\n"
    "  -f, --fill              each key once (-o sequential or shuffled), 'SET key:{key} {value}'\n"
    "      --seed N            of the draws (1). Values, and which keys are hot, do not depend on "
    "it\n"
    "      --verify            a bulk reply must be the key's value; the i-th element of an\n"
    "                          array that of the command's i-th key. Nil counts, but is not wrong\n"
    "\n"
    "What is shown\n"
    "  -q, --quiet             no progress line a second (on stderr)\n"
    "  -j, --json              the result as one line of JSON\n"
    "      --patience S        gives up after so long without any reply (60)\n"
    "      --help\n"
    "\n"
    "Exit code: 0 fine; 1 some reply was an error or wrong (the first one is shown); 2 anything "
    "else.\n";

_Noreturn static void refuse(const char *what, const char *text)
{
    fprintf(stderr, "kelvin-load: %s: %s (see --help)\n", what, text);
    exit(2);
}

static uint64_t whole(const char *text, const char *name, uint64_t minimum, uint64_t maximum)
{
    uint64_t value;
    if (!slice_to_uint64(slice_from_text(text), &value) || value < minimum || value > maximum) {
        refuse(name, text);
    }
    return value;
}

static double real(const char *text, const char *name)
{
    double value;
    if (!slice_to_double(slice_from_text(text), &value) || !(value >= 0) || value > 1e9) {
        refuse(name, text);
    }
    return value;
}

static void add_command(struct load_options *options, const char *text)
{
    if (options->command_count == LOAD_MAX_COMMANDS) refuse("too many commands", text);
    options->commands[options->command_count++] = (struct load_command){text, 1};
}

static void set_weight(struct load_options *options, const char *text)
{
    if (!options->command_count) refuse("--weight comes after its command", text);
    options->commands[options->command_count - 1].weight = whole(text, "--weight", 1, 1 << 20);
}

enum { WARMUP = 256, WINDOW, POISSON, COMPRESSIBLE, SEED, VERIFY, PATIENCE, WEIGHT, HELP };

static const struct option names[] = {
    {"host", 1, NULL, 'h'},
    {"port", 1, NULL, 'p'},
    {"socket", 1, NULL, 's'},
    {"connections", 1, NULL, 'c'},
    {"threads", 1, NULL, 't'},
    {"requests", 1, NULL, 'n'},
    {"seconds", 1, NULL, 'S'},
    {"pipeline", 1, NULL, 'P'},
    {"rate", 1, NULL, 'r'},
    {"keys", 1, NULL, 'k'},
    {"order", 1, NULL, 'o'},
    {"value", 1, NULL, 'd'},
    {"fill", 0, NULL, 'f'},
    {"quiet", 0, NULL, 'q'},
    {"json", 0, NULL, 'j'},
    {"warmup", 1, NULL, WARMUP},
    {"window", 0, NULL, WINDOW},
    {"poisson", 0, NULL, POISSON},
    {"compressible", 1, NULL, COMPRESSIBLE},
    {"seed", 1, NULL, SEED},
    {"verify", 0, NULL, VERIFY},
    {"patience", 1, NULL, PATIENCE},
    {"weight", 1, NULL, WEIGHT},
    {"help", 0, NULL, HELP},
    {0},
};

static void set_option(struct load_options *options, int name, const char *text)
{
    switch (name) {
    case 'h':
        options->host = text;
        break;
    case 'p':
        options->port = whole(text, "--port", 1, 65535);
        break;
    case 's':
        options->socket = text;
        break;
    case 'c':
        options->connections = whole(text, "--connections", 1, 100000);
        break;
    case 't':
        options->threads = whole(text, "--threads", 1, 256);
        break;
    case 'n':
        options->requests = whole(text, "--requests", 1, UINT64_MAX);
        break;
    case 'S':
        options->seconds = real(text, "--seconds");
        break;
    case 'P':
        options->pipeline = whole(text, "--pipeline", 1, 100000);
        break;
    case 'r':
        options->rate = real(text, "--rate");
        break;
    case 'k':
        options->keys = whole(text, "--keys", 1, 1000000000000);
        break;
    case 'o':
        options->order = text;
        break;
    case 'd':
        options->values = text;
        break;
    case 'f':
        options->fill = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case 'j':
        options->json = true;
        break;
    case WARMUP:
        options->warmup_seconds = real(text, "--warmup");
        break;
    case WINDOW:
        options->window = true;
        break;
    case POISSON:
        options->poisson = true;
        break;
    case COMPRESSIBLE:
        options->compressible = whole(text, "--compressible", 0, 100);
        break;
    case SEED:
        options->seed = whole(text, "--seed", 0, UINT64_MAX);
        break;
    case VERIFY:
        options->verify = true;
        break;
    case PATIENCE:
        options->patience_seconds = whole(text, "--patience", 1, 1 << 20);
        break;
    case WEIGHT:
        set_weight(options, text);
        break;
    case 1:
        add_command(options, text);
        break; /* an argument that is no option */
    case HELP:
        fputs(help, stdout);
        exit(0);
    default:
        exit(2);
    }
}

void load_options_parse(struct load_options *options, int argc, char **argv)
{
    *options = (struct load_options){.host = "127.0.0.1",
                                     .port = 6379,
                                     .connections = 50,
                                     .threads = 1,
                                     .keys = 1000000,
                                     .values = "64",
                                     .seed = 1,
                                     .patience_seconds = 60};
    int name;
    while ((name = getopt_long(argc, argv, "-h:p:s:c:t:n:S:P:r:k:o:d:fqj", names, NULL)) != -1) {
        set_option(options, name, optarg);
    }
    for (; optind < argc; optind++) add_command(options, argv[optind]);
    if (!options->order) options->order = options->fill ? "sequential" : "uniform";
    if (!options->pipeline) options->pipeline = options->fill ? 64 : 1;
    if (!options->command_count) {
        add_command(options, options->fill ? "SET key:{key} {value}" : "GET key:{key}");
    }
    if (options->seconds <= 0 && !options->requests && !options->fill) options->seconds = 10;
    if (options->threads > options->connections) options->threads = options->connections;
    if (options->fill && options->command_count > 1) refuse("--fill", "takes one command");
    if (options->fill && options->rate > 0) refuse("--fill", "has no --rate");
}
