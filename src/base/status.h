/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Status codes and the error text that travels with them. A function that can fail returns an
 * `enum status` and fills its output only on STATUS_OK. One that can say more than a code takes
 * a `struct error *` last; it may be NULL. Any thread. */
#ifndef KELVIN_BASE_STATUS_H
#define KELVIN_BASE_STATUS_H

#include <stddef.h>

#define STATUS_LIST(X)                                                                             \
    X(OK, "ok")                                                                                    \
    X(AGAIN, "not ready yet")                                                                      \
    X(NOT_FOUND, "not found")                                                                      \
    X(INVALID, "invalid argument")                                                                 \
    X(CORRUPT, "data is damaged")                                                                  \
    X(IO_ERROR, "input/output error")                                                              \
    X(NO_SPACE, "no space left on device")                                                         \
    X(NO_MEMORY, "out of memory")                                                                  \
    X(TOO_LARGE, "too large")                                                                      \
    X(BUSY, "in use")                                                                              \
    X(UNSUPPORTED, "not supported")                                                                \
    X(CLOSED, "closed")

enum status {
#define X(name, text) STATUS_##name,
    STATUS_LIST(X)
#undef X
};

enum { ERROR_TEXT_BYTES = 512 };

/* Lives on the caller's stack or in its owner; holds no memory of its own. */
struct error {
    enum status code;
    char text[ERROR_TEXT_BYTES];
};

/* The fixed text of a code, never NULL. */
const char *status_text(enum status code);

/* STATUS_NO_SPACE for ENOSPC and EDQUOT, STATUS_NO_MEMORY for ENOMEM, otherwise STATUS_IO_ERROR. */
enum status status_from_errno(int error_number);

/* Fills `error` (may be NULL) with the code and a formatted text; returns the code. */
enum status error_set(struct error *error, enum status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set for a failed system call: the text gets ": " and strerror(error_number). */
enum status error_set_errno(struct error *error, int error_number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "CONTEXT: " before the text, on an error's way up. Returns the error's code
 * (`code` where `error` is NULL). */
enum status error_add_context(struct error *error, enum status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
