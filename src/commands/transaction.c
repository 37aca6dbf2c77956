/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions. The queue of a session holds copies of its requests. EXEC is one run: first it asks
 * for all keys that the queued commands will read, so that they are loaded in parallel and before
 * anything has happened; then it runs the commands within one write set; then it commits. Until the
 * commit has succeeded queue and watches stay as they are, so that EXEC may run again from its
 * start at any time. Loop thread. */
#include "commands/transaction.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdio.h>

enum { FIRST_CAPACITY = 8 };

/* One allocation: the struct, the slices, the bytes; but big arguments keep their own. */
struct queued {
    const struct command *command;
    void *owned; /* of the request */
    int argc;
    size_t memory_bytes;
    struct slice argv[];
};

struct transaction {
    bool open;   /* between MULTI and EXEC */
    bool failed; /* a command was refused while queueing */
    unsigned flags;
    size_t memory_bytes;
    struct queued **queue;
    int count, capacity;
    struct watcher watcher;
};

static struct transaction *transaction_get(struct session *session)
{
    if (!session->transaction) {
        session->transaction = mem_calloc(1, sizeof(struct transaction));
        watcher_init(&session->transaction->watcher);
    }
    return session->transaction;
}

/* --- the queue --- */

bool transaction_is_open(const struct session *session)
{
    return session->transaction && session->transaction->open;
}

static struct queued *queued_create(const struct command *command, struct request *request)
{
    size_t head = sizeof(struct queued) + (size_t)request->argc * sizeof(struct slice);
    size_t bytes = head;
    for (int i = request->owned_count; i < request->argc; i++) bytes += request->argv[i].size;
    struct queued *queued = mem_try_alloc(bytes);
    if (!queued) return NULL;
    char *p = (char *)queued + head;
    queued->command = command;
    queued->argc = request->argc;
    queued->memory_bytes = bytes + request->owned_bytes;
    for (int i = 0; i < request->argc; i++) {
        queued->argv[i] = request->argv[i];
        if (i < request->owned_count) continue;
        size_t size = request->argv[i].size;
        if (size) memcpy(p, request->argv[i].data, size);
        queued->argv[i].data = p;
        p += size;
    }
    queued->owned = request_take_owned(request);
    return queued;
}

static void queued_free(struct queued *queued)
{
    request_owned_free(queued->owned);
    mem_free(queued);
}

void transaction_queue(struct session *session, const struct command *command,
                       struct request *request)
{
    struct transaction *transaction = session->transaction;
    ASSERT(transaction && transaction->open);
    /* What can only fail need not be remembered. */
    if (transaction->failed) {
        reply_status(session->reply, "QUEUED");
        return;
    }
    struct queued *queued = queued_create(command, request);
    if (!queued) {
        transaction->failed = true;
        reply_error(session->reply, "OOM no memory to queue the command");
        return;
    }
    if (transaction->count == transaction->capacity) {
        transaction->capacity =
            transaction->capacity ? transaction->capacity * 2 : FIRST_CAPACITY;
        transaction->queue =
            mem_realloc(transaction->queue,
                        (size_t)transaction->capacity * sizeof *transaction->queue);
    }
    transaction->queue[transaction->count++] = queued;
    transaction->flags |= command->flags;
    transaction->memory_bytes += queued->memory_bytes;
    reply_status(session->reply, "QUEUED");
}

void transaction_mark_failed(struct session *session)
{
    if (transaction_is_open(session)) session->transaction->failed = true;
}

void transaction_discard(struct session *session)
{
    struct transaction *transaction = session->transaction;
    if (!transaction) return;
    for (int i = 0; i < transaction->count; i++) queued_free(transaction->queue[i]);
    mem_free(transaction->queue);
    keyspace_unwatch(server.keyspace, &transaction->watcher);
    mem_free(transaction);
    session->transaction = NULL;
}

void transaction_abort(struct session *session, const char *error)
{
    reply_error_format(session->reply, "EXECABORT Transaction discarded because of: %s", error);
    transaction_discard(session);
}

unsigned transaction_flags(const struct session *session)
{
    return session->transaction ? session->transaction->flags : 0;
}

