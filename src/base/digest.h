/* SPDX-License-Identifier: BSD-3-Clause
 *
 * SHA-256 (FIPS 180-4), how Redis shows a password, and what HTTP needs for passwords: from OpenSSL's
 * libcrypto. The only file that sees the library is digest.c. No file is opened. Any thread. */
#ifndef KELVIN_BASE_DIGEST_H
#define KELVIN_BASE_DIGEST_H

#include "base/bytes.h"

#include <stdbool.h>

enum { DIGEST_HEX_BYTES = 64 };

/* In lower-case hexadecimal digits, with a zero byte behind them. */
void digest_sha256_hex(struct slice bytes, char out[DIGEST_HEX_BYTES + 1]);

/* Appends what the base64 text stands for (RFC 4648, with padding). False: it is none, or longer than
 * 4 KiB; nothing was appended. */
bool digest_decode_base64(struct slice text, struct buffer *out);
/* In a time that does not tell where they differ. */
bool digest_is_equal(struct slice a, struct slice b);

#endif
