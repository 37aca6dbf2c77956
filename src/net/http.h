/* SPDX-License-Identifier: BSD-3-Clause
 *
 * HTTP for whoever watches the server: /metrics (Prometheus's text or OpenMetrics), /healthz, /readyz. On
 * a port of its own, by libevent's evhttp. One request a connection; a connection lives 10 seconds at the
 * most and there are at most HTTP_CONNECTIONS, so slow or bad clients cost nobody else anything; further
 * ones wait in the kernel. Loop thread. */
#ifndef KELVIN_NET_HTTP_H
#define KELVIN_NET_HTTP_H

#include "base/metric.h"
#include "base/option.h"
#include "net/loop.h"

enum { HTTP_CONNECTIONS = 32 };

struct http_options {
    int64_t port; /* 0: none */
    char *bind;
    char *token; /* live */
};
extern const struct option_table http_option_table;

struct http_metrics {
    struct counter accepted, requests, pages, unauthorized, bad, cut;
    struct gauge connections;
    struct histogram page_seconds;
};
extern const struct metric_table http_metric_table;

struct http;

/* Listens on metrics-bind and metrics-port; `*out` is NULL where that is 0. What it tells comes from
 * `server` (commands/dispatch.h). Options and metrics outlive it. STATUS_INVALID: the address is none;
 * STATUS_IO_ERROR: it is taken, or not ours. */
enum status http_create(struct http **out, struct loop *loop, const struct http_options *options,
                        struct http_metrics *metrics, struct error *error);
void http_destroy(struct http *http); /* closes everything at once; NULL is allowed */

#endif
