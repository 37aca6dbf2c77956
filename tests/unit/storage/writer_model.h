/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the store must hold: a model that applies operations one by one in the plainest way, a source
 * of random operations that fit it, and a comparison with an engine's records. Included by one
 * test file. */
#ifndef KELVIN_TESTS_WRITER_MODEL_H
#define KELVIN_TESTS_WRITER_MODEL_H

#include "base/check.h"
#include "base/memory.h"
#include "storage/engine.h"
#include "storage/operation.h"
#include "storage/record.h"

#include <stdio.h>

enum { MODEL_DATABASES = 3, MODEL_KEYS = 24, MODEL_CHUNKS = 4, MODEL_OBJECTS = 256 };

struct model_key {
    bool exists;
    int64_t expire_at_ms;
    uint64_t object_id; /* 0: `tag` is the value */
    uint64_t tag;       /* of a value, or the length of an object */
};

struct model_object {
    uint64_t id;
    unsigned chunks; /* a bit for each */
    uint64_t tags[MODEL_CHUNKS];
};

struct model_database {
    uint64_t db_id;
    struct model_key keys[MODEL_KEYS];
};

struct model {
    struct model_database databases[MODEL_DATABASES];
    struct model_object objects[MODEL_OBJECTS];
};

static inline void model_init(struct model *model)
{
    memset(model, 0, sizeof *model);
    for (unsigned i = 0; i < MODEL_DATABASES; i++) model->databases[i].db_id = i + 1;
}

/* Keys of different lengths with a common beginning, some a prefix of others. */
static inline struct slice model_key_name(unsigned index, char *out)
{
    int size = index % 4 == 0 ? snprintf(out, 40, "key:%u", index)
                              : snprintf(out, 40, "key:000000000%u:%u", index / 4, index % 4);
    return slice_make(out, (size_t)size);
}

static inline unsigned model_key_index(struct slice name)
{
    char text[40];
    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        if (slice_equal(model_key_name(i, text), name)) return i;
    }
    panic("a key that was never written");
}

static inline struct slice tag_value(const uint64_t *tag)
{
    return slice_make(tag, sizeof *tag);
}

static inline struct model_object *model_object(struct model *model, uint64_t id)
{
    struct model_object *free = NULL;
    for (unsigned i = 0; i < MODEL_OBJECTS; i++) {
        if (model->objects[i].id == id) return &model->objects[i];
        if (model->objects[i].id == 0) free = &model->objects[i];
    }
    ASSERT(free);
    *free = (struct model_object){.id = id};
    return free;
}

static inline void model_drop_objects(struct model *model)
{
    for (unsigned i = 0; i < MODEL_OBJECTS; i++) {
        bool held = false;
        for (unsigned d = 0; d < MODEL_DATABASES; d++)
            for (unsigned k = 0; k < MODEL_KEYS; k++)
                held |= model->databases[d].keys[k].object_id == model->objects[i].id;
        if (!held) model->objects[i] = (struct model_object){0};
    }
}

static inline struct model_database *model_database(struct model *model, uint64_t db_id)
{
    for (unsigned i = 0; i < MODEL_DATABASES; i++) {
        if (model->databases[i].db_id == db_id) return &model->databases[i];
    }
    return NULL;
}

static inline void model_apply_key(struct model *model, const struct operation *operation)
{
    struct model_database *database = model_database(model, operation->db_id);
    ASSERT(database);
    struct model_key *key = &database->keys[model_key_index(operation->key)];
    *key = (struct model_key){.expire_at_ms = -1};
    if (operation->kind == OPERATION_DELETE) return;
    key->exists = true;
    key->expire_at_ms = operation->expire_at_ms;
    if (operation->has_object) {
        key->object_id = operation->object.object_id;
        key->tag = operation->object.length;
    } else {
        key->tag = get_le64(operation->value.data);
    }
}

