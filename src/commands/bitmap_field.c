/* SPDX-License-Identifier: BSD-3-Clause
 *
 * BITFIELD: integers of 1 to 64 bits anywhere in a string, highest bit first. Operations whose
 * fields lie close together are done in one window of the string, which is read once and written
 * once; far apart ones get a window each, so that a long string costs what is touched.
 * Loop thread. */
#include "base/check.h"
#include "commands/string_commands.h"

enum field_kind { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum field_overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

struct field {
    enum field_kind kind;
    enum field_overflow overflow;
    bool is_signed;
    unsigned bits;
    uint64_t offset; /* in bits */
    int64_t value;   /* SET: the new one; INCRBY: what to add */
};

/* A part of the string in memory of its own; bytes behind the string's end are zeros. */
struct window {
    uint64_t first;            /* byte of the string */
    size_t size;
    unsigned char *bytes;
    size_t dirty_first, dirty_end; /* what has to be written; empty: nothing */
};

enum { WINDOW_MAX_BYTES = 16 * 1024 };

static uint64_t field_first_byte(const struct field *field)
{
    return field->offset / 8;
}

static uint64_t field_end_byte(const struct field *field)
{
    return (field->offset + field->bits + 7) / 8;
}

/* ---- parsing ---- */

static bool parse_type(struct command_run *run, struct slice text, struct field *field)
{
    int64_t bits;
    text = argument_text(text);
    if (text.size > 1 && (text.data[0] == 'i' || text.data[0] == 'u') &&
        slice_to_int64(slice_make(text.data + 1, text.size - 1), &bits) && bits >= 1 &&
        bits <= (text.data[0] == 'i' ? 64 : 63)) {
        field->is_signed = text.data[0] == 'i';
        field->bits = (unsigned)bits;
        return true;
    }
    reply_error(run->reply, "ERR Invalid bitfield type. Use something like i16 u8. "
                            "Note that u64 is not supported but i64 is.");
    return false;
}

static bool parse_overflow(struct command_run *run, struct slice word,
                           enum field_overflow *overflow)
{
    static const char *const words[] = {"WRAP", "SAT", "FAIL"};
    for (int i = OVERFLOW_WRAP; i <= OVERFLOW_FAIL; i++) {
        if (!argument_is(word, words[i])) continue;
        *overflow = (enum field_overflow)i;
        return true;
    }
    reply_error(run->reply, "ERR Invalid OVERFLOW type specified");
    return false;
}

/* Reads one operation at argv[*i] and moves *i behind it; OVERFLOW changes *overflow alone. */
static bool parse_operation(struct command_run *run, int *i, enum field_overflow *overflow,
                            struct field *field, bool *is_field)
{
    const struct slice *word = run->argv + *i;
    int left = run->argc - *i - 1;
    *is_field = true;
    if (left >= 2 && argument_is(*word, "GET")) {
        field->kind = FIELD_GET;
    } else if (left >= 3 && argument_is(*word, "SET")) {
        field->kind = FIELD_SET;
    } else if (left >= 3 && argument_is(*word, "INCRBY")) {
        field->kind = FIELD_INCRBY;
    } else if (left >= 1 && argument_is(*word, "OVERFLOW")) {
        *is_field = false;
        *i += 2;
        return parse_overflow(run, word[1], overflow);
    } else {
        run_syntax_error(run);
        return false;
    }
    field->overflow = *overflow;
    if (!parse_type(run, word[1], field) ||
        !bitmap_get_offset(run, word[2], field->bits, &field->offset) ||
        (field->kind != FIELD_GET && !run_get_integer(run, word[3], &field->value)))
        return false;
    *i += field->kind == FIELD_GET ? 3 : 4;
    return true;
}

/* All operations, in the run's memory. `*end_byte` is where the last field that is written ends, 0
 * when none is. NULL: the error has been replied. */
static struct field *parse_fields(struct command_run *run, size_t *count, uint64_t *end_byte)
{
    size_t capacity = (size_t)run->argc / 3 + 1;
    struct field *fields = (void *)string_memory(run, capacity * sizeof *fields);
    if (!fields) return NULL;
    enum field_overflow overflow = OVERFLOW_WRAP;
    *count = 0;
    *end_byte = 0;
    for (int i = 2; i < run->argc;) {
        struct field field = {0};
        bool is_field;
        if (!parse_operation(run, &i, &overflow, &field, &is_field)) return NULL;
        if (!is_field) continue;
        if (field.kind != FIELD_GET && field_end_byte(&field) > *end_byte)
            *end_byte = field_end_byte(&field);
        fields[(*count)++] = field;
    }
    return fields;
}

/* ---- arithmetic ---- */

static uint64_t read_bits(const unsigned char *bytes, uint64_t offset, unsigned bits)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bits; i++, offset++)
        value = value << 1 | ((unsigned)bytes[offset / 8] >> (7 - offset % 8) & 1);
    return value;
}

