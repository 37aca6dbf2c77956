# SPDX-License-Identifier: BSD-3-Clause
"""Decides whether two replies to the same command are the same. They are when their bytes are; only
what cannot be the same on two servers (order of KEYS, clocks, ids, memory figures) is looked at more
kindly, as listed here."""

TIME_TOLERANCE = {b"TTL": 1, b"PTTL": 2000, b"EXPIRETIME": 1, b"PEXPIRETIME": 2000}
UNORDERED = {b"KEYS", b"COMMAND|LIST"}
SHAPE_ONLY = {b"TIME", b"LASTSAVE", b"CLIENT|ID", b"CLIENT|INFO", b"CLIENT|LIST", b"MEMORY|USAGE",
              b"MEMORY|STATS", b"MEMORY|DOCTOR", b"OBJECT|IDLETIME", b"INFO", b"RANDOMKEY", b"COMMAND|DOCS",
              b"COMMAND|COUNT", b"LOLWUT",
              # Redis's own affair: its copy of a shared integer is not shared, its queue holds values too.
              b"OBJECT|REFCOUNT"}
# In an EXEC a cursor cannot be followed and a count not be asked again.
IN_EXEC_SHAPE_ONLY = {b"SCAN", b"DBSIZE"}
CONTAINERS = {b"CLIENT", b"COMMAND", b"CONFIG", b"MEMORY", b"OBJECT", b"DEBUG", b"ACL"}


def name_of(arguments):
    """The command's name in capitals, a subcommand's as "CLIENT|ID"."""
    name = arguments[0].upper()
    if name in CONTAINERS and len(arguments) > 1:
        name += b"|" + arguments[1].upper()
    return name


def shape(tree):
    kind, value = tree
    if kind in b"-":
        return tree
    if value is None or kind == b"_":
        return b"null"
    return kind


def without_id(tree):
    """HELLO's reply: the connection's id differs."""
    if not isinstance(tree[1], list):
        return tree
    items, result = tree[1], []
    for i, item in enumerate(items):
        result.append((b":", 0) if i > 0 and items[i - 1][1] == b"id" else item)
    return tree[0], result


def pairs(items):
    """CONFIG GET's reply, in no order."""
    return sorted(zip(items[0::2], items[1::2]))


def sorted_subcommands(tree):
    """COMMAND INFO's reply: subcommands come in no order."""
    if not isinstance(tree[1], list):
        return tree
    rows = []
    for kind, row in tree[1]:
        if isinstance(row, list) and len(row) == 10:
            row = row[:9] + [(row[9][0], sorted(row[9][1], key=repr))]
        rows.append((kind, row))
    return tree[0], rows


def is_different(arguments, ours, theirs, queue=None, in_exec=False):
    """`queue`: the commands of the transaction that an EXEC ran."""
    if ours == theirs:
        return False
    name = name_of(arguments)
    if name == b"EXEC" and queue and isinstance(ours[1], list) and isinstance(theirs[1], list) and \
            len(ours[1]) == len(theirs[1]) == len(queue):
        return any(is_different(c, o, t, in_exec=True) for c, o, t in zip(queue, ours[1], theirs[1]))
    if name in TIME_TOLERANCE and ours[0] == theirs[0] == b":" and min(ours[1], theirs[1]) > 0:
        return abs(ours[1] - theirs[1]) > TIME_TOLERANCE[name]
    if name in UNORDERED and isinstance(ours[1], list) and isinstance(theirs[1], list):
        return ours[0] != theirs[0] or sorted(ours[1]) != sorted(theirs[1])
    if name == b"CONFIG|GET" and any(set(a) & set(b"*?[") for a in arguments[2:]):
        return shape(ours) != shape(theirs)
    if name == b"CONFIG|GET" and isinstance(ours[1], list) and isinstance(theirs[1], list):
        return ours[0] != theirs[0] or pairs(ours[1]) != pairs(theirs[1])
    if name in SHAPE_ONLY or name.endswith(b"|HELP") or (in_exec and name in IN_EXEC_SHAPE_ONLY):
        return shape(ours) != shape(theirs)
    if name == b"COMMAND" or (name == b"COMMAND|INFO" and len(arguments) == 2):
        return shape(ours) != shape(theirs)  # Kelvin has fewer commands
    if name == b"COMMAND|INFO":
        return sorted_subcommands(ours) != sorted_subcommands(theirs)
    if name == b"HELLO":
        return without_id(ours) != without_id(theirs)
    return True