static inline void model_apply_database(struct model *model, const struct operation *operation)
{
    struct model_database *database = &model->databases[operation->number];
    if (operation->kind == OPERATION_SWAP_DATABASES) {
        struct model_database swap = *database;
        *database = model->databases[operation->other_number];
        model->databases[operation->other_number] = swap;
    } else {
        memset(database, 0, sizeof *database);
        database->db_id = operation->db_id;
    }
}

static inline void model_apply(struct model *model, const struct operation *operation)
{
    struct model_object *object;
    uint32_t index;
    switch (operation->kind) {
    case OPERATION_PUT:
    case OPERATION_DELETE:
        model_apply_key(model, operation);
        break;
    case OPERATION_PUT_ELEMENT:
    case OPERATION_DELETE_ELEMENT:
        object = model_object(model, operation->object_id);
        index = get_be32(operation->key.data);
        object->chunks &= ~(1U << index);
        if (operation->kind == OPERATION_DELETE_ELEMENT) break;
        object->chunks |= 1U << index;
        object->tags[index] = get_le64(operation->value.data);
        break;
    case OPERATION_FLUSH_ALL:
        for (unsigned i = 0; i < MODEL_DATABASES; i++)
            memset(model->databases[i].keys, 0, sizeof model->databases[i].keys);
        break;
    default:
        model_apply_database(model, operation);
    }
}

/* --- random operations --- */

struct source {
    uint64_t random;
    uint64_t sequence; /* of the next operation */
    struct operation operations[256];
    char names[256][40];
    uint64_t tags[256];
    uint32_t count;
    unsigned unknown_percent;
    struct model model; /* with all that was made */
};

static inline uint64_t source_random(struct source *source, uint64_t below)
{
    source->random ^= source->random << 13;
    source->random ^= source->random >> 7;
    source->random ^= source->random << 17;
    return source->random % below;
}

static inline struct operation *source_add(struct source *source, struct operation operation)
{
    ASSERT(source->count < 256);
    struct operation *added = &source->operations[source->count];
    operation.sequence = source->sequence++;
    *added = operation;
    model_apply(&source->model, added);
    source->count++;
    return added;
}

/* Notes what the loop would know. */
static inline void note_old(struct source *source, struct operation *operation,
                     const struct model_key *old)
{
    operation->old_expire_at_ms = -1;
    if (source_random(source, 100) < source->unknown_percent) return;
    operation->old = old->exists ? OLD_PRESENT : OLD_ABSENT;
    if (!old->exists) return;
    operation->old_expire_at_ms = old->expire_at_ms;
    operation->old_object_id = old->object_id;
}

static inline int64_t random_expiry(struct source *source)
{
    return source_random(source, 3) ? -1 : (int64_t)source_random(source, 1000) + 5000;
}

static inline void put_key(struct source *source, struct model_database *database, unsigned index,
                    uint64_t object_id, uint64_t tag, int64_t expire_at_ms)
{
    uint32_t at = source->count;
    struct model_key old = database->keys[index];
    source->tags[at] = tag;
    struct operation put = {.kind = OPERATION_PUT,
                            .db_id = database->db_id,
                            .key = model_key_name(index, source->names[at]),
                            .expire_at_ms = expire_at_ms,
                            .has_object = object_id != 0,
                            .object = {object_id, tag}};
    if (!object_id) {
        put.value = tag_value(&source->tags[at]);
        put.object = (struct object_head){0};
    }
    note_old(source, &put, &old);
    source_add(source, put);
}

static inline void delete_key(struct source *source, struct model_database *database, unsigned index,
                       bool moves)
{
    struct model_key old = database->keys[index];
    struct operation delete = {.kind = OPERATION_DELETE,
                               .db_id = database->db_id,
                               .key = model_key_name(index, source->names[source->count]),
                               .expire_at_ms = -1,
                               .moves_object = moves};
    note_old(source, &delete, &old);
    source_add(source, delete);
}

