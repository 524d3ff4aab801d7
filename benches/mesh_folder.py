"""Writes the catalog folder of a mesh: what benches serve. Standard library only; it knows nothing about the rows."""

import base64
import hashlib
import hmac
import json
import os
import shutil


def scram_verifier(password, salt=b"pgmesh benchmark", iterations=4096):
    """The SCRAM-SHA-256 verifier of a password, in PostgreSQL's own form."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{parts[0]}${parts[1]}:{parts[2]}"


def delta_columns(table):
    """Name, type and nullability of a Delta table's columns, from the first commit of its log."""
    with open(os.path.join(table, "_delta_log", f"{0:020}.json")) as commit:
        for line in commit:
            metadata = json.loads(line).get("metaData")
            if metadata:
                return json.loads(metadata["schemaString"])["fields"]
    raise SystemExit(f"{table}: the first commit holds no schema")


def contract(name, domain, table, columns, description, *, owner, freshness="PT24H", domain_column=None):
    """A contract in the founding dialect for one Delta table."""
    lines = [
        "apiVersion: datamesh.azure.com/v1",
        "kind: DataProduct",
        f"metadata: {{name: {name}, domain: {domain}, owner: {owner}, version: 1.0.0}}",
        "spec:",
        f"  description: {json.dumps(description)}",
        f"  sla: {{freshness: {freshness}}}",
        "  schema:",
    ]
    for column in columns:
        required = "" if column["nullable"] else ", required: true"
        lines.append(f"    - {{name: {column['name']}, type: {json.dumps(column['type'])}{required}}}")
    lines += ["  outputs:", f"    - {{name: {name}, format: delta, location: {json.dumps(table)}}}"]
    governance = "access_policy: domain-internal"
    if domain_column:
        governance += f", row_domain_column: {domain_column}"
    lines.append(f"  governance: {{{governance}}}")
    return "\n".join(lines) + "\n"


class Mesh:
    """A catalog folder under construction."""

    def __init__(self, folder):
        self.catalog = os.path.join(folder, "catalog")
        shutil.rmtree(self.catalog, ignore_errors=True)
        self._write("mesh.yaml", "apiVersion: pgmesh/v1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {}\n")

    def principals(self, groups_by_user):
        """Users with their groups; each password is the user's name."""
        lines = ["apiVersion: pgmesh/v1", "kind: Principals", "users:"]
        for user, groups in groups_by_user.items():
            lines.append(f'  - {{name: {user}, scram: "{scram_verifier(user)}", groups: [{", ".join(groups)}]}}')
        self._write("principals.yaml", "\n".join(lines) + "\n")

    def domain(self, name, groups):
        self._write(
            os.path.join(name, "domain.yaml"),
            "apiVersion: pgmesh/v1\nkind: Domain\n"
            f"metadata: {{name: {name}, owner: {name}@example.org}}\n"
            f"spec: {{description: For measurements, member_groups: [{', '.join(groups)}]}}\n",
        )

    def product(self, name, domain, text):
        self._write(os.path.join(domain, name, "data_product.yaml"), text)

    def _write(self, path, text):
        path = os.path.join(self.catalog, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
