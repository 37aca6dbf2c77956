/* SPDX-License-Identifier: BSD-3-Clause
 *
 * SHA-256 and base64. libcrypto would read its configuration file at its first use, which may be on a thread that
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

bool digest_decode_base64(struct slice text, struct buffer *out)
{
    enum { MOST = 4096 };
    if (text.size == 0) return true;
    if (text.size % 4 != 0 || text.size > MOST) return false;
    buffer_reserve(out, text.size);
    int size = EVP_DecodeBlock((unsigned char *)out->data + out->size,
                               (const unsigned char *)text.data, (int)text.size);
    if (size < 0) return false;
    /* It counts the padding as bytes. */
    for (size_t i = 1; i <= 2 && text.data[text.size - i] == '='; i++) size--;
    out->size += (size_t)size;
    return true;
}

bool digest_is_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || CRYPTO_memcmp(a.data, b.data, a.size) == 0);
}
