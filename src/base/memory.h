/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Memory. Small allocations do not fail: when the system has no memory left the process logs the
 * size and ends (the journal keeps every acknowledged write). Allocations whose size a client
 * chooses use mem_try_alloc and turn NULL into an error reply. Any thread. */
#ifndef KELVIN_BASE_MEMORY_H
#define KELVIN_BASE_MEMORY_H

#include <stddef.h>

void *mem_alloc(size_t size);                  /* never NULL */
void *mem_calloc(size_t count, size_t size);   /* never NULL, zeroed */
void *mem_realloc(void *pointer, size_t size); /* never NULL */
void *mem_try_alloc(size_t size);              /* NULL when there is none */
void *mem_dup(const void *data, size_t size);
void mem_free(void *pointer);
/* The bytes that the allocator really set aside for `pointer`. */
size_t mem_usable_size(const void *pointer);
/* The bytes that mem_alloc(size) would set aside: a size class. */
size_t mem_good_size(size_t size);

/* What the allocator and the kernel say, in bytes. 0 where unknown. */
struct mem_usage {
    size_t allocated;     /* handed out by the allocator */
    size_t active;        /* pages that hold them */
    size_t resident;      /* resident pages of the allocator */
    size_t rss;           /* VmRSS */
    size_t rss_anonymous; /* RssAnon */
    size_t rss_file;      /* RssFile + RssShmem */
    size_t peak_rss;      /* VmHWM */
    size_t threads, descriptors; /* how many the process has */
};
/* Reads /proc: not on the loop (a worker calls it and hands the result over). */
void mem_usage_read(struct mem_usage *out);
/* The allocator's own figure alone: no file, cheap enough for the loop ten times a second. */
size_t mem_allocated_bytes(void);
/* Gives free pages back to the system now. May take milliseconds: not on the loop. */
void mem_release_free_pages(void);
/* Lets the allocator give free pages back on a thread of its own, so that no caller's free() does
 * it. Call once, after the last fork (a fork ends that thread). Nothing to do without jemalloc. */
void mem_start_background(void);
/* "jemalloc-5.3.0" or "libc". */
const char *mem_allocator_name(void);
/* Memory of the machine or, when smaller, of the cgroup that holds the process (v1 and v2). */
size_t mem_machine_bytes(void);

/* The part of mem_usage that needs no file: allocated, active, resident. Others are left alone. */
void mem_allocator_read(struct mem_usage *out);

/* For tests: as mem_machine_bytes, with `root` put before /proc and /sys. */
size_t mem_machine_bytes_under(const char *root);
/* For tests: the n-th next mem_try_alloc returns NULL (0: never). */
void mem_fail_after(unsigned long calls);

#endif
