/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static void the_wall_clock_shows_this_century(void **state)
{
    (void)state;
    assert_true(clock_wall_ms() > INT64_C(1600000000000));
    assert_true(clock_wall_ms() - clock_wall_us() / 1000 <= 1000);
}

static void the_monotonic_clock_never_goes_back(void **state)
{
    (void)state;
    int64_t before_ns = clock_monotonic_ns(), before_us = clock_monotonic_us();
    for (int i = 0; i < 10000; i++) {
        int64_t now_ns = clock_monotonic_ns(), now_us = clock_monotonic_us();
        assert_true(now_ns >= before_ns && now_us >= before_us);
        before_ns = now_ns;
        before_us = now_us;
    }
}

static void a_shift_moves_the_wall_clock_alone(void **state)
{
    (void)state;
    int64_t wall_ms = clock_wall_ms(), monotonic_us = clock_monotonic_us();
    clock_shift_wall_ms(3600000);
    assert_true(clock_wall_ms() >= wall_ms + 3600000);
    assert_true(clock_monotonic_us() < monotonic_us + 1800000000);
    clock_shift_wall_ms(-7200000);
    assert_true(clock_wall_ms() < wall_ms - 1800000);
    clock_shift_wall_ms(3600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wall_clock_shows_this_century),
        cmocka_unit_test(the_monotonic_clock_never_goes_back),
        cmocka_unit_test(a_shift_moves_the_wall_clock_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
