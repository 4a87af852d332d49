"""The key that signs cookies."""

import os
import secrets

from services.settings import Settings


def secret_key(settings: Settings) -> str:
    """The configured key, or a random one made on the first run and kept beside the database, readable by its owner only."""
    if settings.secret_key:
        return settings.secret_key
    path = settings.instance_dir / "secret_key"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(48))
    return path.read_text()
