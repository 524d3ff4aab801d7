"""Starts and stops the servers that are measured, and reads what they cost from /proc. Linux; standard library only."""

import contextlib
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Mesh:
    """A pgmesh on a free port; `started` is the moment before its process began."""

    def __init__(self, binary, catalog, log, *options):
        command = [binary, "serve", "--catalog", catalog, "--listen", "127.0.0.1:0", *options]
        self.log = open(log, "ab")
        self.started = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
        line = self._first_line(limit_s=120)
        if not line.startswith(b"listening on "):
            raise SystemExit(f"{binary} did not start: {log} says why")
        self.port = int(line.rsplit(b":", 1)[1])
        self.listening = time.perf_counter()

    def _first_line(self, limit_s):
        if not select.select([self.process.stdout], [], [], limit_s)[0]:
            return b""
        return self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


class Postgres:
    """A PostgreSQL of its own with one database and user `bench`; its data stay for the next run."""

    def __init__(self, folder):
        bins = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
        found = str(bins[-1]) if bins else shutil.which("postgres")
        if not found:
            raise FileNotFoundError("no PostgreSQL here (Debian: apt-get install postgresql)")
        self.bin = os.path.dirname(os.path.realpath(found))
        self.folder = folder
        self.user = []
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and its own user cannot look into root's home
            self.folder = "/var/tmp/pgmesh-bench-rows"
            self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        if not os.path.exists(os.path.join(self.folder, "PG_VERSION")):
            self._create()
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._run("pg_ctl", "-D", self.folder, "-w", "-o", options, "-l", os.path.join(self.folder, "log"), "start")
        self.pid = int(open(os.path.join(self.folder, "postmaster.pid")).readline())

    def _create(self):
        os.makedirs(self.folder, exist_ok=True)
        if self.user:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", self.folder, "-U", "admin", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        with open(os.path.join(self.folder, "postgresql.conf"), "a") as conf:
            conf.write("password_encryption = 'scram-sha-256'\nshared_buffers = '2GB'\nmax_wal_size = '8GB'\n")
        with open(os.path.join(self.folder, "pg_hba.conf"), "w") as hba:
            hba.write("host all admin 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")

    def _run(self, program, *arguments):
        command = [*self.user, os.path.join(self.bin, program), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL)

    def sql(self, *statements, **keywords):
        """Runs statements as the administrator, gives back what they print."""
        command = [os.path.join(self.bin, "psql"), "-XqtA", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]
        command += ["-p", str(self.port), "-U", "admin", "-d", "postgres"]
        for statement in statements:
            command += ["-c", statement]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **keywords).stdout.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._run("pg_ctl", "-D", self.folder, "-m", "fast", "stop")


def family(pid):
    """A process and its descendants."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            children.setdefault(int(_stat(entry)[1]), []).append(int(entry))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def cpu_s(pid):
    """CPU seconds of a process, its descendants, and those of them that have ended."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            total += sum(int(ticks) for ticks in _stat(member)[11:15])
    return total / TICKS_PER_S


def _stat(pid):
    """The fields of /proc/PID/stat from `state` on."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def pss_kib(pid):
    """Proportional share of memory of a process and its descendants."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            lines = pathlib.Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


class ResidentMemory(threading.Thread):
    """Looks every 100 ms at how much memory one process holds, in MiB."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.samples, self.done = pid, [], threading.Event()

    def _look(self):
        pages = int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        self.samples.append(pages * PAGE_BYTES / 2**20)

    def run(self):
        self._look()
        while not self.done.wait(0.1):
            self._look()
        self._look()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()

    def growth_mib(self):
        """How much higher the last third reaches than the middle third: what does not level off, grows."""
        third = len(self.samples) // 3
        return max(self.samples[-third:]) - max(self.samples[third:-third]) if third else 0.0
