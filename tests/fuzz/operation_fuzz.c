/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzz target: arbitrary bytes as a sequence of operations. Whatever the decoder accepts must be
 * exactly what the encoder writes for it. */
#include "base/check.h"
#include "storage/operation.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_make(data, size);
    struct operation operation;
    const char *before = input.data;
    while (operation_decode(&input, &operation) == STATUS_OK) {
        size_t used = (size_t)(input.data - before);
        ASSERT(operation_encoded_bytes(&operation) == used);
        char *again = malloc(used);
        ASSERT(again && operation_encode(&operation, again) == again + used);
        ASSERT(memcmp(again, before, used) == 0);
        free(again);
        before = input.data;
    }
    return 0;
}
