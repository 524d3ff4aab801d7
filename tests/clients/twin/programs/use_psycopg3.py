"""psycopg 3: named cursors, COPY in both formats, pipelines, pools, type information, cancel."""

import threading
import time

import psycopg
from psycopg import rows, sql
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo
from psycopg_pool import ConnectionPool
from transcript import DSN, section, show


def connect(**options):
    return psycopg.connect(DSN, **options)


def described(cursor):
    for c in cursor.description:
        print(f"column {c.name!r} {c.type_code} {c.type_display} {c.internal_size} {c.precision} {c.scale}")


with section("session"), connect(application_name="twin") as db:
    info = db.info
    print(
        info.dbname,
        info.user,
        info.encoding,
        info.timezone,
        info.status,
        info.transaction_status,
        info.server_version // 10000,
    )
    for name in (
        "client_encoding",
        "DateStyle",
        "IntervalStyle",
        "TimeZone",
        "application_name",
        "standard_conforming_strings",
    ):
        print(name, info.parameter_status(name))

for binary in (False, True):
    with section(f"rows binary={binary}"), connect() as db, db.cursor(binary=binary) as cursor:
        cursor.execute("SELECT * FROM sales.orders ORDER BY id")
        described(cursor)
        show(cursor)
        print(cursor.rowcount, cursor.statusmessage)

with section("parameters"), connect() as db:
    show(
        db.execute(
            "SELECT id, amount FROM sales.orders WHERE id = ANY(%s) AND day > %s ORDER BY 1", ([1, 2, 3], "2026-01-01")
        )
    )
    cursor = db.execute("SELECT %s, %s, %s, %s, %b, %t", (1, "it's", None, 1.5, 70000, b"\0\1"))
    described(cursor)
    show(cursor)
    show(
        db.execute(
            sql.SQL("SELECT {} FROM {} WHERE {} = %s").format(
                *map(sql.Identifier, ["name"]), sql.Identifier("sales", "clubs"), sql.Identifier("id")
            ),
            (1,),
        )
    )
    for _ in range(7):
        print(db.execute("SELECT count(*) FROM sales.orders WHERE id > %s", (3,), prepare=True).fetchone())

with section("server cursor"), connect() as db:
    with db.cursor("srv") as cursor:
        cursor.itersize = 5
        cursor.execute("SELECT id FROM sales.orders ORDER BY id")
        described(cursor)
        print(cursor.fetchone(), cursor.fetchmany(3))
        cursor.scroll(2)
        print([row[0] for row in cursor], cursor.statusmessage)

with section("binary server cursor"), connect() as db:
    with db.cursor("srv", binary=True) as cursor:
        cursor.execute("SELECT * FROM sales.orders ORDER BY id")
        show(cursor.fetchmany(5))

with section("scrollable server cursor"), connect() as db:
    with db.cursor("srv", scrollable=True) as cursor:
        cursor.execute("SELECT id FROM sales.orders ORDER BY id")
        print(cursor.fetchmany(4))
        cursor.scroll(-2)
        print(cursor.fetchone())
        cursor.scroll(20, mode="absolute")
        print(cursor.fetchall())

with section("server cursor with hold"), connect(autocommit=True) as db:
    with db.cursor("srv", withhold=True) as cursor:
        cursor.execute("SELECT id FROM sales.orders ORDER BY id")
        print(cursor.fetchmany(4), cursor.fetchmany(2))

for format in ("text", "csv", "binary"):
    with section(f"copy {format}"), connect() as db, db.cursor() as cursor:
        with cursor.copy(f"COPY (SELECT * FROM sales.orders ORDER BY id) TO STDOUT (FORMAT {format})") as copy:
            print(b"".join(copy))
        print(cursor.rowcount, cursor.statusmessage)

with section("copy rows"), connect() as db, db.cursor() as cursor:
    with cursor.copy(
        "COPY (SELECT id, day, amount, at FROM sales.orders ORDER BY id) TO STDOUT (FORMAT binary)"
    ) as copy:
        copy.set_types(["int4", "date", "numeric", "timestamptz"])
        show(copy.rows())