static inline void put_chunk(struct source *source, uint64_t object_id, uint32_t index)
{
    uint32_t at = source->count;
    source->tags[at] = source_random(source, UINT32_MAX);
    put_be32(source->names[at], index);
    source_add(source, (struct operation){.kind = OPERATION_PUT_ELEMENT,
                                          .object_id = object_id,
                                          .expire_at_ms = -1,
                                          .old_expire_at_ms = -1,
                                          .key = slice_make(source->names[at], 4),
                                          .value = tag_value(&source->tags[at])});
}

static inline void set_big(struct source *source, struct model_database *database, unsigned index)
{
    uint64_t object_id = source->sequence;
    uint32_t chunks = 1 + (uint32_t)source_random(source, MODEL_CHUNKS);
    for (uint32_t i = 0; i < chunks; i++) put_chunk(source, object_id, i);
    put_key(source, database, index, object_id, chunks, random_expiry(source));
}

static inline void rename_key(struct source *source, struct model_database *from, unsigned index)
{
    struct model_key moved = from->keys[index];
    struct model_database *to = &source->model.databases[source_random(source, MODEL_DATABASES)];
    unsigned to_index = (unsigned)source_random(source, MODEL_KEYS);
    if (!moved.exists || (to == from && to_index == index)) return;
    bool delete_first = source_random(source, 2);
    if (delete_first) delete_key(source, from, index, moved.object_id != 0);
    put_key(source, to, to_index, moved.object_id, moved.tag, moved.expire_at_ms);
    if (!delete_first) delete_key(source, from, index, moved.object_id != 0);
}

static inline void map_database(struct source *source, uint32_t number, uint64_t dropped)
{
    source_add(source, (struct operation){.kind = OPERATION_MAP_DATABASE,
                                          .number = number,
                                          .db_id = source->sequence,
                                          .dropped_db_id = dropped,
                                          .expire_at_ms = -1,
                                          .old_expire_at_ms = -1});
}

static inline void random_database_command(struct source *source, uint32_t number)
{
    uint64_t what = source_random(source, 8);
    struct operation operation = {.expire_at_ms = -1, .old_expire_at_ms = -1};
    if (what == 0) {
        operation.kind = OPERATION_FLUSH_ALL;
        source_add(source, operation);
        for (uint32_t i = 0; i < MODEL_DATABASES; i++) map_database(source, i, 0);
    } else if (what < 4) {
        map_database(source, number, source->model.databases[number].db_id);
    } else {
        operation.kind = OPERATION_SWAP_DATABASES;
        operation.number = number;
        operation.other_number = (number + 1) % MODEL_DATABASES;
        source_add(source, operation);
    }
}

static inline void change_key(struct source *source, struct model_database *database, unsigned index)
{
    struct model_key key = database->keys[index];
    if (!key.exists) return;
    if (key.object_id && source_random(source, 2))
        put_chunk(source, key.object_id, (uint32_t)source_random(source, MODEL_CHUNKS));
    put_key(source, database, index, key.object_id, key.tag, random_expiry(source));
}

static inline void random_command(struct source *source)
{
    uint32_t number = (uint32_t)source_random(source, MODEL_DATABASES);
    struct model_database *database = &source->model.databases[number];
    unsigned index = (unsigned)source_random(source, MODEL_KEYS);
    uint64_t what = source_random(source, 100);
    if (what < 3) random_database_command(source, number);
    else if (what < 35)
        put_key(source, database, index, 0, source_random(source, UINT32_MAX),
                random_expiry(source));
    else if (what < 55) set_big(source, database, index);
    else if (what < 70) rename_key(source, database, index);
    else if (what < 85) change_key(source, database, index);
    else if (database->keys[index].exists || source_random(source, 4) == 0)
        delete_key(source, database, index, false);
}

/* The operations of one record are in source->operations. */
static inline void random_record(struct source *source)
{
    uint64_t commands = 1 + source_random(source, 4);
    source->count = 0;
    while (source->count == 0 || commands-- > 0) random_command(source);
    model_drop_objects(&source->model);
}

/* --- comparison --- */

