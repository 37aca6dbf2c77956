/* SPDX-License-Identifier: BSD-3-Clause
 *
 * CRC-32C, eight bytes at a time from eight tables. */
#include "check/crc32c.h"

#include "base/bytes.h"

#include <pthread.h>

enum { SLICES = 8 };

static const uint32_t polynomial = 0x82f63b78u; /* reflected */
static uint32_t table[SLICES][256];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
        table[0][byte] = crc;
    }
    for (int slice = 1; slice < SLICES; slice++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = table[slice - 1][byte];
            table[slice][byte] = crc >> 8 ^ table[0][crc & 0xff];
        }
    }
}

uint32_t crc32c_extend(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *from = data;
    pthread_once(&made, make_tables);
    crc = ~crc;
    for (; size >= SLICES; size -= SLICES, from += SLICES) {
        uint64_t word = get_le64(from) ^ crc;
        crc = 0;
        for (int i = 0; i < SLICES; i++) crc ^= table[SLICES - 1 - i][word >> (8 * i) & 0xff];
    }
    for (; size > 0; size--, from++) crc = crc >> 8 ^ table[0][(crc ^ *from) & 0xff];
    return ~crc;
}

uint32_t crc32c_mask(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}
