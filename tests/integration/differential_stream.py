# SPDX-License-Identifier: BSD-3-Clause
"""Random commands for the differential test: all that Kelvin has, weighted, on few keys, with odd
arguments now and then. The same seed gives the same stream. Nothing in it depends on when a command
arrives: times to live are either over or so long that two servers cannot disagree about them."""

NUMBERS = [b"n1", b"n2"]
HLLS = [b"hll1", b"hll2"]  # not written to by other commands: what a damaged one does is no promise
TEXTS = [b"k%d" % i for i in range(8)] + [b"", b"a b", b"\x00\xff\r\n", b"{tag}x", b"L" * 300] + NUMBERS
KEYS = TEXTS + HLLS
# No number that makes a string of hundreds of megabytes.
ODD = [b"", b"0", b"-1", b"1", b"-0", b"+1", b"01", b" 1", b"1 ", b"1.0", b"1e2", b"x", b"nan", b"inf",
       b"-inf", b"0x10", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808",
       b"-9223372036854775809", b"99999999999999999999999", b"4294967296", b"536870912", b"-2147483649", b"\x00", b"1\x002", b"NX", b"xx", b"GET", b"EX",
       b"PX", b"KEEPTTL", b"persist", b"*", b"[a-", b"k?", b"get\x00"]
# Where a small number would be a time to live that ends during the test.
ODD_TIMES = [b"", b"0", b"-1", b"x", b"1.5", b"nan", b" 100000000", b"9223372036854775807",
             b"-9223372036854775808", b"9223372036854775808", b"9223372036854775", b"-99999999",
             b"NX", b"KEEPTTL"]
