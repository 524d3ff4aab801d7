"""pgmesh's own schema `data_catalog`, made in PostgreSQL too, empty and as pgmesh describes it.

Listings of everything then have the same rows in both servers. It is the one part of the catalog that PostgreSQL cannot judge.
"""

import wire
from postgres import literal
from replay import USER

SCHEMA = "data_catalog"
RELATIONS = f"""
SELECT c.relname, c.relkind, d.description FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 WHERE n.nspname = '{SCHEMA}' AND c.relkind IN ('r', 'v')
"""
COLUMNS = f"""
SELECT c.relname, a.attname, a.atttypid, a.atttypmod, a.attnotnull, d.description FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum
WHERE n.nspname = '{SCHEMA}' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum
"""


def copy(mesh, postgres):
    """Makes the schema in PostgreSQL; says why where pgmesh does not describe it."""
    session = wire.Connection(mesh.host, mesh.port, USER, USER, "mesh")
    answers = [session.simple(sql) for sql in (RELATIONS, COLUMNS)]
    session.close()
    for answer in answers:
        if answer.error:
            print(f"{SCHEMA} is not described: {answer.error.get('M')}")
            return
    relations, columns = (
        [[None if v is None else v.decode() for v in row] for row in answer.rows] for answer in answers
    )
    statements = [f"CREATE SCHEMA {SCHEMA};", f"GRANT USAGE ON SCHEMA {SCHEMA} TO PUBLIC;"]
    for name, kind, comment in relations:
        of_it = [column for column in columns if column[0] == name]
        types = {c[1]: postgres.setup(f"SELECT pg_catalog.format_type({c[2]}, {c[3]})").decode().strip() for c in of_it}
        if kind == "v":
            written = ", ".join(f'NULL::{types[c[1]]} AS "{c[1]}"' for c in of_it)
            statements.append(f'CREATE VIEW {SCHEMA}."{name}" AS SELECT {written} WHERE false;')
        else:
            written = ", ".join(f'"{c[1]}" {types[c[1]]}{" NOT NULL" if c[4] == "t" else ""}' for c in of_it)
            statements.append(f'CREATE TABLE {SCHEMA}."{name}" ({written});')
        statements.append(f'GRANT SELECT ON {SCHEMA}."{name}" TO PUBLIC;')
        described = [(f'{"VIEW" if kind == "v" else "TABLE"} {SCHEMA}."{name}"', comment)]
        described += [(f'COLUMN {SCHEMA}."{name}"."{c[1]}"', c[5]) for c in of_it]
        statements += [f"COMMENT ON {what} IS {literal(text)};" for what, text in described if text is not None]
    postgres.setup("\n".join(statements))
