"""pg8000, a driver in pure Python: its own protocol code, its own ideas of types."""

import pg8000.native
from transcript import DATABASE, HOST, PASSWORD, PORT, USER, section, show

db = pg8000.native.Connection(USER, host=HOST, port=PORT, database=DATABASE, password=PASSWORD, application_name="twin")
with section("session"):
    for name in ("client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings"):
        print(name, db.parameter_statuses[name])
with section("rows"):
    show(db.run("SELECT * FROM sales.orders ORDER BY id"))
    print(
        [(column["name"], column["type_oid"], column["type_size"], column["type_modifier"]) for column in db.columns],
        db.row_count,
    )
with section("parameters"):
    show(
        db.run(
            "SELECT id, amount FROM sales.orders WHERE id = ANY(:ids) AND day > :day ORDER BY id",
            ids=[1, 2, 3],
            day="2026-01-01",
        )
    )
    show(
        db.run(
            "SELECT CAST(:a AS int), CAST(:b AS text), CAST(:c AS bytea), CAST(:d AS jsonb)",
            a=1,
            b=None,
            c=b"\0",
            d='{"a": [1]}',
        )
    )
with section("prepared"):
    statement = db.prepare("SELECT note FROM sales.orders WHERE id = :id")
    for number in (1, 3, 99):
        show(statement.run(id=number))
    statement.close()
with section("copy"):
    lines = []

    class Out:
        def write(self, data):
            lines.append(bytes(data))

    db.run("COPY sales.clubs TO STDOUT WITH (FORMAT csv, HEADER)", stream=Out())
    print(b"".join(lines))
with section("transaction"):
    db.run("START TRANSACTION READ ONLY")
    show(db.run("SHOW transaction_read_only"))
    db.run("COMMIT")
with section("values"):
    show(
        db.run(
            "SELECT interval '1 year 2 days 03:04:05', time '01:02:03', uuid '00000000-0000-4000-8000-000000000001', point(1, 2), 1::money::numeric, int4range(1, 5), '{1,2}'::int[], true, 'x'::name, inet '10.0.0.1'"
        )
    )
for sql in ("SELECT * FROM nothing", "SELECT 1/0", "SELEC"):
    with section(f"error {sql}"):
        try:
            db.run(sql)
        except pg8000.native.DatabaseError as error:
            print(sorted((key, value) for key, value in error.args[0].items() if key in "SCMP"))
with section("notifications"):
    db.run("LISTEN twin")
    db.run("NOTIFY twin, 'hello'")
    db.run("SELECT 1")
    print([(channel, payload) for _, channel, payload in db.notifications])
db.close()