bool transaction_is_dirty(const struct session *session, int64_t now_ms)
{
    const struct transaction *transaction = session->transaction;
    return transaction && keyspace_watch_is_dirty(&transaction->watcher, now_ms);
}

int transaction_queued(const struct session *session)
{
    return transaction_is_open(session) ? session->transaction->count : -1;
}

size_t transaction_memory_bytes(const struct session *session)
{
    const struct transaction *transaction = session->transaction;
    return transaction ? transaction->memory_bytes + transaction->watcher.bytes : 0;
}

/* --- EXEC --- */

/* What a run of EXEC changes outside of its write set and its reply, to be put back when the run is
 * thrown away. */
struct exec_undo {
    int database, version;
};

static void exec_take_back(struct command_run *run, const struct exec_undo *undo)
{
    run->session->database = undo->database;
    reply_set_version(run->reply, undo->version);
}

/* Asks for the keys of all queued commands. A SELECT in between is followed; keys that a command
 * before it will delete or replace are asked for in vain, which does no harm. */
static void exec_load(struct command_run *run, const struct transaction *transaction)
{
    const struct command *select = command_find(SLICE_LITERAL("select"));
    unsigned number = run_database(run);
    for (int i = 0; i < transaction->count; i++) {
        const struct queued *queued = transaction->queue[i];
        int64_t wanted;
        if (queued->command == select && slice_to_int64(queued->argv[1], &wanted) && wanted >= 0 &&
            wanted < keyspace_database_count(run->access.keyspace))
            number = (unsigned)wanted;
        if (!(queued->command->flags & COMMAND_NEEDS_VALUES)) continue;
        int indexes[64];
        int *place = queued->argc <= 64 ? indexes
                                        : mem_alloc((size_t)queued->argc * sizeof *place);
        int count = command_key_indexes(queued->command, queued->argv, queued->argc, place,
                                        queued->argc);
        for (int k = 0; k < count; k++)
            (void)keyspace_load(&run->access, number, &queued->argv[place[k]], 1);
        if (place != indexes) mem_free(place);
    }
}

/* A command that neither reads nor writes keys may act on the world (CLIENT KILL, BGSAVE) or on its
 * session (CLIENT SETNAME), which no rollback takes back. SELECT is taken back. */
static bool has_side_effects(const struct command *command)
{
    return !(command->flags & (COMMAND_WRITE | COMMAND_READONLY)) &&
           strcmp(command->name, "select") != 0;
}

static bool any_side_effects(const struct transaction *transaction)
{
    for (int i = 0; i < transaction->count; i++)
        if (has_side_effects(transaction->queue[i]->command)) return true;
    return false;
}

static void exec_restart(struct access *access)
{
    struct access before = *access;
    access_abandon(access);
    access_begin(access, before.keyspace, before.writes, before.waiter, before.now_ms);
    access->depends_on = before.depends_on;
    access->no_touch = before.no_touch;
    access->keep_expired = before.keep_expired;
    access->in_transaction = true;
}

/* A rehearsal without the commands that have side effects, thrown away afterwards: what the queue
 * has to wait for is there when the run that counts begins. False: it has to wait. */
static bool exec_rehearse(struct command_run *run, const struct transaction *transaction,
                          struct reply_mark mark, const struct exec_undo *undo)
{
    struct command_run outer = *run;
    for (int i = 0; i < transaction->count && !run->access.wait; i++) {
        const struct queued *queued = transaction->queue[i];
        if (has_side_effects(queued->command)) continue;
        run->command = queued->command;
        run->argc = queued->argc;
        run->argv = queued->argv;
        queued->command->handler(run);
    }
    run->command = outer.command;
    run->argc = outer.argc;
    run->argv = outer.argv;
    exec_take_back(run, undo);
    if (run->access.wait) return false;
    reply_rollback(run->reply, mark);
    run->hits = run->misses = 0;
    exec_restart(&run->access);
    return true;
}

