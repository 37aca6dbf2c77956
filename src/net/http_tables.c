/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The options and metrics of HTTP. Constants, any thread. */
#include "net/http.h"

#include <stddef.h>

static const struct option options[] = {
    {.name = "metrics-port", .kind = OPTION_INTEGER, .offset = offsetof(struct http_options, port),
     .default_text = "0", .minimum = 0, .maximum = 65535,
     .help = "Serve HTTP on this port for those who watch the server: /metrics (Prometheus's text "
             "format, or OpenMetrics for who prefers it), /healthz (200 while the process answers) and "
             "/readyz (200 when the data are there and writes are taken, else 503). 0: no HTTP. The "
             "command METRICS shows the same page."},
    {.name = "metrics-bind", .kind = OPTION_STRING, .offset = offsetof(struct http_options, bind),
     .default_text = "127.0.0.1",
     .help = "The one address for metrics-port, IPv4 or IPv6; * is every IPv4 address, :: every "
             "address. Whoever reaches it can read the figures (no keys, no values): set metrics-token "
             "before you open it to others. There is no TLS."},
    {.name = "metrics-token", .kind = OPTION_STRING, .flags = OPTION_LIVE | OPTION_SECRET,
     .offset = offsetof(struct http_options, token), .default_text = "",
     .help = "Who asks for /metrics must bring this, as \"Authorization: Bearer TOKEN\" or as the "
             "password of HTTP basic authentication with any user. Empty: nothing is asked for. "
             "/healthz and /readyz are open to all."},
};
const struct option_table http_option_table = {
    .title = "Metrics over HTTP",
    .intro = "A port of its own, which Prometheus scrapes and a supervisor asks for health.",
    .rows = options,
    .count = sizeof options / sizeof *options,
};

#define ROW(kind_, name_, field, unit_, help_)                                                     \
    {.name = "kelvin_http_" name_,                                                                 \
     .kind = METRIC_##kind_,                                                                       \
     .offset = offsetof(struct http_metrics, field),                                               \
     .unit = (unit_),                                                                              \
     .help = (help_)}

static const struct metric metrics[] = {
    ROW(COUNTER, "connections_accepted_total", accepted, "", "Connections to metrics-port."),
    ROW(COUNTER, "requests_total", requests, "", "Requests that could be read."),
    ROW(COUNTER, "pages_total", pages, "", "Metrics pages that were made."),
    ROW(COUNTER, "unauthorized_total", unauthorized, "", "Requests without the metrics-token."),
    ROW(COUNTER, "bad_requests_total", bad, "", "Requests for what is not there."),
    ROW(COUNTER, "cut_total", cut, "", "Connections ended because they took more than 10 seconds."),
    ROW(GAUGE, "connections", connections, "",
        "Connections to metrics-port now; there can be 32, others wait."),
    ROW(HISTOGRAM, "page_seconds", page_seconds, "seconds",
        "Time to make a page, gzip included. The event loop does nothing else meanwhile."),
};
const struct metric_table http_metric_table = {
    .family = "http",
    .rows = metrics,
    .count = sizeof metrics / sizeof *metrics,
};
