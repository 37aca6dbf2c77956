/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The log. A caller formats its line on its own stack and copies it into a bounded buffer under a
 * lock; the log thread swaps that buffer for an empty one under the same lock and writes without
 * it. So nobody ever holds the lock while a disk works.
 *
 * States: direct (no thread: lines go to standard output) -> running -> direct. */
#include "base/log.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 4096, QUEUE_BYTES = 256 * 1024 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct buffer queue;    /* at most QUEUE_BYTES; under `lock` */
    unsigned long dropped;  /* lines; under `lock` */
    bool stopping;          /* under `lock` */
    _Atomic bool running;   /* written by log_start and log_stop alone */
    _Atomic int level;
    unsigned long thread;
    char path[PATH_MAX];    /* fixed while running */
} logger = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
    .level = LOG_NOTICE,
};

/* A pipe without a reader is an error (O_NONBLOCK), not a wait without an end. */
static int open_log(void)
{
    if (logger.path[0] == '\0') return STDOUT_FILENO;
    return open(logger.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
}

/* The log thread may wait for a slow pipe. */
static int open_log_to_wait(void)
{
    int fd = open_log();
    if (fd >= 0 && fd != STDOUT_FILENO) fcntl(fd, F_SETFL, O_APPEND);
    return fd;
}

static void close_log(int fd)
{
    if (fd >= 0 && fd != STDOUT_FILENO) close(fd);
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        data += written;
        size -= (size_t)written;
    }
    return true;
}

static size_t format_head(char *out, size_t size, enum log_level level)
{
    static const char level_marks[] = {'.', '-', '*', '#'};
    int64_t now_ms = clock_wall_ms();
    time_t now = (time_t)(now_ms / 1000);
    struct tm parts;
    localtime_r(&now, &parts);
    char date[64];
    strftime(date, sizeof date, "%d %b %Y %H:%M:%S", &parts);
    int length = snprintf(out, size, "%ld:M %s.%03d %c ", (long)getpid(), date,
                          (int)(now_ms % 1000), level_marks[level]);
    return (size_t)length;
}

/* A line stays a line, whatever its text holds: control characters become '?'. */
static size_t format_line(char *out, enum log_level level, const char *format, va_list arguments)
{
    size_t head = format_head(out, LINE_BYTES, level);
    int printed = vsnprintf(out + head, LINE_BYTES - 1 - head, format, arguments);
    size_t text = printed > 0 ? (size_t)printed : 0;
    if (text > LINE_BYTES - 2 - head) text = LINE_BYTES - 2 - head;
    for (size_t i = head; i < head + text; i++) {
        unsigned char c = (unsigned char)out[i];
        if (c < ' ' || c == 127) out[i] = '?';
    }
    out[head + text] = '\n';
    return head + text + 1;
}

static size_t format_dropped(char *out, unsigned long dropped)
{
    size_t head = format_head(out, LINE_BYTES, LOG_WARNING);
    int length = snprintf(out + head, LINE_BYTES - head,
                          "%lu log lines were dropped: the log could not be written fast enough\n",
                          dropped);
    return head + (size_t)length;
}

/* Returns false when the batch could not be written: its lines count as dropped. */
static bool write_batch(const struct buffer *batch, unsigned long dropped)
{
    int fd = open_log_to_wait();
    bool good = fd >= 0 && write_all(fd, batch->data, batch->size);
    if (good && dropped > 0) {
        char line[LINE_BYTES];
        good = write_all(fd, line, format_dropped(line, dropped));
    }
    close_log(fd);
    return good;
}

static unsigned long count_lines(const struct buffer *batch)
{
    unsigned long lines = 0;
    for (size_t i = 0; i < batch->size; i++)
        if (batch->data[i] == '\n') lines++;
    return lines;
}

static void run_log(void *argument)
{
    (void)argument;
    struct buffer batch = {0};
    buffer_reserve(&batch, QUEUE_BYTES);
    pthread_mutex_lock(&logger.lock);
    for (;;) {
        while (logger.queue.size == 0 && !logger.stopping)
            pthread_cond_wait(&logger.wake, &logger.lock);
        if (logger.queue.size == 0) break;
        struct buffer full = logger.queue;
        unsigned long dropped = logger.dropped;
        logger.queue = batch;
        logger.dropped = 0;
        pthread_mutex_unlock(&logger.lock);
        bool written = write_batch(&full, dropped);
        if (!written) dropped += count_lines(&full);
        buffer_clear(&full);
        batch = full;
        pthread_mutex_lock(&logger.lock);
        if (!written) logger.dropped += dropped;
    }
    pthread_mutex_unlock(&logger.lock);
    buffer_free(&batch);
}

enum status log_start(const char *path, enum log_level level, struct error *error)
{
    ASSERT(!atomic_load(&logger.running));
    if (strlen(path) >= sizeof logger.path)
        return error_set(error, STATUS_INVALID, "the path of the log file is too long");
    snprintf(logger.path, sizeof logger.path, "%s", path);
    int fd = open_log();
    if (fd < 0) {
        enum status status = error_set_errno(error, errno, "cannot open the log file %s", path);
        logger.path[0] = '\0';
        return status;
    }
    close_log(fd);
    tzset(); /* reads the zone's file now, not in some caller's first line */
    log_set_level(level);
    buffer_reserve(&logger.queue, QUEUE_BYTES);
    logger.stopping = false;
    enum status status = thread_start(&logger.thread, THREAD_LOG, "log", run_log, NULL, error);
    if (status != STATUS_OK) {
        buffer_free(&logger.queue);
        logger.path[0] = '\0';
        return status;
    }
    atomic_store(&logger.running, true);
    return STATUS_OK;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&logger.level, (int)level, memory_order_relaxed);
}

void log_stop(void)
{
    if (!atomic_load(&logger.running)) return;
    pthread_mutex_lock(&logger.lock);
    logger.stopping = true;
    pthread_cond_signal(&logger.wake);
    pthread_mutex_unlock(&logger.lock);
    pthread_join(logger.thread, NULL);

    pthread_mutex_lock(&logger.lock);
    atomic_store(&logger.running, false);
    /* What came in between the thread's last look and now. */
    if (logger.queue.size > 0) write_batch(&logger.queue, 0);
    buffer_free(&logger.queue);
    logger.path[0] = '\0';
    pthread_mutex_unlock(&logger.lock);
}

static void queue_line(const char *line, size_t size)
{
    pthread_mutex_lock(&logger.lock);
    if (!atomic_load(&logger.running)) {
        write_all(STDOUT_FILENO, line, size);
    } else if (logger.queue.size + size <= QUEUE_BYTES) {
        if (logger.queue.size == 0) pthread_cond_signal(&logger.wake);
        buffer_append(&logger.queue, line, size);
    } else {
        logger.dropped++;
    }
    pthread_mutex_unlock(&logger.lock);
}

void log_write(enum log_level level, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&logger.level, memory_order_relaxed)) return;
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    size_t size = format_line(line, level, format, arguments);
    va_end(arguments);
    queue_line(line, size);
}

void log_emergency(const char *text)
{
    int fd = open_log();
    if (fd < 0) fd = STDERR_FILENO;
    write_all(fd, text, strlen(text));
    write_all(fd, "\n", 1);
    if (fd != STDERR_FILENO) close_log(fd);
}
