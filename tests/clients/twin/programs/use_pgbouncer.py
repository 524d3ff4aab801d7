"""PgBouncer in front of the server, pooling sessions and pooling transactions."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from transcript import DATABASE, HOST, PASSWORD, PORT, USER, section, show

START_SECONDS_MAX = 10


def main():
    for mode in ("session", "transaction"):
        # a folder that the pooler's own user may enter: it refuses to run as root
        with tempfile.TemporaryDirectory(prefix="pgbouncer", dir="/tmp") as folder:
            pooler = None
            try:
                with socket.socket() as free:
                    free.bind(("127.0.0.1", 0))
                    port = free.getsockname()[1]
                pooler = start(Path(folder), mode, port)
                use(mode, f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}")
            finally:
                if pooler:
                    pooler.kill()
                    pooler.wait()


def start(folder, mode, port):
    (folder / "users").write_text(f'"{USER}" "{PASSWORD}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{DATABASE} = host={HOST} port={PORT} dbname={DATABASE}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users\npool_mode = {mode}\ndefault_pool_size = 1\nunix_socket_dir =\n"
        f"ignore_startup_parameters = extra_float_digits\n"
    )
    as_user = []
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
        shutil.chown(folder / "users", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
    log = open(folder / "log", "wb")
    pooler = subprocess.Popen([*as_user, "/usr/sbin/pgbouncer", str(folder / "pgbouncer.ini")], stdout=log, stderr=log)
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return pooler
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit("PgBouncer did not start:\n" + (folder / "log").read_text()) from None
            time.sleep(0.05)


def use(mode, dsn):
    with section(f"{mode} rows"), psycopg.connect(dsn, prepare_threshold=None) as db:
        show(db.execute("SELECT id, amount FROM sales.orders WHERE id < %s ORDER BY id", (4,)))
        print(db.info.parameter_status("server_encoding"), db.info.parameter_status("TimeZone"))
    with section(f"{mode} taking turns"):
        # the pool has one connection: who comes second gets it after the first is done with it
        for name in ("first", "second"):
            with psycopg.connect(dsn, prepare_threshold=None, application_name=name, autocommit=True) as db:
                print(db.execute("SELECT current_setting('application_name'), current_setting('DateStyle')").fetchone())
                db.execute("SET DateStyle = 'German'")
    with section(f"{mode} transactions"), psycopg.connect(dsn, prepare_threshold=None) as db:
        with db.cursor("c") as cursor:
            cursor.execute("SELECT id FROM sales.orders ORDER BY id")
            print(cursor.fetchmany(3))
        db.commit()
        try:
            db.execute("SELECT 1/0")
        except psycopg.Error as error:
            print(error.sqlstate)
        db.rollback()
        print(db.execute("SELECT 1").fetchone())
    with section(f"{mode} copy"), psycopg.connect(dsn, prepare_threshold=None) as db, db.cursor() as cursor:
        with cursor.copy("COPY (SELECT id, name FROM sales.clubs ORDER BY id) TO STDOUT CSV") as copy:
            print(b"".join(copy))
    with section(f"{mode} reset"):
        with psycopg.connect(dsn, prepare_threshold=None, autocommit=True) as db:
            db.execute("LISTEN twin")
            db.execute("PREPARE p AS SELECT 1")
        with psycopg.connect(dsn, prepare_threshold=None, autocommit=True) as db:
            print(
                db.execute("SELECT count(*) FROM pg_prepared_statements").fetchone(),
                db.execute("SELECT pg_listening_channels()").fetchall(),
            )


main()
