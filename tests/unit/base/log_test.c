/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The log: format, levels, thread, full queue, rotation, a file that cannot be written. */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/log.h"

static char folder[] = "/tmp/kelvin-log-XXXXXX";
static char path[64];

static void new_log_path(void)
{
    static int number;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/%d.log", folder, number++);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

/* Everything in the file; free it. */
static char *file_text(const char *name)
{
    FILE *file = fopen(name, "r");
    if (!file) return strdup("");
    char *text = calloc(1, 1 << 21);
    size_t size = fread(text, 1, (1 << 21) - 1, file);
    text[size] = '\0';
    fclose(file);
    return text;
}

static void a_line_has_process_date_level_and_text(void **state)
{
    (void)state;
    new_log_path();
    assert_int_equal(log_start(path, LOG_DEBUG, NULL), STATUS_OK);
    log_write(LOG_DEBUG, "d%d", 1);
    log_write(LOG_VERBOSE, "v");
    log_write(LOG_NOTICE, "n");
    log_write(LOG_WARNING, "two\nlines\x1b");
    log_stop();
    char *text = file_text(path);
    int pid, day, year, hour, minute, second, ms;
    char month[4], mark, rest[64];
    assert_int_equal(sscanf(text, "%d:M %d %3s %d %d:%d:%d.%3d %c %63s", &pid, &day, month, &year,
                            &hour, &minute, &second, &ms, &mark, rest),
                     10);
    assert_int_equal(pid, getpid());
    assert_int_equal(mark, '.');
    assert_string_equal(rest, "d1");
    assert_non_null(strstr(text, " - v\n"));
    assert_non_null(strstr(text, " * n\n"));
    assert_non_null(strstr(text, " # two?lines?\n"));
    free(text);
    remove_folder();
}

static void lines_below_the_level_are_left_out(void **state)
{
    (void)state;
    new_log_path();
    assert_int_equal(log_start(path, LOG_NOTICE, NULL), STATUS_OK);
    log_write(LOG_VERBOSE, "hidden");
    log_set_level(LOG_VERBOSE);
    log_write(LOG_VERBOSE, "shown");
    log_stop();
    char *text = file_text(path);
    assert_null(strstr(text, "hidden"));
    assert_non_null(strstr(text, "shown"));
    free(text);
    remove_folder();
}

static void a_log_that_cannot_be_opened_is_an_error(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(log_start("/nonexistent/folder/a.log", LOG_NOTICE, &error), STATUS_IO_ERROR);
    assert_non_null(strstr(error.text, "/nonexistent/folder/a.log"));
    log_stop(); /* harmless */
}

static void a_very_long_line_is_cut_and_stays_one_line(void **state)
{
    (void)state;
    new_log_path();
    static char longer[10000];
    memset(longer, 'x', sizeof longer - 1);
    assert_int_equal(log_start(path, LOG_NOTICE, NULL), STATUS_OK);
    log_write(LOG_NOTICE, "%s", longer);
    log_stop();
    char *text = file_text(path);
    size_t size = strlen(text);
    assert_true(size > 1000 && size < 5000);
    assert_ptr_equal(strchr(text, '\n'), text + size - 1);
    free(text);
    remove_folder();
}

static void what_does_not_fit_is_counted(void **state)
{
    (void)state;
    new_log_path();
    /* A pipe that nobody reads holds the log thread up. */
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDWR); /* as a writer too: there is never an end of file */
    assert_true(reader >= 0);
    assert_int_equal(log_start(path, LOG_NOTICE, NULL), STATUS_OK);
    enum { LINES = 20000 };
    static char filler[200];
    memset(filler, 'y', sizeof filler - 1);
    for (int i = 0; i < LINES; i++) log_write(LOG_NOTICE, "%s", filler);

    static char bytes[1 << 16];
    unsigned long lines = 0, dropped = 0;
    char *text = calloc(1, 1 << 21);
    size_t used = 0;
    while (!dropped) {
        ssize_t got = read(reader, bytes, sizeof bytes);
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++) {
            text[used++] = bytes[i];
            if (bytes[i] != '\n') continue;
            text[used] = '\0';
            char *mark = strstr(text, " # ");
            if (mark && strstr(text, "lines were dropped")) dropped = strtoul(mark + 3, NULL, 10);
            else lines++;
            used = 0;
        }
    }
    assert_true(dropped > 0);
    assert_true(lines + dropped <= LINES);
    free(text);
    close(reader);
    /* The reader is gone; what is still queued cannot be written, and stopping does not hang. */
    log_stop();
    remove_folder();
}

static void a_pipe_without_a_reader_is_an_error(void **state)
{
    (void)state;
    new_log_path();
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(log_start(path, LOG_NOTICE, NULL), STATUS_IO_ERROR);
    remove_folder();
}

static void a_renamed_log_is_created_anew(void **state)
{
    (void)state;
    new_log_path();
    char old_path[80];
    snprintf(old_path, sizeof old_path, "%s.1", path);
    assert_int_equal(log_start(path, LOG_NOTICE, NULL), STATUS_OK);
    log_write(LOG_NOTICE, "before");
    log_stop();
    assert_int_equal(rename(path, old_path), 0);
    assert_int_equal(log_start(path, LOG_NOTICE, NULL), STATUS_OK);
    assert_int_equal(access(path, F_OK), 0);
    log_write(LOG_NOTICE, "after");
    log_stop();
    char *text = file_text(path);
    assert_null(strstr(text, "before"));
    assert_non_null(strstr(text, "after"));
    free(text);
    unlink(old_path);
    remove_folder();
}

static void an_emergency_line_goes_straight_to_the_file(void **state)
{
    (void)state;
    new_log_path();
    assert_int_equal(log_start(path, LOG_NOTICE, NULL), STATUS_OK);
    log_emergency("the end");
    char *text = file_text(path);
    assert_string_equal(text, "the end\n");
    free(text);
    log_stop();
    remove_folder();
}

enum { WRITERS = 4, LINES_EACH = 300 };

static void write_lines(void *argument)
{
    for (int i = 0; i < LINES_EACH; i++) log_write(LOG_NOTICE, "writer %d", *(int *)argument);
}

static void lines_of_many_threads_arrive_whole(void **state)
{
    (void)state;
    new_log_path();
    assert_int_equal(log_start(path, LOG_NOTICE, NULL), STATUS_OK);
    unsigned long threads[WRITERS];
    int numbers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        thread_start(&threads[i], THREAD_WORKER, "writer", write_lines, &numbers[i], NULL);
    }
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    log_stop();
    char *text = file_text(path);
    int lines = 0;
    for (char *at = strstr(text, " * writer "); at; at = strstr(at + 1, " * writer ")) {
        assert_int_equal(at[11], '\n');
        lines++;
    }
    assert_int_equal(lines, WRITERS * LINES_EACH);
    free(text);
    remove_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_process_date_level_and_text),
        cmocka_unit_test(lines_below_the_level_are_left_out),
        cmocka_unit_test(a_log_that_cannot_be_opened_is_an_error),
        cmocka_unit_test(a_very_long_line_is_cut_and_stays_one_line),
        cmocka_unit_test(what_does_not_fit_is_counted),
        cmocka_unit_test(a_pipe_without_a_reader_is_an_error),
        cmocka_unit_test(a_renamed_log_is_created_anew),
        cmocka_unit_test(an_emergency_line_goes_straight_to_the_file),
        cmocka_unit_test(lines_of_many_threads_arrive_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
