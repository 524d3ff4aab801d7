#!/usr/bin/env python3
"""Writes what PostgreSQL knows of itself into this folder: one file for each relation, compact and readable.

    export.py HOST_OR_SOCKET_FOLDER [PORT]      of a fresh PostgreSQL 15 that trusts the user postgres

The first line names the columns. `name=value` gives the value that an empty cell stands for, `name=@other` says that an
empty cell has the value of the column `other`, and a column whose cells are all empty is not written. Cells are as COPY
writes them; an empty text is `\\e`. Types that are shown by name, such as regproc, are written as their OIDs.
"""

import collections
import pathlib
import subprocess
import sys

HOST, PORT = sys.argv[1], (sys.argv[2:] or ["5432"])[0]
FOLDER = pathlib.Path(__file__).parent

# OIDs from here on are given out as objects are made
FIRST_NORMAL = 16384
SYSTEM = "relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
# what initdb takes from the machine it runs on is no fact of PostgreSQL
LOCAL_COLLATIONS = "collprovider = 'i' OR (collprovider = 'c' AND collname NOT IN ('C', 'POSIX', 'ucs_basic'))"
TOAST = f"(SELECT oid FROM pg_class WHERE {SYSTEM})"

# relation: (which rows, columns that are not taken as they are)
RELATIONS = {
    "pg_aggregate": ("true", {}),
    "pg_am": ("true", {}),
    "pg_amop": ("true", {}),
    "pg_amproc": ("true", {}),
    "pg_attribute": (f"attrelid IN {TOAST}", {"attacl": "NULL::aclitem[]"}),
    "pg_auth_members": ("true", {}),
    "pg_authid": ("true", {"rolpassword": "NULL::text"}),
    "pg_cast": ("true", {}),
    "pg_class": (SYSTEM, {"relfilenode": "0::oid", "reltoastrelid": "0::oid", "relpages": "0", "reltuples": "-1::real",
                          "relallvisible": "0", "relfrozenxid": "'0'::xid", "relminmxid": "'0'::xid",
                          "relacl": "CASE WHEN relkind <> 'i' THEN relacl END"}),
    "pg_collation": (f"NOT ({LOCAL_COLLATIONS})", {"collversion": "NULL::text"}),
    "pg_constraint": (f"conrelid IN {TOAST} OR contypid <> 0", {"conbin": "pg_get_expr(conbin, 0)"}),
    "pg_conversion": ("true", {}),
    "pg_description": (f"classoid <> 'pg_collation'::regclass OR objoid IN (SELECT oid FROM pg_collation WHERE NOT ({LOCAL_COLLATIONS}))", {}),
    "pg_index": (f"indrelid IN {TOAST}", {}),
    "pg_language": ("lanname <> 'plpgsql'", {}),
    "pg_namespace": ("nspname <> 'public'", {}),
    "pg_opclass": ("true", {}),
    "pg_operator": ("true", {}),
    "pg_opfamily": ("true", {}),
    # a stored expression is written as SQL, which is what pg_get_expr makes of it
    "pg_proc": ("prolang <> (SELECT oid FROM pg_language WHERE lanname = 'plpgsql') AND proname !~ '^plpgsql_'",
                {"proargdefaults": "pg_get_expr(proargdefaults, 0)", "prosqlbody": "NULL"}),
    "pg_range": ("true", {}),
    "pg_tablespace": ("true", {}),
    "pg_timezone_abbrevs": ("true", {}),
    "pg_ts_config": ("true", {}),
    "pg_ts_config_map": ("true", {}),
    "pg_ts_dict": ("true", {}),
    "pg_ts_parser": ("true", {}),
    "pg_ts_template": ("true", {}),
    "pg_type": (f"typrelid = 0 OR typrelid IN {TOAST}", {"typdefaultbin": "NULL"}),
    "information_schema.sql_features": ("true", {}),
    "information_schema.sql_implementation_info": ("true", {}),
    "information_schema.sql_parts": ("true", {}),
    "information_schema.sql_sizing": ("true", {}),
}
SORTED = ("oid", "name", "smallint", "integer", "text", '"char"', "information_schema.character_data", "information_schema.cardinal_number")
BY_OID = "regproc regprocedure regoper regoperator regclass regtype regnamespace regrole regconfig regdictionary".split()


def psql(sql):
    command = ["psql", "-h", HOST, "-p", PORT, "-U", "postgres", "-d", "postgres", "-AtXq", "-c", sql]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def export(relation, rows, replaced):
    columns = [line.split("|") for line in psql(
        f"SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = '{relation}'::regclass AND attnum > 0"
        " ORDER BY attnum").splitlines()]
    names = [name for name, _ in columns]
    has_oid = names[0] == "oid"
    def taken(name, kind):
        if name in replaced:
            return f"({replaced[name]}) AS {name}"
        return f"{name}::oid" if kind in BY_OID else name
    fields = ", ".join(taken(*column) for column in columns)
    where = f"({rows})" + (f" AND oid < {FIRST_NORMAL}" if has_oid else "")
    order = "attrelid, attnum" if relation == "pg_attribute" else "1" if has_oid else ", ".join(str(n + 1) for n in range(len(names)) if columns[n][1] in SORTED)
    table = [line.split("\t") for line in psql(f"COPY (SELECT {fields} FROM {relation} WHERE {where} ORDER BY {order}) TO STDOUT").split("\n")[:-1]]
    header, cells = [], []
    for at, name in enumerate(names):
        values = [row[at] for row in table]
        best, count = collections.Counter(values).most_common(1)[0]
        same = max(((sum(a == b for a, b in zip(values, (row[other] for row in table))), names[other])
                    for other in range(at)), default=(0, ""))
        if same[0] > count:
            other = names.index(same[1])
            header.append(f"{name}=@{same[1]}")
            cells.append(["" if value == row[other] else value or "\\e" for value, row in zip(values, table)])
        elif count > 1:
            header.append(f"{name}={best or chr(92) + 'e'}")
            cells.append(["" if value == best else value or "\\e" for value in values])
        else:
            header.append(name)
            cells.append([value or "\\e" for value in values])
    # cells that say nothing at the end of a line are left out; columns of which all cells do go to the end
    order = sorted(range(len(names)), key=lambda at: (not any(cells[at]), sum(not cell for cell in cells[at])))
    lines = ["\t".join(header[at] for at in order)]
    lines += ["\t".join(cells[at][row] for at in order).rstrip("\t") for row in range(len(table))]
    name = relation.replace("information_schema.", "")
    (FOLDER / f"{name}.tsv").write_text("\n".join(lines) + "\n")


for relation, (rows, replaced) in RELATIONS.items():
    export(relation, rows, replaced)
