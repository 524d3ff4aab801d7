"""DuckDB attaches the server as a database: its catalog, scans in binary COPY with filters pushed down, joins with its own tables."""

from pathlib import Path

import duckdb
import duckdb_extension_postgres_scanner as extension
from transcript import DATABASE, HOST, PASSWORD, PORT, USER, section, show

db = duckdb.connect(config={"allow_unsigned_extensions": "true", "threads": 1})
file = next(Path(extension.__file__).parent.glob("extensions/*/postgres_scanner.duckdb_extension"))
db.execute(f"LOAD '{file}'")
target = f"host={HOST} port={PORT} dbname={DATABASE} user={USER} password={PASSWORD}"
with section("attach"):
    db.execute(f"ATTACH '{target}' AS mesh (TYPE postgres, READ_ONLY)")
with section("tables"):
    show(db.execute("SELECT schema, name FROM (SHOW ALL TABLES) WHERE schema = 'sales' ORDER BY 1, 2").fetchall())
for table in ("clubs", "orders", "v"):
    with section(f"describe {table}"):
        show(db.execute(f"DESCRIBE mesh.sales.{table}").fetchall())
with section("constraints"):
    show(
        db.execute(
            "SELECT table_name, constraint_type, constraint_column_names FROM duckdb_constraints() WHERE database_name = 'mesh' AND schema_name = 'sales' ORDER BY ALL"
        ).fetchall()
    )
with section("rows"):
    show(db.execute("SELECT * FROM mesh.sales.orders ORDER BY id").fetchall())
with section("filters"):
    db.execute("SET pg_experimental_filter_pushdown = true")
    show(
        db.execute(
            "SELECT id, note FROM mesh.sales.orders WHERE id > 5 AND day < DATE '2026-01-20' AND amount > 0 AND note IS NOT NULL ORDER BY id"
        ).fetchall()
    )
with section("join with a table of its own"):
    db.execute("CREATE TABLE local AS SELECT range AS id FROM range(5)")
    show(
        db.execute(
            "SELECT l.id, c.name, sum(o.amount) FROM local l JOIN mesh.sales.clubs c USING (id) JOIN mesh.sales.orders o ON o.club_id = c.id GROUP BY ALL ORDER BY 1"
        ).fetchall()
    )
with section("a query sent as it is"):
    show(
        db.execute(
            "SELECT * FROM postgres_query('mesh', 'SELECT club_id, count(*) AS n FROM sales.orders GROUP BY 1 ORDER BY 1')"
        ).fetchall()
    )
with section("write"):
    db.execute("CREATE TABLE mesh.sales.t (i INTEGER)")
