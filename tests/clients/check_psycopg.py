"""Asks the server in PGHOST, PGPORT what checks.conf says, through psycopg 3. Prints `ok NAME …`, exits 1 on a difference."""

import os
import pathlib
import sys

import psycopg

CHECKS = {}
for line in (pathlib.Path(__file__).parent / "checks.conf").read_text().splitlines():
    if line and not line.startswith("#"):
        key, value = line.split("=", 1)
        CHECKS[key] = value


def connect(user, **options):
    return psycopg.connect(
        host=os.environ["PGHOST"], port=os.environ["PGPORT"], dbname="mesh", user=user, password=user, **options
    )


def check(name, condition, fact):
    if not condition:
        print(f"DIFFERENT {name}: {fact}")
        sys.exit(1)
    print(f"ok {name} {fact}")


def refusal(user, sql):
    with connect(user) as connection:
        try:
            connection.execute(sql).fetchall()
        except psycopg.Error as error:
            return error.diag
    return None


def main():
    seen = []
    for user in CHECKS["discovery.users"].split(","):
        answers = []
        for binary in (False, True):
            with connect(user) as connection, connection.cursor(binary=binary) as cursor:
                answers.append(cursor.execute(CHECKS["discovery.sql"]).fetchall())
        check(f"discovery {user} text=binary", answers[0] == answers[1] and answers[0], f"{len(answers[0])} rows")
        scores = [row[5] for row in answers[0]]
        check(f"discovery {user} order", scores == sorted(scores, reverse=True), f"scores {scores[:3]}")
        seen.append(answers[0])
    check("discovery differs", seen[0] != seen[1], "between users")

    with connect(CHECKS["count.user"]) as connection:
        count = connection.execute(CHECKS["count.sql"]).fetchone()[0]
        check("count", count > 0, f"{count} orders")

    with connect(CHECKS["rows.user"]) as connection:
        text = connection.execute(CHECKS["rows.sql"]).fetchall()
        binary = connection.execute(CHECKS["rows.sql"], binary=True).fetchall()
        check("rows text=binary", text == binary and len(text) == count, f"{len(text)} rows, first {text[0][:3]}")
        low = text[0][0]
        for attempt in range(3):
            cursor = connection.execute(CHECKS["prepared.sql.percent"], (low, low + 10), prepare=True, binary=attempt == 2)
            rows = cursor.fetchall()
            expected = [(row[0], row[2]) for row in text if low <= row[0] < low + 10]
            check(f"prepared {attempt}", rows == expected and rows, f"{len(rows)} rows")
        with connection.cursor(name="named") as cursor:
            cursor.itersize = 500
            cursor.execute(CHECKS["rows.sql"])
            rows = cursor.fetchmany(7) + cursor.fetchall()
            check("cursor", rows == text, f"{len(rows)} rows in portions")
        with connection.pipeline():
            cursors = [connection.execute("select %s::int", (n,)) for n in range(5)]
        check("pipeline", [c.fetchone()[0] for c in cursors] == list(range(5)), "5 statements")

    with connect(CHECKS["join.user"]) as connection:
        rows = connection.execute(CHECKS["join.sql"]).fetchall()
        check("join", rows and rows == sorted(rows, key=lambda row: (-row[2], row[0])), f"{len(rows)} rows")

    diag = refusal(CHECKS["refused.user"], CHECKS["refused.sql"])
    refused = diag and diag.sqlstate == CHECKS["refused.sqlstate"] and CHECKS["refused.hint"] in (diag.message_hint or "")
    check("refused", refused, diag and f"{diag.sqlstate} {diag.message_hint}")
    diag = refusal(CHECKS["missing.user"], CHECKS["missing.sql"])
    missing = diag and diag.sqlstate == CHECKS["missing.sqlstate"] and diag.message_hint is None
    check("missing", missing, diag and f"{diag.sqlstate} {diag.message_primary}")

    with connect(CHECKS["count.user"], autocommit=True) as connection:
        try:
            connection.execute(CHECKS["missing.sql"])
        except psycopg.Error:
            pass
        again = connection.execute(CHECKS["count.sql"]).fetchone()[0]
        check("after an error", again == count, "the session goes on")


main()
