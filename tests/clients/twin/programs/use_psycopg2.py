"""psycopg2: named cursors, COPY, isolation, notifications, cancel, errors."""

import io
import select
import threading
import time

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from transcript import DSN, section, show


def connect(**options):
    return psycopg2.connect(DSN, **options)


def described(cursor):
    for c in cursor.description:
        print(f"column {c.name!r} {c.type_code} {c.internal_size} {c.precision} {c.scale}")


with section("session"), connect(application_name="twin", options="-c statement_timeout=60s") as db:
    for name in ("client_encoding", "DateStyle", "IntervalStyle", "TimeZone", "application_name", "is_superuser"):
        print(name, db.get_parameter_status(name))
    print(db.encoding, db.status, db.info.dbname, db.info.transaction_status, db.server_version // 10000)
    cursor = db.cursor()
    for name in ("application_name", "statement_timeout", "transaction_isolation", "search_path"):
        cursor.execute(f"SHOW {name}")
        print(name, cursor.fetchone(), cursor.statusmessage)

with section("rows"), connect() as db, db.cursor() as cursor:
    cursor.execute("SELECT * FROM sales.orders ORDER BY id")
    described(cursor)
    show(tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cursor)
    print(cursor.rowcount, cursor.statusmessage)

with section("parameters"), connect() as db, db.cursor() as cursor:
    cursor.execute(
        "SELECT id, amount FROM sales.orders WHERE id = ANY(%s) AND day > %s ORDER BY 1", ([1, 2, 3], "2026-01-01")
    )
    show(cursor.fetchall())
    cursor.execute("SELECT %s, %s, %s, %s::numeric, %s::bytea", (1, "it's", None, "1.50", psycopg2.Binary(b"\0\1")))
    described(cursor)
    print([bytes(v) if isinstance(v, memoryview) else v for v in cursor.fetchone()])
    cursor.execute("SELECT id FROM sales.orders WHERE note LIKE %s ORDER BY id", ("%o%",))
    show(cursor)
    print(cursor.mogrify("SELECT %s, %s", ([1, 2], "\\")))

with section("named cursor"), connect() as db:
    with db.cursor(name="named") as cursor:
        cursor.itersize = 5
        cursor.execute("SELECT id FROM sales.orders ORDER BY id")
        print(cursor.fetchone(), cursor.fetchmany(3))
        cursor.scroll(2)
        print(cursor.fetchone(), [row[0] for row in cursor])

with section("scrollable cursor"), connect() as db:
    with db.cursor(name="sc", scrollable=True) as cursor:
        cursor.execute("SELECT id FROM sales.orders ORDER BY id")
        print(cursor.fetchmany(4))
        cursor.scroll(-2)
        print(cursor.fetchone())
        cursor.scroll(20, mode="absolute")
        print(cursor.fetchall())
        cursor.scroll(0, mode="absolute")
        print(cursor.fetchone())

with section("cursor with hold"):
    db = connect()
    cursor = db.cursor(name="held", withhold=True)
    cursor.execute("SELECT id FROM sales.orders ORDER BY id")
    db.commit()
    print(cursor.fetchmany(3))
    db.commit()
    print(cursor.fetchmany(3))
    cursor.close()
    db.close()

for name, sql in {
    "copy csv": "COPY (SELECT * FROM sales.orders ORDER BY id) TO STDOUT CSV HEADER",
    "copy text": "COPY (SELECT * FROM sales.orders ORDER BY id) TO STDOUT",
    "copy binary": "COPY (SELECT * FROM sales.orders ORDER BY id) TO STDOUT (FORMAT binary)",
    "copy options": "COPY sales.clubs (name, founded) TO STDOUT (FORMAT csv, DELIMITER ';', NULL 'nil', FORCE_QUOTE *, QUOTE '''')",
    "copy delimiter": "COPY sales.clubs TO STDOUT WITH DELIMITER AS '|' NULL AS 'none'",
    "copy escape": "COPY sales.clubs TO STDOUT (FORMAT csv, FORCE_QUOTE (name), ESCAPE '!', HEADER true, ENCODING 'LATIN1')",
    "copy unknown option": "COPY sales.clubs TO STDOUT (FORMAT csv, COLOUR red)",
    "copy to a file": "COPY sales.clubs TO '/tmp/file'",
}.items():
    with section(name), connect() as db, db.cursor() as cursor:
        out = io.BytesIO()
        cursor.copy_expert(sql, out)
        print(repr(out.getvalue()), cursor.rowcount, cursor.statusmessage)

with section("copy_to"), connect(options="-c search_path=sales") as db, db.cursor() as cursor:
    out = io.StringIO()
    cursor.copy_to(out, "clubs", columns=("id", "name"))
    print(repr(out.getvalue()))

with section("copy from"), connect() as db, db.cursor() as cursor:
    cursor.copy_expert("COPY sales.clubs FROM STDIN", io.StringIO("9\tnone\t\\N\n"))

with section("isolation"), connect() as db:
    db.set_session(isolation_level="REPEATABLE READ", readonly=True)
    cursor = db.cursor()
    cursor.execute("SHOW transaction_isolation")
    print(cursor.fetchone(), db.info.transaction_status)
    cursor.execute("SHOW transaction_read_only")
    print(cursor.fetchone())
    db.rollback()
    print(db.info.transaction_status)


def errors(statements):
    db = connect()
    for sql in statements:
        try:
            db.cursor().execute(sql)
            print(sql, "succeeds")
        except psycopg2.Error as error:
            diag = error.diag
            print(
                sql,
                type(error).__name__,
                error.pgcode,
                diag.message_primary,
                diag.statement_position,
                diag.message_hint,
            )
        db.rollback()
    db.close()


ERRORS = [
    "SELECT * FROM sales.nothing",
    "SELECT nothing FROM sales.orders",
    "SELECT * FROM nowhere.orders",
    "SELEC 1",
    "SELECT 1/0",
    "SELECT 'x'::int",
    "SELECT no_function(1)",
    "SELECT sum(id), day FROM sales.orders",
    "SELECT 2147483647 + 1",
    "SELECT '2026-13-01'::date",
    "SET nothing = 1",
    "SHOW nothing",
    "SELECT set_config('nothing', 'x', false)",
    "SET TimeZone = 'Nowhere'",
    "SET statement_timeout = 'long'",
    "FETCH FROM nothing",
    "EXECUTE nothing",
    "ROLLBACK TO nothing",
]
with section("errors"):
    errors(ERRORS)

WRITES = [
    "INSERT INTO sales.clubs VALUES (9, 'none')",
    "UPDATE sales.clubs SET name = 'x'",
    "DELETE FROM sales.clubs",
    "TRUNCATE sales.clubs",
    "DROP TABLE sales.clubs",
    "CREATE TABLE sales.t (i int)",
]
with section("writes"):
    errors(WRITES)

with section("dictionaries"), connect(cursor_factory=psycopg2.extras.RealDictCursor) as db, db.cursor() as cursor:
    cursor.execute("SELECT id, name FROM sales.clubs ORDER BY id")
    print([dict(row) for row in cursor.fetchall()])

with section("notifications"):
    db = connect()
    db.autocommit = True
    db.cursor().execute("LISTEN twin")
    other = connect()
    other.autocommit = True
    other.cursor().execute("NOTIFY twin, 'hello'")
    other.cursor().execute("SELECT pg_notify('twin', 'again')")
    select.select([db], [], [], 5)
    time.sleep(0.2)
    db.poll()
    print([(notice.channel, notice.payload) for notice in db.notifies])
    db.cursor().execute("UNLISTEN *")

with section("cancel"):
    db = connect()
    threading.Timer(0.3, db.cancel).start()
    db.cursor().execute("SELECT pg_sleep(10)")

with section("reset"):
    db = connect()
    db.cursor().execute("SET application_name = 'x'; SET DateStyle = 'German'")
    db.reset()
    cursor = db.cursor()
    cursor.execute("SELECT current_setting('DateStyle'), current_setting('application_name')")
    print(cursor.fetchone())
    db.close()
