"""pgcli's completion: the queries with which it learns schemas, tables, columns, keys, functions, types."""

from pgcli.pgexecute import PGExecute
from pgspecial.main import PGSpecial
from transcript import DATABASE, HOST, PASSWORD, PORT, USER, section

executor = PGExecute(DATABASE, USER, PASSWORD, HOST, str(PORT), None)
for name, ask in {
    "search path": lambda: executor.search_path(),
    # of other sessions' temporary tables
    "schemata": lambda: (s for s in executor.schemata() if not s.startswith(("pg_temp_", "pg_toast_temp_"))),
    "tables": lambda: executor.tables(),
    "views": lambda: executor.views(),
    "table columns": lambda: executor.table_columns(),
    "view columns": lambda: executor.view_columns(),
    "databases": lambda: executor.databases(),
    "foreign keys": lambda: executor.foreignkeys(),
    "functions": lambda: (f for f in executor.functions() if f.schema_name == "pg_catalog"),
    "data types": lambda: executor.datatypes(),
    "casing": lambda: executor.casing(),
    "view definition": lambda: [executor.view_definition("pg_catalog.pg_tables")],
    "function definition": lambda: [executor.function_definition("pg_catalog.now")],
    "socket and host": lambda: [executor.user, executor.dbname, executor.short_host == HOST],
}.items():
    with section(name):
        for found in sorted(str(item) for item in ask()):
            print(found)
special = PGSpecial()
for command in (
    "\\dt sales.*",
    "\\d sales.orders",
    "\\d+ sales.orders",
    "\\dn",
    "\\dn+",
    "\\l",
    "\\du sales_analyst",
    "\\df pg_catalog.date_trunc",
    "\\dT pg_catalog.int*",
    "\\dv",
    "\\di sales.*",
    "\\dx",
    "\\dD",
    "\\ds",
    "\\sf now",
    "\\dp sales.clubs",
):
    with section(command):
        for title, rows, headers, status in special.execute(executor.conn.cursor(), command):
            print(title, headers, status)
            for row in rows or []:
                print(row)
for sql in ("SELECT id, name FROM sales.clubs ORDER BY id", "SELECT * FROM nothing"):
    with section(sql):
        for title, rows, headers, status, *_ in executor.run(sql, special):
            print(title, headers, status, [tuple(row) for row in rows or []])
