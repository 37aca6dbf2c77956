/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The composition root: sets every part up, bottom-up, serves, and tears down in reverse. */
#ifndef KELVIN_SERVER_SERVER_H
#define KELVIN_SERVER_SERVER_H

#include "server/parts.h"

/* Serves until told to stop (SIGTERM, SIGINT, SHUTDOWN). `parts->settings` has been read; the caller
 * has parsed the command line and gone to the background where wanted. Returns the exit code; a
 * failure has been logged in one line. */
int server_serve(struct parts *parts);

/* Clients are being sent away. Loop thread. */
bool server_is_stopping(void);

/* What a reply "OK" to a write means under this policy, as a sentence. */
const char *server_ok_means(int appendfsync);

/* Raises the limit of open files to what `maxclients` needs. False: the system allows only
 * `*possible_clients`; the limit is then as high as it can be. */
bool server_raise_descriptors(const struct settings *settings, int64_t *possible_clients);

#endif
