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
        cmocka_unit_test(the_hash_of_keys_depends_on_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
