/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of HTTP share. Loop thread. */
#ifndef KELVIN_NET_HTTP_INTERNAL_H
#define KELVIN_NET_HTTP_INTERNAL_H

#include "base/bytes.h"
#include "net/http.h"

#include <event2/http.h>

struct http_slot;
struct http {
    struct loop *loop;
    const struct http_options *options;
    struct http_metrics *metrics;
    struct evhttp *server;
    struct http_slot *slots; /* HTTP_CONNECTIONS of them */
    struct evconnlistener *listener; /* owned by `server` */
    struct event *sweep;     /* set while there are connections, or the listener rests */
};

/* --- http_reply.c --- */
/* Answers a request, whatever it is. */
void http_reply(struct http *http, struct evhttp_request *request);

/* --- http_header.c: pure functions --- */
/* The weight (0 to 1) of the item `name` in a header like Accept, "text/plain;q=0.5, x/y;version=1";
 * the highest where it is there several times; -1 where it is not. Parameters do not matter. */
double http_item_weight(const char *header, const char *name);
/* Whether the Authorization header (NULL: none) brings the token: "Bearer TOKEN", or "Basic" with it as
 * the password of any user. */
bool http_is_authorized(const char *header, const char *token);
/* Appends the bytes as gzip. */
void http_compress(struct slice bytes, struct buffer *out);

#endif
