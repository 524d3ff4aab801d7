"""Great Expectations: a table asset, a query asset, and expectations that become SQL."""

import logging
import os
import sys
import warnings

os.environ["GX_ANALYTICS_ENABLED"] = "false"
os.environ["TQDM_DISABLE"] = "1"
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import great_expectations as gx  # noqa: E402
from great_expectations import expectations as gxe  # noqa: E402
from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: E402
from transcript import DSN, section  # noqa: E402

sys.stderr = open(os.devnull, "w")  # progress bars
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = ProgressBarsConfig(globally=False)
source = context.data_sources.add_postgres("mesh", connection_string=DSN.replace("postgresql:", "postgresql+psycopg2:"))
EXPECTATIONS = [
    gxe.ExpectTableRowCountToBeBetween(min_value=1, max_value=100),
    gxe.ExpectTableColumnCountToEqual(value=18),
    gxe.ExpectTableColumnsToMatchSet(column_set=["id", "day"], exact_match=False),
    gxe.ExpectColumnToExist(column="amount"),
    gxe.ExpectColumnValuesToNotBeNull(column="note"),
    gxe.ExpectColumnValuesToBeUnique(column="id"),
    gxe.ExpectColumnValuesToBeInSet(column="small", value_set=[1000, 3000, 5000]),
    gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=-200000, max_value=200000),
    gxe.ExpectColumnValuesToMatchRegex(column="note", regex="^[a-z ]+$"),
    gxe.ExpectColumnValueLengthsToBeBetween(column="u", min_value=36, max_value=36),
    gxe.ExpectColumnMeanToBeBetween(column="big", min_value=0),
    gxe.ExpectColumnMedianToBeBetween(column="id", min_value=13, max_value=13),
    gxe.ExpectColumnStdevToBeBetween(column="id", min_value=7, max_value=8),
    gxe.ExpectColumnQuantileValuesToBeBetween(
        column="id", quantile_ranges={"quantiles": [0.25, 0.75], "value_ranges": [[1, 10], [15, 25]]}
    ),
    gxe.ExpectColumnDistinctValuesToBeInSet(column="club_id", value_set=[1, 2, 3]),
    gxe.ExpectColumnMaxToBeBetween(column="id", min_value=25, max_value=25),
    gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="id", column_B="club_id", or_equal=True),
    gxe.ExpectCompoundColumnsToBeUnique(column_list=["id", "day"]),
    gxe.ExpectColumnValuesToBeOfType(column="id", type_="INTEGER"),
]
with section("table"):
    asset = source.add_table_asset("orders", table_name="orders", schema_name="sales")
    batch = asset.add_batch_definition_whole_table("all").get_batch()
    print(sorted(batch.columns()))
for expectation in EXPECTATIONS:
    with section(f"{type(expectation).__name__} {getattr(expectation, 'column', '')}"):
        found = batch.validate(expectation)
        result = {key: value for key, value in (found.result or {}).items() if "index" not in key}
        raised = (
            found.exception_info
            if found.exception_info and "raised_exception': True" in str(found.exception_info)
            else None
        )
        print(
            found.success,
            sorted((key, str(value)) for key, value in result.items()),
            str(raised)[:600] if raised else "",
        )
with section("query"):
    asset = source.add_query_asset("totals", query="SELECT club_id, count(*) AS n FROM sales.orders GROUP BY club_id")
    batch = asset.add_batch_definition_whole_table("all").get_batch()
    print(batch.validate(gxe.ExpectColumnValuesToBeBetween(column="n", min_value=6, max_value=7)).success)
with section("by day"):
    asset = source.add_table_asset("daily", table_name="orders", schema_name="sales")
    daily = asset.add_batch_definition_daily("day", column="day")
    batch = daily.get_batch({"year": 2026, "month": 1, "day": 5})
    print(batch.validate(gxe.ExpectTableRowCountToEqual(value=1)).success, len(daily.get_batch_identifiers_list()))
