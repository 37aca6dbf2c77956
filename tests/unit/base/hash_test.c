/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Hashes and checksums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"

static void a_checksum_is_the_same_for_ever(void **state)
{
    (void)state;
    /* Published values of XXH3_64bits: a change here would make every store unreadable. */
    assert_true(hash_checksum("", 0, 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(hash_checksum("", 0, 0) == hash_checksum(NULL, 0, 0));
    assert_true(hash_checksum("abc", 3, 0) == UINT64_C(0x78af5f94892f3950));
    assert_true(hash_checksum("abc", 3, 1) != hash_checksum("abc", 3, 0));
}

static void pieces_give_the_same_checksum_as_the_whole(void **state)
{
    (void)state;
    enum { SIZE = 5000 };
    static const uint64_t seeds[] = {0, 1, UINT64_C(0x123456789abcdef0)};
    static unsigned char data[SIZE];
    srand(7);
    for (int i = 0; i < SIZE; i++) data[i] = (unsigned char)rand();
    struct hash_stream *stream = hash_stream_create(9);
    for (int round = 0; round < 3000; round++) {
        size_t size = (size_t)(rand() % (round % 2 ? 300 : SIZE + 1)), done = 0;
        uint64_t seed = seeds[round % 3];
        hash_stream_reset(stream, seed);
        while (done < size) {
            size_t piece = (size_t)(rand() % 400);
            if (piece > size - done) piece = size - done;
            hash_stream_update(stream, data + done, piece);
            done += piece;
        }
        assert_true(hash_stream_digest(stream) == hash_checksum(data, size, seed));
    }
    hash_stream_destroy(stream);
    hash_stream_destroy(NULL);
}

static void a_new_stream_begins_with_its_seed(void **state)
{
    (void)state;
    struct hash_stream *stream = hash_stream_create(77);
    hash_stream_update(stream, "ab", 2);
    hash_stream_update(stream, NULL, 0);
    assert_true(hash_stream_digest(stream) == hash_checksum("ab", 2, 77));
    hash_stream_update(stream, "c", 1); /* a digest does not end the stream */
    assert_true(hash_stream_digest(stream) == hash_checksum("abc", 3, 77));
    hash_stream_destroy(stream);
}

static void the_hash_of_keys_depends_on_the_seed(void **state)
{
    (void)state;
    uint64_t random = hash_key("key", 3);
    assert_true(random == hash_key("key", 3));
    hash_key_seed(1);
    uint64_t one = hash_key("key", 3);
    hash_key_seed(2);
    assert_true(hash_key("key", 3) != one);
    hash_key_seed(1);
    assert_true(hash_key("key", 3) == one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checksum_is_the_same_for_ever),
        cmocka_unit_test(pieces_give_the_same_checksum_as_the_whole),
        cmocka_unit_test(a_new_stream_begins_with_its_seed),
        cmocka_unit_test(the_hash_of_keys_depends_on_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
