"""SQLAlchemy: reflection with comments and keys; pandas on top of it."""

import datetime

import pandas
import sqlalchemy as sa
from sqlalchemy import inspect, text
from transcript import DSN, section, show

engine = sa.create_engine(DSN.replace("postgresql:", "postgresql+psycopg:"))
inspector = inspect(engine)
with section("schemas"):
    print([name for name in inspector.get_schema_names()], inspector.default_schema_name)
with section("tables"):
    print(
        inspector.get_table_names("sales"),
        inspector.get_view_names("sales"),
        inspector.get_materialized_view_names("sales"),
    )
    print(
        inspector.get_sequence_names("sales"), inspector.get_temp_table_names(), inspector.has_table("orders", "sales")
    )
    print(inspector.has_table("orders"), inspector.has_schema("sales"), inspector.get_foreign_table_names("sales"))
for table in ("clubs", "orders", "v"):
    with section(f"table {table}"):
        for column in inspector.get_columns(table, "sales"):
            print({**column, "type": repr(column["type"])})
        print("primary key", inspector.get_pk_constraint(table, "sales"))
        print("foreign keys", inspector.get_foreign_keys(table, "sales"))
        print("indexes", inspector.get_indexes(table, "sales"))
        print("unique", inspector.get_unique_constraints(table, "sales"))
        print("checks", inspector.get_check_constraints(table, "sales"))
        print("comment", inspector.get_table_comment(table, "sales"))
        print("options", inspector.get_table_options(table, "sales"))
with section("all at once"):
    for name in (
        "get_multi_columns",
        "get_multi_pk_constraint",
        "get_multi_foreign_keys",
        "get_multi_indexes",
        "get_multi_table_comment",
    ):
        found = getattr(inspector, name)(schema="sales")
        print(name, sorted((key[1], str(value)) for key, value in found.items()))
with section("enums and domains"):
    print(inspector.get_enums("sales"), inspector.get_domains("sales"))
with section("no such table"):
    inspector.get_columns("nothing", "sales")
with section("reflected"):
    metadata = sa.MetaData()
    metadata.reflect(engine, schema="sales")
    orders, clubs = metadata.tables["sales.orders"], metadata.tables["sales.clubs"]
    print(sorted(metadata.tables), [str(key.target_fullname) for key in orders.foreign_keys])
    statement = (
        sa.select(clubs.c.name, sa.func.count(), sa.func.sum(orders.c.amount))
        .select_from(orders.join(clubs))
        .group_by(clubs.c.name)
        .order_by(clubs.c.name)
    )
    with engine.connect() as db:
        show(db.execute(statement))
with section("expressions"), engine.connect() as db:
    c = orders.c
    show(
        db.execute(
            sa.select(
                c.id,
                sa.cast(c.amount, sa.Integer),
                sa.extract("dow", c.day),
                c.note.ilike("%O%"),
                sa.case((c.flag, "yes"), else_="no"),
            )
            .where(c.id.in_([1, 2, 3, 4]), c.day.between(datetime.date(2026, 1, 1), datetime.date(2026, 1, 4)))
            .order_by(c.id.desc())
        )
    )
    show(
        db.execute(
            sa.select(c.club_id, sa.func.array_agg(sa.dialects.postgresql.aggregate_order_by(c.id, c.id.desc())))
            .where(c.tags.any("a") | c.club_id.is_(None))
            .group_by(c.club_id)
            .order_by(c.club_id.nulls_first())
        )
    )
    show(
        db.execute(
            sa.select(c.id, sa.func.row_number().over(partition_by=c.club_id, order_by=c.id))
            .order_by(c.id)
            .limit(5)
            .offset(2)
        )
    )
    show(db.execute(sa.select(c.id).where(sa.exists().where(clubs.c.id == c.club_id)).order_by(c.id).fetch(3)))
    nested = sa.select(sa.func.max(c.amount)).where(c.club_id == clubs.c.id).scalar_subquery()
    show(db.execute(sa.select(clubs.c.name, nested.label("most")).order_by(clubs.c.id)))
    lateral = sa.select(c.id, c.amount).where(c.club_id == clubs.c.id).order_by(c.id.desc()).limit(1).lateral("last")
    show(db.execute(sa.select(clubs.c.name, lateral.c.id).join(lateral, sa.true()).order_by(clubs.c.id)))
with section("stream"), engine.connect().execution_options(stream_results=True, max_row_buffer=4) as db:
    show(db.execute(text("SELECT id FROM sales.orders ORDER BY id")).partitions(10))
with section("isolation levels"):
    for level in ("AUTOCOMMIT", "REPEATABLE READ", "SERIALIZABLE"):
        with engine.connect().execution_options(isolation_level=level) as db:
            print(level, db.get_isolation_level(), db.execute(text("SELECT 1")).scalar())
with section("pandas read_sql"):
    frame = pandas.read_sql("SELECT * FROM sales.orders ORDER BY id", engine)
    print(frame.dtypes.to_string())
    print(frame.to_csv(index=False))
with section("pandas read_sql_table"):
    frame = pandas.read_sql_table("orders", engine, schema="sales", index_col="id", columns=["day", "amount", "note"])
    print(frame.sort_index().to_csv())
with section("pandas in portions"):
    for frame in pandas.read_sql("SELECT id, amount FROM sales.orders ORDER BY id", engine, chunksize=10):
        print(len(frame), frame["amount"].sum())
with section("pandas parameters"):
    print(
        pandas.read_sql(
            text("SELECT id FROM sales.orders WHERE id > :id ORDER BY id"), engine, params={"id": 20}
        ).to_csv(index=False)
    )
with section("psycopg2 dialect"):
    other = sa.create_engine(DSN.replace("postgresql:", "postgresql+psycopg2:"))
    print(
        inspect(other).get_table_names("sales"),
        pandas.read_sql("SELECT * FROM sales.clubs ORDER BY id", other).to_csv(),
    )
