/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Status codes and error texts. Pure functions on the caller's struct, any thread. An error's
 * text always ends with a zero; what does not fit is cut. */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *status_text(enum status code)
{
    switch (code) {
#define X(name, text)                                                                              \
    case STATUS_##name:                                                                            \
        return text;
        STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

enum status status_from_errno(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return STATUS_NO_SPACE;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    default:
        return STATUS_IO_ERROR;
    }
}

enum status error_set(struct error *error, enum status code, const char *format, ...)
{
    if (!error) return code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    error->code = code;
    return code;
}

enum status error_set_errno(struct error *error, int error_number, const char *format, ...)
{
    enum status code = status_from_errno(error_number);
    if (!error) return code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    char reason[128];
    size_t used = strlen(error->text);
    /* The GNU strerror_r: it may or may not use `reason`. */
    snprintf(error->text + used, sizeof error->text - used, ": %s",
             strerror_r(error_number, reason, sizeof reason));
    error->code = code;
    return code;
}

enum status error_add_context(struct error *error, enum status code, const char *format, ...)
{
    if (!error) return code;
    char text[ERROR_TEXT_BYTES];
    memcpy(text, error->text, sizeof text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->text);
    snprintf(error->text + used, sizeof error->text - used, ": %s", text);
    return error->code;
}
