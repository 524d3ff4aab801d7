"""A commit that the Python package deltalake writes to a sample table is seen by an open session without a restart.

Works on a copy of the sample mesh and starts a server of its own: PGMESH_BIN, or the debug build.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from deltalake import DeltaTable, write_deltalake

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/pgmesh-target"))
BINARY = os.environ.get("PGMESH_BIN", str(TARGET / "debug/pgmesh"))
# max_staleness of the sample mesh, in seconds, and what a busy machine may need on top
STALENESS, PATIENCE = 1.0, 4.0


def count(session):
    return session.execute("select count(*) from sales.orders").fetchone()[0]


def main():
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "catalog", Path(folder) / "catalog")
        shutil.copytree(ROOT / "sample_data", Path(folder) / "sample_data")
        server = subprocess.Popen(
            [BINARY, "serve", "--catalog", f"{folder}/catalog", "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = re.match(r"listening on .*:(\d+)", server.stdout.readline()).group(1)
            url = f"postgresql://sales_analyst:sales_analyst@127.0.0.1:{port}/mesh"
            with psycopg.connect(url, autocommit=True) as session, psycopg.connect(url) as pinned:
                before = count(session)
                assert count(pinned) == before
                table = DeltaTable(f"{folder}/sample_data/sales/orders")
                one = table.to_pyarrow_dataset().head(1)
                write_deltalake(table, one, mode="append")
                written = time.monotonic()
                while count(session) == before:
                    assert time.monotonic() - written < STALENESS + PATIENCE, "the commit was not seen"
                    time.sleep(0.05)
                print(f"ok commit of python deltalake seen after {time.monotonic() - written:.2f} s")
                assert count(session) == before + 1
                assert count(pinned) == before, "a transaction reads one version"
                pinned.commit()
                assert count(pinned) == before + 1
                print("ok pinned inside a transaction, seen after it")
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    sys.exit(main())
