/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows of the server's own options. */
#include "server/options.h"

#include <stddef.h>

static const char *const log_levels[] = {"debug", "verbose", "notice", "warning", NULL};
static const char *const debug_permissions[] = {"no", "yes", "local", NULL};

#define STRING(option_name, option_flags, field, fallback, text)                                   \
    {.name = option_name, .kind = OPTION_STRING, .flags = option_flags,                            \
     .offset = offsetof(struct server_options, field), .default_text = fallback, .help = text}

static const struct option server_rows[] = {
    STRING("dir", 0, dir, ".",
           "The data folder: the journal in DIR/journal, LevelDB in DIR/store, and DIR/LOCK, which keeps "
           "a second server out. It is created when it does not exist."),
    STRING("logfile", 0, logfile, "", "Where log lines go; empty: standard output. The file may be renamed "
           "away at any time: the next line opens a new one."),
    {.name = "loglevel", .kind = OPTION_CHOICE, .flags = OPTION_LIVE,
     .offset = offsetof(struct server_options, loglevel), .default_text = "notice",
     .choices = log_levels, .help = "debug, verbose, notice or warning: what is worth a line."},
    STRING("pidfile", 0, pidfile, "", "A file that holds the process id while the server runs; empty: none."),
    {.name = "daemonize", .kind = OPTION_BOOL, .offset = offsetof(struct server_options, daemonize),
     .default_text = "no", .help = "Whether the server goes to the background after it has started. Under "
     "systemd or another supervisor leave it off."},
    STRING("requirepass", OPTION_LIVE | OPTION_SECRET, requirepass, "",
           "The password that clients give with AUTH or HELLO; empty: none is needed. Use a long one: it "
           "can be guessed as fast as the server answers."),
    STRING("rename-command", OPTION_REPEATED | OPTION_MULTI_WORD, rename_command, "",
           "rename-command OLD NEW gives a command another name; NEW \"\" takes it away."),
    {.name = "enable-debug-command", .kind = OPTION_CHOICE,
     .offset = offsetof(struct server_options, enable_debug_command), .default_text = "no",
     .choices = debug_permissions,
     .help = "Who may use DEBUG: no (nobody), yes (everybody), local (connections from this machine)."},
    {.name = "shutdown-timeout", .kind = OPTION_INTEGER, .flags = OPTION_LIVE,
     .offset = offsetof(struct server_options, shutdown_timeout_s), .default_text = "10", .minimum = 0,
     .maximum = INT32_MAX, .unit = "seconds",
     .help = "How long a stop may take to answer the clients and to bring the journal into LevelDB (for "
     "that at least a second). What would take longer is left to the next start: the journal keeps it. "
     "The journal's last sync comes after that, and is waited for."},
};
const struct option_table server_option_table = {
    "GENERAL", "Where the data is, what is logged, who may connect.", server_rows,
    sizeof server_rows / sizeof *server_rows};
