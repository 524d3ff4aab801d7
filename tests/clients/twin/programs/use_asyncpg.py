"""asyncpg: introspection, prepared statements, cursors, COPY, pools, cancel."""

import asyncio
import io

import asyncpg
from transcript import DSN, section, show


async def connect(**options):
    return await asyncpg.connect(DSN, **options)


async def main():
    with section("session"):
        db = await connect(server_settings={"application_name": "twin", "search_path": "sales"})
        settings = db.get_settings()
        print(settings.application_name, settings.TimeZone, settings.DateStyle, db.get_server_version()[0])
        print(await db.fetchval("SHOW search_path"), await db.fetchval("SELECT count(*) FROM clubs"))
        await db.close()

    db = await connect()
    with section("rows"):
        show(tuple(row.values()) for row in await db.fetch("SELECT * FROM sales.orders ORDER BY id"))

    with section("prepared"):
        statement = await db.prepare(
            "SELECT id, amount, tags, at FROM sales.orders WHERE id > $1 AND day < $2 ORDER BY id"
        )
        for attribute in statement.get_attributes():
            print(attribute.name, attribute.type.name, attribute.type.schema, attribute.type.kind)
        print([parameter.name for parameter in statement.get_parameters()], statement.get_statusmsg())
        import datetime

        show(tuple(row.values()) for row in await statement.fetch(20, datetime.date(2026, 1, 24)))
        print(statement.get_statusmsg())

    with section("parameters"):
        print(
            await db.fetchrow(
                "SELECT $1::int, $2::text, $3::numeric, $4::bytea, $5::bool, $6::int[]",
                1,
                "x",
                "1.50",
                b"\0",
                True,
                [1, None],
            )
        )
        print(await db.fetchval("SELECT count(*) FROM sales.orders WHERE id = ANY($1::int[])", [1, 2, 99]))
        print(await db.fetchval("SELECT $1::jsonb", '{"a": 1}'))

    with section("introspection"):
        print(
            await db.fetchrow(
                "SELECT row(1, 'a'), array[1, 2], '{1}'::oid[], '{a}'::name[], 'x'::\"char\", 'int4'::regtype"
            )
        )
        show([await db.fetchrow("SELECT o FROM sales.clubs o ORDER BY id LIMIT 1")])

    with section("cursor"):
        async with db.transaction(isolation="repeatable_read", readonly=True):
            cursor = await db.cursor("SELECT id FROM sales.orders ORDER BY id")
            print(await cursor.fetchrow(), await cursor.fetch(3))
            print(await cursor.forward(5), await cursor.fetchrow())
            print([row["id"] async for row in db.cursor("SELECT id FROM sales.orders ORDER BY id", prefetch=4)])

    with section("nested transactions"):
        async with db.transaction():
            try:
                async with db.transaction():
                    await db.execute("SELECT 1/0")
            except asyncpg.DivisionByZeroError as error:
                print(error.sqlstate)
            print(await db.fetchval("SELECT 2"), db.is_in_transaction())

    for format in ("binary", "csv", "text"):
        with section(f"copy {format}"):
            out = io.BytesIO()
            print(await db.copy_from_query("SELECT * FROM sales.orders ORDER BY id", output=out, format=format))
            print(out.getvalue())

    with section("copy table"):
        out = io.BytesIO()
        print(
            await db.copy_from_table(
                "clubs",
                schema_name="sales",
                columns=["id", "name"],
                output=out,
                format="csv",
                header=True,
                delimiter=";",
            )
        )
        print(out.getvalue())

    with section("copy parameters"):
        out = io.BytesIO()
        print(await db.copy_from_query("SELECT id FROM sales.orders WHERE id > $1 ORDER BY id", 20, output=out))
        print(out.getvalue())

    with section("simple statements"):
        print(await db.execute("SELECT 1; SELECT 2, 3"))
        print(await db.execute("SET TimeZone = 'Europe/Berlin'"), db.get_settings().TimeZone)
        print(await db.fetchval("SELECT at::text FROM sales.orders WHERE id = 1"))
        await db.reset()
        print(db.get_settings().TimeZone)

    with section("errors"):
        for sql in ("SELECT * FROM nothing", "SELECT 1/0", "SELECT 'x'::int", "SELECT nothing(1)", "SELEC"):
            try:
                await db.fetch(sql)
            except asyncpg.PostgresError as error:
                print(type(error).__name__, error.sqlstate, error.message, error.position, error.severity)

    with section("notifications"):
        got = asyncio.get_running_loop().create_future()
        await db.add_listener("twin", lambda _, pid, channel, payload: got.done() or got.set_result((channel, payload)))
        other = await connect()
        await other.execute("SELECT pg_notify('twin', 'hello')")
        print(await asyncio.wait_for(got, 3))
        await other.close()

    with section("timeout"):
        try:
            await db.fetch("SELECT pg_sleep(10)", timeout=0.3)
        except TimeoutError:
            print("timed out;", await db.fetchval("SELECT 1"))

    await db.close()
    with section("pool"):
        async with asyncpg.create_pool(DSN, min_size=2, max_size=3) as pool:
            print(
                await asyncio.gather(
                    *(pool.fetchval("SELECT $1::int + count(*) FROM sales.clubs", n) for n in range(8))
                )
            )
            async with pool.acquire() as session:
                await session.execute("SET DateStyle = 'German'")
            async with pool.acquire() as session:
                print(await session.fetchval("SHOW DateStyle"))


asyncio.run(main())
