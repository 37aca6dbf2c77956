/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The handlers of the families server, acl, cluster and scripting. Loop thread. */
#ifndef KELVIN_COMMANDS_SERVER_H
#define KELVIN_COMMANDS_SERVER_H

#include "commands/dispatch.h"

/* server.c */
void server_config(struct command_run *run);
void server_info(struct command_run *run);
void server_lastsave(struct command_run *run);
void server_replicaof(struct command_run *run);
void server_role(struct command_run *run);
void server_shutdown(struct command_run *run);
void server_time(struct command_run *run);
void server_wait(struct command_run *run);
void module_help(struct command_run *run);
void module_list(struct command_run *run);
void module_load(struct command_run *run);
void module_unload(struct command_run *run);

/* metrics.c */
void metrics_get(struct command_run *run);
void metrics_help(struct command_run *run);
void metrics_list(struct command_run *run);
void metrics_page(struct command_run *run);
void metrics_reset(struct command_run *run);

/* lolwut.c */
void server_lolwut(struct command_run *run);

/* monitor.c */
void server_monitor(struct command_run *run);

/* slowlog.c */
void slowlog_get(struct command_run *run);
void slowlog_help(struct command_run *run);
void slowlog_len(struct command_run *run);
void slowlog_reset(struct command_run *run);

/* latency_command.c */
void latency_doctor(struct command_run *run);
void latency_graph(struct command_run *run);
void latency_help(struct command_run *run);
void latency_histogram(struct command_run *run);
void latency_history(struct command_run *run);
void latency_latest(struct command_run *run);
void latency_reset(struct command_run *run);

/* server_save.c */
void server_bgrewriteaof(struct command_run *run);
void server_bgsave(struct command_run *run);
void server_checkpoint(struct command_run *run);
void server_save(struct command_run *run);

/* server_debug.c */
void server_debug(struct command_run *run);

/* server_memory.c */
void memory_doctor(struct command_run *run);
void memory_help(struct command_run *run);
void memory_malloc_stats(struct command_run *run);
void memory_purge(struct command_run *run);
void memory_stats(struct command_run *run);
void memory_usage(struct command_run *run);

/* command_info.c, command_docs.c, command_keys.c */
/* A command or, as "parent|sub", a subcommand by its full name; NULL: unknown. */
const struct command *command_find_full(struct slice name);
/* A set of blank-separated words, as bulk strings or as statuses. */
void command_reply_words(struct reply *reply, const char *words, bool bulk);
void server_command(struct command_run *run);
void command_count_all(struct command_run *run);
void command_docs(struct command_run *run);
void command_getkeys(struct command_run *run);
void command_getkeysandflags(struct command_run *run);
void command_help(struct command_run *run);
void command_info(struct command_run *run);
void command_list(struct command_run *run);

/* acl_log.c */
void acl_log(struct command_run *run);
/* A login under that name was refused. */
void acl_log_denied(const struct command_run *run, struct slice username);

/* acl.c */
void acl_cat(struct command_run *run);
void acl_dryrun(struct command_run *run);
void acl_genpass(struct command_run *run);
void acl_getuser(struct command_run *run);
void acl_help(struct command_run *run);
void acl_list(struct command_run *run);
void acl_load(struct command_run *run);
void acl_save(struct command_run *run);
void acl_users(struct command_run *run);
void acl_whoami(struct command_run *run);

/* alone.c */
void cluster_disabled(struct command_run *run);
void function_delete(struct command_run *run);
void function_dump(struct command_run *run);
void function_flush(struct command_run *run);
void function_help(struct command_run *run);
void function_kill(struct command_run *run);
void function_list(struct command_run *run);
void function_stats(struct command_run *run);
void script_exists(struct command_run *run);
void script_flush(struct command_run *run);
void script_help(struct command_run *run);
void script_kill(struct command_run *run);

#endif