TIMED = {b"SET", b"SETEX", b"PSETEX", b"GETEX", b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"}
SIZES = [0, 1, 2, 3, 5, 8, 11, 20, 43, 44, 45, 64, 100, 500, 4095, 4096, 16255, 16256, 16257, 32512,
         65535, 65536, 65537, 81280, 150000]
SIZE_WEIGHTS = [4, 8, 8, 8, 8, 8, 6, 6, 5, 5, 5, 5, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]


class Stream:
    """`random` decides; `base_ms` is a moment far ahead, the same for both servers."""

    def __init__(self, random, base_ms):
        self.random = random
        self.base_ms = base_ms
        self.makers, self.weights = [], []
        for names, weight in WEIGHTS.items():
            for name in names.split():
                self.makers.append(getattr(self, "make_" + name))
                self.weights.append(weight)

    def next(self):
        """One command, as a list of bytes."""
        maker = self.random.choices(self.makers, self.weights)[0]
        arguments = [a if isinstance(a, bytes) else str(a).encode() for a in maker()]
        return self.spoil(arguments)

    def spoil(self, arguments):
        """Sometimes makes a command odd."""
        r = self.random
        if r.random() < 0.1:
            arguments[0] = r.choice([arguments[0].lower(), arguments[0].title()])
        # A DEBUG SLEEP with another number may take for ever; which commands exist is no matter of chance.
        if r.random() >= 0.08 or arguments[0].upper() in (b"DEBUG", b"COMMAND"):
            return arguments
        odd = ODD_TIMES if arguments[0].upper() in TIMED else ODD
        way = r.randrange(4)
        if way == 0 and len(arguments) > 1:
            arguments.pop()
        elif way == 1:
            arguments.append(r.choice(odd))
        elif len(arguments) > 1:
            first = 2 if len(arguments) > 2 and r.random() < 0.8 else 1
            arguments[r.randrange(first, len(arguments))] = r.choice(odd)
        return arguments

    # ---- what arguments are made of ----

    def key(self):
        return self.random.choice(TEXTS)

    def any_key(self):
        return self.random.choice(KEYS)

    def keys(self, most=4):
        return [self.any_key() for _ in range(self.random.randint(1, most))]

    def number_key(self):
        return self.one_of(self.key(), *NUMBERS)

    def hll(self):
        return self.one_of(self.key(), *HLLS, *HLLS, *HLLS)

    def value(self):
        r = self.random
        kind = r.random()
        if kind < 0.3:
            return b"%d" % r.choice([0, 1, -1, 7, 10, 9999, 10000, 123456, 2**31, 2**63 - 1, -2**63,
                                     r.randrange(-1000, 1000)])
        if kind < 0.4:
            return r.choice([b"1.5", b"-0.25", b"3.0e3", b"1e400", b"007", b"-0", b"abc", b"OK",
                             b"\x00\x00", b"\xff\xff\xff"])
        size = r.choices(SIZES, SIZE_WEIGHTS)[0]
        if kind < 0.6:
            return bytes([r.choice(b"abcd\x00\xff")]) * size
        if kind < 0.8:
            return bytes(r.choice(b"ab") for _ in range(min(size, 100)))
        return r.randbytes(size)

    def small(self):
        return self.random.choice([0, 1, 2, 3, 5, 10, 43, 44, 45, 100, 1000, -1, -2, -3, -10, -1000])

    def offset(self):
        r = self.random
        return r.choice([0, 1, 2, 3, 7, 8, 20, 44, 100, 4096, 16256, 65535, 65536, 65540, 100000,
                         r.randrange(0, 200), r.randrange(0, 130000)])

    def number(self):
        r = self.random
        return r.choice([0, 1, -1, 2, 10, -10, 255, 256, 65536, 2**31, 2**62, 2**63 - 1, -2**63,
                         r.randrange(-10**6, 10**6)])

    def float(self):
        return self.random.choice([b"0", b"1", b"-1", b"1.5", b"0.1", b"-3.25", b"1e3", b"5.0e-3", b"1e308",
                                   b"3.0", b"10.12345678901234567", b"-0.0", b"1e-20", b"123456789012345678"])

    def seconds(self):
        return self.random.randrange(10000, 10**7)

    def milliseconds(self):
        return self.random.randrange(10**7, 10**10)

    def moment_ms(self):
        r = self.random
        if r.random() < 0.15:
            return r.choice([1, 1000, 1600000000000])
        return self.base_ms + r.randrange(8) * 10**6

    def moment(self):
        return self.moment_ms() // 1000

    def one_of(self, *choices):
        return self.random.choice(choices)

    def maybe(self, *arguments, chance=0.4):
        return list(arguments) if self.random.random() < chance else []

    def database(self):
        return self.random.choice([0, 0, 0, 1, 2, 15])

    # ---- strings ----

    def make_SET(self):
        r = self.random
        arguments = [b"SET", self.any_key(), self.value()]
        if r.random() < 0.5:
            options = [self.maybe(self.one_of(b"NX", b"XX", b"nx", b"xX")), self.maybe(b"GET"),
                       self.maybe(*self.time_option(with_keepttl=True))]
            r.shuffle(options)
            arguments += sum(options, [])
        return arguments

    def time_option(self, with_keepttl=False, with_persist=False):
        options = [[b"EX", self.seconds()], [b"px", self.milliseconds()], [b"EXAT", self.moment()],
                   [b"PXAT", self.moment_ms()]]
        if with_keepttl:
            options += [[b"KEEPTTL"]] * 2
        if with_persist:
            options += [[b"PERSIST"]] * 2
        return self.random.choice(options)

    def make_GET(self):
        return [b"GET", self.any_key()]

    def make_GETDEL(self):
        return [b"GETDEL", self.any_key()]

    def make_GETEX(self):
        return [b"GETEX", self.any_key()] + self.maybe(*self.time_option(with_persist=True), chance=0.7)

    def make_GETSET(self):
        return [b"GETSET", self.key(), self.value()]

    def make_SETNX(self):
        return [b"SETNX", self.key(), self.value()]

    def make_SETEX(self):
        return [b"SETEX", self.key(), self.seconds(), self.value()]

    def make_PSETEX(self):
        return [b"PSETEX", self.key(), self.milliseconds(), self.value()]

    def make_MGET(self):
        return [b"MGET"] + self.keys(6)

    def make_MSET(self):
        return [self.one_of(b"MSET", b"MSET", b"MSETNX")] + sum(
            [[self.key(), self.value()] for _ in range(self.random.randint(1, 4))], [])

    def make_APPEND(self):
        return [b"APPEND", self.key(), self.value()]

    def make_STRLEN(self):
        return [b"STRLEN", self.any_key()]

    def make_GETRANGE(self):
        ends = [self.one_of(self.small(), self.offset()) for _ in range(2)]
        return [self.one_of(b"GETRANGE", b"SUBSTR"), self.any_key()] + ends

    def make_SETRANGE(self):
        return [b"SETRANGE", self.key(), self.offset(), self.value()]

    def make_INCR(self):
        return [self.one_of(b"INCR", b"DECR"), self.number_key()]

    def make_INCRBY(self):
        return [self.one_of(b"INCRBY", b"DECRBY"), self.number_key(), self.number()]

    def make_INCRBYFLOAT(self):
        return [b"INCRBYFLOAT", self.number_key(), self.float()]

    def make_LCS(self):
        options = [self.maybe(b"IDX"), self.maybe(b"LEN", chance=0.2), self.maybe(b"WITHMATCHLEN"),
                   self.maybe(b"MINMATCHLEN", self.small(), chance=0.3)]
        self.random.shuffle(options)
        return [b"LCS", self.any_key(), self.any_key()] + sum(options, [])

    # ---- bits ----

    def bit_offset(self):
        return self.one_of(self.random.randrange(0, 64), self.random.randrange(0, 3000), self.offset() * 8)

    def make_SETBIT(self):
        return [b"SETBIT", self.key(), self.bit_offset(), self.one_of(0, 1)]

    def make_GETBIT(self):
        return [b"GETBIT", self.any_key(), self.bit_offset()]

    def bit_range(self):
        ends = [self.one_of(self.small(), self.offset(), self.small() * 8) for _ in range(2)]
        return ends + self.maybe(self.one_of(b"BYTE", b"BIT", b"bit", b"byte"))

    def make_BITCOUNT(self):
        return [b"BITCOUNT", self.any_key()] + self.maybe(*self.bit_range(), chance=0.7)

    def make_BITPOS(self):
        arguments = [b"BITPOS", self.any_key(), self.one_of(0, 1)]
        return arguments + self.bit_range()[:self.random.randint(0, 3)]

    def make_BITOP(self):
        operation = self.one_of(b"AND", b"OR", b"XOR", b"NOT", b"and")
        return [b"BITOP", operation, self.key()] + self.keys(1 if operation == b"NOT" else 4)

    def field(self):
        r = self.random
        kind = r.choice(b"iu")
        bits = r.choice([1, 2, 3, 5, 7, 8, 9, 15, 16, 31, 32, 33, 62, 63, 64 if kind == ord("i") else 63])
        offset = self.one_of(b"#%d" % r.randrange(0, 8), b"%d" % self.bit_offset())
        return [b"%c%d" % (kind, bits), offset]

    def make_BITFIELD(self):
        r = self.random
        arguments = [b"BITFIELD", self.key()]
        for _ in range(r.randint(0, 4)):
            arguments += self.maybe(b"OVERFLOW", self.one_of(b"WRAP", b"SAT", b"FAIL", b"sat"))
            kind = r.randrange(3)
            arguments += [[b"GET"], [b"SET"], [b"INCRBY"]][kind] + self.field()
            if kind > 0:
                arguments.append(self.one_of(self.number(), r.randrange(-300, 300)))
        return arguments

    def make_BITFIELD_RO(self):
        arguments = [b"BITFIELD_RO", self.any_key()]
        for _ in range(self.random.randint(0, 3)):
            arguments += [b"GET"] + self.field()
        return arguments

    # ---- HyperLogLogs ----

    def make_PFADD(self):
        r = self.random
        count = r.choice([0, 1, 1, 2, 5, 20, 300])
        return [b"PFADD", self.hll()] + [b"%d" % r.randrange(5000) for _ in range(count)]

    def make_PFCOUNT(self):
        return [b"PFCOUNT"] + [self.hll() for _ in range(self.random.choice([1, 1, 1, 2, 3]))]

    def make_PFMERGE(self):
        return [b"PFMERGE"] + [self.hll() for _ in range(self.random.choice([1, 2, 2, 3]))]

    # ---- keys ----

    def make_DEL(self):
        return [self.one_of(b"DEL", b"UNLINK")] + self.keys(3)

    def make_EXISTS(self):
        return [self.one_of(b"EXISTS", b"TOUCH")] + self.keys(4)

    def make_TYPE(self):
        return [b"TYPE", self.any_key()]

    def make_KEYS(self):
        return [b"KEYS", self.one_of(b"*", b"k*", b"k?", b"[kn]?", b"*\\?*", b"k[^1-3]", b"", b"n1", b"\x00*",
                                     b"hll[12]", b"k0", b"*b", b"[", b"k[", b"\\", b"***?")]

    def make_SCAN(self):
        return [b"SCAN", 0] + self.maybe(b"MATCH", self.one_of(b"*", b"k*", b"n?", b"hll1", b"")) + \
            self.maybe(b"COUNT", self.one_of(1, 2, 10, 1000)) + \
            self.maybe(b"TYPE", self.one_of(b"string", b"STRING", b"list", b"nosuch"), chance=0.2)

    def make_RANDOMKEY(self):
        return [b"RANDOMKEY"]

    def make_RENAME(self):
        return [self.one_of(b"RENAME", b"RENAMENX"), self.any_key(), self.any_key()]

    def make_COPY(self):
        return [b"COPY", self.any_key(), self.any_key()] + self.maybe(b"DB", self.database()) + \
            self.maybe(b"REPLACE")

    def make_MOVE(self):
        return [b"MOVE", self.any_key(), self.database()]

    def make_EXPIRE(self):
        way = self.random.randrange(4)
        if way == 0:
            return [b"EXPIRE", self.any_key(), self.seconds()] + self.expire_option()
        if way == 1:
            return [b"PEXPIRE", self.any_key(), self.milliseconds()] + self.expire_option()
        if way == 2:
            return [b"EXPIREAT", self.any_key(), self.moment()] + self.expire_option()
        return [b"PEXPIREAT", self.any_key(), self.moment_ms()] + self.expire_option()

    def expire_option(self):
        r = self.random
        if r.random() < 0.5:
            return []
        return r.choice([[b"NX"], [b"XX"], [b"GT"], [b"LT"], [b"xx", b"gt"], [b"XX", b"LT"], [b"NX", b"GT"],
                         [b"GT", b"LT"], [b"NX", b"XX"]])

    def make_TTL(self):
        return [self.one_of(b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"), self.any_key()]

    def make_PERSIST(self):
        return [b"PERSIST", self.any_key()]

    def make_OBJECT(self):
        return [b"OBJECT", self.one_of(b"ENCODING", b"ENCODING", b"REFCOUNT", b"IDLETIME", b"FREQ", b"encoding"),
                self.any_key()]

    def make_DBSIZE(self):
        return [b"DBSIZE"]

    def make_SWAPDB(self):
        return [b"SWAPDB", self.database(), self.database()]

    def make_FLUSH(self):
        return [self.one_of(b"FLUSHDB", b"FLUSHDB", b"FLUSHALL")] + \
            self.maybe(self.one_of(b"ASYNC", b"SYNC", b"async", b"later"))

    # ---- the rest ----

    def make_SELECT(self):
        return [b"SELECT", self.database()]

    def make_PING(self):
        return [b"PING"] + self.maybe(self.value())

    def make_ECHO(self):
        return [b"ECHO", self.value()]

    def make_CLIENT(self):
        return [b"CLIENT"] + self.one_of([b"ID"], [b"GETNAME"], [b"SETNAME", b"me"], [b"SETNAME", b"a b"],
                                         [b"SETNAME", b""], [b"INFO"], [b"NO-EVICT", b"on"],
                                         [b"NO-EVICT", b"off"], [b"REPLY", b"on"], [b"REPLY", b"x"],
                                         [b"KILL", b"ID", b"0"], [b"KILL", b"nowhere:1"], [b"LIST", b"ID", b"0"],
                                         [b"LIST", b"TYPE", b"x"], [b"UNPAUSE"], [b"nosuch"])

    def make_COMMAND(self):
        r = self.random
        if r.random() < 0.5:
            arguments = [a if isinstance(a, bytes) else str(a).encode()
                         for a in getattr(self, r.choice(["make_SET", "make_MGET", "make_MSET", "make_BITOP",
                                                          "make_COPY", "make_PFMERGE", "make_PING",
                                                          "make_OBJECT", "make_LCS"]))()]
            return [b"COMMAND", b"GETKEYS"] + arguments
        return [b"COMMAND"] + self.one_of([b"INFO", b"get"], [b"INFO", b"set", b"nosuch"], [b"GETKEYS"],
                                          [b"INFO", b"BITFIELD"], [b"LIST", b"FILTERBY", b"PATTERN", b"get*"],
                                          [b"nosuch"])

    def make_OTHER(self):
        return self.one_of([b"TIME"], [b"LASTSAVE"], [b"WAIT", b"0", b"0"], [b"ROLE"], [b"ACL", b"WHOAMI"],
                           [b"REPLICAOF", b"NO", b"ONE"], [b"SCRIPT", b"FLUSH"], [b"FUNCTION", b"FLUSH"],
                           [b"NOSUCH", b"a", b"b"], [b"nosuch"], [b"MEMORY", b"USAGE", self.key()],
                           [b"CONFIG", b"GET", b"nosuch"], [b"CONFIG", b"GET", b"timeout"],
                           [b"CONFIG", b"SET", b"nosuch", b"1"], [b"DEBUG", b"SLEEP", b"0"],
                           [b"AUTH", b"x"], [b"AUTH", b"x", b"y"], [b"HELLO", b"9"], [b"HELLO", b"x"])


WEIGHTS = {
    "SET": 14, "GET": 8, "MGET MSET APPEND SETRANGE GETRANGE": 4, "INCR INCRBY": 4,
    "INCRBYFLOAT GETEX GETDEL GETSET SETNX STRLEN SETEX PSETEX": 2, "LCS": 1,
    "SETBIT BITFIELD": 4, "GETBIT BITCOUNT BITPOS BITOP": 2, "BITFIELD_RO": 1,
    "PFADD": 4, "PFCOUNT PFMERGE": 2,
    "DEL EXISTS EXPIRE TTL": 4, "TYPE PERSIST RENAME COPY MOVE OBJECT": 2,
    "KEYS SCAN RANDOMKEY DBSIZE": 1, "SWAPDB FLUSH": 0.4,
    "SELECT PING ECHO CLIENT COMMAND OTHER": 0.5,
}
