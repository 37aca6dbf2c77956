/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Pinned bytes: never less than what is pinned, exact in a small window, nothing left at the end.
 */
#include "storage/cache_pins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_pin_counts_until_its_sequence_is_applied(void **state)
{
    (void)state;
    struct cache_pins pins;
    cache_pins_init(&pins);
    cache_pins_add(&pins, 0, 1000); /* as LevelDB has it */
    cache_pins_add(&pins, 1, 10);
    cache_pins_add(&pins, 2, 20);
    cache_pins_add(&pins, 2, 5);
    assert_int_equal(pins.bytes, 35);
    cache_pins_set_applied(&pins, 1);
    assert_int_equal(pins.bytes, 25);
    cache_pins_subtract(&pins, 1, 10); /* goes after it was applied */
    cache_pins_subtract(&pins, 2, 5);
    assert_int_equal(pins.bytes, 20);
    cache_pins_set_applied(&pins, 1);
    cache_pins_set_applied(&pins, 0); /* never backwards */
    assert_int_equal(pins.bytes, 20);
    cache_pins_set_applied(&pins, 9);
    assert_int_equal(pins.bytes, 0);
    cache_pins_subtract(&pins, 2, 20);
    assert_int_equal(pins.bytes, 0);
}

static void a_first_sequence_far_from_the_start_is_counted(void **state)
{
    (void)state;
    struct cache_pins pins;
    cache_pins_init(&pins);
    cache_pins_add(&pins, (uint64_t)1 << 50, 7);
    cache_pins_add(&pins, ((uint64_t)1 << 50) + 1, 8);
    assert_int_equal(pins.bytes, 15);
    cache_pins_set_applied(&pins, 1000);
    assert_int_equal(pins.bytes, 15);
    cache_pins_set_applied(&pins, ((uint64_t)1 << 50) + 1);
    assert_int_equal(pins.bytes, 0);
    assert_int_equal(pins.shift, 0);
}

static void the_window_is_exact_as_long_as_it_has_a_counter_for_every_sequence(void **state)
{
    (void)state;
    struct cache_pins pins;
    cache_pins_init(&pins);
    for (uint64_t sequence = 1; sequence <= 100000; sequence++) {
        cache_pins_add(&pins, sequence, sequence % 100);
        if (sequence < PIN_BUCKETS) continue;
        cache_pins_set_applied(&pins, sequence - PIN_BUCKETS + 1);
        uint64_t expected = 0;
        for (uint64_t s = sequence - PIN_BUCKETS + 2; s <= sequence; s++) expected += s % 100;
        if (sequence % 97 == 0) assert_int_equal(pins.bytes, expected);
    }
    assert_int_equal(pins.shift, 0);
}

enum { KEYS = 500 };

static void the_figure_is_never_too_low_and_too_high_by_one_counter_at_most(void **state)
{
    (void)state;
    static struct cache_pins pins;
    uint64_t sequences[KEYS] = {0}, sequence = 0, applied = 0;
    uint64_t bytes[KEYS] = {0};
    cache_pins_init(&pins);
    srandom(3);
    for (unsigned call = 0; call < 300000; call++) {
        size_t key = (size_t)random() % KEYS;
        sequence += 1 + (random() % 64 == 0 ? (uint64_t)random() % 3000 : 0);
        cache_pins_subtract(&pins, sequences[key], bytes[key]);
        sequences[key] = sequence;
        bytes[key] = 1 + (uint64_t)random() % 1000;
        cache_pins_add(&pins, sequence, bytes[key]);
        if (random() % 3000 == 0) {
            applied += (uint64_t)random() % (sequence - applied + 1);
            cache_pins_set_applied(&pins, applied);
        }
        if (call % 64 != 0) continue;
        uint64_t pinned = 0, slack = 0;
        for (key = 0; key < KEYS; key++) {
            if (sequences[key] > applied)
                pinned += bytes[key];
            else if (applied - sequences[key] < (uint64_t)1 << pins.shift)
                slack += bytes[key];
        }
        assert_in_range(pins.bytes, pinned, pinned + slack);
    }
    cache_pins_set_applied(&pins, sequence);
    assert_int_equal(pins.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_counts_until_its_sequence_is_applied),
        cmocka_unit_test(a_first_sequence_far_from_the_start_is_counted),
        cmocka_unit_test(the_window_is_exact_as_long_as_it_has_a_counter_for_every_sequence),
        cmocka_unit_test(the_figure_is_never_too_low_and_too_high_by_one_counter_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
