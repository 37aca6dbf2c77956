/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command line: what is asked for, settings, data folder and its lock, log, pidfile, background; then
 * server_serve. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/repair.h"
#include "server/server.h"
#include "server/version.h"
#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "Usage: kelvin-server [FILE | -] [--option value ...]\n"
    "       kelvin-server --test-config FILE [--option value ...]\n"
    "       kelvin-server --repair-journal DATA-FOLDER\n"
    "       kelvin-server --print-config | --commands-page | --version | --help\n"
    "\n"
    "FILE is a configuration file in redis.conf's syntax (- reads standard input); every option in it\n"
    "can be given on the command line too, which wins:\n"
    "\n"
    "  kelvin-server --port 6380 --dir /var/lib/kelvin --appendfsync always\n"
    "  kelvin-server redis.conf --maxmemory 4gb\n"
    "\n"
    "--print-config prints all options with their defaults and what they mean.\n"
    "--repair-journal cuts a damaged journal where the damage begins; what follows is lost.\n";

static void warn_on_stderr(const char *text)
{
    fprintf(stderr, "warning: %s\n", text);
}

static void print_buffer(struct buffer *text)
{
    fwrite(text->data, 1, text->size, stdout);
    buffer_free(text);
}

/* --- questions that need no server --- */

/* The renames of the configuration, as pairs for the command table. */
static enum status init_commands(const char *lines, struct error *error)
{
    enum { MAX_RENAMES = 256 };
    static const char *pairs[MAX_RENAMES][2];
    static struct words words[MAX_RENAMES];
    size_t count = 0;
    while (*lines) {
        size_t size = strcspn(lines, "\n");
        struct words *line = &words[count];
        if (count == MAX_RENAMES || !option_split_line(slice_make(lines, size), line) ||
            line->count != 2)
            return error_set(error, STATUS_INVALID, "rename-command takes two names: '%.*s'",
                             (int)size, lines);
        pairs[count][0] = line->items[0].data;
        pairs[count++][1] = line->items[1].data;
        lines += size + (lines[size] == '\n');
    }
    const char *bad = NULL;
    if (!command_table_init((const char *const (*)[2])pairs, count, &bad))
        return error_set(error, STATUS_INVALID, "rename-command: '%s' is unknown or taken",
                         bad ? bad : "?");
    return STATUS_OK;
}

static int print_example(void)
{
    struct buffer text = {0};
    settings_write_example(&text);
    print_buffer(&text);
    return 0;
}

static int print_commands(void)
{
    const char *bad;
    struct buffer text = {0};
    if (!command_table_init(NULL, 0, &bad)) return 1;
    command_write_page(&text);
    print_buffer(&text);
    return 0;
}

static int print_version(void)
{
    printf("Kelvin server v=%s (replies as Redis %s) leveldb=%s malloc=%s bits=%zu\n", KELVIN_VERSION,
           KELVIN_REDIS_VERSION, engine_leveldb_version(), mem_allocator_name(), sizeof(long) * 8);
    return 0;
}

static int test_config(int argc, char **argv)
{
    if (argc < 3) {
        fputs("kelvin-server: --test-config needs a file\n", stderr);
        return 1;
    }
    struct settings settings;
    struct error error = {0};
    settings_init(&settings);
    enum status status =
        settings_read(&settings, argv[2], argc - 3, argv + 3, warn_on_stderr, &error);
    if (status == STATUS_OK) status = init_commands(settings.server.rename_command, &error);
    settings_free(&settings);
    if (status == STATUS_OK)
        printf("%s: the configuration is fine\n", argv[2]);
    else
        fprintf(stderr, "kelvin-server: %s\n", error.text);
    return status == STATUS_OK ? 0 : 1;
}

/* True when the first argument was one of these; then `*exit_code` is set. */
static bool answer_question(int argc, char **argv, int *exit_code)
{
    if (argc < 2) return false;
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0 || strcmp(word, "-v") == 0)
        *exit_code = print_version();
    else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        *exit_code = fputs(usage, stdout) < 0;
    else if (strcmp(word, "--print-config") == 0)
        *exit_code = print_example();
    else if (strcmp(word, "--commands-page") == 0)
        *exit_code = print_commands();
    else if (strcmp(word, "--repair-journal") == 0)
        *exit_code = repair_main(argc, argv);
    else if (strcmp(word, "--test-config") == 0)
        *exit_code = test_config(argc, argv);
    else
        return false;
    return true;
}

/* --- getting ready --- */

static enum status make_folder(const char *path, struct error *error)
{
    if (mkdir(path, 0755) == 0 || errno == EEXIST) return STATUS_OK;
    return error_set_errno(error, errno, "cannot create the data folder '%s'", path);
}

