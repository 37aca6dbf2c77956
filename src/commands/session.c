/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sessions: the registry of all clients, in the order in which they came, and the line that CLIENT
 * LIST shows of one. A session's number is never used twice. Loop thread. */
#include "commands/session.h"

#include "base/check.h"
#include "base/memory.h"
#include "commands/monitor.h"
#include "commands/transaction.h"

static struct list sessions = {{&sessions.head, &sessions.head}};
static size_t sessions_open;
static uint64_t last_id;

void session_open(struct session *session, const struct session_operations *operations,
                  bool authenticated, int64_t now_ms)
{
    ASSERT_THREAD(THREAD_LOOP);
    memset(session, 0, sizeof *session);
    session->operations = operations;
    session->reply = reply_create();
    session->id = ++last_id;
    session->authenticated = authenticated;
    session->created_ms = session->active_ms = now_ms;
    session->name = mem_calloc(1, 1);
    session->library_name = mem_calloc(1, 1);
    session->library_version = mem_calloc(1, 1);
    list_push_back(&sessions, &session->link);
    sessions_open++;
}

void session_close(struct session *session)
{
    ASSERT_THREAD(THREAD_LOOP);
    if (session->parked) dispatch_cancel(session);
    monitor_leave(session);
    transaction_discard(session);
    list_remove(&session->link);
    sessions_open--;
    mem_free(session->name);
    mem_free(session->library_name);
    mem_free(session->library_version);
    reply_destroy(session->reply);
    session->reply = NULL;
}

/* The library's name and version stay, as in Redis 7.2: they belong to the connection. */
void session_reset(struct session *session, bool authenticated)
{
    transaction_discard(session);
    monitor_leave(session);
    session->database = 0;
    session->authenticated = authenticated;
    session->no_evict = session->no_touch = false;
    if (session->reply_mode != REPLY_SKIP) { /* it is RESET's own reply that is skipped */
        session->reply_mode = REPLY_ON;
        reply_set_enabled(session->reply, true);
    }
    reply_set_version(session->reply, 2);
    session->name[0] = 0;
}

struct session *session_find(uint64_t id)
{
    LIST_FOR_EACH (node, &sessions) {
        struct session *session = LIST_ENTRY(node, struct session, link);
        if (session->id == id) return session;
    }
    return NULL;
}

size_t session_count(void)
{
    return sessions_open;
}

struct list *session_list(void)
{
    return &sessions;
}

/* In the order in which Redis puts the letters. */
static const char *flags_of(const struct session *session, const struct session_io *io,
                            int64_t now_ms, char out[16])
{
    char *p = out;
    if (session->monitoring) *p++ = 'O';
    if (transaction_is_open(session)) *p++ = 'x';
    if (dispatch_is_blocked(session)) *p++ = 'b';
    if (transaction_is_dirty(session, now_ms)) *p++ = 'd';
    if (session->closing) *p++ = 'c';
    if (io->unix_socket) *p++ = 'U';
    if (session->no_evict) *p++ = 'e';
    if (session->no_touch) *p++ = 'T';
    if (p == out) *p++ = 'N';
    *p = 0;
    return out;
}

static void describe_buffers(const struct session *session, const struct session_io *io,
                             struct buffer *out)
{
    buffer_append_format(out, " qbuf=%llu qbuf-free=%llu argv-mem=%llu multi-mem=%llu",
                         (unsigned long long)io->query_bytes,
                         (unsigned long long)io->query_free_bytes,
                         (unsigned long long)io->argument_bytes,
                         (unsigned long long)transaction_memory_bytes(session));
    /* There is no fixed reply buffer: its size and its peak are 0. */
    buffer_append_format(out, " rbs=0 rbp=0 obl=%llu oll=%llu omem=%llu tot-mem=%llu events=%s",
                         (unsigned long long)io->output_fixed_bytes,
                         (unsigned long long)io->output_blocks,
                         (unsigned long long)io->output_bytes,
                         (unsigned long long)io->total_memory, io->events);
}

void session_describe(struct session *session, struct buffer *out, bool newline, int64_t now_ms)
{
    struct session_io io = {0};
    char flags[16];
    session->operations->describe(session, &io);
    buffer_append_format(out, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld",
                         (unsigned long long)session->id, io.address, io.local_address, io.fd,
                         session->name, (long long)(now_ms - session->created_ms) / 1000,
                         (long long)(now_ms - session->active_ms) / 1000);
    buffer_append_format(out, " flags=%s db=%d sub=0 psub=0 ssub=0 multi=%d",
                         flags_of(session, &io, now_ms, flags), session->database,
                         transaction_queued(session));
    describe_buffers(session, &io, out);
    buffer_append_format(out, " cmd=%s user=default redir=-1 resp=%d",
                         session->last_command ? command_full_name(session->last_command) : "NULL",
                         reply_version(session->reply));
    /* As in Redis 7.2, for those who used CLIENT SETINFO. */
    if (session->library_name[0] || session->library_version[0])
        buffer_append_format(out, " lib-name=%s lib-ver=%s", session->library_name,
                             session->library_version);
    if (newline) buffer_append(out, "\n", 1);
}
