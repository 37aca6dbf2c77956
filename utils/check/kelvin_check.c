/* SPDX-License-Identifier: BSD-3-Clause
 *
 * kelvin-check: examines the data folder of a stopped server and, when told to, repairs it. Exit code 0:
 * nothing is wrong (any more), 1: something is, 2: it could not be told. */
#include "base/log.h"
#include "base/memory.h"
#include "check/examine.h"
#include "check/files.h"
#include "check/salvage.h"
#include "server/version.h"
#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static const char usage[] =
    "Usage: kelvin-check DATA-FOLDER\n"
    "       kelvin-check --repair [--copy-to FOLDER] DATA-FOLDER\n"
    "       kelvin-check --version | --help\n"
    "\n"
    "Examines the data folder (`dir`) of a stopped Kelvin server, all of it, and prints one line for each\n"
    "thing that is wrong (\"damage: ...\") or gone (\"lost: ...\"). It changes nothing.\n"
    "\n"
    "--repair first copies the whole folder to FOLDER (default: DATA-FOLDER.before-repair-N beside it),\n"
    "then writes store and journal anew from all that can be read and trusted. It needs space for the\n"
    "copy and for the new store, says how much, and does not begin without. Where LevelDB's list of\n"
    "tables is lost and a table cannot be read either, it refuses: --accept-old-values goes on, though\n"
    "old values of keys, and strings with zeros in them, may be served then.\n"
    "\n"
    "Exit code: 0 nothing is wrong, or all was repaired; 1 something is wrong; 2 it cannot be told.\n"
    "TMPDIR: where temporary files go (default /tmp).\n";

enum { CLEAN, FOUND, FAILED };

struct arguments {
    const char *dir, *copy_to;
    bool repairs, accepts_old;
};

/* -1: go on. */
static int read_arguments(int argc, char **argv, struct arguments *out)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
            return fputs(usage, stdout) < 0 ? FAILED : CLEAN;
        if (strcmp(word, "--version") == 0 || strcmp(word, "-v") == 0)
            return printf("kelvin-check %s\n", KELVIN_VERSION) < 0 ? FAILED : CLEAN;
        if (strcmp(word, "--repair") == 0) out->repairs = true;
        else if (strcmp(word, "--accept-old-values") == 0) out->accepts_old = true;
        else if (strcmp(word, "--copy-to") == 0 && i + 1 < argc) out->copy_to = argv[++i];
        else if (word[0] != '-' && !out->dir) out->dir = word;
        else goto wrong;
    }
    if (out->dir && (out->repairs || (!out->copy_to && !out->accepts_old))) return -1;
wrong:
    fputs(usage, stderr);
    return FAILED;
}

/* Keeps servers away without writing anything: a lock for readers on the server's file. A folder without
 * that file has never been served from. */
static enum status lock_to_read(const char *dir, int *fd, struct error *error)
{
    char *path = files_path(dir, "LOCK");
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    enum status status = STATUS_OK;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0 && errno != ENOENT)
        status = error_set_errno(error, errno, "cannot open %s", path);
    if (*fd >= 0 && fcntl(*fd, F_OFD_SETLK, &lock) != 0)
        status = errno == EAGAIN || errno == EACCES
                     ? error_set(error, STATUS_BUSY, "in use")
                     : error_set_errno(error, errno, "cannot lock %s", path);
    mem_free(path);
    return status;
}

static enum status lock_folder(const struct arguments *arguments, int *fd, struct error *error)
{
    if (!files_is_folder(arguments->dir))
        return error_set(error, STATUS_NOT_FOUND, "%s is not a folder", arguments->dir);
    enum status status = arguments->repairs ? store_lock(arguments->dir, fd, error)
                                            : lock_to_read(arguments->dir, fd, error);
    if (status == STATUS_BUSY)
        return error_set(error, status,
                         "a server is running on %s (or another check is): stop it first",
                         arguments->dir);
    return status;
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void summarize(const char *dir, const struct report *report)
{
    if (report->findings == 0 && report->lost == 0) printf("%s: no damage found\n", dir);
    else
        printf("%s: %llu findings, %llu named losses\n", dir,
               (unsigned long long)report->findings, (unsigned long long)report->lost);
}

static int run(const struct arguments *arguments, struct error *error)
{
    struct report report = {.has_progress = isatty(STDERR_FILENO)};
    struct examination examination;
    enum status status = examine(&examination, arguments->dir, &report, error);
    bool is_clean = report.findings == 0 && report.lost == 0;
    if (status == STATUS_OK) {
        summarize(arguments->dir, &report);
        if (!is_clean && arguments->repairs)
            status = salvage(&examination, arguments->copy_to, arguments->accepts_old, error);
        else if (!is_clean)
            printf("To save what can be saved: kelvin-check --repair %s\n", arguments->dir);
    }
    examination_free(&examination);
    if (status != STATUS_OK) return FAILED;
    if (is_clean || !arguments->repairs) return is_clean ? CLEAN : FOUND;

    struct report again = {.has_progress = report.has_progress};
    status = examine(&examination, arguments->dir, &again, error);
    examination_free(&examination);
    if (status != STATUS_OK) return FAILED;
    summarize(arguments->dir, &again);
    return again.findings == 0 && again.lost == 0 ? CLEAN : FOUND;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct error error = {0};
    int lock_fd = -1, code = read_arguments(argc, argv, &arguments);
    if (code >= 0) return code;
    log_set_level(LOG_WARNING);
    raise_file_limit();
    code = FAILED;
    if (lock_folder(&arguments, &lock_fd, &error) == STATUS_OK) code = run(&arguments, &error);
    if (code == FAILED) {
        fflush(stdout);
        fprintf(stderr, "kelvin-check: %s\n", error.text);
    }
    if (lock_fd >= 0) close(lock_fd);
    return code;
}
