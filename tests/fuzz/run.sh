#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs libFuzzer programs, each for some seconds, and ends with one line "N passed, N failed".
#   tests/fuzz/run.sh SECONDS PROGRAM...
# NAME_fuzz starts from the inputs in tests/fuzz/NAME_corpus, where that exists; what it learns is kept
# beside the program, as is an input that broke it.
set -u

seconds=${1:?how many seconds?}
shift
passed=0 failed=0
for program in "$@"; do
    name=$(basename "$program" _fuzz)
    learned=$program.corpus
    mkdir -p "$learned"
    folders=("$learned")
    if [ -d "tests/fuzz/${name}_corpus" ]; then folders+=("tests/fuzz/${name}_corpus"); fi
    if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$program." "${folders[@]}" >"$program.log" 2>&1; then
        echo "ok     $program: $(grep -E '^Done ' "$program.log")"
        passed=$((passed + 1))
    else
        echo "FAILED $program"
        tail -n 40 "$program.log" | sed 's/^/    /'
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
