"""Whether a database has the newest migration, asked without SQLAlchemy and Alembic: loading them is half of a server's start."""

import sqlite3
from contextlib import closing
from pathlib import Path

VERSIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"
SQLITE = "sqlite:///"


def newest() -> str:
    """The newest migration's revision: with it its file's name begins."""
    return max(file.name.partition("_")[0] for file in VERSIONS.glob("[0-9]*.py"))


def is_newest(url: str) -> bool:
    """False also where that cannot be told: then the migrations have to look, which harms nothing."""
    path = url.removeprefix(SQLITE)
    if path == url or not Path(path).is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest(),)]
    except sqlite3.Error:
        return False
