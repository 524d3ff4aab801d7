#!/usr/bin/env python3
"""Writes a mesh of many products over one small Delta table: what the catalog itself costs.

  benches/large_mesh.py TABLE MESH [--products 10000] [--domains 50]
  pgmesh serve --catalog MESH/catalog

User `bench` belongs to 5 of the domains, `steward` to all; the password is the user's name. The same seed gives the
same mesh.
"""

import argparse
import os
import random

from mesh_folder import Mesh, contract, delta_columns

WORDS = "customer order billing shipment churn forecast ledger click session risk claim asset price".split()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="the Delta table that all products share")
    parser.add_argument("mesh", help="folder to write `catalog` into")
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--domains", type=int, default=50)
    arguments = parser.parse_args()
    table = os.path.abspath(arguments.table)
    columns = delta_columns(table)
    mesh = Mesh(arguments.mesh)
    random_numbers = random.Random(7)
    domains = [f"domain_{number:02d}" for number in range(arguments.domains)]
    for domain in domains:
        mesh.domain(domain, [domain])
    bench = sorted(random_numbers.sample(domains, min(5, len(domains))))
    mesh.principals({"bench": bench, "steward": domains})
    for number in range(arguments.products):
        first, second, third = random_numbers.sample(WORDS, 3)
        name = f"{first}_{second}_{number:05d}"
        domain = random_numbers.choice(domains)
        description = f"Daily {first} {second} facts joined with {third}; curated, tested and documented, number {number}."
        owner = f"owner_{random_numbers.randrange(400):03d}@example.org"
        freshness = random_numbers.choice(["PT15M", "PT1H", "PT6H", "P1D", "P7D"])
        text = contract(name, domain, table, columns, description, owner=owner, freshness=freshness)
        mesh.product(name, domain, text)
    print(f"wrote {arguments.products} products of {len(domains)} domains to {mesh.catalog}")


if __name__ == "__main__":
    main()