static enum status open_data_folder(struct parts *parts, struct error *error)
{
    const char *dir = parts->settings.server.dir;
    char absolute[PATH_MAX];
    enum status status = make_folder(dir, error);
    if (status != STATUS_OK) return status;
    if (!realpath(dir, absolute))
        return error_set_errno(error, errno, "cannot find the data folder '%s'", dir);
    parts->data_dir = mem_dup(absolute, strlen(absolute) + 1);
    mem_free(parts->settings.server.dir); /* CONFIG GET and REWRITE have it like that */
    parts->settings.server.dir = mem_dup(absolute, strlen(absolute) + 1);
    return store_lock(parts->data_dir, &parts->lock_fd, error);
}

/* Where the process in front waits for a byte: started. -1: not in the background. */
static int front_fd = -1;

/* Returns in the process in the background. The one in front stays until start-up is over and tells
 * with its exit code how it went; until then both write to the same terminal. */
static enum status go_to_background(struct error *error)
{
    int ends[2];
    char byte;
    if (pipe2(ends, O_CLOEXEC) != 0) return error_set_errno(error, errno, "cannot make a pipe");
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) return error_set_errno(error, errno, "cannot fork");
    if (pid > 0) {
        close(ends[1]);
        ssize_t got;
        do got = read(ends[0], &byte, 1);
        while (got < 0 && errno == EINTR);
        _exit(got == 1 ? 0 : 1);
    }
    close(ends[0]);
    front_fd = ends[1];
    setsid();
    return STATUS_OK;
}

static void leave_terminal(void)
{
    if (front_fd < 0) return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        close(null);
    }
    (void)!write(front_fd, "", 1);
    close(front_fd);
    front_fd = -1;
}

/* As in Redis a server without its pidfile is better than none. True: it is ours to take away. */
static bool write_pidfile(const char *path)
{
    if (!*path) return false;
    FILE *file = fopen(path, "w");
    bool written = file && fprintf(file, "%ld\n", (long)getpid()) > 0;
    if (file && fclose(file) != 0) written = false;
    if (!written)
        log_write(LOG_WARNING, "cannot write the pidfile '%s': %s", path, strerror(errno));
    return written;
}

static void make_run_id(struct parts *parts)
{
    unsigned char bytes[20] = {0};
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) bytes[0] = (unsigned char)getpid();
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(parts->run_id + 2 * i, 3, "%02x", bytes[i]);
}

static void find_executable(struct parts *parts)
{
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    parts->executable = mem_dup(path, (size_t)(size > 0 ? size : 0) + 1);
    parts->executable[size > 0 ? size : 0] = 0;
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    (void)context;
    panic("crashed: SIG%s at address %p", sigabbrev_np(number), info->si_addr);
}

static void set_signals(void)
{
    static char stack[64 * 1024]; /* a crash for want of stack is reported too */
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigaltstack(&other, NULL);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        struct sigaction action = {.sa_sigaction = on_crash,
                                   .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND)};
        sigaction(crashes[i], &action, NULL);
    }
}

static enum status get_ready(struct parts *parts, int argc, char **argv, struct error *error)
{
    struct settings *settings = &parts->settings;
    bool has_file = argc > 1 && (argv[1][0] != '-' || argv[1][1] == 0);
    int first = has_file ? 2 : 1;
    enum status status = settings_read(settings, has_file ? argv[1] : NULL, argc - first,
                                       argv + first, warn_on_stderr, error);
    if (status == STATUS_OK) status = init_commands(settings->server.rename_command, error);
    if (status == STATUS_OK && settings->server.daemonize) status = go_to_background(error);
    if (status == STATUS_OK) status = open_data_folder(parts, error);
    if (status == STATUS_OK)
        status = log_start(settings->server.logfile, settings->server.loglevel, error);
    return status;
}

int main(int argc, char **argv)
{
    int exit_code = 0;
    if (answer_question(argc, argv, &exit_code)) return exit_code;
    static struct parts parts = {.lock_fd = -1, .on_ready = leave_terminal};
    struct error error = {0};
    settings_init(&parts.settings);
    make_run_id(&parts);
    find_executable(&parts);
    set_signals();
    if (get_ready(&parts, argc, argv, &error) == STATUS_OK) {
        log_write(LOG_NOTICE, "Kelvin %s, process %ld, configuration %s", KELVIN_VERSION,
                  (long)getpid(), *parts.settings.file ? parts.settings.file : "(none)");
        bool has_pidfile = write_pidfile(parts.settings.server.pidfile);
        mem_start_background();
        exit_code = server_serve(&parts);
        if (has_pidfile) unlink(parts.settings.server.pidfile);
    } else {
        fprintf(stderr, "kelvin-server: %s\n", error.text);
        exit_code = 1;
    }
    log_stop();
    if (parts.lock_fd >= 0) store_unlock(parts.lock_fd);
    settings_free(&parts.settings);
    mem_free(parts.executable);
    mem_free(parts.data_dir);
    return exit_code;
}
