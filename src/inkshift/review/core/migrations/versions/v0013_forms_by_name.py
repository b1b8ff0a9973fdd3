"""The forms of a batch are listed by name, a page at a time."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index("forms_by_name", "forms", ["batch_id", "name", "id"])
    op.drop_index("ix_forms_batch_id", "forms")
