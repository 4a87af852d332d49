"""Alembic's entry: the URL comes from the caller (`upgrade`) or from the settings (`alembic` on the command line)."""

import sqlalchemy
from alembic import context

from services.settings import Settings
from services.store.models import Base


def main() -> None:
    url = context.config.attributes.get("url") or Settings.load().database
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
        if engine.dialect.name == "postgresql":
            # Several hosts may start at once; the lock ends with the transaction.
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(7421053)"))
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    engine.dispose()


main()
