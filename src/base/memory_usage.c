/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the kernel says about our memory and the machine's, and what else /proc says beside it. Reads files under /proc and /sys: any
 * thread but the loop. A file that is missing or unreadable counts as "unknown". */
#include "base/memory.h"

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t kilobytes_after(const char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncmp(line, name, length) != 0) return 0;
    return (size_t)strtoull(line + length, NULL, 10) * 1024;
}

static size_t count_descriptors(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder) return 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.') count++;
    closedir(folder);
    return count - 1; /* the folder's own */
}

void mem_usage_read(struct mem_usage *out)
{
    memset(out, 0, sizeof *out);
    mem_allocator_read(out);
    out->descriptors = count_descriptors();
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        out->rss += kilobytes_after(line, "VmRSS:");
        out->rss_anonymous += kilobytes_after(line, "RssAnon:");
        out->rss_file += kilobytes_after(line, "RssFile:") + kilobytes_after(line, "RssShmem:");
        out->peak_rss += kilobytes_after(line, "VmHWM:");
        if (strncmp(line, "Threads:", 8) == 0) out->threads = strtoul(line + 8, NULL, 10);
    }
    fclose(file);
}

/* The number in the file; SIZE_MAX where there is none ("max" in cgroup v2, or no file). */
static size_t read_limit(const char *path)
{
    char line[64];
    FILE *file = fopen(path, "re");
    if (!file) return SIZE_MAX;
    char *got = fgets(line, sizeof line, file);
    fclose(file);
    if (!got || line[0] < '0' || line[0] > '9') return SIZE_MAX;
    return (size_t)strtoull(line, NULL, 10);
}

/* The smallest limit on the way from the group up to the root: each one binds. */
static size_t smallest_limit(const char *mount, const char *group, const char *file_name)
{
    char path[PATH_MAX], folder[PATH_MAX];
    size_t smallest = SIZE_MAX;
    snprintf(folder, sizeof folder, "%s", group);
    for (;;) {
        int length = snprintf(path, sizeof path, "%s%s/%s", mount, folder, file_name);
        if (length > 0 && (size_t)length < sizeof path) {
            size_t limit = read_limit(path);
            if (limit < smallest) smallest = limit;
        }
        char *last = strrchr(folder, '/');
        if (!last) return smallest;
        *last = '\0';
    }
}

static size_t cgroup_bytes(const char *root)
{
    char path[PATH_MAX], mount[PATH_MAX], line[PATH_MAX];
    size_t smallest = SIZE_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (!file) return SIZE_MAX;
    while (fgets(line, sizeof line, file)) { /* NUMBER:CONTROLLERS:/GROUP */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        size_t limit = SIZE_MAX;
        if (controllers[1] == '\0') {
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
            limit = smallest_limit(mount, group, "memory.max");
        } else if (strstr(controllers, "memory")) {
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/memory", root);
            limit = smallest_limit(mount, group, "memory.limit_in_bytes");
        }
        if (limit < smallest) smallest = limit;
    }
    fclose(file);
    return smallest;
}

size_t mem_machine_bytes_under(const char *root)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    size_t machine = pages > 0 && page_bytes > 0 ? (size_t)pages * (size_t)page_bytes : 0;
    size_t group = cgroup_bytes(root);
    return machine == 0 || group < machine ? group : machine;
}

size_t mem_machine_bytes(void)
{
    return mem_machine_bytes_under("");
}
