"""The data that both servers have: tables, keys, comments, users. It owns values; `postgres` and `mesh` load them."""

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal

UTC = dt.timezone.utc


@dataclass
class Column:
    name: str
    # PostgreSQL's type, which is also the contract's physical type
    type: str
    comment: str | None = None
    required: bool = False
    key: bool = False
    unique: bool = False
    # (table, column) that the values are a key of
    references: tuple | None = None


@dataclass
class Table:
    schema: str
    name: str
    comment: str
    columns: list
    rows: list = field(default_factory=list)


OWNER = "sales_owner"
# (user, groups): passwords are the users' names
USERS = [("sales_analyst", ["sales"]), ("sales_owner", ["sales"]), ("outsider", [])]
DATABASE = "mesh"
DATABASE_COMMENT = "One data set in two servers"
SCHEMAS = {"sales": "Orders and what became of them"}

CLUBS = Table(
    "sales",
    "clubs",
    "Clubs that members order for",
    [
        Column("id", "integer", "Number of the club", required=True, key=True),
        Column("name", "text", "Its name, told only once", required=True, unique=True),
        Column("founded", "date"),
    ],
    [
        (1, "Rowing", dt.date(1887, 5, 1)),
        (2, 'Chess \\ "Go"', None),
        (3, "Ümläut, tab\tand\nline", dt.date(2024, 2, 29)),
    ],
)

ORDERS = Table(
    "sales",
    "orders",
    "Every order, one row for each",
    [
        Column("id", "integer", "Number of the order", required=True, key=True),
        Column("day", "date", "Day of the order", required=True),
        Column("amount", "numeric(12,2)", "Total in euro"),
        Column("note", "character varying(40)", "What the customer wrote"),
        Column("at", "timestamp with time zone", "When it was placed"),
        Column("tags", "text[]", "Labels, the most important first"),
        Column("j", "text"),
        Column("u", "text"),
        Column("iv", "text"),
        Column("club_id", "integer", "For whom", references=("clubs", "id")),
        Column("big", "bigint"),
        Column("small", "smallint"),
        Column("flag", "boolean"),
        Column("ratio", "double precision"),
        Column("score", "real"),
        Column("blob", "bytea"),
        Column("local_at", "timestamp without time zone"),
        Column("numbers", "integer[]"),
    ],
)

VISITS = Table(
    "sales",
    "v",
    "Visits of the shop by day",
    [
        Column("day", "date", "The day", required=True, key=True),
        Column("shop", "text", "Where", required=True, key=True),
        Column("visitors", "bigint", "How many came"),
    ],
    [(dt.date(2026, 1, day), shop, day * 100 + len(shop)) for day in range(1, 6) for shop in ("north", "south")],
)


def _orders():
    notes = ["plain", "", None, "quote ' and \" and \\", "comma, semicolon; tab\t", "two\nlines", "äöü€😀", " spaces "]
    doubles = [0.1, -1.5e300, float("nan"), float("inf"), float("-inf"), None, 1e-7, 123456789.125]
    for number in range(1, 26):
        odd = number % 2 == 1
        moment = dt.datetime(2026, 1, number, number % 24, 30, 15, number * 1000 + number, UTC)
        double = doubles[number % 8]
        yield (
            number,
            dt.date(2026, 1, number),
            None if number == 7 else Decimal(number * 1234567) / 100 * (1 if odd else -1),
            notes[number % 8],
            None if number == 9 else moment,
            [None, [], ["a"], ["b c", None, 'd"e', "f,g"]][number % 4],
            f'{{"n": {number}}}' if odd else None,
            f"00000000-0000-4000-8000-{number:012d}",
            f"{number} days",
            number % 4 or None,
            (1 << 62) + number if odd else -number,
            number * 1000 if odd else None,
            [True, False, None][number % 3],
            double,
            None if double is None or abs(double) > 1e38 else double,
            [None, b"", b"\x00\x01\xff", b"bytes \\ '"][number % 4],
            None if number == 11 else moment.replace(tzinfo=None),
            [[number, -number], [None, 1], [], None][number % 4],
        )


ORDERS.rows = list(_orders())
TABLES = [CLUBS, ORDERS, VISITS]
