/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target: the text of a configuration file, and behind a line "%" values that CONFIG SET is to
 * put in, one "name value" a line. What was accepted must survive CONFIG REWRITE: the rewritten
 * file reads back with the same values, and rewriting again changes no byte. A value that is
 * refused leaves the option as it was.
 *
 * All files are in a folder of our own. An include is let through where it names one of a few files
 * there; an input with any other is not run. A rewrite leaves includes as they are, so that what
 * they say may win over what was rewritten (as in Redis): such files are only read. */
#include "base/check.h"
#include "base/config_file.h"
#include "base/memory.h"
#include "commands/latency.h"
#include "lib/temp_folder.h"
#include "server/settings.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static char *folder;
static int home; /* the working directory of libFuzzer, which reads its files in between */

static void remove_folder(void)
{
    temp_folder_remove(folder);
    loop_destroy(loop);
}

static void write_file(const char *name, struct slice text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT(fd >= 0 && write(fd, text.data, text.size) == (ssize_t)text.size);
    close(fd);
}

static void read_file(const char *name, struct buffer *out)
{
    enum { CHUNK = 64 * 1024 };
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t size;
    ASSERT(fd >= 0);
    do {
        buffer_reserve(out, CHUNK);
        size = read(fd, out->data + out->size, CHUNK);
        ASSERT(size >= 0);
        out->size += (size_t)size;
    } while (size > 0);
    close(fd);
}

static struct slice next_line(struct slice *rest)
{
    const char *end = memchr(rest->data, '\n', rest->size);
    struct slice line = slice_make(rest->data, end ? (size_t)(end - rest->data) : rest->size);
    size_t used = line.size + (end ? 1 : 0);
    rest->data += used;
    rest->size -= used;
    return line;
}

enum include { NO_INCLUDE, INCLUDES_OURS, INCLUDES_FOREIGN };

/* The reader skips white space in front of a line. */
static enum include find_include(struct slice line)
{
    static const char *const ours[] = {"a.conf",    "none.conf", "main.conf",
                                       "[ab].conf", "?.conf",    NULL};
    while (line.size > 0 && isspace((unsigned char)line.data[0])) line.data++, line.size--;
    struct words words = {0};
    enum include found = NO_INCLUDE;
    if (line.size > 0 && option_split_line(line, &words) && words.count == 2 &&
        strcasecmp(words.items[0].data, "include") == 0) {
        found = INCLUDES_FOREIGN;
        for (size_t i = 0; ours[i]; i++)
            if (strcmp(words.items[1].data, ours[i]) == 0) found = INCLUDES_OURS;
    }
    option_free_words(&words);
    return found;
}

static void format_all(struct settings *settings, struct buffer *out)
{
    for (unsigned i = 0; i < SETTINGS_PARTS; i++) {
        struct settings_part part = settings_part(settings, i);
        for (size_t k = 0; k < part.table->count; k++) {
            buffer_append_format(out, "%s ", part.table->rows[k].name);
            option_format(&part.table->rows[k], part.options, out);
            buffer_append_text(out, "\n");
        }
    }
}

static bool read_main(struct settings *settings, struct error *error)
{
    settings_init(settings);
    bool good = settings_read(settings, "main.conf", 0, NULL, NULL, error) == STATUS_OK;
    ASSERT(good || error->text[0]);
    return good;
}

static void expect_same(const struct buffer *one, const struct buffer *two)
{
    struct slice a = buffer_slice(one), b = buffer_slice(two);
    while (a.size > 0 || b.size > 0) {
        struct slice line_a = next_line(&a), line_b = next_line(&b);
        if (slice_equal(line_a, line_b)) continue;
        fprintf(stderr, "before: %.*s\nafter: %.*s\n", (int)line_a.size, line_a.data,
                (int)line_b.size, line_b.data);
        abort();
    }
}

