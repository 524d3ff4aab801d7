"""What a mesh has and a new PostgreSQL has not, made in PostgreSQL too: the schema `data_catalog`, empty and as pgmesh describes
it, in front of all others, and groups. What a mesh has not is taken away there: the schema `public`, and languages to write
functions in.

Listings of everything then have the same rows in both servers. It is the one part of the catalog that PostgreSQL cannot judge.
"""

import data
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
COMMENT = f"SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace WHERE nspname = '{SCHEMA}'"
PATH = "SHOW search_path"


def copy(mesh, postgres):
    """Makes the schema in PostgreSQL; says why where pgmesh does not describe it."""
    session = wire.Connection(mesh.host, mesh.port, USER, USER, "mesh")
    answers = [session.simple(sql) for sql in (RELATIONS, COLUMNS, COMMENT, PATH)]
    session.close()
    for answer in answers:
        if answer.error:
            print(f"{SCHEMA} is not described: {answer.error.get('M')}")
            return
    relations, columns, comments, paths = (
        [[None if v is None else v.decode() for v in row] for row in answer.rows] for answer in answers
    )
    statements = [f"CREATE SCHEMA {SCHEMA};", f"GRANT USAGE ON SCHEMA {SCHEMA} TO PUBLIC;"]
    statements += [f"COMMENT ON SCHEMA {SCHEMA} IS {literal(comment)};" for (comment,) in comments if comment]
    statements += ["DROP SCHEMA public;", "DROP EXTENSION plpgsql;"]
    statements += [f"ALTER SYSTEM SET search_path = {path};" for (path,) in paths] + ["SELECT pg_reload_conf();"]
    for group in sorted({group for _, groups in data.USERS for group in groups}):
        members = [user for user, groups in data.USERS if group in groups]
        statements += [f"CREATE ROLE {group};", f"GRANT {group} TO {', '.join(members)};"]
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
