/* SPDX-License-Identifier: BSD-3-Clause
 *
 * CRC-32C (Castagnoli), LevelDB's checksum of blocks and MANIFEST records; its library keeps its own
 * to itself. Pure functions, any thread. */
#ifndef KELVIN_CHECK_CRC32C_H
#define KELVIN_CHECK_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `crc` is that of the bytes before; 0 at the start. */
uint32_t crc32c_extend(uint32_t crc, const void *data, size_t size);
/* As LevelDB stores it. */
uint32_t crc32c_mask(uint32_t crc);

#ifdef __cplusplus
}
#endif

#endif
