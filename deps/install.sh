#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Installs the Debian packages that are missing; does nothing where none is.
#   deps/install.sh [--print] run|test|lint...
# README.md beside this file says what each is for.
set -euo pipefail

run_packages="gcc g++ make libleveldb-dev libevent-dev libxxhash-dev libjemalloc-dev libssl-dev zlib1g-dev"
test_packages="libcmocka-dev libhiredis-dev redis-server redis-tools python3 python3-redis procps valgrind prometheus"
lint_packages="clang clang-format clang-tidy cppcheck libclang-rt-14-dev shellcheck python3"

print=no
packages=""
for set in "$@"; do
    case $set in
    --print) print=yes ;;
    run) packages+=" $run_packages" ;;
    test)
        packages+=" $test_packages"
        # Where node is there already it may come from elsewhere and clash with Debian's.
        if ! command -v node >/dev/null; then packages+=" nodejs npm"; fi
        ;;
    lint) packages+=" $lint_packages" ;;
    *)
        echo "usage: deps/install.sh [--print] run|test|lint..." >&2
        exit 2
        ;;
    esac
done

missing=""
for package in $packages; do
    if ! dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok installed'; then
        missing+=" $package"
    fi
done
if [ "$print" = yes ]; then
    echo "$missing"
    exit 0
fi
if [ -z "$missing" ]; then exit 0; fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then as_root="sudo"; fi

# A freshly installed redis-server or prometheus must not start by itself: it would sit on its port.
policy=/usr/sbin/policy-rc.d
guard=no
if [[ " $missing " =~ " redis-server "|" prometheus " ]] && [ ! -e "$policy" ]; then
    guard=yes
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
remove_guard() {
    if [ "$guard" = yes ]; then $as_root rm -f "$policy"; fi
}
trap remove_guard EXIT

echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of names
$as_root apt-get update -qq &&
    $as_root apt-get install -y -qq --no-install-recommends $missing
