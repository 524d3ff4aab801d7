#!/usr/bin/env python3
"""Measures what clients ask of `pg_catalog` over 10,000 products of 20 columns each; the goal is a second for each.

  benches/catalog.py PGMESH [--products 10000] [--columns 20]

The first figure is with nothing kept, as after a change of the catalog; the second is the median of the next five.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time

import servers
from mesh_folder import Mesh, contract, delta_columns
from wire import Connection

TYPES = ["long", "string", "timestamp", "double", "date", "boolean", "decimal(18,2)"]
STATEMENTS = {
    "psql \\dt": """SELECT n.nspname, c.relname, c.relkind, r.rolname FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'pg_catalog' AND n.nspname <> 'information_schema' ORDER BY 1, 2""",
    "one table by name": """SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n
ON n.oid = c.relnamespace WHERE c.relname = 'product_07777' AND n.nspname = 'domain_27'""",
    "columns of one table": """SELECT a.attname, a.atttypid, a.atttypmod, a.attnotnull FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid WHERE c.relname = 'product_07777' AND a.attnum > 0 ORDER BY a.attnum""",
    "all columns with types and comments": """SELECT n.nspname, c.relname, a.attname, t.typname, d.description
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum
WHERE a.attnum > 0 AND c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')""",
    # the client here reads 200,000 rows in seconds, whoever sends them
    "the same, counted": """SELECT count(nspname), count(relname), count(attname), count(typname), count(description) FROM (
SELECT n.nspname, c.relname, a.attname, t.typname, d.description
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum
WHERE a.attnum > 0 AND c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')) AS every_column""",
    "keys": """SELECT c.relname, k.conname, k.contype FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid WHERE k.contype IN ('p', 'f', 'u')""",
    "information_schema.tables": "SELECT table_schema, table_name, table_type FROM information_schema.tables",
    "information_schema.columns of one table": """SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = 'domain_27' AND table_name = 'product_07777' ORDER BY ordinal_position""",
}


def empty_table(folder, columns):
    """A Delta table without rows."""
    fields = [{"name": f"column_{n:02d}", "type": TYPES[n % len(TYPES)], "nullable": n > 0, "metadata": {}} for n in range(columns)]
    schema = json.dumps({"type": "struct", "fields": fields})
    metadata = {"id": "catalog-bench", "format": {"provider": "parquet", "options": {}}, "schemaString": schema,
                "partitionColumns": [], "configuration": {}}
    os.makedirs(os.path.join(folder, "_delta_log"))
    with open(os.path.join(folder, "_delta_log", f"{0:020}.json"), "w") as commit:
        for action in ({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, {"metaData": metadata}):
            commit.write(json.dumps(action) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "table")
        empty_table(table, arguments.columns)
        mesh = Mesh(os.path.join(folder, "mesh"))
        domains = [f"domain_{number:02d}" for number in range(50)]
        for domain in domains:
            mesh.domain(domain, [domain])
        mesh.principals({"bench": domains})
        columns = delta_columns(table)
        for number in range(arguments.products):
            name, domain = f"product_{number:05d}", domains[number % len(domains)]
            mesh.product(name, domain, contract(name, domain, table, columns, f"facts number {number}", owner="owner@example.org"))
        with servers.Mesh(arguments.binary, mesh.catalog, os.path.join(folder, "log")) as server:
            connection = Connection(server.port, "bench", "bench", "mesh")
            connection.query("SELECT count(*) FROM data_catalog.products")
            print("| statement | first | then |\n|---|---|---|")
            for what, sql in STATEMENTS.items():
                times = []
                for _ in range(6):
                    started = time.perf_counter()
                    rows = connection.query(sql)
                    times.append((time.perf_counter() - started) * 1e3)
                print(f"| {what} ({len(rows)} rows) | {times[0]:.0f} ms | {statistics.median(times[1:]):.0f} ms |")
                sys.stdout.flush()
            print(f"\nresident: {servers.pss_kib(server.pid) / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
