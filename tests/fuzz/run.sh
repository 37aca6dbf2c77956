#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs libFuzzer programs, each for some seconds and two at a time, and ends with one line
# "N passed, N failed".
#   tests/fuzz/run.sh SECONDS PROGRAM...
# NAME_fuzz starts from the inputs in tests/fuzz/NAME_corpus, where that exists; what it learns is
# kept beside the program, as is an input that broke it. What the programs write goes to memory,
# where there is a file system in memory: they sync often.
set -u

seconds=${1:?how many seconds?}
shift
at_once=2
base=${TMPDIR:-/tmp}
if [ -w /dev/shm ]; then base=/dev/shm; fi
temporary=$(mktemp -d "$base/kelvin-fuzz-XXXXXX")
trap 'rm -rf "$temporary"' EXIT
export TMPDIR=$temporary

fuzz() {
    local program=$1 name learned=$1.corpus folders
    name=$(basename "$program" _fuzz)
    mkdir -p "$learned"
    folders=("$learned")
    if [ -d "tests/fuzz/${name}_corpus" ]; then folders+=("tests/fuzz/${name}_corpus"); fi
    if "$program" -max_total_time="$seconds" -timeout=120 -rss_limit_mb=2048 \
        -artifact_prefix="$program." "${folders[@]}" >"$program.log" 2>&1; then
        echo "ok     $program: $(grep -aE '^Done ' "$program.log")"
        return
    fi
    echo "FAILED $program"
    tail -n 60 "$program.log" | sed 's/^/    /'
    touch "$temporary/failed-$name"
}

for program in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do wait -n; done
    fuzz "$program" &
done
wait
failed=$(find "$temporary" -maxdepth 1 -name 'failed-*' | wc -l)
echo "$(($# - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
