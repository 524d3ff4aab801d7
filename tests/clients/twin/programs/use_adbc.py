"""ADBC's driver for PostgreSQL: Arrow tables, the catalog as objects, schemas."""

import adbc_driver_postgresql.dbapi as adbc
import pyarrow
from transcript import DSN, section

db = adbc.connect(DSN)
with section("driver"):
    info = db.adbc_get_info()
    print(info["vendor_name"], str(info.get("vendor_version"))[:2], db.adbc_current_catalog, db.adbc_current_db_schema)
with section("table types"):
    print(db.adbc_get_table_types())
for table in ("clubs", "orders", "v"):
    with section(f"schema {table}"):
        print(db.adbc_get_table_schema(table, db_schema_filter="sales"))
for depth in ("catalogs", "db_schemas", "tables", "all"):
    with section(f"objects {depth}"):
        found = db.adbc_get_objects(depth=depth, db_schema_filter=None if depth == "db_schemas" else "sales").read_all()
        for catalog in found.to_pylist():
            print(catalog["catalog_name"])
            # the driver asks for no order
            for schema in sorted(catalog["catalog_db_schemas"] or [], key=lambda schema: schema["db_schema_name"]):
                print(" ", schema["db_schema_name"])
                for table in schema["db_schema_tables"] or []:
                    for part, order in (("table_columns", "ordinal_position"), ("table_constraints", "constraint_name")):
                        if table.get(part):
                            table[part].sort(key=lambda entry: entry[order])
                    print("   ", table)
for name, sql in {
    "orders": "SELECT * FROM sales.orders ORDER BY id",
    "expressions": "SELECT 1 AS a, 1.5 AS b, 'x' AS c, NULL AS d, true AS e, now() IS NULL AS f, 1::float8 AS g",
    "aggregates": "SELECT club_id, count(*) AS n, sum(amount) AS total, avg(ratio) AS mean FROM sales.orders GROUP BY 1 ORDER BY 1",
    "join": "SELECT o.id, c.name FROM sales.orders o LEFT JOIN sales.clubs c ON c.id = o.club_id ORDER BY 1",
    "no rows": "SELECT id, amount FROM sales.orders WHERE false",
    "no such table": "SELECT * FROM sales.nothing",
    "an error while it runs": "SELECT 1 / (id - 5) FROM sales.orders",
}.items():
    with section(name), db.cursor() as cursor:
        cursor.execute(sql)
        table = cursor.fetch_arrow_table()
        print(table.schema)
        print(table.to_pylist())
    db.rollback()
with section("parameters"), db.cursor() as cursor:
    cursor.execute("SELECT id, amount FROM sales.orders WHERE id = $1", (5,))
    print(cursor.fetch_arrow_table().to_pylist())
db.rollback()
with section("many parameters"), db.cursor() as cursor:
    cursor.adbc_statement.set_sql_query("SELECT id FROM sales.orders WHERE id = $1")
    cursor.adbc_statement.bind(pyarrow.record_batch({"id": [1, 2, 3]}))
    stream, _ = cursor.adbc_statement.execute_query()
    print(pyarrow.RecordBatchReader._import_from_c(stream.address).read_all().to_pylist())
db.rollback()
with section("schema of a query"), db.cursor() as cursor:
    print(cursor.adbc_execute_schema("SELECT id, amount, at FROM sales.orders"))
db.rollback()
with section("transactions"):
    db.commit()
    auto = adbc.connect(DSN, autocommit=True)
    with auto.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sales.orders")
        print(cursor.fetchall())
    auto.close()
db.close()
