"""Rules are asked of what people settle: what they break, and who said that the paper says so."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("forms", sa.Column("broken", sa.Integer))
    op.add_column("decisions", sa.Column("checked", sa.JSON, nullable=False, server_default="[]"))
