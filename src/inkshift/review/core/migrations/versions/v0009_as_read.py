"""What forms and pages were when they were read first: mending changes their names and files, not these."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("forms", sa.Column("read_as", sa.String, nullable=False, server_default=""))
    op.add_column("pages", sa.Column("first_source", sa.String, nullable=False, server_default=""))
    op.add_column("pages", sa.Column("first_number", sa.Integer, nullable=False, server_default="1"))
    op.execute("UPDATE forms SET read_as = name")
    op.execute("UPDATE pages SET first_source = source, first_number = number")
