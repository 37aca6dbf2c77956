#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# All tests against a finished build; ends with one line "N passed, N failed".
#   tests/run_all.sh BUILD_FOLDER
# Every part prints such a line last; the numbers are added up. The parts: the unit tests; then, with
# BUILD_FOLDER/kelvin-server, tests/integration/run and the short form of tests/fault/run, whose long one
# is `make torture`. INTEGRATION_FILES and FAULT_FILES in the environment name the files that are wanted.
set -u

build=${1:?which build folder?}
cd "$(dirname "$0")/.." || exit 1
output=$(mktemp)
trap 'rm -f "$output"' EXIT
passed=0 failed=0

# A part that ends badly without saying that something failed is one failure.
run_part() {
    local code good=0 bad=0 last
    echo "== $1"
    shift
    "$@" 2>&1 | tee "$output"
    code=${PIPESTATUS[0]}
    last=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$output" | tail -n 1)
    if [ -n "$last" ]; then
        good=${last%% passed*} bad=${last#*passed, } bad=${bad%% failed*}
    fi
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    passed=$((passed + good)) failed=$((failed + bad))
}

mapfile -t programs < <(find "$build/tests/unit" -name '*_test' -type f -perm -u+x 2>/dev/null | sort)
run_part "unit tests" tests/unit/run.sh "${programs[@]}"
# shellcheck disable=SC2086 # a list of files
run_part "integration tests" tests/integration/run "$build/kelvin-server" ${INTEGRATION_FILES:-}
# A sanitizer wants to be loaded before anything else, as does the library that breaks files.
if ! grep -qE '__(asan|tsan)_init' "$build/kelvin-server"; then
    # shellcheck disable=SC2086 # a list of files
    run_part "fault tests" tests/fault/run "$build/kelvin-server" ${FAULT_FILES:-}
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
