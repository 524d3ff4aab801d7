"""A client of PostgreSQL's protocol 3 that shows every message it gets.

It owns bytes: startup with SCRAM-SHA-256, the simple and the extended protocol, COPY. It refuses to know what a value means.
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
from dataclasses import dataclass, field

PROTOCOL = 196608
TIMEOUT_SECONDS = 60


@dataclass
class Column:
    name: str
    table: int
    attnum: int
    type: int
    length: int
    typmod: int
    format: int


@dataclass
class Answer:
    """Everything that one statement answered, in the order of its kinds."""

    # one list of columns for each RowDescription
    columns: list = field(default_factory=list)
    rows: list = field(default_factory=list)
    tags: list = field(default_factory=list)
    # fields of ErrorResponse and NoticeResponse by their letter
    error: dict | None = None
    notices: list = field(default_factory=list)
    parameters: dict = field(default_factory=dict)
    # types of the parameters of a prepared statement
    wanted: list | None = None
    no_data: bool = False
    # (overall format, formats of the columns), and what came
    copy: tuple | None = None
    copied: bytes = b""
    notifications: list = field(default_factory=list)
    suspended: bool = False
    status: str = ""


class Lost(Exception):
    """The server ended the connection."""


class Connection:
    def __init__(self, host, port, user, password, database, **parameters):
        self.socket = socket.create_connection((host, port), timeout=TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.parameters = {}
        self.key = None
        pairs = {"user": user, "database": database, "client_encoding": "UTF8", **parameters}
        body = b"".join(key.encode() + b"\0" + value.encode() + b"\0" for key, value in pairs.items()) + b"\0"
        self.socket.sendall(struct.pack("!ii", len(body) + 8, PROTOCOL) + body)
        self._authenticate(password)
        first = self._collect(Answer())
        if first.error:
            raise Lost(f"{first.error.get('C')} {first.error.get('M')}")
        self.parameters = first.parameters
        self.status = first.status

    def cancel(self):
        """Asks on a connection of its own that the running statement end."""
        with socket.create_connection(self.socket.getpeername(), timeout=TIMEOUT_SECONDS) as other:
            other.sendall(struct.pack("!iiii", 16, 80877102, *self.key))
            other.recv(1)

    def close(self):
        try:
            self._send(b"X", b"")
        except OSError:
            pass
        self.socket.close()

    def simple(self, sql):
        self._send(b"Q", sql.encode() + b"\0")
        return self._collect(Answer())

    def extended(self, sql, values=(), binary=False, portal=""):
        """Parse, Describe of the statement, Bind with text parameters, Describe of the portal, Execute, Sync."""
        out = message(b"P", b"\0" + sql.encode() + b"\0" + struct.pack("!h", 0))
        out += message(b"D", b"S\0")
        bind = portal.encode() + b"\0\0" + struct.pack("!hh", 0, len(values))
        for value in values:
            data = None if value is None else str(value).encode()
            bind += struct.pack("!i", -1) if data is None else struct.pack("!i", len(data)) + data
        bind += struct.pack("!hh", 1, int(binary))
        out += message(b"B", bind) + message(b"D", b"P" + portal.encode() + b"\0")
        out += message(b"E", portal.encode() + b"\0" + struct.pack("!i", 0)) + message(b"S", b"")
        self.socket.sendall(out)
        return self._collect(Answer())

    def _authenticate(self, password):
        nonce = base64.b64encode(os.urandom(18)).decode()
        bare = f"n=,r={nonce}"
        while True:
            kind, body = self._receive()
            if kind == b"E":
                fields = error_fields(body)
                raise Lost(f"{fields.get('C')} {fields.get('M')}")
            if kind != b"R":
                raise Lost(f"unexpected message {kind!r}")
            code = struct.unpack("!i", body[:4])[0]
            if code == 0:
                return
            if code == 10:
                initial = ("n,," + bare).encode()
                self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(initial)) + initial)
            elif code == 11:
                server = body[4:].decode()
                parts = dict(part.split("=", 1) for part in server.split(","))
                salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
                key = hmac.digest(salted, b"Client Key", "sha256")
                final = f"c=biws,r={parts['r']}"
                said = f"{bare},{server},{final}".encode()
                signature = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
                proof = bytes(a ^ b for a, b in zip(key, signature))
                self._send(b"p", f"{final},p={base64.b64encode(proof).decode()}".encode())
            elif code != 12:
                raise Lost(f"authentication {code} is not supported")

    def _send(self, kind, body):
        self.socket.sendall(message(kind, body))

    def _receive(self):
        head = self._exactly(5)
        length = struct.unpack("!i", head[1:])[0]
        return head[:1], self._exactly(length - 4)

    def _exactly(self, count):
        while len(self.buffer) < count:
            data = self.socket.recv(1 << 16)
            if not data:
                raise Lost("the server closed the connection")
            self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def _collect(self, answer):
        """Reads until ReadyForQuery."""
        copied = []
        while True:
            kind, body = self._receive()
            if kind == b"T":
                answer.columns.append(columns(body))
            elif kind == b"D":
                answer.rows.append(values(body))
            elif kind == b"C":
                answer.tags.append(body[:-1].decode())
            elif kind == b"I":
                answer.tags.append("(empty)")
            elif kind == b"E":
                answer.error = error_fields(body)
                if answer.error.get("S") in ("FATAL", "PANIC"):
                    answer.status = "closed"
                    return answer
            elif kind == b"N":
                answer.notices.append(error_fields(body))
            elif kind == b"S":
                name, value = body[:-1].decode().split("\0")
                answer.parameters[name] = value
            elif kind == b"K":
                self.key = struct.unpack("!ii", body)
            elif kind == b"t":
                count = struct.unpack("!h", body[:2])[0]
                answer.wanted = list(struct.unpack(f"!{count}I", body[2:]))
            elif kind == b"n":
                answer.no_data = True
            elif kind == b"s":
                answer.suspended = True
            elif kind in (b"H", b"G", b"W"):
                count = struct.unpack("!h", body[1:3])[0]
                answer.copy = (body[0], struct.unpack(f"!{count}h", body[3:]))
                if kind == b"G":
                    self._send(b"f", b"nothing to send\0")
            elif kind == b"d":
                copied.append(body)
            elif kind == b"A":
                channel, payload = body[4:-1].decode().split("\0")
                answer.notifications.append((channel, payload))
            elif kind == b"Z":
                answer.copied = b"".join(copied)
                answer.status = body.decode()
                self.status = answer.status
                return answer


def message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


def columns(body):
    found, at = [], 2
    for _ in range(struct.unpack("!h", body[:2])[0]):
        end = body.index(b"\0", at)
        name = body[at:end].decode()
        found.append(Column(name, *struct.unpack("!IhIhih", body[end + 1 : end + 19])))
        at = end + 19
    return found


def values(body):
    found, at = [], 2
    for _ in range(struct.unpack("!h", body[:2])[0]):
        length = struct.unpack("!i", body[at : at + 4])[0]
        at += 4
        if length < 0:
            found.append(None)
        else:
            found.append(body[at : at + length])
            at += length
    return found


def error_fields(body):
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}
