"""A session knows where it was begun, so that its user tells it from others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("address", sa.String(100), nullable=False, server_default=""))
    op.add_column("sessions", sa.Column("browser", sa.String(40), nullable=False, server_default=""))
