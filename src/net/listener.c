/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Listening sockets, TCP and unix. Addresses are numbers: no name is ever looked up. What accepted
 * sockets need (no delay, keepalive) is set on the listening socket, from which Linux hands it
 * down. When the process has no descriptor left, the listener is not watched until the next cron or
 * the next closed connection. Loop thread, but for opening at start-up. */
#include "net/connection.h"

#include "base/log.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 64, LOG_PAUSE_MS = 60000 };

struct listener {
    struct listener *next;
    struct net *net;
    struct event event;
    int fd;
    bool unix_socket;
    bool waiting; /* for a free descriptor */
    char name[128];
};

/* --- accepting --- */

static void refuse(int fd, const char *text)
{
    /* Best effort: who does not read it finds the connection closed. */
    send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *v6 = (const void *)address;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static bool must_deny(const struct listener *listener, const struct sockaddr *peer)
{
    if (listener->unix_socket || !listener->net->options->protected_mode) return false;
    return (!server.password || server.password()[0] == '\0') && !is_loopback(peer);
}

static void admit(struct listener *listener, int fd, const struct sockaddr *peer)
{
    struct net *net = listener->net;
    if (net->connection_count >= (size_t)net->options->maxclients) {
        counter_add(&net->metrics->connections_rejected, 1);
        refuse(fd, "-ERR max number of clients reached\r\n");
    } else if (must_deny(listener, peer)) {
        counter_add(&net->metrics->connections_denied, 1);
        refuse(fd, "-DENIED Redis is running in protected mode because protected mode is enabled and "
                   "no password is set for the default user. Connections are taken from the "
                   "loopback interface only. To connect from here, set a password (requirepass), "
                   "or, where nobody else can reach the port, turn the mode off with 'CONFIG SET "
                   "protected-mode no' from the server's own machine or with 'protected-mode no' "
                   "in its configuration file.\r\n");
    } else {
        connection_open(net, fd, peer, listener->unix_socket);
    }
}

static void out_of_descriptors(struct listener *listener, int error_number)
{
    static int64_t logged_ms;
    int64_t now_ms = dispatch_time_ms();
    counter_add(&listener->net->metrics->accept_failures, 1);
    event_del(&listener->event);
    listener->waiting = true;
    if (logged_ms != 0 && now_ms - logged_ms < LOG_PAUSE_MS) return;
    logged_ms = now_ms;
    log_write(LOG_WARNING, "cannot accept connections on %s: %s; new clients wait", listener->name,
              strerror(error_number));
}

static void on_acceptable(evutil_socket_t fd, short what, void *argument)
{
    struct listener *listener = argument;
    (void)what;
    loop_enter(listener->net->loop);
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t size = sizeof peer;
        int accepted = accept4(fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            admit(listener, accepted, (const struct sockaddr *)&peer);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            out_of_descriptors(listener, errno);
            return;
        } else if (errno == EAGAIN) {
            return;
        } /* else this one connection is gone already */
    }
}

void listeners_retry(struct net *net)
{
    for (struct listener *listener = net->listeners; listener; listener = listener->next) {
        if (!listener->waiting) continue;
        listener->waiting = false;
        event_add(&listener->event, NULL);
    }
}

/* --- opening --- */

static void set_keepalive(int fd, int64_t seconds)
{
    int on = seconds > 0;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (!on) return;
    int idle = (int)seconds, interval = seconds >= 3 ? (int)(seconds / 3) : 1, count = 3;
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

void listeners_set_keepalive(struct net *net)
{
    for (struct listener *listener = net->listeners; listener; listener = listener->next)
        if (!listener->unix_socket) set_keepalive(listener->fd, net->options->tcp_keepalive_s);
}

/* Listens on the bound socket and watches it; takes the descriptor over on success. */
static enum status add_listener(struct net *net, int fd, bool unix_socket, const char *name,
                                struct error *error)
{
    if (listen(fd, (int)net->options->tcp_backlog) != 0)
        return error_set_errno(error, errno, "cannot listen on %s", name);
    struct listener *listener = mem_calloc(1, sizeof *listener);
    listener->net = net;
    listener->fd = fd;
    listener->unix_socket = unix_socket;
    snprintf(listener->name, sizeof listener->name, "%s", name);
    event_assign(&listener->event, loop_base(net->loop), fd, EV_READ | EV_PERSIST, on_acceptable,
                 listener);
    if (event_add(&listener->event, NULL) != 0) {
        mem_free(listener);
        return error_set_errno(error, errno, "cannot watch %s", name);
    }
    struct listener **last = &net->listeners;
    while (*last) last = &(*last)->next;
    *last = listener;
    return STATUS_OK;
}

/* `text` is one address of `bind`; "*" is any IPv4 address and "::*" any IPv6 one. */
static enum status parse_address(const char *text, int64_t port, struct sockaddr_storage *out,
                                 socklen_t *size, struct error *error)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char *host = strcmp(text, "*") == 0 ? "0.0.0.0" : strcmp(text, "::*") == 0 ? "::" : text;
    char service[INT64_TEXT_BYTES];
    snprintf(service, sizeof service, "%d", (int)port);
    int failure = getaddrinfo(host, service, &hints, &found);
    if (failure != 0)
        return error_set(error, STATUS_INVALID, "bind: \"%s\" is not an IP address", text);
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *size = found->ai_addrlen;
    freeaddrinfo(found);
    return STATUS_OK;
}

