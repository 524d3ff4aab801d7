"""A small blocking client of the PostgreSQL protocol 3.0, for measuring servers. Standard library only.

It authenticates with SCRAM-SHA-256 and remembers the salted password, as connection pools and libpq's users do not but
a fair measurement of the server must: 4,096 rounds of PBKDF2 would be most of what a connect costs. `drain` reads a
result without decoding it, so that what is measured is the server and one loop over a socket.
"""

import base64
import functools
import hashlib
import hmac
import os
import socket
import struct

READ_BYTES = 1 << 20
#: The end of an answer: ReadyForQuery, idle or inside a transaction.
READY = (b"Z\0\0\0\x05I", b"Z\0\0\0\x05T")
FAILED = b"Z\0\0\0\x05E"


class ServerError(Exception):
    """What the server refused, with its SQLSTATE."""


@functools.lru_cache
def salted_password(password, salt, iterations):
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def error_of(body):
    fields = {part[:1]: part[1:].decode("utf8", "replace") for part in body.split(b"\0") if part}
    return ServerError(f"{fields.get(b'C')}: {fields.get(b'M')}")


class Connection:
    """One authenticated connection."""

    def __init__(self, port, user, password, database, host="127.0.0.1", timeout_s=600):
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""
        words = ("user", user, "database", database, "client_encoding", "UTF8")
        body = struct.pack("!I", 196608) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
        while True:
            kind, body = self._receive()
            if kind == b"E":
                raise error_of(body)
            if kind == b"R" and struct.unpack("!I", body[:4])[0] == 10:
                self._scram(password)
            elif kind == b"Z":
                return

    def _scram(self, password):
        """RFC 5802 without channel binding."""
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = "n=,r=" + nonce
        payload = ("n,," + first).encode()
        self.socket.sendall(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(payload)) + payload))
        kind, body = self._receive()
        if kind == b"E":
            raise error_of(body)
        server_first = body[4:].decode()
        given = dict(part.split("=", 1) for part in server_first.split(","))
        salted = salted_password(password, base64.b64decode(given["s"]), int(given["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        final = "c=biws,r=" + given["r"]
        signature = hmac.digest(
            hashlib.sha256(client_key).digest(), ",".join((first, server_first, final)).encode(), "sha256"
        )
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()
        self.socket.sendall(message(b"p", (final + ",p=" + proof).encode()))

    def _receive(self):
        while len(self.unread) < 5 or len(self.unread) < self._length():
            data = self.socket.recv(READ_BYTES)
            if not data:
                raise ServerError("the server closed the connection")
            self.unread += data
        end = self._length()
        kind, body = self.unread[:1], self.unread[5:end]
        self.unread = self.unread[end:]
        return kind, body

    def _length(self):
        return struct.unpack_from("!I", self.unread, 1)[0] + 1

    def close(self):
        self.socket.close()

    def query(self, sql):
        """The rows of a small result as text, simple protocol."""
        self.socket.sendall(message(b"Q", sql.encode() + b"\0"))
        rows, error = [], None
        while True:
            kind, body = self._receive()
            if kind == b"D":
                rows.append(self._row(body))
            elif kind == b"E":
                error = error_of(body)
            elif kind == b"Z":
                if error:
                    raise error
                return rows

    @staticmethod
    def _row(body):
        values, at = [], 2
        for _ in range(struct.unpack_from("!H", body)[0]):
            length = struct.unpack_from("!i", body, at)[0]
            at += 4
            values.append(None if length < 0 else body[at : at + length].decode())
            at += max(length, 0)
        return values

    def drain_simple(self, sql):
        """(rows, bytes) of a result through the simple protocol, text."""
        self.socket.sendall(message(b"Q", sql.encode() + b"\0"))
        return self._drain()[:2]

    def drain_extended(self, sql):
        """(rows, bytes) through the extended protocol, binary, no row limit."""
        self.socket.sendall(self._bind(sql) + self._execute(0))
        return self._drain()[:2]

    def drain_portal(self, sql, fetch_rows):
        """(rows, bytes) through a portal that gives `fetch_rows` at a time, binary, inside a transaction."""
        self.query("BEGIN")
        self.socket.sendall(self._bind(sql) + self._execute(fetch_rows))
        rows = total = 0
        suspended = True
        while suspended:
            count, received, suspended = self._drain()
            rows += fetch_rows if suspended else count
            total += received
            if suspended:
                self.socket.sendall(self._execute(fetch_rows))
        self.query("COMMIT")
        return rows, total

    @staticmethod
    def _bind(sql):
        return (
            message(b"P", b"\0" + sql.encode() + b"\0\0\0")
            + message(b"B", b"\0\0\0\0\0\0" + struct.pack("!HH", 1, 1))
            + message(b"D", b"P\0")
        )

    @staticmethod
    def _execute(rows_max):
        return message(b"E", b"\0" + struct.pack("!I", rows_max)) + message(b"S")

    def _drain(self):
        """Reads up to ReadyForQuery: (rows as the command tag says, bytes, whether the portal is suspended)."""
        buffer = bytearray(READ_BYTES)
        view = memoryview(buffer)
        total, tail = 0, b""
        while not tail.endswith((*READY, FAILED)):
            count = self.socket.recv_into(buffer)
            if not count:
                raise ServerError("the server closed the connection")
            total += count
            tail = (tail + bytes(view[max(0, count - 1024) : count]))[-1024:]
        error = tail.rfind(b"SERROR\0")
        if error >= 0:
            raise error_of(tail[error:-6])
        if tail.endswith(tuple(b"s\0\0\0\x04" + ready for ready in READY)):
            return 0, total, True
        tag = tail[tail.rfind(b"C\0\0\0", 0, -6) + 5 : -7].split()
        return int(tag[-1]), total, False