/* Runs the queue. False: something is missing, the run is void. */
static bool exec_run(struct command_run *run, const struct transaction *transaction)
{
    reply_array(run->reply, (uint64_t)transaction->count);
    for (int i = 0; i < transaction->count; i++) {
        const struct queued *queued = transaction->queue[i];
        struct reply_mark mark = reply_get_mark(run->reply);
        size_t writes = write_set_count(run->access.writes);
        dispatch_run_queued(run, queued->command, queued->argc, queued->argv);
        if (run->access.wait || run->parked_custom) return false;
        if (reply_written(run->reply) > mark.position && reply_is_error_at(run->reply, mark))
            write_set_truncate(run->access.writes, writes);
    }
    return true;
}

static bool may_use_reserve(const struct transaction *transaction)
{
    for (int i = 0; i < transaction->count; i++) {
        unsigned flags = transaction->queue[i]->command->flags;
        if ((flags & COMMAND_WRITE) && !(flags & COMMAND_FREES)) return false;
    }
    return true;
}

/* The replies count only when the writes do. */
static void exec_commit(struct command_run *run, struct reply_mark mark,
                        const struct exec_undo *undo)
{
    struct session *session = run->session;
    struct error error = {0};
    enum status status =
        keyspace_commit(&run->access, may_use_reserve(session->transaction), &error);
    if (run->access.wait == WAIT_COMMIT) return; /* the transaction ends when it is done */
    if (status == STATUS_AGAIN) {
        run->access.wait |= WAIT_SPACE;
        exec_take_back(run, undo);
        return;
    }
    run->committed = true;
    if (status == STATUS_OK) {
        transaction_discard(session);
        return;
    }
    access_abandon(&run->access);
    reply_rollback(run->reply, mark);
    exec_take_back(run, undo);
    char text[ERROR_TEXT_BYTES + 16];
    (void)snprintf(text, sizeof text, "MISCONF %s", error.text);
    transaction_abort(session, text);
}

/* EXEC */
void command_exec(struct command_run *run)
{
    struct session *session = run->session;
    if (!transaction_is_open(session)) {
        reply_error(run->reply, "ERR EXEC without MULTI");
        return;
    }
    struct transaction *transaction = session->transaction;
    if (transaction->failed) {
        reply_error(run->reply,
                    "EXECABORT Transaction discarded because of previous errors.");
        transaction_discard(session);
        return;
    }
    if (transaction_is_dirty(session, run->access.now_ms)) {
        reply_null_array(run->reply);
        transaction_discard(session);
        return;
    }
    struct exec_undo undo = {session->database, reply_version(run->reply)};
    struct reply_mark mark = reply_get_mark(run->reply);
    run->access.in_transaction = true;
    exec_load(run, transaction);
    if (run->access.wait) return;
    if (any_side_effects(transaction) && !exec_rehearse(run, transaction, mark, &undo)) return;
    if (exec_run(run, transaction))
        exec_commit(run, mark, &undo);
    else
        exec_take_back(run, &undo);
}

/* --- the others --- */

/* MULTI */
void command_multi(struct command_run *run)
{
    if (transaction_is_open(run->session)) {
        reply_error(run->reply, "ERR MULTI calls can not be nested");
        return;
    }
    transaction_get(run->session)->open = true;
    reply_ok(run->reply);
}

/* DISCARD */
void command_discard(struct command_run *run)
{
    if (!transaction_is_open(run->session)) {
        reply_error(run->reply, "ERR DISCARD without MULTI");
        return;
    }
    transaction_discard(run->session);
    reply_ok(run->reply);
}

/* WATCH key [key ...] */
void command_watch(struct command_run *run)
{
    if (transaction_is_open(run->session)) {
        reply_error(run->reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    /* Whether the key exists is part of the watch, so it has to be known for all of them first. */
    size_t count = (size_t)run->argc - 1;
    if (!run_found(run, keyspace_load(&run->access, run_database(run), run->argv + 1, count)))
        return;
    struct transaction *transaction = transaction_get(run->session);
    for (size_t i = 0; i < count; i++)
        keyspace_watch(server.keyspace, &transaction->watcher, run_database(run), run->argv[i + 1],
                       &run->access);
    reply_ok(run->reply);
}

/* UNWATCH. Inside EXEC the watches have done their work; they go when it has. */
void command_unwatch(struct command_run *run)
{
    struct transaction *transaction = run->session->transaction;
    if (transaction && !transaction->open) transaction_discard(run->session);
    reply_ok(run->reply);
}
