/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What HTTP answers. A page is made in one go on the loop: some 60 KB in a fifth of a millisecond, gzip
 * included in half of one. Loop thread. */
#include "net/http_internal.h"

#include "base/clock.h"
#include "base/memory.h"
#include "commands/dispatch.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>

enum { GZIP_MIN_BYTES = 1024 };

static const char *header_of(struct evhttp_request *request, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(request), name);
}

static void set_header(struct evhttp_request *request, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

static void release_body(const void *data, size_t size, void *owner)
{
    (void)size;
    (void)owner;
    mem_free((void *)(uintptr_t)data);
}

/* Takes the body over. Each connection has one request, so that none is left to be looked after. */
static void send_reply(struct evhttp_request *request, int code, const char *reason, const char *type,
                       struct buffer *body)
{
    char length[INT64_TEXT_BYTES];
    snprintf(length, sizeof length, "%zu", body->size);
    set_header(request, "Content-Type", type);
    set_header(request, "Content-Length", length);
    set_header(request, "Cache-Control", "no-store");
    set_header(request, "Connection", "close");
    struct evbuffer *out = evhttp_request_get_output_buffer(request);
    bool is_head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
    if (is_head || body->size == 0 ||
        evbuffer_add_reference(out, body->data, body->size, release_body, NULL) != 0)
        buffer_free(body);
    *body = (struct buffer){0};
    evhttp_send_reply(request, code, reason, NULL);
}

static void send_text(struct evhttp_request *request, int code, const char *reason, const char *text)
{
    struct buffer body = {0};
    buffer_append_format(&body, "%s\n", text);
    send_reply(request, code, reason, "text/plain; charset=utf-8", &body);
}

/* --- the pages --- */

static bool wants_openmetrics(struct evhttp_request *request)
{
    const char *accept = header_of(request, "Accept");
    double weight = http_item_weight(accept, "application/openmetrics-text");
    return weight > 0 && weight >= http_item_weight(accept, "text/plain");
}

static void reply_page(struct http *http, struct evhttp_request *request)
{
    int64_t began_us = clock_monotonic_us();
    struct buffer text = {0}, packed = {0};
    struct metric_page page = {&text, wants_openmetrics(request) ? METRIC_OPENMETRICS : METRIC_TEXT};
    struct metric_visitor visitor = metric_page_visitor(&page);
    counter_add(&http->metrics->pages, 1);
    server.visit_metrics(&visitor);
    metric_page_end(&page);
    if (text.size > GZIP_MIN_BYTES &&
        http_item_weight(header_of(request, "Accept-Encoding"), "gzip") > 0) {
        http_compress(buffer_slice(&text), &packed);
        buffer_free(&text);
        text = packed;
        set_header(request, "Content-Encoding", "gzip");
    }
    set_header(request, "Vary", "Accept, Accept-Encoding");
    histogram_record_us(&http->metrics->page_seconds, (uint64_t)(clock_monotonic_us() - began_us));
    send_reply(request, HTTP_OK, "OK",
               page.format == METRIC_OPENMETRICS
                   ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                   : "text/plain; version=0.0.4; charset=utf-8",
               &text);
}

static void reply_metrics(struct http *http, struct evhttp_request *request)
{
    if (http_is_authorized(header_of(request, "Authorization"), http->options->token)) {
        reply_page(http, request);
        return;
    }
    counter_add(&http->metrics->unauthorized, 1);
    set_header(request, "WWW-Authenticate", "Basic realm=\"kelvin\", charset=\"UTF-8\"");
    send_text(request, 401, "Unauthorized", "metrics-token is needed");
}

static void reply_health(struct http *http, struct evhttp_request *request)
{
    (void)http;
    send_text(request, HTTP_OK, "OK", "ok");
}

/* Why not may tell of files: that is for whom the page is for. */
static void reply_readiness(struct http *http, struct evhttp_request *request)
{
    struct error error;
    if (server.is_ready(&error))
        send_text(request, HTTP_OK, "OK", "ready");
    else
        send_text(request, HTTP_SERVUNAVAIL, "Service Unavailable",
                  http_is_authorized(header_of(request, "Authorization"), http->options->token)
                      ? error.text
                      : "not ready");
}

static const struct {
    const char *path;
    void (*reply)(struct http *http, struct evhttp_request *request);
} routes[] = {
    {"/metrics", reply_metrics}, {"/healthz", reply_health}, {"/readyz", reply_readiness}};

void http_reply(struct http *http, struct evhttp_request *request)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    counter_add(&http->metrics->requests, 1);
    for (size_t i = 0; path && i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(path, routes[i].path) != 0) continue;
        if (method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD) {
            routes[i].reply(http, request);
            return;
        }
        counter_add(&http->metrics->bad, 1);
        set_header(request, "Allow", "GET, HEAD");
        send_text(request, HTTP_BADMETHOD, "Method Not Allowed", "only GET and HEAD");
        return;
    }
    counter_add(&http->metrics->bad, 1);
    send_text(request, HTTP_NOTFOUND, "Not Found", "there are /metrics, /healthz and /readyz");
}
