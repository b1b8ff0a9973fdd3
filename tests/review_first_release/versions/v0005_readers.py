"""Which reader made a reading, beside its model: a policy belongs to one reader."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("readings", sa.Column("reader", sa.Text(), nullable=False, server_default=""))