struct seen {
    size_t keys, expiries, elements, garbage, strange;
};

static inline void complain(const char *what, struct slice name)
{
    struct buffer text = {0};
    buffer_append_quoted(&text, name);
    fprintf(stderr, "%s: %.*s\n", what, (int)text.size, text.data);
    buffer_free(&text);
}

static inline bool key_matches(const struct model_key *key, struct slice value)
{
    struct key_record record;
    if (key_record_decode(value, &record) != STATUS_OK) return false;
    if (!key->exists || record.expire_at_ms != key->expire_at_ms) return false;
    if (record.has_object != (key->object_id != 0)) return false;
    if (record.has_object)
        return record.object.object_id == key->object_id && record.object.length == key->tag;
    return record.value.size == 8 && get_le64(record.value.data) == key->tag;
}

static inline bool record_matches(struct model *model, struct slice name, struct slice value, bool settled,
                           struct seen *seen)
{
    uint64_t id;
    struct slice key;
    int64_t at;
    struct model_database *database;
    switch (name.data[0]) {
    case RECORD_KEY:
        if (!record_parse_key_name(name, &id, &key)) return false;
        database = model_database(model, id);
        if (!database) return !settled; /* of a flushed database */
        seen->keys++;
        return key_matches(&database->keys[model_key_index(key)], value);
    case RECORD_EXPIRY:
        if (!record_parse_expiry_name(name, &at, &id, &key)) return false;
        database = model_database(model, id);
        if (!database) return !settled;
        seen->expiries++;
        return database->keys[model_key_index(key)].exists &&
               database->keys[model_key_index(key)].expire_at_ms == at;
    case RECORD_ELEMENT:
        if (!record_parse_element_name(name, &id, &key)) return false;
        for (unsigned i = 0; i < MODEL_OBJECTS; i++) {
            const struct model_object *object = &model->objects[i];
            uint32_t index = get_be32(key.data);
            if (object->id != id) continue;
            seen->elements++;
            return (object->chunks >> index & 1) && get_le64(value.data) == object->tags[index];
        }
        return !settled; /* garbage */
    case RECORD_GARBAGE:
        seen->garbage++;
        return !settled;
    default:
        return name.data[0] == RECORD_META;
    }
}

/* `settled`: nothing is left to reclaim either. */
static inline bool model_matches(struct model *model, struct engine *engine,
                          struct engine_snapshot *snapshot, bool settled)
{
    const struct engine_operations *operations = engine->operations;
    struct engine_iterator *iterator = operations->iterate(engine, snapshot, true);
    struct seen seen = {0}, wanted = {0};
    bool good = true;
    operations->iterator_seek(iterator, slice_make("", 0));
    for (; operations->iterator_valid(iterator); operations->iterator_next(iterator)) {
        struct slice name = operations->iterator_key(iterator);
        if (record_matches(model, name, operations->iterator_value(iterator), settled, &seen))
            continue;
        complain("wrong record", name);
        good = false;
    }
    good &= operations->iterator_status(iterator, NULL) == STATUS_OK;
    operations->iterator_destroy(iterator);
    for (unsigned d = 0; d < MODEL_DATABASES; d++) {
        for (unsigned k = 0; k < MODEL_KEYS; k++) {
            wanted.keys += model->databases[d].keys[k].exists;
            wanted.expiries += model->databases[d].keys[k].exists &&
                               model->databases[d].keys[k].expire_at_ms != -1;
        }
    }
    for (unsigned i = 0; i < MODEL_OBJECTS; i++)
        wanted.elements += (size_t)__builtin_popcount(model->objects[i].chunks);
    if (seen.keys != wanted.keys || seen.expiries != wanted.expiries ||
        seen.elements != wanted.elements) {
        fprintf(stderr, "keys %zu of %zu, expiries %zu of %zu, elements %zu of %zu\n", seen.keys,
                wanted.keys, seen.expiries, wanted.expiries, seen.elements, wanted.elements);
        good = false;
    }
    return good;
}

#endif
