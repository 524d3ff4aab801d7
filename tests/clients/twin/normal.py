"""What two servers answered, written so that equal answers are equal lines.

Values that no two servers share are told by what they name: OIDs of objects that the catalog made (12000 and above), in every
column whose type holds OIDs and in RowDescription. Numbers of transactions are not compared, nor which minor version it is. Rows
about TOAST tables, which only PostgreSQL has, are left out. Nothing else is. Rows are sorted where no ORDER BY stands at the
statement's top.
"""

import re
import struct

# objects below this OID are fixed in PostgreSQL's sources (access/transam.h, FirstUnpinnedObjectId)
FIRST_MADE_OID = 12000
OID = 26
# oid, regproc, regprocedure, regoper, regoperator, regclass, regtype, regconfig, regdictionary, regnamespace, regrole, regcollation
OID_TYPES = {OID, 24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191}
OID_LISTS = {30, 1028, 1008, 2207, 2208, 2209, 2210, 2211}
TEXT_TYPES = {18, 19, 25, 114, 705, 1042, 1043}
# xid, cid, xid8: counters of a server's own
TRANSACTION_TYPES = {28, 29, 5069}
INTEGER_TYPES = {20: "!q", 21: "!h", 23: "!i"}
TOAST = re.compile(r"\bpg_toast_\d+")
# "PostgreSQL 15.18 (Debian …) on …", "15.18 (Debian …)", 150018: the minor version is not compared
VERSION = re.compile(r"^(PostgreSQL )?15\.\d+( .*)?$", re.DOTALL)
VERSION_NUMBER = re.compile(r"^1500\d\d$")
NAMES = """
SELECT 'relation', c.oid, n.nspname || '.' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
---
SELECT 'type', t.oid, n.nspname || '.' || t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
---
SELECT 'schema', oid, nspname FROM pg_catalog.pg_namespace
---
SELECT 'role', oid, rolname FROM pg_catalog.pg_roles
---
SELECT 'database', oid, datname FROM pg_catalog.pg_database
---
SELECT 'constraint', c.oid, r.relname || '.' || c.conname FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class r ON r.oid = c.conrelid
---
SELECT 'function', p.oid, n.nspname || '.' || p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
---
SELECT 'collation', oid, collname || '/' || collencoding FROM pg_catalog.pg_collation
---
SELECT 'rule', w.oid, r.relname || '.' || w.rulename FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class r ON r.oid = w.ev_class
---
SELECT 'configuration', oid, cfgname FROM pg_catalog.pg_ts_config
---
SELECT 'dictionary', oid, dictname FROM pg_catalog.pg_ts_dict
---
SELECT 'extension', oid, extname FROM pg_catalog.pg_extension
"""


class Names:
    """What the OIDs of one server name."""

    def __init__(self, connection):
        self.of = {}
        self.missing = []
        for sql in NAMES.split("---\n"):
            answer = connection.simple(sql.strip())
            if answer.error:
                self.missing.append(answer.error.get("M"))
            for kind, oid, name in answer.rows:
                self.of.setdefault(int(oid), f"{kind.decode()} {name.decode()}")

    def name(self, oid):
        known = self.of.get(oid)
        if oid < FIRST_MADE_OID and not (known and TOAST.search(known)):
            return str(oid)
        return f"<{known}>" if known else f"<unknown oid {oid}>"

    def oid(self, kind, name):
        return next((oid for oid, said in self.of.items() if said == f"{kind} {name}"), None)


