/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What all engines share: the encoding of a batch and the end of a handle. Any thread; a batch
 * belongs to one thread at a time. A batch is always well formed: only this file writes one. */
#include "storage/engine.h"

#include "base/check.h"

enum batch_tag { BATCH_DELETE, BATCH_PUT };

static void batch_append_sized(struct buffer *bytes, struct slice slice)
{
    ASSERT(slice.size <= UINT32_MAX);
    char size[4];
    put_le32(size, (uint32_t)slice.size);
    buffer_append(bytes, size, sizeof size);
    buffer_append_slice(bytes, slice);
}

static void batch_append_tag(struct buffer *bytes, enum batch_tag tag)
{
    char byte = (char)tag;
    buffer_append(bytes, &byte, 1);
}

void engine_batch_put(struct engine_batch *batch, struct slice key, struct slice value)
{
    batch_append_tag(&batch->bytes, BATCH_PUT);
    batch_append_sized(&batch->bytes, key);
    batch_append_sized(&batch->bytes, value);
    batch->count++;
}

void engine_batch_delete(struct engine_batch *batch, struct slice key)
{
    batch_append_tag(&batch->bytes, BATCH_DELETE);
    batch_append_sized(&batch->bytes, key);
    batch->count++;
}

void engine_batch_clear(struct engine_batch *batch)
{
    buffer_clear(&batch->bytes);
    batch->count = 0;
}

void engine_batch_free(struct engine_batch *batch)
{
    buffer_free(&batch->bytes);
    batch->count = 0;
}

static struct slice batch_read_sized(const struct buffer *bytes, size_t *position)
{
    ASSERT(bytes->size - *position >= 4);
    uint32_t size = get_le32(bytes->data + *position);
    *position += 4;
    ASSERT(bytes->size - *position >= size);
    struct slice slice = {bytes->data + *position, size};
    *position += size;
    return slice;
}

bool engine_batch_next(const struct engine_batch *batch, size_t *position, bool *is_delete,
                       struct slice *key, struct slice *value)
{
    if (*position >= batch->bytes.size) return false;
    *is_delete = batch->bytes.data[(*position)++] == BATCH_DELETE;
    *key = batch_read_sized(&batch->bytes, position);
    *value = *is_delete ? (struct slice){NULL, 0} : batch_read_sized(&batch->bytes, position);
    return true;
}

void engine_unref(struct engine *engine)
{
    uint32_t before =
        atomic_fetch_sub_explicit(&engine->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1) engine->operations->close(engine);
}