static void write_bits(unsigned char *bytes, uint64_t offset, unsigned bits, uint64_t value)
{
    for (unsigned i = 0; i < bits; i++, offset++) {
        unsigned mask = 128u >> (offset % 8);
        unsigned old = bytes[offset / 8];
        bool bit = value >> (bits - 1 - i) & 1;
        bytes[offset / 8] = (unsigned char)(bit ? old | mask : old & ~mask);
    }
}

/* What the lowest `bits` of `value` mean in the field's type. */
static int64_t truncate_value(const struct field *field, uint64_t value)
{
    ASSERT(field->bits >= 1 && field->bits <= 64);
    unsigned unused = 64 - field->bits;
    return field->is_signed ? (int64_t)(value << unused) >> unused
                            : (int64_t)(value << unused >> unused);
}

/* The field's new value: value + increment, where `value` lies in the field's type unless the
 * increment is 0 (SET). False when it does not fit and OVERFLOW is FAIL. */
static bool add_to_field(const struct field *field, int64_t value, int64_t increment,
                         int64_t *result)
{
    __int128 maximum = ((__int128)1 << (field->bits - field->is_signed)) - 1;
    __int128 minimum = field->is_signed ? -maximum - 1 : 0;
    __int128 old = field->is_signed ? (__int128)value : (__int128)(uint64_t)value;
    __int128 sum = old + increment;
    *result = (int64_t)sum;
    if (sum >= minimum && sum <= maximum) return true;
    /* Redis takes a value so low that its distance to the maximum has 64 bits for too high. */
    bool too_high = sum > maximum || (field->bits < 64 && maximum - old > INT64_MAX);
    if (field->overflow == OVERFLOW_WRAP)
        *result = truncate_value(field, (uint64_t)sum);
    else if (field->overflow == OVERFLOW_SAT)
        *result = (int64_t)(too_high ? maximum : minimum);
    return field->overflow != OVERFLOW_FAIL;
}

/* ---- windows ---- */

static void mark_dirty(struct window *window, size_t first, size_t end)
{
    bool clean = window->dirty_first == window->dirty_end;
    if (clean || first < window->dirty_first) window->dirty_first = first;
    if (clean || end > window->dirty_end) window->dirty_end = end;
}

/* How many of the first `count` operations fit in one window. */
static size_t fit_window(const struct field *fields, size_t count, struct window *window)
{
    uint64_t first = field_first_byte(fields), end = field_end_byte(fields);
    size_t fitting = 1;
    for (; fitting < count; fitting++) {
        uint64_t next_first = field_first_byte(&fields[fitting]);
        uint64_t next_end = field_end_byte(&fields[fitting]);
        if (first < next_first) next_first = first;
        if (end > next_end) next_end = end;
        if (next_end - next_first > WINDOW_MAX_BYTES) break;
        first = next_first;
        end = next_end;
    }
    window->first = first;
    window->size = (size_t)(end - first);
    window->dirty_first = window->dirty_end = 0;
    return fitting;
}

