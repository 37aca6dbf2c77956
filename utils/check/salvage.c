/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The repair. */
#include "check/salvage.h"

enum status salvage(struct examination *examination, const char *copy_to, struct error *error)
{
    (void)examination;
    (void)copy_to;
    return error_set(error, STATUS_UNSUPPORTED, "not yet");
}
