/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Parked commands: why they wait, what wakes them, and CLIENT PAUSE. Loop thread. */
#include "base/memory.h"
#include "commands/dispatch_internal.h"
#include "commands/server.h"
#include "commands/transaction.h"

static struct {
    struct list parked;
    size_t count;
    struct parking *spare;
    int64_t pause_until_ms;
    bool paused, writes_only;
    size_t timed; /* how many wait for a time */
} state;

void parking_init(void)
{
    list_init(&state.parked);
    state.count = state.timed = 0;
    state.paused = false;
}

void parking_destroy(void)
{
    mem_free(state.spare);
    state.spare = NULL;
}

static void woken(struct waiter *waiter)
{
    struct parking *parking = (struct parking *)(void *)waiter;
    if (parking->reason == PARK_STREAM) {
        if (stream_go_on(parking->session, parking) == STREAM_ENDED)
            dispatch_finish_stream(parking);
        return;
    }
    parking->answered = true;
    dispatch_again(parking);
}

struct parking *parking_take(void)
{
    struct parking *parking = state.spare;
    state.spare = NULL;
    if (!parking) {
        parking = mem_calloc(1, sizeof *parking);
        waiter_init(&parking->waiter, woken);
    }
    parking->asked = parking->answered = false;
    parking->unblock = UNBLOCK_NONE;
    parking->reason = PARK_DATA;
    parking->began_ns = parking->resumed_ns = parking->parked_ns = 0;
    parking->ran_ns = parking->waited_ns = 0;
    return parking;
}

/* Out of the list of the parked; the request may run or be forgotten. */
void parking_leave(struct parking *parking)
{
    if (!list_is_linked(&parking->node)) return;
    list_remove(&parking->node);
    state.count--;
    if (parking->reason == PARK_TIME) state.timed--;
    parking->session->parked = false;
    parking->session->parking = NULL;
}

void parking_give_back(struct parking *parking)
{
    parking_leave(parking);
    if (server.keyspace) waiter_release(server.keyspace, &parking->waiter);
    if (state.spare)
        mem_free(parking);
    else
        state.spare = parking;
}

void parking_enter(struct parking *parking, struct session *session, struct request *request,
                   enum park_reason reason)
{
    parking_leave(parking);
    parking->session = session;
    parking->request = request;
    parking->reason = reason;
    list_push_back(&state.parked, &parking->node);
    state.count++;
    if (reason == PARK_TIME) state.timed++;
    session->parked = true;
    session->parking = parking;
}

void dispatch_cancel(struct session *session)
{
    if (session->parking) parking_give_back(session->parking);
}

/* DEBUG SLEEP waits for a time too, and so does what asks for its job's end. */
static bool is_in_wait(const struct parking *parking)
{
    return parking->reason == PARK_TIME &&
           command_find(parking->request->argv[0])->handler == server_wait;
}

bool dispatch_waits_for_others(const struct session *session)
{
    const struct parking *parking = session->parking;
    return parking && (parking->reason == PARK_PAUSE || is_in_wait(parking));
}

bool dispatch_is_blocked(const struct session *session)
{
    const struct parking *parking = session->parking;
    return parking && (parking->reason == PARK_PAUSE || parking->reason == PARK_TIME);
}

void dispatch_count_blocked(size_t *blocked, size_t *timed)
{
    *blocked = *timed = 0;
    LIST_FOR_EACH (node, &state.parked) {
        const struct parking *parking = LIST_ENTRY(node, struct parking, node);
        if (dispatch_is_blocked(parking->session)) (*blocked)++;
        if (is_in_wait(parking) && parking->wake_ms != INT64_MAX) (*timed)++;
    }
}

bool dispatch_unblock(struct session *session, bool with_error)
{
    struct parking *parking = session->parking;
    if (!parking || !is_in_wait(parking) || parking->unblock != UNBLOCK_NONE) return false;
    parking->unblock = with_error ? UNBLOCK_ERROR : UNBLOCK_TIMEOUT;
    parking->wake_ms = 0;
    return true;
}

size_t dispatch_parked_count(void)
{
    return state.count;
}

/* --- CLIENT PAUSE --- */

void dispatch_pause(int64_t until_ms, bool writes_only)
{
    int64_t now_ms = dispatch_time_ms();
    bool running = state.paused && state.pause_until_ms > now_ms;
    /* As in Redis: a pause in force is only ever made longer and stricter. */
    state.writes_only = running ? state.writes_only && writes_only : writes_only;
    state.pause_until_ms =
        running && state.pause_until_ms > until_ms ? state.pause_until_ms : until_ms;
    state.paused = true;
}

static void wake_where(enum park_reason reason, int64_t now_ms)
{
    struct list round;
    list_init(&round);
    LIST_FOR_EACH_SAFE(node, after, &state.parked)
    {
        struct parking *parking = LIST_ENTRY(node, struct parking, node);
        if (parking->reason != reason || (reason == PARK_TIME && parking->wake_ms > now_ms))
            continue;
        list_remove(node);
        list_push_back(&round, node);
    }
    struct list_node *node;
    while ((node = list_first(&round))) {
        /* Back where the others are, so that whatever ends it finds it there. */
        list_remove(node);
        list_push_back(&state.parked, node);
        struct parking *parking = LIST_ENTRY(node, struct parking, node);
        parking->answered = true;
        dispatch_again(parking);
    }
}

void dispatch_unpause(void)
{
    state.paused = false;
}

bool dispatch_is_paused(bool *writes_only, int64_t *until_ms)
{
    if (!state.paused || state.pause_until_ms <= dispatch_time_ms()) return false;
    if (writes_only) *writes_only = state.writes_only;
    if (until_ms) *until_ms = state.pause_until_ms;
    return true;
}

bool pause_stops(const struct session *session, const struct command *command)
{
    if (!state.paused || session->monitoring || !dispatch_is_paused(NULL, NULL)) return false;
    if (!state.writes_only) return true;
    const unsigned writes = COMMAND_WRITE | COMMAND_MAY_REPLICATE;
    if (command->flags & writes) return true;
    return transaction_is_open(session) && slice_equal_nocase(slice_from_text(command->name), "exec") &&
           (transaction_flags(session) & writes);
}

bool pause_stops_writes(void)
{
    return state.paused && dispatch_is_paused(NULL, NULL);
}

void dispatch_cron(int64_t now_ms)
{
    if (state.count == 0) return;
    if (!state.paused || state.pause_until_ms <= now_ms) {
        state.paused = false;
        wake_where(PARK_PAUSE, now_ms);
    }
    if (state.timed) wake_where(PARK_TIME, now_ms);
}
