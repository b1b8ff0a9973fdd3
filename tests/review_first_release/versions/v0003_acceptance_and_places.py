"""Policies that were applied to batches; what a page is called, how it is turned, and fields by its own pixels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "acceptances",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("batch_id", sa.Integer, sa.ForeignKey("batches.id"), nullable=False, index=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("policy", sa.JSON, nullable=False),
        sa.Column("fields", sa.Integer, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_by_id", sa.Integer, sa.ForeignKey("users.id")),
        sa.Column("undone", sa.DateTime(timezone=True)),
    )
    op.execute("ALTER TABLE fields ADD COLUMN accepted_by INTEGER REFERENCES acceptances (id)")
    op.add_column("pages", sa.Column("name", sa.String, nullable=False, server_default=""))
    op.add_column("pages", sa.Column("turn", sa.Integer, nullable=False, server_default="0"))
    op.drop_index("queue", "fields")
    columns = ["batch_id", "waiting", "urgency", "confidence", "id", "first_id", "second_id"]
    op.create_index("queue", "fields", columns)
    op.execute(sa.update(sa.table("fields", sa.column("box", sa.JSON))).values(box=sa.null()))
