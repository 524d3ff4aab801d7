"""Apache Superset: a database, a dataset with its columns, SQL Lab, a chart's data; and the chart itself in headless Chromium.

With TWIN_SCREENSHOT=FILE the browser's picture of the chart is kept there.
"""

import http.cookiejar
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from transcript import DSN, PORT, section

START_SECONDS_MAX = 120
CONFIG = '''
import os
SECRET_KEY = "only for a test that listens on loopback and is gone in a minute"
SQLALCHEMY_DATABASE_URI = "sqlite:///" + os.environ["SUPERSET_HOME"] + "/superset.db"
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
class LoggedIn:
    """Whoever comes has the session that the program has opened: the browser too."""
    def __init__(self, app):
        self.app = app
    def __call__(self, environ, start_response):
        session = os.path.join(os.environ["SUPERSET_HOME"], "session")
        if os.path.exists(session):
            environ["HTTP_COOKIE"] = open(session).read()
        return self.app(environ, start_response)
ADDITIONAL_MIDDLEWARE = [LoggedIn]
'''
CHART = {
    "viz_type": "echarts_timeseries_bar",
    "x_axis": "day",
    "time_grain_sqla": "P1D",
    "metrics": [
        {"expressionType": "SIMPLE", "column": {"column_name": "visitors"}, "aggregate": "SUM", "label": "Visitors"}
    ],
    "groupby": ["shop"],
    "row_limit": 1000,
    "stack": "Stack",
    "show_legend": True,
}


def main():
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "superset_config.py").write_text(CONFIG)
        os.environ |= {
            "SUPERSET_HOME": folder,
            "SUPERSET_CONFIG_PATH": str(home / "superset_config.py"),
            "FLASK_APP": "superset.app:create_app()",
        }
        binaries = Path(sys.executable).parent
        log = open(home / "log", "wb")
        user = [
            "--username",
            "analyst",
            "--password",
            "analyst",
            "--firstname",
            "A",
            "--lastname",
            "B",
            "--email",
            "a@localhost",
        ]
        for command in (["db", "upgrade"], ["fab", "create-admin", *user], ["init"]):
            subprocess.run([binaries / "superset", *command], stdout=log, stderr=log, check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(
            [binaries / "superset", "run", "-h", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
        )
        try:
            use(f"http://127.0.0.1:{port}", home)
        finally:
            server.terminate()
            server.wait(20)
            if keep := os.environ.get("TWIN_LOG"):
                Path(keep).write_bytes((home / "log").read_bytes())


def use(base, home):
    cookies = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))

    def ask(method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with browser.open(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{error.code} {error.read().decode()[:600]}".replace(str(PORT), "PORT")) from None

    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            browser.open(base + "/health", timeout=5)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit("Superset did not start:\n" + (home / "log").read_text()[-2000:]) from None
            time.sleep(0.5)
    browser.open(base + "/login/", b"username=analyst&password=analyst", timeout=60)
    (home / "session").write_text("; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies))
    database = dataset = chart = None
    with section("database"):
        made = ask(
            "POST",
            "/api/v1/database/",
            {
                "database_name": "mesh",
                "sqlalchemy_uri": DSN.replace("postgresql:", "postgresql+psycopg2:"),
                "expose_in_sqllab": True,
            },
        )
        database = made["id"]
        print(ask("GET", f"/api/v1/database/{database}/schemas/?q=(force:!t)")["result"])
    with section("tables"):
        found = ask("GET", f"/api/v1/database/{database}/tables/?q=(force:!t,schema_name:sales)")["result"]
        print(sorted((table["value"], table["type"]) for table in found))
        told = ask("GET", f"/api/v1/database/{database}/table_metadata/?name=orders&schema=sales")
        for column in told["columns"]:
            print(column["name"], column["longType"], column["type"], column["keys"], column["comment"])
        print(told["comment"], told["primaryKey"], told["foreignKeys"], told["indexes"], told["selectStar"])
    with section("dataset"):
        dataset = ask("POST", "/api/v1/dataset/", {"database": database, "schema": "sales", "table_name": "v"})["id"]
        for column in ask("GET", f"/api/v1/dataset/{dataset}")["result"]["columns"]:
            print(column["column_name"], column["type"], column["is_dttm"], column["type_generic"])
    with section("SQL Lab"):
        sql = "SELECT o.id, c.name, o.amount FROM sales.orders o JOIN sales.clubs c ON c.id = o.club_id ORDER BY o.id"
        done = ask(
            "POST",
            "/api/v1/sqllab/execute/",
            {"database_id": database, "sql": sql, "schema": "sales", "runAsync": False, "queryLimit": 100},
        )
        print([(column["column_name"], column["type"], column["is_dttm"]) for column in done["columns"]], done["data"])
    with section("chart data"):
        query = {
            "columns": [
                {
                    "columnType": "BASE_AXIS",
                    "sqlExpression": "day",
                    "label": "day",
                    "expressionType": "SQL",
                    "timeGrain": "P1D",
                },
                "shop",
            ]
        }
        query |= {
            "metrics": CHART["metrics"],
            "orderby": [["shop", True]],
            "row_limit": 1000,
            "filters": [{"col": "day", "op": "TEMPORAL_RANGE", "val": "2026-01-02 : 2026-01-05"}],
        }
        done = ask(
            "POST",
            "/api/v1/chart/data",
            {
                "datasource": {"id": dataset, "type": "table"},
                "queries": [query],
                "result_format": "json",
                "result_type": "full",
            },
        )
        for result in done["result"]:
            print(result["query"], result["colnames"], result["coltypes"], result["rowcount"])
            print(sorted(map(str, result["data"])))
    with section("filter values"):
        print(sorted(ask("GET", f"/api/v1/datasource/table/{dataset}/column/shop/values/")["result"]))
    with section("chart in a browser"):
        parameters = CHART | {"datasource": f"{dataset}__table"}
        chart = ask(
            "POST",
            "/api/v1/chart/",
            {
                "slice_name": "Visitors by day and shop",
                "viz_type": CHART["viz_type"],
                "datasource_id": dataset,
                "datasource_type": "table",
                "params": json.dumps(parameters),
            },
        )["id"]
        picture = os.environ.get("TWIN_SCREENSHOT") or str(home / "chart.png")
        page = subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--window-size=1200,760",
                f"--user-data-dir={home / 'browser'}",
            ]
            + [
                "--timeout=45000",
                "--virtual-time-budget=30000",
                f"--screenshot={picture}",
                f"{base}/explore/?slice_id={chart}",
            ],
            capture_output=True,
            timeout=120,
        )
        print("screenshot", page.returncode, Path(picture).stat().st_size > 20000)


main()
