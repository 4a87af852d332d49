"""What a start asks before it loads what makes tables."""

import sqlite3

from alembic.config import Config
from alembic.script import ScriptDirectory

from services.store.database import MIGRATIONS
from services.store.revision import is_newest, newest
from tests.support.tables import migrated


def test_the_newest_is_alembics_head():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [newest()]


def test_a_database_with_all_tables_needs_nothing():
    assert is_newest(f"sqlite:///{migrated()}")


def test_everything_else_is_left_to_the_migrations(tmp_path):
    empty, older, broken = (tmp_path / name for name in ("empty.db", "older.db", "broken.db"))
    sqlite3.connect(empty).close()
    with sqlite3.connect(older) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    connection.close()
    broken.write_bytes(b"no database" * 1000)
    for path in (tmp_path / "none.db", empty, older, broken, tmp_path):
        assert not is_newest(f"sqlite:///{path}")
    assert not is_newest("postgresql+psycopg://somebody@127.0.0.1/tickertape")
