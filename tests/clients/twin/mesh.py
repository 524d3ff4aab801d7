"""A pgmesh with the data: contracts in ODCS, tables written by delta-rs, users by `pgmesh user add`."""

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import data

START_SECONDS_MAX = 60
SCRAM_ITERATIONS = 4096


class Mesh:
    """Listens on 127.0.0.1 at `port`."""

    name = "pgmesh"
    host = "127.0.0.1"

    def __init__(self, folder, binary):
        self.folder = Path(folder)
        self.binary = binary
        self.process = None
        self.port = None

    def start(self):
        write(self.folder)
        log = self.folder / "log"
        self.log = open(log, "wb")
        self.process = subprocess.Popen(
            [self.binary, "serve", "--catalog", self.folder / "catalog", "--listen", "127.0.0.1:0"]
            + ["--state", self.folder / "state"],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
        )
        deadline = time.monotonic() + START_SECONDS_MAX
        while self.port is None:
            found = re.search(r"^listening on .*:(\d+)$", log.read_text(), re.MULTILINE)
            if found:
                self.port = int(found.group(1))
            elif time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit("pgmesh did not start:\n" + log.read_text())
            else:
                time.sleep(0.05)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()


def write(folder):
    """Catalog and tables. JSON is YAML, so contracts are written as JSON."""
    catalog = folder / "catalog"
    put(
        catalog / "mesh.yaml",
        {
            "apiVersion": "pgmesh/v1",
            "kind": "Mesh",
            "metadata": {"name": data.DATABASE},
            "spec": {"description": data.DATABASE_COMMENT, "defaults": {"discoverable": "domain", "gate": "off"}},
        },
    )
    users = [{"name": user, "scram": verifier(user), "groups": groups} for user, groups in data.USERS]
    groups = sorted({group for _, names in data.USERS for group in names})
    put(
        catalog / "principals.yaml",
        {
            "apiVersion": "pgmesh/v1",
            "kind": "Principals",
            "users": users,
            "groups": [{"name": group, "description": f"Members of {group}"} for group in groups],
        },
    )
    for schema, comment in data.SCHEMAS.items():
        put(
            catalog / schema / "domain.yaml",
            {
                "apiVersion": "pgmesh/v1",
                "kind": "Domain",
                "metadata": {"name": schema, "owner": data.OWNER},
                "spec": {"description": comment, "member_groups": ["sales"]},
            },
        )
    for table in data.TABLES:
        put(catalog / table.schema / table.name / f"{table.name}.odcs.yaml", contract(table))
        write_table(table, folder / "tables" / table.schema / table.name)


def put(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False))


def contract(table):
    properties = []
    for column in table.columns:
        said = {"name": column.name, "logicalType": logical(column.type), "physicalType": column.type}
        if column.comment:
            said["description"] = column.comment
        if column.key:
            said["primaryKey"] = True
            said["primaryKeyPosition"] = 1 + [c.name for c in table.columns if c.key].index(column.name)
        if column.required:
            said["required"] = True
        if column.unique:
            said["unique"] = True
        if column.references:
            said["relationships"] = [{"type": "foreignKey", "to": ".".join(column.references)}]
        if column.type.endswith("[]"):
            said["items"] = {"name": "item", "logicalType": logical(column.type[:-2])}
        properties.append(said)
    return {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"{table.schema}.{table.name}",
        "name": table.name,
        "version": "1.0.0",
        "status": "active",
        "domain": table.schema,
        "description": {"purpose": table.comment},
        "servers": [
            {"server": "delta", "type": "local", "path": f"tables/{table.schema}/{table.name}", "format": "delta"}
        ],
        "schema": [
            {"name": table.name, "physicalName": table.name, "logicalType": "object", "physicalType": "table"}
            | {"description": table.comment, "properties": properties}
        ],
        "team": {"name": "owners", "members": [{"username": data.OWNER, "role": "owner"}]},
    }


def logical(name):
    if name.endswith("[]"):
        return "array"
    base = name.split("(")[0]
    return {
        "integer": "integer",
        "bigint": "integer",
        "smallint": "integer",
        "numeric": "number",
        "double precision": "number",
        "real": "number",
        "boolean": "boolean",
        "date": "date",
        "timestamp with time zone": "timestamp",
        "timestamp without time zone": "timestamp",
    }.get(base, "string")


def write_table(table, path):
    import deltalake
    import pyarrow

    fields = [pyarrow.field(c.name, arrow(pyarrow, c.type), nullable=not c.required) for c in table.columns]
    columns = [pyarrow.array([row[at] for row in table.rows], field.type) for at, field in enumerate(fields)]
    rows = pyarrow.Table.from_arrays(columns, schema=pyarrow.schema(fields))
    deltalake.write_deltalake(str(path), rows)


def arrow(pyarrow, name):
    if name.endswith("[]"):
        return pyarrow.list_(arrow(pyarrow, name[:-2]))
    if name.startswith("numeric"):
        precision, scale = re.findall(r"\d+", name)
        return pyarrow.decimal128(int(precision), int(scale))
    return {
        "integer": pyarrow.int32(),
        "bigint": pyarrow.int64(),
        "smallint": pyarrow.int16(),
        "double precision": pyarrow.float64(),
        "real": pyarrow.float32(),
        "boolean": pyarrow.bool_(),
        "bytea": pyarrow.binary(),
        "date": pyarrow.date32(),
        "timestamp with time zone": pyarrow.timestamp("us", "UTC"),
        "timestamp without time zone": pyarrow.timestamp("us"),
    }.get(name, pyarrow.string())


def verifier(password):
    """PostgreSQL's own form (`pg_authid.rolpassword`)."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"
