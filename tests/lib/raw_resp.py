# SPDX-License-Identifier: BSD-3-Clause
"""A RESP client that hides nothing: every reply is kept as the bytes that came, beside a tree of
(type, value) pairs. Standard library only."""
import socket


class Disconnected(Exception):
    """The server has closed the connection."""


def encode(arguments):
    """The request as RESP sends it."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        parts.append(b"$%d\r\n%s\r\n" % (len(argument), argument))
    return b"".join(parts)


def to_bytes(argument):
    return argument if isinstance(argument, bytes) else str(argument).encode()


class Reply:
    """One reply: `raw` bytes and `tree`, e.g. (b"*", [(b":", 1), (b"$", b"x"), (b"_", None)])."""

    __slots__ = ("raw", "tree")

    def __init__(self, raw, tree):
        self.raw = raw
        self.tree = tree

    def __eq__(self, other):
        return self.raw == other.raw

    def __repr__(self):
        text = repr(self.raw)[1:]
        return text if len(text) <= 400 else text[:300] + "... (%d bytes)" % len(self.raw)

    @property
    def is_error(self):
        return self.tree[0] == b"-"


class Connection:
    """A blocking connection; `port` may be the path of a unix socket."""

    def __init__(self, port, timeout=60):
        if isinstance(port, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(port)
        else:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.position = 0

    def close(self):
        self.socket.close()

    def send(self, *arguments):
        self.socket.sendall(encode([to_bytes(a) for a in arguments]))

    def send_raw(self, data):
        self.socket.sendall(data)

    def call(self, *arguments):
        self.send(*arguments)
        return self.read()

    def read(self):
        """The next reply."""
        self.position = 0
        tree = self._read_tree()
        raw = bytes(self.buffer[:self.position])
        del self.buffer[:self.position]
        return Reply(raw, tree)

    def read_until_closed(self):
        """All bytes until the server closes the connection."""
        try:
            while True:
                self._fill()
        except (Disconnected, OSError):
            data = bytes(self.buffer)
            self.buffer.clear()
            return data

    def _fill(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise Disconnected()
        self.buffer += data

    def _line(self):
        while True:
            end = self.buffer.find(b"\r\n", self.position)
            if end >= 0:
                line = bytes(self.buffer[self.position:end])
                self.position = end + 2
                return line
            self._fill()

    def _exactly(self, size):
        while len(self.buffer) - self.position < size:
            self._fill()
        data = bytes(self.buffer[self.position:self.position + size])
        self.position += size
        return data

    def _read_tree(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind in (b"+", b"-", b"_", b"#", b",", b"("):
            return kind, rest
        if kind == b":":
            return kind, int(rest)
        if kind in (b"$", b"=", b"!"):
            size = int(rest)
            return kind, None if size < 0 else self._exactly(size + 2)[:-2]
        if kind in (b"*", b"~", b">"):
            count = int(rest)
            return kind, None if count < 0 else [self._read_tree() for _ in range(count)]
        if kind in (b"%", b"|"):
            return kind, [self._read_tree() for _ in range(2 * int(rest))]
        raise ValueError("no RESP: %r" % line)
