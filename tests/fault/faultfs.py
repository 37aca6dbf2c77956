# SPDX-License-Identifier: BSD-3-Clause
"""The test's side of faultfs.c: orders to break files, and folders as a power cut leaves them."""
import errno
import mmap
import os
import random
import shutil
import struct

OPEN, CREATE, READ, WRITE, SYNC, MSYNC, ALLOCATE, TRUNCATE, RENAME, UNLINK, MAP, SYNC_FOLDER, MKDIR, LOOK, CLOSE = \
    (1 << bit for bit in range(15))
FAIL, SHORT, SLOW, DIE = 1, 2, 3, 4
ALL = (1 << 15) - 1
MAGIC, RULES, HEADER, RULE = 0x4b465331, 16, 16, struct.Struct("<IIiiIiiI96s")


class Faults:
    """The control file of one server; `environment` is what the server must be started with."""

    def __init__(self, folder, root, power=False):
        self.folder = folder
        control = os.path.join(folder, "faults")
        with open(control, "wb") as file:
            file.write(struct.pack("<IIQ", MAGIC, RULES, 0) + b"\0" * (RULES * RULE.size))
        with open(control, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), HEADER + RULES * RULE.size)
        self.complaints_path = os.path.join(folder, "complaints")
        self.power_path = os.path.join(folder, "power")
        self.boot_path = os.path.join(folder, "boot_id")
        self.used = 0
        self.environment = {"FAULTFS_CONTROL": control, "FAULTFS_ROOT": root,
                            "FAULTFS_COMPLAINTS": self.complaints_path}
        if power:
            self.environment.update({"FAULTFS_POWER": self.power_path, "FAULTFS_BOOT_ID": self.boot_path})
            self.boot()

    def boot(self):
        """Another boot of the machine."""
        bits = "%032x" % random.getrandbits(128)
        with open(self.boot_path, "w") as file:
            file.write("-".join((bits[:8], bits[8:12], bits[12:16], bits[16:20], bits[20:])) + "\n")

    def rule(self, pattern, kinds, action=FAIL, error=errno.EIO, delay_ms=0, skip=0, count=-1):
        """Adds a rule; gives its number."""
        number, self.used = self.used, self.used + 1
        at = HEADER + number * RULE.size
        self.map[at:at + RULE.size] = RULE.pack(0, kinds, action, error, delay_ms, skip, count, 0, pattern.encode())
        self.map[at:at + 4] = struct.pack("<I", 1)
        return number

    def calls(self):
        """How many calls on watched files there have been."""
        return struct.unpack_from("<Q", self.map, 8)[0]

    def hits(self, number):
        return RULE.unpack_from(self.map, HEADER + number * RULE.size)[7]

    def clear(self):
        for number in range(self.used):
            at = HEADER + number * RULE.size
            self.map[at:at + 4] = struct.pack("<I", 0)
        self.used = 0

    def complaints(self):
        if not os.path.exists(self.complaints_path):
            return []
        with open(self.complaints_path) as file:
            return file.read().splitlines()


# ---- power cuts -------------------------------------------------------------------------------------

RECORD = struct.Struct("<IIQQQ")
(P_OPEN, P_WRITE, P_ZEROES, P_SIZE, P_SYNC_BEGIN, P_SYNC_END, P_RENAME, P_UNLINK, P_FOLDER_BEGIN, P_FOLDER_END,
 P_MSYNC, P_MKDIR, P_RMDIR) = range(1, 14)
O_CREAT, O_TRUNC, PAGE = os.O_CREAT, os.O_TRUNC, 4096


def read_log(path):
    if not os.path.exists(path):  # killed before it did anything
        return
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at + RECORD.size <= len(data):
        kind, path_size, offset, number, size = RECORD.unpack_from(data, at)
        at += RECORD.size
        if at + path_size + size > len(data):
            return
        yield kind, data[at:at + path_size].decode(), offset, number, data[at + path_size:at + path_size + size]
        at += path_size + size


