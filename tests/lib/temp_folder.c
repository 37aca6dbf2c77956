/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Folders for tests. What cannot be done ends the test program. */
#include "lib/temp_folder.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

char *temp_folder_path(const char *folder, const char *name)
{
    struct buffer path = {0};
    buffer_append_format(&path, "%s/%s", folder, name);
    char *text = slice_dup_text(buffer_slice(&path));
    buffer_free(&path);
    return text;
}

char *temp_folder_create(void)
{
    const char *base = getenv("TMPDIR");
    char *path = temp_folder_path(base && *base ? base : "/tmp", "kelvin-test-XXXXXX");
    if (!mkdtemp(path)) panic("no folder for a test: %s", path);
    return path;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void temp_folder_remove(char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    mem_free(path);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (in < 0 || out < 0) panic("copying %s to %s: errno %d", from, to, errno);
    ssize_t got;
    while ((got = read(in, bytes, sizeof bytes)) > 0) {
        if (write(out, bytes, (size_t)got) != got) panic("copying %s", from);
    }
    close(in);
    close(out);
}

void temp_folder_copy(const char *from, const char *to)
{
    mkdir(to, 0755);
    DIR *directory = opendir(from);
    if (!directory) panic("no folder %s", from);
    const struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (entry->d_type != DT_REG) continue;
        char *source = temp_folder_path(from, entry->d_name);
        char *target = temp_folder_path(to, entry->d_name);
        copy_file(source, target);
        mem_free(source);
        mem_free(target);
    }
    closedir(directory);
}
