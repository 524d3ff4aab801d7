#!/usr/bin/env python3
"""Writes a mesh whose domain holds every Delta table of a folder (TPC-H, for one), readable by user `bench`.

  benches/tpch_catalog.py DATA/delta MESH
  pgmesh serve --catalog MESH/catalog

The domain is called `bench` as well, so that unqualified names find the tables: the search path begins with "$user".
The password is the user's name. Run it again when tables were added: it writes the catalog folder anew.
"""

import argparse
import os

from mesh_folder import Mesh, contract, delta_columns


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", help="folder that holds Delta tables")
    parser.add_argument("mesh", help="folder to write `catalog` into")
    parser.add_argument("--domain", default="bench")
    parser.add_argument("--skip", default="products,user_domain_access", help="names that data_catalog has itself")
    arguments = parser.parse_args()
    mesh = Mesh(arguments.mesh)
    mesh.principals({"bench": [arguments.domain]})
    mesh.domain(arguments.domain, [arguments.domain])
    for name in sorted(set(os.listdir(arguments.tables)) - set(arguments.skip.split(","))):
        table = os.path.abspath(os.path.join(arguments.tables, name))
        if not os.path.isdir(os.path.join(table, "_delta_log")):
            continue
        text = contract(name, arguments.domain, table, delta_columns(table), f"The table {name}", owner="bench@example.org")
        mesh.product(name, arguments.domain, text)
    print(f"wrote {mesh.catalog}")


if __name__ == "__main__":
    main()
