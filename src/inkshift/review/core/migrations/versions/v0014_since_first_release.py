"""What came after 0.1.0: what is set aside, archived batches, names as they were read, tries, second factors."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0006"


def upgrade() -> None:
    _new_tables()
    op.add_column("batches", sa.Column("archived", sa.DateTime(timezone=True)))
    op.add_column("forms", sa.Column("read_as", sa.String, nullable=False, server_default=""))
    op.add_column("pages", sa.Column("first_source", sa.String, nullable=False, server_default=""))
    op.add_column("pages", sa.Column("first_number", sa.Integer, nullable=False, server_default="1"))
    op.execute("UPDATE forms SET read_as = name")
    op.execute("UPDATE pages SET first_source = source, first_number = number")
    op.create_index("forms_by_name", "forms", ["batch_id", "name", "id"])
    op.drop_index("ix_forms_batch_id", "forms")
    _free_fields_of_pages()


def _new_tables() -> None:
    op.create_table(
        "asides",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("form_id", sa.Integer, sa.ForeignKey("forms.id"), nullable=False, index=True),
        sa.Column("page_id", sa.Integer, sa.ForeignKey("pages.id"), index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "tries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("address", sa.String(100), nullable=False, index=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.drop_table("sessions")  # those that are open end now
    op.create_table(
        "sessions",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("stamp", sa.String(64), nullable=False),
        sa.Column("csrf", sa.String(64), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waits", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "second_factors",
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), primary_key=True, autoincrement=False),
        sa.Column("secret", sa.String(32), nullable=False),
        sa.Column("used", sa.Integer),
        sa.Column("paper", sa.JSON, nullable=False),
    )


def _free_fields_of_pages() -> None:
    """No key from fields to pages any more: of each page that goes it read all fields, as no index told which were its,
    and each new field paid for it; a page goes with its form alone."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("fields_page_id_fkey", "fields", type_="foreignkey")
        op.execute("ALTER TABLE fields ALTER COLUMN crop SET STORAGE EXTERNAL")
        return
    # As in https://sqlite.org/lang_altertable.html#otheralter, for what changes nothing on disk.
    run = op.get_bind().exec_driver_sql
    made = run("SELECT sql FROM sqlite_schema WHERE name = 'fields'").scalar_one()
    version = run("PRAGMA schema_version").scalar_one()
    without, found = re.subn(r",\s*FOREIGN KEY\(page_id\) REFERENCES pages \(id\)", "", made)
    if found != 1:
        raise RuntimeError(f"fields: expected one key to pages to take out, found {found} in {made}")
    run("PRAGMA writable_schema = ON")
    run("UPDATE sqlite_schema SET sql = ? WHERE name = 'fields'", (without,))
    run(f"PRAGMA schema_version = {version + 1}")
    run("PRAGMA writable_schema = OFF")