class File:
    """Its changes in order: [offset, data or None for a size, size, "durable" | "pending" | "lost"]."""

    def __init__(self, content=b""):
        self.changes = [[0, content, len(content), "durable"]] if content else []

    def change(self, offset, data, size, state="pending"):
        self.changes.append([offset, data, size, state])

    def settle(self, count, state):
        for change in self.changes[:count]:
            if change[3] == "pending":
                change[3] = state

    def content(self, keep):
        """`keep`: 0.0 drops all that is not durable, else the chance of each page to be there."""
        out = bytearray()
        for offset, data, size, state in self.changes:
            if data is None:
                if state == "durable" or random.random() < keep:
                    if offset == 0:
                        del out[size:]
                    out.extend(bytes(max(0, size - len(out))))
                continue
            at = 0
            while at < size:
                end = min(size, (offset + at) // PAGE * PAGE + PAGE - offset) if state != "durable" else size
                if state == "durable" or random.random() < keep:
                    out.extend(bytes(max(0, offset + end - len(out))))
                    out[offset + at:offset + end] = data[at:end]
                at = end
        return bytes(out)


class Disk:
    """What a log says about a folder: files and names, and which of it is durable."""

    def __init__(self, root):
        self.root = root
        self.names, self.folders = {}, {root}  # as the process sees them
        self.steps = []  # [folder, function on (names, folders), is durable]
        for base, _, files in os.walk(root):
            self.folders.add(base)
            for name in files:
                path = os.path.join(base, name)
                with open(path, "rb") as file:
                    self.names[path] = File(file.read())
        self.first_names, self.first_folders = dict(self.names), set(self.folders)

    def step(self, path, function):
        self.steps.append([os.path.dirname(path), function, False])
        function(self.names, self.folders)

    def play(self, log):
        syncs = {}
        for kind, path, offset, number, data in read_log(log):
            path = os.path.normpath(path)
            file = self.names.get(path)
            if kind == P_OPEN:
                if file is None and number & O_CREAT:
                    new = File()
                    self.step(path, lambda names, _, path=path, new=new: names.__setitem__(path, new))
                elif file and number & O_TRUNC:
                    file.change(0, None, 0)
            elif kind == P_RENAME:
                to = os.path.normpath(data.decode())
                self.step(path, lambda names, _, path=path, to=to:
                          names.__setitem__(to, names.pop(path)) if path in names else None)
            elif kind == P_UNLINK:
                self.step(path, lambda names, _, path=path: names.pop(path, None))
            elif kind == P_MKDIR:
                self.step(path, lambda _, folders, path=path: folders.add(path))
            elif kind == P_RMDIR:
                self.step(path, lambda _, folders, path=path: folders.discard(path))
            elif kind == P_FOLDER_BEGIN:
                syncs[number] = len(self.steps)
            elif kind == P_FOLDER_END:
                for one in self.steps[:syncs[number]] if offset == 0 else ():
                    if one[0] == path:
                        one[2] = True
            elif file is None:
                continue  # unlinked, or of another folder
            elif kind == P_WRITE:
                file.change(offset, data, len(data))
            elif kind == P_MSYNC:
                file.change(offset, data, len(data), "durable")
            elif kind == P_ZEROES:
                file.change(offset, bytes(number), number)
            elif kind == P_SIZE:
                file.change(offset, None, number)
            elif kind == P_SYNC_BEGIN:
                syncs[number] = (file, len(file.changes))
            elif kind == P_SYNC_END:
                one, count = syncs[number]
                one.settle(count, "durable" if offset == 0 else "lost")

    def write(self, keep, keep_names=None):
        """Puts the folder as it may be after the cut in the place of what is there. `keep_names`: whether changes of
        names that no sync had covered may be there; as `keep` unless told otherwise."""
        last = {}
        for number, (folder, _, durable) in enumerate(self.steps):
            if durable:
                last[folder] = number
        count = {folder: last.get(folder, -1) for folder, _, _ in self.steps}
        if keep if keep_names is None else keep_names:
            for folder in count:
                count[folder] = random.choice((count[folder], random.randrange(count[folder], len(self.steps) + 1)))
        names, folders = dict(self.first_names), set(self.first_folders)
        for number, (folder, function, _) in enumerate(self.steps):
            if number <= count[folder]:
                function(names, folders)
        later = {path: self.later_pages(path) for path in names if keep and path.endswith(".seg")}
        shutil.rmtree(self.root)
        os.makedirs(self.root)
        for folder in sorted(folders):
            if os.path.dirname(folder) in folders or folder == self.root:
                os.makedirs(folder, exist_ok=True)
        for path, file in names.items():
            if os.path.isdir(os.path.dirname(path)):
                with open(path, "wb") as out:
                    out.write(mix_pages(file.content(keep), later.get(path), keep))

    def later_pages(self, path):
        """What the process had stored through a mapping: the page cache outlives it."""
        if self.names.get(path) is None or not os.path.exists(path):
            return None
        with open(path, "rb") as file:
            return file.read()


def mix_pages(content, later, keep):
    """Any of the later pages may have reached the disk."""
    if later is None or len(later) != len(content):
        return content
    mixed = bytearray(content)
    for at in range(0, len(later), PAGE):
        if later[at:at + PAGE] != content[at:at + PAGE] and random.random() < keep:
            mixed[at:at + PAGE] = later[at:at + PAGE]
    return bytes(mixed)

