"""What the Python programs share: where to connect, and sections that go on after an error."""

import contextlib
import os

HOST, PORT = os.environ["PGHOST"], int(os.environ["PGPORT"])
USER, PASSWORD, DATABASE = os.environ["PGUSER"], os.environ["PGPASSWORD"], os.environ["PGDATABASE"]
DSN = f"postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{DATABASE}"


@contextlib.contextmanager
def section(name):
    """What is printed inside is compared as one; an error is part of it."""
    print(f"== {name}")
    try:
        yield
    except Exception as error:
        print(f"error {type(error).__name__} {told(error)}")


def told(error):
    """SQLSTATE and message of an error of any driver, without where it happened."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    text = str(error).split("\n")[0]
    return f"{state} {text}".replace(str(PORT), "PORT")


def show(rows):
    for row in rows:
        print(f"row {tuple(row)!r}" if not isinstance(row, dict) else f"row {row!r}")
