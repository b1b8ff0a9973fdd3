"""Which model was the default when, in place of when each was last chosen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "choices",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id")),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute(
        "INSERT INTO choices (model, time) SELECT digest, chosen FROM models WHERE chosen IS NOT NULL ORDER BY chosen"
    )
    op.drop_column("models", "chosen")
