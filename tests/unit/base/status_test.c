/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Status codes and error texts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"

static void every_code_has_a_text(void **state)
{
    (void)state;
    assert_string_equal(status_text(STATUS_OK), "ok");
    for (int code = STATUS_OK; code <= STATUS_CLOSED; code++)
        assert_string_not_equal(status_text((enum status)code), "unknown status");
    assert_string_equal(status_text((enum status)999), "unknown status");
}

static void errno_values_become_the_right_code(void **state)
{
    (void)state;
    assert_int_equal(status_from_errno(ENOSPC), STATUS_NO_SPACE);
    assert_int_equal(status_from_errno(EDQUOT), STATUS_NO_SPACE);
    assert_int_equal(status_from_errno(ENOMEM), STATUS_NO_MEMORY);
    assert_int_equal(status_from_errno(EIO), STATUS_IO_ERROR);
}

static void an_error_gains_context_on_its_way_up(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(error_set_errno(&error, ENOSPC, "cannot write %s", "a.log"), STATUS_NO_SPACE);
    assert_string_equal(error.text, "cannot write a.log: No space left on device");
    assert_int_equal(error_add_context(&error, STATUS_INVALID, "journal %d", 7), STATUS_NO_SPACE);
    assert_string_equal(error.text, "journal 7: cannot write a.log: No space left on device");
    assert_int_equal(error.code, STATUS_NO_SPACE);
}

static void a_caller_may_leave_the_error_out(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, STATUS_BUSY, "x"), STATUS_BUSY);
    assert_int_equal(error_set_errno(NULL, ENOMEM, "x"), STATUS_NO_MEMORY);
    assert_int_equal(error_add_context(NULL, STATUS_CORRUPT, "x"), STATUS_CORRUPT);
}

static void a_text_that_is_too_long_is_cut(void **state)
{
    (void)state;
    struct error error;
    char text[2 * ERROR_TEXT_BYTES];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    error_set(&error, STATUS_INVALID, "%s", text);
    assert_int_equal(strlen(error.text), ERROR_TEXT_BYTES - 1);
    error_add_context(&error, STATUS_INVALID, "%s", text);
    assert_int_equal(strlen(error.text), ERROR_TEXT_BYTES - 1);
    error_set_errno(&error, EIO, "%s", text);
    assert_int_equal(strlen(error.text), ERROR_TEXT_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_text),
        cmocka_unit_test(errno_values_become_the_right_code),
        cmocka_unit_test(an_error_gains_context_on_its_way_up),
        cmocka_unit_test(a_caller_may_leave_the_error_out),
        cmocka_unit_test(a_text_that_is_too_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
