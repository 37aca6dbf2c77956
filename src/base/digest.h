/* SPDX-License-Identifier: BSD-3-Clause
 *
 * SHA-256 (FIPS 180-4), from OpenSSL's libcrypto: how Redis shows a password. The only file that sees
 * the library is digest.c. No file is opened. Any thread. */
#ifndef KELVIN_BASE_DIGEST_H
#define KELVIN_BASE_DIGEST_H

#include "base/bytes.h"

enum { DIGEST_HEX_BYTES = 64 };

/* In lower-case hexadecimal digits, with a zero byte behind them. */
void digest_sha256_hex(struct slice bytes, char out[DIGEST_HEX_BYTES + 1]);

#endif
