/* SPDX-License-Identifier: BSD-3-Clause
 *
 * An engine in memory, for tests of what stands above the engine table. It behaves as the LevelDB
 * engine does where that matters: what was not flushed is gone when it is closed or crashes, a
 * failed write or flush makes it refuse writes until it is opened again, many threads may call.
 *
 * The store outlives its handles, as a folder does: open it again to "restart". One handle at a
 * time. */
#ifndef KELVIN_TESTS_MEMORY_ENGINE_H
#define KELVIN_TESTS_MEMORY_ENGINE_H

#include "storage/engine.h"

enum memory_call {
    MEMORY_OPEN = 1 << 0,
    MEMORY_GET = 1 << 1,
    MEMORY_WRITE = 1 << 2,
    MEMORY_ITERATE = 1 << 3, /* each seek and step: the iterator becomes invalid with that status */
    MEMORY_FLUSH = 1 << 4,
    MEMORY_ALL = 0x1f
};

struct memory_store;

struct memory_store *memory_store_create(void);
/* No handle is open. */
void memory_store_destroy(struct memory_store *store);

/* STATUS_BUSY while another handle is open. The new handle finds what was durable. */
enum status memory_store_open(struct memory_store *store, struct engine **out,
                              struct error *error);

/* The n-th next call of these kinds (a mask; 1: the next one) fails with `status`, and `times` - 1
 * after it (0: all after it). Replaces what was asked before; n = 0: none. Calls of that kind
 * are counted from here on. */
void memory_store_fail(struct memory_store *store, unsigned calls, unsigned long n,
                       unsigned long times, enum status status);
/* How many calls of the asked kinds were made since memory_store_fail. */
unsigned long memory_store_calls(const struct memory_store *store);
/* While set, calls of these kinds wait; 0 lets them go. To see what else happens meanwhile. */
void memory_store_block(struct memory_store *store, unsigned calls);
/* How many calls wait there now. */
unsigned memory_store_blocked(struct memory_store *store);

/* The process or the machine dies: what was not durable is gone, at once, and the open handle
 * refuses everything with STATUS_CLOSED (unref it, then open again). */
void memory_store_crash(struct memory_store *store);

/* As LevelDB does by itself when a memtable is full: the next generation begins. */
void memory_store_switch(struct memory_store *store);
/* All generations before the present one become durable. */
void memory_store_settle(struct memory_store *store);

/* Live records, in the newest state. */
size_t memory_store_records(struct memory_store *store);
/* Writes that were accepted since the store was created. */
uint64_t memory_store_writes(const struct memory_store *store);
/* Changes the first byte of a value behind the engine's back; false where there is none. */
bool memory_store_damage(struct memory_store *store, struct slice key);

#endif
