"""The tables of version 0.1.0, made before there were others; a new database is made of the schema as it is now."""

from __future__ import annotations

revision = "0006"
down_revision = None


def upgrade() -> None:
    """Nothing to do: they are there."""
