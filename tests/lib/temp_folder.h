/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A folder for one test, below $TMPDIR or /tmp. */
#ifndef KELVIN_TESTS_TEMP_FOLDER_H
#define KELVIN_TESTS_TEMP_FOLDER_H

/* Its path; free with mem_free. */
char *temp_folder_create(void);
/* Removes the folder with all that is in it, and frees the path. */
void temp_folder_remove(char *path);
/* Copies the plain files of one folder into another, which is created if need be. */
void temp_folder_copy(const char *from, const char *to);
/* "folder/name"; free with mem_free. */
char *temp_folder_path(const char *folder, const char *name);

#endif
