/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the server calls itself. */
#ifndef KELVIN_SERVER_VERSION_H
#define KELVIN_SERVER_VERSION_H

#define KELVIN_VERSION "0.1.0"
/* The Redis whose replies are given, for clients that look. */
#define KELVIN_REDIS_VERSION "7.0.15"

#endif
