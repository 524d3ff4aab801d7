"""connectorx in its four protocols, alone and in partitions; polars on top of it."""

import connectorx
import polars
from transcript import DSN, section

SQL = "SELECT id, day, amount, note, at, j, club_id, big, small, flag, ratio, score, blob, local_at FROM sales.orders ORDER BY id"
for protocol in ("binary", "csv", "cursor", "simple"):
    with section(protocol):
        table = connectorx.read_sql(DSN, SQL, protocol=protocol, return_type="arrow")
        print(table.schema)
        print(table.to_pylist())
with section("arrays"):
    print(
        connectorx.read_sql(
            DSN, "SELECT id, numbers FROM sales.orders WHERE numbers IS NOT NULL ORDER BY id", return_type="arrow"
        ).to_pylist()
    )
with section("partitions"):
    table = connectorx.read_sql(
        DSN, "SELECT id, amount FROM sales.orders", partition_on="id", partition_num=4, return_type="arrow"
    )
    print(table.sort_by("id").to_pylist())
with section("metadata"):
    print(connectorx.get_meta(DSN, SQL, protocol="binary").dtypes.to_string())
with section("no such table"):
    connectorx.read_sql(DSN, "SELECT * FROM sales.nothing", return_type="arrow")
with section("polars"):
    frame = polars.read_database_uri("SELECT id, day, amount, flag, ratio FROM sales.orders ORDER BY id", DSN)
    print(frame.schema, frame.rows())
with section("polars through adbc"):
    frame = polars.read_database_uri("SELECT id, day, amount, tags FROM sales.orders ORDER BY id", DSN, engine="adbc")
    print(frame.schema, frame.rows())