with section("pipeline"), connect() as db:
    with db.pipeline():
        cursors = [db.execute("SELECT %s::int * 2", (n,)) for n in range(5)]
        table = db.execute("SELECT count(*) FROM sales.orders")
    print([cursor.fetchone() for cursor in cursors], table.fetchone())

with section("pipeline with an error"), connect() as db:
    with db.pipeline():
        first = db.execute("SELECT 1")
        db.execute("SELECT 1/0")
        db.execute("SELECT 2")

with (
    section("pool"),
    ConnectionPool(DSN, min_size=2, max_size=4, open=True, check=ConnectionPool.check_connection) as pool,
):
    for n in range(6):
        with pool.connection() as db:
            print(db.execute("SELECT %s::text", (n,)).fetchone(), db.info.transaction_status)

with section("transactions"), connect() as db:
    with db.transaction():
        print(db.info.transaction_status)
        try:
            with db.transaction():
                db.execute("SELECT 1/0")
        except psycopg.errors.DivisionByZero as error:
            print(error.sqlstate, db.info.transaction_status)
        print(db.execute("SELECT 1").fetchone())
    db.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    db.read_only = True
    print(db.execute("SHOW transaction_isolation").fetchone(), db.execute("SHOW transaction_read_only").fetchone())

with section("types"), connect() as db:
    for name in (
        "int4",
        "numeric",
        "text",
        "timestamptz",
        "bool",
        "uuid",
        "jsonb",
        "oid",
        "name",
        "regclass",
        "int4range",
        "hstore",
    ):
        info = TypeInfo.fetch(db, name)
        print(name, info and (info.name, info.oid, info.array_oid, info.regtype, info.delimiter))
    print(TypeInfo.fetch(db, sql.Identifier("numeric")).oid)

with section("composite types"), connect() as db:
    info = CompositeInfo.fetch(db, "sales.clubs")
    print(info and (info.name, info.regtype, info.field_names, info.field_types))

with section("row factories"), connect(row_factory=rows.dict_row) as db:
    show(db.execute("SELECT id, name FROM sales.clubs ORDER BY id"))

with section("client cursor"), psycopg.connect(DSN, cursor_factory=psycopg.ClientCursor) as db:
    show(db.execute("SELECT %s, %s, %s", (1, "it's \\", [1, None])))

with section("several statements"), connect(autocommit=True) as db:
    cursor = db.execute("SELECT 1; SELECT 2; SHOW DateStyle")
    print(cursor.fetchall(), cursor.nextset(), cursor.fetchall(), cursor.nextset(), cursor.fetchall(), cursor.nextset())

with section("errors"), connect(autocommit=True) as db:
    for statement in (
        "SELECT * FROM nothing",
        "SELECT 1/0",
        "SELECT %s::int",
        "SELECT nothing",
        "SELECT 1 FROM sales.orders GROUP",
    ):
        try:
            db.execute(statement, ("x",) if "%s" in statement else None)
        except psycopg.Error as error:
            diag = error.diag
            print(type(error).__name__, error.sqlstate, diag.severity, diag.message_primary, diag.statement_position)

with section("notifications"), connect(autocommit=True) as db, connect(autocommit=True) as other:
    db.execute("LISTEN twin")
    other.execute("SELECT pg_notify('twin', 'hello')")
    print([(notify.channel, notify.payload) for notify in db.notifies(timeout=3, stop_after=1)])

with section("cancel"), connect() as db:
    threading.Timer(0.3, db.cancel_safe).start()
    db.execute("SELECT pg_sleep(10)")

with section("cancel copy"), connect() as db, db.cursor() as cursor:

    def cancel():
        began.append(time.monotonic())
        db.cancel_safe()

    began = []
    threading.Timer(0.5, cancel).start()
    try:
        with cursor.copy("COPY (SELECT o.* FROM sales.orders o, generate_series(1, 10000000)) TO STDOUT") as copy:
            for _ in copy:
                pass
    finally:
        print("within a second", time.monotonic() - began[0] < 1)
