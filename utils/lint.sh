#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What `make lint` runs: layer check, clang-tidy, cppcheck, shellcheck. All of them run, even where an
# earlier one complains; the exit code says whether any did.
#   utils/lint.sh [CPPFLAGS] [FILE...]      (default: all of src and utils/check)
set -u

cd "$(dirname "$0")/.." || exit 1
flags="-Iutils ${1:--Isrc -D_GNU_SOURCE}"
if [ $# -gt 0 ]; then shift; fi
jobs=$(nproc)
bad=""

mapfile -t sources < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else find src utils/check -name '*.c' -o -name '*.cc' | sort; fi)

echo "== layers"
utils/check_layers.py || bad+=" layers"

echo "== clang-tidy"
# One process a file; the output of a clean file is only a count of suppressed warnings.
tidy() {
    case $1 in
    *.cc) standard=-std=c++17 ;;
    src/base/status.c) standard=-std=c11 ;;
    *) standard="-std=c11 -include utils/analyzer.h" ;;
    esac
    # shellcheck disable=SC2086 # lists of flags
    clang-tidy --quiet "$1" -- $standard $flags 2>/dev/null
}
export -f tidy
export flags
printf '%s\n' "${sources[@]}" | xargs -P "$jobs" -I{} bash -c 'tidy {}' || bad+=" clang-tidy"

echo "== cppcheck"
# The checks that are off are matters of taste, or need the whole program in one view.
mapfile -t c_sources < <(printf '%s\n' "${sources[@]}" | grep '\.c$')
cppcheck --quiet --error-exitcode=1 --std=c11 --language=c -j "$jobs" --inline-suppr \
    --library=utils/cppcheck.cfg --enable=warning,performance,portability -Isrc -Iutils -D_GNU_SOURCE -D__has_feature\(x\)=0 \
    -D__BYTE_ORDER__=1234 -D__ORDER_LITTLE_ENDIAN__=1234 \
    --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
    --suppress=nullPointerArithmetic --suppress=nullPointerArithmeticOutOfMemory \
    "${c_sources[@]}" || bad+=" cppcheck"

echo "== shellcheck"
if command -v shellcheck >/dev/null; then
    mapfile -t scripts < <(git ls-files | while read -r file; do
        case $file in
        *.sh) echo "$file" ;;
        */*.*) ;;
        *) head -n 1 "$file" 2>/dev/null | grep -qE '^#!.*\b(ba)?sh$' && echo "$file" ;;
        esac
    done)
    shellcheck "${scripts[@]}" || bad+=" shellcheck"
else
    echo "shellcheck is not installed"
fi

if [ -n "$bad" ]; then
    echo "lint: complaints from:$bad"
    exit 1
fi
echo "lint: clean"
