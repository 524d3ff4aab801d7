"""psqlODBC's catalog functions, as Power BI, Excel, Tableau and Access call them, and its ways to fetch."""

import glob

import pyodbc
from transcript import DATABASE, HOST, PASSWORD, PORT, USER, section, show

DRIVER = glob.glob("/usr/lib/*/odbc/psqlodbcw.so")[0]


def connect(**options):
    more = "".join(f";{name}={value}" for name, value in options.items())
    target = f"DRIVER={DRIVER};SERVER={HOST};PORT={PORT};DATABASE={DATABASE};UID={USER};PWD={PASSWORD}"
    return pyodbc.connect(target + more, autocommit=True)


db = connect()
with section("driver"):
    for name in (
        "SQL_DBMS_NAME",
        "SQL_DATABASE_NAME",
        "SQL_USER_NAME",
        "SQL_IDENTIFIER_QUOTE_CHAR",
        "SQL_DEFAULT_TXN_ISOLATION",
        "SQL_DATA_SOURCE_READ_ONLY",
    ):
        print(name, db.getinfo(getattr(pyodbc, name)))
CATALOG = {
    "tables": lambda c: c.tables(),
    "tables of a schema": lambda c: c.tables(schema="sales", tableType="TABLE,VIEW"),
    "schemas": lambda c: c.tables(catalog="", schema="%", table=""),
    "catalogs": lambda c: c.tables(catalog="%", schema="", table=""),
    "columns": lambda c: c.columns(schema="sales"),
    "columns of a table": lambda c: c.columns(table="orders", schema="sales"),
    "primary keys": lambda c: c.primaryKeys("orders", schema="sales"),
    "foreign keys": lambda c: c.foreignKeys(foreignTable="orders", foreignSchema="sales"),
    "referring keys": lambda c: c.foreignKeys(table="clubs", schema="sales"),
    "statistics": lambda c: c.statistics("clubs", schema="sales"),
    "unique statistics": lambda c: c.statistics("clubs", schema="sales", unique=True),
    "row id": lambda c: c.rowIdColumns("orders", schema="sales"),
    "row version": lambda c: c.rowVerColumns("orders", schema="sales"),
    "procedures": lambda c: c.procedures(schema="pg_catalog", procedure="date_trunc"),
    "procedure columns": lambda c: c.procedureColumns(schema="pg_catalog", procedure="date_trunc"),
    "types": lambda c: c.getTypeInfo(),
}
for name, call in CATALOG.items():
    with section(name):
        cursor = call(db.cursor())
        names = [column[0] for column in cursor.description]
        print(names)
        # OIDs of tables are each server's own
        rows = [["OID" if "oid" in name else value for name, value in zip(names, row)] for row in cursor.fetchall()]
        # of other sessions' temporary tables
        show(row for row in rows if not any(str(value).startswith(("pg_temp_", "pg_toast_temp_")) for value in row))
SQL = "SELECT id, day, amount, note, at, j, club_id, big, small, flag, ratio, score, blob, local_at FROM sales.orders ORDER BY id"
for name, options in {
    "rows": {},
    "rows by declare and fetch": {"UseDeclareFetch": 1, "Fetch": 7},
    "rows by the simple protocol": {"UseServerSidePrepare": 0},
    "rows with bools as chars": {"BoolsAsChar": 1, "TextAsLongVarchar": 0, "UnknownSizes": 1},
}.items():
    with section(name), connect(**options) as other:
        cursor = other.execute(SQL)
        for column in cursor.description:
            print(column)
        show(cursor.fetchall())
with section("parameters"):
    cursor = db.execute("SELECT id, amount FROM sales.orders WHERE id > ? AND note LIKE ? ORDER BY id", 3, "%o%")
    show(cursor.fetchall())
    show(db.execute("SELECT {fn ucase('a')}, {d '2026-01-01'}, {fn length(?)}", "four").fetchall())
with section("transaction"), connect() as other:
    other.autocommit = False
    show(other.execute("SELECT count(*) FROM sales.orders").fetchall())
    other.rollback()
for sql in ("SELECT * FROM sales.nothing", "SELECT 1/0", "SELEC", "DELETE FROM sales.clubs"):
    with section(f"error {sql}"):
        db.execute(sql)
