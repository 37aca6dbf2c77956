/* SPDX-License-Identifier: BSD-3-Clause
 *
 * kelvin-server --repair-journal DATA-FOLDER: for a stopped server whose journal is damaged, or ends
 * below what the store holds. */
#ifndef KELVIN_SERVER_REPAIR_H
#define KELVIN_SERVER_REPAIR_H

/* Says on standard output what was done; the exit code. */
int repair_main(int argc, char **argv);

#endif
