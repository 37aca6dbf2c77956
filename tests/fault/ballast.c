/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The second part of the library that is preloaded under a server: a wall clock that jumps and a system
 * that has no more threads, on orders from a test. FAULTFS_BALLAST names the file of `struct
 * orders`, which the test maps too; without it nothing is changed. Any thread. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

struct orders {
    _Atomic int64_t jump_seconds; /* the wall clock is ahead by so much */
    _Atomic int32_t threads_left; /* that can still be made; < 0: as many as wanted */
    _Atomic uint32_t refused;     /* threads that could not be made */
};

static struct orders *orders;

__attribute__((constructor)) static void set_up(void)
{
    const char *name = getenv("FAULTFS_BALLAST");
    if (!name) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0);
    void *map = (void *)syscall(SYS_mmap, NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED,
                                fd, 0);
    if (fd < 0 || map == MAP_FAILED) _exit(98);
    orders = map;
    syscall(SYS_close, fd);
}

static int64_t jump(clockid_t clock)
{
    return orders && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
               ? orders->jump_seconds
               : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0) now->tv_sec += jump(clock);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int result = (int)syscall(SYS_gettimeofday, now, zone);
    if (result == 0) now->tv_sec += jump(CLOCK_REALTIME);
    return result;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
                   void *argument)
{
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!next)
        next = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
            RTLD_NEXT, "pthread_create");
    if (orders && orders->threads_left >= 0) {
        if (orders->threads_left == 0) {
            orders->refused++;
            return EAGAIN;
        }
        orders->threads_left--;
    }
    return next(thread, attributes, body, argument);
}
