"""dbt: freshness and tests of sources, previews, the catalog for its documentation. Nothing is written to the database."""

import contextlib
import io
import json
import os
import re
import tempfile
from pathlib import Path

from dbt.cli.main import dbtRunner
from transcript import DATABASE, HOST, PASSWORD, PORT, USER, section

PROJECT = {
    "name": "twin",
    "version": "1.0.0",
    "profile": "twin",
    "config-version": 2,
    "flags": {"send_anonymous_usage_stats": False},
}
PROFILE = {
    "twin": {
        "target": "dev",
        "outputs": {
            "dev": {"type": "postgres", "host": HOST, "port": PORT, "user": USER, "password": PASSWORD}
            | {"dbname": DATABASE, "schema": "analytics", "threads": 1}
        },
    }
}
SOURCES = {
    "version": 2,
    "sources": [
        {
            "name": "sales",
            "tables": [
                {
                    "name": "orders",
                    "loaded_at_field": "at",
                    "config": {
                        "freshness": {
                            "warn_after": {"count": 1, "period": "day"},
                            "error_after": {"count": 36500, "period": "day"},
                        }
                    },
                    "columns": [
                        {"name": "id", "data_tests": ["unique", "not_null"]},
                        {"name": "note", "data_tests": ["not_null"]},
                        {
                            "name": "club_id",
                            "data_tests": [
                                {"relationships": {"arguments": {"to": "source('sales', 'clubs')", "field": "id"}}}
                            ],
                        },
                        {
                            "name": "small",
                            "data_tests": [
                                {"accepted_values": {"arguments": {"values": [1000, 3000], "quote": False}}}
                            ],
                        },
                    ],
                },
                {"name": "clubs", "columns": [{"name": "name", "data_tests": ["unique"]}]},
            ],
        }
    ],
}
SINGULAR = "select o.id from {{ source('sales', 'orders') }} o where o.amount < 0 and o.day > current_date - interval '100 years'"
MODEL = "select club_id, count(*) as orders, sum(amount) as total from {{ source('sales', 'orders') }} group by 1 order by 1"

with tempfile.TemporaryDirectory() as folder:
    root = Path(folder)
    for name, value in {"dbt_project.yml": PROJECT, "profiles.yml": PROFILE, "models/sources.yml": SOURCES}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(json.dumps(value))
    (root / "tests").mkdir()
    (root / "tests/no_refunds.sql").write_text(SINGULAR)
    (root / "models/totals.sql").write_text(MODEL)
    os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"

    def invoke(*words):
        with contextlib.redirect_stdout(io.StringIO()):
            return dbtRunner().invoke([*words, "--project-dir", folder, "--profiles-dir", folder, "--quiet"])

    def told(message):
        return re.sub(r"compiled code at .*|/[^ ]*|\n\s*", " ", str(message)).strip()

    with section("debug"):
        print(invoke("debug").success)
    with section("source freshness"):
        done = invoke("source", "freshness")
        print(done.success, done.exception and told(done.exception))
        for result in getattr(done.result, "results", []):
            print(result.node.name, result.status, getattr(result, "max_loaded_at", told(result.message)))
    with section("tests"):
        done = invoke("test")
        print(done.success, done.exception and told(done.exception))
        for result in sorted(getattr(done.result, "results", []), key=lambda result: result.node.name):
            print(result.node.name, result.status, result.failures, told(result.message))
    with section("show"):
        done = invoke("show", "--select", "totals", "--limit", "10")
        print(done.success, done.exception and told(done.exception))
        for result in getattr(done.result, "results", []):
            print(
                result.status,
                told(result.message) if result.status == "error" else [tuple(row) for row in result.agate_table.rows],
            )
    with section("catalog"):
        done = invoke("docs", "generate")
        print(done.success, done.exception and told(done.exception))
        catalog = json.loads((root / "target/catalog.json").read_text())
        print(catalog["errors"] and [told(error) for error in catalog["errors"]])
        for name, source in sorted(catalog["sources"].items()):
            print(name, source["metadata"], source["columns"])
    with section("run"):
        done = invoke("run")
        print(
            done.success,
            [told(result.message) for result in getattr(done.result, "results", [])] or told(done.exception),
        )
