/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The repair: a copy of everything, then store and journal written anew from what the examination found
 * good. One thread beside those of LevelDB and the journal. */
#ifndef KELVIN_CHECK_SALVAGE_H
#define KELVIN_CHECK_SALVAGE_H

#include "check/examine.h"

/* `copy_to` NULL: a folder beside the data folder. Nothing is changed unless the copy is complete.
 * Dying in it leaves a folder that is refused or whole, and the copy. */
enum status salvage(struct examination *examination, const char *copy_to, struct error *error);

#endif