class Writer:
    """Writes the answers of one server. `types` names PostgreSQL's own types, for both servers."""

    def __init__(self, names, types):
        self.names = names
        self.types = types

    def lines(self, answer, ordered):
        lines = [f"parameters {' '.join(self.type(oid) for oid in answer.wanted)}"] if answer.wanted else []
        described = []
        for columns in answer.columns:
            written = [self.column(column) for column in columns]
            if written not in described:
                described.append(written)
        for written in described:
            lines += [f"column {column}" for column in written] or ["no columns"]
        if answer.no_data:
            lines.append("no data")
        rows = [line for line in (self.row(row, answer.columns) for row in answer.rows) if line is not None]
        lines += rows if ordered else sorted(rows)
        if answer.copy:
            lines.append(f"copy format {answer.copy[0]} of columns {answer.copy[1]}")
            copied = copied_rows(answer)
            lines += copied if ordered else sorted(copied)
        lines += [f"notice {fields(notice)}" for notice in answer.notices]
        lines += [f"notification {channel} {payload}" for channel, payload in answer.notifications]
        lines += [f"set {name} = {version(value)}" for name, value in sorted(answer.parameters.items())]
        if answer.error:
            lines.append(f"error {fields(answer.error)}")
        # the number of rows that came counts those that are left out here
        lines += [f"tag {tag.replace(f'SELECT {len(answer.rows)}', 'SELECT of these')}" for tag in answer.tags]
        lines.append(f"status {answer.status}")
        return lines

    def type(self, oid):
        return self.types.get(oid) or self.names.name(oid)

    def column(self, column):
        typmod = f"({column.typmod})" if column.typmod != -1 else ""
        origin = f" of {self.names.name(column.table)} {column.attnum}" if column.table or column.attnum else ""
        return f"{column.name!r} {self.type(column.type)}{typmod} length {column.length}{origin}"

    def row(self, row, descriptions):
        columns = next((found for found in reversed(descriptions) if len(found) == len(row)), None)
        if columns is None:
            return "row without description " + repr(row)
        cells = [self.cell(value, column) for value, column in zip(row, columns)]
        if any(TOAST.search(cell) for cell in cells):
            return None
        return "row " + " | ".join(cells)

    def cell(self, value, column):
        if value is None:
            return "NULL"
        if column.type in TRANSACTION_TYPES:
            return "<transaction>"
        if column.format == 0:
            text = value.decode()
            if column.type in OID_TYPES and text.isdigit():
                return self.names.name(int(text))
            if column.type in OID_LISTS:
                return re.sub(r"\d{5,}", lambda found: self.names.name(int(found.group())), text)
            return repr(version(text))[1:-1]
        if column.type in OID_TYPES and len(value) == 4:
            return self.names.name(struct.unpack("!I", value)[0])
        if column.type in OID_LISTS:
            return self.binary_oids(value)
        if column.type in TEXT_TYPES:
            return repr(version(value.decode()))[1:-1]
        if column.type in INTEGER_TYPES and len(value) == struct.calcsize(INTEGER_TYPES[column.type]):
            return str(struct.unpack(INTEGER_TYPES[column.type], value)[0])
        return "\\x" + value.hex()

    def binary_oids(self, value):
        dimensions, nulls, element = struct.unpack("!iiI", value[:12])
        bounds = struct.unpack(f"!{2 * dimensions}i", value[12 : 12 + 8 * dimensions])
        at, found = 12 + 8 * dimensions, []
        while at < len(value):
            length = struct.unpack("!i", value[at : at + 4])[0]
            at += 4
            item = None if length < 0 else value[at : at + length]
            found.append("NULL" if item is None else self.names.name(struct.unpack("!I", item)[0]))
            at += max(length, 0)
        return f"{element}{list(bounds)}{nulls}{{{','.join(found)}}}"


def fields(report):
    """Severity, SQLSTATE, message, detail, hint and position; where in PostgreSQL's sources it was raised is left out."""
    told = [f"{report.get('S')} {report.get('C')} {report.get('M')!r}"]
    told += [f"{name} {report[key]!r}" for key, name in (("D", "detail"), ("H", "hint"), ("P", "at")) if key in report]
    return " ".join(told)


def version(text):
    if VERSION_NUMBER.match(text):
        return "<version>"
    return "<version>" if VERSION.match(text) else text


def copied_rows(answer):
    """COPY's data as lines: rows of text and CSV, tuples of the binary form."""
    if answer.copy[0] == 0:
        return [f"copied {line!r}" for line in split_rows(answer.copied)]
    data, lines = answer.copied, []
    if not data.startswith(b"PGCOPY\n\xff\r\n\0"):
        return [f"copied {data!r}"]
    at = 19 + struct.unpack("!i", data[15:19])[0]
    lines.append(f"copy header {data[11:at].hex()}")
    while at < len(data):
        count = struct.unpack("!h", data[at : at + 2])[0]
        at += 2
        if count < 0:
            lines.append(f"copied end and {len(data) - at} bytes")
            break
        cells = []
        for _ in range(count):
            length = struct.unpack("!i", data[at : at + 4])[0]
            at += 4
            cells.append("NULL" if length < 0 else data[at : at + length].hex())
            at += max(length, 0)
        lines.append("copied " + " ".join(cells))
    return lines


def split_rows(data):
    """Rows of COPY text or CSV: a line break inside quotes belongs to a value."""
    rows, row, quoted = [], "", False
    for line in data.decode().splitlines(keepends=True):
        row += line
        quoted ^= line.count('"') % 2 == 1
        if not quoted:
            rows.append(row)
            row = ""
    return rows + ([row] if row else [])


def ordered(sql):
    """Whether an ORDER BY stands outside of all parentheses and quotes."""
    depth, top = 0, []
    for token in re.findall(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|[()]|[^'\"()-]+|-", sql):
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif depth == 0 and token[0] not in "'\"" and not token.startswith("--"):
            top.append(token)
    return re.search(r"\border\s+by\b", " ".join(top), re.IGNORECASE) is not None
