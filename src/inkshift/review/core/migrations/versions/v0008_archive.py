"""Batches that are done with are archived: kept, and out of the way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("batches", sa.Column("archived", sa.DateTime(timezone=True)))
