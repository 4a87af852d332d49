"""An SQLite database with all tables, made once a run and copied: making it anew is half of a start."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from services.store.database import upgrade

NAME = "tickertape.db"  # what an application looks for in its folder


@cache
def migrated() -> Path:
    """The file itself; it is for copying."""
    folder = Path(tempfile.mkdtemp(prefix="tickertape-tables-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    upgrade(f"sqlite:///{folder / NAME}")
    return folder / NAME


def with_tables(folder: Path, model: Path | None = None) -> dict[str, str]:
    """The environment of an application in that folder, which gets a copy of `model` where it has no database yet."""
    if not (folder / NAME).exists():
        shutil.copy(model or migrated(), folder / NAME)
    return {"INSTANCE_DIR": str(folder)}
