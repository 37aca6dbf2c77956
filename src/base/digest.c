/* SPDX-License-Identifier: BSD-3-Clause
 *
 * SHA-256. libcrypto would read its configuration file at its first use, which may be on a thread that
 * must not wait for a disk: it is told not to. Any thread. */
#include "base/digest.h"

#include "base/check.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

void digest_sha256_hex(struct slice bytes, char out[DIGEST_HEX_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    int done = EVP_Digest(bytes.size ? bytes.data : "", bytes.size, digest, &size, EVP_sha256(), NULL);
    ASSERT(done == 1 && size * 2 == DIGEST_HEX_BYTES);
    for (unsigned i = 0; i < size; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[DIGEST_HEX_BYTES] = 0;
}
