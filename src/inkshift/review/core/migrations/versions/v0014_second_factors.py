"""People may have a second factor; a session may wait for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "second_factors",
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), primary_key=True, autoincrement=False),
        sa.Column("secret", sa.String(32), nullable=False),
        sa.Column("used", sa.Integer),
        sa.Column("paper", sa.JSON, nullable=False),
    )
    op.add_column("sessions", sa.Column("waits", sa.Boolean, nullable=False, server_default=sa.false()))
