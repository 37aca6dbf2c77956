#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs unit test programs (cmocka) and ends with one line "N passed, N failed".
#   tests/unit/run.sh PROGRAM...
# The output of a program is shown only when it fails. A program that dies, hangs or leaks counts
# as one failure more than what it reported.
set -u

limit_seconds=${UNIT_LIMIT_SECONDS:-300}
output=$(mktemp)
trap 'rm -f "$output"' EXIT
passed=0 failed=0

for program in "$@"; do
    CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "$limit_seconds" "$program" >"$output" 2>&1
    code=$?
    good=$(grep -c '^ok ' "$output")
    bad=$(grep -c '^not ok ' "$output")
    # cmocka's exit code is the number of failed tests.
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    if [ "$code" -eq 0 ] && [ "$good" -eq 0 ]; then bad=1; fi
    passed=$((passed + good)) failed=$((failed + bad))
    if [ "$bad" -gt 0 ]; then
        echo "FAILED $program (exit code $code)"
        grep -v '^ok ' "$output" | tail -n 80 | sed 's/^/    /'
    else
        echo "ok     $program ($good)"
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
