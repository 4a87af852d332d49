"""The key that signs cookies."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from services.settings import Settings


def secret_key(settings: Settings) -> str:
    """The configured key, or a random one made on the first run and kept beside the database, readable by its owner only."""
    if settings.secret_key:
        return settings.secret_key
    path = settings.instance_dir / "secret_key"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    return path.read_text().strip()


def _make(path: Path) -> None:
    """Write it whole under another name first: workers start together, and none may read half a key or another one."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=path.name) as file:  # 0600
        file.write(secrets.token_urlsafe(48))
        file.flush()
        with suppress(FileExistsError):
            os.link(file.name, path)
