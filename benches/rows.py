#!/usr/bin/env python3
"""Makes the rows of the large result: a Delta table of order lines, the same on every machine.

  benches/rows.py FOLDER [--rows 10000000]      writes the Delta table
  benches/rows.py FOLDER --csv                  prints its rows as CSV, for COPY into PostgreSQL
  benches/rows.py --columns                     prints PostgreSQL's definition of the columns

Needs the packages deltalake and pyarrow; `benches/run` installs them into a virtual environment of its own.
"""

import argparse
import datetime
import random
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
from deltalake import DeltaTable, write_deltalake

BATCH_ROWS = 250_000
WORDS = "final regular express quick slow bold careful even special silent deposits requests accounts packages".split()
SCHEMA = pa.schema(
    [
        pa.field("line_id", pa.int64(), nullable=False),
        pa.field("customer_id", pa.int64(), nullable=False),
        pa.field("article_id", pa.int32(), nullable=False),
        pa.field("quantity", pa.int32(), nullable=False),
        pa.field("price", pa.decimal128(15, 2), nullable=False),
        pa.field("discount", pa.float64()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("ship_mode", pa.string(), nullable=False),
        pa.field("ship_date", pa.date32(), nullable=False),
        pa.field("updated_at", pa.timestamp("us", tz="UTC")),
        pa.field("is_gift", pa.bool_(), nullable=False),
        pa.field("comment", pa.string()),
    ]
)
#: The same columns in PostgreSQL.
POSTGRES_COLUMNS = (
    "line_id bigint not null, customer_id bigint not null, article_id int not null, quantity int not null, "
    "price numeric(15,2) not null, discount float8, status text not null, ship_mode text not null, "
    "ship_date date not null, updated_at timestamptz, is_gift boolean not null, comment text"
)


def batches(rows):
    """Record batches of `rows` rows in all, from fixed seeds."""
    words = random.Random(1)
    comments = pa.array([" ".join(words.choices(WORDS, k=words.randint(2, 6))) for _ in range(50_000)])
    for number, start in enumerate(range(0, rows, BATCH_ROWS)):
        yield batch(number, start, min(BATCH_ROWS, rows - start), comments)


def batch(number, start, count, comments):
    def whole(column, below):
        """`count` whole numbers in [0, below)."""
        numbers = pc.random(count, initializer=number * 100 + column)
        return pc.floor(pc.multiply(numbers, float(below))).cast(pa.int64())

    def one_of(column, values):
        return pa.array(values).take(whole(column, len(values)))

    def some_null(column, values):
        return pc.if_else(pc.greater(whole(column, 10), 0), values, pa.scalar(None, values.type))

    days_from = (datetime.date(2020, 1, 1) - datetime.date(1970, 1, 1)).days
    micros_from = days_from * 86_400_000_000
    columns = [
        pa.array(range(start, start + count), pa.int64()),
        whole(0, 1_500_000),
        whole(1, 200_000).cast(pa.int32()),
        pc.add(whole(2, 50), 1).cast(pa.int32()),
        pc.divide(whole(3, 100_000_000).cast(pa.float64()), 100.0).cast(pa.decimal128(15, 2)),
        some_null(4, pc.divide(whole(5, 11).cast(pa.float64()), 100.0)),
        one_of(6, ["placed", "shipped", "delivered", "returned"]),
        one_of(7, ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]),
        pc.add(whole(8, 2_400), days_from).cast(pa.int32()).cast(pa.date32()),
        some_null(9, pc.add(whole(10, 200_000_000_000_000), micros_from).cast(pa.timestamp("us", tz="UTC"))),
        pc.equal(whole(11, 20), 0),
        some_null(12, comments.take(whole(13, len(comments)))),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--columns", action="store_true")
    arguments = parser.parse_args()
    if arguments.columns:
        print(POSTGRES_COLUMNS)
        return
    if arguments.csv:
        reader = DeltaTable(arguments.table).to_pyarrow_dataset().to_batches()
        options = csv.WriteOptions(include_header=False)
        with csv.CSVWriter(sys.stdout.buffer, SCHEMA, write_options=options) as out:
            for rows in reader:
                out.write(rows.cast(SCHEMA))
        return
    reader = pa.RecordBatchReader.from_batches(SCHEMA, batches(arguments.rows))
    write_deltalake(arguments.table, reader, mode="error", target_file_size=64 << 20)


if __name__ == "__main__":
    main()
