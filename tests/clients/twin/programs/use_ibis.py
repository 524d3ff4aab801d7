"""ibis: tables, schemas and expressions of a backend."""

import ibis
from transcript import DATABASE, HOST, PASSWORD, PORT, USER, section

db = ibis.postgres.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE)
with section("catalog"):
    print(db.list_catalogs(), sorted(db.list_databases()), db.current_catalog, db.current_database)
    print(sorted(db.list_tables(database="sales")), db.version[:2])
for table in ("orders", "clubs", "v"):
    with section(f"schema {table}"):
        print(db.table(table, database="sales").schema())
with section("rows"):
    print(db.table("orders", database="sales").order_by("id").execute().to_csv(index=False))
orders, clubs = db.table("orders", database="sales"), db.table("clubs", database="sales")
with section("arrow"):
    print(orders.order_by("id").select("id", "day", "amount", "flag").to_pyarrow().to_pylist())
EXPRESSIONS = {
    "filter": lambda: orders.filter((orders.id > 20) & orders.note.notnull()).select("id", "note").order_by("id"),
    "aggregate": lambda: (
        orders.group_by("club_id")
        .agg(n=orders.count(), total=orders.amount.sum(), most=orders.amount.max())
        .order_by(ibis.asc("club_id", nulls_first=True))
    ),
    "join": lambda: orders.join(clubs, orders.club_id == clubs.id).select(orders.id, clubs.name).order_by("id"),
    "window": lambda: (
        orders.mutate(rank=ibis.row_number().over(group_by="club_id", order_by="id"))
        .select("id", "rank")
        .order_by("id")
    ),
    "dates": lambda: orders.select(
        orders.id, month=orders.day.truncate("M"), weekday=orders.day.day_of_week.index(), hour=orders.at.hour()
    ).order_by("id"),
    "strings": lambda: clubs.select(
        clubs.id, up=clubs.name.upper(), first=clubs.name.substr(0, 2), n=clubs.name.length()
    ).order_by("id"),
    "arrays": lambda: orders.select(orders.id, tag=orders.tags.unnest()).order_by("id", "tag"),
    "sql": lambda: db.sql("SELECT id, amount FROM sales.orders WHERE id < 3").order_by("id"),
}
for name, expression in EXPRESSIONS.items():
    with section(name):
        print(expression().execute().to_csv(index=False))
with section("no such table"):
    db.table("nothing", database="sales")
