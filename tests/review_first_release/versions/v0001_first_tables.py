"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _people_and_batches()
    _forms()
    _fields()
    _decisions()
    _let_the_log_only_grow()


def _people_and_batches() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password", sa.String, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("template", sa.JSON),
        sa.Column("folder", sa.String, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("double", sa.Boolean, nullable=False),
        sa.Column("model_keys", sa.Boolean, nullable=False),
    )
    op.create_table(
        "models",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("folder", sa.String, nullable=False),
        sa.Column("based_on", sa.String(64), nullable=False),
        sa.Column("comparison", sa.JSON),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("chosen", sa.DateTime(timezone=True)),
    )


def _forms() -> None:
    op.create_table(
        "forms",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("batch_id", sa.Integer, sa.ForeignKey("batches.id"), nullable=False, index=True),
        sa.Column("name", sa.String, nullable=False),
    )
    op.create_table(
        "pages",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("form_id", sa.Integer, sa.ForeignKey("forms.id"), nullable=False, index=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("quality", sa.Double),
        sa.Column("error", sa.String, nullable=False),
    )


def _fields() -> None:
    op.create_table(
        "fields",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("batch_id", sa.Integer, sa.ForeignKey("batches.id"), nullable=False),
        sa.Column("form_id", sa.Integer, sa.ForeignKey("forms.id"), nullable=False, index=True),
        sa.Column("page_id", sa.Integer, sa.ForeignKey("pages.id")),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("box", sa.JSON),
        sa.Column("urgency", sa.Integer, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("first_id", sa.Integer, sa.ForeignKey("users.id")),
        sa.Column("second_id", sa.Integer, sa.ForeignKey("users.id")),
        sa.Column("crop", sa.LargeBinary),
        sa.CheckConstraint("status IN ('open', 'disputed', 'settled')", name="field_status"),
    )
    op.create_index("queue", "fields", ["batch_id", "waiting", "urgency", "confidence", "id"])
    op.create_table(
        "readings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("field_id", sa.Integer, sa.ForeignKey("fields.id"), nullable=False, index=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("written", sa.String, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("accepted", sa.Boolean),
        sa.Column("candidates", sa.JSON, nullable=False),
        sa.Column("rules_broken", sa.JSON, nullable=False),
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("field_id", sa.Integer, sa.ForeignKey("fields.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("undoes", sa.Integer, sa.ForeignKey("decisions.id"), unique=True),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.UniqueConstraint("field_id", "number", name="decision_number"),
        sa.CheckConstraint("kind IN ('key', 'settle', 'model', 'undo')", name="decision_kind"),
    )
    op.create_index("decisions_of_user", "decisions", ["user_id", "id"])
    op.create_table(
        "leases",
        sa.Column("field_id", sa.Integer, sa.ForeignKey("fields.id"), primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False, index=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )


def _let_the_log_only_grow() -> None:
    refusal = "decisions are never changed or deleted"
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER decisions_no_{change.lower()} BEFORE {change} ON decisions "
                f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION decisions_stand() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{refusal}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER decisions_stand BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions "
        "FOR EACH STATEMENT EXECUTE FUNCTION decisions_stand()"
    )
