#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A full disk (rule 18): writes get the reason, reads go on, deletes work and free it, and when there is space again
all goes on without a restart. On real file systems of a fixed size; skipped where none can be mounted. `--long`
goes through all sizes and kinds."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from harness import SHORT, main, test  # noqa: E402
import small_disk  # noqa: E402

DISKS = [("tmpfs", 120)] if SHORT else [(kind, size) for size in (120, 300, 700) for kind in ("tmpfs", "ext4")]
BIG, SMALL = 100000, 3000


def by_itself(t, io, policy, how, size=BIG):
    for kind, megabytes in DISKS:
        small_disk.filled_by_itself(t, kind, megabytes, io, policy, how, size)


def by_others(t, io, policy, how, size=BIG):
    for kind, megabytes in DISKS:
        small_disk.filled_by_others(t, kind, megabytes, io, policy, how, size)


@test
def deletes_free_a_full_disk(t):
    by_itself(t, "mmap", "everysec", "del")


@test
def deletes_of_small_values_free_a_full_disk(t):
    by_itself(t, "write", "always", "del", SMALL)


@test
def flushdb_frees_a_full_disk(t):
    by_itself(t, "mmap", "always", "flushdb", SMALL)


@test
def flushall_frees_a_full_disk(t):
    by_itself(t, "write", "everysec", "flushall")


@test
def a_server_that_dies_on_a_full_disk_starts_on_it(t):
    by_itself(t, "mmap", "everysec", "kill", SMALL)


@test
def a_disk_that_others_fill_costs_nothing_that_was_acknowledged(t):
    by_others(t, "mmap", "everysec", "nothing")


@test
def deletes_are_taken_on_a_disk_that_others_fill(t):
    by_others(t, "write", "always", "del", SMALL)


@test
def flushall_works_on_a_disk_that_others_fill(t):
    by_others(t, "mmap", "always", "flushall")


@test
def a_server_that_dies_on_a_disk_that_others_fill_has_all_when_there_is_space(t):
    by_others(t, "write", "everysec", "kill", SMALL)


small_disk.own_namespace()
main()
