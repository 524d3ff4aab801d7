"""Asks the server in PGHOST, PGPORT what checks.conf says, through asyncpg. Prints `ok NAME …`, exits 1 on a difference."""

import asyncio
import os
import pathlib
import sys

import asyncpg

CHECKS = {}
for line in (pathlib.Path(__file__).parent / "checks.conf").read_text().splitlines():
    if line and not line.startswith("#"):
        key, value = line.split("=", 1)
        CHECKS[key] = value


async def connect(user):
    return await asyncpg.connect(
        host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]), database="mesh", user=user, password=user, ssl="prefer"
    )


def check(name, condition, fact):
    if not condition:
        print(f"DIFFERENT {name}: {fact}")
        sys.exit(1)
    print(f"ok {name} {fact}")


async def refusal(user, sql):
    connection = await connect(user)
    try:
        await connection.fetch(sql)
    except asyncpg.PostgresError as error:
        return error
    finally:
        await connection.close()
    return None


async def main():
    seen = []
    for user in CHECKS["discovery.users"].split(","):
        connection = await connect(user)
        rows = await connection.fetch(CHECKS["discovery.sql"])
        scores = [row["quality_score"] for row in rows]
        check(f"discovery {user}", rows and scores == sorted(scores, reverse=True), f"{len(rows)} rows, scores {scores[:3]}")
        seen.append(rows)
        await connection.close()
    check("discovery differs", seen[0] != seen[1], "between users")

    connection = await connect(CHECKS["count.user"])
    count = await connection.fetchval(CHECKS["count.sql"])
    check("count", count > 0, f"{count} orders")
    tag = await connection.execute(CHECKS["count.sql"])
    check("simple protocol", tag == "SELECT 1", tag)
    rows = await connection.fetch(CHECKS["rows.sql"])
    check("rows", len(rows) == count, f"{len(rows)} rows, first {tuple(rows[0])[:3]}")

    low = rows[0]["order_id"]
    statement = await connection.prepare(CHECKS["prepared.sql.dollar"])
    for attempt in range(2):
        some = await statement.fetch(low, low + 10)
        expected = [(row["order_id"], row["amount"]) for row in rows if low <= row["order_id"] < low + 10]
        check(f"prepared {attempt}", [tuple(row) for row in some] == expected and some, f"{len(some)} rows")
    async with connection.transaction():
        cursor = await connection.cursor(CHECKS["rows.sql"])
        first = await cursor.fetch(7)
        rest = await cursor.fetch(len(rows))
        check("cursor", first + rest == rows, f"{len(first)} and {len(rest)} rows")
    async with connection.transaction():
        portions = [row async for row in connection.cursor(CHECKS["rows.sql"], prefetch=500)]
        check("cursor in portions", portions == rows, f"{len(portions)} rows")
    await connection.close()

    connection = await connect(CHECKS["join.user"])
    rows = await connection.fetch(CHECKS["join.sql"])
    ordered = sorted(rows, key=lambda row: (-row["revenue"], row["campaign_id"]))
    check("join", rows and rows == ordered, f"{len(rows)} rows")
    await connection.close()

    error = await refusal(CHECKS["refused.user"], CHECKS["refused.sql"])
    refused = error and error.sqlstate == CHECKS["refused.sqlstate"] and CHECKS["refused.hint"] in (error.hint or "")
    check("refused", refused, error and f"{error.sqlstate} {error.hint}")
    error = await refusal(CHECKS["missing.user"], CHECKS["missing.sql"])
    missing = error and error.sqlstate == CHECKS["missing.sqlstate"] and error.hint is None
    check("missing", missing, error and f"{error.sqlstate} {error.message}")

    pool = await asyncpg.create_pool(
        host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]), database="mesh", min_size=2, max_size=4,
        user=CHECKS["count.user"], password=CHECKS["count.user"], ssl="prefer",
    )
    async with pool:
        counts = await asyncio.gather(*(pool.fetchval(CHECKS["count.sql"]) for _ in range(8)))
    check("pool", counts == [count] * 8, "8 queries over 4 connections")


asyncio.run(main())