static bool may_be_missing(int error_number)
{
    return error_number == EADDRNOTAVAIL || error_number == EAFNOSUPPORT ||
           error_number == ENOPROTOOPT || error_number == EPROTONOSUPPORT ||
           error_number == ESOCKTNOSUPPORT || error_number == EPFNOSUPPORT;
}

static enum status open_address(struct net *net, const char *text, int64_t port,
                                struct error *error)
{
    bool optional = text[0] == '-';
    struct sockaddr_storage address;
    socklen_t size;
    char name[128];
    enum status status = parse_address(text + optional, port, &address, &size, error);
    if (status != STATUS_OK) return status;
    bool v6 = address.ss_family == AF_INET6;
    snprintf(name, sizeof name, v6 ? "[%s]:%d" : "%s:%d", text + optional, (int)port);
    int on = 1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) goto failed;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (v6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    set_keepalive(fd, net->options->tcp_keepalive_s);
    if (bind(fd, (const struct sockaddr *)&address, size) != 0) goto failed;
    status = add_listener(net, fd, false, name, error);
    if (status != STATUS_OK) close(fd);
    return status;
failed:
    status = error_set_errno(error, errno, "cannot listen on %s", name);
    bool missing = may_be_missing(errno);
    if (fd >= 0) close(fd);
    return optional && missing ? STATUS_NOT_FOUND : status;
}

enum status listeners_open(struct net *net, const char *bind, int64_t port, struct error *error)
{
    if (port == 0) return STATUS_OK;
    struct words words = {0};
    enum status status = STATUS_OK, last = STATUS_OK;
    size_t opened = 0;
    if (!option_split_line(slice_from_text(bind), &words))
        return error_set(error, STATUS_INVALID, "bind: unbalanced quotes");
    for (size_t i = 0; i < words.count && status == STATUS_OK; i++) {
        last = open_address(net, words.items[i].data, port, error);
        if (last == STATUS_OK) opened++;
        else if (last != STATUS_NOT_FOUND) status = last;
    }
    /* Optional addresses may be missing, but not all there are. */
    if (status == STATUS_OK && opened == 0 && words.count > 0) status = STATUS_IO_ERROR;
    option_free_words(&words);
    if (status != STATUS_OK) listeners_close(net, false);
    return status;
}

enum status listeners_check_bind(const char *bind, struct error *error)
{
    struct words words = {0};
    enum status status = STATUS_OK;
    if (!option_split_line(slice_from_text(bind), &words))
        return error_set(error, STATUS_INVALID, "bind: unbalanced quotes");
    for (size_t i = 0; i < words.count && status == STATUS_OK; i++) {
        struct sockaddr_storage address;
        socklen_t size;
        const char *text = words.items[i].data;
        status = parse_address(text + (text[0] == '-'), 0, &address, &size, error);
    }
    option_free_words(&words);
    return status;
}

enum status listeners_open_unix(struct net *net, struct error *error)
{
    const char *path = net->options->unixsocket;
    if (path[0] == '\0') return STATUS_OK;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(error, STATUS_INVALID, "unixsocket: the path is longer than %zu bytes",
                         sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    struct stat found;
    if (lstat(path, &found) == 0 && S_ISSOCK(found.st_mode)) unlink(path);
    enum status status;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return error_set_errno(error, errno, "cannot listen on %s", path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        status = error_set_errno(error, errno, "cannot listen on %s", path);
        goto close_fd;
    }
    int64_t mode = net->options->unixsocketperm;
    if (mode != 0 && chmod(path, (mode_t)mode) != 0) {
        status = error_set_errno(error, errno, "cannot set unixsocketperm of %s", path);
        goto remove_path;
    }
    status = add_listener(net, fd, true, path, error);
    if (status == STATUS_OK) return STATUS_OK;
remove_path:
    unlink(path);
close_fd:
    close(fd);
    return status;
}

void listeners_close(struct net *net, bool unix_too)
{
    struct listener **place = &net->listeners;
    while (*place) {
        struct listener *listener = *place;
        if (listener->unix_socket && !unix_too) {
            place = &listener->next;
            continue;
        }
        *place = listener->next;
        event_del(&listener->event);
        close(listener->fd);
        if (listener->unix_socket) unlink(listener->name);
        mem_free(listener);
    }
}

void listeners_describe(const struct net *net, struct buffer *out)
{
    for (const struct listener *listener = net->listeners; listener; listener = listener->next) {
        if (listener != net->listeners) buffer_append_text(out, ", ");
        buffer_append_text(out, listener->name);
    }
}
