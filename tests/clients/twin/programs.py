"""Runs other people's clients against both servers, and compares what they print.

A program of `clients.txt` prints sections, each begun by a line `== NAME`; it finds the server in PGHOST, PGPORT, PGUSER,
PGPASSWORD and PGDATABASE. Lines are compared as they are, but for the version, which no two servers share.
"""

import glob
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from differences import compare

HERE = Path(__file__).parent
SECONDS_MAX = {True: 180, False: 900}  # fast, and not
USER = "sales_analyst"
# 15.18 (Debian …), PostgreSQL 15.18 on …
VERSION = re.compile(r"\b15\.\d+ \([^)]*\)|PostgreSQL 15\.\d+[^\n']*|\b1500\d\d\b")
# psql tells the line of its script
PSQL_LINE = re.compile(r"^psql:[^:]*:\d+: ")
# where an object lies in memory
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
# which process notified
PROCESS = re.compile(r"(process|PID) \d+")


@dataclass
class Client:
    name: str
    fast: bool
    program: Path
    packages: list


def clients():
    return [client for client in listed() if client.name != "-"]


def tables():
    """What the tables of the mesh are written with."""
    return next(client for client in listed() if client.name == "-")


def listed():
    found = []
    for line in (HERE / "clients.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, speed, program, *packages = line.split()
            found.append(Client(name, speed == "fast", HERE / program, packages))
    return found


def compared(client, folder, postgres, mesh):
    """Yields ((client, section, "run"), lines that differ)."""
    original, ours = (sections(run(client, folder, server, postgres), server) for server in (postgres, mesh))
    for name in [*original, *(name for name in ours if name not in original)]:
        left, right = original.get(name, ["(no such section)"]), ours.get(name, ["(no such section)"])
        yield (client.name, name.replace(" ", "_"), "run"), compare(left, right)


def run(client, folder, server, postgres):
    """What the program prints, error output and exit code included."""
    environment = os.environ | {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": USER,
        "PGPASSWORD": USER,
        "PGDATABASE": "mesh",
        "NODE_PATH": str(folder / "node_modules"),
        "PYTHONHASHSEED": "0",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }
    kind = client.program.suffix
    if client.name == "fdw":
        command = ["psql", "-X", "-a", "-h", postgres.folder, "-p", postgres.port, "-U", "postgres", "-d", "mesh"]
        command += [
            "-v",
            f"host={server.host}",
            "-v",
            f"port={server.port}",
            "-v",
            f"user={USER}",
            "-f",
            client.program.name,
        ]
    elif kind == ".sql":
        command = ["psql", "-X", "-a", "-f", client.program.name]
    elif kind == ".js":
        command = ["node", client.program]
    elif kind == ".pl":
        command = ["perl", client.program]
    elif kind == ".go":
        # Debian's packages of Go sources lie where GOPATH was
        environment |= {"GOPATH": "/usr/share/gocode", "GO111MODULE": "off", "GOFLAGS": "-buildvcs=false"}
        command = ["go", "run", client.program]
    elif kind == ".java":
        command = ["java", "-cp", os.environ.get("PGJDBC_JAR", "/usr/share/java/postgresql.jar"), client.program]
    else:
        command = [folder / environment_of(client) / "bin/python", client.program]
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            cwd=client.program.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS_MAX[client.fast],
        )
        text = done.stdout.decode(errors="replace")
        return text if done.returncode == 0 else f"{text}\nexit code {done.returncode}\n"
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace") + f"\nnot done after {late.timeout} s\n"


def environment_of(client):
    """`pip@NAME:` packages have a virtual environment of their own."""
    kinds = [package.split(":", 1)[0] for package in client.packages]
    return next((kind.split("@")[1] for kind in kinds if kind.startswith("pip@")), "venv")


def sections(text, server):
    found, lines = {}, []
    for line in text.splitlines():
        begun = re.match(r"(?:\\echo )?== (.*)", line)
        if begun and not line.startswith("\\echo"):
            lines = found.setdefault(begun.group(1), [])
        elif not begun:
            line = PSQL_LINE.sub("", line.replace(str(server.port), "PORT"))
            line = ADDRESS.sub("", VERSION.sub("<version>", line))
            lines.append(PROCESS.sub(r"\1 N", line))
    return found


def missing(client, folder):
    """The packages that are not there."""
    return [package for package in client.packages if not there(package, folder)]


def there(package, folder):
    kind, name = package.split(":", 1)
    if kind == "npm":
        return (folder / "node_modules" / name.rsplit("@", 1)[0]).is_dir()
    if kind == "apt":
        return bool(glob.glob(name.split("=", 1)[1]))
    module = re.split(r"[\[=]", name)[0].replace("-", "_").lower()
    found = (folder / (kind.partition("@")[2] or "venv") / "lib").glob("python3*/site-packages/*.dist-info")
    return any(path.name.lower().replace("-", "_").startswith(f"{module}_") for path in found)


def install(chosen, folder):
    """Everything that the clients need, by their registries' ordinary clients. Whether all of it is there now."""
    wanted = {}
    for client in chosen:
        for package in missing(client, folder):
            kind, name = package.split(":", 1)
            wanted.setdefault(kind, {})[name.split("=")[0] if kind == "apt" else name] = True
    for kind, names in wanted.items():
        if kind == "apt":
            sudo = [] if os.getuid() == 0 else ["sudo", "-n"]
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run([*sudo, "apt-get", "update", "-qq"], check=False)
            command = [*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *names]
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        elif kind == "npm":
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *names]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        else:
            environment = folder / (kind.partition("@")[2] or "venv")
            if not (environment / "bin/python").exists():
                subprocess.run(["python3", "-m", "venv", environment], check=True)
            command = [environment / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *names]
            subprocess.run(command, check=False)
    lacking = {client.name: missing(client, folder) for client in chosen}
    for name, packages in lacking.items():
        if packages:
            print(f"could not install {' '.join(packages)}; {name} is skipped")
    return not any(lacking.values())
