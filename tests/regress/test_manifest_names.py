#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Found by power cuts during start-up (test_power.py): a MANIFEST reached the disk before the names of the tables that it
tells of, and the store refused to open. The folder is now synced before such a record is appended."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "fault"), os.path.join(HERE, "..", "lib")]
from harness import expect, main, test, wait_until  # noqa: E402
import faultfs as f  # noqa: E402
from attack import SMALL, cut, fault_server  # noqa: E402


@test
def what_a_manifest_names_is_in_its_folder(t):
    """All bytes reach the disk, but no name that was not synced."""
    server = fault_server(t, *SMALL, power=True)
    server.disk = f.Disk(os.path.realpath(server.data))
    server.start(120)
    client = t.client(server)
    for number, place in enumerate((("*/store/data-*", f.SYNC_FOLDER), ("*/MANIFEST-*", f.SYNC), ("*/MANIFEST-*", f.WRITE))):
        key = "k:%d" % number
        client.run("SET", key, "v")
        expect(client.run("CHECKPOINT"), b"OK")
        client.run("SET", key, "w")
        server.faults.rule(*place, action=f.DIE)
        client.send("CHECKPOINT")
        wait_until(lambda: not server.is_alive(), 120, "the call")
        cut(server, 1.0, keep_names=False)
        server.start(120)
        client = t.client(server)
        expect(client.run("GET", key), b"w")


main()
