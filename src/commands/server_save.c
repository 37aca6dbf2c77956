/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Bringing the store up to date with the journal. CHECKPOINT is ours and waits until all that was
 * acknowledged is in LevelDB behind a durable marker; tools that call SAVE, BGSAVE and BGREWRITEAOF
 * get the same with Redis's replies. What OK means does not depend on any of them. Loop thread. */
#include "base/log.h"
#include "commands/argument.h"
#include "commands/server.h"

/* The one checkpoint that runs for nobody in particular. */
static struct {
    struct waiter waiter;
    bool running;
} background;

static void background_done(struct waiter *waiter)
{
    if (waiter->failed)
        log_write(LOG_WARNING, "The checkpoint in the background failed: %s", waiter->error.text);
    waiter_release(server.keyspace, waiter);
    background.running = false;
}

static void background_start(struct keyspace *keyspace)
{
    waiter_init(&background.waiter, background_done);
    background.running = true;
    keyspace_barrier(keyspace, &background.waiter, BARRIER_DURABLE, false);
}

static void wait_for_checkpoint(struct command_run *run)
{
    enum status status;
    struct error error = {0};
    if (!run_wait_barrier(run, BARRIER_DURABLE, false, &status, &error)) return;
    if (status == STATUS_OK)
        reply_ok(run->reply);
    else
        reply_error_format(run->reply, "ERR %s", error.text);
}

/* CHECKPOINT */
void server_checkpoint(struct command_run *run)
{
    wait_for_checkpoint(run);
}

/* SAVE */
void server_save(struct command_run *run)
{
    if (background.running)
        reply_error(run->reply, "ERR Background save already in progress");
    else
        wait_for_checkpoint(run);
}

/* BGSAVE [SCHEDULE] */
void server_bgsave(struct command_run *run)
{
    bool schedule = run->argc == 2 && argument_is(run->argv[1], "schedule");
    if (run->argc > 1 && !schedule) {
        run_syntax_error(run);
    } else if (background.running) {
        reply_error(run->reply, "ERR Background save already in progress");
    } else {
        background_start(run->access.keyspace);
        reply_status(run->reply, "Background saving started");
    }
}

/* BGREWRITEAOF */
void server_bgrewriteaof(struct command_run *run)
{
    if (background.running) {
        reply_error(run->reply,
                    "ERR Background append only file rewriting already in progress");
        return;
    }
    background_start(run->access.keyspace);
    reply_status(run->reply, "Background append only file rewriting started");
}