/* Does one operation in the window and replies. */
static void apply_field(struct command_run *run, const struct field *field, struct window *window)
{
    uint64_t offset = field->offset - window->first * 8;
    int64_t old = truncate_value(field, read_bits(window->bytes, offset, field->bits)), new = old;
    bool fits = true;
    if (field->kind == FIELD_SET) fits = add_to_field(field, field->value, 0, &new);
    if (field->kind == FIELD_INCRBY) fits = add_to_field(field, old, field->value, &new);
    if (!fits) {
        reply_null(run->reply);
        return;
    }
    reply_integer(run->reply, field->kind == FIELD_INCRBY ? new : old);
    if (new == old) return;
    write_bits(window->bytes, offset, field->bits, (uint64_t)new);
    mark_dirty(window, (size_t)(offset / 8), (size_t)((offset + field->bits + 7) / 8));
}

/* Does `count` operations in one window. `view` is NULL where there is no string. `end_byte`: what
 * the string must reach when all is done. */
static bool run_window(struct command_run *run, const struct field *fields, size_t count,
                       struct window *window, const struct key_view *view, uint64_t end_byte)
{
    uint64_t length = view ? string_view_bytes(view) : 0, window_end = window->first + window->size;
    window->bytes = (unsigned char *)string_memory(run, window->size);
    if (!window->bytes) return false;
    memset(window->bytes, 0, window->size);
    if (view && !string_copy_range(run, view, window->first, window->size, (char *)window->bytes))
        return false;
    for (size_t i = 0; i < count; i++) apply_field(run, &fields[i], window);

    /* The string grows even when no bit changes, or when every change was refused. */
    if (length < end_byte && end_byte > window->first && end_byte <= window_end) {
        size_t end = (size_t)(end_byte - window->first);
        mark_dirty(window, end - 1, end);
    }
    if (window->dirty_first == window->dirty_end)
        return end_byte == 0 || !view || string_is_raw(view) ||
               string_make_raw(run, run->argv[1], view);
    struct slice data = slice_make(window->bytes + window->dirty_first,
                                   window->dirty_end - window->dirty_first);
    return run_found(run, string_write(&run->access, run_database(run), run->argv[1], view,
                                       window->first + window->dirty_first, data, STRING_RAW));
}

static void run_fields(struct command_run *run, const struct field *fields, size_t count,
                       uint64_t end_byte)
{
    struct key_view view;
    bool exists;
    if (!run_get_string(run, run->argv[1], &exists, &view)) return;
    if (end_byte == 0 && (run->command->flags & COMMAND_WRITE)) run_count_lookup(run, exists);
    reply_array(run->reply, count);
    for (size_t done = 0; done < count;) {
        struct window window;
        size_t fitting = fit_window(fields + done, count - done, &window);
        if (!run_window(run, fields + done, fitting, &window, exists ? &view : NULL, end_byte))
            return;
        done += fitting;
        if (done == count) break;
        enum found found = keyspace_peek(&run->access, run_database(run), run->argv[1], &view);
        if (!run_found(run, found)) return;
        exists = found == FOUND;
    }
}

/* BITFIELD key [GET encoding offset | [OVERFLOW WRAP | SAT | FAIL]
 *               SET encoding offset value | INCRBY encoding offset increment] ... */
void bitmap_bitfield(struct command_run *run)
{
    size_t count;
    uint64_t end_byte;
    struct field *fields = parse_fields(run, &count, &end_byte);
    if (fields) run_fields(run, fields, count, end_byte);
}

/* BITFIELD_RO key [GET encoding offset ...] */
void bitmap_bitfield_ro(struct command_run *run)
{
    size_t count;
    uint64_t end_byte;
    struct field *fields = parse_fields(run, &count, &end_byte);
    if (!fields) return;
    if (end_byte > 0)
        reply_error(run->reply, "ERR BITFIELD_RO only supports the GET subcommand");
    else
        run_fields(run, fields, count, end_byte);
}
