/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Allocation: jemalloc by linking with it (KELVIN_JEMALLOC), the C library's allocator in builds
 * with a sanitizer, which bring their own. What the machine has is in memory_usage.c. */
#include "base/memory.h"

#include "base/check.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef KELVIN_JEMALLOC
#include <jemalloc/jemalloc.h>

/* Read by jemalloc before main. Few arenas, and free pages that go back after a second: memory is
 * bounded by pages, not by what was asked for. No huge pages: one live byte would hold 2 MiB. */
const char *malloc_conf = "narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0,thp:never,metadata_thp:disabled";
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KELVIN_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KELVIN_SANITIZER 1
#endif
#ifdef KELVIN_SANITIZER
size_t __sanitizer_get_current_allocated_bytes(void); /* from the sanitizer's runtime */
#endif

static _Atomic unsigned long calls_until_failure;

_Noreturn static void out_of_memory(size_t size)
{
    panic("out of memory: %zu bytes could not be had", size);
}

void *mem_alloc(size_t size)
{
    void *pointer = malloc(size > 0 ? size : 1);
    if (!pointer) out_of_memory(size);
    return pointer;
}

void *mem_calloc(size_t count, size_t size)
{
    void *pointer = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
    if (!pointer) out_of_memory(size > 0 && count > SIZE_MAX / size ? SIZE_MAX : count * size);
    return pointer;
}

void *mem_realloc(void *pointer, size_t size)
{
    void *moved = realloc(pointer, size > 0 ? size : 1);
    if (!moved) out_of_memory(size);
    return moved;
}

static bool must_fail(void)
{
    if (atomic_load_explicit(&calls_until_failure, memory_order_relaxed) == 0) return false;
    return atomic_fetch_sub_explicit(&calls_until_failure, 1, memory_order_relaxed) == 1;
}

void *mem_try_alloc(size_t size)
{
    if (must_fail() || size > PTRDIFF_MAX) return NULL;
    return malloc(size > 0 ? size : 1);
}

void mem_fail_after(unsigned long calls)
{
    atomic_store_explicit(&calls_until_failure, calls, memory_order_relaxed);
}

void *mem_dup(const void *data, size_t size)
{
    void *copy = mem_alloc(size);
    if (size > 0) memcpy(copy, data, size);
    return copy;
}

void mem_free(void *pointer)
{
    free(pointer);
}

size_t mem_usable_size(const void *pointer)
{
    return malloc_usable_size((void *)(uintptr_t)pointer);
}

#ifdef KELVIN_JEMALLOC

size_t mem_good_size(size_t size)
{
    size_t good = size <= PTRDIFF_MAX ? nallocx(size > 0 ? size : 1, 0) : 0;
    return good > size ? good : size; /* 0: larger than any size class */
}

/* jemalloc's figures are as of the last change of its epoch. */
static void refresh_figures(void)
{
    uint64_t epoch = 1;
    size_t size = sizeof epoch;
    mallctl("epoch", &epoch, &size, &epoch, size);
}

static size_t read_figure(const char *name)
{
    size_t figure = 0, size = sizeof figure;
    return mallctl(name, &figure, &size, NULL, 0) == 0 ? figure : 0;
}

size_t mem_allocated_bytes(void)
{
    refresh_figures();
    return read_figure("stats.allocated");
}

void mem_allocator_read(struct mem_usage *out)
{
    refresh_figures();
    out->allocated = read_figure("stats.allocated");
    out->active = read_figure("stats.active");
    out->resident = read_figure("stats.resident");
}

void mem_release_free_pages(void)
{
    _Static_assert(MALLCTL_ARENAS_ALL == 4096, "the number is part of the name below");
    mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
}

void mem_start_background(void)
{
    bool enable = true;
    mallctl("background_thread", NULL, NULL, &enable, sizeof enable);
}

const char *mem_allocator_name(void)
{
#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, fix) "jemalloc-" TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(fix)
    return VERSION_TEXT(JEMALLOC_VERSION_MAJOR, JEMALLOC_VERSION_MINOR, JEMALLOC_VERSION_BUGFIX);
}

#else

size_t mem_good_size(size_t size)
{
#ifdef KELVIN_SANITIZER
    return size; /* a byte more would be out of bounds */
#else
    enum { HEADER = 8, ALIGNMENT = 16, SMALLEST = 24 };
    if (size <= SMALLEST) return SMALLEST;
    if (size > PTRDIFF_MAX) return size;
    return (size + HEADER + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - HEADER;
#endif
}

size_t mem_allocated_bytes(void)
{
#ifdef KELVIN_SANITIZER
    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 figures = mallinfo2();
    return figures.uordblks + figures.hblkhd;
#endif
}

void mem_allocator_read(struct mem_usage *out)
{
    out->allocated = mem_allocated_bytes();
#ifndef KELVIN_SANITIZER
    struct mallinfo2 figures = mallinfo2();
    out->active = out->resident = figures.arena + figures.hblkhd;
#endif
}

void mem_release_free_pages(void)
{
#ifndef KELVIN_SANITIZER
    malloc_trim(0);
#endif
}

void mem_start_background(void)
{
}

const char *mem_allocator_name(void)
{
    return "libc";
}

#endif