/* The server does so at its start and after CONFIG SET: some texts are brought into one form. */
static void apply(struct settings *settings, struct net *net)
{
    ASSERT(net_apply_options(net, NULL) == STATUS_OK);
    latency_normalize_options(&settings->commands);
}

static struct net *start(struct settings *settings)
{
    static const struct net_hooks hooks;
    static struct net_metrics metrics;
    struct net *net;
    ASSERT(net_create(&net, loop, &settings->net, &metrics, &hooks, NULL) == STATUS_OK);
    apply(settings, net);
    return net;
}

/* As CONFIG SET does with one pair. */
static void set_one(struct settings *settings, struct net *net, struct slice line)
{
    const char *blank = memchr(line.data, ' ', line.size);
    if (!blank) return;
    size_t name = (size_t)(blank - line.data);
    struct slice value = slice_make(blank + 1, line.size - name - 1);
    void *options;
    const struct option *option = settings_find(settings, slice_make(line.data, name), &options);
    if (!option || !(option->flags & OPTION_LIVE)) return;
    struct buffer before = {0}, after = {0};
    struct error error = {0};
    option_format(option, options, &before);
    if (settings_check_value(option, value, &error) != STATUS_OK ||
        option_set(option, options, value, &error) != STATUS_OK) {
        ASSERT(error.text[0]);
    } else if (settings_check(settings, &error) != STATUS_OK) {
        ASSERT(option_set(option, options, buffer_slice(&before), NULL) == STATUS_OK);
    } else {
        apply(settings, net);
        buffer_clear(&before);
        option_format(option, options, &before);
    }
    option_format(option, options, &after);
    ASSERT(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    buffer_free(&before);
    buffer_free(&after);
}

static void check_rewrite(struct settings *settings)
{
    struct settings again;
    struct error error = {0};
    struct buffer values = {0}, values_again = {0}, text = {0}, text_again = {0};
    ASSERT(settings_rewrite(settings, "main.conf", NULL) == STATUS_OK);
    read_file("main.conf", &text);
    if (!read_main(&again, &error)) {
        fprintf(stderr, "the rewritten file is refused: %s\n%.*s", error.text, (int)text.size,
                text.data);
        abort();
    }
    net_destroy(start(&again));
    format_all(settings, &values);
    format_all(&again, &values_again);
    expect_same(&values, &values_again);
    ASSERT(settings_rewrite(&again, "main.conf", NULL) == STATUS_OK);
    read_file("main.conf", &text_again);
    expect_same(&text, &text_again);
    buffer_free(&values);
    buffer_free(&values_again);
    buffer_free(&text);
    buffer_free(&text_again);
    settings_free(&again);
}

static void begin(void)
{
    ASSERT(loop_create(&loop, NULL) == STATUS_OK);
    folder = temp_folder_create();
    home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT(home >= 0 && chdir(folder) == 0);
    write_file("a.conf", SLICE_LITERAL("timeout 7\ninclude b.conf\n"));
    write_file("b.conf", SLICE_LITERAL("# nothing\nrename-command \"GET\" fetch\n"));
    atexit(remove_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make((const char *)data, size), file = {(const char *)data, 0};
    struct settings settings;
    struct error error = {0};
    bool includes = false;
    while (rest.size > 0) {
        struct slice line = next_line(&rest);
        if (slice_equal(line, SLICE_LITERAL("%"))) break;
        enum include found = find_include(line);
        if (found == INCLUDES_FOREIGN) return 0;
        includes |= found == INCLUDES_OURS;
        file.size = (size_t)(rest.data - file.data);
    }
    if (!folder) begin();
    ASSERT(chdir(folder) == 0);
    write_file("main.conf", file);
    if (read_main(&settings, &error)) {
        struct net *net = start(&settings);
        while (rest.size > 0) set_one(&settings, net, next_line(&rest));
        net_destroy(net);
        if (!includes) check_rewrite(&settings);
    }
    settings_free(&settings);
    ASSERT(fchdir(home) == 0);
    return 0;
}
