"""How alembic reaches the database: through the connection, and within the transaction, that `store.open` gives it."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
