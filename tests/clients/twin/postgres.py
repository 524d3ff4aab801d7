"""A PostgreSQL of our own with the data: initdb in a folder, a superuser on its socket, users with passwords on TCP."""

import glob
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import data

START_SECONDS_MAX = 60


class Postgres:
    """Listens on 127.0.0.1 at `port`; `setup` runs statements as the superuser."""

    name = "PostgreSQL"
    host = "127.0.0.1"

    def __init__(self, folder):
        self.binaries = binaries()
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process = None

    def start(self):
        if os.getuid() == 0:
            # PostgreSQL refuses to run as root
            subprocess.run(["chown", "postgres", str(self.folder)], check=True)
        data_folder = self.folder / "data"
        self._as_user(
            [
                self.binaries / "initdb",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ]
            + ["-D", data_folder],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        hba = "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        self._as_user(["tee", data_folder / "pg_hba.conf"], input=hba.encode(), check=True, stdout=subprocess.DEVNULL)
        options = ["-k", self.folder, "-p", self.port, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        options += ["-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "autovacuum=off"]
        self.log = open(self.folder.parent / "postgres.log", "wb")
        self.process = subprocess.Popen(
            self._command([self.binaries / "postgres", "-D", data_folder, *options]), stdout=self.log, stderr=self.log
        )
        deadline = time.monotonic() + START_SECONDS_MAX
        while self._psql("postgres", "select 1", check=False).returncode != 0:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit("PostgreSQL did not start:\n" + (self.folder.parent / "postgres.log").read_text())
            time.sleep(0.05)
        self._psql("postgres", f"CREATE DATABASE {data.DATABASE}")
        # a mesh is a server's only database
        self._psql(
            data.DATABASE,
            "UPDATE pg_database SET datistemplate = false WHERE datname <> 'mesh'; DROP DATABASE postgres;"
            "DROP DATABASE template0; DROP DATABASE template1",
        )
        self.setup("\n".join(load()))

    def setup(self, sql):
        return self._psql(data.DATABASE, sql).stdout

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)

    def _psql(self, database, sql, check=True):
        command = [
            "psql",
            "-X",
            "-q",
            "-At",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            self.folder,
            "-p",
            self.port,
            "-U",
            "postgres",
        ]
        done = subprocess.run(
            [str(part) for part in [*command, "-d", database, "-f", "-"]], input=sql.encode(), capture_output=True
        )
        if check and done.returncode != 0:
            raise SystemExit(f"PostgreSQL refused the data: {done.stderr.decode()}")
        return done

    def _as_user(self, command, **options):
        return subprocess.run(self._command(command), **options)

    def _command(self, command):
        as_user = (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] if os.getuid() == 0 else []
        )
        return as_user + [str(part) for part in command]


def binaries():
    for folder in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True):
        if Path(folder, "initdb").is_file():
            return Path(folder)
    raise SystemExit("PostgreSQL is not installed (Debian: postgresql)")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def load():
    """The statements that make the data."""
    for user, _ in data.USERS:
        yield f"CREATE ROLE {user} LOGIN PASSWORD '{user}';"
    yield f"COMMENT ON DATABASE {data.DATABASE} IS {literal(data.DATABASE_COMMENT)};"
    for schema, comment in data.SCHEMAS.items():
        yield f"CREATE SCHEMA IF NOT EXISTS {schema};"
        yield f"ALTER SCHEMA {schema} OWNER TO {data.OWNER};"
        yield f"COMMENT ON SCHEMA {schema} IS {literal(comment)};"
        yield f"GRANT USAGE ON SCHEMA {schema} TO sales_analyst;"
    for table in data.TABLES:
        yield from create(table)
    for table in data.TABLES:
        # nobody writes to a mesh, and nobody sees the rights of others
        yield f"REVOKE ALL ON {table.schema}.{table.name} FROM {data.OWNER};"


def create(table):
    name = f"{table.schema}.{table.name}"
    yield f"SET ROLE {data.OWNER};"
    columns = [f'"{c.name}" {c.type}{" NOT NULL" if c.required else ""}' for c in table.columns]
    keys = ", ".join(f'"{c.name}"' for c in table.columns if c.key)
    yield f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({keys}));"
    for column in table.columns:
        if column.unique:
            yield f'ALTER TABLE {name} ADD UNIQUE ("{column.name}");'
        if column.references:
            target = next(t for t in data.TABLES if t.name == column.references[0])
            yield (
                f'ALTER TABLE {name} ADD FOREIGN KEY ("{column.name}")'
                f' REFERENCES {target.schema}.{target.name} ("{column.references[1]}");'
            )
        if column.comment:
            yield f'COMMENT ON COLUMN {name}."{column.name}" IS {literal(column.comment)};'
    yield f"COMMENT ON TABLE {name} IS {literal(table.comment)};"
    yield f"GRANT SELECT ON {name} TO sales_analyst;"
    for row in table.rows:
        values = (f"{literal(value)}::{column.type}" for value, column in zip(row, table.columns))
        yield f"INSERT INTO {name} VALUES ({', '.join(values)});"
    yield "RESET ROLE;"


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(literal(item) for item in value)}]"
    if isinstance(value, float):
        return f"'{value!r}'"
    return "'" + str(value).replace("'", "''") + "'"
