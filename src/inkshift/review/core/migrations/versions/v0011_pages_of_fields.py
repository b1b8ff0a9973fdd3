"""No key from fields to pages any more: of each page that goes it read all fields, as no index told which were its, and
each new field paid for it; a page goes with its form alone. Pictures, PNG, are not pressed once more."""

from __future__ import annotations

import re

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
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
