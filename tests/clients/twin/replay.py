"""Sends what a client sends to both servers, and compares the answers.

The statements lie in `../statements/NAME.sqls`, divided by lines `---`, as the client sent them; `NAME.about` beside it says what a
recording leaves out:

    before SET search_path TO sales     a statement that comes first
    12 values ["r", "sales"]            values of the parameters of statement 12, as JSON; `=relation sales.orders` is its OID
    5 portal p1                         statement 5 is executed by a portal of that name
    17 cancel                           it is cancelled while it runs
    12 ties                             rows that are alike in what they are ordered by come in any order

Each file is replayed three times in sessions of its own: in the simple protocol where there are no parameters, in the extended
protocol with results in text, and in binary. Numbers in `../statements/oids` are OIDs of the server that was recorded.
"""

import json
import re
import threading
from pathlib import Path

import wire
from differences import compare
from normal import Names, Writer, ordered

MODES = ("simple", "extended", "binary")
STATEMENTS = Path(__file__).parent.parent / "statements"
CANCEL_AFTER_SECONDS = 0.3
USER = "sales_analyst"
# the end of a line about a column (see normal.py)
ORIGIN = re.compile(r"^(column .* length -?\d+) of (<.*>|\d+) -?\d+$")


class Side:
    """One of the two servers: who it is, what its OIDs name, the session that is replayed."""

    def __init__(self, server, names, types):
        self.server = server
        self.names = names
        self.writer = Writer(names, types)
        self.session = None

    def connect(self):
        if self.session:
            self.session.close()
        self.session = wire.Connection(self.server.host, self.server.port, USER, USER, "mesh")
        return self.session

    def ask(self, statement, mode):
        """The answer's lines, the status of the transaction last."""
        sql, values = self.localised(statement.sql), [self.value(value) for value in statement.values]
        timer = threading.Timer(CANCEL_AFTER_SECONDS, self.session.cancel) if statement.cancelled else None
        try:
            if timer:
                timer.start()
            if mode == "simple":
                answer = self.session.simple(sql)
            else:
                answer = self.session.extended(sql, values, mode == "binary", statement.portal)
        except (wire.Lost, OSError) as lost:
            self.connect()
            return [f"connection lost: {lost}", "status I"]
        finally:
            if timer:
                timer.cancel()
        lines = self.writer.lines(answer, ordered(statement.sql) and not statement.has_ties)
        if answer.status == "closed":
            self.connect()
        return lines

    def localised(self, sql):
        for number, name in RECORDED.items():
            sql = re.sub(rf"\b{number}\b", str(self.names.oid("relation", name) or 4294967295), sql)
        return sql

    def value(self, value):
        if isinstance(value, str) and value.startswith("="):
            kind, name = value[1:].split(" ", 1)
            return self.names.oid(kind, name) or 0
        return value


class Statement:
    def __init__(self, client, number, sql, about):
        self.client, self.number, self.sql = client, number, sql
        self.values = json.loads(about.get((number, "values"), "[]"))
        self.portal = about.get((number, "portal"), "")
        self.cancelled = (number, "cancel") in about
        self.has_ties = (number, "ties") in about
        wanted = max((int(found) for found in re.findall(r"\$(\d+)", sql)), default=0)
        if wanted != len(self.values):
            raise SystemExit(f"{client}.about: statement {number} has {wanted} parameters, {len(self.values)} values")

    def asked_in(self, mode):
        return mode != "simple" or not self.values and not self.portal


def clients():
    return sorted(path.stem for path in STATEMENTS.glob("*.sqls"))


def statements(client):
    """The statements of a file, and those that come before them."""
    about, before = {}, []
    path = STATEMENTS / f"{client}.about"
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("before "):
            before.append(line.removeprefix("before "))
        elif line and not line.startswith("#"):
            number, word, *rest = line.split(" ", 2)
            about[(int(number), word)] = rest[0] if rest else ""
    text = (STATEMENTS / f"{client}.sqls").read_text()
    # lines before the first statement that are comments say where the statements are from
    parts = [part.strip("\n") for part in re.split(r"^---$", text, flags=re.MULTILINE)]
    return [Statement(client, number, sql, about) for number, sql in enumerate(parts, 1)], before


def recorded():
    lines = (STATEMENTS / "oids").read_text().splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


RECORDED = recorded()


def both(postgres, mesh):
    """The two sides. PostgreSQL's own types are named by PostgreSQL."""
    sides, types = [], {}
    for server in (postgres, mesh):
        session = wire.Connection(server.host, server.port, USER, USER, "mesh")
        names = Names(session)
        if server is postgres:
            rows = session.simple("SELECT oid, typname FROM pg_catalog.pg_type WHERE oid < 12000").rows
            types = {int(oid): name.decode() for oid, name in rows}
        session.close()
        sides.append(Side(server, names, types))
    return sides


def replay(client, sides):
    """Yields ((client, number, mode), lines that differ)."""
    told, before = statements(client)
    for mode in MODES:
        for side in sides:
            side.connect()
            for sql in before:
                side.session.simple(sql)
        for statement in told:
            if not statement.asked_in(mode):
                continue
            original, ours = same_origins(*(side.ask(statement, mode) for side in sides))
            yield (f"{client}.sqls", str(statement.number), mode), compare(original, ours)
            if original[-1] != ours[-1]:
                settle(sides[1].session, original[-1])


def same_origins(original, ours):
    """Which table a column is of is compared where pgmesh tells it; RowDescription may leave it out."""
    if not any(ORIGIN.search(line) for line in ours):
        original = [ORIGIN.sub(r"\1", line) for line in original]
    return original, ours


def settle(session, status):
    """After an answer that left pgmesh in another state than PostgreSQL it is brought where the client believes to be."""
    if session.status != "I":
        session.simple("ROLLBACK")
    if status in ("status T", "status E"):
        session.simple("BEGIN")
    if status == "status E":
        session.simple("SELECT FROM a_relation_that_is_not_there")


def startup(sides):
    """ParameterStatus of a new session."""
    written = []
    for side in sides:
        answer = wire.Answer(parameters=side.connect().parameters, status="I")
        written.append(side.writer.lines(answer, True))
    return ("session", "startup", "parameters"), compare(*written)
