/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ACL LOG: the logins that were refused, newest first. One that is like one of the newest, and
 * comes soon after it, is counted there. At most acllog-max-len entries of bounded size. Loop thread. */
#include "base/list.h"
#include "base/memory.h"
#include "commands/argument.h"
#include "commands/options.h"
#include "commands/server.h"

enum { NAME_MAX_BYTES = 1024, COMPARED = 10, SAME_WITHIN_MS = 60000, SHOWN = 10 };

struct denial {
    struct list_node node;
    uint64_t count;
    int64_t at_ms; /* the last time */
    bool in_transaction;
    char *command, *username, *client; /* owned */
};

static struct list denials = {{&denials.head, &denials.head}};
static int64_t length;

static void denial_free(struct denial *denial)
{
    list_remove(&denial->node);
    length--;
    mem_free(denial->command);
    mem_free(denial->username);
    mem_free(denial->client);
    mem_free(denial);
}

static void keep_at_most(int64_t most)
{
    while (length > most)
        denial_free(LIST_ENTRY(denials.head.previous, struct denial, node));
}

static char *dup_bounded(struct slice text)
{
    text = argument_text(text);
    if (text.size > NAME_MAX_BYTES) text.size = NAME_MAX_BYTES;
    return slice_dup_text(text);
}

static bool is_like(const struct denial *one, const struct denial *other)
{
    return one->in_transaction == other->in_transaction &&
           one->at_ms - other->at_ms <= SAME_WITHIN_MS &&
           strcmp(one->command, other->command) == 0 && strcmp(one->username, other->username) == 0;
}

/* The counts of an entry that is like the new one go over to it. */
static void join_similar(struct denial *denial)
{
    int seen = 0;
    LIST_FOR_EACH_SAFE (node, after, &denials) {
        struct denial *other = LIST_ENTRY(node, struct denial, node);
        if (seen++ == COMPARED) return;
        if (!is_like(denial, other)) continue;
        denial->count += other->count;
        denial_free(other);
        return;
    }
}

void acl_log_denied(const struct command_run *run, struct slice username)
{
    struct denial *denial = mem_calloc(1, sizeof *denial);
    struct buffer client = {0};
    session_describe(run->session, &client, false, run->access.now_ms);
    denial->count = 1;
    denial->at_ms = run->access.now_ms;
    denial->in_transaction = run->access.in_transaction;
    denial->command = dup_bounded(run->argv[0]);
    denial->username = dup_bounded(username);
    denial->client = slice_dup_text(buffer_slice(&client));
    buffer_free(&client);
    join_similar(denial);
    list_push_front(&denials, &denial->node);
    length++;
    keep_at_most(server.options->acllog_max_length);
}

static void reply_text(struct command_run *run, const char *name, const char *value)
{
    reply_bulk_text(run->reply, name);
    reply_bulk_text(run->reply, value);
}

static void reply_denial(struct command_run *run, const struct denial *denial)
{
    reply_map(run->reply, 7);
    reply_bulk_text(run->reply, "count");
    reply_integer(run->reply, (int64_t)denial->count);
    reply_text(run, "reason", "auth");
    reply_text(run, "context", denial->in_transaction ? "multi" : "toplevel");
    reply_text(run, "object", denial->command);
    reply_text(run, "username", denial->username);
    reply_bulk_text(run->reply, "age-seconds");
    reply_double(run->reply, (double)(run->access.now_ms - denial->at_ms) / 1000);
    reply_text(run, "client-info", denial->client);
}

/* ACL LOG [count | RESET] */
void acl_log(struct command_run *run)
{
    int64_t count = SHOWN;
    if (run->argc > 3) {
        argument_unknown(run);
        return;
    }
    if (run->argc == 3 && argument_is(run->argv[2], "reset")) {
        keep_at_most(0);
        reply_ok(run->reply);
        return;
    }
    if (run->argc == 3 && !run_get_integer(run, run->argv[2], &count)) return;
    if (count < 0) count = 0;
    if (count > length) count = length;
    reply_array(run->reply, (uint64_t)count);
    LIST_FOR_EACH (node, &denials) {
        if (count-- == 0) return;
        reply_denial(run, LIST_ENTRY(node, struct denial, node));
    }
}
